//! The owner of a key, unless it has more than its share.
//!
//! The ring is the set's ([`Ring`]), over all endpoints. The walk of a key takes the first endpoint that may take the
//! request and stays within its bound: `bounded_load` times the mean in flight, by weight, rounded up ("Consistent Hashing with Bounded
//! Loads", Mirrokni, Thorup, Zadimoghaddam 2018, section 2). Where nearly nobody may, the walk would go around the whole circle: after some
//! steps, a few when the free are few, those few are compared instead, and the key goes to the one nearest to it (rendezvous hashing). Who stands next, or is nearest,
//! depends on names alone, so every worker and every replica of the proxy spills a key to the same endpoint.

use std::time::Duration;

use fastrand::Rng;

use crate::endpoint::{EndpointSet, Ring};

use super::least_connections::among;
use super::open::Open;
use super::picker::{NoPick, Pick};
use super::view::{Follow, Members, View, Views};

/// Points that a walk passes before it gives up: where one endpoint of ten may take the request, 1 walk of 850 does.
const MAX_STEPS: usize = 64;

/// The same where few are free: the owner itself and its next are worth a look.
const FEW_STEPS: usize = 4;

/// That few are free: comparing them all is cheaper than walking past one of so many that are not.
const FEW: usize = 64;
const FEW_OF: usize = 16;

/// Consistent hashing with bounded loads; requests without a key go to the least in flight.
#[derive(Debug)]
pub(super) struct ConsistentHashing {
    bounded_load: f64,
    views: Views<Owners>,
}

/// Who may own, and how loaded they are together.
#[derive(Debug, Default)]
struct Owners {
    /// For each place in the set its weight, 0 for those that are not members.
    weights: Vec<u32>,
    total_weight: f64,
    /// In flight on the members, counted now and then.
    in_flight: u64,
    /// Picks since, each taken to be in flight still.
    picks: u64,
    is_counted: bool,
}

impl Follow for Owners {
    fn follow(&mut self, set: &EndpointSet, members: &Members) {
        self.weights.clear();
        self.weights.resize(set.len(), 0);
        for (&index, &weight) in members.indexes.iter().zip(&members.weights) {
            if let Some(slot) = self.weights.get_mut(index as usize) {
                *slot = weight;
            }
        }
        self.total_weight = members.weights.iter().map(|&weight| f64::from(weight)).sum();
        self.is_counted = false;
    }
}

impl Owners {
    /// Returns the in-flight requests of the members.
    ///
    /// The pool's own count serves a request that requires nothing. The members for a capability are counted every so many picks that a
    /// pick costs O(1); until then too many is assumed rather than too few.
    fn load(&mut self, members: &Members, pick: &Pick<'_>) -> u64 {
        if pick.ask.required.is_empty() {
            return pick.set.state().in_flight();
        }
        if !self.is_counted || self.picks >= members.len() as u64 / 8 {
            let in_flight =
                |&index: &u32| pick.set.endpoints().get(index as usize).map_or(0, |e| u64::from(e.vitals().in_flight()));
            self.in_flight = members.indexes.iter().map(in_flight).sum();
            self.picks = 0;
            self.is_counted = true;
        }
        self.picks += 1;
        self.in_flight + self.picks - 1
    }
}

impl ConsistentHashing {
    pub(super) fn new(bounded_load: f64, slow_start: Option<Duration>) -> Self {
        // Below 1 there would not be room for everything; `f64::max` passes over a NaN.
        Self { bounded_load: bounded_load.max(1.0), views: Views::new(slow_start) }
    }

    pub(super) fn pick(&mut self, pick: &Pick<'_>, rng: &mut Rng) -> Result<usize, NoPick> {
        let bounded_load = self.bounded_load;
        let view = self.views.get(pick)?;
        if Open::new(&view.members, pick.set).is_some_and(Open::is_empty) {
            return Err(NoPick::Full);
        }
        let owner = pick.ask.key.and_then(|key| owner(view, key, bounded_load, pick));
        owner.map_or_else(|| among(&view.members, pick, rng), Ok)
    }
}

/// Returns the endpoint for `key`: the first on its way with a free slot, within its bound and not tried; where the way is long, the nearest. Nobody within
/// the bound, or only who was tried, is better than nobody.
fn owner(view: &mut View<Owners>, key: u64, bounded_load: f64, pick: &Pick<'_>) -> Option<usize> {
    let load = view.state.load(&view.members, pick);
    let (owners, members) = (&view.state, &view.members);
    let per_weight = bounded_load * (load as f64 + 1.0) / owners.total_weight;
    let judge = |index: usize| judge(owners, index, per_weight, pick);
    let within = |&index: &usize| judge(index) == Some(Standing::Within);
    let open = Open::new(members, pick.set);
    let are_few = open.is_some_and(|open| open.count() <= FEW && open.count() * FEW_OF <= members.len());
    let steps = if are_few { FEW_STEPS } else { MAX_STEPS };
    if let Some(index) = pick.set.ring().walk(key).take(steps).find(within) {
        return Some(index);
    }
    let nearest = |candidates: &mut dyn Iterator<Item = usize>| nearest(owners, pick.set.ring(), key, candidates, judge);
    match open {
        Some(open) => nearest(&mut open.from(0)),
        None => nearest(&mut members.indexes.iter().map(|&index| index as usize)),
    }
}

/// Returns the one of `candidates` that suits best, and of those the one at the least distance for its weight.
fn nearest(
    owners: &Owners,
    ring: &Ring,
    key: u64,
    candidates: &mut dyn Iterator<Item = usize>,
    judge: impl Fn(usize) -> Option<Standing>,
) -> Option<usize> {
    let mut best: Option<(Standing, f64, usize)> = None;
    for index in candidates {
        let weight = f64::from(owners.weights.get(index).copied().unwrap_or(0));
        // Most are too far away to be looked at any closer.
        let least = match best {
            Some((Standing::Within, least, _)) if ring.least_distance(key, index) / weight >= least => continue,
            Some((standing, least, _)) => Some((standing, least)),
            None => None,
        };
        let Some(standing) = judge(index) else { continue };
        let distance = ring.distance(key, index) / weight;
        if least.is_none_or(|least| (standing, distance) < least) {
            best = Some((standing, distance, index));
        }
    }
    best.map(|(.., index)| index)
}

/// How well an endpoint that has a free slot suits, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// It has less than its share.
    Within,
    /// It has its share or more.
    Above,
    /// This request comes back from it.
    Tried,
}

/// Judges the endpoint at `index`; `None` when it may not take the request at all.
fn judge(owners: &Owners, index: usize, per_weight: f64, pick: &Pick<'_>) -> Option<Standing> {
    let weight = owners.weights.get(index).copied().filter(|&weight| weight > 0)?;
    let endpoint = pick.set.endpoints().get(index).filter(|endpoint| pick.has_slot(endpoint))?;
    if pick.is_tried(endpoint) {
        return Some(Standing::Tried);
    }
    // A hair less, so that a whole number which came out a hair more is not rounded up to the next.
    let bound = (per_weight * f64::from(weight) - 1e-9).ceil();
    Some(if f64::from(endpoint.vitals().in_flight()) < bound { Standing::Within } else { Standing::Above })
}

#[cfg(test)]
mod tests;
