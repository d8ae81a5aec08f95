//! Smooth weighted rotation, as nginx has it, without its walk over every endpoint.
//!
//! nginx (`ngx_http_upstream_get_peer`): at each pick every endpoint's credit grows by its weight, the one with the most credit (the first of
//! them) is chosen, and pays the sum of all weights. Over a cycle of that sum each is chosen exactly as often as its weight says, as evenly
//! spread as can be.
//!
//! All endpoints of one weight gain alike, so their order among themselves changes only when one of them pays. They form a class, and a heap keeps
//! who of them has most; the heads of the classes run a [`Race`]. A pick costs O(log n) and a little more, and gives the very sequence of nginx.
//!
//! Whoever is found to be full is kept out, with the credit, until the set's openings say that a slot is free: else a pick in a nearly full
//! pool would come upon all of them.
//!
//! When weights or members change, each endpoint keeps its credit as a share of the sum, so that nobody begins anew and nobody bursts; one that
//! arrives or comes back has the mean.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::time::Duration;

use fastrand::Rng;

use crate::endpoint::{EndpointSet, bits};

use super::picker::{NoPick, Pick};
use super::view::{Follow, Members, Places, Views};
use race::{Race, Runner};

/// Picks after which gains and payments are settled, long before 64 bits are full: weights stay below 2^24, and their sum below 2^42.
const MAX_TURNS: i64 = 1 << 20;

/// Times the sum of all weights that anybody may owe or own: far more than the rotation itself lets them, unless slots are short.
const MAX_CREDIT: i64 = 4;

/// Each endpoint exactly as often as its weight says, interleaved.
#[derive(Debug)]
pub(super) struct WeightedRoundRobin {
    views: Views<Schedule>,
}

#[derive(Debug, Default)]
struct Schedule {
    classes: Vec<Class>,
    /// Between the heads of the classes, each in the lane of its class.
    race: Race,
    /// The sum of all weights: what a pick costs.
    total: i64,
    turns: i64,
    places: Places,
    /// Room for those that a pick passes over, richest first.
    aside: Vec<(usize, Entry)>,
    full: Full,
}

/// Credit but for what the class has gained; the most comes first, then the first in the set.
type Entry = (i64, Reverse<u32>);

/// The endpoints of one weight.
#[derive(Debug)]
struct Class {
    weight: i64,
    heap: BinaryHeap<Entry>,
}

/// Those that are kept out of their classes; nobody when no endpoint has a limited number of slots.
#[derive(Debug, Default)]
struct Full {
    /// A bit for each place in the set.
    bits: Vec<u64>,
    /// By place: the class, and the credit while kept out.
    kept: Vec<(u32, i64)>,
    count: usize,
}

impl Class {
    /// Returns whoever has most.
    fn head(&self, lane: usize) -> Option<Runner> {
        self.heap.peek().map(|&(credit, Reverse(place))| Runner { credit, weight: self.weight, place, lane: lane as u32 })
    }
}

impl Full {
    fn clear(&mut self, set: &EndpointSet) {
        let len = if set.is_limited() { set.len() } else { 0 };
        self.bits.clear();
        self.bits.resize(len.div_ceil(64), 0);
        self.kept.clear();
        self.kept.resize(len, (0, 0));
        self.count = 0;
    }

    fn add(&mut self, class: usize, (credit, Reverse(place)): Entry) {
        let place = place as usize;
        if let (Some(word), Some(kept)) = (self.bits.get_mut(place / 64), self.kept.get_mut(place)) {
            *word |= 1 << (place % 64);
            *kept = (class as u32, credit);
            self.count += 1;
        }
    }

    /// Takes out one of those at the places from `64 * n` on whose bit is in `word`.
    fn take(&mut self, n: usize, word: u64) -> Option<(usize, Entry)> {
        let kept = self.bits.get_mut(n)?;
        let bit = bits(*kept & word).next()?;
        *kept &= !(1 << bit);
        self.count -= 1;
        let place = n * 64 + bit;
        self.kept.get(place).map(|&(class, credit)| (class as usize, (credit, Reverse(place as u32))))
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
            self.classes.push(Class { weight, heap });
        }
        self.total = total;
        self.turns = 0;
        self.full.clear(set);
        self.start();
    }
}

