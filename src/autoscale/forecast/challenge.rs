//! Which model is best, by what each would have said in the last day. Pure.
//!
//! A rolling-origin evaluation (Tashman 2000, "Out-of-sample tests of forecasting accuracy"): at each of many moments of the last day every
//! model is fitted to what was known then, and compared with what came. Errors are absolute ones, so that a model is not chosen for what it says of
//! a few peaks; they are shown as MASE too, by which series of different size compare. Where two are equal, the plainer one wins. The winner's
//! errors at each distance say how much more may come than it says: no distribution is assumed.

use serde::{Deserialize, Serialize};

use super::model::{Model, Seasons};

/// One for each hour of a day.
const ORIGINS: usize = 24;

/// Errors that a quantile is taken from at least, where there are so many: enough for a 0.95.
const SAMPLES: usize = 40;

/// What models are tried on.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// The past.
    pub values: &'a [f64],
    /// The seasons that are looked for.
    pub seasons: Seasons,
    /// How many steps are tried: those of a day.
    pub day: usize,
    /// How many steps are forecast.
    pub steps: usize,
}

/// How the models did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Challenge {
    /// The best.
    pub winner: Model,
    /// All, the plainest first.
    pub scores: Vec<Score>,
    /// How many times each made a forecast.
    pub origins: usize,
    /// What came less what the winner said, for each step of the distance.
    residuals: Vec<Vec<f64>>,
}

/// How one model did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The model.
    pub model: Model,
    /// Mean absolute error, in units of the signal.
    pub mae: f64,
    /// The same over the mean absolute error of seasonal naive forecasts within the past; `None` where that has none.
    pub mase: Option<f64>,
    /// The sum of absolute errors over the sum of what came; `None` where nothing came.
    pub wape: Option<f64>,
}

impl Challenge {
    /// Lets the models compete.
    pub fn hold(trial: &Trial<'_>) -> Self {
        let origins = trial.origins();
        let scale = scale(trial.values.get(..trial.first()).unwrap_or_default(), trial.seasons);
        let mut scores = Vec::new();
        let mut best: Option<(Score, Vec<Vec<f64>>)> = None;
        for model in Model::candidates(trial.seasons, trial.values.len()) {
            let residuals = trial.residuals(model, &origins);
            let score = trial.score(model, &residuals, &origins, scale);
            scores.push(score);
            if best.as_ref().is_none_or(|(best, _)| score.mae < best.mae) {
                best = Some((score, residuals));
            }
        }
        let (winner, residuals) = best.map_or((Model::LastValue, Vec::new()), |(score, residuals)| (score.model, residuals));
        Self { winner, scores, origins: origins.len(), residuals }
    }

    /// Returns how the winner did.
    pub fn best(&self) -> Option<Score> {
        self.scores.iter().find(|score| score.model == self.winner).copied()
    }

    /// Returns how much more came than the winner said at this distance (in steps, the first is 0), in `quantile` of the cases; less when negative.
    ///
    /// The rank is the one of split conformal prediction (Lei et al. 2018, section 2.2), which holds for a finite number of cases. Where one distance has too few, its neighbours' count too.
    pub fn margin(&self, distance: usize, quantile: f64) -> f64 {
        let distance = distance.min(self.residuals.len().saturating_sub(1));
        let mut near = Vec::new();
        for reach in 0..self.residuals.len().max(1) {
            let (from, to) = (distance.saturating_sub(reach), (distance + reach + 1).min(self.residuals.len()));
            near = self.residuals.get(from..to).into_iter().flatten().flatten().copied().collect();
            if near.len() >= SAMPLES {
                break;
            }
        }
        near.sort_unstable_by(f64::total_cmp);
        let rank = ((near.len() + 1) as f64 * quantile.clamp(0.0, 1.0)).ceil();
        // A float to integer cast saturates; the rank is at most one more than there are.
        let index = (rank as usize).saturating_sub(1).min(near.len().saturating_sub(1));
        near.get(index).copied().unwrap_or_default()
    }
}

impl Trial<'_> {
    /// Where the last day begins, or the second half of what is shorter than two.
    fn first(&self) -> usize {
        self.values.len() - self.day.min(self.values.len() / 2)
    }

    /// How far forecasts are tried: the horizon, or half of what there is to try them on.
    fn reach(&self) -> usize {
        self.steps.min((self.values.len() - self.first()) / 2)
    }

    /// The moments at which forecasts are made, by how many values are known then, evenly spaced up to the last whose steps have all come.
    fn origins(&self) -> Vec<usize> {
        let (first, reach) = (self.first(), self.reach());
        if reach == 0 {
            return Vec::new();
        }
        let span = self.values.len() - reach - first;
        let count = ORIGINS.min(span + 1);
        // From the last backwards, so that one alone is the last.
        (0..count).rev().map(|turn| first + span - (span * turn).checked_div(count - 1).unwrap_or(0)).collect()
    }

    /// What came less what the model said, for each step of the distance one list, with one entry for each origin.
    fn residuals(&self, model: Model, origins: &[usize]) -> Vec<Vec<f64>> {
        let mut residuals = vec![Vec::with_capacity(origins.len()); self.reach()];
        for &origin in origins {
            let (known, coming) = self.values.split_at(origin);
            let said = model.run(known, self.seasons, residuals.len()).values;
            for ((list, said), came) in residuals.iter_mut().zip(said).zip(coming) {
                list.push(came - said);
            }
        }
        residuals
    }

    fn score(&self, model: Model, residuals: &[Vec<f64>], origins: &[usize], scale: Option<f64>) -> Score {
        let errors = residuals.iter().flatten().map(|error| error.abs());
        let mae = mean(errors).unwrap_or_default();
        let came = mean(origins.iter().flat_map(|origin| self.values.iter().skip(*origin).take(residuals.len())).copied());
        Score { model, mae, mase: scale.map(|scale| mae / scale), wape: came.filter(|came| *came > 0.0).map(|came| mae / came) }
    }
}

/// The mean absolute error of seasonal naive forecasts within the past, by the shortest season that fits in it; of the value before, where none does.
///
/// What errors are divided by in MASE: Hyndman and Koehler 2006, "Another look at measures of forecast accuracy", section 3; for seasonal series
/// with the seasonal naive method, Forecasting: Principles and Practice, section 5.8.
pub(super) fn scale(values: &[f64], seasons: Seasons) -> Option<f64> {
    let fits = |season: &usize| *season < values.len();
    let season = [seasons.daily, seasons.weekly].into_iter().flatten().find(fits).unwrap_or(1);
    let before = values.iter();
    let after = values.get(season..)?;
    mean(after.iter().zip(before).map(|(after, before)| (after - before).abs())).filter(|scale| *scale > 0.0)
}

/// The mean, one by one so that huge values do not become infinite on the way.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut mean = None;
    for (index, value) in values.enumerate() {
        let before = mean.unwrap_or(0.0);
        mean = Some(before + (value - before) / (index + 1) as f64);
    }
    mean
}

#[cfg(test)]
mod tests;
