//! From a YAML file to a snapshot.

mod env;
mod problem;
mod tree;

pub use problem::{Errors, Problem};
