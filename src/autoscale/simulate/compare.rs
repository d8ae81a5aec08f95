//! The same trace under several ways of sizing, side by side. Pure.

use std::time::Duration;

use serde::Serialize;

use super::super::schedule::ScheduleError;
use super::demand::{self, Step};
use super::figures::Figures;
use super::hpa::{Hpa, Metric, Spec};
use super::knative::Knative;
use super::oracle::{Knowledge, Oracle};
use super::settings::Settings;
use super::sizer::{Fixed, Sizer, needed};
use super::tidegate::Tidegate;
use super::trace::{Trace, micros, seconds};
use super::world::{JITTER, Run, Sample, run};

/// How long the beginning of a trace is whose needs everybody begins with, in microseconds.
const BEGINNING_US: u64 = 60_000_000;

/// A way of sizing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// The terms of the config.
    Tidegate,
    /// The Kubernetes HPA that sees requests in flight and queued.
    Hpa,
    /// The Kubernetes HPA that sees how busy the replicas are.
    HpaBusy,
    /// Knative's autoscaler.
    Knative,
    /// So many, always.
    Fixed(u32),
    /// As many as the mean of the load needs, always.
    FixedMean,
    /// As many as the peak of the load needs, always.
    FixedPeak,
    /// One who knows what comes.
    Oracle,
}

/// What several ways of sizing come to with the same trace.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Requests of the trace.
    pub requests: usize,
    /// How long the trace is.
    pub duration_seconds: f64,
    /// Requests that would run at once in the mean, if nobody waited.
    pub mean_in_flight: f64,
    /// Requests that would run at once at most, if each waited for as long as the objective allows.
    pub peak_in_flight: u32,
    /// Slots of a replica.
    pub slots: u32,
    /// From an order until a replica serves.
    pub startup_seconds: f64,
    /// The objective: the longest good wait.
    pub slo_seconds: f64,
    /// The currency of the costs.
    pub currency: Option<String>,
    /// What of the config is not simulated.
    pub notes: Vec<String>,
    /// What each comes to.
    pub policies: Vec<Figures>,
    /// How the pool stood on the way, in the order of the policies.
    #[serde(skip)]
    pub timelines: Vec<Vec<Sample>>,
}

/// Simulates each of `contenders`; with `sample_every`, how the pool stands is noted so often.
///
/// # Errors
/// When a schedule of the terms cannot be understood.
pub fn compare(
    settings: &Settings,
    trace: &Trace,
    contenders: &[Contender],
    sample_every: Option<Duration>,
) -> Result<Report, ScheduleError> {
    let steps = demand::steps(trace, micros(settings.conditions.slo));
    let mut report = Report {
        requests: trace.requests.len(),
        duration_seconds: seconds(trace.end_us),
        mean_in_flight: trace.mean_in_flight(),
        peak_in_flight: demand::most(&steps, u64::MAX),
        slots: settings.slots,
        startup_seconds: settings.conditions.startup.as_secs_f64(),
        slo_seconds: settings.conditions.slo.as_secs_f64(),
        currency: settings.cost.as_ref().map(|cost| cost.currency.clone()),
        notes: settings.notes.clone(),
        policies: Vec::new(),
        timelines: Vec::new(),
    };
    let terms = &settings.terms;
    let beginning = needed(f64::from(demand::most(&steps, BEGINNING_US)), settings.target);
    let beginning = beginning.clamp(terms.min_replicas, terms.max_replicas);
    for contender in contenders {
        let mut sizer = contender.sizer(settings, trace, &steps)?;
        let first = sizer.first().unwrap_or(beginning);
        let (figures, timeline) = run(&Run { settings, trace, first, sample_every }, &contender.name(), sizer.as_mut());
        report.policies.push(figures);
        report.timelines.push(timeline);
    }
    Ok(report)
}

impl Contender {
    /// Returns the word for it.
    pub fn name(self) -> String {
        match self {
            Self::Tidegate => "tidegate".to_owned(),
            Self::Hpa => "hpa".to_owned(),
            Self::HpaBusy => "hpa-busy".to_owned(),
            Self::Knative => "knative".to_owned(),
            Self::Fixed(count) => format!("fixed={count}"),
            Self::FixedMean => "fixed-mean".to_owned(),
            Self::FixedPeak => "fixed-peak".to_owned(),
            Self::Oracle => "oracle".to_owned(),
        }
    }

    fn sizer(self, settings: &Settings, trace: &Trace, steps: &[Step]) -> Result<Box<dyn Sizer>, ScheduleError> {
        let Settings { terms, slots, target, .. } = settings;
        let (min_replicas, max_replicas) = (terms.min_replicas, terms.max_replicas);
        let each = f64::from(*slots);
        let hpa = |metric| {
            let lag_us = micros(settings.conditions.metric_lag);
            Box::new(Hpa::new(Spec { metric, lag_us, min_replicas, max_replicas }))
        };
        Ok(match self {
            Self::Tidegate => Box::new(Tidegate::new(terms, settings.conditions.startup, trace.start_unix_ms)?),
            Self::Hpa => hpa(Metric::Concurrency(*target)),
            // More than all slots cannot be busy.
            Self::HpaBusy => hpa(Metric::Busy { target: (target / each).min(0.9), slots: *slots }),
            Self::Knative => Box::new(Knative::new(*target, min_replicas, max_replicas)),
            Self::Fixed(count) => Box::new(Fixed(count)),
            Self::FixedMean => Box::new(Fixed(needed(trace.mean_in_flight(), each).max(1))),
            Self::FixedPeak => Box::new(Fixed(needed(f64::from(demand::most(steps, u64::MAX)), each).max(1))),
            Self::Oracle => {
                let startup_us = micros(settings.conditions.startup.mul_f64(1.0 + JITTER)).saturating_add(1);
                Box::new(Oracle::new(steps, &Knowledge { slots: *slots, startup_us, min_replicas, max_replicas }))
            }
        })
    }
}
