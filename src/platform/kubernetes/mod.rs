//! Kubernetes: a client that knows what an API server does on its bad days, and the [`Workload`] that is scaled through it.
//!
//! Every call has a bound, every error says what is to be done about it, and what is watched is listed again before silence could be taken for
//! peace. What is deliberately not here: which pods become endpoints (`discovery`), and who leads (`autoscale`).

mod backoff;
mod cluster;
mod event;
mod failure;
mod lease;
mod metrics;
mod mirror;
mod path;
mod pods;
mod quantity;
mod retreat;
mod workload;

pub use cluster::{Cluster, Timeouts};
pub use failure::CallError;
pub use lease::{LeaseBook, LeaseRecord, LeaseVersion};
pub use mirror::{Kind, Mirror};
pub use path::Place;
pub use workload::Workload;
