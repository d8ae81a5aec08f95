//! An endpoint: what is said of it, and what was learned.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;

use crate::kit::clock::Tick;
use crate::model::{EndpointSpec, Weight};

use super::openings::Watchers;
use super::{Availability, Cause, Mask, Openings, Vitals};

/// No override; no weight has that many hundredths.
const NO_OVERRIDE: u32 = u32::MAX;

/// The share of its weight that an endpoint starts with, in percent.
const SLOW_START_PERCENT: u32 = 10;

/// The number of an endpoint's identity (pool and id) in this process: never used twice, the same over reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(u64);

impl Serial {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }
}

/// One replica: an immutable description and the shared state of its identity.
#[derive(Debug)]
pub struct Endpoint {
    /// What the config or discovery says.
    pub spec: EndpointSpec,
    /// What was learned.
    pub state: Arc<State>,
    mask: Mask,
    serial: Serial,
}

/// What all endpoints of a pool share, over reloads.
#[derive(Debug, Default)]
pub struct PoolState {
    epoch: Line,
    in_flight: Line,
    changed: Arc<Notify>,
}

/// A number on cache lines of its own: every pick of every worker reads the epoch, and must not wait for those that count.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicU64);

/// What was learned of an endpoint; outlives the description, shared by every worker.
#[derive(Debug)]
pub struct State {
    availability: Availability,
    vitals: Vitals,
    watchers: Watchers,
    /// In hundredths.
    weight_override: AtomicU32,
    /// Owned by `health`.
    degraded: AtomicBool,
    /// Nanoseconds since the start, plus 1; 0 before the endpoint was healthy.
    healthy_since: AtomicU64,
    serial: Serial,
    pool: Arc<PoolState>,
}

impl Endpoint {
    pub(super) fn new(spec: EndpointSpec, state: Arc<State>, mask: Mask) -> Self {
        let serial = state.serial;
        Self { spec, state, mask, serial }
    }

    /// Returns the number of its identity.
    pub const fn serial(&self) -> Serial {
        self.serial
    }

    /// Returns what it offers.
    pub const fn mask(&self) -> Mask {
        self.mask
    }

    /// Returns its figures.
    pub fn vitals(&self) -> &Vitals {
        &self.state.vitals
    }

    /// Returns its weight: an operator's, or the description's; half of it while the endpoint is degraded, but never 0 for that.
    pub fn weight(&self) -> Weight {
        let full = self.state.weight_override().unwrap_or(self.spec.weight);
        if self.state.is_degraded() { Weight::from_hundredths(full.hundredths().div_ceil(2)) } else { full }
    }

    /// Tells whether a slot is free; one load, and out of date at once.
    pub fn has_slot(&self) -> bool {
        self.spec.max_connections.is_none_or(|slots| self.vitals().in_flight() < slots)
    }

    /// Tells whether it takes new requests: available, and its weight is not 0.
    pub fn is_eligible(&self) -> bool {
        self.state.availability.is_available() && !self.weight().is_zero()
    }
}

impl PoolState {
    /// Returns a number that grows whenever an endpoint of the pool becomes available or not, or changes weight.
    pub fn epoch(&self) -> u64 {
        self.epoch.0.load(Acquire)
    }

    /// Returns the attempts that run on all endpoints of the pool, those that have left it included.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.0.load(Relaxed)
    }

    /// Returns what is notified of every such change, for the one task that watches the pool.
    pub const fn changed(&self) -> &Arc<Notify> {
        &self.changed
    }

    fn bump(&self) {
        // After the change itself, so that whoever sees the new epoch sees the change.
        self.epoch.0.fetch_add(1, AcqRel);
        self.changed.notify_one();
    }

    fn begin(&self) {
        self.in_flight.0.fetch_add(1, Relaxed);
    }

    fn end(&self) {
        self.in_flight.0.fetch_sub(1, Relaxed);
    }
}

impl State {
    pub(super) fn new(pool: Arc<PoolState>) -> Self {
        Self {
            availability: Availability::default(),
            vitals: Vitals::default(),
            watchers: Watchers::default(),
            weight_override: AtomicU32::new(NO_OVERRIDE),
            degraded: AtomicBool::new(false),
            healthy_since: AtomicU64::new(0),
            serial: Serial::next(),
            pool,
        }
    }

