//! The forecasts of one pool, kept current. Pure.
//!
//! Every step the model that won last is fitted anew to all that is known; every hour all models compete again. What it knows beside the
//! past is small and can be written down and read back: which model won and by how much, and what was said and came in the last day.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::challenge::{Challenge, Trial};
use super::model::{Model, Seasons, day};
use super::outlook::{Errors, Forecast, Step, outlook, targets};
use super::record::{Made, Record};
use super::series::{Filled, Series, at, millis};
use crate::autoscale::decide::Outlook;
use crate::model::{self, Signal, Terms};

/// How often all models compete.
const CHALLENGE_MS: u64 = 60 * 60 * 1000;

/// The most steps that are forecast, whatever the horizon: a day of the usual ones.
const MAX_STEPS: usize = 288;

/// The forecasts of one pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forecaster {
    tracks: BTreeMap<Signal, Track>,
}

/// What a forecast follows from, beside the past.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// How the pool is sized.
    pub terms: &'a Terms,
    /// How long a replica takes to serve, as measured.
    pub startup: Duration,
    /// Milliseconds since 1970.
    pub now_unix_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Track {
    forecast: Forecast,
    challenge: Option<Held>,
    record: Record,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Held {
    unix_ms: i64,
    seasons: Seasons,
    steps: usize,
    challenge: Challenge,
}

impl Forecaster {
    /// Returns the signals that forecasts are made of: those of policies with a target, if they are concurrency or the request rate.
    pub fn signals(terms: &Terms) -> Vec<Signal> {
        let mut signals: Vec<_> = terms.forecast.iter().flat_map(|_| targets(terms)).map(|(signal, _)| signal.clone()).collect();
        signals.sort_unstable();
        signals.dedup();
        signals
    }

    /// Tells whether it is time for an update of this signal: when there is none yet, a step has gone by, or the clock was set back.
    pub fn due(&self, signal: &Signal, now_unix_ms: i64) -> bool {
        self.tracks.get(signal).is_none_or(|track| is_over(track.forecast.made_unix_ms, track.forecast.step_ms, now_unix_ms))
    }

    /// Makes a forecast of a signal from its past; costs milliseconds, and once an hour, in the challenge, about half a second.
    ///
    /// Does nothing when the terms have no forecast, or no target for this signal.
    pub fn update(&mut self, signal: &Signal, series: &Series, context: &Context<'_>) {
        let Some(look) = &context.terms.forecast else { return };
        let least = targets(context.terms).filter(|(of, _)| *of == signal).map(|(_, target)| target).min_by(f64::total_cmp);
        let Some(target) = least else { return };
        let mut track = self.tracks.remove(signal).unwrap_or_else(|| Track::new(series.step, context.now_unix_ms));
        track.update(&Turn { series, context, look, target });
        self.tracks.insert(signal.clone(), track);
    }

    /// Forgets the forecasts of signals that no policy is about any more.
    pub fn retain(&mut self, terms: &Terms) {
        let signals = Self::signals(terms);
        self.tracks.retain(|signal, _| signals.contains(signal));
    }

    /// Returns the forecasts as they were made last.
    pub fn forecasts(&self) -> BTreeMap<Signal, Forecast> {
        self.tracks.iter().map(|(signal, track)| (signal.clone(), track.forecast.clone())).collect()
    }

    /// Returns what was said of a signal in the last day and what came, the oldest first.
    pub fn past(&self, signal: &Signal) -> impl Iterator<Item = &Made> {
        self.tracks.get(signal).into_iter().flat_map(|track| track.record.iter())
    }

    /// Returns how many replicas the forecasts ask for; see [`outlook()`].
    pub fn outlook(&self, context: &Context<'_>) -> Option<Outlook> {
        outlook(&self.forecasts(), context.terms, context.startup, context.now_unix_ms)
    }
}

struct Turn<'a> {
    series: &'a Series,
    context: &'a Context<'a>,
    look: &'a model::Forecast,
    target: f64,
}

impl Turn<'_> {
    /// How many steps it takes to the horizon, and at least until a replica serves.
    fn steps(&self) -> usize {
        let ahead = millis(self.look.horizon.max(self.context.startup));
        let steps = ahead.checked_div(millis(self.series.step)).unwrap_or(0).saturating_add(1);
        usize::try_from(steps).unwrap_or(MAX_STEPS).min(MAX_STEPS)
    }
}

