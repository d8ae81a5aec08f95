//! The least loaded of all, or of two at random.
//!
//! Two random choices bring the largest load down from `log n / log log n` to `log log n` above the mean (Mitzenmacher 2001, "The Power of
//! Two Choices in Randomized Load Balancing", section 1), at a cost that does not grow with the pool, and without the herd that follows one
//! shared "least loaded" when many workers and proxies look at once.

use fastrand::Rng;

use crate::endpoint::Endpoint;

use super::picker::Pick;
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

/// Returns the place in the set of the member of least cost under `rule`; `members` is not empty.
///
/// Ties go to one of the tied at random, in proportion to their weights.
pub(super) fn least<R: Rule>(rule: &R, members: &Members, pick: &Pick<'_>, rng: &mut Rng) -> usize {
    let chooser = Chooser { rule, members, pick };
    let position = if members.len() == 1 {
        0
    } else if members.len() <= R::FULL_SCAN {
        chooser.of(0..members.len(), rng).unwrap_or_default()
    } else {
        chooser.of_two(rng)
    };
    members.index(position)
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
        !self.pick.ask.tried.is_empty() && self.pick.ask.tried.contains(&self.endpoint(position).serial())
    }

    /// Returns the best of `positions` that was not tried, or else the best.
    fn of(&self, positions: std::ops::Range<usize>, rng: &mut Rng) -> Option<usize> {
        let untried = self.best(positions.clone().filter(|&position| !self.is_tried(position)), rng);
        untried.or_else(|| self.best(positions, rng))
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

    fn of_two(&self, rng: &mut Rng) -> usize {
        let welcome = |position: usize| !self.is_tried(position) && !self.rule.avoids(self.endpoint(position));
        let untried = |position: usize| !self.is_tried(position);
        self.two(rng, welcome).or_else(|| self.two(rng, untried)).or_else(|| self.two(rng, |_| true)).unwrap_or_default()
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
        let drawn = (0..DRAWS).map(|_| rng.usize(..len)).find(|&position| accept(position));
        drawn.or_else(|| {
            let start = rng.usize(..len);
            (0..len.min(SEARCH)).map(|step| (start + step) % len).find(|&position| accept(position))
        })
    }
}
