//! The models, from the plainest to the richest, and what each says of the steps to come. Pure.
//!
//! MSTL (Bandara, Hyndman and Bergmeir 2021, arXiv:2107.13462) takes the seasons out, exponential smoothing (Hyndman et al. 2002, with the
//! trend chosen by AICc) carries on what is left, and the seasons are put back. Both are `augurs`'. It is asked with values between 0 and 1
//! only, and never with a constant series, where its likelihoods have no minimum: what it refuses, or answers with what is no number, the next
//! plainer model says. The plainest, the last value, never fails.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use augurs::ets::AutoETS;
use augurs::mstl::stlrs::MstlParams;
use augurs::mstl::{FittedTrendModel, MSTLModel, TrendModel};
use augurs::{Fit, Predict};
use serde::{Deserialize, Serialize};

use super::series::millis;
use crate::model;

/// A day of the usual steps: smoothing has forgotten what is older, and its cost grows with the length.
const SMOOTHED_POINTS: usize = 288;

/// Seasons that a decomposition looks at: more would cost more than they teach.
const DAYS: usize = 14;
const WEEKS: usize = 5;

/// How many seasons the smoother of a season spans: more than are looked at, so that each time of day is nearly the mean of its kind. The usual
/// 11 and 15 follow noise; over series of many shapes this was better, or as good (`docs/forecast.md`).
const SEASON_SMOOTHER: usize = 35;

/// A forecast goes no higher than this many times what was ever seen: beyond, it is a trend that ran away.
const CEILING: f64 = 2.0;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

type Refused = Box<dyn Error + Send + Sync>;

/// How the next steps are told from the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// All will be as it was last: no forecast at all.
    LastValue,
    /// As it was at this time yesterday.
    SeasonalNaiveDaily,
    /// As it was at this time a week ago.
    SeasonalNaiveWeekly,
    /// Exponential smoothing, without season.
    Ets,
    /// A daily season, and exponential smoothing of what is left.
    MstlDaily,
    /// A weekly season, and exponential smoothing of what is left.
    MstlWeekly,
    /// Both seasons, and exponential smoothing of what is left.
    MstlDailyWeekly,
}

/// How many steps the seasons have that are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seasons {
    /// Steps of a day.
    pub daily: Option<usize>,
    /// Steps of a week.
    pub weekly: Option<usize>,
}

/// What a model says.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The model that said it: another than was asked where that could not be fitted.
    pub model: Model,
    /// One value for each step to come; finite, and never negative.
    pub values: Vec<f64>,
}

impl Seasons {
    /// The seasons that the terms ask for, in steps of this length; none where a step does not divide the day.
    pub fn of(terms: &model::Forecast, step: Duration) -> Self {
        let day = day(step);
        Self { daily: day.filter(|_| terms.daily), weekly: day.map(|day| day * 7).filter(|_| terms.weekly) }
    }
}

/// Returns how many steps a day has, at least 2; `None` when it is no whole number.
pub(super) fn day(step: Duration) -> Option<usize> {
    let step = millis(step);
    let whole = step > 0 && DAY_MS.is_multiple_of(step) && DAY_MS / step >= 2;
    whole.then(|| usize::try_from(DAY_MS / step).ok()).flatten()
}

