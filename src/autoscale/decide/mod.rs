//! The decision: how many replicas a pool should have, and why. Pure.

mod decision;
mod input;
mod rule;

pub use decision::{Clamp, Decision, Limit, Trigger, Verdict, Vote};
pub use input::{Demand, Input, Look, Order, Outlook, Reading, Replicas};
pub use rule::{Panicking, State, decide};
