//! What was decided, and why. Pure.

use serde::{Deserialize, Serialize};

use crate::model::Id;

/// How many replicas there should be, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// How many the platform was told to have, those that are draining not counted.
    pub from: u32,
    /// How many it should have.
    pub to: u32,
    /// What moved it, or holds it.
    pub trigger: Trigger,
    /// What every policy with a signal says, in the order of the terms.
    pub verdicts: Vec<Verdict>,
    /// What the policies and the forecast wanted, before limits.
    pub wanted: u32,
    /// The limits that changed that, in the order in which they were applied.
    pub limits: Vec<Clamp>,
    /// One sentence for people.
    pub reason: String,
}

/// What moved the number of replicas, or holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A policy.
    Policy(Id),
    /// Short-term demand (panic).
    Panic(Id),
    /// A forecast.
    Forecast,
    /// The bounds of a schedule.
    Schedule(Id),
    /// `min_replicas` or `max_replicas`.
    Bounds,
    /// A request for a pool without replicas.
    FirstRequest,
    /// The queue is full or has refused somebody, and no policy asks for more.
    QueueFull,
    /// Nobody needs the last replica.
    Idle,
    /// An operator.
    Operator,
    /// Somebody else changed the number, which is respected for one cooldown.
    Adopted,
    /// Signals are missing.
    Missing,
    /// All is as it should be.
    Steady,
}

/// What one policy says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The policy.
    pub policy: Id,
    /// What it sees, in base units.
    pub value: Option<f64>,
    /// What it compares that with: the target, or the bound that was passed or is nearest.
    pub threshold: f64,
    /// How it votes.
    pub vote: Vote,
    /// Replicas that it wants; `None` when it has no data or no say.
    pub desired: Option<u32>,
}

/// How a policy votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vote {
    /// More.
    Up,
    /// Fewer.
    Down,
    /// As many.
    Hold,
    /// It does not know.
    Missing,
    /// It has no say: nothing came that it could measure, or it has no lower bound and its upper one is not passed. Holds nobody back.
    Abstain,
}

/// A limit that changed what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clamp {
    /// The limit.
    pub limit: Limit,
    /// Before.
    pub from: u32,
    /// After.
    pub to: u32,
}

/// What can limit a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// `min_replicas`, of the pool or a schedule.
    MinReplicas,
    /// `max_replicas`, of the pool or a schedule.
    MaxReplicas,
    /// Not enough has changed.
    Tolerance,
    /// The last scaling is too recent.
    Cooldown,
    /// Too many at once.
    MaxStep,
    /// It has not been wanted for long enough.
    Stabilization,
    /// Use has not been low for long enough.
    Sustained,
    /// Too many scalings in this hour.
    EventsPerHour,
    /// Nothing scales down in panic.
    Panic,
    /// Nothing scales down while signals are missing.
    Missing,
    /// The last replica stays until the pool has been idle for long enough.
    Idle,
    /// An operator has paused the pool.
    Paused,
}
