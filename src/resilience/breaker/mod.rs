//! The circuit breaker of one endpoint: it refuses an endpoint that fails, and lets it come back by single probes.
//!
//! [`Machine`] decides and is pure; [`Breaker`] shares it between workers and says its result as the endpoint's availability bit. What it does
//! not do: compare an endpoint with its peers (`outlier`), ask it anything by itself (`health`), or keep a clock (its owner calls
//! [`Breaker::wake`]).

mod machine;
mod rates;
mod report;
mod shared;

pub use machine::{Machine, Pass, State, Verdict};
pub use report::{Cause, Report, Transition, Why};
pub use shared::Breaker;
