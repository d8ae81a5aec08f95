//! What gateways tell each other.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::autoscale::signal::Observation;
use crate::model::Id;

/// What the leader tells a peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instruction {
    /// Who leads.
    pub leader: String,
    /// The replicas of each pool that are to get no new requests.
    pub draining: BTreeMap<Id, BTreeSet<Id>>,
}

/// What a gateway tells the leader.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The name of the gateway.
    pub gateway: String,
    /// What it sees of each pool that it sizes.
    pub pools: BTreeMap<Id, PoolReport>,
}

/// What a gateway sees of one pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolReport {
    /// Its last look; its clock is its own.
    pub seen: Observation,
    /// Requests that run on each endpoint.
    pub in_flight: BTreeMap<Id, u64>,
    /// The replicas that get no new requests by the leader's word, since before this look.
    #[serde(default)]
    pub draining: BTreeSet<Id>,
}
