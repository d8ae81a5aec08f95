//! One look at a pool. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Signal;
use crate::telemetry::metrics::Snapshot;

/// What is seen of a pool at one instant. Totals only grow, also when endpoints leave; they begin anywhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Monotonic milliseconds.
    pub at_ms: u64,
    /// Requests that run.
    pub in_flight: u64,
    /// Requests that wait for a slot.
    pub queued: u64,
    /// Requests that may wait.
    pub queue_capacity: u64,
    /// How long the first of those that wait has waited, in seconds.
    pub oldest_wait: f64,
    /// Requests that came: those that were given to an endpoint, and those that wait or waited in vain.
    pub arrived_total: u64,
    /// Attempts that ended well.
    pub completed_total: u64,
    /// Attempts that failed.
    pub failed_total: u64,
    /// Requests that the queue refused.
    pub refused_total: u64,
    /// From the pick to the response's head, of all attempts so far.
    pub first_byte: Snapshot,
    /// From the pick to the last byte, of all attempts so far.
    pub response_time: Snapshot,
    /// Time in the queue, of all requests that left it so far.
    pub queue_wait: Snapshot,
    /// Processor use, mean over the ready replicas that say so, a ratio.
    pub cpu: Option<f64>,
    /// Memory use, likewise.
    pub memory: Option<f64>,
    /// Named figures of the endpoints' pages (sums over the ready replicas) and of queries, by [`Observation::key`].
    pub custom: BTreeMap<String, f64>,
}

impl Observation {
    /// Returns where `custom` has a signal: the name of a metric, or server and query with a space between them, which no name has.
    pub fn key(signal: &Signal) -> Option<Cow<'_, str>> {
        match signal {
            Signal::Custom(name) => Some(Cow::Borrowed(name)),
            Signal::Promql { server, query } => Some(Cow::Owned(format!("{server} {query}"))),
            _ => None,
        }
    }
}
