//! What the API shows: the public JSON shapes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::protection::{HealthView, QueueView};
use crate::endpoint::Cause;
use crate::health;
use crate::model::{Address, Bind, Id, Snapshot, Strategy, Weight};
use crate::resilience::{breaker, outlier};

/// `GET /api/v1/status`.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The version of Tidegate.
    pub version: &'static str,
    /// Seconds since the process started.
    pub uptime_seconds: f64,
    /// Whether it takes traffic, and why not.
    pub readiness: Readiness,
    /// Which config is in force, counted from 1.
    pub generation: u64,
    /// Worker threads.
    pub workers: usize,
    /// Worker threads that died and were started again.
    pub worker_restarts: u64,
    /// Client connections that are open.
    pub connections: usize,
    /// The listeners.
    pub listeners: Vec<ListenerView>,
    /// Pools by name, with how many of their endpoints are available.
    pub pools: Vec<PoolSummary>,
}

/// A listener.
#[derive(Clone, Debug, Serialize)]
pub struct ListenerView {
    /// Its name.
    pub name: Id,
    /// Where it really listens.
    pub address: Bind,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Its open connections.
    pub connections: u32,
    /// Connections that may be open at once.
    pub max_connections: u32,
    /// Connections that are accepted and wait for one of those to close; others wait in the system's backlog.
    pub waiting: u32,
    /// Connections, and streams of HTTP/2, that guards have ended, by guard.
    pub cut_total: BTreeMap<&'static str, u64>,
}

/// A pool in one line.
#[derive(Clone, Debug, Serialize)]
pub struct PoolSummary {
    /// Its name.
    pub name: Id,
    /// Its endpoints.
    pub endpoints: usize,
    /// Those that take requests.
    pub available: usize,
    /// Requests that run on it.
    pub in_flight: u64,
}

/// `GET /readyz`.
#[derive(Clone, Debug, Serialize)]
pub struct Readiness {
    /// Whether it takes traffic.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// `GET /api/v1/config`.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigView {
    /// Where it comes from.
    pub source: String,
    /// Which config is in force, counted from 1.
    pub generation: u64,
    /// When it came into force, RFC 3339.
    pub applied_at: String,
    /// Why the last attempt to take another one failed; `None` when it did not.
    pub last_error: Option<ReloadFailure>,
    /// What is odd about it.
    pub warnings: Vec<String>,
    /// The config in force with every default, secrets hidden.
    pub effective: serde_json::Value,
}

/// Why a config was not taken.
#[derive(Clone, Debug, Serialize)]
pub struct ReloadFailure {
    /// When, RFC 3339.
    pub at: String,
    /// Each problem, with its place in the file when it has one.
    pub problems: Vec<String>,
}

/// `GET /api/v1/pools/{pool}`.
#[derive(Clone, Debug, Serialize)]
pub struct PoolView {
    /// Its name.
    pub name: Id,
    /// How an endpoint is chosen.
    pub strategy: Strategy,
    /// Requests that run on it.
    pub in_flight: u64,
    /// Those of its endpoints that take requests.
    pub available: usize,
    /// Those of its endpoints that are ejected.
    pub ejected: usize,
    /// Where requests wait for a slot; `None` without a queue.
    pub queue: Option<QueueView>,
    /// How many of its endpoints stand how; `None` without health checks.
    pub health: Option<health::Summary>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointView>,
}

/// `GET /api/v1/pools/{pool}/endpoints/{id}`.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointView {
    /// Its id.
    pub id: Id,
    /// Where it is reached.
    pub address: Address,
    /// Where it runs.
    pub zone: Option<String>,
    /// What it offers.
    pub capabilities: Vec<String>,
    /// `available` or `unavailable`.
    pub state: &'static str,
    /// Why it takes no requests.
    pub causes: Vec<Cause>,
    /// Its weight in the file.
    pub weight: Weight,
    /// Its weight now: the file's, or what was set here.
    pub effective_weight: Weight,
    /// Requests that run on it.
    pub in_flight: u32,
    /// Requests that may run on it at once, its slots; `None` is no limit.
    pub max_connections: Option<u32>,
    /// Attempts since it is known.
    pub attempts: u64,
    /// Attempts that ended well.
    pub completed: u64,
    /// Attempts that failed by its doing.
    pub failed: u64,
    /// Attempts that ended by nobody's or the client's doing.
    pub aborted: u64,
    /// Completed over completed and failed; `None` before the first.
    pub success_rate: Option<f64>,
    /// From the pick to the last byte, in seconds.
    pub response_time: ResponseTime,
    /// From the pick to the response's head, in seconds.
    pub first_byte: ResponseTime,
    /// What `least_response_time` compares: peak EWMA of the first byte in seconds, times in flight plus one, over weight; `None` while unmeasured.
    pub load_score: Option<f64>,
    /// Seconds for which it asked not to be sent more.
    pub parked_seconds: Option<f64>,
    /// Whether it counts for half of its weight.
    pub degraded: bool,
    /// What its health checks say; `None` without any.
    pub health: Option<HealthView>,
    /// What its breaker says; `None` when breakers are off.
    pub breaker: Option<breaker::Report>,
    /// Whether it is ejected, and why; `None` when ejection is off.
    pub ejection: Option<outlier::Report>,
}

/// Quantiles of a duration, in seconds; `None` without samples.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ResponseTime {
    /// The mean.
    pub mean: Option<f64>,
    /// The median.
    pub p50: Option<f64>,
    /// 95 of 100 are no longer.
    pub p95: Option<f64>,
    /// 99 of 100 are no longer.
    pub p99: Option<f64>,
}

/// Shows a snapshot; a failure to do so is shown instead.
pub fn effective(snapshot: &Snapshot) -> serde_json::Value {
    serde_json::to_value(snapshot).unwrap_or_else(|error| serde_json::Value::String(error.to_string()))
}
