//! The checks of one pool: which endpoints, when, and what their results do.
//!
//! One task for each pool runs the checks, at most 64 at a time. What is believed of an endpoint stays with its identity
//! (`endpoint::Serial`) over every update, so that a reload restarts nothing. Results reach workers as bits of the endpoint's
//! availability and as its weight. Deliberately not here: what a check asks (`active`), and the rules (`verdict`, `schedule`).

mod counters;
mod ledger;
mod plan;
mod report;
mod task;

#[cfg(test)]
mod tests;

pub use counters::Counters;
pub use plan::{Plan, Watched};
pub use report::{CheckReport, EndpointReport, HealReport, Report, Summary};
pub use task::{Monitor, Watch};
