//! Windows over observations: what a meter reads. Pure.
//!
//! Three kinds of signals are read in three ways:
//!
//! - **Levels** (concurrency, queue depth, use of processor and memory, figures of pages and queries): each observation holds until the next
//!   one, so the mean is weighted by time. Minimum, maximum, percentiles, sum and count are over the observations.
//! - **Totals** (request rate, error rate): the difference between the ends of the window, over the time that is really between them. Minimum,
//!   maximum and percentiles are over the steps from observation to observation. Sum and count are numbers of requests.
//! - **Histograms** (response time, first byte, queue wait): the samples that came within the window.
//!
//! A queue that nobody leaves has no samples, and yet a wait: those who still wait count too, as if they had come evenly since the first of
//! them did. A queue in which nobody waits is no lack of data: its wait is 0.
//!
//! What is not known is `None`, never zero: no fresh observation, totals that began anew, no sample. An idle pool is known: its concurrency and
//! its rate are 0. Only a latency or a rate of errors does not exist while nothing comes; such a reading says that it is idle.
//!
//! Deliberately not here: where observations come from, and what follows from a reading (`decide`).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::observation::Observation;
use crate::autoscale::decide::Reading;
use crate::model::{Aggregation, Id, Meter, ScalePolicy, ScaleRule, Signal, Terms};
use crate::telemetry::metrics::Snapshot;

/// An observation is fresh for at least so long, and for three intervals: one that is late or lost is no lack of data.
const FRESH_MS: u64 = 3_000;

/// Kept observations at most: with three histograms each, these are 18 MB.
const MAX_KEPT: u64 = 3_000;

/// Those who wait are counted in one by one up to here, and thinned out beyond: the shape of their waits stays.
const MAX_WAITING: u64 = 4_096;

/// Keeps as many observations as the longest window needs.
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    observations: VecDeque<Observation>,
    span_ms: u64,
    fresh_ms: u64,
    /// Since when policies have had no data.
    missing: BTreeMap<Id, u64>,
}

/// The end of the history that a window takes in.
struct View<'a> {
    /// Starts at the last observation that is not younger than the window, or later where there is none or totals began anew.
    observations: Vec<&'a Observation>,
    /// Milliseconds.
    start_ms: u64,
    now_ms: u64,
    fresh_ms: u64,
}

/// Over which time it is looked how requests come and run.
const LONG: Duration = Duration::from_secs(60);

/// Over which time a surge is noticed.
const SHORT: Duration = Duration::from_secs(6);

impl Gauge {
    /// Keeps observations of the last `span_ms` milliseconds, one of which is fresh for three seconds.
    pub fn new(span_ms: u64) -> Self {
        Self { span_ms, fresh_ms: FRESH_MS, ..Self::default() }
    }

    /// Keeps what the meters of `terms` need.
    pub fn of(terms: &Terms) -> Self {
        let mut gauge = Self::default();
        gauge.configure(terms);
        gauge
    }

    /// Takes other terms and keeps what it has seen.
    pub fn configure(&mut self, terms: &Terms) {
        let windows = terms.policies.iter().filter_map(|policy| meter(policy).map(|(meter, _)| meter.window));
        let longest = windows.chain(terms.panic.as_ref().map(|panic| panic.window)).chain([LONG]).max();
        self.span_ms = longest.map_or(0, millis);
        self.fresh_ms = millis(terms.interval).saturating_mul(3).max(FRESH_MS);
        self.missing.retain(|name, _| terms.policies.iter().any(|policy| policy.name == *name));
    }

    /// Takes one more observation; one that is older than the last begins anew, as its clock is another one.
    pub fn push(&mut self, observation: Observation) {
        let at_ms = observation.at_ms;
        if self.observations.back().is_some_and(|last| at_ms < last.at_ms) {
            self.observations.clear();
        }
        let spacing = self.span_ms / MAX_KEPT;
        let [before, last] =
            [2, 1].map(|back| self.observations.len().checked_sub(back).and_then(|index| self.observations.get(index)));
        if before.zip(last).is_some_and(|(before, last)| last.at_ms - before.at_ms < spacing) {
            self.observations.pop_back();
        }
        self.observations.push_back(observation);
        let oldest = at_ms.saturating_sub(self.span_ms);
        // One that is older than the window is needed: it holds when the window begins, and totals are counted from it.
        while self.observations.get(1).is_some_and(|second| second.at_ms <= oldest) {
            self.observations.pop_front();
        }
    }