impl Schedule {
    /// Returns the credit of every endpoint of the new set, in proportion to the new sum, around a mean of 0.
    fn carried(&mut self, moves: &[Option<u32>], len: usize, total: i64) -> Vec<i64> {
        self.settle();
        let scale = |credit: i64| {
            let scaled = i128::from(credit) * i128::from(total) / i128::from(self.total.max(1));
            let most = i128::from(MAX_CREDIT) * i128::from(total);
            scaled.clamp(-most, most) as i64
        };
        let held = self.classes.iter().flat_map(|class| class.heap.iter());
        let stayed: Vec<_> = held
            .filter_map(|&(credit, Reverse(place))| moves.get(place as usize).copied().flatten().map(|to| (to, scale(credit))))
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
            self.start();
        }
        self.turns += 1;
        self.race.advance(self.turns);
        if let Some(openings) = pick.set.openings().filter(|_| self.full.count > 0) {
            openings.words(0..usize::MAX).for_each(|(n, word)| self.bring_back(n, word));
        }
        let chosen = self.first(pick).map(|runner| {
            self.pay(runner.lane as usize);
            runner.place
        });
        // When everybody that is free was tried, the first of them.
        let chosen = chosen.or_else(|| {
            let (_, (credit, Reverse(place))) = self.aside.first_mut()?;
            *credit -= self.total;
            Some(*place)
        });
        while let Some((class, entry)) = self.aside.pop() {
            self.enter(class, entry);
        }
        if chosen.is_none() {
            // Nobody paid: what was gained for this pick would be a burst later. The race, where nobody is left, has no turn to go back to.
            self.turns -= 1;
        }
        chosen.map(|place| place as usize)
    }

    /// Returns whoever has most credit of those with a free slot that were not tried; puts aside all before.
    fn first(&mut self, pick: &Pick<'_>) -> Option<Runner> {
        while let Some(runner) = self.race.ahead() {
            let endpoint = pick.set.endpoints().get(runner.place as usize)?;
            let has_slot = pick.has_slot(endpoint);
            if has_slot && !pick.is_tried(endpoint) {
                return Some(runner);
            }
            let class = runner.lane as usize;
            let entry = self.leave(class)?;
            if has_slot {
                self.aside.push((class, entry));
            } else {
                self.full.add(class, entry);
            }
        }
        None
    }

    /// Lets the head of a class pay.
    fn pay(&mut self, class: usize) {
        if let Some(mut head) = self.classes.get_mut(class).and_then(|class| class.heap.peek_mut()) {
            head.0 -= self.total;
        }
        self.send_head(class);
    }

    /// Takes the head off a class.
    fn leave(&mut self, class: usize) -> Option<Entry> {
        let entry = self.classes.get_mut(class)?.heap.peek_mut().map(PeekMut::pop);
        self.send_head(class);
        entry
    }

    fn enter(&mut self, class: usize, entry: Entry) {
        if let Some(class) = self.classes.get_mut(class) {
            class.heap.push(entry);
        }
        self.send_head(class);
    }

    fn send_head(&mut self, class: usize) {
        let head = self.classes.get(class).and_then(|known| known.head(class));
        self.race.put(class, head);
    }

    /// Brings back those who were full, of the places from `64 * n` on whose bit is in `word`.
    fn bring_back(&mut self, n: usize, word: u64) {
        while let Some((class, entry)) = self.full.take(n, word) {
            self.enter(class, entry);
        }
    }

    /// Moves what classes have gained to their members, all of whom are in them afterwards; the race has to start anew.
    fn settle(&mut self) {
        (0..self.full.bits.len()).for_each(|n| self.bring_back(n, u64::MAX));
        let (most, turns) = (MAX_CREDIT * self.total, std::mem::take(&mut self.turns));
        for class in &mut self.classes {
            let gained = class.weight * turns;
            let settled = |(credit, place): Entry| ((credit + gained).clamp(-most, most), place);
            class.heap = std::mem::take(&mut class.heap).into_iter().map(settled).collect();
        }
    }

    fn start(&mut self) {
        self.race.start(self.classes.iter().enumerate().map(|(lane, class)| class.head(lane)));
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

mod race;
#[cfg(test)]
mod tests;
