//! When a second attempt may be sent beside a slow first one.
//!
//! Pure: the time is given, and threads share it by atomics alone.
//!
//! The delay is fixed, or a quantile of the route's times to first byte ("The Tail at Scale", Dean and Barroso, CACM 2013): waiting until
//! the slowest twentieth bounds the extra load by that twentieth. The times are counted in log-linear buckets (HdrHistogram, Tene), sixteen
//! to each power of two, so that the middle of a bucket is within 3.2% of the truth from 1 microsecond up; two halves of thirty seconds
//! take turns, so that the quantile is of the last thirty to sixty. Does not race attempts, and does not know which requests may be sent twice.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

use crate::kit::clock::Tick;
use crate::model::{self, Hedge, HedgeDelay};

use super::retry::{self, Budget};

/// Samples below which a quantile says too little: the 95th of a hundred has five above it.
const MIN_SAMPLES: u64 = 100;

/// How long one half gathers.
const HALF_NANOS: u64 = 30_000_000_000;

/// How long a quantile is good: it is a walk through all buckets, and hardly moves meanwhile.
const REFRESH: Duration = Duration::from_millis(100);

/// The unit of the buckets, 64 ns, as a shift.
const UNIT_SHIFT: u32 = 6;

/// Buckets to each power of two, and their logarithm.
const SUB: usize = 16;
const SUB_SHIFT: u32 = 4;

/// Powers of two of the unit in the range, which ends at 73 minutes; longer times count as that.
const OCTAVES: u32 = 36;

const BUCKETS: usize = (OCTAVES - SUB_SHIFT + 1) as usize * SUB;

/// In place of a fixed delay: there is none, take the quantile.
const MEASURED: u64 = u64::MAX;

/// In place of a quantile's value: there is none.
const UNKNOWN: u64 = u64::MAX;

/// The hedging of one route; shared by all workers.
#[derive(Debug)]
pub struct Hedging {
    /// Nanoseconds, or [`MEASURED`].
    fixed: AtomicU64,
    /// The bits of a `f64`.
    quantile: AtomicU64,
    halves: [Half; 2],
    /// The quantile's value in nanoseconds, or [`UNKNOWN`].
    value: AtomicU64,
    /// When the value is to be found anew, in nanoseconds since the start.
    stale_at: AtomicU64,
    budget: Budget,
}

/// Thirty seconds of times.
#[derive(Debug)]
struct Half {
    /// Which thirty seconds, counted from the start.
    turn: AtomicU64,
    buckets: Box<[AtomicU32]>,
}

/// Hedging as the admin API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How long the first attempt is waited for, in seconds; `None` while too little is measured.
    pub delay_seconds: Option<f64>,
    /// Times that are measured, of the last thirty to sixty seconds.
    pub samples: u64,
    /// What the extra attempts may cost.
    pub budget: retry::Report,
}

impl Hedging {
    /// Nothing is measured yet.
    pub fn new(settings: &Hedge) -> Self {
        let hedging = Self {
            fixed: AtomicU64::new(MEASURED),
            quantile: AtomicU64::new(0),
            halves: [Half::new(), Half::new()],
            value: AtomicU64::new(UNKNOWN),
            stale_at: AtomicU64::new(0),
            budget: Budget::new(&budget(settings)),
        };
        hedging.store(settings);
        hedging
    }

    /// Takes other settings and keeps what was measured.
    pub fn configure(&self, settings: &Hedge) {
        self.budget.configure(&budget(settings));
        self.store(settings);
    }

    /// Takes in a time to first byte.
    pub fn record(&self, first_byte: Duration, now: Tick) {
        let turn = now.as_nanos() / HALF_NANOS;
        self.halves[usize::from(turn % 2 == 1)].record(first_byte, turn);
    }

    /// Returns how long the first attempt is waited for; `None` while too little is measured.
    ///
    /// A measured delay is up to 100 ms old.
    pub fn delay(&self, now: Tick) -> Option<Duration> {
        let fixed = self.fixed.load(Relaxed);
        if fixed != MEASURED {
            return Some(Duration::from_nanos(fixed));
        }
        let stale_at = self.stale_at.load(Relaxed);
        let fresh_until = (now + REFRESH).as_nanos();
        let is_mine = now.as_nanos() >= stale_at && self.stale_at.compare_exchange(stale_at, fresh_until, Relaxed, Relaxed).is_ok();
        if is_mine {
            self.value.store(self.measure(now).unwrap_or(UNKNOWN), Relaxed);
        }
        let value = self.value.load(Relaxed);
        (value != UNKNOWN).then(|| Duration::from_nanos(value))
    }

