//! Counts what was copied to a shadow pool.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// What became of a route's copies; shared by workers.
#[derive(Debug, Default)]
pub struct Shadow {
    sent: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
}

/// What a [`Shadow`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Copies that were sent.
    pub sent_total: u64,
    /// Those of them that were not answered to the last byte.
    pub failed_total: u64,
    /// Requests that should have been copied, but whose body was too large or not here, or for which too many copies ran.
    pub skipped_total: u64,
}

impl Shadow {
    /// A copy is sent.
    pub fn sent(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    /// A copy was not answered.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    /// A request was not copied.
    pub fn skipped(&self) {
        self.skipped.fetch_add(1, Relaxed);
    }

    /// Returns what has been counted.
    pub fn report(&self) -> Report {
        Report {
            sent_total: self.sent.load(Relaxed),
            failed_total: self.failed.load(Relaxed),
            skipped_total: self.skipped.load(Relaxed),
        }
    }
}
