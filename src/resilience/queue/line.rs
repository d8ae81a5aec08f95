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

/// What a newcomer does to a line that may have no place for it.
#[derive(Debug, PartialEq, Eq)]
pub enum Trimmed<T> {
    /// There is room, or the newcomer waits no more.
    Fits,
    /// The least important one, last of its kind, had to leave for it.
    Displaced(T),
    /// The newcomer had to leave: nobody less important waits.
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
    /// Lets `entry` wait, whether there is a place for it or not: [`trim`](Self::trim) is to follow.
    pub fn insert(&mut self, priority: Priority, arrived: Tick, entry: T) -> Rank {
        let rank = Rank { priority: Reverse(priority), arrived, number: self.numbers };
        self.numbers += 1;
        self.entries.insert(rank, entry);
        rank
    }

    /// Sends one away when more than `capacity` wait since the newcomer at `rank` came.
    pub fn trim(&mut self, rank: Rank, capacity: usize) -> Trimmed<T> {
        if self.entries.len() <= capacity || !self.entries.contains_key(&rank) {
            return Trimmed::Fits;
        }
        match self.entries.last_entry() {
            Some(last) if last.key().priority > rank.priority => Trimmed::Displaced(last.remove()),
            _ => self.entries.remove(&rank).map_or(Trimmed::Fits, Trimmed::Full),
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

    fn push<T>(line: &mut Line<T>, priority: Priority, arrived: Tick, capacity: usize, entry: T) -> (Rank, Trimmed<T>) {
        let rank = line.insert(priority, arrived, entry);
        (rank, line.trim(rank, capacity))
    }

    fn order<T: Copy>(line: &Line<T>) -> Vec<T> {
        line.iter().map(|(_, &entry)| entry).collect()
    }

    #[test]
    fn the_important_go_first_and_equals_in_order_of_arrival() {
        let mut line = Line::default();
        for (priority, arrived, name) in [(0, 1, 'a'), (5, 3, 'b'), (0, 0, 'c'), (-5, 0, 'd'), (5, 2, 'e'), (0, 1, 'f')] {
            assert_eq!(push(&mut line, priority, Tick::from_nanos(arrived), 10, name).1, Trimmed::Fits);
        }
        assert_eq!(order(&line), ['e', 'b', 'c', 'a', 'f', 'd']);
    }

    #[test]
    fn a_full_line_gives_only_to_the_more_important() {
        let mut line = Line::default();
        let now = Tick::default();
        for (priority, capacity, name, expected) in [
            (0, 2, 'a', Trimmed::Fits),
            (1, 2, 'b', Trimmed::Fits),
            (0, 2, 'c', Trimmed::Full('c')),
            (1, 2, 'd', Trimmed::Displaced('a')),
            (1, 2, 'e', Trimmed::Full('e')),
            (1, 0, 'f', Trimmed::Full('f')),
        ] {
            assert_eq!(push(&mut line, priority, now, capacity, name).1, expected);
        }
        assert_eq!(order(&line), ['b', 'd']);
    }

    #[test]
    fn a_newcomer_that_waits_no_more_sends_nobody_away() {
        let mut line = Line::default();
        let now = Tick::default();
        push(&mut line, 0, now, 1, 'a');
        let rank = line.insert(5, now, 'b');
        line.remove(rank);
        assert_eq!(line.trim(rank, 0), Trimmed::Fits);
        assert_eq!(order(&line), ['a']);
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
                let (rank, trimmed) = push(&mut line, priority, Tick::from_nanos(arrived), capacity, (priority, arrived, number));
                match trimmed {
                    Trimmed::Fits => { ranks.push(rank); inside.push((priority, arrived, number)); }
                    Trimmed::Displaced(gone) => {
                        prop_assert!(gone.0 < priority);
                        prop_assert!(inside.iter().all(|entry| entry.0 >= gone.0));
                        ranks.push(rank);
                        inside.retain(|&entry| entry != gone);
                        inside.push((priority, arrived, number));
                    }
                    Trimmed::Full(_) => prop_assert!(inside.iter().all(|entry| entry.0 >= priority)),
                }
                prop_assert!(line.len() <= capacity);
                inside.sort_by_key(|&(priority, arrived, number)| (Reverse(priority), arrived, number));
                prop_assert_eq!(order(&line), inside.clone());
            }
        }
    }
}
