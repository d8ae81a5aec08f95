//! Whether endpoints are well: active checks, ejection of outliers, the clock of the breakers, self-healing.
//!
//! Runs on the control side. Its verdicts reach workers as availability bits of `endpoint`, never by calls.

mod active;
mod exchange;
mod schedule;
mod verdict;

#[cfg(test)]
mod testing;

pub use verdict::{Change, Checked, Entry, Finding, First, HISTORY, Standing, Verdict};
