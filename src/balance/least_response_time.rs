//! Least time to first byte, times load.
//!
//! Peak EWMA (Finagle's `PeakEwma`): the average rises with a slow answer at once and falls with fast ones over ten seconds, so that one
//! stall sends traffic elsewhere before the next request and not after many. What Finagle lacks for agents, whose answers take seconds:
//! an endpoint that nobody has measured starts at the pool's median instead of free of charge, and one that was slow and left alone
//! fades to that median, not to nothing, so that it is tried again without the whole pool falling on it.

use std::time::Duration;

use fastrand::Rng;

use crate::endpoint::{Endpoint, EndpointSet};
use crate::kit::clock::Tick;

use super::choice::{Rule, least};
use super::picker::{NoPick, Pick};
use super::view::{Follow, Members, Views};

/// Up to this many endpoints all are compared, and their median is taken anew for each pick.
const FULL_SCAN: usize = 8;

/// Endpoints whose median stands for the pool's.
const SAMPLE: usize = 128;

/// How long a median is good.
const MEDIAN_AGE: Duration = Duration::from_millis(100);

/// How long it is good to know that none of the sample is measured.
const IGNORANCE_AGE: Duration = Duration::from_millis(10);

/// The latency in seconds of everybody while nobody is measured.
const UNMEASURED: f64 = 1.0;

/// The cost of a parked endpoint, above any that is not: (1 hour x 10,000 in flight) / 1 is below.
const PARKED: f64 = 1e12;

/// Peak EWMA of time to first byte, times in flight plus 1, by weight; all up to 8 endpoints, two at random above.
#[derive(Debug)]
pub(super) struct LeastResponseTime {
    views: Views<Median>,
}

/// The median of the times to first byte of a view's members.
#[derive(Debug, Default)]
struct Median {
    seconds: Option<f64>,
    taken: Option<Tick>,
    /// Room to find it in.
    sample: Vec<f64>,
}

struct Cost {
    median: Option<f64>,
    now: Tick,
}

impl Follow for Median {
    fn follow(&mut self, _: &EndpointSet, members: &Members) {
        self.taken = None;
        self.sample.reserve(members.len().min(SAMPLE));
    }
}

impl Median {
    fn refresh(&mut self, members: &Members, pick: &Pick<'_>, rng: &mut Rng) {
        let age = if self.seconds.is_some() { MEDIAN_AGE } else { IGNORANCE_AGE };
        if members.len() > FULL_SCAN && self.taken.is_some_and(|taken| pick.now.since(taken) < age) {
            return;
        }
        let (len, step) = (members.len(), (members.len() / SAMPLE).max(1));
        let start = if step > 1 { rng.usize(..len) } else { 0 };
        let positions = (0..len.min(SAMPLE)).map(|n| (start + n * step) % len);
        self.sample.clear();
        self.sample.extend(positions.filter_map(|at| pick.set.endpoints()[members.index(at)].vitals().last_first_byte()));
        self.seconds = lower_median(&mut self.sample);
        self.taken = Some(pick.now);
    }
}

/// Returns the median, the smaller of the two in the middle.
fn lower_median(sample: &mut [f64]) -> Option<f64> {
    let middle = sample.len().checked_sub(1)? / 2;
    Some(*sample.select_nth_unstable_by(middle, f64::total_cmp).1)
}

impl Rule for Cost {
    const FULL_SCAN: usize = FULL_SCAN;

    fn cost(&self, endpoint: &Endpoint, weight: f64) -> f64 {
        let vitals = endpoint.vitals();
        if let Some(wait) = vitals.parked_for(self.now) {
            return PARKED + wait.as_secs_f64();
        }
        let latency = match vitals.first_byte(self.now) {
            Some(reading) => reading.faded.max(self.median.unwrap_or(reading.last).min(reading.last)),
            None => self.median.unwrap_or(UNMEASURED),
        };
        latency * (f64::from(vitals.in_flight()) + 1.0) / weight
    }

    fn avoids(&self, endpoint: &Endpoint) -> bool {
        endpoint.vitals().parked_for(self.now).is_some()
    }
}

impl LeastResponseTime {
    pub(super) fn new(slow_start: Option<Duration>) -> Self {
        Self { views: Views::new(slow_start) }
    }

    pub(super) fn pick(&mut self, pick: &Pick<'_>, rng: &mut Rng) -> Result<usize, NoPick> {
        let view = self.views.get(pick)?;
        view.state.refresh(&view.members, pick, rng);
        let cost = Cost { median: view.state.seconds, now: pick.now };
        least(&cost, &view.members, pick, rng)
    }
}

#[cfg(test)]
mod tests;
