//! Everything that a config says, checked and compiled: the unit of a reload.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Admin, Bulkhead, Cluster, Drain, Forwarding, Id, Listener, Overload, Pool, Route, Storage, Telemetry};

/// Everything that a config says, checked and compiled.
///
/// Invariants, kept by `config`: every name is unique in its kind, and every pool, bulkhead and listener that a route names exists.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// The listeners, in the order of the file.
    pub listeners: Vec<Arc<Listener>>,
    /// The routes, in the order of the file; those that a listener's `pool` stands for come last.
    pub routes: Vec<Arc<Route>>,
    /// The pools.
    pub pools: BTreeMap<Id, Arc<Pool>>,
    /// The bulkheads.
    pub bulkheads: BTreeMap<Id, Arc<Bulkhead>>,
    /// Limits of the whole process.
    pub overload: Overload,
    /// The admin server.
    pub admin: Admin,
    /// Logs.
    pub telemetry: Telemetry,
    /// How Tidegate stops.
    pub drain: Drain,
    /// Many gateways that act as one; `None`: this one is alone.
    pub cluster: Option<Cluster>,
    /// Where history and decisions are kept.
    pub storage: Storage,
    /// Forwarding headers.
    pub forwarding: Arc<Forwarding>,
    /// Worker threads; `None` is one for each core that the process may use. Read at start only.
    pub workers: Option<u16>,
}
