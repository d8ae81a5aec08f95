//! One membership of a pool: immutable, swapped as a whole, over state that outlives it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use crate::kit::clock::Tick;
use crate::model::{EndpointSpec, Id};

use super::capability::Names;
use super::{Endpoint, Mask, Openings, PoolState, Ring, State, bits};

/// The endpoints of a pool at one time, each id once.
#[derive(Debug)]
pub struct EndpointSet {
    pool: Id,
    generation: u64,
    endpoints: Box<[Arc<Endpoint>]>,
    /// Indexes in the order of the ids.
    by_id: Box<[u32]>,
    names: Names,
    /// `None` when no endpoint has a limited number of slots.
    openings: Option<Arc<Openings>>,
    state: Arc<PoolState>,
    ring: OnceLock<Ring>,
}

/// Which set it was and how its endpoints stood; what was derived from a set is good as long as its stamp is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    generation: u64,
    epoch: u64,
}

impl Stamp {
    /// Tells whether both are of the same set, so that indexes mean the same.
    pub const fn same_set(self, other: Self) -> bool {
        self.generation == other.generation
    }
}

impl EndpointSet {
    /// Builds the membership of `pool`, and keeps what was learned of every id that was in `previous`.
    ///
    /// Of specs with the same id the first counts. An id that is new counts as healthy from `now` on. O(n log n).
    pub fn new(pool: &Id, specs: impl IntoIterator<Item = EndpointSpec>, previous: Option<&Self>, now: Tick) -> Self {
        Self::build(pool, specs, previous, Some(now))
    }

    /// Builds the same for a pool with health checks: an id that is new is not healthy before a check has said so.
    ///
    /// It may get requests all the same, as its availability is another matter; with slow start, the least share of them.
    pub fn unproven(pool: &Id, specs: impl IntoIterator<Item = EndpointSpec>, previous: Option<&Self>) -> Self {
        Self::build(pool, specs, previous, None)
    }

    fn build(
        pool: &Id,
        specs: impl IntoIterator<Item = EndpointSpec>,
        previous: Option<&Self>,
        healthy_from: Option<Tick>,
    ) -> Self {
        static GENERATIONS: AtomicU64 = AtomicU64::new(0);
        let previous = previous.filter(|set| set.pool == *pool);
        let state = previous.map_or_else(Arc::default, |set| Arc::clone(&set.state));
        let specs = first_of_each_id(specs);
        let names = Names::new(specs.iter());
        let endpoints: Box<[_]> = specs
            .into_iter()
            .map(|spec| {
                let mask = names.offered(spec.capabilities.iter().map(String::as_str));
                let known = previous.and_then(|set| set.get(&spec.id));
                match known {
                    // The same allocation, so that what is kept per endpoint elsewhere stays valid.
                    Some(known) if known.spec == spec && known.mask() == mask => Arc::clone(known),
                    Some(known) => Arc::new(Endpoint::new(spec, Arc::clone(&known.state), mask)),
                    None => {
                        let learned = State::new(Arc::clone(&state));
                        if let Some(now) = healthy_from {
                            learned.mark_healthy(now);
                        }
                        Arc::new(Endpoint::new(spec, Arc::new(learned), mask))
                    }
                }
            })
            .collect();
        let mut by_id: Box<[u32]> = (0..endpoints.len() as u32).collect();
        by_id.sort_unstable_by(|&a, &b| endpoints[a as usize].spec.id.cmp(&endpoints[b as usize].spec.id));
        let generation = GENERATIONS.fetch_add(1, Relaxed);
        let openings = watch(&endpoints);
        Self { pool: pool.clone(), generation, endpoints, by_id, names, openings, state, ring: OnceLock::new() }
    }

    /// Returns the pool's name.
    pub const fn pool(&self) -> &Id {
        &self.pool
    }

    /// Returns the endpoints, in the order of the file or of discovery.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Returns how many endpoints there are.
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Tells whether there is no endpoint.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// Returns the endpoint called `id`; O(log n).
    pub fn get(&self, id: &Id) -> Option<&Arc<Endpoint>> {
        self.index_of(id).and_then(|index| self.endpoints.get(index))
    }

    /// Returns the place of the endpoint called `id`; O(log n).
    pub fn index_of(&self, id: &Id) -> Option<usize> {
        let found = self.by_id.binary_search_by(|&index| self.endpoints[index as usize].spec.id.cmp(id));
        found.ok().and_then(|place| self.by_id.get(place)).map(|&index| index as usize)
    }

    /// Tells whether any endpoint has a limited number of slots.
    pub const fn is_limited(&self) -> bool {
        self.openings.is_some()
    }

    /// Returns the places of those that may have a free slot, `None` when no endpoint has a limited number.
    pub fn openings(&self) -> Option<&Openings> {
        self.openings.as_deref()
    }

    /// Tells whether every slot of every endpoint is taken, whatever their availability; one load.
    pub fn is_full(&self) -> bool {
        self.openings().is_some_and(Openings::is_empty)
    }

    /// Returns those that may have a free slot, and their places: for a set without limits, all.
    pub fn with_openings(&self) -> impl Iterator<Item = (usize, &Arc<Endpoint>)> {
        let open = self.openings().into_iter().flat_map(|openings| openings.words(0..usize::MAX));
        let open = open.flat_map(|(n, word)| bits(word).map(move |bit| n * 64 + bit));
        let unlimited = if self.is_limited() { 0 } else { self.len() };
        open.chain(0..unlimited).filter_map(|place| Some((place, self.endpoints.get(place)?)))
    }

    /// Returns the mask that requires all `names`, `None` when no endpoint offers one of them.
    pub fn required_mask<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Option<Mask> {
        self.names.required(names)
    }

    /// Returns what all endpoints of the pool share.
    pub const fn state(&self) -> &Arc<PoolState> {
        &self.state
    }

    /// Returns the present stamp; one load.
    pub fn stamp(&self) -> Stamp {
        Stamp { generation: self.generation, epoch: self.state.epoch() }
    }

    /// Returns the ring for consistent hashing, over all endpoints whatever their availability.
    ///
    /// Built by the first call, which may take tens of milliseconds for 10,000 endpoints: call it once before workers see the set.
    pub fn ring(&self) -> &Ring {
        self.ring.get_or_init(|| {
            Ring::new(self.by_id.iter().map(|&index| {
                let spec = &self.endpoints[index as usize].spec;
                (index, spec.id.as_str(), spec.weight)
            }))
        })
    }
}

impl Drop for EndpointSet {
    fn drop(&mut self) {
        if let Some(openings) = &self.openings {
            self.endpoints.iter().for_each(|endpoint| endpoint.state.unwatch(openings));
        }
    }
}

/// Lets endpoints with a limit say when they have a free slot.
fn watch(endpoints: &[Arc<Endpoint>]) -> Option<Arc<Openings>> {
    let limits =
        || endpoints.iter().enumerate().filter_map(|(place, endpoint)| Some((place, endpoint, endpoint.spec.max_connections?)));
    limits().next()?;
    let openings = Arc::new(Openings::new(endpoints.len()));
    limits().for_each(|(place, endpoint, slots)| endpoint.state.watch(Arc::clone(&openings), place, slots));
    Some(openings)
}

fn first_of_each_id(specs: impl IntoIterator<Item = EndpointSpec>) -> Vec<EndpointSpec> {
    let mut seen = HashSet::new();
    specs.into_iter().filter(|spec| seen.insert(spec.id.clone())).collect()
}

#[cfg(test)]
mod tests;
