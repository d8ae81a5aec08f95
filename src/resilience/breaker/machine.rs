//! The breaker's decisions. Pure.
//!
//! Closed, it counts failures: so many in a row, or too low a share of successes in a window, open it. Open, it admits nobody until its time
//! has come. Half-open, it admits one probe at a time; enough good ones in a row close it, one bad one opens it again, for twice as long
//! as before. Only a failure can open it: a success that brings the window to `min_attempts` leaves the verdict to the next failure.
//!
//! Each stay in a state is a period with a number, and a pass belongs to the period that gave it. What ends in another period says
//! nothing about this one: an attempt that hung since before the outage does not open a breaker that has closed since. But a probe that was
//! good by the head of its answer, so that others need not wait for its last byte, may turn out to be none ([`Machine::disprove`]).
//!
//! Deliberately not here: who shares it, the endpoint's availability bit, and waking up in time (`shared.rs`, `health`).

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use serde::{Serialize, Serializer};

use crate::kit::clock::Tick;
use crate::model;

use super::rates::Rates;
use super::report::{Cause, Report, Transition, Why};

/// Changes that are remembered.
const TRANSITIONS: usize = 20;

/// The share of the open time that is left out at random, so that breakers which opened together do not probe together. Taken off, not
/// added, so that the open time never exceeds what the config says.
const JITTER: f64 = 0.1;

/// Doublings beyond this make no difference: any open time is at its cap by then.
const MAX_DOUBLINGS: u32 = 31;

/// What a breaker does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Admits all.
    Closed,
    /// Admits none.
    Open {
        /// When it becomes half-open.
        until: Tick,
    },
    /// Admits one probe at a time.
    HalfOpen,
}

impl State {
    /// Returns the word for the admin API, logs and metrics: `closed`, `open` or `half_open`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What an attempt was admitted as; whoever holds it owes one [`Machine::end`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// One of many.
    Normal {
        /// The number of the period that admitted it.
        period: u32,
    },
    /// The only one, on which the breaker's next state depends.
    Probe {
        /// The number of the period that admitted it.
        period: u32,
    },
}

impl Pass {
    /// Tells whether it is a probe.
    pub const fn is_probe(self) -> bool {
        matches!(self, Self::Probe { .. })
    }

    pub(super) const fn period(self) -> u32 {
        match self {
            Self::Normal { period } | Self::Probe { period } => period,
        }
    }
}

/// What an attempt says about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It serves.
    Success,
    /// It fails.
    Failure(Cause),
    /// Nothing: the client left, or the proxy itself ended the attempt.
    Neither,
}

/// The breaker of one endpoint.
#[derive(Clone, Debug)]
pub struct Machine {
    settings: model::Breaker,
    phase: Phase,
    period: u32,
    /// How often it has opened since it was last closed.
    openings: u32,
    consecutive_failures: u32,
    rates: Rates,
    opened_total: u64,
    probes_total: u64,
    /// The probes that have closed it, while it is closed.
    proof: Option<Proof>,
    changes: VecDeque<Change>,
}

