//! Whether a request is tried again, after how long, and how much of a route's traffic that may be.
//!
//! Three small machines that know nothing of each other; `pool` puts them together. What they do not do: wait, send, or keep a body for the
//! next attempt.

mod budget;
mod delays;
mod judge;
mod tally;

pub use budget::{Budget, Report};
pub use delays::{Delays, honour};
pub use judge::{Event, Skip, is_idempotent, is_safe, matches};
pub use tally::{Retries, Tally};
