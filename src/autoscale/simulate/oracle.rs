//! The perfect oracle: knows every request beforehand and orders replicas so early that they serve when they are needed. Pure.
//!
//! Needs are those of `demand` with the objective as the longest wait, in whole replicas. The n-th replica is needed whenever at least n are; between
//! two such times it stays when the gap is no longer than a start, as it would have to be ordered before it were gone. Nobody waits beyond the
//! objective, unless `max_replicas` is too low; the number of replicas is close to the least with which that is so, not proven to be it.

use super::demand::Step;
use super::sizer::{Drained, Look, Sizer, needed};

/// What it needs to know beside the needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Knowledge {
    /// Slots of a replica.
    pub(super) slots: u32,
    /// The longest time from an order until a replica serves, in microseconds.
    pub(super) startup_us: u64,
    /// The fewest replicas.
    pub(super) min_replicas: u32,
    /// The most replicas.
    pub(super) max_replicas: u32,
}

/// Orders by a plan.
#[derive(Debug)]
pub(super) struct Oracle {
    first: u32,
    plan: Vec<(u64, u32)>,
    done: usize,
}

/// One of the replicas, the n-th that is needed.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    since_us: Option<u64>,
    left_us: Option<u64>,
}

impl Oracle {
    /// Makes the plan.
    pub(super) fn new(steps: &[Step], knowledge: &Knowledge) -> Self {
        let mut changes = Vec::new();
        let mut levels: Vec<Level> = Vec::new();
        let mut now = 0;
        for step in steps {
            let least = needed(f64::from(step.slots), f64::from(knowledge.slots));
            let wanted = least.clamp(knowledge.min_replicas, knowledge.max_replicas);
            for level in now.min(wanted)..now.max(wanted) {
                let index = usize::try_from(level).unwrap_or(usize::MAX);
                if levels.len() <= index {
                    levels.push(Level::default());
                }
                let Some(level) = levels.get_mut(index) else { continue };
                if now < wanted {
                    level.enter(step.at_us, knowledge.startup_us, &mut changes);
                } else {
                    level.left_us = Some(step.at_us);
                }
            }
            now = wanted;
        }
        levels.iter().for_each(|level| level.close(knowledge.startup_us, &mut changes));
        Self::from(changes, knowledge.min_replicas)
    }

    fn from(mut changes: Vec<(u64, i64)>, min_replicas: u32) -> Self {
        changes.sort_unstable();
        let mut count = 0_i64;
        let mut plan: Vec<(u64, u32)> = Vec::new();
        for (at_us, change) in changes {
            count += change;
            let replicas = u32::try_from(count).unwrap_or(0).max(min_replicas);
            match plan.last_mut() {
                Some(last) if last.0 == at_us => last.1 = replicas,
                _ => plan.push((at_us, replicas)),
            }
        }
        let (first, done) = plan.first().filter(|step| step.0 == 0).map_or((min_replicas, 0), |step| (step.1, 1));
        Self { first, plan, done }
    }
}

impl Level {
    /// Begins to need it, once more if it has been needed before.
    fn enter(&mut self, at_us: u64, startup_us: u64, changes: &mut Vec<(u64, i64)>) {
        if self.left_us.is_none_or(|left| at_us - left > startup_us) {
            self.close(startup_us, changes);
            self.since_us = Some(at_us);
        }
        self.left_us = None;
    }

    /// Writes down when it is ordered and when it goes.
    fn close(&self, startup_us: u64, changes: &mut Vec<(u64, i64)>) {
        changes.extend(self.since_us.map(|since| (since.saturating_sub(startup_us), 1)));
        changes.extend(self.left_us.map(|left| (left, -1)));
    }
}

impl Sizer for Oracle {
    fn first(&self) -> Option<u32> {
        Some(self.first)
    }

    fn decide(&mut self, look: &Look<'_>) -> u32 {
        while self.plan.get(self.done).is_some_and(|step| step.0 <= look.now_us) {
            self.done += 1;
        }
        self.done.checked_sub(1).and_then(|last| self.plan.get(last)).map_or(self.first, |step| step.1)
    }

    fn next_us(&self, _now_us: u64) -> Option<u64> {
        self.plan.get(self.done).map(|step| step.0)
    }

    fn drained(&self) -> Drained {
        Drained::ComeBack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(steps: &[(u64, u32)], min_replicas: u32, max_replicas: u32) -> (u32, Vec<(u64, u32)>) {
        let steps: Vec<_> = steps.iter().map(|&(at_us, slots)| Step { at_us, slots }).collect();
        let oracle = Oracle::new(&steps, &Knowledge { slots: 2, startup_us: 10, min_replicas, max_replicas });
        (oracle.first, oracle.plan)
    }

    #[test]
    fn replicas_are_ordered_so_early_that_they_serve_in_time() {
        assert_eq!(plan(&[(50, 3), (70, 1), (90, 0)], 0, 9), (0, vec![(40, 2), (70, 1), (90, 0)]));
    }

    #[test]
    fn what_is_needed_at_once_is_there_from_the_beginning() {
        assert_eq!(plan(&[(5, 4), (70, 0)], 0, 9), (2, vec![(0, 2), (70, 0)]));
    }

    #[test]
    fn a_replica_stays_over_a_gap_that_is_no_longer_than_a_start() {
        assert_eq!(plan(&[(50, 2), (60, 0), (70, 2), (80, 0), (91, 1), (95, 0)], 0, 9).1, [(40, 1), (80, 0), (81, 1), (95, 0)]);
    }

    #[test]
    fn bounds_are_kept() {
        assert_eq!(plan(&[(50, 20), (60, 0)], 1, 3), (1, vec![(40, 3), (60, 1)]));
    }
}
