//! The clock of a pool's breakers and of the ejection of its outliers: one task that waits for the next moment at which something is due.
//!
//! A breaker that opens rings; until then, and while all are closed, the task sleeps from one judgement of outliers to the next.
//! Deliberately not here: the machines themselves, which are `resilience`'s and reach this task as [`Alarm`] and [`Judge`].

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::passive::{Sample, Sampler};
use crate::endpoint::Endpoint;
use crate::kit::clock::{self, Tick};

/// The shortest sleep: a machine that is due again at once must not keep a thread busy.
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// A machine that changes by itself when time has passed, such as an open breaker.
pub trait Alarm {
    /// Does what is due by `now`, and returns when it wants to be woken next.
    fn wake(&self, now: Tick) -> Option<Tick>;
}

/// Whoever ejects endpoints that are worse than their peers, and lets them return.
pub trait Judge {
    /// Looks at the pool; `samples` are in the order of `endpoints`.
    fn judge(&self, endpoints: &[Arc<Endpoint>], samples: &[Sample], now: Tick);
}

/// What a guard looks after.
#[derive(Clone, Default)]
pub struct Rounds {
    /// The breakers.
    pub alarms: Vec<Arc<dyn Alarm + Send + Sync>>,
    /// The endpoints, for the judge.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The judge, and how often it looks; `None` is off.
    pub judge: Option<(Arc<dyn Judge + Send + Sync>, Duration)>,
}

/// The running clock of one pool; dropped, it stands still.
#[derive(Debug)]
pub struct Guard {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    rounds: Mutex<Arc<Rounds>>,
    /// Rung by a machine whose time has changed.
    bell: Arc<Notify>,
    changed: Notify,
}

impl fmt::Debug for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interval = self.judge.as_ref().map(|(_, interval)| interval);
        f.debug_struct("Rounds").field("alarms", &self.alarms.len()).field("interval", &interval).finish_non_exhaustive()
    }
}

impl Guard {
    /// Starts on the present runtime; whoever rings `bell` has the alarms asked again.
    pub fn start(rounds: Rounds, bell: Arc<Notify>) -> Self {
        let shared = Arc::new(Shared { rounds: Mutex::new(Arc::new(rounds)), bell, changed: Notify::new() });
        let task = tokio::spawn(run(Arc::clone(&shared)));
        Self { shared, task }
    }

    /// Takes what is to be looked after from now on; the time of the next judgement stays, unless it would be later than the interval says.
    pub fn update(&self, rounds: Rounds) {
        *self.shared.rounds.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rounds);
        self.shared.changed.notify_one();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(shared: Arc<Shared>) {
    let mut session = Session::default();
    loop {
        // Made before the alarms are asked: from then on it misses no bell, polled or not.
        let rung = shared.bell.notified();
        let rounds = Arc::clone(&shared.rounds.lock().unwrap_or_else(PoisonError::into_inner));
        let now = clock::now();
        let judgement = session.attend(&rounds, now);
        let wake = rounds.alarms.iter().filter_map(|alarm| alarm.wake(now)).chain(judgement).min();
        // Every branch is cancel safe: each is only a reason to look again.
        tokio::select! {
            () = rung => {}
            () = shared.changed.notified() => {}
            () = until(wake, now) => {}
        }
    }
}

/// The samples of the judge, and when it looks next.
#[derive(Debug, Default)]
struct Session {
    sampler: Sampler,
    next: Option<Tick>,
}

impl Session {
    /// Lets the judge look if it is time, and returns when it is time again.
    fn attend(&mut self, rounds: &Rounds, now: Tick) -> Option<Tick> {
        let Some((judge, interval)) = &rounds.judge else {
            *self = Self::default();
            return None;
        };
        match self.next {
            None => {
                // Only begins to count: there is nothing to judge yet.
                self.sampler.sample(&rounds.endpoints);
                self.next = Some(now + *interval);
            }
            Some(next) if next <= now => {
                judge.judge(&rounds.endpoints, &self.sampler.sample(&rounds.endpoints), now);
                self.next = Some(now + *interval);
            }
            Some(next) => self.next = Some(next.min(now + *interval)),
        }
        self.next
    }
}

async fn until(wake: Option<Tick>, now: Tick) {
    match wake {
        Some(wake) => sleep(wake.since(now).max(MIN_SLEEP)).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
