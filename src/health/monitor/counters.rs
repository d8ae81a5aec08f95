//! What the checks of a pool have done, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::health::verdict::Finding;

/// What the checks of a pool have done since they began.
#[derive(Debug, Default)]
pub struct Counters {
    ok: AtomicU64,
    degraded: AtomicU64,
    bad: AtomicU64,
    transitions: AtomicU64,
    heals: AtomicU64,
    failed_heals: AtomicU64,
}

impl Counters {
    /// Returns the checks with this result.
    pub fn checks(&self, finding: Finding) -> u64 {
        self.of(finding).load(Relaxed)
    }

    /// Returns how often an endpoint changed its standing.
    pub fn transitions(&self) -> u64 {
        self.transitions.load(Relaxed)
    }

    /// Returns how often something was done about an endpoint that stays down.
    pub fn heals(&self) -> u64 {
        self.heals.load(Relaxed)
    }

    /// Returns how often that failed.
    pub fn failed_heals(&self) -> u64 {
        self.failed_heals.load(Relaxed)
    }

    const fn of(&self, finding: Finding) -> &AtomicU64 {
        match finding {
            Finding::Ok => &self.ok,
            Finding::Degraded => &self.degraded,
            Finding::Bad => &self.bad,
        }
    }

    pub(super) fn count_check(&self, finding: Finding) {
        self.of(finding).fetch_add(1, Relaxed);
    }

    pub(super) fn count_transition(&self) {
        self.transitions.fetch_add(1, Relaxed);
    }

    pub(super) fn count_heal<E>(&self, result: &Result<(), E>) {
        let counter = if result.is_ok() { &self.heals } else { &self.failed_heals };
        counter.fetch_add(1, Relaxed);
    }
}