    /// Returns what `meter` reads over its own window at `now_ms`; `None` without fresh data. Costs a pass over the window.
    pub fn read(&self, meter: &Meter, now_ms: u64) -> Option<f64> {
        self.fast(meter, meter.window, now_ms)
    }

    /// Returns what `meter` reads over another window.
    pub fn fast(&self, meter: &Meter, window: Duration, now_ms: u64) -> Option<f64> {
        let view = self.view(window, now_ms)?;
        let value = match &meter.signal {
            Signal::Concurrency => view.level(meter.aggregation, |seen| Some(count(seen.in_flight.saturating_add(seen.queued)))),
            Signal::QueueDepth => view.level(meter.aggregation, |seen| Some(count(seen.queued))),
            Signal::CpuUtilization => view.level(meter.aggregation, |seen| seen.cpu),
            Signal::MemoryUtilization => view.level(meter.aggregation, |seen| seen.memory),
            Signal::Custom(_) | Signal::Promql { .. } => {
                let key = Observation::key(&meter.signal)?;
                view.level(meter.aggregation, |seen| seen.custom.get(key.as_ref()).copied())
            }
            Signal::RequestRate => view.request_rate(meter.aggregation),
            Signal::ErrorRate => view.error_rate(meter.aggregation),
            Signal::ResponseTime => summary(&view.samples(|seen| &seen.response_time)?, meter.aggregation),
            Signal::FirstByte => summary(&view.samples(|seen| &seen.first_byte)?, meter.aggregation),
            Signal::QueueWait => view.queue_wait(meter.aggregation),
        };
        value.filter(|value| value.is_finite())
    }

    /// Returns how many requests come in a second and how many seconds each runs in the mean; `None` before any has ended in the last minute.
    ///
    /// The rate is the larger one of the last minute and the last seconds, so that a surge counts at once and the end of one does not.
    pub fn flow(&self, now_ms: u64) -> Option<(f64, f64)> {
        let long = self.view(LONG, now_ms)?;
        let service = long.samples(|seen| &seen.response_time)?.mean()?;
        let rate = |view: View<'_>| view.request_rate(Aggregation::Average);
        let short = self.view(SHORT, now_ms).and_then(rate);
        let rate = rate(long).into_iter().chain(short).reduce(f64::max)?;
        Some((rate, service))
    }

    /// Returns what every policy with a signal reads, in the order of the terms, and remembers since when those without data have none.
    pub fn readings(&mut self, terms: &Terms, now_ms: u64) -> Vec<Reading> {
        let panic = terms.panic.as_ref().map(|panic| panic.window);
        let meters =
            terms.policies.iter().filter_map(|policy| meter(policy).map(|(meter, is_target)| (&policy.name, meter, is_target)));
        meters
            .map(|(name, meter, is_target)| {
                let value = self.read(meter, now_ms);
                let fast = panic.filter(|_| is_target).and_then(|window| self.fast(meter, window, now_ms));
                let is_idle = value.is_none() && self.is_idle(meter, now_ms);
                let missing_ms = self.missing_ms(name, value.is_none() && !is_idle, now_ms);
                Reading { policy: name.clone(), value, fast, missing_ms, is_idle }
            })
            .collect()
    }

    fn missing_ms(&mut self, name: &Id, is_missing: bool, now_ms: u64) -> u64 {
        if !is_missing {
            self.missing.remove(name);
            return 0;
        }
        let since = self.missing.entry(name.clone()).or_insert(now_ms);
        *since = now_ms.min(*since);
        now_ms - *since
    }

