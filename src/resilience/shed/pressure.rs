//! How much of the process's limits is used, shared by all workers.
//!
//! Without a limit on requests none are counted, so that a process without limits pays for two loads of memory that nobody writes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::law::{admits, ceiling};
use crate::kit::clock::Tick;
use crate::model::{Overload, Priority};
use crate::resilience::queue::advice;

/// Stands for a limit that is not set.
const NONE: u32 = u32::MAX;

/// The same for memory.
const NO_MEMORY: u64 = u64::MAX;

/// The least that a refused client is asked to wait: what fits `Retry-After`.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// The most for memory: a process far above its memory limit needs requests to end, not only fewer new ones.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Of how long ago the pace is known.
const WINDOW: Duration = Duration::from_secs(10);

/// How much of the process's limits is used.
#[derive(Debug)]
pub struct Pressure {
    running: AtomicU32,
    /// Counted requests that have ended.
    left: AtomicU64,
    /// How many had at some moments of the window; looked at by those who are refused only.
    samples: Mutex<VecDeque<(Tick, u64)>>,
    memory: AtomicU64,
    max_requests: AtomicU32,
    max_memory: AtomicU64,
    /// The bits of an `f64`.
    reserve: AtomicU64,
}

/// A request that was let in; it leaves on drop.
#[derive(Debug)]
pub struct Permit {
    /// `None` when requests were not counted as it came.
    counted: Option<Arc<Pressure>>,
}

impl Pressure {
    /// Nothing is used yet.
    pub fn new(overload: &Overload) -> Self {
        let pressure = Self {
            running: AtomicU32::new(0),
            left: AtomicU64::new(0),
            samples: Mutex::default(),
            memory: AtomicU64::new(0),
            max_requests: AtomicU32::new(NONE),
            max_memory: AtomicU64::new(NO_MEMORY),
            reserve: AtomicU64::new(0),
        };
        pressure.configure(overload);
        pressure
    }

    /// Takes other limits; what is used stays used. Requests that came while there was no limit on them are not counted.
    pub fn configure(&self, overload: &Overload) {
        self.reserve.store(overload.reserve.to_bits(), Relaxed);
        self.max_memory.store(overload.max_memory.unwrap_or(NO_MEMORY), Relaxed);
        self.max_requests.store(overload.max_requests.unwrap_or(NONE), Relaxed);
    }

    /// Tells how much memory the process has; to be told about once a second.
    pub fn set_memory(&self, bytes: u64) {
        self.memory.store(bytes, Relaxed);
    }

    /// Lets a request of this priority in, or not.
    pub fn enter(self: &Arc<Self>, priority: Priority) -> Option<Permit> {
        let reserve = f64::from_bits(self.reserve.load(Relaxed));
        if !admits(priority, self.memory_used(), reserve) {
            return None;
        }
        let limit = self.max_requests.load(Relaxed);
        if limit == NONE {
            return Some(Permit { counted: None });
        }
        let count = |running: u32| admits(priority, share(running, limit), reserve).then(|| running.saturating_add(1));
        self.running.fetch_update(Relaxed, Relaxed, count).ok()?;
        Some(Permit { counted: Some(self.clone()) })
    }

    /// Returns how many of the counted requests run.
    pub fn running(&self) -> u32 {
        self.running.load(Relaxed)
    }