    /// Returns whether it may get new requests, and why not.
    pub const fn availability(&self) -> &Availability {
        &self.availability
    }

    /// Begins or ends a cause, tells pickers, and returns whether that changed the cause.
    pub fn set(&self, cause: Cause, holds: bool) -> bool {
        let changed = self.availability.set(cause, holds);
        if changed {
            self.pool.bump();
        }
        changed
    }

    /// Returns its figures.
    pub const fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// Returns what its pool shares.
    pub const fn pool(&self) -> &Arc<PoolState> {
        &self.pool
    }

    /// Begins an attempt.
    pub(super) fn begin(&self) {
        let taken = self.vitals.begin();
        self.watchers.follow(taken, || self.vitals.taken());
        self.pool.begin();
    }

    /// Begins an attempt when fewer than `slots` are in flight, and tells whether it did.
    pub(super) fn try_begin(&self, slots: u32) -> bool {
        let Some(taken) = self.vitals.try_begin(slots) else { return false };
        self.watchers.follow(taken, || self.vitals.taken());
        self.pool.begin();
        true
    }

    /// Ends an attempt; when this returns, its slot is free and can be found.
    pub(super) fn end(&self) {
        let before = self.vitals.end();
        self.watchers.follow(before, || self.vitals.taken());
        self.pool.end();
    }

    /// Lets the bit of `place` follow whether one of `slots` is free, until it is [unwatched](Self::unwatch).
    pub(super) fn watch(&self, openings: Arc<Openings>, place: usize, slots: u32) {
        self.watchers.add(openings, place, slots, || self.vitals.taken());
    }

    #[cfg(test)]
    pub(super) const fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Forgets a set.
    pub(super) fn unwatch(&self, openings: &Arc<Openings>) {
        self.watchers.remove(openings);
    }

    /// Returns the weight that an operator has set.
    pub fn weight_override(&self) -> Option<Weight> {
        let hundredths = self.weight_override.load(Acquire);
        (hundredths != NO_OVERRIDE).then(|| Weight::from_hundredths(hundredths))
    }

    /// Sets an operator's weight, or gives the description's its place back, and tells pickers.
    pub fn override_weight(&self, weight: Option<Weight>) {
        let hundredths = weight.map_or(NO_OVERRIDE, Weight::hundredths);
        if self.weight_override.swap(hundredths, AcqRel) != hundredths {
            self.pool.bump();
        }
    }

    /// Tells whether the endpoint counts for half, as health checks found it slow or it said so.
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Acquire)
    }

    /// Begins or ends that the endpoint counts for half, tells pickers, and returns whether that changed anything.
    ///
    /// It works through the weight, as slow start does: strategies that know no weight are not touched by it.
    pub fn set_degraded(&self, degraded: bool) -> bool {
        let changed = self.degraded.swap(degraded, AcqRel) != degraded;
        if changed {
            self.pool.bump();
        }
        changed
    }

    /// Notes that the endpoint is healthy; only the first time counts, and slow start begins there.
    pub fn mark_healthy(&self, now: Tick) {
        let nanos = now.as_nanos().saturating_add(1);
        if self.healthy_since.compare_exchange(0, nanos, AcqRel, Acquire).is_ok() {
            self.pool.bump();
        }
    }

    /// Returns when the endpoint was first healthy.
    pub fn healthy_since(&self) -> Option<Tick> {
        self.healthy_since.load(Acquire).checked_sub(1).map(Tick::from_nanos)
    }

    /// Returns the percentage of its weight that counts, from 10 to 100, linear over `window` from the first healthy moment.
    pub fn ramp_percent(&self, window: Option<Duration>, now: Tick) -> u32 {
        let Some(window) = window.filter(|window| !window.is_zero()) else { return 100 };
        let Some(since) = self.healthy_since() else { return SLOW_START_PERCENT };
        let passed = (now.since(since).as_secs_f64() / window.as_secs_f64()).min(1.0);
        SLOW_START_PERCENT + (f64::from(100 - SLOW_START_PERCENT) * passed) as u32
    }
}
