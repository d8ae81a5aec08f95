//! The replicas of a simulated pool: slots, start, drain, taking back. Pure.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// What becomes of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    Draining,
    Gone,
}

#[derive(Debug)]
struct Replica {
    stage: Stage,
    in_flight: u32,
    used_us: u64,
    drained: u32,
}

/// All replicas that there have been.
#[derive(Debug)]
pub(super) struct Fleet {
    slots: u32,
    replicas: Vec<Replica>,
    /// Neither gone.
    alive: BTreeSet<usize>,
    /// Those that serve and have a free slot, fewest running requests first.
    free: BTreeSet<(u32, usize)>,
    /// Those that were drained, in that order; some may be gone since.
    drained: Vec<usize>,
    census: Census,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// On their way.
    pub(super) starting: u32,
    /// Serving.
    pub(super) ready: u32,
    /// Running empty.
    pub(super) draining: u32,
    /// Requests that run.
    pub(super) in_flight: u64,
}

impl Census {
    /// Returns how many are paid for.
    pub(super) const fn alive(&self) -> u32 {
        self.starting + self.ready + self.draining
    }
}

impl Fleet {
    /// Makes one without replicas.
    pub(super) const fn new(slots: u32) -> Self {
        Self {
            slots,
            replicas: Vec::new(),
            alive: BTreeSet::new(),
            free: BTreeSet::new(),
            drained: Vec::new(),
            census: Census { starting: 0, ready: 0, draining: 0, in_flight: 0 },
        }
    }

    /// Returns how many there are.
    pub(super) const fn census(&self) -> Census {
        self.census
    }

    /// Orders one, and returns its number.
    pub(super) fn order(&mut self) -> usize {
        let replica = self.replicas.len();
        self.replicas.push(Replica { stage: Stage::Starting, in_flight: 0, used_us: 0, drained: 0 });
        self.alive.insert(replica);
        self.census.starting += 1;
        replica
    }

    /// Lets one serve that was starting.
    pub(super) fn begin(&mut self, replica: usize) {
        let Some(one) = self.replicas.get_mut(replica).filter(|one| one.stage == Stage::Starting) else { return };
        one.stage = Stage::Ready;
        self.census.starting -= 1;
        self.census.ready += 1;
        self.free.insert((0, replica));
    }

    /// Takes a slot of the replica with the fewest running requests; `None` when all are taken.
    pub(super) fn take(&mut self, now_us: u64) -> Option<usize> {
        let (_, replica) = self.free.pop_first()?;
        let one = self.replicas.get_mut(replica)?;
        one.in_flight += 1;
        one.used_us = now_us;
        if one.in_flight < self.slots {
            self.free.insert((one.in_flight, replica));
        }
        self.census.in_flight += 1;
        Some(replica)
    }

    /// Gives a slot back, and tells whether its request had not been cut.
    pub(super) fn release(&mut self, replica: usize) -> bool {
        let Some(one) = self.replicas.get_mut(replica).filter(|one| one.stage != Stage::Gone && one.in_flight > 0) else {
            return false;
        };
        let before = one.in_flight;
        one.in_flight -= 1;
        self.census.in_flight -= 1;
        match one.stage {
            Stage::Draining if one.in_flight == 0 => self.remove(replica),
            Stage::Draining | Stage::Starting | Stage::Gone => {}
            Stage::Ready => {
                self.free.remove(&(before, replica));
                self.free.insert((before - 1, replica));
            }
        }
        true
    }

    /// Takes back up to `count` that are draining, the last one first, and returns how many.
    pub(super) fn recall(&mut self, count: u32) -> u32 {
        let mut recalled = 0;
        while recalled < count {
            let Some(replica) = self.drained.pop() else { break };
            let Some(one) = self.replicas.get_mut(replica).filter(|one| one.stage == Stage::Draining) else { continue };
            one.stage = Stage::Ready;
            self.census.draining -= 1;
            self.census.ready += 1;
            if one.in_flight < self.slots {
                self.free.insert((one.in_flight, replica));
            }
            recalled += 1;
        }
        recalled
    }

    /// Sends `count` away: first those that only start, youngest first; then those with the fewest running requests, the coldest, the youngest.
    ///
    /// Returns those that have to run empty first, each with how often it had to.
    pub(super) fn retire(&mut self, count: u32) -> Vec<(usize, u32)> {
        let rank = |&replica: &usize| {
            let one = self.replicas.get(replica)?;
            let rank = |late| Some((late, one.in_flight, one.used_us, Reverse(replica)));
            match one.stage {
                Stage::Starting => rank(false),
                Stage::Ready => rank(true),
                Stage::Draining | Stage::Gone => None,
            }
        };
        let mut victims: Vec<_> = self.alive.iter().filter_map(rank).collect();
        victims.sort_unstable();
        victims.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        victims.into_iter().filter_map(|(_, _, _, Reverse(replica))| self.drain(replica)).collect()
    }

