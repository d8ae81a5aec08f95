//! Who is out, for how long, and how many may be. Pure.
//!
//! Called once in each interval; keeps what must be remembered from one to the next by the endpoint's identity, so that a reload forgets
//! nothing. Does not find out who does worse (`suspects.rs`).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;

use crate::endpoint::Serial;
use crate::kit::clock::Tick;
use crate::model::Outlier;

use super::suspects::{Why, suspects};

/// Half a share of a pool of 10 is 5, not 4.999.
const ROUNDING: f64 = 1e-9;

/// What an endpoint did in an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Its identity.
    pub serial: Serial,
    /// Whether it would take requests if it is not ejected: nothing else speaks against it, and its weight is not 0.
    pub eligible: bool,
    /// Attempts that the interval saw end, by its success or its failure.
    pub attempts: u64,
    /// Those of them that it served well.
    pub successes: u64,
    /// Failures since its last success, whenever they were.
    pub consecutive_failures: u32,
    /// The median of its recent latencies.
    pub median_latency: Option<Duration>,
}

/// What becomes of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It goes out.
    Eject {
        /// Its place among the samples.
        index: usize,
        /// When it may return.
        until: Tick,
        /// Why it goes.
        why: Why,
    },
    /// It comes back.
    Return {
        /// Its place among the samples.
        index: usize,
    },
}

/// What an endpoint's ejection looks like in the admin API.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whether it is out.
    pub ejected: bool,
    /// Seconds until it may return; `None` when it is not out.
    pub returns_in_seconds: Option<f64>,
    /// How often it was ejected, less one for each interval in which it behaved since.
    pub times_ejected: u32,
    /// Why it was ejected last; `None` when it never was.
    pub reason: Option<String>,
}

/// The ejections of one pool.
#[derive(Debug, Default)]
pub struct Ejector {
    records: HashMap<Serial, Record>,
    ejections_total: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    out_until: Option<Tick>,
    times: u32,
    /// Failures in a row that it came back with, and that are not held against it again.
    forgiven: u32,
    why: Option<Why>,
}

impl Ejector {
    /// Nobody is out.
    pub fn new() -> Self {
        Self::default()
    }

    /// Judges the pool's endpoints, all of them in `samples`, and forgets those that are not there.
    ///
    /// The returns come first. Afterwards no more than `max_ejected` of the pool, rounded down, are out, unless they were out before; and one
    /// endpoint at least is not, if there is an eligible one.
    pub fn judge(&mut self, settings: &Outlier, samples: &[Sample], now: Tick) -> Vec<Verdict> {
        self.forget_others(samples);
        let mut returned = self.due(samples, now);
        returned.extend(self.rescue(samples, &returned));
        for &index in &returned {
            self.take_back(&samples[index]);
        }
        let suspects = suspects(settings, &self.judged(samples, &returned));
        self.forgive(samples, &returned, &suspects);
        let ejected = self.eject(settings, samples, suspects, now);
        returned.into_iter().map(|index| Verdict::Return { index }).chain(ejected).collect()
    }

    /// Tells whether an endpoint is out.
    pub fn is_ejected(&self, serial: Serial) -> bool {
        self.records.get(&serial).is_some_and(|record| record.out_until.is_some())
    }

    /// Returns how often an endpoint was ejected since the start.
    pub const fn ejections_total(&self) -> u64 {
        self.ejections_total
    }

    /// Returns what is known of an endpoint.
    pub fn report(&self, serial: Serial, now: Tick) -> Report {
        let record = self.records.get(&serial).copied().unwrap_or_default();
        Report {
            ejected: record.out_until.is_some(),
            returns_in_seconds: record.out_until.map(|until| until.since(now).as_secs_f64()),
            times_ejected: record.times,
            reason: record.why.map(|why| why.to_string()),
        }
    }

    fn forget_others(&mut self, samples: &[Sample]) {
        let present: HashSet<_> = samples.iter().map(|sample| sample.serial).collect();
        self.records.retain(|serial, _| present.contains(serial));
    }

