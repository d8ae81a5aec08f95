//! Knative's autoscaler as a reference: a mean over a minute, one over six seconds for surges. Pure.
//!
//! Knative Serving documentation, "Configuring autoscaling" with the defaults of `config-autoscaler`, and `pkg/autoscaler/scaling/autoscaler.go` of
//! knative/serving. Its activator is the pool's queue here: it sees those who wait. Scale to zero is simplified: nothing in the stable window is zero.

use super::sizer::{Look, Sizer, needed};
use super::windows::Windows;

/// `tick-interval`.
const TICK_US: u64 = 2_000_000;

/// `stable-window`.
const STABLE_US: u64 = 60_000_000;

/// `panic-window-percentage` of the stable window.
const PANIC_US: u64 = 6_000_000;

/// `panic-threshold-percentage`.
const THRESHOLD: f64 = 2.0;

/// `max-scale-up-rate`.
const UP_RATE: u32 = 1000;

/// `max-scale-down-rate`.
const DOWN_RATE: u32 = 2;

/// The autoscaler.
#[derive(Debug)]
pub(super) struct Knative {
    target: f64,
    min_replicas: u32,
    max_replicas: u32,
    concurrency: Windows,
    panic: Option<Panicking>,
}

/// A surge.
#[derive(Clone, Copy, Debug)]
struct Panicking {
    last_us: u64,
    replicas: u32,
}

impl Knative {
    /// Makes one of whose replicas each is for `target` requests.
    pub(super) const fn new(target: f64, min_replicas: u32, max_replicas: u32) -> Self {
        Self { target, min_replicas, max_replicas, concurrency: Windows::new(STABLE_US + TICK_US), panic: None }
    }

    fn need(&self, now_us: u64, window_us: u64, ready: u32) -> Option<u32> {
        let mean = self.concurrency.mean(now_us.saturating_sub(window_us), now_us)?;
        Some(needed(mean, self.target).clamp(ready / DOWN_RATE, ready.saturating_mul(UP_RATE)))
    }
}

impl Sizer for Knative {
    fn decide(&mut self, look: &Look<'_>) -> u32 {
        let now = look.now_us;
        self.concurrency.push(now, look.totals.in_flight_us + look.totals.queued_us);
        let current = look.census.starting + look.census.ready;
        let ready = look.census.ready.max(1);
        let (Some(stable), Some(fast)) = (self.need(now, STABLE_US, ready), self.need(now, PANIC_US, ready)) else {
            return current;
        };
        let is_surge = f64::from(fast) / f64::from(ready) >= THRESHOLD;
        match &mut self.panic {
            Some(panic) if is_surge => panic.last_us = now,
            Some(panic) if now - panic.last_us > STABLE_US => self.panic = None,
            None if is_surge => self.panic = Some(Panicking { last_us: now, replicas: 0 }),
            Some(_) | None => {}
        }
        let wanted = match &mut self.panic {
            // Nothing goes in a surge.
            Some(panic) => {
                panic.replicas = panic.replicas.max(fast).max(stable).max(look.census.ready);
                panic.replicas
            }
            None => stable,
        };
        wanted.clamp(self.min_replicas, self.max_replicas)
    }

    fn next_us(&self, now_us: u64) -> Option<u64> {
        Some(now_us + TICK_US)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fleet::Census;
    use super::super::sizer::Totals;
    use super::*;

    /// Returns the replicas at the end of each tick, which are ready at once.
    fn course(load: &[(u64, u64)], first: u32) -> Vec<u32> {
        let mut knative = Knative::new(2.0, 0, 50);
        let mut totals = Totals::default();
        let (mut now_us, mut ready, mut seen) = (0, first, Vec::new());
        for &(ticks, concurrency) in load {
            for _ in 0..ticks {
                let census = Census { ready, ..Census::default() };
                let look =
                    Look { now_us, census, queued: 0, oldest_us: 0, queue_full: false, idle_us: 0, busy: None, totals: &totals };
                ready = knative.decide(&look);
                seen.push(ready);
                totals.queued_us += concurrency * TICK_US;
                now_us += TICK_US;
            }
        }
        seen
    }

    #[test]
    fn a_surge_is_answered_within_its_short_window_and_nothing_goes_for_a_minute() {
        let course = course(&[(30, 8), (3, 40), (20, 8), (60, 8)], 4);
        assert_eq!(course[..31], [4; 31]);
        // Means over six seconds: 8 + 32/3, 8 + 64/3, 40; two for each replica.
        assert_eq!(course[31..34], [10, 15, 20]);
        assert_eq!(course[34..62], [20; 28]);
        assert_eq!(course.last(), Some(&4));
    }

    #[test]
    fn it_halves_at_most_and_goes_to_zero_when_nothing_came() {
        let course = course(&[(31, 16), (40, 0)], 8);
        assert!(course.windows(2).all(|pair| pair[1] >= pair[0] / 2), "{course:?}");
        assert_eq!(course.last(), Some(&0));
    }
}
