//! Sets and pools for the tests of strategies.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;

use crate::endpoint::{Attempt, EndpointSet};
use crate::kit::clock::Tick;
use crate::model::{Address, EndpointSpec, Hash, Id, Pool, ResourceTerms, Strategy, Upstream, Weight};

use super::{Ask, NoPick, Picker};

/// The moment at which the endpoints of [`set`] became healthy.
pub(super) const START: Tick = Tick::from_nanos(0);

/// A moment this many milliseconds after [`START`].
pub(super) fn at(ms: u64) -> Tick {
    START + Duration::from_millis(ms)
}

pub(super) fn spec(id: &str, weight: f64, capabilities: &[&str]) -> EndpointSpec {
    EndpointSpec {
        id: id.parse().unwrap(),
        address: Address::Ip("127.0.0.1:80".parse().unwrap()),
        weight: Weight::new(weight).unwrap(),
        max_connections: None,
        capabilities: capabilities.iter().map(ToString::to_string).collect(),
        zone: None,
    }
}

pub(super) fn set_of(specs: impl IntoIterator<Item = EndpointSpec>, previous: Option<&EndpointSet>) -> EndpointSet {
    EndpointSet::new(&"pool".parse::<Id>().unwrap(), specs, previous, START)
}

/// A set of endpoints with these names and weights.
pub(super) fn set(endpoints: &[(&str, f64)]) -> EndpointSet {
    set_of(endpoints.iter().map(|&(id, weight)| spec(id, weight, &[])), None)
}

/// A set of `n` endpoints of weight 1, named `e0`, `e1` and so on.
pub(super) fn equals(n: usize) -> EndpointSet {
    set_of((0..n).map(|n| spec(&format!("e{n}"), 1.0, &[])), None)
}

pub(super) fn pool(strategy: Strategy) -> Pool {
    Pool {
        name: "pool".parse().unwrap(),
        strategy,
        hash: Hash::default(),
        resource: ResourceTerms::default(),
        endpoints: Vec::new(),
        discovery: None,
        autoscale: None,
        slow_start: None,
        max_connections: None,
        protection: Default::default(),
        upstream: Upstream::default(),
    }
}

/// A picker under test, with its randomness and its time.
pub(super) struct Bench {
    pub(super) picker: Picker,
    pub(super) rng: Rng,
    pub(super) now: Tick,
}

impl Bench {
    pub(super) fn new(strategy: Strategy) -> Self {
        Self::of(&pool(strategy))
    }

    pub(super) fn of(pool: &Pool) -> Self {
        Self { picker: Picker::new(pool), rng: Rng::with_seed(7), now: START }
    }

    pub(super) fn ask(&mut self, set: &EndpointSet, ask: &Ask<'_>) -> Result<usize, NoPick> {
        self.picker.pick(set, ask, self.now, &mut self.rng)
    }

    /// Picks once, with nothing asked, and returns the name.
    pub(super) fn pick<'a>(&mut self, set: &'a EndpointSet) -> &'a str {
        let index = self.ask(set, &Ask::default()).unwrap();
        set.endpoints()[index].spec.id.as_str()
    }

    /// Picks `n` times and returns the names, one after the other.
    pub(super) fn names(&mut self, set: &EndpointSet, n: usize) -> Vec<String> {
        (0..n).map(|_| self.pick(set).to_owned()).collect()
    }

    /// Picks `n` times and counts.
    pub(super) fn counts(&mut self, set: &EndpointSet, n: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.names(set, n).into_iter().for_each(|name| *counts.entry(name).or_default() += 1);
        counts
    }
}

/// Puts `n` attempts in flight on the endpoint called `id`.
pub(super) fn load(set: &EndpointSet, id: &str, n: usize) -> Vec<Attempt> {
    let endpoint = set.get(&id.parse().unwrap()).unwrap();
    (0..n).map(|_| Attempt::begin(endpoint.clone(), START)).collect()
}

/// Gives the endpoint called `id` an answer after `ms` milliseconds that ends at [`START`] plus those.
pub(super) fn answer(set: &EndpointSet, id: &str, ms: u64) {
    let mut attempt = load(set, id, 1).pop().unwrap();
    attempt.first_byte(at(ms));
    attempt.finish(crate::model::Outcome::Completed, at(ms));
}