    /// Returns the places of those whose time has come.
    fn due(&self, samples: &[Sample], now: Tick) -> Vec<usize> {
        let is_due = |sample: &Sample| self.out_until(sample).is_some_and(|until| until <= now);
        (0..samples.len()).filter(|&index| is_due(&samples[index])).collect()
    }

    /// Returns the place of the one that returns early because nobody else is left.
    fn rescue(&self, samples: &[Sample], returned: &[usize]) -> Option<usize> {
        let stays_out = |index: &usize| self.out_until(&samples[*index]).is_some() && !returned.contains(index);
        let eligible = || (0..samples.len()).filter(|&index| samples[index].eligible);
        if eligible().any(|index| !stays_out(&index)) {
            return None;
        }
        eligible().filter(stays_out).min_by_key(|&index| self.out_until(&samples[index]))
    }

    fn take_back(&mut self, sample: &Sample) {
        let record = self.records.entry(sample.serial).or_default();
        record.out_until = None;
        record.forgiven = sample.consecutive_failures;
    }

    /// Returns those whose interval says something: eligible, in all the time, and without the failures that are forgiven.
    fn judged(&mut self, samples: &[Sample], returned: &[usize]) -> Vec<(usize, Sample)> {
        let mut judged = Vec::with_capacity(samples.len());
        for (index, &sample) in samples.iter().enumerate() {
            let record = self.records.entry(sample.serial).or_default();
            if sample.consecutive_failures < record.forgiven {
                // A success came between.
                record.forgiven = 0;
            }
            if sample.eligible && record.out_until.is_none() && !returned.contains(&index) {
                let consecutive_failures = sample.consecutive_failures - record.forgiven;
                judged.push((index, Sample { consecutive_failures, ..sample }));
            }
        }
        judged
    }

    /// An interval in which an endpoint is in and behaves takes back one of its ejections.
    fn forgive(&mut self, samples: &[Sample], returned: &[usize], suspects: &[(usize, Why)]) {
        let misbehaved: HashSet<_> = suspects.iter().map(|(index, _)| index).chain(returned).copied().collect();
        for (_, sample) in samples.iter().enumerate().filter(|(index, _)| !misbehaved.contains(index)) {
            let record = self.records.entry(sample.serial).or_default();
            if record.out_until.is_none() {
                record.times = record.times.saturating_sub(1);
            }
        }
    }

    fn eject(&mut self, settings: &Outlier, samples: &[Sample], suspects: Vec<(usize, Why)>, now: Tick) -> Vec<Verdict> {
        let out = samples.iter().filter(|sample| self.is_ejected(sample.serial)).count();
        let staying = samples.iter().filter(|sample| sample.eligible && !self.is_ejected(sample.serial)).count();
        let places = most(settings, samples.len()).saturating_sub(out).min(staying.saturating_sub(1));
        let ejected = suspects.into_iter().take(places);
        ejected
            .map(|(index, why)| Verdict::Eject { index, until: self.take_out(settings, &samples[index], why, now), why })
            .collect()
    }

    fn take_out(&mut self, settings: &Outlier, sample: &Sample, why: Why, now: Tick) -> Tick {
        let record = self.records.entry(sample.serial).or_default();
        let time = |times| settings.base_ejection.saturating_mul(times);
        // Counting on past the longest time would only put off the return to short ones.
        if record.times == 0 || time(record.times) < settings.max_ejection {
            record.times = record.times.saturating_add(1);
        }
        let until = now + time(record.times).min(settings.max_ejection);
        record.out_until = Some(until);
        record.why = Some(why);
        self.ejections_total += 1;
        until
    }

    fn out_until(&self, sample: &Sample) -> Option<Tick> {
        self.records.get(&sample.serial).and_then(|record| record.out_until)
    }
}

/// How many of a pool may be out.
fn most(settings: &Outlier, endpoints: usize) -> usize {
    // A conversion to an integer saturates, and makes nothing of a NaN.
    (settings.max_ejected.clamp(0.0, 1.0) * endpoints as f64 + ROUNDING) as usize
}

#[cfg(test)]
mod tests;
