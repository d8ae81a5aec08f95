//! What a breaker tells of itself. Pure.
//!
//! Values and their words; decides nothing.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::kit::clock::Tick;
use crate::model::Reason;

use super::State;

/// Why an attempt counts as the endpoint's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The attempt ended before the answer did.
    Reason(Reason),
    /// The answer's status says so.
    Status(u16),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reason(reason) => f.write_str(reason.as_str()),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// So many attempts failed in a row.
    ConsecutiveFailures {
        /// How many.
        count: u32,
        /// How the last one failed.
        last: Cause,
    },
    /// Too few attempts of the window succeeded.
    SuccessRate {
        /// Successes over attempts.
        rate: f64,
        /// The attempts.
        attempts: u64,
        /// How the last one failed.
        last: Cause,
    },
    /// The recovery time has passed.
    TimeHasPassed,
    /// A probe failed.
    ProbeFailed(Cause),
    /// So many probes in a row succeeded.
    ProbesSucceeded(u32),
    /// An operator has closed it.
    Operator,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsecutiveFailures { count, last } => write!(f, "{count} consecutive failures, the last: {last}"),
            Self::SuccessRate { rate, attempts, last } => {
                write!(f, "success rate {rate:.3} over {attempts} attempts, the last failure: {last}")
            }
            Self::TimeHasPassed => f.write_str("the recovery time has passed"),
            Self::ProbeFailed(cause) => write!(f, "a probe failed: {cause}"),
            Self::ProbesSucceeded(count) => write!(f, "{count} consecutive probes succeeded"),
            Self::Operator => f.write_str("closed by an operator"),
        }
    }
}

/// One change of a breaker's state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transition {
    /// When it was.
    #[serde(skip)]
    pub at: Tick,
    /// The same as RFC 3339; `None` until [`Report::dated`] is told what time it is.
    pub time: Option<String>,
    /// How long ago that is, in seconds.
    pub age_seconds: f64,
    /// The state before.
    pub from: State,
    /// The state since.
    pub to: State,
    /// Why, in words.
    pub reason: String,
}

/// A breaker as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Its state.
    pub state: State,
    /// Seconds until it admits a probe; `None` when it is not open.
    pub open_for_seconds: Option<f64>,
    /// How often it has opened, from closed or again after a failed probe.
    pub opened_total: u64,
    /// Probes that it has admitted.
    pub probes_total: u64,
    /// Failures since the last success; stands still while it is not closed.
    pub consecutive_failures: u32,
    /// Successes over attempts in the window; `None` without any.
    pub success_rate: Option<f64>,
    /// Attempts in the window.
    pub attempts: u64,
    /// The last 20 changes, the oldest first.
    pub transitions: Vec<Transition>,
}

impl Report {
    /// Writes down the time of each change, which is `present` at `now`, as it would be if the clock had not been set since.
    #[must_use]
    pub fn dated(mut self, now: Tick, present: Timestamp) -> Self {
        for change in &mut self.transitions {
            let age = SignedDuration::try_from(now.since(change.at)).unwrap_or(SignedDuration::MAX);
            change.time = Some(format!("{:.3}", present.checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH)));
        }
        self
    }
}
