//! What scaling has done over a time, whether it helped, what it cost, and what could be better. Pure.
//!
//! A report is made of the ledger's entries and of history; it measures nothing itself, and changes nothing.

mod advice;
mod events;
mod evidence;
mod usage;
mod whole;

pub use advice::{Advice, Recommendation};
pub use events::{Counts, Hour, PolicyReport, Waits};
pub use evidence::Evidence;
pub use usage::Usage;
pub use whole::{PoolReport, Report};

#[cfg(test)]
mod tests;
