//! `cluster` and `storage`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::amounts::LeaseTime;
use super::names::FilePath;
use super::objects::{Identity, Label, ObjectName, PeersAddress};
use super::quantities::Period;
use crate::config::shape::{At, Text};

/// Many gateways that act as one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Cluster {
    /// Host and port of the admin servers of all gateways, such as their headless Service: the leader adds their signals up. Default: none.
    pub(in crate::config) peers: Option<Text<PeersAddress>>,
    /// The Lease of Kubernetes that says who leads; `{}` is enough. Default: none; this gateway leads always.
    pub(in crate::config) lease: Option<At<Lease>>,
    /// The name of this gateway, unique among its peers. Default: the host name.
    pub(in crate::config) identity: Option<Text<Identity>>,
}

/// The Lease of Kubernetes that says who leads.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Lease {
    /// Its name. Default: `tidegate`.
    pub(in crate::config) name: Option<Text<ObjectName>>,
    /// Its namespace. Default: Tidegate's own.
    pub(in crate::config) namespace: Option<Text<Label>>,
    /// How long it is good without renewal, in whole seconds, 3s to 5m. Default: `10s`.
    pub(in crate::config) duration: Option<Text<LeaseTime>>,
    /// How often it is renewed; at most a third of `duration`. Default: `2s`, or a third of `duration` when that is less.
    pub(in crate::config) renew: Option<Text<Period>>,
}

/// Where history, decisions and the list of local processes are kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Storage {
    /// The folder, relative to that of the config. Default: a place of the system's choice.
    pub(in crate::config) path: Option<Text<FilePath>>,
}