    /// Counts a request that the extra attempts are paid by.
    pub fn note_request(&self, now: Tick) {
        self.budget.note_request(now);
    }

    /// Takes one extra attempt from the budget, or tells that it is exhausted.
    pub fn spend(&self, now: Tick) -> bool {
        self.budget.spend(now)
    }

    /// Returns what it tells of itself.
    pub fn report(&self, now: Tick) -> Report {
        Report {
            delay_seconds: self.delay(now).map(|delay| delay.as_secs_f64()),
            samples: self.recent(now).map(Half::samples).sum(),
            budget: self.budget.report(now),
        }
    }

    fn store(&self, settings: &Hedge) {
        match settings.after {
            HedgeDelay::Fixed(delay) => {
                let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
                self.fixed.store(nanos.min(MEASURED - 1), Relaxed);
            }
            HedgeDelay::Quantile(quantile) => {
                self.quantile.store(quantile.to_bits(), Relaxed);
                self.fixed.store(MEASURED, Relaxed);
            }
        }
        self.stale_at.store(0, Relaxed);
    }

    fn recent(&self, now: Tick) -> impl Iterator<Item = &Half> {
        let turn = now.as_nanos() / HALF_NANOS;
        self.halves.iter().filter(move |half| half.turn.load(Relaxed).abs_diff(turn) <= 1)
    }

    /// Finds the quantile in nanoseconds, `None` without enough samples.
    fn measure(&self, now: Tick) -> Option<u64> {
        let mut counts = [0_u64; BUCKETS];
        for half in self.recent(now) {
            for (count, bucket) in counts.iter_mut().zip(&half.buckets) {
                *count += u64::from(bucket.load(Relaxed));
            }
        }
        let samples: u64 = counts.iter().sum();
        if samples < MIN_SAMPLES {
            return None;
        }
        let quantile = f64::from_bits(self.quantile.load(Relaxed));
        // A conversion to an integer saturates, and makes nothing of a NaN.
        let rank = ((samples as f64 * quantile).ceil() as u64).clamp(1, samples);
        let mut seen = 0;
        let index = counts.iter().position(|&count| {
            seen += count;
            seen >= rank
        });
        index.map(middle)
    }
}

impl Half {
    fn new() -> Self {
        Self { turn: AtomicU64::new(0), buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect() }
    }

    fn record(&self, time: Duration, turn: u64) {
        let current = self.turn.load(Relaxed);
        // Whoever turns the half empties it; what others add meanwhile may go too, which a quantile does not feel.
        if current < turn && self.turn.compare_exchange(current, turn, Relaxed, Relaxed).is_ok() {
            self.buckets.iter().for_each(|bucket| bucket.store(0, Relaxed));
        }
        self.buckets[index(time)].fetch_add(1, Relaxed);
    }

    fn samples(&self) -> u64 {
        self.buckets.iter().map(|bucket| u64::from(bucket.load(Relaxed))).sum()
    }
}

/// Hedges have no allowance but what requests pay for.
const fn budget(settings: &Hedge) -> model::Budget {
    model::Budget { ratio: settings.max_extra, min_per_second: 0 }
}

fn index(time: Duration) -> usize {
    let units = (time.as_nanos() >> UNIT_SHIFT).min((1 << OCTAVES) - 1) as u64;
    if units < SUB as u64 {
        return units as usize;
    }
    let octave = units.ilog2();
    let sub = (units >> (octave - SUB_SHIFT)) as usize & (SUB - 1);
    (octave - SUB_SHIFT + 1) as usize * SUB + sub
}

/// The middle of a bucket, in nanoseconds.
fn middle(index: usize) -> u64 {
    let (row, sub) = (index / SUB, (index % SUB) as u64);
    let half_unit = 1 << (UNIT_SHIFT - 1);
    match row.checked_sub(1) {
        None => (sub << UNIT_SHIFT) + half_unit,
        Some(shift) => (((SUB as u64 + sub) << UNIT_SHIFT) + half_unit) << shift,
    }
}

#[cfg(test)]
mod tests;
