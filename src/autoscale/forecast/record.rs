//! What forecasts said and what came, and whether they are worth following. Pure.
//!
//! Kept as they were made, for the time that they were made for: the start-up time of a replica ahead, since that is what is acted on. When in
//! the last day they were further off, in replicas, than to suppose that all stays as it is, the forecast is demoted: it is made and shown, and
//! nobody follows it. It comes back when a whole day has gone by since, and the forecasts of that day were better.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::challenge::mean;
use super::outlook::replicas;
use super::series::Series;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Two hours of the usual steps: fewer say nothing.
const MIN_OUTCOMES: usize = 24;

/// Some more than a day of steps of a minute, so that finer ones do not fill the memory.
const MAX_KEPT: usize = 2000;

/// One forecast as it was made, and what came.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// The beginning of the step that it was made for, milliseconds since 1970.
    pub unix_ms: i64,
    /// What it said.
    pub said: f64,
    /// The last value when it was made: what would have been supposed without it.
    pub last: f64,
    /// What came; `None` as long as it has not, or was not seen.
    pub came: Option<f64>,
}

/// How far off the forecasts of the last day were.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lately {
    /// Mean absolute error of the forecasts, in replicas.
    pub error: f64,
    /// The same of supposing that all stays as it is.
    pub error_without: f64,
    /// How many forecasts could be compared.
    pub outcomes: usize,
}

/// The forecasts of the last day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    made: VecDeque<Made>,
    demoted_unix_ms: Option<i64>,
}

impl Record {
    /// Writes a forecast down; one for the same step replaces the one before.
    pub fn note(&mut self, made: Made) {
        self.made.retain(|other| other.unix_ms != made.unix_ms);
        self.made.push_back(made);
    }

    /// Looks up what came, forgets what is older than a day, and judges. `target` is how much of the signal a replica is for.
    pub fn judge(&mut self, series: &Series, target: f64, now_unix_ms: i64) -> Option<Lately> {
        for made in self.made.iter_mut().filter(|made| made.came.is_none()) {
            made.came = series.at(made.unix_ms);
        }
        // What is more than a day ahead was written before the clock was set back.
        self.made.retain(|made| made.unix_ms.abs_diff(now_unix_ms) <= DAY_MS.unsigned_abs());
        while self.made.len() > MAX_KEPT {
            self.made.pop_front();
        }
        let lately = self.lately(target)?;
        match self.demoted_unix_ms {
            None if lately.error > lately.error_without => self.demoted_unix_ms = Some(now_unix_ms),
            Some(since) if now_unix_ms.abs_diff(since) >= DAY_MS.unsigned_abs() && lately.error < lately.error_without => {
                self.demoted_unix_ms = None;
            }
            _ => {}
        }
        Some(lately)
    }

    /// Tells whether nobody should follow.
    pub fn is_demoted(&self) -> bool {
        self.demoted_unix_ms.is_some()
    }

    /// Returns what was said and what came, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Made> {
        self.made.iter()
    }

    fn lately(&self, target: f64) -> Option<Lately> {
        let outcomes: Vec<_> = self.made.iter().filter_map(|made| Some((made, replicas(made.came?, target)))).collect();
        let off = |supposed: f64, came: u32| f64::from(replicas(supposed, target).abs_diff(came));
        Some(Lately {
            error: mean(outcomes.iter().map(|(made, came)| off(made.said, *came)))?,
            error_without: mean(outcomes.iter().map(|(made, came)| off(made.last, *came)))?,
            outcomes: outcomes.len(),
        })
        .filter(|lately| lately.outcomes >= MIN_OUTCOMES)
    }
}

#[cfg(test)]
mod tests;
