//! What is seen of a pool: one observation after the other, and windows over them.

mod collect;
mod gauge;
mod observation;
pub(super) mod pages;

pub use collect::{Collector, Extra};
pub use gauge::Gauge;
pub use observation::Observation;
