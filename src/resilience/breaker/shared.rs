//! The breaker of an endpoint as all workers share it.
//!
//! The machine stands behind a mutex that is held for a few comparisons, and only around changes that matter. While the breaker is closed, which is
//! nearly always, an admission is one load and a success one compare-and-swap: successes gather in a word beside the machine, and enter it
//! before anything else does, so that the machine sees the same order as if each had taken the mutex.
//!
//! The endpoint's availability bit is set inside the mutex, so that it never contradicts the machine for longer than the mutex is held. It
//! has no timer: its owner waits on `wake` and calls [`Breaker::wake`] at the time that the last call returned.

use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::Notify;

use crate::endpoint;
use crate::kit::clock::Tick;
use crate::model::{self, Outcome, Reason, Side};

use super::machine::{Machine, Pass, State, Verdict};
use super::report::{Cause, Report};

/// In the mode word: admits all, by a period whose number is in the upper half.
const CLOSED: u64 = 1;

/// In the mode word: switched off, beside [`CLOSED`].
const OFF: u64 = 2;

/// How many bits of the pending word count; a bucket's number has the others, which last for 8,900 years of 1 ms.
const COUNT_BITS: u32 = 16;

/// The most successes that gather.
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// The first status that has a bit.
const FIRST_STATUS: u16 = 100;

/// Words of 64 bits that cover the statuses from 100 to 611.
const STATUS_WORDS: usize = 8;

/// The breaker of one endpoint's identity.
#[derive(Debug)]
pub struct Breaker {
    /// The machine's state as far as the fast paths need it.
    mode: AtomicU64,
    /// Successes that the machine has not seen, and above [`COUNT_BITS`] the number of the bucket that they belong to.
    pending: AtomicU64,
    bucket_nanos: AtomicU64,
    /// One bit for each status that is a failure.
    statuses: [AtomicU64; STATUS_WORDS],
    inner: Mutex<Inner>,
    endpoint: Arc<endpoint::State>,
    wake: Arc<Notify>,
}

#[derive(Debug)]
struct Inner {
    machine: Machine,
    is_on: bool,
    rng: Rng,
}

impl Breaker {
    /// A closed breaker of `endpoint` that notifies `wake` whenever it has opened.
    pub fn new(settings: &model::Breaker, endpoint: Arc<endpoint::State>, wake: Arc<Notify>) -> Self {
        let inner = Inner { machine: Machine::new(settings), is_on: true, rng: Rng::new() };
        let breaker = Self {
            mode: AtomicU64::new(inner.mode()),
            pending: AtomicU64::new(0),
            bucket_nanos: AtomicU64::new(inner.machine.bucket_nanos()),
            statuses: [const { AtomicU64::new(0) }; STATUS_WORDS],
            inner: Mutex::new(inner),
            endpoint,
            wake,
        };
        breaker.store_statuses(&settings.statuses);
        breaker
    }

    /// Takes other settings and keeps its state; `None` switches it off: it closes, clears the endpoint's bit and admits all.
    pub fn configure(&self, settings: Option<&model::Breaker>) {
        self.change(|inner| {
            match settings {
                Some(settings) => inner.machine.configure(settings),
                None => inner.machine.reset(),
            }
            inner.is_on = settings.is_some();
            self.bucket_nanos.store(inner.machine.bucket_nanos(), Relaxed);
            self.store_statuses(settings.map_or(&[], |settings| &settings.statuses));
        });
    }

    /// Closes because an operator says so, and begins anew; attempts that run now count no more.
    pub fn close(&self, now: Tick) {
        self.change(|inner| inner.machine.close(now));
    }

    /// Admits an attempt, or does not: `None` when it is open, or half-open while a probe runs.
    ///
    /// Whoever gets a pass owes one [`end`](Self::end), whatever becomes of the attempt: a probe that never ends keeps the endpoint blocked.
    /// One load while it is closed.
    pub fn admit(&self, now: Tick) -> Option<Pass> {
        let mode = self.mode.load(Acquire);
        if mode & CLOSED != 0 {
            return Some(Pass::Normal { period: period(mode) });
        }
        self.change(|inner| inner.machine.admit(now))
    }

    /// Takes in how an attempt ended; one compare-and-swap for a success while it is closed.
    pub fn end(&self, pass: Pass, verdict: Verdict, now: Tick) {
        let mode = self.mode.load(Acquire);
        let is_late = period(mode) != pass.period();
        if mode & OFF != 0 || is_late || verdict == Verdict::Neither && !pass.is_probe() {
            return;
        }
        if mode & CLOSED != 0 && verdict == Verdict::Success && self.gather(now) {
            return;
        }
        self.change(|inner| inner.machine.end(pass, verdict, now, &mut inner.rng));
    }

