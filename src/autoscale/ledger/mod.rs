//! What was decided, from what, and what came of it: written down before the platform is called, and computed again at will.
//!
//! The ledger knows nothing of how it is decided but the types and [`decide`](super::decide()) itself. Entries are JSON in logs of the history store; what
//! is asked for often is in memory too. Whether something is worth an entry is said here ([`is_news`]), but it is the loop that asks.

mod entry;
mod news;
mod replay;
mod shared;

pub use entry::{Carried, Draft, Entry, Upshot};
pub use news::is_news;
pub use replay::{Difference, replay};
pub use shared::Ledger;

#[cfg(test)]
pub(in crate::autoscale) mod testing;
