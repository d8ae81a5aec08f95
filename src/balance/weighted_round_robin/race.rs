//! Who of many is ahead, each at a speed of its own.
//!
//! A kinetic tournament (Basch, Guibas, Hershberger, "Data Structures for Mobile Data", SODA 1997, section 2): a tree whose leaves are runners
//! and whose every node knows which of the two below it is ahead, and until which turn. To advance is to visit the nodes whose time is over;
//! a runner that changes plays its way up again. O(log n) a change and, over many turns, O(log^2 n) a turn: exactly what a walk over all would
//! find, without the walk.

/// One who gains `weight` in each turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Runner {
    /// In turn 0.
    pub(super) credit: i64,
    pub(super) weight: i64,
    /// The lowest of those with the same credit is ahead.
    pub(super) place: u32,
    pub(super) lane: u32,
}

/// Runners in lanes; turns only grow.
#[derive(Debug, Default)]
pub(super) struct Race {
    /// The root is 1, below `n` are `2 n` and `2 n + 1`, and lanes are the last half.
    nodes: Vec<Node>,
    turn: i64,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    ahead: Option<Runner>,
    /// The first turn in which it may be another.
    until: i64,
}

impl Node {
    const fn leaf(runner: Option<Runner>) -> Self {
        Self { ahead: runner, until: i64::MAX }
    }
}

impl Runner {
    fn leads(&self, other: &Self, turn: i64) -> bool {
        let (own, others) = (self.credit + self.weight * turn, other.credit + other.weight * turn);
        own > others || (own == others && self.place < other.place)
    }

    /// Returns the first turn in which `other`, who is behind, leads.
    fn overtaken_by(&self, other: &Self) -> i64 {
        let (lead, speed) = (self.credit - other.credit, other.weight - self.weight);
        if speed <= 0 {
            i64::MAX
        } else if other.place < self.place {
            // Level is enough.
            -(-lead).div_euclid(speed)
        } else {
            lead.div_euclid(speed) + 1
        }
    }
}

impl Race {
    /// Begins anew in turn 0 with a runner in each lane, in their order.
    pub(super) fn start(&mut self, runners: impl ExactSizeIterator<Item = Option<Runner>>) {
        let lanes = runners.len().next_power_of_two();
        self.turn = 0;
        self.nodes.clear();
        self.nodes.resize(lanes, Node::leaf(None));
        self.nodes.extend(runners.map(Node::leaf));
        self.nodes.resize(2 * lanes, Node::leaf(None));
        (1..lanes).rev().for_each(|node| self.play(node));
    }

    /// Goes on to `turn`.
    pub(super) fn advance(&mut self, turn: i64) {
        self.turn = turn;
        self.replay(1);
    }

    /// Returns who is ahead.
    pub(super) fn ahead(&self) -> Option<Runner> {
        self.nodes.get(1)?.ahead
    }

    /// Puts another runner, or nobody, in a lane.
    pub(super) fn put(&mut self, lane: usize, runner: Option<Runner>) {
        let mut node = self.nodes.len() / 2 + lane;
        if let Some(leaf) = self.nodes.get_mut(node) {
            *leaf = Node::leaf(runner);
        }
        while node > 1 {
            node /= 2;
            self.play(node);
        }
    }

    fn replay(&mut self, node: usize) {
        if self.nodes.get(node).is_some_and(|node| node.until <= self.turn) {
            self.replay(2 * node);
            self.replay(2 * node + 1);
            self.play(node);
        }
    }

    /// Lets the two below a node play; what is below them is of this turn.
    fn play(&mut self, node: usize) {
        let [left, right] = [self.nodes[2 * node], self.nodes[2 * node + 1]];
        let until = left.until.min(right.until);
        self.nodes[node] = match (left.ahead, right.ahead) {
            (Some(one), Some(other)) => {
                let (ahead, behind) = if one.leads(&other, self.turn) { (one, other) } else { (other, one) };
                Node { ahead: Some(ahead), until: until.min(ahead.overtaken_by(&behind)) }
            }
            (one, other) => Node { ahead: one.or(other), until },
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn nobody_is_ahead_of_nobody() {
        let mut race = Race::default();
        race.advance(1);
        assert_eq!(race.ahead(), None);
        race.start(std::iter::empty());
        assert_eq!(race.ahead(), None);
    }

    proptest! {
        #[test]
        fn who_is_ahead_is_who_a_walk_would_find(
            lanes in prop::collection::vec((-50_i64..50, 0_i64..9), 1..20),
            changes in prop::collection::vec((0_i64..6, any::<prop::sample::Index>(), -60_i64..60, any::<bool>()), 1..80),
        ) {
            let mut runners: Vec<_> = (0..).zip(&lanes).map(|(n, &(credit, weight))| Some(Runner { credit, weight, place: 100 - n, lane: n })).collect();
            let (mut race, mut turn) = (Race::default(), 0);
            race.start(runners.iter().copied());
            for (turns, lane, credit, stays) in changes {
                turn += turns;
                race.advance(turn);
                let lane = lane.index(runners.len());
                let weight = lanes[lane].1;
                runners[lane] = stays.then(|| Runner { credit: credit - weight * turn, weight, place: 100 - lane as u32, lane: lane as u32 });
                race.put(lane, runners[lane]);
                let walk = runners.iter().flatten().max_by_key(|runner| (runner.credit + runner.weight * turn, std::cmp::Reverse(runner.place)));
                prop_assert_eq!(race.ahead(), walk.copied());
            }
        }
    }
}
