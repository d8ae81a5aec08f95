//! The top of the file.

use schemars::JsonSchema;
use serde::Deserialize;

use super::cluster::{Cluster, Storage};
use super::listener::Listener;
use super::policies::{Bulkhead, Overload};
use super::pool::Pool;
use super::quantities::Count;
use super::route::Route;
use super::settings::{Admin, Drain, Forwarding, Telemetry};
use crate::config::shape::{At, Entries, List, Text};
use crate::model::Id;

/// The configuration of Tidegate. The smallest useful file is a listener with a `pool`, and that pool with its endpoints.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tidegate")]
pub(in crate::config) struct File {
    /// The sockets to accept on; at least one.
    #[serde(default)]
    pub(in crate::config) listeners: List<At<Listener>>,
    /// Where requests go. The most specific match wins; ties are broken by the order in the file.
    #[serde(default)]
    pub(in crate::config) routes: List<At<Route>>,
    /// The pools by name.
    #[serde(default)]
    pub(in crate::config) pools: Entries<Text<Id>, Pool>,
    /// The bulkheads by name: limits on requests that run at once, shared by the routes that name them.
    #[serde(default)]
    pub(in crate::config) bulkheads: Entries<Text<Id>, Bulkhead>,
    /// Limits of the whole process.
    #[serde(default)]
    pub(in crate::config) overload: Overload,
    /// The admin server.
    #[serde(default)]
    pub(in crate::config) admin: Admin,
    /// Logs.
    #[serde(default)]
    pub(in crate::config) telemetry: Telemetry,
    /// How Tidegate stops.
    #[serde(default)]
    pub(in crate::config) drain: Drain,
    /// Headers that tell an endpoint about the client.
    #[serde(default)]
    pub(in crate::config) forwarding: Forwarding,
    /// Many gateways that act as one. Default: this one is alone.
    pub(in crate::config) cluster: Option<At<Cluster>>,
    /// Where history, decisions and the list of local processes are kept.
    #[serde(default)]
    pub(in crate::config) storage: Storage,
    /// Worker threads, 1 to 1024. Default: one for each core that the process may use. Read at start only.
    pub(in crate::config) workers: Option<Text<Count<1, 1024>>>,
}