impl Track {
    fn new(step: Duration, now_unix_ms: i64) -> Self {
        Self { forecast: Forecast::none(now_unix_ms, step, String::new()), challenge: None, record: Record::default() }
    }

    fn update(&mut self, turn: &Turn<'_>) {
        let now = turn.context.now_unix_ms;
        let lately = self.record.judge(turn.series, turn.target, now);
        let seasons = Seasons::of(turn.look, turn.series.step);
        self.forecast = match turn.series.filled(seasons) {
            Ok(filled) => self.forecast(turn, &filled, seasons),
            Err(refusal) => Forecast::none(now, turn.series.step, refusal.to_string()),
        };
        self.forecast.lately = lately;
        self.forecast.demoted = self.record.is_demoted();
        self.note(turn);
    }

    fn forecast(&mut self, turn: &Turn<'_>, filled: &Filled, seasons: Seasons) -> Forecast {
        let (now, step, steps) = (turn.context.now_unix_ms, turn.series.step, turn.steps());
        let held = match self.challenge.take() {
            Some(held) if held.is_good(seasons, steps, now) => held,
            _ => {
                let day = day(step).unwrap_or(filled.values.len());
                let challenge = Challenge::hold(&Trial { values: &filled.values, seasons, day, steps });
                Held { unix_ms: now, seasons, steps, challenge }
            }
        };
        let challenge = &self.challenge.insert(held).challenge;
        let run = challenge.winner.run(&filled.values, seasons, steps);
        let end = turn.series.end_unix_ms();
        let step_of = |(index, value): (usize, f64)| Step {
            unix_ms: at(end, step, index),
            value,
            upper: (value + challenge.margin(index, turn.look.quantile)).clamp(0.0, f64::MAX),
        };
        Forecast {
            made_unix_ms: now,
            step_ms: millis(step),
            model: Some(run.model),
            confidence: confidence(challenge),
            steps: run.values.into_iter().enumerate().map(step_of).collect(),
            error: challenge.best().map(|score| Errors {
                mae: score.mae,
                mase: score.mase,
                wape: score.wape,
                origins: challenge.origins,
            }),
            scores: challenge.scores.clone(),
            lately: None,
            demoted: false,
            reason: reason(challenge, run.model, filled),
        }
    }

    /// Writes down what is said of the time when a replica that is ordered now would serve.
    fn note(&mut self, turn: &Turn<'_>) {
        let serves = turn.context.now_unix_ms.saturating_add_unsigned(millis(turn.context.startup));
        let lasts = self.forecast.step_ms;
        let step = self.forecast.steps.iter().find(|step| step.unix_ms.saturating_add_unsigned(lasts) > serves);
        let last = turn.series.values.iter().rev().copied().flatten().find(|value| value.is_finite());
        if let (Some(step), Some(last)) = (step, last) {
            self.record.note(Made { unix_ms: step.unix_ms, said: step.value, last, came: None });
        }
    }
}

impl Held {
    fn is_good(&self, seasons: Seasons, steps: usize, now_unix_ms: i64) -> bool {
        self.seasons == seasons && self.steps == steps && !is_over(self.unix_ms, CHALLENGE_MS, now_unix_ms)
    }
}

/// Tells whether so much time has gone by, or the clock was set back.
fn is_over(since_unix_ms: i64, lasts_ms: u64, now_unix_ms: i64) -> bool {
    now_unix_ms < since_unix_ms || now_unix_ms >= since_unix_ms.saturating_add_unsigned(lasts_ms)
}

/// What is left of 1 when the winner's errors over what came are taken off. Where nothing came, it was right or it was not.
fn confidence(challenge: &Challenge) -> f64 {
    let Some(best) = challenge.best() else { return 0.0 };
    let off = best.wape.unwrap_or(if best.mae == 0.0 { 0.0 } else { 1.0 });
    if challenge.origins == 0 { 0.0 } else { (1.0 - off).clamp(0.0, 1.0) }
}

fn reason(challenge: &Challenge, model: Model, filled: &Filled) -> String {
    let mut reason = format!(
        "{} was best of {} in {} forecasts of the last day",
        challenge.winner.as_str(),
        challenge.scores.len(),
        challenge.origins
    );
    if model != challenge.winner {
        reason += &format!("; it could not be fitted now, so {} says it", model.as_str());
    }
    let invented = filled.values.len() - filled.measured;
    if invented > 0 {
        reason += &format!("; {invented} of {} points were filled in", filled.values.len());
    }
    reason
}

#[cfg(test)]
mod tests;
