//! The HorizontalPodAutoscaler of Kubernetes as a reference: `autoscaling/v2` with the defaults of kube-controller-manager. Pure.
//!
//! Kubernetes documentation, "Horizontal Pod Autoscaling", sections "Algorithm details", "Configurable scaling behavior", "Default behavior"; where
//! that is silent, `replica_calculator.go` and `horizontal.go` of kubernetes/kubernetes. Two metrics: the pool's requests in flight and queued as an
//! external metric with `AverageValue` (the best that an adapter can offer), and how busy the replicas are as a resource metric with `Utilization`.

use std::collections::VecDeque;

use super::sizer::{Look, Sizer, needed};
use super::windows::Windows;

/// `--horizontal-pod-autoscaler-sync-period`.
const SYNC_US: u64 = 15_000_000;

/// `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;

/// `behavior.scaleDown.stabilizationWindowSeconds`.
const DOWN_STABILIZATION_US: u64 = 300_000_000;

/// `behavior.scaleUp.policies`: at most four pods or 100 percent more, whichever is more, in the period.
const UP_PODS: u32 = 4;

/// The period of both.
const UP_PERIOD_US: u64 = 15_000_000;

/// How often a metric is sampled, and over which time: `--metric-resolution` of metrics-server.
const SCRAPE_US: u64 = 15_000_000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Metric {
    /// Requests in flight and queued; a replica is for so many.
    Concurrency(f64),
    /// Slots taken over slots, mean over the replicas that serve.
    Busy {
        /// The ratio that is aimed at.
        target: f64,
        /// Slots of a replica.
        slots: u32,
    },
}

/// Its settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    /// What it measures.
    pub(super) metric: Metric,
    /// How old the last sample is that it sees, in microseconds.
    pub(super) lag_us: u64,
    /// `minReplicas`.
    pub(super) min_replicas: u32,
    /// `maxReplicas`.
    pub(super) max_replicas: u32,
}

/// The autoscaler.
#[derive(Debug)]
pub(super) struct Hpa {
    spec: Spec,
    concurrency: Windows,
    in_flight: Windows,
    recommendations: VecDeque<(u64, u32)>,
    ups: VecDeque<(u64, u32)>,
}

impl Hpa {
    /// Makes one that has seen nothing.
    pub(super) fn new(spec: Spec) -> Self {
        let span = spec.lag_us + 2 * SCRAPE_US;
        Self {
            spec,
            concurrency: Windows::new(span),
            in_flight: Windows::new(span),
            recommendations: VecDeque::new(),
            ups: VecDeque::new(),
        }
    }

    /// Returns what the metric asks for, of `current` replicas.
    fn recommend(&self, look: &Look<'_>, current: u32) -> u32 {
        let to = look.now_us.saturating_sub(self.spec.lag_us);
        let from = to.saturating_sub(SCRAPE_US);
        match self.spec.metric {
            Metric::Concurrency(target) => self.concurrency.mean(from, to).map_or(current, |total| per_pod(total, target, current)),
            Metric::Busy { target, slots } => {
                let ready = look.census.ready;
                let busy = |in_flight: f64| (in_flight / f64::from(slots) / f64::from(ready.max(1))).min(1.0);
                let usage = self.in_flight.mean(from, to).filter(|_| ready > 0).map(|in_flight| busy(in_flight) / target);
                usage.map_or(current, |usage| of_ready(usage, ready, look.census.starting, current))
            }
        }
    }

    /// The most of the last while when it goes down, at most so many more in a while when it goes up.
    fn limit(&mut self, now_us: u64, current: u32, wanted: u32) -> u32 {
        if self.recommendations.is_empty() {
            self.recommendations.push_back((now_us, current));
        }
        self.recommendations.push_back((now_us, wanted));
        self.recommendations.retain(|(at, _)| now_us - at < DOWN_STABILIZATION_US);
        self.ups.retain(|(at, _)| now_us - at < UP_PERIOD_US);
        let stable = self.recommendations.iter().map(|(_, count)| *count).max().unwrap_or(wanted);
        let start = current.saturating_sub(self.ups.iter().map(|(_, count)| count).sum());
        let most = start.saturating_add(UP_PODS).max(start.saturating_mul(2));
        let limited = if wanted < current { stable.min(current) } else { wanted.min(most).max(current) };
        limited.clamp(self.spec.min_replicas.max(1), self.spec.max_replicas.max(1))
    }
}

/// `GetExternalPerPodMetricReplicas`.
fn per_pod(total: f64, target: f64, current: u32) -> u32 {
    let usage = total / (target * f64::from(current.max(1)));
    if (usage - 1.0).abs() <= TOLERANCE { current } else { needed(total, target) }
}

/// `GetResourceReplicas`: replicas that are not ready count as idle ones when it goes up, which may undo that.
fn of_ready(usage: f64, ready: u32, starting: u32, current: u32) -> u32 {
    if starting == 0 || usage <= 1.0 {
        return if (usage - 1.0).abs() <= TOLERANCE { current } else { needed(usage * f64::from(ready), 1.0) };
    }
    let all = ready + starting;
    let usage = usage * f64::from(ready) / f64::from(all);
    if usage <= 1.0 + TOLERANCE { current } else { needed(usage * f64::from(all), 1.0).max(current) }
}

impl Sizer for Hpa {
    fn decide(&mut self, look: &Look<'_>) -> u32 {
        self.concurrency.push(look.now_us, look.totals.in_flight_us + look.totals.queued_us);
        self.in_flight.push(look.now_us, look.totals.in_flight_us);
        let current = look.census.starting + look.census.ready;
        let wanted = self.recommend(look, current);
        let to = self.limit(look.now_us, current, wanted);
        if to > current {
            self.ups.push_back((look.now_us, to - current));
        }
        to
    }

    fn next_us(&self, now_us: u64) -> Option<u64> {
        Some(now_us + SYNC_US)
    }
}

#[cfg(test)]
#[path = "hpa/tests.rs"]
mod tests;
