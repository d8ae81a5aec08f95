//! Least in flight for its weight.

use std::time::Duration;

use fastrand::Rng;

use crate::endpoint::Endpoint;

use super::choice::{Rule, least};
use super::picker::{NoPick, Pick};
use super::view::{Members, Views};

/// In flight divided by weight; a full scan up to 32 endpoints, two at random above.
#[derive(Debug)]
pub(super) struct LeastConnections {
    views: Views<()>,
}

struct Load;

impl Rule for Load {
    const FULL_SCAN: usize = 32;

    fn cost(&self, endpoint: &Endpoint, weight: f64) -> f64 {
        f64::from(endpoint.vitals().in_flight()) / weight
    }
}

impl LeastConnections {
    pub(super) fn new(slow_start: Option<Duration>) -> Self {
        Self { views: Views::new(slow_start) }
    }

    pub(super) fn pick(&mut self, pick: &Pick<'_>, rng: &mut Rng) -> Result<usize, NoPick> {
        among(&self.views.get(pick)?.members, pick, rng)
    }
}

/// Picks among `members`, which are not empty.
pub(super) fn among(members: &Members, pick: &Pick<'_>, rng: &mut Rng) -> Result<usize, NoPick> {
    least(&Load, members, pick, rng)
}

#[cfg(test)]
mod tests;
