//! What a simulation comes to: waits, what went wrong, replica-hours, scaling events. Pure.

use std::time::Duration;

use serde::Serialize;

use super::settings::Settings;
use super::sizer::Totals;
use super::trace::{micros, seconds};
use crate::model::Queue;

/// A scaling in the other direction so soon after the last one is a reversal, in microseconds.
const REVERSAL_US: u64 = 15 * 60 * 1_000_000;

/// What one way of sizing comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Who decided.
    pub policy: String,
    /// Requests that came.
    pub requests: u64,
    /// Requests that were served to their end.
    pub served: u64,
    /// Requests that found no room in the queue.
    pub refused: u64,
    /// Requests that waited until their deadline.
    pub expired: u64,
    /// Requests whose replica went before their end.
    pub cut: u64,
    /// The mean time until a request had a slot, or gave up; those that were refused do not count.
    pub wait_mean_seconds: f64,
    /// The median of that.
    pub wait_p50_seconds: f64,
    /// The 95th percentile of that.
    pub wait_p95_seconds: f64,
    /// The 99th percentile of that.
    pub wait_p99_seconds: f64,
    /// The sum of all waits beyond the objective; who was refused or cut counts as one who waited until the deadline.
    pub bad_seconds: f64,
    /// From the order of each replica until it was gone, within the length of the trace.
    pub replica_hours: f64,
    /// What these cost, when the config has a price.
    pub cost: Option<f64>,
    /// How often the number of replicas was changed.
    pub events: u64,
    /// How often that was in the other direction than the change before, less than 15 minutes later.
    pub reversals: u64,
    /// The most replicas at once.
    pub max_replicas: u32,
    /// Running requests over the slots of all replicas that were paid for.
    pub utilization: f64,
}

/// What is counted on the way.
#[derive(Debug)]
pub(super) struct Tally {
    slo_us: u64,
    deadline_us: u64,
    unwaited: u64,
    waits_us: Vec<u64>,
    bad_us: u64,
    replicas_us: u64,
    busy_us: u64,
    events: u64,
    reversals: u64,
    last: Option<(u64, bool)>,
    max_replicas: u32,
}

impl Tally {
    /// Makes an empty one.
    pub(super) fn new(settings: &Settings) -> Self {
        let timeout = settings.queue.as_ref().map_or_else(|| Queue::default().timeout, |queue| queue.timeout);
        Self {
            slo_us: micros(settings.conditions.slo),
            deadline_us: micros(timeout),
            unwaited: 0,
            waits_us: Vec::new(),
            bad_us: 0,
            replicas_us: 0,
            busy_us: 0,
            events: 0,
            reversals: 0,
            last: None,
            max_replicas: 0,
        }
    }

    /// Takes in that a request has waited, for a slot or in vain.
    pub(super) fn waited(&mut self, wait_us: u64) {
        if wait_us == 0 {
            self.unwaited += 1;
        } else {
            self.waits_us.push(wait_us);
            self.bad_us += wait_us.saturating_sub(self.slo_us);
        }
    }

    /// Takes in that a request was refused or cut.
    pub(super) fn failed(&mut self) {
        self.bad_us += self.deadline_us.saturating_sub(self.slo_us);
    }

    /// Takes in that so many replicas were there, and requests ran, for so long.
    pub(super) fn passed(&mut self, span_us: u64, replicas: u32, in_flight: u64) {
        self.replicas_us += span_us * u64::from(replicas);
        self.busy_us += span_us * in_flight;
    }

    /// Takes in that the number of replicas was changed.
    pub(super) fn scaled(&mut self, now_us: u64, from: u32, to: u32) {
        let is_up = to > from;
        self.events += 1;
        if self.last.is_some_and(|(at, was_up)| was_up != is_up && now_us - at < REVERSAL_US) {
            self.reversals += 1;
        }
        self.last = Some((now_us, is_up));
    }

    /// Takes in how many replicas there are.
    pub(super) fn seen(&mut self, replicas: u32) {
        self.max_replicas = self.max_replicas.max(replicas);
    }

    /// Adds up.
    pub(super) fn figures(mut self, policy: &str, settings: &Settings, totals: &Totals) -> Figures {
        self.waits_us.sort_unstable();
        let count = self.unwaited + self.waits_us.len() as u64;
        let sum: u64 = self.waits_us.iter().sum();
        let replica_hours = seconds(self.replicas_us) / Duration::from_hours(1).as_secs_f64();
        let paid = self.replicas_us as f64 * f64::from(settings.slots);
        Figures {
            policy: policy.to_owned(),
            requests: totals.arrived,
            served: totals.served,
            refused: totals.refused,
            expired: totals.expired,
            cut: totals.cut,
            wait_mean_seconds: if count > 0 { seconds(sum) / count as f64 } else { 0.0 },
            wait_p50_seconds: self.quantile(count, 0.5),
            wait_p95_seconds: self.quantile(count, 0.95),
            wait_p99_seconds: self.quantile(count, 0.99),
            bad_seconds: seconds(self.bad_us),
            replica_hours,
            cost: settings.cost.as_ref().map(|cost| cost.replica_hour * replica_hours),
            events: self.events,
            reversals: self.reversals,
            max_replicas: self.max_replicas,
            utilization: if paid > 0.0 { self.busy_us as f64 / paid } else { 0.0 },
        }
    }

    /// The wait that this share of the requests does not exceed; the waits are in order.
    fn quantile(&self, count: u64, share: f64) -> f64 {
        // `as` clamps.
        let rank = (count as f64 * share).ceil() as u64;
        let index = rank.saturating_sub(self.unwaited).checked_sub(1).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.waits_us.get(index)).map_or(0.0, |wait| seconds(*wait))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;

    #[test]
    fn waits_are_ranked_with_those_who_did_not_wait() {
        let settings = settings("");
        let mut tally = Tally::new(&settings);
        for wait in [0, 0, 0, 0, 0, 4, 3, 2, 1, 5] {
            tally.waited(wait * 1_000_000);
        }
        tally.failed();
        let figures = tally.figures("a", &settings, &Totals::default());
        assert_eq!((figures.wait_p50_seconds, figures.wait_p95_seconds, figures.wait_mean_seconds), (0.0, 5.0, 1.5));
        // Beyond one second: 3, 2, 1, 0, 4; and one who would have waited for 30.
        assert_eq!(figures.bad_seconds, 39.0);
    }

    #[test]
    fn a_reversal_is_another_direction_soon_after() {
        let settings = settings("");
        let mut tally = Tally::new(&settings);
        for (minute, from, to) in [(0, 1, 2), (5, 2, 3), (19, 3, 2), (34, 2, 3), (35, 3, 1)] {
            tally.scaled(minute * 60_000_000, from, to);
        }
        let figures = tally.figures("a", &settings, &Totals::default());
        assert_eq!((figures.events, figures.reversals), (5, 2));
    }

    #[test]
    fn replica_hours_are_paid_for() {
        let settings = settings("cost: { replica_hour: 0.5, currency: EUR }");
        let mut tally = Tally::new(&settings);
        tally.passed(3_600_000_000, 3, 6);
        tally.passed(1_800_000_000, 2, 0);
        let figures = tally.figures("a", &settings, &Totals::default());
        assert_eq!((figures.replica_hours, figures.cost), (4.0, Some(2.0)));
        assert_eq!(figures.utilization, 6.0 / 32.0);
    }
}
