//! Least of a score over load, response time and failures.

use std::time::Duration;

use fastrand::Rng;

use crate::endpoint::Endpoint;
use crate::kit::clock::Tick;
use crate::model::ResourceTerms;

use super::choice::{Rule, least};
use super::picker::{NoPick, Pick};
use super::view::Views;

/// Requests in flight that an endpoint is taken to be made for when it does not say.
const MAX_CONNECTIONS: u32 = 100;

/// Least score by weight; all up to 8 endpoints, two at random above.
#[derive(Debug)]
pub(super) struct ResourceBased {
    terms: ResourceTerms,
    views: Views<()>,
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
                let told = report.utilisation.max(f64::from(report.queue) / room);
                told * report.trust + counted * (1.0 - report.trust)
            }
            None => counted,
        };
        // A second and more is as bad as it gets.
        let slowness = vitals.mean_response_time().unwrap_or(0.0).min(1.0);
        self.terms.connections * load + self.terms.response_time * slowness + self.terms.failures * vitals.failure_rate()
    }
}

impl Rule for Score<'_> {
    const FULL_SCAN: usize = 8;

    fn cost(&self, endpoint: &Endpoint, weight: f64) -> f64 {
        self.of(endpoint) / weight
    }
}

impl ResourceBased {
    pub(super) fn new(terms: ResourceTerms, slow_start: Option<Duration>) -> Self {
        Self { terms, views: Views::new(slow_start) }
    }

    pub(super) fn pick(&mut self, pick: &Pick<'_>, rng: &mut Rng) -> Result<usize, NoPick> {
        let view = self.views.get(pick)?;
        least(&Score { terms: &self.terms, now: pick.now }, &view.members, pick, rng)
    }
}

#[cfg(test)]
mod tests;