    /// Tells whether a signal that only requests can make has had no request in its window, and none waits to become one. Reports of processor and
    /// memory come with answers.
    fn is_idle(&self, meter: &Meter, now_ms: u64) -> bool {
        let is_of_requests = match meter.signal {
            Signal::ResponseTime | Signal::FirstByte | Signal::ErrorRate => true,
            Signal::CpuUtilization | Signal::MemoryUtilization => self.observations.back().is_some_and(|last| last.in_flight == 0),
            _ => false,
        };
        let ends = self.view(meter.window, now_ms).and_then(|view| view.ends());
        is_of_requests && ends.is_some_and(|(first, last)| first.arrived_total == last.arrived_total && last.queued == 0)
    }

    /// Returns the window; `None` without a fresh observation.
    fn view(&self, window: Duration, now_ms: u64) -> Option<View<'_>> {
        let start_ms = now_ms.saturating_sub(millis(window));
        let seen = self.observations.partition_point(|seen| seen.at_ms <= now_ms);
        let first = self.observations.partition_point(|seen| seen.at_ms <= start_ms).saturating_sub(1);
        let observations: Vec<_> = self.observations.range(first.min(seen)..seen).collect();
        let is_fresh = observations.last().is_some_and(|last| now_ms - last.at_ms <= self.fresh_ms);
        is_fresh.then_some(View { observations, start_ms, now_ms, fresh_ms: self.fresh_ms })
    }
}

impl<'a> View<'a> {
    fn level(&self, aggregation: Aggregation, value: impl Fn(&Observation) -> Option<f64>) -> Option<f64> {
        let known = self.observations.iter().rev().find_map(|seen| Some((seen.at_ms, value(seen)?)));
        let (_, last) = known.filter(|(at_ms, _)| self.now_ms - at_ms <= self.fresh_ms)?;
        if aggregation == Aggregation::Average {
            return Some(self.mean(value).unwrap_or(last));
        }
        let within = self.observations.iter().filter(|seen| seen.at_ms > self.start_ms);
        let mut samples: Vec<_> = within.filter_map(|seen| value(seen)).collect();
        if samples.is_empty() {
            samples.push(last);
        }
        aggregate(samples, aggregation)
    }

    /// The mean, weighted by time; an observation holds until the next one, but not for longer than it is fresh.
    fn mean(&self, value: impl Fn(&Observation) -> Option<f64>) -> Option<f64> {
        let ends = self.observations.iter().skip(1).map(|next| next.at_ms).chain([self.now_ms]);
        let (mut sum, mut time) = (0.0, 0.0);
        for (seen, end_ms) in self.observations.iter().zip(ends) {
            let held_ms = end_ms.min(seen.at_ms.saturating_add(self.fresh_ms)).saturating_sub(seen.at_ms.max(self.start_ms));
            if let Some(value) = value(seen).filter(|value| value.is_finite()) {
                sum += value * count(held_ms);
                time += count(held_ms);
            }
        }
        (time > 0.0).then(|| sum / time)
    }

    /// The ends of the window between which totals grew: from where they began anew, if they did. `None` for a single observation.
    fn ends(&self) -> Option<(&'a Observation, &'a Observation)> {
        let first = self.grown().next()?.0;
        Some((first, self.observations.last()?))
    }

