//! A forecast as it is shown, and how many replicas follow from it. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::challenge::Score;
use super::model::Model;
use super::record::Lately;
use super::series::{at, millis};
use crate::autoscale::decide::Outlook;
use crate::model::{ScaleRule, Signal, Terms};

/// A hair less than a whole replica more, so that a quotient's rounding error orders none.
const EPSILON: f64 = 1e-6;

/// An older forecast is none: three of the usual steps without a new one.
const MAX_AGE_STEPS: usize = 3;

/// What is expected of one signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// When it was made, milliseconds since 1970.
    pub made_unix_ms: i64,
    /// How long its steps are.
    pub step_ms: u64,
    /// Which model says so; `None` when there is no forecast.
    pub model: Option<Model>,
    /// How far it can be trusted, a ratio: 1 less the winner's errors over what came, in the back-test over the last day.
    pub confidence: f64,
    /// What is expected, step by step; empty when there is no forecast.
    pub steps: Vec<Step>,
    /// How the winner did in the back-test.
    pub error: Option<Errors>,
    /// How all did, the plainest first.
    pub scores: Vec<Score>,
    /// How far off the forecasts of the last day were; `None` as long as too few can be compared.
    pub lately: Option<Lately>,
    /// Whether nobody should follow it, as the last day's forecasts were worse than none.
    pub demoted: bool,
    /// One sentence for people: how it came about, or why there is none.
    pub reason: String,
}

/// What is expected of one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its beginning, milliseconds since 1970.
    pub unix_ms: i64,
    /// What the model says.
    pub value: f64,
    /// What is prepared for: no more comes in the share of cases that the terms name.
    pub upper: f64,
}

/// How the winner did in the back-test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Mean absolute error, in units of the signal.
    pub mae: f64,
    /// Mean absolute scaled error.
    pub mase: Option<f64>,
    /// The sum of absolute errors over the sum of what came.
    pub wape: Option<f64>,
    /// How many forecasts were tried.
    pub origins: usize,
}

/// Returns how many replicas the forecasts ask for, from the time when a replica that is ordered now would serve to the horizon.
///
/// `None` when there is no forecast that is fresh, or the last value is the best: that is what the policies know by themselves. Of several the largest
/// that may be followed counts; when none may, the largest, to be shown.
pub fn outlook(forecasts: &BTreeMap<Signal, Forecast>, terms: &Terms, startup: Duration, now_unix_ms: i64) -> Option<Outlook> {
    let look = terms.forecast.as_ref()?;
    let from = now_unix_ms.saturating_add_unsigned(millis(startup));
    let until = now_unix_ms.saturating_add_unsigned(millis(look.horizon.max(startup)));
    let of_policy = |(signal, target): (&Signal, f64)| {
        let forecast = forecasts.get(signal).filter(|forecast| forecast.is_fresh(now_unix_ms))?;
        let model = forecast.model.filter(|model| *model != Model::LastValue)?;
        let peak = forecast.within(from, until).max_by(|a, b| a.upper.total_cmp(&b.upper).then(b.unix_ms.cmp(&a.unix_ms)))?;
        Some(Outlook {
            replicas: replicas(peak.upper, target),
            confidence: forecast.confidence,
            peak_unix_ms: peak.unix_ms,
            model: model.as_str().to_owned(),
            is_demoted: forecast.demoted,
        })
    };
    let rank = |outlook: &Outlook| (!outlook.is_demoted && outlook.confidence >= look.confidence, outlook.replicas);
    targets(terms).filter_map(of_policy).max_by_key(rank)
}

/// The signals that are forecast, with how much of each a replica is for.
pub(super) fn targets(terms: &Terms) -> impl Iterator<Item = (&Signal, f64)> {
    terms.policies.iter().filter_map(|policy| match &policy.rule {
        ScaleRule::Target { meter, target } if matches!(meter.signal, Signal::Concurrency | Signal::RequestRate) => {
            Some((&meter.signal, *target))
        }
        _ => None,
    })
}

/// Returns how many replicas so much of a signal needs.
pub(super) fn replicas(value: f64, target: f64) -> u32 {
    if target > 0.0 {
        // A cast from float saturates, and makes nothing of what is no number.
        (value / target - EPSILON).ceil().max(0.0) as u32
    } else {
        0
    }
}

impl Forecast {
    /// No forecast, and why.
    pub(super) fn none(now_unix_ms: i64, step: Duration, reason: String) -> Self {
        Self {
            made_unix_ms: now_unix_ms,
            step_ms: millis(step),
            model: None,
            confidence: 0.0,
            steps: Vec::new(),
            error: None,
            scores: Vec::new(),
            lately: None,
            demoted: false,
            reason,
        }
    }

    fn is_fresh(&self, now_unix_ms: i64) -> bool {
        let oldest = at(self.made_unix_ms, Duration::from_millis(self.step_ms), MAX_AGE_STEPS);
        now_unix_ms <= oldest
    }

    /// The steps that have a part within these bounds.
    fn within(&self, from_unix_ms: i64, until_unix_ms: i64) -> impl Iterator<Item = &Step> {
        let over = move |step: &Step| step.unix_ms.saturating_add_unsigned(self.step_ms) <= from_unix_ms;
        self.steps.iter().filter(move |step| !over(step) && step.unix_ms <= until_unix_ms)
    }
}

#[cfg(test)]
mod tests;
