//! All that a decision follows from, beside the terms of the config and the state from before. Pure.

use serde::{Deserialize, Serialize};

use crate::model::Id;

/// What is known of a pool when it is decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Monotonic milliseconds: cooldowns and windows count in these.
    pub now_ms: u64,
    /// Milliseconds since 1970, UTC: for people and for schedules only, as this clock may jump.
    pub unix_ms: i64,
    /// How the replicas stand.
    pub replicas: Replicas,
    /// What the pool has to do.
    pub demand: Demand,
    /// What each policy with a signal sees, in the order of the terms.
    pub readings: Vec<Reading>,
    /// The bounds of the schedules that hold now: the largest of their `min_replicas`, the least of their `max_replicas`, and their names.
    pub schedule: Look,
    /// What is expected.
    pub outlook: Option<Outlook>,
    /// What an operator has ordered.
    pub order: Option<Order>,
}

/// How the replicas stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// How many the platform is told to have.
    pub desired: u32,
    /// Those that serve and are not drained.
    pub ready: u32,
    /// Those on their way: coming capacity.
    pub starting: u32,
    /// Those that run empty before they go; still counted by the platform, and can be taken back at once.
    pub draining: u32,
}

/// What the pool has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// Requests that run.
    pub in_flight: u64,
    /// Requests that wait for a slot.
    pub queued: u64,
    /// Whether the queue has refused somebody since the last look, or is full.
    pub queue_full: bool,
    /// How long nothing has been running or waiting.
    pub idle_ms: u64,
    /// How the requests come and run; `None` before enough of them have ended to tell.
    #[serde(default)]
    pub flow: Option<Flow>,
    /// Whether the figures are of all gateways that were known in the last minute; never scale in when they are not.
    pub is_complete: bool,
}

/// How requests come and run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Requests that come in a second.
    pub rate: f64,
    /// How long one runs, seconds, mean.
    pub service: f64,
    /// How long a new replica takes to serve, seconds.
    pub startup: f64,
}

impl Flow {
    /// Tells whether it can be computed with.
    pub(super) fn is_finite(&self) -> bool {
        [self.rate, self.service, self.startup].iter().all(|value| value.is_finite())
    }
}

/// What one policy sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The policy.
    pub policy: Id,
    /// Its signal over its window, in base units (seconds, ratios); `None` without fresh data.
    pub value: Option<f64>,
    /// The same over the panic window; `None` for policies without target, and without fresh data.
    pub fast: Option<f64>,
    /// How long there has been no fresh data; 0 when there is some, and while `is_idle`.
    pub missing_ms: u64,
    /// Whether there is no value only because nothing came that could have been measured: such a policy abstains, its signal is not missing.
    #[serde(default)]
    pub is_idle: bool,
}

/// The bounds of schedules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// The fewest replicas.
    pub min_replicas: Option<u32>,
    /// The most replicas.
    pub max_replicas: Option<u32>,
    /// The schedules that hold.
    pub names: Vec<Id>,
}

/// What a forecast says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// Replicas that are needed between the start-up time of a replica and the horizon.
    pub replicas: u32,
    /// How far it can be trusted, a ratio.
    pub confidence: f64,
    /// When the most is needed, milliseconds since 1970.
    pub peak_unix_ms: i64,
    /// Which model says so.
    pub model: String,
    /// Whether it has demoted itself, as the last day's forecasts were worse than none.
    pub is_demoted: bool,
}

/// What an operator has ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Nothing is changed.
    Pause,
    /// So many replicas, whatever the policies say.
    Replicas(u32),
}
