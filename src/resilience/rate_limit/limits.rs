//! One limit, and the limits of a route, which must all agree.
//!
//! A request that one limit refuses takes nothing from the others. Every limit is looked at before anything is taken, so that a flood that is
//! refused writes nothing; when another worker comes in between and a limit refuses after all, what was taken is given back.

use std::sync::Arc;

use super::buckets::{Buckets, MAX_KEYS, Place};
use super::report::Report;
use crate::kit::clock::Tick;
use crate::kit::gcra::{Decision, Rate};
use crate::model::{Id, RateKey, RateLimit};

/// One limit: its figures, which are a world's, and its buckets, which outlive worlds.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    name: Id,
    key: RateKey,
    rate: Rate,
    buckets: Arc<Buckets>,
}

/// The limits of a route, in the order of the config.
#[derive(Debug, Default)]
pub struct RateLimits {
    limits: Box<[RateLimiter]>,
}

/// Where a request stands with the limits of its route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The place of the limit that says so: the one with the fewest requests left, or the one that refuses for the longest.
    pub limit: usize,
    /// What it says; refused by one is refused.
    pub decision: Decision,
}

impl RateLimiter {
    /// A limit of which nothing is used.
    pub fn new(model: &RateLimit) -> Self {
        Self::bounded(model, MAX_KEYS)
    }

    pub(super) fn bounded(model: &RateLimit, keys: usize) -> Self {
        Self::over(model, Arc::new(Buckets::new(keys)))
    }

    fn over(model: &RateLimit, buckets: Arc<Buckets>) -> Self {
        let rate = Rate::new(model.requests, model.per, model.burst);
        Self { name: model.name.clone(), key: model.key.clone(), rate, buckets }
    }

    /// The same limit with other figures, over the same buckets; `None` when it counts others together.
    fn with(&self, model: &RateLimit) -> Option<Self> {
        (self.name == model.name && self.key == model.key).then(|| Self::over(model, self.buckets.clone()))
    }

    /// Returns its name in the `RateLimit` fields.
    pub const fn name(&self) -> &Id {
        &self.name
    }

    /// Returns whose requests are counted together.
    pub const fn key(&self) -> &RateKey {
        &self.key
    }

    /// Asks for one request of a key; those without one are counted together.
    pub fn check(&self, key: Option<u64>, now: Tick) -> Decision {
        let (decision, place) = self.take(key, now);
        self.buckets.count(decision, place);
        decision
    }

    /// Returns what it has counted, which it does from its start in this process, or from the last change of its key.
    pub fn report(&self) -> Report {
        let buckets = &self.buckets;
        Report::new(self.name.clone(), self.key.clone(), buckets.counts(), buckets.keys(), buckets.capacity())
    }

    /// Tells what [`RateLimiter::take`] would say; only a refusal is the last word about a request, and is counted.
    fn look(&self, key: Option<u64>, now: Tick) -> Decision {
        let (decision, place) = self.buckets.look(key, now, self.rate);
        if matches!(decision, Decision::Refused { .. }) {
            self.buckets.count(decision, place);
        }
        decision
    }

    fn take(&self, key: Option<u64>, now: Tick) -> (Decision, Place) {
        self.buckets.take(key, now, self.rate)
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.buckets.len()
    }
}

impl RateLimits {
    /// Builds the limits of a route; those that `previous` has by the same name and for the same keys go on with its buckets.
    ///
    /// Nothing of `previous` changes before [`RateLimits::configure`].
    pub fn new(models: &[RateLimit], previous: Option<&Self>) -> Self {
        let before = |model: &RateLimit| previous?.limits.iter().find_map(|limit| limit.with(model));
        Self { limits: models.iter().map(|model| before(model).unwrap_or_else(|| RateLimiter::new(model))).collect() }
    }

    /// Takes over from the limits that it was built beside: what is used there is used here, in requests, but at most a whole burst.
    ///
    /// To be called once, when the new world comes into force; a request that is judged by the old figures afterwards is judged a little wrong.
    pub fn configure(&self, previous: &Self, now: Tick) {
        for limit in &self.limits {
            let before = previous.limits.iter().find(|before| Arc::ptr_eq(&before.buckets, &limit.buckets));
            if let Some(before) = before.filter(|before| before.rate != limit.rate) {
                limit.buckets.convert(now, before.rate, limit.rate);
            }
        }
    }

    /// Returns the limits, in the order of the config.
    pub fn limits(&self) -> &[RateLimiter] {
        &self.limits
    }

    /// Asks every limit for one request, whose key for each `key` tells; `None` when there are no limits.
    pub fn check(&self, now: Tick, key: impl Fn(&RateKey) -> Option<u64>) -> Option<Standing> {
        match &*self.limits {
            [] => None,
            [only] => Some(Standing { limit: 0, decision: only.check(key(&only.key), now) }),
            _ => self.check_all(now, key),
        }
    }

    fn check_all(&self, now: Tick, key: impl Fn(&RateKey) -> Option<u64>) -> Option<Standing> {
        let looked = worst(self.limits.iter().map(|limit| limit.look(key(&limit.key), now)));
        if looked.is_some_and(Standing::is_refused) {
            return looked;
        }
        let mut taken = Taken { limits: &self.limits, now, all: Vec::with_capacity(self.limits.len()) };
        for (place, limit) in self.limits.iter().enumerate() {
            let (decision, from) = limit.take(key(&limit.key), now);
            if matches!(decision, Decision::Refused { .. }) {
                limit.buckets.count(decision, from);
                taken.give_back();
                return Some(Standing { limit: place, decision });
            }
            taken.all.push((decision, from));
        }
        for (limit, &(decision, from)) in self.limits.iter().zip(&taken.all) {
            limit.buckets.count(decision, from);
        }
        worst(taken.all.into_iter().map(|(decision, _)| decision))
    }
}

/// What one request has taken so far, from as many of the first limits.
struct Taken<'a> {
    limits: &'a [RateLimiter],
    now: Tick,
    all: Vec<(Decision, Place)>,
}

impl Taken<'_> {
    fn give_back(self) {
        for (limit, (decision, place)) in self.limits.iter().zip(self.all) {
            if let Decision::Allowed { reset, .. } = decision {
                limit.buckets.give_back(place, self.now + reset, limit.rate);
            }
        }
    }
}

impl Standing {
    const fn is_refused(self) -> bool {
        matches!(self.decision, Decision::Refused { .. })
    }

    /// Tells whether it leaves the client less than `other`.
    fn is_worse_than(self, other: Self) -> bool {
        match (self.decision, other.decision) {
            (Decision::Refused { retry_after, .. }, Decision::Refused { retry_after: other, .. }) => retry_after > other,
            (Decision::Allowed { remaining, reset }, Decision::Allowed { remaining: other, reset: later }) => {
                remaining < other || (remaining == other && reset > later)
            }
            (Decision::Refused { .. }, Decision::Allowed { .. }) => true,
            (Decision::Allowed { .. }, Decision::Refused { .. }) => false,
        }
    }
}

fn worst(decisions: impl Iterator<Item = Decision>) -> Option<Standing> {
    decisions
        .enumerate()
        .map(|(limit, decision)| Standing { limit, decision })
        .reduce(|worst, next| if next.is_worse_than(worst) { next } else { worst })
}

#[cfg(test)]
mod tests;