    fn drain(&mut self, replica: usize) -> Option<(usize, u32)> {
        let one = self.replicas.get_mut(replica)?;
        if one.in_flight == 0 {
            self.remove(replica);
            return None;
        }
        self.free.remove(&(one.in_flight, replica));
        one.stage = Stage::Draining;
        one.drained += 1;
        self.census.ready -= 1;
        self.census.draining += 1;
        self.drained.push(replica);
        Some((replica, one.drained))
    }

    /// Ends the drain that was its `turn`, and returns how many requests are cut by that.
    pub(super) fn cut(&mut self, replica: usize, turn: u32) -> u32 {
        let is_due = |one: &&Replica| one.stage == Stage::Draining && one.drained == turn;
        let Some(cut) = self.replicas.get(replica).filter(is_due).map(|one| one.in_flight) else { return 0 };
        self.remove(replica);
        cut
    }

    fn remove(&mut self, replica: usize) {
        let Some(one) = self.replicas.get_mut(replica) else { return };
        match one.stage {
            Stage::Starting => self.census.starting -= 1,
            Stage::Ready => self.census.ready -= 1,
            Stage::Draining => self.census.draining -= 1,
            Stage::Gone => return,
        }
        self.census.in_flight -= u64::from(one.in_flight);
        self.free.remove(&(one.in_flight, replica));
        one.stage = Stage::Gone;
        self.alive.remove(&replica);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::*;

    fn ready(count: usize, slots: u32) -> Fleet {
        let mut fleet = Fleet::new(slots);
        for replica in 0..count {
            assert_eq!(fleet.order(), replica);
            fleet.begin(replica);
        }
        fleet
    }

    #[test]
    fn requests_go_to_the_replica_with_the_fewest() {
        let mut fleet = ready(2, 2);
        assert_eq!([1, 2, 3, 4, 5].map(|now| fleet.take(now)), [Some(0), Some(1), Some(0), Some(1), None]);
        assert!(fleet.release(1));
        assert_eq!(fleet.take(6), Some(1));
    }

    #[test]
    fn the_emptiest_then_the_coldest_then_the_youngest_goes_and_who_only_starts_goes_first() {
        let mut fleet = ready(4, 2);
        let starting = fleet.order();
        for now in 1..=6 {
            fleet.take(now);
        }
        // In flight 2, 2, 1, 1; of the last two replica 2 was used earlier.
        assert_eq!(fleet.retire(3), [(2, 1), (3, 1)]);
        fleet.begin(starting);
        assert_eq!(fleet.census(), Census { starting: 0, ready: 2, draining: 2, in_flight: 6 });
        let mut idle = ready(3, 1);
        assert_eq!(idle.retire(1), []);
        assert_eq!([1, 2, 3].map(|now| idle.take(now)), [Some(0), Some(1), None]);
    }

    #[test]
    fn a_draining_replica_takes_nothing_and_goes_when_it_is_empty() {
        let mut fleet = ready(1, 2);
        fleet.take(0);
        assert_eq!(fleet.retire(1), [(0, 1)]);
        assert_eq!(fleet.take(1), None);
        assert!(fleet.release(0));
        assert_eq!(fleet.census(), Census::default());
        assert_eq!(fleet.recall(1), 0);
    }

    #[test]
    fn a_replica_that_is_taken_back_serves_again_and_outlives_the_drain_it_was_in() {
        let mut fleet = ready(1, 2);
        fleet.take(0);
        fleet.retire(1);
        assert_eq!(fleet.recall(5), 1);
        assert_eq!(fleet.take(1), Some(0));
        assert_eq!(fleet.retire(1), [(0, 2)]);
        assert_eq!((fleet.cut(0, 1), fleet.cut(0, 2)), (0, 2));
        assert!(!fleet.release(0));
        assert_eq!(fleet.census(), Census::default());
    }

    proptest! {
        #[test]
        fn the_census_is_that_of_the_replicas(steps in prop::collection::vec((0..7_u8, 0..6_usize), 0..120)) {
            let mut fleet = Fleet::new(2);
            for (step, replica) in steps {
                match step {
                    0 => drop(fleet.order()),
                    1 => fleet.begin(replica),
                    2 | 3 => drop(fleet.take(5)),
                    4 => drop(fleet.release(replica)),
                    5 => drop(fleet.retire(1)),
                    _ => drop((fleet.recall(1), fleet.cut(replica, 1))),
                }
                let count = |stage| u32::try_from(fleet.replicas.iter().filter(|one| one.stage == stage).count()).unwrap();
                let running = fleet.replicas.iter().filter(|one| one.stage != Stage::Gone).map(|one| u64::from(one.in_flight)).sum();
                let seen = Census { starting: count(Stage::Starting), ready: count(Stage::Ready), draining: count(Stage::Draining), in_flight: running };
                prop_assert_eq!(fleet.census(), seen);
                let free: Vec<_> = (0..).zip(&fleet.replicas).filter(|(_, one)| one.stage == Stage::Ready && one.in_flight < 2).map(|(id, one)| (one.in_flight, id)).collect();
                prop_assert_eq!(fleet.free.iter().copied().collect::<BTreeSet<_>>(), free.into_iter().collect());
            }
        }
    }
}
