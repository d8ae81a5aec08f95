//! Where shards are found: once when something is built, and all of them on a scrape.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::counters::{EndpointCounters, Guard, ListenerCounters, RequestCounters};
use super::histogram::{Histogram, Snapshot};
use crate::model::Id;

/// One shard for each worker that has asked.
type Shards<T> = BTreeMap<usize, Arc<T>>;

/// A listener and a route; `None` is what no route took.
pub(super) type RouteKey = (Id, Option<Id>);

/// A pool and an endpoint.
pub(super) type EndpointKey = (Id, Id);

#[derive(Debug, Default)]
pub(super) struct Families {
    pub(super) listeners: BTreeMap<Id, Shards<ListenerCounters>>,
    pub(super) routes: BTreeMap<RouteKey, Shards<RequestCounters>>,
    pub(super) endpoints: BTreeMap<EndpointKey, Shards<EndpointCounters>>,
}

/// All figures of the request path. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    families: Arc<Mutex<Families>>,
}

/// A worker's way into the registry.
#[derive(Clone, Debug)]
pub struct Shard {
    registry: Registry,
    worker: usize,
}

/// The sums of one endpoint.
#[derive(Clone, Debug, Default)]
pub struct EndpointFigures {
    /// From the pick to the response's head.
    pub first_byte: Snapshot,
    /// From the pick to the last byte.
    pub duration: Snapshot,
}

fn shard<K: Ord, T: Default>(family: &mut BTreeMap<K, Shards<T>>, key: K, worker: usize) -> Arc<T> {
    family.entry(key).or_default().entry(worker).or_default().clone()
}

pub(super) fn sum<'a, T: 'a>(shards: impl Iterator<Item = &'a Arc<T>>, histogram: impl Fn(&T) -> &Histogram) -> Snapshot {
    let mut snapshot = Snapshot::default();
    shards.for_each(|shard| histogram(shard).add_to(&mut snapshot));
    snapshot
}

impl Registry {
    /// Returns the way in for a worker.
    pub fn shard(&self, worker: usize) -> Shard {
        Shard { registry: self.clone(), worker }
    }

    pub(super) fn families(&self) -> MutexGuard<'_, Families> {
        // A holder that panicked left whole entries behind: counters have no state between two steps.
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what is no longer configured; what still runs there is no longer shown.
    pub fn retain<'a>(
        &self,
        listeners: impl Iterator<Item = &'a Id>,
        routes: impl Iterator<Item = &'a Id>,
        endpoints: &HashSet<EndpointKey>,
    ) {
        let (listeners, routes) = (set(listeners), set(routes));
        let mut families = self.families();
        families.listeners.retain(|name, _| listeners.contains(name));
        families.routes.retain(|(listener, route), _| {
            listeners.contains(listener) && route.as_ref().is_none_or(|route| routes.contains(route))
        });
        families.endpoints.retain(|key, _| endpoints.contains(key));
    }

    /// Returns how often each guard has cut a connection or a stream of a listener.
    pub fn cuts(&self, listener: &Id) -> BTreeMap<&'static str, u64> {
        let families = self.families();
        let shards = families.listeners.get(listener);
        let sum = |guard: Guard| {
            let counts = shards.iter().flat_map(|shards| shards.values()).filter_map(|shard| shard.cuts.get(guard as usize));
            counts.map(|count| count.load(Relaxed)).sum()
        };
        Guard::ALL.into_iter().map(|guard| (guard.as_str(), sum(guard))).collect()
    }

    /// Returns the sums of an endpoint.
    pub fn endpoint_figures(&self, pool: &Id, endpoint: &Id) -> EndpointFigures {
        let families = self.families();
        let Some(shards) = families.endpoints.get(&(pool.clone(), endpoint.clone())) else { return EndpointFigures::default() };
        EndpointFigures {
            first_byte: sum(shards.values(), |shard| &shard.first_byte),
            duration: sum(shards.values(), |shard| &shard.duration),
        }
    }
}

fn set<T: Eq + Hash>(items: impl Iterator<Item = T>) -> HashSet<T> {
    items.collect()
}

impl Shard {
    /// Returns the counters of a listener.
    pub fn listener(&self, name: &Id) -> Arc<ListenerCounters> {
        shard(&mut self.registry.families().listeners, name.clone(), self.worker)
    }

    /// Returns the counters of a route on a listener; without a route, of requests that none took.
    pub fn request(&self, listener: &Id, route: Option<&Id>) -> Arc<RequestCounters> {
        shard(&mut self.registry.families().routes, (listener.clone(), route.cloned()), self.worker)
    }

    /// Returns the counters of an endpoint.
    pub fn endpoint(&self, pool: &Id, endpoint: &Id) -> Arc<EndpointCounters> {
        shard(&mut self.registry.families().endpoints, (pool.clone(), endpoint.clone()), self.worker)
    }
}
