//! How many extra attempts the recent requests pay for.
//!
//! Pure: the time is given, and threads share it by atomics alone.
//!
//! A window of ten seconds in buckets of one. Extra attempts are counted over the running second and ten before it, requests over the running second
//! and nine before it: at each extra attempt, those of the last ten seconds are at most `ratio` of the requests of the same time, plus
//! `min_per_second` for each second, wherever the seconds begin. Retries and hedges use the same budget, each its own. Does not know what an
//! attempt is for.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use serde::Serialize;

use crate::kit::clock::Tick;
use crate::model;

const SECONDS: u64 = 10;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Buckets in the ring: more than are read, so that a thread whose clock reading is a little old does not meet a bucket that begins anew.
const SLOTS: usize = 16;

/// The lower half of a bucket's word counts, the upper half is the number of its second.
const COUNT: u64 = u32::MAX as u64;

/// How much of a route's traffic may be extra attempts; shared by all workers.
#[derive(Debug)]
pub struct Budget {
    /// The bits of a `f64`.
    ratio: AtomicU64,
    min_per_second: AtomicU32,
    requests: Counts,
    spent: Counts,
    spent_total: AtomicU64,
    refused_total: AtomicU64,
}

/// Counts by the second.
#[derive(Debug, Default)]
struct Counts([AtomicU64; SLOTS]);

/// A budget as the admin API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Requests of the last ten seconds.
    pub requests: u64,
    /// Extra attempts of the last ten seconds.
    pub spent: u64,
    /// Extra attempts that those requests pay for.
    pub allowance: u64,
    /// Extra attempts that were granted since the start.
    pub spent_total: u64,
    /// Extra attempts that were refused since the start.
    pub refused_total: u64,
}

impl Budget {
    /// A budget without requests: only `min_per_second` is there to be spent.
    pub fn new(settings: &model::Budget) -> Self {
        Self {
            ratio: AtomicU64::new(settings.ratio.to_bits()),
            min_per_second: AtomicU32::new(settings.min_per_second),
            requests: Counts::default(),
            spent: Counts::default(),
            spent_total: AtomicU64::new(0),
            refused_total: AtomicU64::new(0),
        }
    }

    /// Takes other settings and keeps the counts.
    pub fn configure(&self, settings: &model::Budget) {
        self.ratio.store(settings.ratio.to_bits(), Relaxed);
        self.min_per_second.store(settings.min_per_second, Relaxed);
    }

    /// Counts a request; its first attempt is what it pays with. One atomic addition.
    pub fn note_request(&self, now: Tick) {
        self.requests.add(second(now));
    }

    /// Takes one extra attempt from the budget, or tells that it is exhausted.
    ///
    /// Threads that race for the last one may all be refused; never do two get it.
    pub fn spend(&self, now: Tick) -> bool {
        let second = second(now);
        // Taken first and counted then, sequentially consistent: of any two that race, one at least sees the other.
        self.spent.add(second);
        let granted = self.spent.sum(second, SECONDS + 1) <= self.allowance(second);
        if granted {
            self.spent_total.fetch_add(1, Relaxed);
        } else {
            self.spent.take_back(second);
            self.refused_total.fetch_add(1, Relaxed);
        }
        granted
    }

    /// Returns what it tells of itself.
    pub fn report(&self, now: Tick) -> Report {
        let second = second(now);
        Report {
            requests: self.requests.sum(second, SECONDS),
            spent: self.spent.sum(second, SECONDS + 1),
            allowance: self.allowance(second),
            spent_total: self.spent_total.load(Relaxed),
            refused_total: self.refused_total.load(Relaxed),
        }
    }

    fn allowance(&self, second: u64) -> u64 {
        let ratio = f64::from_bits(self.ratio.load(Relaxed));
        let least = SECONDS * u64::from(self.min_per_second.load(Relaxed));
        // A conversion to an integer saturates, and makes nothing of a NaN.
        least.saturating_add((ratio * self.requests.sum(second, SECONDS) as f64) as u64)
    }
}

impl Counts {
    fn add(&self, second: u64) {
        self.change(second, |number, count| {
            // A thread that is late by more than the ring adds to what has taken the place.
            let count = if number < second { 0 } else { count };
            Some((number.max(second), (count + 1).min(COUNT)))
        });
    }

    /// Undoes an addition, unless its second has long passed.
    fn take_back(&self, second: u64) {
        self.change(second, |number, count| (number == second && count > 0).then(|| (number, count - 1)));
    }

    /// Sums the last `span` seconds, the running one among them, and what threads whose clock reading is newer have counted.
    fn sum(&self, second: u64, span: u64) -> u64 {
        let words = self.0.iter().map(|slot| slot.load(SeqCst));
        words.filter(|word| (word >> 32) + span > second).map(|word| word & COUNT).sum()
    }

    fn change(&self, second: u64, to: impl Fn(u64, u64) -> Option<(u64, u64)>) {
        // The remainder is below the length.
        let slot = &self.0[(second % SLOTS as u64) as usize];
        let mut word = slot.load(SeqCst);
        while let Some((number, count)) = to(word >> 32, word & COUNT) {
            match slot.compare_exchange_weak(word, (number << 32) | count, SeqCst, SeqCst) {
                Ok(_) => return,
                Err(current) => word = current,
            }
        }
    }
}

/// The number of a second; 136 years fit the upper half of a word.
const fn second(now: Tick) -> u64 {
    (now.as_nanos() / NANOS_PER_SECOND) & COUNT
}

#[cfg(test)]
mod tests;
