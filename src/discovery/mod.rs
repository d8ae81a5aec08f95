//! Where endpoints come from: the file, names that stand for many addresses, platforms.
//!
//! Runs on the control runtime; workers only wait for its answers. What is deliberately not here: what happens to endpoints that come
//! and go (`registry`).

mod dns;
mod kubernetes;
mod merge;
mod names;
mod replicas;
mod watch;

pub use dns::{Addresses, ResolveError, Resolver};
pub use merge::{Found, merge};
pub use watch::{Sources, Watch, watch};
