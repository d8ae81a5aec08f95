//! How many replicas each pool has: signals, policies, forecast, decision, actuator.
//!
//! The chain is one loop for each pool (`run`). What decides is pure: [`decide()`] takes what was observed, the terms of the config, the state
//! from before, and the time, and says how many replicas there should be and why; the ledger keeps all of these, so that every decision can be
//! computed again. What is deliberately not here: how a platform is spoken to (`platform`), and how new replicas become endpoints (`discovery`).

mod decide;
pub mod forecast;
mod schedule;
mod signal;
pub mod simulate;

pub use decide::{
    Clamp, Decision, Demand, Input, Limit, Look, Order, Ours, Outlook, Panicking, Reading, Replicas, State, Trigger, Verdict, Vote,
    Wanted, decide,
};
pub use schedule::{ScheduleError, Schedules};
pub use signal::{Gauge, Observation};
