//! The owner of a key, unless it has more than its share.
//!
//! The ring is the set's ([`Ring`](crate::endpoint::Ring)), over all endpoints. The walk of a key takes the first endpoint that may take the
//! request and stays within its bound: `bounded_load` times the mean in flight, by weight, rounded up ("Consistent Hashing with Bounded
//! Loads", Mirrokni, Thorup, Zadimoghaddam 2018, section 2). Who stands next depends on names alone, so every worker and every
//! replica of the proxy spills a key to the same endpoint.

use std::time::Duration;

use fastrand::Rng;

use crate::endpoint::EndpointSet;

use super::least_connections::among;
use super::open::Open;
use super::picker::{NoPick, Pick};
use super::view::{Follow, Members, View, Views};

/// Points passed before a walk gives up, far more than any but a pool with nearly everybody down or at the bound needs.
const MAX_STEPS: usize = 1 << 17;

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
        // Else the walk would go around the whole ring.
        if Open::new(&view.members, pick.set).is_some_and(Open::is_empty) {
            return Err(NoPick::Full);
        }
        let owner = pick.ask.key.and_then(|key| owner(view, key, bounded_load, pick));
        owner.map_or_else(|| among(&view.members, pick, rng), Ok)
    }
}

/// Returns the endpoint for `key`: the first with a free slot on the ring within its bound, or else the first that was not tried, or else the first.
fn owner(view: &mut View<Owners>, key: u64, bounded_load: f64, pick: &Pick<'_>) -> Option<usize> {
    let load = view.state.load(&view.members, pick);
    let per_weight = bounded_load * (load as f64 + 1.0) / view.state.total_weight;
    let (mut untried, mut first) = (None, None);
    for index in pick.set.ring().walk(key).take(MAX_STEPS) {
        let weight = view.state.weights.get(index).copied().unwrap_or(0);
        if weight == 0 {
            continue;
        }
        let endpoint = &pick.set.endpoints()[index];
        if !pick.has_slot(endpoint) {
            continue;
        }
        if pick.is_tried(endpoint) {
            first = first.or(Some(index));
            continue;
        }
        // A hair less, so that a whole number which came out a hair more is not rounded up to the next.
        let bound = (per_weight * f64::from(weight) - 1e-9).ceil();
        if f64::from(endpoint.vitals().in_flight()) < bound {
            return Some(index);
        }
        untried = untried.or(Some(index));
    }
    untried.or(first)
}

#[cfg(test)]
mod tests;