    /// Takes in that a probe which had ended well was none: its answer broke off for `reason`.
    pub fn disprove(&self, probe: Pass, reason: Reason, now: Tick) {
        if reason.side() == Side::Endpoint {
            self.change(|inner| {
                if inner.is_on {
                    inner.machine.disprove(probe, Cause::Reason(reason), now, &mut inner.rng);
                }
            });
        }
    }

    /// Becomes half-open when its time has come; returns when to call again, `None` when it is not open.
    pub fn wake(&self, now: Tick) -> Option<Tick> {
        if self.mode.load(Acquire) & CLOSED != 0 {
            return None;
        }
        self.change(|inner| inner.machine.wake(now))
    }

    /// Returns how long it stays open, for `Retry-After`: zero when it waits for a probe that runs, `None` when it would admit.
    pub fn opens_in(&self, now: Tick) -> Option<Duration> {
        if self.mode.load(Acquire) & CLOSED != 0 {
            return None;
        }
        let inner = self.lock();
        match inner.machine.state() {
            State::Open { until } => Some(until.since(now)),
            State::HalfOpen if inner.machine.is_blocked() => Some(Duration::ZERO),
            State::HalfOpen | State::Closed => None,
        }
    }

    /// Tells whether an answer with `status` is a failure by the settings; never when it is off.
    pub fn is_failure(&self, status: u16) -> bool {
        place(status).is_some_and(|(word, bit)| self.statuses[word].load(Relaxed) & bit != 0)
    }

    /// Tells what an attempt that ended with `outcome`, and whose answer had `status` if one came, says about the endpoint.
    pub fn verdict(&self, outcome: Outcome, status: Option<u16>) -> Verdict {
        match outcome {
            Outcome::Completed => match status.filter(|&status| self.is_failure(status)) {
                Some(status) => Verdict::Failure(Cause::Status(status)),
                None => Verdict::Success,
            },
            Outcome::Failed(reason) | Outcome::Truncated(reason) if reason.side() == Side::Endpoint => {
                Verdict::Failure(Cause::Reason(reason))
            }
            Outcome::Failed(_) | Outcome::Truncated(_) | Outcome::Aborted => Verdict::Neither,
        }
    }

    /// Returns what it tells of itself; `None` when it is off.
    pub fn report(&self, now: Tick) -> Option<Report> {
        self.change(|inner| inner.is_on.then(|| inner.machine.report(now)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `act` change the machine, and says outside what has changed.
    fn change<R>(&self, act: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.lock();
        self.settle(&mut inner.machine);
        let before = inner.machine.state();
        let result = act(&mut inner);
        let after = inner.machine.state();
        self.mode.store(inner.mode(), Release);
        self.endpoint.set(endpoint::Cause::Breaker, inner.machine.is_blocked());
        drop(inner);
        if before != after && matches!(after, State::Open { .. }) {
            // Keeps a permit when nobody waits at the moment.
            self.wake.notify_one();
        }
        result
    }

    /// Adds a success to those that gather in one bucket; `false` when the machine must take in the last ones first.
    fn gather(&self, now: Tick) -> bool {
        let bucket = (now.as_nanos() / self.bucket_nanos.load(Relaxed)) << COUNT_BITS;
        let mut pending = self.pending.load(Relaxed);
        loop {
            let grown = match pending & COUNT {
                0 => bucket | 1,
                count if count < COUNT && pending & !COUNT == bucket => pending + 1,
                _ => return false,
            };
            match self.pending.compare_exchange_weak(pending, grown, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(current) => pending = current,
            }
        }
    }

    /// Lets the machine take in the successes that have gathered.
    fn settle(&self, machine: &mut Machine) {
        let pending = self.pending.swap(0, Relaxed);
        let at = Tick::from_nanos((pending >> COUNT_BITS).saturating_mul(machine.bucket_nanos()));
        // No more than the bits of a count, so it fits.
        machine.succeed((pending & COUNT) as u32, at);
    }

    fn store_statuses(&self, statuses: &[u16]) {
        let mut words = [0; STATUS_WORDS];
        for (word, bit) in statuses.iter().filter_map(|&status| place(status)) {
            words[word] |= bit;
        }
        for (shared, word) in self.statuses.iter().zip(words) {
            shared.store(word, Relaxed);
        }
    }
}

impl Inner {
    fn mode(&self) -> u64 {
        let is_closed = matches!(self.machine.state(), State::Closed);
        (u64::from(self.machine.period()) << 32) | if is_closed { CLOSED } else { 0 } | if self.is_on { 0 } else { OFF }
    }
}

const fn period(mode: u64) -> u32 {
    (mode >> 32) as u32
}

/// Returns the word and the bit of a status.
fn place(status: u16) -> Option<(usize, u64)> {
    let number = usize::from(status.checked_sub(FIRST_STATUS)?);
    (number < STATUS_WORDS * 64).then(|| (number / 64, 1 << (number % 64)))
}

#[cfg(test)]
mod tests;
