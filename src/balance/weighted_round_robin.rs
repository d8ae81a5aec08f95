//! Smooth weighted rotation, as nginx has it, without its walk over every endpoint.
//!
//! nginx (`ngx_http_upstream_get_peer`): at each pick every endpoint's credit grows by its weight, the one with the most credit (the first of
//! them) is chosen, and pays the sum of all weights. Over a cycle of that sum each is chosen exactly as often as its weight says, as evenly
//! spread as can be.
//!
//! All endpoints of one weight gain alike, so their order among themselves changes only when one of them pays. They form a class: what they
//! gain is one number for the class, and a heap keeps who has most. A pick compares the heads of the classes: O(distinct weights + log n), and
//! the very sequence of nginx.
//!
//! When weights or members change, each endpoint keeps its credit as a share of the sum, so that nobody begins anew and nobody bursts; one that
//! arrives or comes back has the mean.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::time::Duration;

use fastrand::Rng;

use crate::endpoint::{Endpoint, EndpointSet};

use super::picker::{NoPick, Pick};
use super::view::{Follow, Members, Places, Views};

/// Picks after which gains and payments are settled, long before 64 bits are full: weights stay below 2^24.
const MAX_TURNS: u64 = 1 << 36;

/// Each endpoint exactly as often as its weight says, interleaved.
#[derive(Debug)]
pub(super) struct WeightedRoundRobin {
    views: Views<Schedule>,
}

#[derive(Debug, Default)]
struct Schedule {
    classes: Vec<Class>,
    /// The sum of all weights: what a pick costs.
    total: i64,
    turns: u64,
    places: Places,
    /// Room for those that a pick passes over.
    aside: Vec<(usize, Entry)>,
}

/// Credit but for what the class has gained; the most comes first, then the first in the set.
type Entry = (i64, Reverse<u32>);

/// The endpoints of one weight.
#[derive(Debug)]
struct Class {
    weight: i64,
    gained: i64,
    heap: BinaryHeap<Entry>,
}

impl Class {
    /// Returns the credit and the place of whoever has most.
    fn head(&self) -> Option<Entry> {
        self.heap.peek().map(|&(credit, place)| (credit + self.gained, place))
    }
}

impl Follow for Schedule {
    fn follow(&mut self, set: &EndpointSet, members: &Members) {
        let moves = self.places.follow(set);
        let total: i64 = members.weights.iter().map(|&weight| i64::from(weight)).sum();
        let credits = self.carried(&moves, set.len(), total);
        self.classes.clear();
        let mut positions: Vec<_> = (0..members.len()).collect();
        positions.sort_by_key(|&position| Reverse(members.weights[position]));
        for class in positions.chunk_by(|&a, &b| members.weights[a] == members.weights[b]) {
            let entry = |&position: &usize| (credits[members.index(position)], Reverse(members.indexes[position]));
            let heap = class.iter().map(entry).collect();
            let weight = class.first().map_or(0, |&position| i64::from(members.weights[position]));
            self.classes.push(Class { weight, gained: 0, heap });
        }
        self.total = total;
        self.turns = 0;
    }
}

impl Schedule {
    /// Returns the credit of every endpoint of the new set, in proportion to the new sum, around a mean of 0.
    fn carried(&self, moves: &[Option<u32>], len: usize, total: i64) -> Vec<i64> {
        let scale = |credit: i64| {
            let scaled = i128::from(credit) * i128::from(total) / i128::from(self.total.max(1));
            // Far more than the rotation itself lets anybody owe or own.
            scaled.clamp(-4 * i128::from(total), 4 * i128::from(total)) as i64
        };
        let held = self.classes.iter().flat_map(|class| class.heap.iter().map(|&(credit, place)| (credit + class.gained, place)));
        let stayed: Vec<_> = held
            .filter_map(|(credit, Reverse(place))| moves.get(place as usize).copied().flatten().map(|to| (to, scale(credit))))
            .collect();
        let mean = stayed.iter().map(|&(_, credit)| credit).sum::<i64>() / (stayed.len().max(1) as i64);
        let mut credits = vec![0; len];
        for (to, credit) in stayed {
            if let Some(slot) = credits.get_mut(to as usize) {
                *slot = credit - mean;
            }
        }
        credits
    }

    fn next(&mut self, pick: &Pick<'_>) -> Option<usize> {
        if self.turns >= MAX_TURNS {
            self.settle();
        }
        self.turns += 1;
        for class in &mut self.classes {
            class.gained += class.weight;
        }
        if pick.set.is_limited() {
            self.put_aside(|endpoint| pick.has_slot(endpoint) && !pick.is_tried(endpoint), pick.set);
            let chosen = self.pay();
            self.take_back();
            // Everybody that is free was tried.
            let chosen = chosen.or_else(|| self.next_free(pick));
            if chosen.is_none() {
                // Nobody paid: what was gained for this pick would be a burst later.
                for class in &mut self.classes {
                    class.gained -= class.weight;
                }
            }
            return chosen;
        }
        if !pick.ask.tried.is_empty() {
            self.put_aside(|endpoint| !pick.is_tried(endpoint), pick.set);
        }
        let chosen = self.pay();
        self.take_back();
        // Everybody was tried.
        chosen.or_else(|| self.pay())
    }

    fn next_free(&mut self, pick: &Pick<'_>) -> Option<usize> {
        self.put_aside(|endpoint| pick.has_slot(endpoint), pick.set);
        let chosen = self.pay();
        self.take_back();
        chosen
    }

    /// Lets whoever has most credit pay, and returns the place.
    fn pay(&mut self) -> Option<usize> {
        let total = self.total;
        let richest = self.classes.iter_mut().max_by_key(|class| class.head())?;
        let mut head = richest.heap.peek_mut()?;
        head.0 -= total;
        let Reverse(place) = head.1;
        Some(place as usize)
    }

    /// Takes those that do not suit off the heads of their classes.
    fn put_aside(&mut self, suits: impl Fn(&Endpoint) -> bool, set: &EndpointSet) {
        let passes = |place: u32| set.endpoints().get(place as usize).is_some_and(|endpoint| !suits(endpoint));
        for (number, class) in self.classes.iter_mut().enumerate() {
            while let Some(head) = class.heap.peek_mut().filter(|head| passes(head.1.0)) {
                self.aside.push((number, PeekMut::pop(head)));
            }
        }
    }

    fn take_back(&mut self) {
        for (class, entry) in self.aside.drain(..) {
            if let Some(class) = self.classes.get_mut(class) {
                class.heap.push(entry);
            }
        }
    }

    /// Moves what classes have gained to their members.
    fn settle(&mut self) {
        for class in &mut self.classes {
            let gained = std::mem::take(&mut class.gained);
            class.heap = std::mem::take(&mut class.heap).into_iter().map(|(credit, place)| (credit + gained, place)).collect();
        }
        self.turns = 0;
    }
}

impl WeightedRoundRobin {
    pub(super) fn new(slow_start: Option<Duration>) -> Self {
        Self { views: Views::new(slow_start) }
    }

    pub(super) fn pick(&mut self, pick: &Pick<'_>, _: &mut Rng) -> Result<usize, NoPick> {
        self.views.get(pick)?.state.next(pick).ok_or(NoPick::Full)
    }
}

#[cfg(test)]
mod tests;