#[derive(Clone, Copy, Debug)]
struct Proof {
    /// Of the period in which they ran.
    period: u32,
    closed: Tick,
    /// How often it had opened by then.
    openings: u32,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { until: Tick },
    HalfOpen { probing: bool, successes: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Change {
    at: Tick,
    from: State,
    to: State,
    why: Why,
}

impl Machine {
    /// A closed breaker.
    pub fn new(settings: &model::Breaker) -> Self {
        Self {
            settings: settings.clone(),
            phase: Phase::Closed,
            period: 0,
            openings: 0,
            consecutive_failures: 0,
            rates: Rates::new(settings.window),
            opened_total: 0,
            probes_total: 0,
            proof: None,
            changes: VecDeque::with_capacity(TRANSITIONS),
        }
    }

    /// Takes other settings and keeps its state; a window of another length begins empty.
    pub fn configure(&mut self, settings: &model::Breaker) {
        if self.settings.window != settings.window {
            self.rates = Rates::new(settings.window);
        }
        self.settings = settings.clone();
    }

    /// Closes and begins anew, as after it was switched off; only its history stays. Passes that it gave before count no more.
    pub fn reset(&mut self) {
        self.become_closed();
        self.period = self.period.wrapping_add(1);
    }

    /// Closes because an operator says so, and begins anew. Passes that it gave before count no more.
    pub fn close(&mut self, now: Tick) {
        if !matches!(self.phase, Phase::Closed) {
            self.turn(Phase::Closed, Why::Operator, now);
        }
        self.reset();
    }

    /// Returns its state.
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { until } => State::Open { until },
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Tells whether nobody would be admitted: it is open, or half-open while a probe runs.
    pub const fn is_blocked(&self) -> bool {
        matches!(self.phase, Phase::Open { .. } | Phase::HalfOpen { probing: true, .. })
    }

    /// Admits an attempt, or does not: `None` when it is open, or half-open while a probe runs.
    pub fn admit(&mut self, now: Tick) -> Option<Pass> {
        self.wake(now);
        let period = self.period;
        match &mut self.phase {
            Phase::Closed => Some(Pass::Normal { period }),
            Phase::HalfOpen { probing: probing @ false, .. } => {
                *probing = true;
                self.probes_total += 1;
                Some(Pass::Probe { period })
            }
            Phase::HalfOpen { .. } | Phase::Open { .. } => None,
        }
    }

    /// Takes in how an attempt ended.
    pub fn end(&mut self, pass: Pass, verdict: Verdict, now: Tick, rng: &mut Rng) {
        if pass.period() != self.period {
            return;
        }
        match (self.phase, verdict) {
            (Phase::Closed, Verdict::Success) => self.succeed(1, now),
            (Phase::Closed, Verdict::Failure(cause)) => self.fail(cause, now, rng),
            (Phase::HalfOpen { probing: true, successes }, verdict) if pass.is_probe() => {
                self.end_probe(verdict, successes, now, rng);
            }
            (Phase::Closed, Verdict::Neither) | (Phase::HalfOpen { .. } | Phase::Open { .. }, _) => {}
        }
    }

    /// Takes in that a probe which had ended well was none: its answer broke off.
    ///
    /// Opens it again when no more is known of the endpoint than its probes: half-open, or closed by them within the last window. Later it is a
    /// failure like others.
    pub fn disprove(&mut self, probe: Pass, cause: Cause, now: Tick, rng: &mut Rng) {
        match (self.phase, self.proof) {
            (Phase::HalfOpen { .. }, _) if probe.period() == self.period => self.open(Why::ProbeFailed(cause), now, rng),
            (Phase::Closed, Some(proof)) if probe.period() == proof.period => {
                if now.since(proof.closed) < self.settings.window {
                    self.openings = proof.openings;
                    self.open(Why::ProbeFailed(cause), now, rng);
                } else {
                    self.fail(cause, now, rng);
                }
            }
            (Phase::Closed | Phase::HalfOpen { .. } | Phase::Open { .. }, _) => {}
        }
    }

    /// Becomes half-open when its time has come; returns when to ask again, `None` when it is not open.
    pub fn wake(&mut self, now: Tick) -> Option<Tick> {
        let Phase::Open { until } = self.phase else { return None };
        if now < until {
            return Some(until);
        }
        self.turn(Phase::HalfOpen { probing: false, successes: 0 }, Why::TimeHasPassed, now);
        None
    }

    /// Returns what it tells of itself.
    pub fn report(&self, now: Tick) -> Report {
        let sum = self.rates.sum(now);
        let open_for = match self.phase {
            Phase::Open { until } => Some(until.since(now).as_secs_f64()),
            Phase::Closed | Phase::HalfOpen { .. } => None,
        };
        Report {
            state: self.state(),
            open_for_seconds: open_for,
            opened_total: self.opened_total,
            probes_total: self.probes_total,
            consecutive_failures: self.consecutive_failures,
            success_rate: sum.success_rate(),
            attempts: sum.attempts(),
            transitions: self.changes.iter().map(|change| change.show(now)).collect(),
        }
    }

    pub(super) const fn period(&self) -> u32 {
        self.period
    }

    pub(super) const fn bucket_nanos(&self) -> u64 {
        self.rates.bucket_nanos()
    }

    /// Takes in `count` successes of this period that came at `at` or soon after, all of them after the last failure.
    pub(super) fn succeed(&mut self, count: u32, at: Tick) {
        if matches!(self.phase, Phase::Closed) && count > 0 {
            self.consecutive_failures = 0;
            self.rates.add(at, count, 0);
        }
    }

    fn fail(&mut self, cause: Cause, now: Tick, rng: &mut Rng) {
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        self.rates.add(now, 0, 1);
        if let Some(why) = self.reason_to_open(cause, now) {
            self.open(why, now, rng);
        }
    }

    fn reason_to_open(&self, last: Cause, now: Tick) -> Option<Why> {
        let count = self.consecutive_failures;
        if count >= self.settings.failure_threshold {
            return Some(Why::ConsecutiveFailures { count, last });
        }
        let sum = self.rates.sum(now);
        let rate = sum.success_rate().filter(|&rate| rate < self.settings.success_rate)?;
        let attempts = sum.attempts();
        (attempts >= u64::from(self.settings.min_attempts)).then_some(Why::SuccessRate { rate, attempts, last })
    }

    fn end_probe(&mut self, verdict: Verdict, successes: u32, now: Tick, rng: &mut Rng) {
        match verdict {
            Verdict::Failure(cause) => self.open(Why::ProbeFailed(cause), now, rng),
            Verdict::Neither => self.phase = Phase::HalfOpen { probing: false, successes },
            Verdict::Success => {
                let successes = successes.saturating_add(1);
                if successes >= self.settings.success_threshold {
                    let proof = Proof { period: self.period, closed: now, openings: self.openings };
                    self.turn(Phase::Closed, Why::ProbesSucceeded(successes), now);
                    self.become_closed();
                    self.proof = Some(proof);
                } else {
                    self.phase = Phase::HalfOpen { probing: false, successes };
                }
            }
        }
    }

    fn open(&mut self, why: Why, now: Tick, rng: &mut Rng) {
        let until = now + self.open_time(rng);
        self.openings = self.openings.saturating_add(1);
        self.proof = None;
        self.opened_total += 1;
        self.turn(Phase::Open { until }, why, now);
    }

    fn open_time(&self, rng: &mut Rng) -> Duration {
        let doubled = self.settings.recovery_timeout.saturating_mul(1 << self.openings.min(MAX_DOUBLINGS));
        let whole = doubled.min(self.settings.max_recovery_timeout);
        whole - whole.mul_f64(JITTER * rng.f64())
    }

    fn become_closed(&mut self) {
        self.phase = Phase::Closed;
        self.proof = None;
        self.openings = 0;
        self.consecutive_failures = 0;
        self.rates.clear();
    }

    fn turn(&mut self, phase: Phase, why: Why, now: Tick) {
        let from = self.state();
        self.phase = phase;
        self.period = self.period.wrapping_add(1);
        if self.changes.len() == TRANSITIONS {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { at: now, from, to: self.state(), why });
    }
}

impl Change {
    fn show(&self, now: Tick) -> Transition {
        Transition {
            at: self.at,
            time: None,
            age_seconds: now.since(self.at).as_secs_f64(),
            from: self.from,
            to: self.to,
            reason: self.why.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
