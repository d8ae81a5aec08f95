//! Where endpoints come from: the file, and names that stand for many addresses.
//!
//! Runs on the control runtime; workers only wait for its answers. What is deliberately not here: what happens to endpoints that come
//! and go (`registry`).

mod dns;
mod merge;
mod watch;

pub use dns::{Addresses, ResolveError, Resolver};
pub use merge::merge;
pub use watch::{Watch, watch};
