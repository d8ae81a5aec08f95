//! Counts that many threads write and few read: a copy for each of some threads, added up when it is read.
//!
//! For what is shared by workers that do not know which one they are. What a worker counts by itself, with its number in hand, is `telemetry`'s.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Copies; more threads than that share, which costs them time and no count.
const COPIES: usize = 8;

thread_local! {
    static OWN: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed) % COPIES
    };
}

/// A value of which threads have copies of their own. What it holds must be atomic: a copy may have several writers.
#[derive(Debug, Default)]
pub struct Sharded<T>([Line<T>; COPIES]);

/// On cache lines of its own: 128 bytes, as processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line<T>(T);

impl<T> Sharded<T> {
    /// Returns the copy of this thread.
    pub fn own(&self) -> &T {
        let [first, ..] = &self.0;
        // A thread that ends has no number any more.
        let own = OWN.try_with(|own| *own).unwrap_or(0);
        &self.0.get(own).unwrap_or(first).0
    }

    /// Adds up what `value` reads from each copy.
    pub fn sum(&self, value: impl Fn(&T) -> u64) -> u64 {
        self.0.iter().map(|line| value(&line.0)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn what_many_threads_count_adds_up() {
        let counts = Sharded::<AtomicU64>::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * COPIES {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counts.own().fetch_add(1, Relaxed);
                    }
                });
            }
        });
        assert_eq!(counts.sum(|count| count.load(Relaxed)), 2000 * COPIES as u64);
    }

    #[test]
    fn threads_do_not_all_write_to_one_copy() {
        let counts = Sharded::<AtomicU64>::default();
        std::thread::scope(|scope| {
            for _ in 0..4 * COPIES {
                scope.spawn(|| counts.own().fetch_add(1, Relaxed));
            }
        });
        // How many is not certain: other tests of this process take numbers in between.
        assert!(counts.0.iter().filter(|line| line.0.load(Relaxed) > 0).count() > 1, "{counts:?}");
        assert_eq!(size_of::<Sharded<AtomicU64>>(), 128 * COPIES);
    }
}