    /// Returns how much memory the process had when that was last told; 0 before.
    pub fn memory(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    /// Returns when a request of this priority that was refused may come again: when as many as are too many will have ended, at the pace of the
    /// last 10 s, from 1 s to 5 min. Of memory that is measured by nobody's end: 1 s, and 1 s more for each tenth above the limit, up to 10 s.
    pub fn retry_after(&self, priority: Priority, now: Tick) -> Duration {
        let over = (self.memory_used() - 1.0).clamp(0.0, 1.0);
        let memory = (LEAST_WAIT + LEAST_WAIT.mul_f64((over * 10.0).floor())).min(LONGEST_WAIT);
        let limit = self.max_requests.load(Relaxed);
        if limit == NONE {
            return memory;
        }
        let pace = self.pace(now);
        let room = f64::from(limit) * ceiling(priority, f64::from_bits(self.reserve.load(Relaxed)));
        let excess = f64::from(self.running()) - room;
        // It may come when what runs is below its room, so one has to end when it is just used up.
        if excess < 0.0 { memory } else { advice(excess as usize, pace, LEAST_WAIT).max(memory) }
    }

    /// Returns how many requests end in a second; `None` when less than a second is known.
    fn pace(&self, now: Tick) -> Option<f64> {
        let left = self.left.load(Relaxed);
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        while samples.front().is_some_and(|&(at, _)| now.since(at) > WINDOW) {
            samples.pop_front();
        }
        if samples.back().is_none_or(|&(at, _)| now.since(at) >= LEAST_WAIT) {
            samples.push_back((now, left));
        }
        let &(at, before) = samples.front()?;
        let seconds = now.since(at).as_secs_f64();
        // Where none has ended, one may now.
        (seconds >= 1.0).then(|| left.saturating_sub(before).max(1) as f64 / seconds)
    }

    fn memory_used(&self) -> f64 {
        let limit = self.max_memory.load(Relaxed);
        if limit == NO_MEMORY {
            return 0.0;
        }
        // Of sums beyond 2^53 bytes the last ones do not matter; 0 of 0 is all.
        self.memory.load(Relaxed).max(1) as f64 / limit as f64
    }
}

/// A limit of nothing is used up.
fn share(running: u32, limit: u32) -> f64 {
    if limit == 0 { f64::INFINITY } else { f64::from(running) / f64::from(limit) }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(pressure) = &self.counted {
            pressure.running.fetch_sub(1, Relaxed);
            pressure.left.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn overload(max_requests: Option<u32>, max_memory: Option<u64>) -> Overload {
        Overload { max_requests, max_memory, ..Overload::default() }
    }

    fn pressure(max_requests: Option<u32>, max_memory: Option<u64>) -> Arc<Pressure> {
        Arc::new(Pressure::new(&overload(max_requests, max_memory)))
    }

    fn fill(pressure: &Arc<Pressure>, priority: Priority) -> Vec<Permit> {
        std::iter::from_fn(|| pressure.enter(priority)).take(1000).collect()
    }

    #[test]
    fn unimportant_requests_leave_the_reserve_to_important_ones() {
        let pressure = pressure(Some(100), None);
        let unimportant = fill(&pressure, -10);
        let usual = fill(&pressure, 0);
        let important = fill(&pressure, 10);
        assert_eq!([unimportant.len(), usual.len(), important.len()], [80, 10, 10]);
        drop(important);
        assert!(pressure.enter(0).is_none());
        drop(unimportant);
        assert_eq!((pressure.running(), fill(&pressure, -10).len()), (10, 70));
    }

    #[test]
    fn without_limits_everybody_comes_in_and_nobody_is_counted() {
        let pressure = pressure(None, None);
        pressure.set_memory(u64::MAX);
        assert_eq!((fill(&pressure, -100).len(), pressure.running()), (1000, 0));
    }

    #[test]
    fn memory_sheds_by_the_same_law() {
        let pressure = pressure(None, Some(1000));
        for (memory, let_in) in
            [(0, [true; 3]), (799, [true; 3]), (800, [false, true, true]), (900, [false, false, true]), (1000, [false; 3])]
        {
            pressure.set_memory(memory);
            assert_eq!(pressure.memory(), memory);
            assert_eq!([-10, 0, 10].map(|priority| pressure.enter(priority).is_some()), let_in, "{memory}");
        }
    }

    #[test]
    fn a_limit_of_nothing_lets_nobody_in() {
        assert!(pressure(Some(0), None).enter(100).is_none());
        assert!(pressure(None, Some(0)).enter(100).is_none());
    }

    #[test]
    fn other_limits_count_what_runs_and_a_request_from_before_does_not_leave_twice() {
        let pressure = pressure(None, None);
        let uncounted = pressure.enter(0);
        pressure.configure(&overload(Some(10), None));
        let counted = fill(&pressure, 10);
        assert_eq!(counted.len(), 10);
        drop(uncounted);
        assert_eq!(pressure.running(), 10);
        pressure.configure(&overload(Some(5), None));
        assert!(pressure.enter(100).is_none());
        pressure.configure(&overload(None, None));
        drop(counted);
        assert_eq!(pressure.running(), 0);
    }

    #[test]
    fn the_wait_grows_with_what_is_over_the_limit() {
        let pressure = pressure(None, Some(1000));
        for (memory, seconds) in [(0, 1), (950, 1), (1099, 1), (1150, 2), (1550, 6), (9000, 10)] {
            pressure.set_memory(memory);
            assert_eq!(pressure.retry_after(0, Tick::default()), Duration::from_secs(seconds), "{memory}");
        }
    }

    #[test]
    fn the_wait_is_what_is_too_much_over_the_pace_at_which_requests_end() {
        let at = |ms: u64| Tick::from_nanos(ms * 1_000_000);
        let pressure = pressure(Some(100), None);
        let mut running = fill(&pressure, 10);
        assert_eq!(pressure.retry_after(10, at(0)), Duration::from_secs(1), "nothing is known yet");
        // Two in a second end, and others come.
        for second in 1..=8 {
            running.truncate(98);
            running.extend(fill(&pressure, 10));
            assert_eq!((running.len(), pressure.retry_after(10, at(second * 1000))), (100, Duration::from_secs(1)));
        }
        // Of priority -10, 21 have to end first.
        assert_eq!(pressure.retry_after(-10, at(8_000)), Duration::from_millis(10_500));
        // Nobody ends any more.
        assert!(pressure.retry_after(10, at(30_000)) >= Duration::from_secs(1));
        assert_eq!(pressure.retry_after(10, at(36_000)), Duration::from_secs(6));
        drop(running);
        assert_eq!(pressure.retry_after(10, at(36_000)), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn what_runs_is_what_came_in_and_has_not_left(
            limit in prop::option::of(0_u32..50), steps in prop::collection::vec((any::<bool>(), any::<i8>()), 0..300),
        ) {
            let pressure = pressure(limit, None);
            let mut running = Vec::new();
            for (enters, priority) in steps {
                if enters {
                    running.extend(pressure.enter(priority));
                } else {
                    running.pop();
                }
                prop_assert_eq!(pressure.running() as usize, if limit.is_some() { running.len() } else { 0 });
                prop_assert!(limit.is_none_or(|limit| pressure.running() <= limit));
            }
        }
    }
}
