//! Who leads, as one candidate sees it. Pure.
//!
//! The algorithm is that of client-go's `leaderelection`. A lease is over when it has not changed for its duration by the clock of the candidate
//! that looks at it; the times inside are the holder's, and are only compared for being others than before. A holder counts from the moment at
//! which it sent its last good renewal, which is before anybody can have seen it, and stops a margin before that time is over. So whoever takes
//! over does it after the holder has stopped, as long as their clocks do not run apart by more than the margin.
//!
//! Deliberately not here: calls, timers, and what is done about the result (`leadership.rs`).

use std::time::Duration;

use crate::kit::clock::Tick;
use crate::platform::kubernetes::LeaseRecord;

/// The share of the lease in which its holder does not act any more: for clocks that run apart, and for calls that are on their way.
const MARGIN: u32 = 5;

/// What a candidate goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Its name; no other candidate, and no earlier life of this one, has the same.
    pub identity: String,
    /// How long the lease is good without renewal, in seconds; at least 1.
    pub seconds: u32,
    /// How often it is renewed, and looked at.
    pub renew: Duration,
}

/// The present by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The monotonic clock, by which is decided.
    pub tick: Tick,
    /// Microseconds since 1970. A machine that was suspended may have lost the monotonic time meanwhile; this clock can only end a leadership.
    pub wall: i64,
}

/// What a candidate is to do next; `V` is the version of the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<V> {
    /// Nothing until then.
    Wait(Tick),
    /// To look at the lease.
    Look,
    /// To write the lease over the version that was seen, or to make it.
    Write {
        /// What is written.
        record: LeaseRecord,
        /// The version that it replaces; `None` to make it.
        over: Option<V>,
    },
}

/// What came of a [`Step::Write`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written<V> {
    /// It stands, as this version.
    Done(V),
    /// Somebody else was faster.
    Lost,
    /// Nobody knows.
    Failed,
}

/// One candidate.
#[derive(Clone, Debug)]
pub struct Election<V> {
    terms: Terms,
    known: Known<V>,
    /// Whether what is known must be looked at again before it is written over.
    is_stale: bool,
    /// When the last good renewal was sent.
    renewed: Option<Moment>,
    next: Tick,
}

#[derive(Clone, Debug)]
enum Known<V> {
    /// Nobody has looked yet.
    Nothing,
    /// There is no lease, and one may be made from then on.
    Absent(Tick),
    /// There is one.
    Seen {
        record: LeaseRecord,
        version: V,
        /// Since when it has not changed.
        since: Tick,
    },
}

impl Terms {
    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.max(1).into())
    }

    /// How long the holder acts after it sent a renewal.
    fn acts_for(&self) -> Duration {
        self.duration() - self.duration() / MARGIN
    }

    /// How long a call may take that the holder begins at any time between two renewals: a quarter of what is left is for renewals that are late.
    pub fn call_limit(&self) -> Duration {
        self.acts_for().saturating_sub(self.renew) / 4 * 3
    }

    /// How soon it is tried again after a failure.
    fn retry(&self) -> Duration {
        self.renew / 2
    }
}

impl<V: Clone> Election<V> {
    /// A candidate who has not looked yet.
    pub const fn new(terms: Terms) -> Self {
        Self { terms, known: Known::Nothing, is_stale: false, renewed: None, next: Tick::from_nanos(0) }
    }

    /// Returns what it goes by.
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Returns what the lease said last.
    pub const fn record(&self) -> Option<&LeaseRecord> {
        match &self.known {
            Known::Seen { record, .. } => Some(record),
            Known::Nothing | Known::Absent(_) => None,
        }
    }

    /// Says what is to be done now.
    pub fn step(&self, now: Moment) -> Step<V> {
        if now.tick < self.next {
            return Step::Wait(self.next);
        }
        match &self.known {
            Known::Absent(from) if !self.is_stale && *from <= now.tick => {
                Step::Write { record: self.claim(None, now.wall), over: None }
            }
            Known::Seen { record, version, since } if !self.is_stale && self.is_takeable(record, *since, now.tick) => {
                Step::Write { record: self.claim(Some(record), now.wall), over: Some(version.clone()) }
            }
            _ => Step::Look,
        }
    }

