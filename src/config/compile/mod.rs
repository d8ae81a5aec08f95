//! From the raw structs to the model: defaults are filled in, shorthands written out.
//!
//! Nothing is refused here. `check` runs over the same structs, and only a file without errors becomes a snapshot; what an
//! erroneous file leaves out is left out here as well.

mod listener;
mod policies;
mod pool;
mod protection;
mod route;
mod settings;
mod snapshot;

pub(super) use policies::rate_limit_name;
pub(super) use pool::endpoint_id;
pub(super) use route::matcher;
pub(super) use snapshot::{certificate_files, snapshot};
