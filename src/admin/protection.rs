//! What the API shows of what protects pools, routes and the process.
//!
//! Settings as the config in force has them, beside what the machines tell of themselves; nothing is judged here.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::health::{CheckReport, HealReport};
use crate::model::{Id, Overload, Policies, Queue, RouteTimeouts};
use crate::resilience::queue::Figures;
use crate::resilience::{fault, hedge, rate_limit, retry, shadow};

/// A queue, of a pool or of a bulkhead.
#[derive(Clone, Debug, Serialize)]
pub struct QueueView {
    /// Its section of the config.
    #[serde(flatten)]
    pub settings: Queue,
    /// What it has counted, and how it stands.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What the checks of one endpoint say.
#[derive(Clone, Debug, Serialize)]
pub struct HealthView {
    /// `healthy`, `degraded`, `unhealthy`, or `unknown` before the first check.
    pub state: &'static str,
    /// Since when, RFC 3339.
    pub since: String,
    /// How many of the last checks in a row were good (degraded among them), or else bad.
    pub consecutive: u32,
    /// What was last done about it while it stayed down; `None` when nothing was.
    pub heal: Option<HealReport>,
    /// The last results, the latest first.
    pub checks: Vec<CheckReport>,
}

/// `GET /api/v1/bulkheads/{bulkhead}`.
#[derive(Clone, Debug, Serialize)]
pub struct BulkheadView {
    /// Its name.
    pub name: Id,
    /// The routes whose requests need its slots.
    pub routes: Vec<Id>,
    /// Requests that may run at once.
    pub max_concurrent: u32,
    /// Requests that run.
    pub active: u32,
    /// Requests that got a slot; completed, failed, aborted and active ones together.
    pub admitted_total: u64,
    /// Requests that ended well.
    pub completed_total: u64,
    /// Requests without an answer, or with a failure of an endpoint.
    pub failed_total: u64,
    /// Requests whose clients left.
    pub aborted_total: u64,
    /// Completed over completed and failed; 1 before the first.
    pub success_rate: f64,
    /// Where further ones wait.
    pub queue: QueueView,
}

/// `GET /api/v1/routes/{route}`.
#[derive(Clone, Debug, Serialize)]
pub struct RouteView {
    /// Its name.
    pub name: Id,
    /// The pools that its requests go to; empty when it answers by itself.
    pub pools: Vec<Id>,
    /// How long each phase may take.
    pub timeouts: RouteTimeouts,
    /// What is in force for its requests.
    pub policies: Policies,
    /// What its rate limits have counted, in the order of the file.
    pub rate_limits: Vec<rate_limit::Report>,
    /// What became of its retries; `None` when nothing is tried again.
    pub retries: Option<RetriesView>,
    /// Which of its pools has how much of its traffic; `None` without failover.
    pub failover: Option<Vec<TierView>>,
    /// When it hedges, and at what cost; `None` when it does not.
    pub hedging: Option<hedge::Report>,
    /// What became of its copies; `None` without a mirror.
    pub mirroring: Option<shadow::Report>,
    /// The fault that is switched on.
    pub fault: Option<fault::Active>,
    /// Requests that got a fault since the start.
    pub faults_injected_total: u64,
}

/// A pool of a route whose pools take over from each other.
#[derive(Clone, Debug, Serialize)]
pub struct TierView {
    /// The pool.
    pub pool: Id,
    /// The share of its weight that is available, from 0 to 1.
    pub available: f64,
    /// The share of the route's traffic that it has now, from 0 to 1; those of all pools add up to 1.
    pub share: f64,
    /// Attempts of the route that got a place in it.
    pub attempts_total: u64,
}

/// What became of a route's retries.
#[derive(Clone, Debug, Serialize)]
pub struct RetriesView {
    /// Attempts beyond the first of their request.
    pub retries_total: u64,
    /// Requests that were answered well by such an attempt.
    pub recovered_total: u64,
    /// Requests that were not tried again although their route wanted that, by reason.
    pub skipped_total: BTreeMap<&'static str, u64>,
    /// What retries may cost.
    pub budget: retry::Report,
}

/// `GET /api/v1/overload`.
#[derive(Clone, Debug, Serialize)]
pub struct OverloadView {
    /// The limits of the process.
    #[serde(flatten)]
    pub limits: Overload,
    /// Requests that run; `None` when they have no limit, for then nobody counts them.
    pub running: Option<u32>,
    /// Resident memory in bytes, at most a second old; `None` where the system does not tell.
    pub memory_bytes: Option<u64>,
    /// Bytes of request bodies that are kept for further attempts.
    pub replay_memory_used_bytes: u64,
}