    /// The steps from observation to observation since totals began anew.
    fn grown(&self) -> impl Iterator<Item = (&'a Observation, &'a Observation)> {
        let anew = self.observations.windows(2).rposition(|pair| matches!(pair, [one, other] if is_anew(one, other)));
        let from = anew.map_or(0, |index| index + 1);
        let rest = self.observations.get(from..).unwrap_or_default();
        rest.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)))
    }

    fn request_rate(&self, aggregation: Aggregation) -> Option<f64> {
        let rate = |from: &Observation, to: &Observation| {
            let seconds = count(to.at_ms - from.at_ms) / 1e3;
            (seconds > 0.0).then(|| count(to.arrived_total - from.arrived_total) / seconds)
        };
        let (first, last) = self.ends()?;
        match aggregation {
            Aggregation::Average => rate(first, last),
            Aggregation::Sum | Aggregation::Count => Some(count(last.arrived_total - first.arrived_total)),
            _ => aggregate(self.grown().filter_map(|(from, to)| rate(from, to)).collect(), aggregation),
        }
    }

    fn error_rate(&self, aggregation: Aggregation) -> Option<f64> {
        let failed = |from: &Observation, to: &Observation| count(to.failed_total - from.failed_total);
        let ended = |from: &Observation, to: &Observation| failed(from, to) + count(to.completed_total - from.completed_total);
        let ratio = |from: &Observation, to: &Observation| {
            let all = ended(from, to);
            (all > 0.0).then(|| failed(from, to) / all)
        };
        let (first, last) = self.ends()?;
        let whole = ratio(first, last)?;
        match aggregation {
            Aggregation::Average => Some(whole),
            Aggregation::Sum => Some(failed(first, last)),
            Aggregation::Count => Some(ended(first, last)),
            _ => aggregate(self.grown().filter_map(|(from, to)| ratio(from, to)).collect(), aggregation),
        }
    }

    /// The samples of the window, which may be none.
    fn samples(&self, of: impl Fn(&Observation) -> &Snapshot) -> Option<Snapshot> {
        let (first, last) = self.ends()?;
        Some(of(last).since(of(first)))
    }

    fn queue_wait(&self, aggregation: Aggregation) -> Option<f64> {
        let last = self.observations.last()?;
        let mut samples = self.samples(|seen| &seen.queue_wait).unwrap_or_default();
        let waiting = last.queued.min(MAX_WAITING);
        for place in 1..=waiting {
            samples.record(last.oldest_wait * count(place) / count(waiting));
        }
        Some(summary(&samples, aggregation).unwrap_or(0.0))
    }
}

/// Tells whether a total is smaller than it was: it began anew.
fn is_anew(before: &Observation, after: &Observation) -> bool {
    after.arrived_total < before.arrived_total
        || after.completed_total < before.completed_total
        || after.failed_total < before.failed_total
}

/// Returns the meter of a policy and whether it has a target.
const fn meter(policy: &ScalePolicy) -> Option<(&Meter, bool)> {
    match &policy.rule {
        ScaleRule::Target { meter, .. } => Some((meter, true)),
        ScaleRule::Threshold { meter, .. } => Some((meter, false)),
        ScaleRule::Schedule { .. } => None,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A number as a float: exact up to 2^53.
const fn count(number: u64) -> f64 {
    number as f64
}

fn summary(samples: &Snapshot, aggregation: Aggregation) -> Option<f64> {
    let mean = samples.mean()?;
    match aggregation {
        Aggregation::Average => Some(mean),
        Aggregation::Sum => Some(samples.sum()),
        Aggregation::Count => Some(count(samples.count())),
        Aggregation::Min => samples.quantile(0.0),
        Aggregation::Max => samples.quantile(1.0),
        Aggregation::P50 => samples.quantile(0.5),
        Aggregation::P95 => samples.quantile(0.95),
        Aggregation::P99 => samples.quantile(0.99),
    }
}

/// Makes one number of samples, percentiles by nearest rank; `None` without samples.
fn aggregate(mut samples: Vec<f64>, aggregation: Aggregation) -> Option<f64> {
    samples.retain(|sample| sample.is_finite());
    samples.sort_unstable_by(f64::total_cmp);
    let rank = |quantile: f64| samples.get(((samples.len() as f64 * quantile).ceil() as usize).saturating_sub(1)).copied();
    let last = samples.last().copied()?;
    match aggregation {
        Aggregation::Average => Some(samples.iter().sum::<f64>() / samples.len() as f64),
        Aggregation::Sum => Some(samples.iter().sum()),
        Aggregation::Count => Some(samples.len() as f64),
        Aggregation::Min => samples.first().copied(),
        Aggregation::Max => Some(last),
        Aggregation::P50 => rank(0.5),
        Aggregation::P95 => rank(0.95),
        Aggregation::P99 => rank(0.99),
    }
}

#[cfg(test)]
mod tests;
