//! The sizing of the proxy itself, in a simulation: gauge, schedules, forecast and decision as they are, fed with what the simulated pool shows. Pure.

use std::time::Duration;

use super::super::schedule::{ScheduleError, Schedules};
use super::super::{Demand, Flow, Gauge, Input, Observation, Replicas, State, decide};
use super::foresight::Foresight;
use super::sizer::{Drained, Look, Sizer};
use super::trace::{micros, seconds};
use crate::model::{ScaleRule, Signal, Terms};
use crate::telemetry::metrics::Snapshot;

/// How soon after a decision one that was woken may decide again, in microseconds: a queue that fills and empties with every request does not need
/// a decision for each.
const WAKE_US: u64 = 100_000;

/// The sizing of the proxy.
#[derive(Debug)]
pub(super) struct Tidegate {
    terms: Terms,
    schedules: Schedules,
    start_unix_ms: i64,
    foresight: Option<Foresight>,
    gauge: Gauge,
    state: State,
    startup: Duration,
    /// Copies of these cost the most; few policies read them.
    reads_histograms: bool,
}

impl Tidegate {
    /// Makes one that has seen nothing.
    pub(super) fn new(terms: &Terms, startup: Duration, start_unix_ms: i64) -> Result<Self, ScheduleError> {
        Ok(Self {
            schedules: Schedules::new(terms)?,
            start_unix_ms,
            foresight: Foresight::new(terms, startup, start_unix_ms),
            gauge: Gauge::of(terms),
            state: State::default(),
            startup,
            reads_histograms: terms.policies.iter().any(|policy| reads_histogram(&policy.rule)),
            terms: terms.clone(),
        })
    }

    fn observe(&self, look: &Look<'_>) -> Observation {
        let totals = look.totals;
        let copy = |histogram: &Snapshot| if self.reads_histograms { histogram.clone() } else { Snapshot::default() };
        Observation {
            at_ms: look.now_us / 1000,
            in_flight: look.census.in_flight,
            queued: look.queued as u64,
            oldest_wait: seconds(look.oldest_us),
            arrived_total: totals.arrived,
            completed_total: totals.served,
            failed_total: totals.cut,
            refused_total: totals.refused,
            response_time: copy(&totals.response_time),
            queue_wait: copy(&totals.queue_wait),
            cpu: look.busy,
            ..Observation::default()
        }
    }
}

fn reads_histogram(rule: &ScaleRule) -> bool {
    match rule {
        ScaleRule::Target { meter, .. } | ScaleRule::Threshold { meter, .. } => {
            // A concurrency is bounded by how long requests run.
            matches!(meter.signal, Signal::ResponseTime | Signal::QueueWait | Signal::Concurrency)
        }
        ScaleRule::Schedule { .. } => false,
    }
}

impl Sizer for Tidegate {
    fn decide(&mut self, look: &Look<'_>) -> u32 {
        let now_ms = look.now_us / 1000;
        let unix_ms = self.start_unix_ms.saturating_add_unsigned(now_ms);
        self.gauge.push(self.observe(look));
        let census = look.census;
        let replicas =
            Replicas { desired: census.alive(), ready: census.ready, starting: census.starting, draining: census.draining };
        let demand = Demand {
            in_flight: census.in_flight,
            queued: look.queued as u64,
            queue_full: look.queue_full,
            idle_ms: look.idle_us / 1000,
            flow: self.gauge.flow(now_ms).map(|(rate, service)| Flow { rate, service, startup: self.startup.as_secs_f64() }),
            is_complete: true,
        };
        let input = Input {
            now_ms,
            unix_ms,
            replicas,
            demand,
            readings: self.gauge.readings(&self.terms, now_ms),
            schedule: self.schedules.look(unix_ms),
            outlook: self.foresight.as_mut().and_then(|foresight| foresight.look(look, &self.terms, unix_ms)),
            order: None,
        };
        let (decision, state) = decide(&self.terms, &input, &self.state);
        self.state = state;
        decision.to
    }

    fn next_us(&self, now_us: u64) -> Option<u64> {
        Some(now_us + micros(self.terms.interval))
    }

    fn wakes_after_us(&self) -> Option<u64> {
        Some(WAKE_US.min(micros(self.terms.interval)))
    }

    fn drained(&self) -> Drained {
        Drained::ComeBack
    }
}
