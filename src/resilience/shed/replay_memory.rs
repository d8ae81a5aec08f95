//! The memory in which request bodies are kept for further attempts, shared by all workers.
//!
//! Only counted here; the bytes are where the body is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number of bytes that all kept bodies share.
#[derive(Debug)]
pub struct ReplayMemory {
    used: AtomicU64,
    limit: AtomicU64,
}

/// The bytes that one body has of it; given back on drop.
#[derive(Debug)]
pub struct Hold {
    memory: Arc<ReplayMemory>,
    bytes: u64,
}

impl ReplayMemory {
    /// Nothing is used of `limit` bytes.
    pub const fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    /// Takes another limit; what is used stays used, even above it.
    pub fn configure(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
    }

    /// Returns how many bytes are used.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Takes `bytes` for one body; `None` when they do not fit.
    pub fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Hold> {
        self.take(bytes).then(|| Hold { memory: self.clone(), bytes })
    }

    fn take(&self, bytes: u64) -> bool {
        let limit = self.limit.load(Relaxed);
        let add = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit);
        // A body of no bytes needs no room, even where others use more than the limit.
        bytes == 0 || self.used.fetch_update(Relaxed, Relaxed, add).is_ok()
    }
}

impl Hold {
    /// Takes `bytes` more; tells whether they fit. What it has, it keeps either way.
    pub fn grow(&mut self, bytes: u64) -> bool {
        let fits = self.memory.take(bytes);
        if fits {
            // Never more than the limit together, so it cannot overflow.
            self.bytes += bytes;
        }
        fits
    }

    /// Returns how many bytes it has.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn a_body_that_does_not_fit_gets_nothing_and_what_is_dropped_is_given_back() {
        let memory = Arc::new(ReplayMemory::new(100));
        let mut first = memory.reserve(60).unwrap();
        assert!(memory.reserve(41).is_none());
        assert!(first.grow(40) && !first.grow(1) && first.grow(0));
        assert_eq!((first.bytes(), memory.used()), (100, 100));
        drop(first);
        assert_eq!(memory.used(), 0);
        assert!(memory.reserve(u64::MAX).is_none());
    }

    #[test]
    fn a_lower_limit_takes_nothing_away() {
        let memory = Arc::new(ReplayMemory::new(100));
        let mut hold = memory.reserve(80).unwrap();
        memory.configure(50);
        assert!(!hold.grow(1) && memory.reserve(1).is_none() && memory.reserve(0).is_some());
        assert_eq!(memory.used(), 80);
    }

    proptest! {
        #[test]
        fn used_is_the_sum_of_all_holds_and_never_above_the_limit(
            steps in prop::collection::vec((0_u8..3, 0_u64..60, 0_usize..5), 0..200),
        ) {
            let memory = Arc::new(ReplayMemory::new(100));
            let mut holds: Vec<Hold> = Vec::new();
            for (what, bytes, which) in steps {
                match what {
                    0 => holds.extend(memory.reserve(bytes)),
                    1 => drop((which < holds.len()).then(|| holds.swap_remove(which))),
                    _ => {
                        let fits = memory.used() + bytes <= 100;
                        prop_assert!(holds.get_mut(which).is_none_or(|hold| hold.grow(bytes) == fits));
                    }
                }
                prop_assert_eq!(memory.used(), holds.iter().map(Hold::bytes).sum::<u64>());
                prop_assert!(memory.used() <= 100);
            }
        }
    }
}
