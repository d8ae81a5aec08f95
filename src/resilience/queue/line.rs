//! The order of those who wait: the more important first, then whoever came first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::kit::clock::Tick;
use crate::model::Priority;

/// A place in the order; the least is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    priority: Reverse<Priority>,
    arrived: Tick,
    /// Of two that came in the same moment, the one that was written down first.
    number: u64,
}

/// What became of one who wants to wait.
#[derive(Debug, PartialEq, Eq)]
pub enum Pushed<T> {
    /// There was room.
    Placed(Rank),
    /// The least important one, last of its kind, had to leave for it.
    Displaced(Rank, T),
    /// There is no room, and nobody less important waits.
    Full(T),
}

/// Those who wait, in order. O(log n) for each call.
#[derive(Debug)]
pub struct Line<T> {
    entries: BTreeMap<Rank, T>,
    numbers: u64,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), numbers: 0 }
    }
}

impl<T> Line<T> {
    /// Lets `entry` wait when fewer than `capacity` do, or when somebody less important can leave.
    pub fn push(&mut self, priority: Priority, arrived: Tick, capacity: usize, entry: T) -> Pushed<T> {
        let rank = Rank { priority: Reverse(priority), arrived, number: self.numbers };
        self.numbers += 1;
        if self.entries.len() < capacity {
            self.entries.insert(rank, entry);
            return Pushed::Placed(rank);
        }
        match self.entries.last_entry() {
            Some(last) if last.key().priority > rank.priority => {
                let displaced = last.remove();
                self.entries.insert(rank, entry);
                Pushed::Displaced(rank, displaced)
            }
            _ => Pushed::Full(entry),
        }
    }

    /// Takes out who stands at `rank`.
    pub fn remove(&mut self, rank: Rank) -> Option<T> {
        self.entries.remove(&rank)
    }

    /// Returns those who wait, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Rank, &T)> {
        self.entries.iter().map(|(&rank, entry)| (rank, entry))
    }

    /// Returns how many wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn order<T: Copy>(line: &Line<T>) -> Vec<T> {
        line.iter().map(|(_, &entry)| entry).collect()
    }

    #[test]
    fn the_important_go_first_and_equals_in_order_of_arrival() {
        let mut line = Line::default();
        for (priority, arrived, name) in [(0, 1, 'a'), (5, 3, 'b'), (0, 0, 'c'), (-5, 0, 'd'), (5, 2, 'e'), (0, 1, 'f')] {
            assert!(matches!(line.push(priority, Tick::from_nanos(arrived), 10, name), Pushed::Placed(_)));
        }
        assert_eq!(order(&line), ['e', 'b', 'c', 'a', 'f', 'd']);
    }

    #[test]
    fn a_full_line_gives_only_to_the_more_important() {
        let mut line = Line::default();
        let now = Tick::default();
        assert!(matches!(line.push(0, now, 2, 'a'), Pushed::Placed(_)));
        assert!(matches!(line.push(1, now, 2, 'b'), Pushed::Placed(_)));
        assert_eq!(line.push(0, now, 2, 'c'), Pushed::Full('c'));
        assert!(matches!(line.push(1, now, 2, 'd'), Pushed::Displaced(_, 'a')));
        assert_eq!(line.push(1, now, 2, 'e'), Pushed::Full('e'));
        assert_eq!(order(&line), ['b', 'd']);
        assert_eq!(line.push(1, now, 0, 'f'), Pushed::Full('f'));
    }

    proptest! {
        #[test]
        fn nobody_is_lost_and_the_bound_holds(
            calls in prop::collection::vec((-3_i8..4, 0_u64..20, any::<bool>()), 1..80), capacity in 1_usize..8,
        ) {
            let mut line = Line::default();
            let (mut inside, mut ranks) = (Vec::new(), Vec::new());
            for (number, (priority, arrived, removes)) in calls.into_iter().enumerate() {
                if removes && let Some(rank) = ranks.pop() {
                    if let Some(gone) = line.remove(rank) {
                        inside.retain(|&entry| entry != gone);
                    }
                    continue;
                }
                match line.push(priority, Tick::from_nanos(arrived), capacity, (priority, arrived, number)) {
                    Pushed::Placed(rank) => { ranks.push(rank); inside.push((priority, arrived, number)); }
                    Pushed::Displaced(rank, gone) => {
                        prop_assert!(gone.0 < priority);
                        prop_assert!(inside.iter().all(|entry| entry.0 >= gone.0));
                        ranks.push(rank);
                        inside.retain(|&entry| entry != gone);
                        inside.push((priority, arrived, number));
                    }
                    Pushed::Full(_) => prop_assert!(inside.iter().all(|entry| entry.0 >= priority)),
                }
                prop_assert!(line.len() <= capacity);
                inside.sort_by_key(|&(priority, arrived, number)| (Reverse(priority), arrived, number));
                prop_assert_eq!(order(&line), inside.clone());
            }
        }
    }
}
