//! A rate limit in one number, shared by threads without a lock. Pure.
//!
//! The generic cell rate algorithm (ITU-T I.371 annex A, virtual scheduling): what is stored is the *theoretical arrival time*, the moment at
//! which everything that was taken has been paid for, and the bucket is full again. A request moves it on by one interval, and passes
//! when it then lies at most `burst` intervals ahead. In any time `t`, no more than `burst + rate * t` pass. What is deliberately not here: whose
//! requests are counted together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::clock::Tick;

/// The furthest that a bucket may be ahead of the present: half of all time, so that no sum of it and a [`Tick`] of this century overflows.
const DEEPEST: u64 = u64::MAX / 2;

/// How much may pass: one request in each interval, and a burst after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    interval: u64,
    depth: u64,
}

/// What a limit says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It passes.
    Allowed {
        /// Further requests that would pass now.
        remaining: u32,
        /// When the whole burst may pass again.
        reset: Duration,
    },
    /// It does not, and has taken nothing.
    Refused {
        /// When one would pass, if none came before.
        retry_after: Duration,
        /// When the whole burst may pass again.
        reset: Duration,
    },
}

/// The state of one limit; new, its whole burst may pass.
#[derive(Debug, Default)]
pub struct Gcra(AtomicU64);

impl Rate {
    /// Takes `requests` in each `per`, of which `burst` may come at once; none of them is less than 1 (of `per`: 1 ns).
    ///
    /// The interval is rounded up to whole nanoseconds, so that never more than `requests` pass in `per`.
    pub fn new(requests: u32, per: Duration, burst: u32) -> Self {
        let per = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        let interval = per.div_ceil(u64::from(requests.max(1))).clamp(1, DEEPEST);
        Self { interval, depth: interval.saturating_mul(u64::from(burst.max(1))).min(DEEPEST) }
    }

    /// Judges a request at `now` that finds the theoretical arrival time at `arrival`; also returns the next one.
    fn judge(self, arrival: u64, now: Tick) -> (Decision, u64) {
        let now = now.as_nanos();
        let next = arrival.max(now).saturating_add(self.interval);
        let ahead = next.saturating_sub(now);
        if ahead > self.depth {
            let reset = Duration::from_nanos(arrival.saturating_sub(now));
            return (Decision::Refused { retry_after: Duration::from_nanos(ahead - self.depth), reset }, arrival);
        }
        let remaining = u32::try_from((self.depth - ahead) / self.interval).unwrap_or(u32::MAX);
        (Decision::Allowed { remaining, reset: Duration::from_nanos(ahead) }, next)
    }
}

impl Gcra {
    /// Asks for one request at `now`.
    pub fn take(&self, now: Tick, rate: Rate) -> Decision {
        let mut arrival = self.0.load(Relaxed);
        loop {
            let (decision, next) = rate.judge(arrival, now);
            if matches!(decision, Decision::Refused { .. }) {
                return decision;
            }
            match self.0.compare_exchange_weak(arrival, next, Relaxed, Relaxed) {
                Ok(_) => return decision,
                Err(current) => arrival = current,
            }
        }
    }

    /// Tells what [`Gcra::take`] would say, and takes nothing.
    pub fn look(&self, now: Tick, rate: Rate) -> Decision {
        rate.judge(self.0.load(Relaxed), now).0
    }

    /// Gives back what was just taken; `paid` is when it would have been paid for, that is `now + reset` of its decision.
    ///
    /// Exact while the bucket was never full in between. When it was (the thread stood still for that long), time has paid for it already, and
    /// giving it back would let one too many pass: then the arrival times no longer lie a whole number of intervals apart, and nothing is given.
    pub fn give_back(&self, paid: Tick, rate: Rate) {
        // Fails only where the closure gives nothing.
        let _ = self.0.fetch_update(Relaxed, Relaxed, |arrival| {
            arrival.abs_diff(paid.as_nanos()).is_multiple_of(rate.interval).then(|| arrival.saturating_sub(rate.interval))
        });
    }

    /// Tells whether the whole burst may pass, as if nothing had ever been taken.
    pub fn is_full(&self, now: Tick) -> bool {
        self.0.load(Relaxed) <= now.as_nanos()
    }

    /// Goes over to another rate: what was used stays used, but no more than the whole burst.
    pub fn convert(&self, now: Tick, from: Rate, to: Rate) {
        let now = now.as_nanos();
        let _ = self.0.fetch_update(Relaxed, Relaxed, |arrival| {
            let owed = u128::from(arrival.checked_sub(now)?) * u128::from(to.interval);
            let ahead = u64::try_from(owed.div_ceil(u128::from(from.interval))).unwrap_or(u64::MAX);
            Some(now.saturating_add(ahead.min(to.depth)))
        });
    }
}

#[cfg(test)]
mod tests;
