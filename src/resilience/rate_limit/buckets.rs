//! The buckets of one limit: one for each key, up to a bound.
//!
//! A key whose bucket is full again is as good as a key that was never seen, so such buckets are what is thrown away when there are too
//! many. When none can be, new keys share one bucket: an attacker with many addresses can make newcomers share, but neither fill the memory nor
//! get past the limit, and whoever has a bucket of their own keeps it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use dashmap::{DashMap, Entry};

use super::report::Counts;
use crate::kit::clock::Tick;
use crate::kit::gcra::{Decision, Gcra, Rate};
use crate::kit::sharded::Sharded;

/// Keys with a bucket of their own; all of them take some 5 MB.
pub(super) const MAX_KEYS: usize = 100_000;

/// The least time between two sweeps: one looks at every bucket, which takes milliseconds that a flood of keys must not cost each request.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The buckets of one limit.
#[derive(Debug)]
pub(super) struct Buckets {
    /// For requests without a key.
    common: Gcra,
    keyed: DashMap<u64, Gcra>,
    /// Counts `keyed` with those that are about to be in it: asking the map would lock all of it.
    keys: AtomicUsize,
    capacity: usize,
    /// For keys that find no room.
    overflow: Gcra,
    next_sweep: AtomicU64,
    counts: Sharded<Counts>,
}

/// Where something was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Common,
    Key(u64),
    Overflow,
}

impl Buckets {
    /// No key was seen yet; at most `capacity` get a bucket of their own.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            common: Gcra::default(),
            keyed: DashMap::new(),
            keys: AtomicUsize::new(0),
            capacity,
            overflow: Gcra::default(),
            next_sweep: AtomicU64::new(0),
            counts: Sharded::default(),
        }
    }

    /// Asks for one request.
    pub(super) fn take(&self, key: Option<u64>, now: Tick, rate: Rate) -> (Decision, Place) {
        let Some(key) = key else { return (self.common.take(now, rate), Place::Common) };
        if let Some(bucket) = self.keyed.get(&key) {
            return (bucket.take(now, rate), Place::Key(key));
        }
        if !self.make_room(now) {
            return (self.overflow.take(now, rate), Place::Overflow);
        }
        let decision = match self.keyed.entry(key) {
            Entry::Vacant(entry) => entry.insert(Gcra::default()).take(now, rate),
            Entry::Occupied(entry) => {
                // Another worker was faster.
                self.keys.fetch_sub(1, Relaxed);
                entry.get().take(now, rate)
            }
        };
        (decision, Place::Key(key))
    }

    /// Tells what [`Buckets::take`] would say.
    pub(super) fn look(&self, key: Option<u64>, now: Tick, rate: Rate) -> (Decision, Place) {
        let Some(key) = key else { return (self.common.look(now, rate), Place::Common) };
        match self.keyed.get(&key) {
            Some(bucket) => (bucket.look(now, rate), Place::Key(key)),
            None if self.keys.load(Relaxed) < self.capacity || self.may_sweep(now) => {
                (Gcra::default().look(now, rate), Place::Key(key))
            }
            None => (self.overflow.look(now, rate), Place::Overflow),
        }
    }

    /// Counts a request about which the last word is spoken.
    pub(super) fn count(&self, decision: Decision, place: Place) {
        self.counts.own().count(matches!(decision, Decision::Allowed { .. }), place == Place::Overflow);
    }

    pub(super) const fn counts(&self) -> &Sharded<Counts> {
        &self.counts
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns how many keys have a bucket.
    pub(super) fn keys(&self) -> usize {
        self.keys.load(Relaxed)
    }

    /// Gives back what was just taken, and would have been paid for at `paid`.
    pub(super) fn give_back(&self, place: Place, paid: Tick, rate: Rate) {
        match place {
            Place::Common => self.common.give_back(paid, rate),
            Place::Overflow => self.overflow.give_back(paid, rate),
            Place::Key(key) => {
                // One that is gone was full.
                if let Some(bucket) = self.keyed.get(&key) {
                    bucket.give_back(paid, rate);
                }
            }
        }
    }

    /// Goes over to another rate: what was used stays used.
    pub(super) fn convert(&self, now: Tick, from: Rate, to: Rate) {
        for bucket in [&self.common, &self.overflow] {
            bucket.convert(now, from, to);
        }
        for bucket in &self.keyed {
            bucket.convert(now, from, to);
        }
    }

    /// Counts one key more, if there is room or some can be made.
    fn make_room(&self, now: Tick) -> bool {
        if self.count_one() {
            return true;
        }
        if self.may_sweep(now) {
            let next = self.next_sweep.load(Relaxed);
            let later = (now + SWEEP_INTERVAL).as_nanos();
            if self.next_sweep.compare_exchange(next, later, Relaxed, Relaxed).is_ok() {
                self.sweep(now);
            }
        }
        self.count_one()
    }

    fn count_one(&self) -> bool {
        self.keys.fetch_update(Relaxed, Relaxed, |keys| (keys < self.capacity).then_some(keys + 1)).is_ok()
    }

    fn may_sweep(&self, now: Tick) -> bool {
        now.as_nanos() >= self.next_sweep.load(Relaxed)
    }

    fn sweep(&self, now: Tick) {
        self.keyed.retain(|_, bucket| {
            let full = bucket.is_full(now);
            if full {
                self.keys.fetch_sub(1, Relaxed);
            }
            !full
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.keys.load(Relaxed), self.keyed.len());
        self.keyed.len()
    }
}