impl Model {
    /// Returns the word for metrics, logs and the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LastValue => "last_value",
            Self::SeasonalNaiveDaily => "seasonal_naive_daily",
            Self::SeasonalNaiveWeekly => "seasonal_naive_weekly",
            Self::Ets => "ets",
            Self::MstlDaily => "mstl_daily",
            Self::MstlWeekly => "mstl_weekly",
            Self::MstlDailyWeekly => "mstl_daily_weekly",
        }
    }

    /// The models that a series of so many points allows, the plainest first: a season needs two of its kind.
    pub fn candidates(seasons: Seasons, points: usize) -> Vec<Self> {
        let twice = |season: Option<usize>| season.is_some_and(|season| points / 2 >= season);
        let (daily, weekly) = (twice(seasons.daily), twice(seasons.weekly));
        let allowed = [
            (Self::LastValue, true),
            (Self::SeasonalNaiveDaily, daily),
            (Self::SeasonalNaiveWeekly, weekly),
            (Self::Ets, true),
            (Self::MstlDaily, daily),
            (Self::MstlWeekly, weekly && !daily),
            (Self::MstlDailyWeekly, daily && weekly),
        ];
        allowed.into_iter().filter_map(|(model, is_allowed)| is_allowed.then_some(model)).collect()
    }

    /// Says the next `steps` values; when it cannot, a plainer model does.
    pub fn run(self, values: &[f64], seasons: Seasons, steps: usize) -> Run {
        let mut model = self;
        loop {
            if let Some(values) = model.tried(values, seasons, steps) {
                return Run { model, values };
            }
            let Some(next) = model.plainer() else { return Run { model, values: vec![0.0; steps] } };
            model = next;
        }
    }

    const fn plainer(self) -> Option<Self> {
        match self {
            Self::MstlDailyWeekly => Some(Self::MstlDaily),
            Self::MstlDaily | Self::MstlWeekly => Some(Self::Ets),
            Self::SeasonalNaiveWeekly => Some(Self::SeasonalNaiveDaily),
            Self::Ets | Self::SeasonalNaiveDaily => Some(Self::LastValue),
            Self::LastValue => None,
        }
    }

    fn tried(self, values: &[f64], seasons: Seasons, steps: usize) -> Option<Vec<f64>> {
        match self {
            Self::LastValue => values.last().map(|last| vec![*last; steps]),
            Self::SeasonalNaiveDaily => again(values, seasons.daily?, steps),
            Self::SeasonalNaiveWeekly => again(values, seasons.weekly?, steps),
            Self::Ets => scaled(values, steps, smooth),
            Self::MstlDaily => decomposed(end(values, seasons.daily?, DAYS), vec![seasons.daily?], steps),
            Self::MstlWeekly => decomposed(end(values, seasons.weekly?, WEEKS), vec![seasons.weekly?], steps),
            Self::MstlDailyWeekly => decomposed(end(values, seasons.weekly?, WEEKS), vec![seasons.daily?, seasons.weekly?], steps),
        }
    }
}

/// What was a season ago (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, section 5.2).
fn again(values: &[f64], season: usize, steps: usize) -> Option<Vec<f64>> {
    let last = values.get(values.len().checked_sub(season)?..).filter(|last| !last.is_empty())?;
    Some(last.iter().copied().cycle().take(steps).collect())
}

/// The last `count` seasons.
fn end(values: &[f64], season: usize, count: usize) -> &[f64] {
    recent(values, season.saturating_mul(count))
}

fn recent(values: &[f64], points: usize) -> &[f64] {
    values.get(values.len().saturating_sub(points)..).unwrap_or(values)
}

fn decomposed(values: &[f64], periods: Vec<usize>, steps: usize) -> Option<Vec<f64>> {
    if periods.iter().any(|period| *period < 2 || values.len() / 2 < *period) {
        return None;
    }
    scaled(values, steps, |values, steps| {
        let mut params = MstlParams::new();
        params.seasonal_lengths(&vec![SEASON_SMOOTHER; periods.len()]);
        let fitted = MSTLModel::new(periods, Smoothing).mstl_params(params).fit(values)?;
        Ok(fitted.predict(steps, None)?.point)
    })
}

/// Asks with values between 0 and 1, and looks at what comes back.
fn scaled(values: &[f64], steps: usize, ask: impl FnOnce(&[f64], usize) -> Result<Vec<f64>, Refused>) -> Option<Vec<f64>> {
    let most = values.iter().copied().fold(0.0, f64::max);
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    if !(most.is_finite() && most > 0.0 && least >= 0.0 && least < most) {
        return None;
    }
    let shares: Vec<_> = values.iter().map(|value| value / most).collect();
    let said = ask(&shares, steps).ok()?;
    let is_good = said.len() == steps && said.iter().all(|share| share.is_finite());
    is_good.then(|| said.into_iter().map(|share| (share.clamp(0.0, CEILING) * most).min(f64::MAX)).collect())
}

fn smooth(values: &[f64], steps: usize) -> Result<Vec<f64>, Refused> {
    // Additive errors: multiplicative ones forecast the same points without a season, and cannot be fitted to a zero.
    Ok(AutoETS::new(1, "AZN")?.fit(recent(values, SMOOTHED_POINTS))?.predict(steps, None)?.point)
}

/// Smoothing of the last points of what is left without the seasons.
#[derive(Debug)]
struct Smoothing;

impl TrendModel for Smoothing {
    fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed("ets")
    }

    fn fit(&self, values: &[f64]) -> Result<Box<dyn FittedTrendModel + Sync + Send>, Refused> {
        AutoETS::new(1, "AZN")?.into_trend_model().fit(recent(values, SMOOTHED_POINTS))
    }
}

#[cfg(test)]
mod tests;
