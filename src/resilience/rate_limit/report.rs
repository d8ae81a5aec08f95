//! What a limit has counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use crate::kit::sharded::Sharded;
use crate::model::{Id, RateKey};

/// The counts of one limit, for some of the threads.
#[derive(Debug, Default)]
pub(super) struct Counts {
    allowed: AtomicU64,
    refused: AtomicU64,
    overflow: AtomicU64,
}

/// What became of the requests that one limit was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The limit.
    pub name: Id,
    /// Whose requests are counted together.
    pub key: RateKey,
    /// Requests that this limit and all others of the route let through.
    pub allowed_total: u64,
    /// Requests that it had no room for; where several limits had none, each has counted the request.
    pub refused_total: u64,
    /// Those of both whose key found no room, so that they were counted together with others of that kind.
    pub overflow_total: u64,
    /// Keys that have a bucket of their own now.
    pub keys: usize,
    /// Keys that may have one.
    pub max_keys: usize,
}

impl Counts {
    pub(super) fn count(&self, is_allowed: bool, is_overflow: bool) {
        let counter = if is_allowed { &self.allowed } else { &self.refused };
        counter.fetch_add(1, Relaxed);
        if is_overflow {
            self.overflow.fetch_add(1, Relaxed);
        }
    }
}

impl Report {
    pub(super) fn new(name: Id, key: RateKey, counts: &Sharded<Counts>, keys: usize, max_keys: usize) -> Self {
        Self {
            name,
            key,
            allowed_total: counts.sum(|counts| counts.allowed.load(Relaxed)),
            refused_total: counts.sum(|counts| counts.refused.load(Relaxed)),
            overflow_total: counts.sum(|counts| counts.overflow.load(Relaxed)),
            keys,
            max_keys,
        }
    }
}
