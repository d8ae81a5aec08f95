//! Who does worse than its peers, by the figures of one interval. Pure.
//!
//! Knows no past and no limits: who of them is really ejected is the ejector's to say.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use crate::model::Outlier;

use super::Sample;

/// Differences of success rates that are nothing but rounding.
const ROUNDING: f64 = 1e-9;

/// Why an endpoint is ejected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// So many attempts failed in a row.
    ConsecutiveFailures(u32),
    /// Its success rate is far below the pool's mean.
    SuccessRate {
        /// Its own, over the interval.
        rate: f64,
        /// The mean of the pool.
        mean: f64,
        /// What it would have needed.
        least: f64,
    },
    /// It is much slower than the pool's median.
    Latency {
        /// Its own median.
        median: Duration,
        /// The median of the pool's medians.
        pool: Duration,
    },
}

impl Why {
    /// Returns the word for logs and metric labels: `consecutive_failures`, `success_rate` or `latency`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::ConsecutiveFailures(_) => "consecutive_failures",
            Self::SuccessRate { .. } => "success_rate",
            Self::Latency { .. } => "latency",
        }
    }

    /// Orders the worst first: failures in a row, then success rates, then latencies.
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::ConsecutiveFailures(a), Self::ConsecutiveFailures(b)) => b.cmp(a),
            (Self::SuccessRate { rate: a, .. }, Self::SuccessRate { rate: b, .. }) => a.total_cmp(b),
            (Self::Latency { median: a, .. }, Self::Latency { median: b, .. }) => b.cmp(a),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::ConsecutiveFailures(_) => 0,
            Self::SuccessRate { .. } => 1,
            Self::Latency { .. } => 2,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsecutiveFailures(count) => write!(f, "{count} consecutive failures"),
            Self::SuccessRate { rate, mean, least } => {
                write!(f, "success rate {rate:.3} below {least:.3} at a mean of {mean:.3} in the pool")
            }
            Self::Latency { median, pool } => write!(f, "median latency {median:.1?} at a median of {pool:.1?} in the pool"),
        }
    }
}

/// Returns those of `members` (place in the pool, figures) that do worse than the settings allow, the worst first.
pub(super) fn suspects(settings: &Outlier, members: &[(usize, Sample)]) -> Vec<(usize, Why)> {
    let (rates, latency) = (Rates::of(settings, members), pool_latency(settings, members));
    let why = |sample: &Sample| {
        failures(settings, sample).or_else(|| rates?.judge(settings, sample)).or_else(|| slowness(settings, latency?, sample))
    };
    let mut suspects: Vec<_> = members.iter().filter_map(|(index, sample)| Some((*index, why(sample)?))).collect();
    // Stable, so that equals go in the pool's order.
    suspects.sort_by(|(_, a), (_, b)| a.compare(b));
    suspects
}

fn failures(settings: &Outlier, sample: &Sample) -> Option<Why> {
    let count = sample.consecutive_failures;
    (settings.consecutive_failures > 0 && count >= settings.consecutive_failures).then_some(Why::ConsecutiveFailures(count))
}

/// The mean of the success rates, and what is still good enough.
#[derive(Clone, Copy)]
struct Rates {
    mean: f64,
    least: f64,
}

impl Rates {
    fn of(settings: &Outlier, members: &[(usize, Sample)]) -> Option<Self> {
        let rates: Vec<_> = members.iter().filter_map(|(_, sample)| success_rate(settings, sample)).collect();
        let is_enough = !rates.is_empty() && rates.len() as u64 >= u64::from(settings.success_rate_endpoints);
        if settings.success_rate_deviations <= 0.0 || !is_enough {
            return None;
        }
        let count = rates.len() as f64;
        let mean = rates.iter().sum::<f64>() / count;
        // Of the population, as Envoy has it: the endpoints are all there are, not a sample of more.
        let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / count;
        Some(Self { mean, least: mean - settings.success_rate_deviations * variance.sqrt() })
    }

    fn judge(self, settings: &Outlier, sample: &Sample) -> Option<Why> {
        let Self { mean, least } = self;
        let rate = success_rate(settings, sample)?;
        (rate < least - ROUNDING).then_some(Why::SuccessRate { rate, mean, least })
    }
}

fn success_rate(settings: &Outlier, sample: &Sample) -> Option<f64> {
    let is_enough = sample.attempts > 0 && sample.attempts >= u64::from(settings.success_rate_attempts);
    is_enough.then(|| (sample.successes as f64 / sample.attempts as f64).min(1.0))
}

fn latency(settings: &Outlier, sample: &Sample) -> Option<Duration> {
    sample.median_latency.filter(|_| sample.attempts >= u64::from(settings.latency_attempts))
}

/// Returns the median of the medians, `None` when too few are known.
fn pool_latency(settings: &Outlier, members: &[(usize, Sample)]) -> Option<Duration> {
    let mut medians: Vec<_> = members.iter().filter_map(|(_, sample)| latency(settings, sample)).collect();
    if settings.latency_factor <= 0.0 || (medians.len() as u64) < u64::from(settings.latency_endpoints) {
        return None;
    }
    medians.sort_unstable();
    let upper = *medians.get(medians.len() / 2)?;
    let lower = *medians.get((medians.len() - 1) / 2)?;
    Some(lower + (upper - lower) / 2)
}

fn slowness(settings: &Outlier, pool: Duration, sample: &Sample) -> Option<Why> {
    let median = latency(settings, sample)?;
    let is_slow = median.as_secs_f64() > pool.as_secs_f64() * settings.latency_factor;
    is_slow.then_some(Why::Latency { median, pool })
}

#[cfg(test)]
mod tests;
