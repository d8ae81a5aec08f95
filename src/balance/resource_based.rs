//! Least of a score over load, response time and failures.
//!
//! A report multiplies what is counted and never replaces it. Utilisation is a share of what the endpoint owns, not of what it can have: one that
//! borrows from an idle machine says 1.5 and is well, one that is held to its own says 1 and drowns. Whoever sends to the least utilised sends
//! to the latter (Wydrowski et al., "Load is not what you should balance: Introducing Prequal", NSDI 2024), and sends a herd when reports
//! are old. What is in flight is always true, and tells the two apart.
//!
//! For the same reason a score does not decide alone: a mean over the last answers is old where answers are few, and until it tells of an endpoint
//! that has become slow, requests pile up there. So an endpoint that has far more than its share in flight is crowded, and loses to any
//! that is not (inspired by the same paper's rule of hot and cold, with a bound instead of a quantile).

use std::time::Duration;

use fastrand::Rng;

use crate::endpoint::{Endpoint, EndpointSet};
use crate::kit::clock::Tick;
use crate::model::ResourceTerms;

use super::choice::{Rule, least};
use super::picker::{NoPick, Pick};
use super::view::{Follow, Members, Views};

/// Requests in flight that an endpoint is taken to be made for when it does not say.
const MAX_CONNECTIONS: u32 = 100;

/// What a request counts on an endpoint that reports that it is full, where it counts 1 on one that reports that it is idle. Four keeps the load
/// even within that ratio, however wrong or old a report is.
const FULL: f64 = 4.0;

/// An endpoint is crowded from this many times the mean in flight. Less makes it `least_connections`; more lets a pile grow that takes as many
/// times longer to work off.
const CROWDED: f64 = 2.0;

/// What one in flight costs on a crowded endpoint: above the cost of any that is not, whatever the weights of both and whatever is reported.
const OUT_OF_SCORE: f64 = 1e24;

/// Least score by weight of those that are not crowded; all up to 8 endpoints, two at random above.
#[derive(Debug)]
pub(super) struct ResourceBased {
    terms: ResourceTerms,
    views: Views<Total>,
}

/// The sum of the members' weights.
#[derive(Debug, Default)]
struct Total(f64);

impl Follow for Total {
    fn follow(&mut self, _: &EndpointSet, members: &Members) {
        self.0 = members.weights.iter().copied().map(f64::from).sum();
    }
}

struct Cost<'a> {
    score: Score<'a>,
    /// In flight for a weight of 1 from which an endpoint is crowded.
    crowded: f64,
}

struct Score<'a> {
    terms: &'a ResourceTerms,
    now: Tick,
}

impl Score<'_> {
    fn of(&self, endpoint: &Endpoint) -> f64 {
        let vitals = endpoint.vitals();
        let room = f64::from(endpoint.spec.max_connections.unwrap_or(MAX_CONNECTIONS).max(1));
        let counted = f64::from(vitals.in_flight()) / room;
        let load = match vitals.reported(self.now) {
            Some(report) => {
                // The one that may be sent is counted, so that utilisation tells idle endpoints apart.
                let ahead = counted + (f64::from(report.queue) + 1.0) / room;
                // Above 1 it is borrowed, and says no more about what is left.
                let told = ahead * (1.0 + (FULL - 1.0) * report.utilisation.min(1.0));
                told * report.trust + counted * (1.0 - report.trust)
            }
            None => counted,
        };
        // A second and more is as bad as it gets.
        let slowness = vitals.mean_response_time().unwrap_or(0.0).min(1.0);
        self.terms.connections * load + self.terms.response_time * slowness + self.terms.failures * vitals.failure_rate()
    }
}

impl Rule for Cost<'_> {
    const FULL_SCAN: usize = 8;

    fn cost(&self, endpoint: &Endpoint, weight: f64) -> f64 {
        let in_flight = f64::from(endpoint.vitals().in_flight());
        // What adds up to a whole number in theory must not be rounded up for its last bit.
        let bound = (self.crowded * weight - 1e-9).ceil().max(1.0);
        if in_flight < bound { self.score.of(endpoint) / weight } else { OUT_OF_SCORE * in_flight / weight }
    }
}

impl ResourceBased {
    pub(super) fn new(terms: ResourceTerms, slow_start: Option<Duration>) -> Self {
        Self { terms, views: Views::new(slow_start) }
    }

    pub(super) fn pick(&mut self, pick: &Pick<'_>, rng: &mut Rng) -> Result<usize, NoPick> {
        let view = self.views.get(pick)?;
        // Members may be fewer than those that the pool's count is of, never more: then the bound is wider.
        let in_flight = pick.set.state().in_flight() as f64;
        // Who says that load does not count has it not counted.
        let factor = if self.terms.connections > 0.0 { CROWDED } else { f64::INFINITY };
        let crowded = factor * (in_flight + 1.0) / view.state.0;
        let score = Score { terms: &self.terms, now: pick.now };
        least(&Cost { score, crowded }, &view.members, pick, rng)
    }
}

#[cfg(test)]
mod tests;
