//! Figures of the request path: one shard for each worker, resolved when a listener, route or endpoint is built, summed on a scrape.
//!
//! A shard has one writer, so that counting is a load and a store without a lock prefix. The Prometheus text is written here, because
//! the `metrics` facade takes samples and these are already bucketed; what happens seldom (reloads, restarts) goes through that facade.

mod counters;
mod histogram;
mod process;
mod registry;
mod render;

pub use counters::{Ended, EndpointCounters, Guard, ListenerCounters, Open, RequestCounters};
pub use histogram::{Histogram, Snapshot};
pub use process::{Process, ReloadResult};
pub use registry::{EndpointFigures, Registry, Shard};
pub use render::{Family, Text};
