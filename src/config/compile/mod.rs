//! From the raw structs to the model: defaults are filled in, shorthands written out.
//!
//! Nothing is refused here. `check` runs over the same structs, and only a file without errors becomes a snapshot; what an
//! erroneous file leaves out is left out here as well.

mod autoscale;
mod cluster;
mod listener;
mod policies;
mod pool;
mod protection;
mod route;
mod scale_policy;
mod settings;
mod snapshot;
mod target;

pub(super) use autoscale::{default_max_replicas, interval};
pub(super) use cluster::{lease_duration, longest_renew};
pub(super) use policies::rate_limit_name;
pub(super) use pool::endpoint_id;
pub(super) use protection::has_slots;
pub(super) use route::matcher;
pub(super) use scale_policy::{Unit, aggregation, amount, signal, unit, window};
pub(super) use snapshot::{certificate_files, snapshot};
pub(super) use target::api;
