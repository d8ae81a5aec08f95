//! Whether endpoints are well: active checks, ejection of outliers, the clock of the breakers, self-healing.
//!
//! Runs on the control side. Its verdicts reach workers as availability bits of `endpoint`, never by calls.

mod active;
mod ejection;
mod guard;
mod heal;
mod monitor;
mod passive;
mod schedule;
mod verdict;

#[cfg(test)]
mod testing;

pub use ejection::Ejection;
pub use guard::{Alarm, Guard, Judge, Rounds};
pub use heal::{Outside, Repair, Webhook, WebhookError};
pub use monitor::{CheckReport, Counters, EndpointReport, HealReport, Monitor, Plan, Report, Summary, Watch, Watched};
pub use passive::{Sample, Sampler};
pub use schedule::{first as first_check, next as next_check};
pub use verdict::{Change, Checked, Entry, Finding, First, HISTORY, Standing, Verdict};
