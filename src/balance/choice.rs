//! The least loaded of all, or of two at random.
//!
//! Two random choices bring the largest load down from `log n / log log n` to `log log n` above the mean (Mitzenmacher 2001, "The Power of
//! Two Choices in Randomized Load Balancing", section 1), at a cost that does not grow with the pool, and without the herd that follows one
//! shared "least loaded" when many workers and proxies look at once.

use fastrand::Rng;

use crate::endpoint::Endpoint;

use super::open::Open;
use super::picker::{NoPick, Pick};
use super::view::Members;

/// Random draws for an acceptable member before the members are searched one by one.
const DRAWS: usize = 4;

/// Members searched one by one: finds any that was not tried, and mostly one that is not avoided.
const SEARCH: usize = 1024;

/// What a strategy asks of a choice.
pub(super) trait Rule {
    /// Up to this many members, all are compared; two at random above.
    const FULL_SCAN: usize;

    /// Returns the cost of one more request; `weight` is positive.
    fn cost(&self, endpoint: &Endpoint, weight: f64) -> f64;

    /// Tells whether the endpoint is to be drawn only when no other is found.
    fn avoids(&self, _: &Endpoint) -> bool {
        false
    }
}

/// Returns the place in the set of the member of least cost under `rule` that has a free slot; `members` is not empty.
///
/// Ties go to one of the tied at random, in proportion to their weights.
pub(super) fn least<R: Rule>(rule: &R, members: &Members, pick: &Pick<'_>, rng: &mut Rng) -> Result<usize, NoPick> {
    let chooser = Chooser { rule, members, pick };
    let position = if members.len() == 1 {
        chooser.has_slot(0).then_some(0)
    } else if members.len() <= R::FULL_SCAN {
        chooser.of(0..members.len(), rng)
    } else {
        chooser.of_two(rng)
    };
    position.map(|position| members.index(position)).ok_or(NoPick::Full)
}

struct Chooser<'a, R> {
    rule: &'a R,
    members: &'a Members,
    pick: &'a Pick<'a>,
}

impl<R: Rule> Chooser<'_, R> {
    fn endpoint(&self, position: usize) -> &Endpoint {
        &self.pick.set.endpoints()[self.members.index(position)]
    }

    fn is_tried(&self, position: usize) -> bool {
        self.pick.is_tried(self.endpoint(position))
    }

    fn has_slot(&self, position: usize) -> bool {
        self.pick.has_slot(self.endpoint(position))
    }

    /// Returns the best of `positions` that was not tried, or else the best.
    fn of(&self, positions: std::ops::Range<usize>, rng: &mut Rng) -> Option<usize> {
        let free = |position: &usize| self.has_slot(*position);
        let untried = self.best(positions.clone().filter(free).filter(|&position| !self.is_tried(position)), rng);
        untried.or_else(|| self.best(positions.filter(free), rng))
    }

    fn best(&self, positions: impl Iterator<Item = usize>, rng: &mut Rng) -> Option<usize> {
        let (mut best, mut least, mut tied) = (None, f64::INFINITY, 0);
        for position in positions {
            let weight = self.members.weights[position];
            let cost = self.rule.cost(self.endpoint(position), f64::from(weight));
            if cost < least || best.is_none() {
                (best, least, tied) = (Some(position), cost, u64::from(weight));
            } else if cost == least {
                tied += u64::from(weight);
                if rng.u64(..tied) < u64::from(weight) {
                    best = Some(position);
                }
            }
        }
        best
    }

    fn of_two(&self, rng: &mut Rng) -> Option<usize> {
        let untried = |position: usize| self.has_slot(position) && !self.is_tried(position);
        let welcome = |position: usize| untried(position) && !self.rule.avoids(self.endpoint(position));
        self.two(rng, welcome).or_else(|| self.two(rng, untried)).or_else(|| self.two(rng, |position| self.has_slot(position)))
    }

    fn two(&self, rng: &mut Rng, accept: impl Fn(usize) -> bool) -> Option<usize> {
        let first = self.draw(rng, &accept)?;
        match self.draw(rng, |position| position != first && accept(position)) {
            Some(second) => self.best([first, second].into_iter(), rng),
            None => Some(first),
        }
    }

    fn draw(&self, rng: &mut Rng, accept: impl Fn(usize) -> bool) -> Option<usize> {
        let len = self.members.len();
        // Among many of whom most have a slot, found at once.
        let drawn = (0..DRAWS).map(|_| rng.usize(..len)).find(|&position| accept(position));
        drawn.or_else(|| match Open::new(self.members, self.pick.set) {
            // A free slot must be found wherever it is: a request that finds none waits.
            Some(open) => {
                open.from(open.draw(rng)?).filter_map(|place| self.members.position(place)).find(|&position| accept(position))
            }
            None => {
                let start = rng.usize(..len);
                (0..len.min(SEARCH)).map(|step| (start + step) % len).find(|&position| accept(position))
            }
        })
    }
}
