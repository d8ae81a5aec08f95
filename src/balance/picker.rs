//! The door to the strategies: one picker, one question, one answer.

use std::time::Duration;

use fastrand::Rng;

use crate::endpoint::{Endpoint, EndpointSet, Mask, Serial};
use crate::kit::clock::Tick;
use crate::kit::hash::stable;
use crate::model::{Pool, ResourceTerms, Strategy};

use super::consistent_hashing::ConsistentHashing;
use super::least_connections::LeastConnections;
use super::least_response_time::LeastResponseTime;
use super::resource_based::ResourceBased;
use super::round_robin::RoundRobin;
use super::weighted_round_robin::WeightedRoundRobin;

/// Chooses endpoints of one pool for one worker.
#[derive(Debug)]
pub struct Picker {
    terms: Terms,
    kind: Kind,
}

/// What a request asks of its endpoint; the default asks nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// What the endpoint must offer, from [`EndpointSet::required_mask`] of the same set.
    pub required: Mask,
    /// The request's [`hash_key`], for `consistent_hashing`.
    pub key: Option<u64>,
    /// Endpoints that this request has tried: avoided when another one is available.
    pub tried: &'a [Serial],
}

/// Why no endpoint was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPick {
    /// The pool has no endpoint.
    Empty,
    /// Every endpoint that could serve the request is unavailable or has weight 0.
    Unavailable,
    /// Endpoints that could serve the request are available, but every slot of theirs is taken.
    Full,
    /// No endpoint, available or not, offers all that the request requires.
    Capability,
}

#[derive(Debug)]
enum Kind {
    RoundRobin(RoundRobin),
    LeastConnections(LeastConnections),
    WeightedRoundRobin(WeightedRoundRobin),
    LeastResponseTime(LeastResponseTime),
    ResourceBased(ResourceBased),
    ConsistentHashing(ConsistentHashing),
}

/// The part of a pool's config that a picker is made from.
#[derive(Clone, Debug, PartialEq)]
struct Terms {
    strategy: Strategy,
    bounded_load: f64,
    resource: ResourceTerms,
    slow_start: Option<Duration>,
}

/// One pick's arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pick<'a> {
    pub(super) set: &'a EndpointSet,
    pub(super) ask: &'a Ask<'a>,
    pub(super) now: Tick,
}

impl Pick<'_> {
    /// Tells whether `endpoint` can take one more request.
    pub(super) fn has_slot(&self, endpoint: &Endpoint) -> bool {
        !self.set.is_limited() || endpoint.has_slot()
    }

    pub(super) fn is_tried(&self, endpoint: &Endpoint) -> bool {
        !self.ask.tried.is_empty() && self.ask.tried.contains(&endpoint.serial())
    }
}

impl Terms {
    fn new(pool: &Pool) -> Self {
        Self {
            strategy: pool.strategy,
            bounded_load: pool.hash.bounded_load,
            resource: pool.resource.clone(),
            slow_start: pool.slow_start,
        }
    }

    fn kind(&self) -> Kind {
        match self.strategy {
            Strategy::RoundRobin => Kind::RoundRobin(RoundRobin::new()),
            Strategy::LeastConnections => Kind::LeastConnections(LeastConnections::new(self.slow_start)),
            Strategy::WeightedRoundRobin => Kind::WeightedRoundRobin(WeightedRoundRobin::new(self.slow_start)),
            Strategy::LeastResponseTime => Kind::LeastResponseTime(LeastResponseTime::new(self.slow_start)),
            Strategy::ResourceBased => Kind::ResourceBased(ResourceBased::new(self.resource.clone(), self.slow_start)),
            Strategy::ConsistentHashing => Kind::ConsistentHashing(ConsistentHashing::new(self.bounded_load, self.slow_start)),
        }
    }
}

impl Picker {
    /// Makes a picker for `pool`; the endpoints come with each pick.
    pub fn new(pool: &Pool) -> Self {
        let terms = Terms::new(pool);
        Self { kind: terms.kind(), terms }
    }

    /// Follows a reload of the pool's config; rotation goes on where it was unless the strategy or its settings have changed.
    pub fn reconfigure(&mut self, pool: &Pool) {
        if self.terms != Terms::new(pool) {
            *self = Self::new(pool);
        }
    }

    /// Returns the strategy.
    pub const fn strategy(&self) -> Strategy {
        self.terms.strategy
    }

    /// Chooses the place in `set` of the endpoint for a request; one with a free slot, which another worker may take meanwhile.
    ///
    /// O(1) or O(log n), but O(n) for the first pick after an endpoint of the set has changed its availability or weight.
    ///
    /// # Errors
    /// When no endpoint may take the request.
    pub fn pick(&mut self, set: &EndpointSet, ask: &Ask<'_>, now: Tick, rng: &mut Rng) -> Result<usize, NoPick> {
        let pick = Pick { set, ask, now };
        match &mut self.kind {
            Kind::RoundRobin(strategy) => strategy.pick(&pick, rng),
            Kind::LeastConnections(strategy) => strategy.pick(&pick, rng),
            Kind::WeightedRoundRobin(strategy) => strategy.pick(&pick, rng),
            Kind::LeastResponseTime(strategy) => strategy.pick(&pick, rng),
            Kind::ResourceBased(strategy) => strategy.pick(&pick, rng),
            Kind::ConsistentHashing(strategy) => strategy.pick(&pick, rng),
        }
    }
}

/// Returns the key of a request for `consistent_hashing`: the same in every process and release.
pub fn hash_key(bytes: &[u8]) -> u64 {
    stable(bytes)
}
