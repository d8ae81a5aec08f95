//! From a YAML file to a snapshot.
//!
//! [`read`] goes through these stages: `tree` (text to nodes with their places), `env` (variables), `shape` and `raw` (nodes to
//! structs that mirror the file, every value checked by itself), `check` (what values mean together), `compile` (defaults and
//! shorthands, yields the snapshot). Whatever is wrong at any stage after the first is collected, so that all of it is told at
//! once. [`watch()`] says when a file should be read again.
//!
//! Nothing here opens sockets or parses certificates, and nothing is applied: that is done from the snapshot by those above.

mod check;
mod compile;
pub(crate) mod defaults;
mod env;
mod load;
mod problem;
mod raw;
mod schema;
mod shape;
mod tree;
mod watch;

pub use load::{Loaded, load, read};
pub use problem::{Errors, Problem};
pub use schema::schema;
pub use watch::{Watcher, watch};
