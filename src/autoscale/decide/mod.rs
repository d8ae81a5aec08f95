//! The decision: how many replicas a pool should have, and why. Pure.
//!
//! [`decide()`] is read from top to bottom: each policy forms an opinion (`opinion`), together they are a wish (`wish`), limits hold it back
//! (`limit`), and a sentence says it to people (`reason`). What must be known from before is the [`State`] (`state`).

mod decision;
mod input;
mod limit;
mod opinion;
mod reason;
mod rule;
mod state;
mod wish;

pub use decision::{Clamp, Decision, Limit, Trigger, Verdict, Vote};
pub use input::{Demand, Flow, Input, Look, Order, Outlook, Reading, Replicas};
pub use rule::decide;
pub use state::{Ours, Panicking, State, Wanted};
