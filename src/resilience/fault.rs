//! Faults that an operator injects into a route to see what its clients do about them.
//!
//! Pure: time and chance are given.
//!
//! A fault ends by itself: whoever forgets it, it is gone at its time. Deliberately no config key: it lives in memory and not over a restart. Does not
//! delay or abort anything (`pool` does), and does not read the admin API's JSON (`admin` does).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use http::StatusCode;
use serde::Serialize;
use thiserror::Error;

use crate::kit::clock::Tick;

/// The longest delay; a longer one would be a request that hangs for ever.
const MAX_DELAY: Duration = Duration::from_secs(3600);

/// What an operator asks for, unchecked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wish {
    /// The share of requests, above 0 and up to 1.
    pub share: f64,
    /// How long a request is held before anything else.
    pub delay: Option<Duration>,
    /// The status that it is answered with.
    pub abort: Option<u16>,
    /// Whether its connection (its stream) is reset instead of an answer.
    pub reset: bool,
    /// How many bytes of the response's body pass in each second.
    pub slow_body: Option<u64>,
}

/// Why a wish is no fault.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum InvalidFault {
    /// Of no request, or of more than all.
    #[error("share {0} is not above 0 and at most 1")]
    Share(f64),
    /// Longer than an hour.
    #[error("delay is longer than 1h")]
    Delay,
    /// Not a client's or a server's error.
    #[error("abort {0} is not a status from 400 to 599")]
    Abort(u16),
    /// Two ends of one request.
    #[error("abort and reset exclude each other")]
    TwoEnds,
    /// A body that would never end.
    #[error("slow_body is 0 bytes per second")]
    SlowBody,
    /// A body that never comes.
    #[error("slow_body has no effect on a request that is aborted or reset")]
    NoBody,
    /// No fault at all.
    #[error("neither delay, abort, reset nor slow_body is given")]
    Nothing,
}

/// A checked fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    share: f64,
    injection: Injection,
}

/// What is done to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// How long it is held first.
    pub delay: Option<Duration>,
    /// How it ends then.
    pub end: End,
    /// How many bytes of the response's body pass in each second; at least 1.
    pub bytes_per_sec: Option<u64>,
}

/// How a request with a fault ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it would without.
    None,
    /// With this answer.
    Abort(StatusCode),
    /// Without an answer.
    Reset,
}

/// A fault that is switched on, as the admin API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Active {
    /// The share of requests.
    pub share: f64,
    /// How long each is held first, in seconds.
    pub delay_seconds: Option<f64>,
    /// The status that each is answered with.
    pub abort: Option<u16>,
    /// Whether each is reset.
    pub reset: bool,
    /// How many bytes of a body pass in each second.
    pub bytes_per_sec: Option<u64>,
    /// How long it still lasts, in seconds.
    pub remaining_seconds: f64,
}

/// The switch of one route's fault; off at first, shared by all workers. One load while it is off.
#[derive(Debug, Default)]
pub struct Switch {
    is_on: AtomicBool,
    current: Mutex<Option<Timed>>,
    injected_total: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Timed {
    fault: Fault,
    until: Tick,
}

impl Fault {
    /// Checks what an operator asks for.
    pub fn new(wish: &Wish) -> Result<Self, InvalidFault> {
        if !(wish.share > 0.0 && wish.share <= 1.0) {
            return Err(InvalidFault::Share(wish.share));
        }
        if wish.delay.is_some_and(|delay| delay > MAX_DELAY) {
            return Err(InvalidFault::Delay);
        }
        let end = match (wish.abort, wish.reset) {
            (Some(_), true) => return Err(InvalidFault::TwoEnds),
            (Some(status), false) => End::Abort(error_status(status).ok_or(InvalidFault::Abort(status))?),
            (None, true) => End::Reset,
            (None, false) => End::None,
        };
        match wish.slow_body {
            Some(0) => return Err(InvalidFault::SlowBody),
            Some(_) if end != End::None => return Err(InvalidFault::NoBody),
            None if end == End::None && wish.delay.is_none() => return Err(InvalidFault::Nothing),
            Some(_) | None => {}
        }
        Ok(Self { share: wish.share, injection: Injection { delay: wish.delay, end, bytes_per_sec: wish.slow_body } })
    }
}

fn error_status(status: u16) -> Option<StatusCode> {
    StatusCode::from_u16(status).ok().filter(|status| status.is_client_error() || status.is_server_error())
}

impl Switch {
    /// Switches `fault` on until `until`, in place of any other.
    pub fn set(&self, fault: Fault, until: Tick) {
        let mut current = self.lock();
        *current = Some(Timed { fault, until });
        self.is_on.store(true, Relaxed);
    }

    /// Switches it off.
    pub fn clear(&self) {
        let mut current = self.lock();
        *current = None;
        self.is_on.store(false, Relaxed);
    }

    /// Tells whether a fault is, or was until it expired, switched on; one load.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Returns what is switched on.
    pub fn active(&self, now: Tick) -> Option<Active> {
        self.current(now).map(|timed| timed.show(now))
    }

    /// Draws whether a request gets the fault.
    pub fn draw(&self, now: Tick, rng: &mut Rng) -> Option<Injection> {
        let Fault { share, injection } = self.current(now)?.fault;
        // Below 1, so that a share of 1 is all.
        (rng.f64() < share).then(|| {
            self.injected_total.fetch_add(1, Relaxed);
            injection
        })
    }

    /// Returns how many requests got a fault since the start.
    pub fn injected_total(&self) -> u64 {
        self.injected_total.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Timed>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self, now: Tick) -> Option<Timed> {
        if !self.is_on.load(Relaxed) {
            return None;
        }
        let mut current = self.lock();
        if current.is_some_and(|timed| timed.until <= now) {
            *current = None;
            self.is_on.store(false, Relaxed);
        }
        *current
    }
}

impl Timed {
    fn show(self, now: Tick) -> Active {
        let Fault { share, injection } = self.fault;
        Active {
            share,
            delay_seconds: injection.delay.map(|delay| delay.as_secs_f64()),
            abort: match injection.end {
                End::Abort(status) => Some(status.as_u16()),
                End::None | End::Reset => None,
            },
            reset: injection.end == End::Reset,
            bytes_per_sec: injection.bytes_per_sec,
            remaining_seconds: self.until.since(now).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests;