    /// Tells whether the lease is its own, nobody's, or over.
    fn is_takeable(&self, record: &LeaseRecord, since: Tick, now: Tick) -> bool {
        record.holder.is_empty() || record.holder == self.terms.identity || now >= since + length(record)
    }

    /// What it writes to hold the lease.
    fn claim(&self, old: Option<&LeaseRecord>, wall: i64) -> LeaseRecord {
        let own = old.filter(|old| old.holder == self.terms.identity);
        // Others tell a renewal by its time being another: a wall clock that stands still must not hide one.
        let renewed = if old.is_some_and(|old| old.renewed == wall) { wall.saturating_add(1) } else { wall };
        LeaseRecord {
            holder: self.terms.identity.clone(),
            seconds: self.terms.seconds.max(1),
            acquired: own.map_or(renewed, |own| own.acquired),
            renewed,
            transitions: old.map_or(0, |old| old.transitions.saturating_add(u32::from(own.is_none()))),
        }
    }

    /// Takes in what the lease says; `now` is when the answer was there.
    pub fn saw(&mut self, now: Tick, lease: Option<(LeaseRecord, V)>) {
        self.is_stale = false;
        let (known, next) = match lease {
            None => self.missed(now),
            Some((record, version)) => {
                let since = match &self.known {
                    Known::Seen { record: old, since, .. } if *old == record => *since,
                    _ => now,
                };
                if record.holder != self.terms.identity {
                    self.renewed = None;
                }
                let next = if self.is_takeable(&record, since, now) { now } else { self.later(now, since + length(&record)) };
                (Known::Seen { record, version, since }, next)
            }
        };
        self.known = known;
        self.next = next;
    }

    /// There is no lease. If somebody took away one that was held, its holder may not know yet, and has the time that it was promised.
    fn missed(&self, now: Tick) -> (Known<V>, Tick) {
        let from = match &self.known {
            Known::Seen { record, since, .. } if !self.is_takeable(record, *since, now) => *since + length(record),
            Known::Absent(from) => (*from).max(now),
            Known::Seen { .. } | Known::Nothing => now,
        };
        (Known::Absent(from), self.later(now, from))
    }

    /// When it looks again: at its usual time, or as soon as there is something to be won.
    fn later(&self, now: Tick, chance: Tick) -> Tick {
        (now + self.terms.renew).min(chance.max(now))
    }

    /// Takes in what came of writing `record`; `sent` is when it was sent, `now` when the answer was there.
    pub fn wrote(&mut self, record: LeaseRecord, sent: Moment, now: Tick, written: Written<V>) {
        match written {
            Written::Done(version) => {
                self.renewed = Some(sent);
                self.known = Known::Seen { record, version, since: now };
                self.next = (sent.tick + self.terms.renew).max(now);
            }
            Written::Lost => {
                self.is_stale = true;
                self.next = now;
            }
            Written::Failed => self.failed(now),
        }
    }

    /// Takes in that nobody answered.
    pub fn failed(&mut self, now: Tick) {
        self.is_stale = true;
        self.next = now + self.terms.retry();
    }

    /// Tells until when it may act; `None` when it does not lead.
    pub fn may_act(&self, now: Moment) -> Option<Tick> {
        let renewed = self.renewed?;
        let acts_for = self.terms.acts_for();
        let by_wall = Duration::from_micros(u64::try_from(now.wall.saturating_sub(renewed.wall)).unwrap_or(0));
        let left = acts_for.checked_sub(now.tick.since(renewed.tick).max(by_wall))?;
        (!left.is_zero()).then(|| now.tick + left)
    }

    /// Stops to lead, and says what is to be written so that nobody waits for the lease to be over; `None` when it is not its own.
    pub fn release(&mut self, wall: i64) -> Option<(LeaseRecord, V)> {
        self.renewed = None;
        let Known::Seen { record, version, .. } = &self.known else { return None };
        let free = || LeaseRecord { holder: String::new(), seconds: 1, ..self.claim(Some(record), wall) };
        (record.holder == self.terms.identity).then(|| (free(), version.clone()))
    }
}

/// How long a lease is good after it was last seen to change.
fn length(record: &LeaseRecord) -> Duration {
    Duration::from_secs(record.seconds.max(1).into())
}

#[cfg(test)]
mod tests;
