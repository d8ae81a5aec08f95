//! Which endpoints of a pool are taken out because they do worse than their peers, and when they come back.
//!
//! Passive: judged by the traffic of an interval, after Envoy's outlier detection ("Outlier detection", Envoy documentation). What differs from
//! Envoy: the worst goes first when not all may go; the share that may be out is rounded down; an endpoint's failures in a row begin anew
//! with its return; and when nobody else is left, the one that would return first returns at once.
//!
//! Deliberately not here: where the figures come from, the availability bit, and the clock (`health`).

mod ejector;
mod suspects;

pub use ejector::{Ejector, Report, Sample, Verdict};
pub use suspects::Why;
