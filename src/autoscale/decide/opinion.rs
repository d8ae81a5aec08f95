//! What each policy makes of what it reads. Pure.
//!
//! Target tracking is the formula of the Horizontal Pod Autoscaler (Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm
//! details) for means, `ceil(ready * value / target)`, and `ceil(value / target)` for sums over the pool. Thresholds make a step.
//! Deliberately not here: how several opinions become one wish (`wish`), and what holds it back (`limit`).

use std::cmp::Ordering;

use super::decision::{Verdict, Vote};
use super::input::{Flow, Input, Reading};
use super::state::millis;
use crate::model::{Aggregation, Fallback, Meter, ScalePolicy, ScaleRule, Signal, Terms};

/// A millionth of a replica is no reason to have one more: sums of floating-point numbers are off by less.
const EPSILON: f64 = 1e-6;

/// The shortest time in which a backlog is to be gone, in seconds: sooner, a decision would not have been made.
const MIN_CLEARING: f64 = 1.0;

/// The longest time in which a backlog is to be gone, in seconds, however slowly replicas start: half of what a request may wait by default.
const MAX_CLEARING: f64 = 15.0;

/// What a policy says.
#[derive(Clone, Debug)]
pub(super) struct Opinion<'a> {
    /// The policy.
    pub(super) policy: &'a ScalePolicy,
    /// What it says, for the record.
    pub(super) verdict: Verdict,
    /// What it would say without tolerance.
    pub(super) exact: Option<u32>,
    /// Over the panic window: what is read, and how many replicas that needs.
    pub(super) fast: Option<(f64, u32)>,
    /// How long it has had no data.
    pub(super) missing_ms: u64,
}

/// What opinions are formed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// What was configured.
    pub(super) terms: &'a Terms,
    /// What is known.
    pub(super) input: &'a Input,
    /// How many replicas there are.
    pub(super) from: u32,
}

/// Returns the opinion of every policy that has a signal, in the order of the terms.
pub(super) fn all(view: View<'_>) -> Vec<Opinion<'_>> {
    view.terms.policies.iter().filter_map(|policy| view.opinion(policy)).collect()
}

/// Returns the replicas that an amount is for, a part of one being one.
fn whole(replicas: f64) -> u32 {
    // From a float, `as` clamps to the integer's range, and what is not a number becomes 0.
    (replicas - EPSILON).ceil() as u32
}

/// Returns a threshold's step.
fn step(replicas: u32, weight: f64) -> u32 {
    ((f64::from(replicas) * weight).round() as u32).max(1)
}

/// What a rule asks for: what it compares with, the replicas, and the same without tolerance.
struct Ask {
    threshold: f64,
    desired: Option<u32>,
    exact: Option<u32>,
}

impl<'a> View<'a> {
    fn opinion(self, policy: &'a ScalePolicy) -> Option<Opinion<'a>> {
        let (ScaleRule::Target { meter, .. } | ScaleRule::Threshold { meter, .. }) = &policy.rule else { return None };
        let reading = self.input.readings.iter().find(|reading| reading.policy == policy.name);
        let tempered = |value: Option<f64>| self.trusted(meter, value).map(|value| self.tempered(&policy.rule, value));
        let value = reading.and_then(|reading| tempered(reading.value));
        let has_no_say = self.has_no_say(meter, reading);
        let missing_ms = if value.is_some() || has_no_say { 0 } else { reading.map_or(0, |reading| reading.missing_ms) };
        let ask = self.ask(&policy.rule, value);
        let (vote, desired) = match value {
            _ if has_no_say => (Vote::Abstain, None),
            Some(_) => (ask.desired.map_or(Vote::Abstain, |desired| self.vote(desired)), ask.desired),
            None => self.without_data(missing_ms),
        };
        let verdict = Verdict { policy: policy.name.clone(), value, threshold: ask.threshold, vote, desired };
        let fast = reading.and_then(|reading| tempered(reading.fast));
        let fast = fast.filter(|_| !has_no_say).and_then(|fast| Some((fast, self.needed(&policy.rule, fast)?)));
        Some(Opinion { policy, verdict, exact: ask.exact, fast, missing_ms })
    }

    /// Drops what cannot be computed with; a mean over no replicas is none.
    fn trusted(self, meter: &Meter, value: Option<f64>) -> Option<f64> {
        let is_measured = meter.signal.is_sum() || self.input.replicas.ready > 0;
        value.filter(|value| value.is_finite() && is_measured)
    }

    /// Bounds a concurrency that is tracked by what it takes to serve the requests that come and to clear those that wait.
    ///
    /// Who waits while ordered replicas start is counted in the concurrency, every moment more of them; but they need no slot of their own each, only to be
    /// served in time. Those that come keep rate times service busy (Little, "A proof for the queuing formula L = λW", 1961); a backlog is to be gone in the
    /// time that a replica which is ordered now takes to serve, but within [`MAX_CLEARING`], or in which a request runs, if that is longer.
    fn tempered(self, rule: &ScaleRule, value: f64) -> f64 {
        let ScaleRule::Target { meter, .. } = rule else { return value };
        let (demand, is_mean) = (&self.input.demand, meter.aggregation == Aggregation::Average);
        let flow = demand.flow.filter(|flow| is_mean && meter.signal == Signal::Concurrency && flow.is_finite());
        let Some(Flow { rate, service, startup }) = flow else {
            return value;
        };
        let clearing = startup.clamp(MIN_CLEARING, MAX_CLEARING).max(service);
        let running = (demand.in_flight as f64).max(rate * service);
        let bound = running + demand.queued as f64 * service / clearing;
        value.min(bound)
    }

    /// Tells whether nothing could be measured, so that what is read, or is not, says nothing.
    ///
    /// Where there is no replica, no replica can say anything, and what the pool had to do before the last one left is past.
    fn has_no_say(self, meter: &Meter, reading: Option<&Reading>) -> bool {
        let demand = &self.input.demand;
        let is_quiet = demand.queued == 0 && demand.in_flight == 0;
        let is_moot = match meter.signal {
            Signal::Concurrency | Signal::RequestRate | Signal::QueueDepth => is_quiet,
            Signal::Promql { .. } => false,
            _ => true,
        };
        self.from == 0 && is_moot || reading.is_some_and(|reading| reading.is_idle && reading.value.is_none())
    }

    fn ask(self, rule: &ScaleRule, value: Option<f64>) -> Ask {
        match rule {
            ScaleRule::Schedule { .. } => Ask { threshold: 0.0, desired: None, exact: None },
            ScaleRule::Target { target, .. } => {
                let exact = value.and_then(|value| self.needed(rule, value));
                let is_close = value.is_some_and(|value| self.is_close(rule, value));
                Ask { threshold: *target, desired: if is_close { Some(self.from) } else { exact }, exact }
            }
            ScaleRule::Threshold { .. } => self.stepped(rule, value),
        }
    }

    /// How many replicas the amount would fill, which is not whole.
    fn amount(self, rule: &ScaleRule, value: f64) -> Option<f64> {
        let ScaleRule::Target { meter, target } = rule else { return None };
        let replicas = if meter.signal.is_sum() { 1.0 } else { f64::from(self.input.replicas.ready) };
        Some(replicas * value / target)
    }

    fn needed(self, rule: &ScaleRule, value: f64) -> Option<u32> {
        self.amount(rule, value).map(whole)
    }

    /// Tells whether demand is within tolerance of what the replicas that there are, and those on their way, are for.
    fn is_close(self, rule: &ScaleRule, value: f64) -> bool {
        let ratio = self.amount(rule, value).map(|amount| amount / f64::from(self.from));
        self.from > 0 && ratio.is_some_and(|ratio| (ratio - 1.0).abs() <= self.terms.tolerance + EPSILON)
    }

    fn stepped(self, rule: &ScaleRule, value: Option<f64>) -> Ask {
        let ScaleRule::Threshold { up, down, step_up, step_down, weight, .. } = rule else {
            return Ask { threshold: 0.0, desired: None, exact: None };
        };
        let said = |threshold, desired| Ask { threshold, desired, exact: desired };
        let Some(value) = value else { return said(up.or(*down).unwrap_or_default(), None) };
        if let Some(up) = up.filter(|&up| value > up) {
            // Not counting the ones on their way: they are the answer to an earlier step, and not yet part of what is measured.
            let settled = self.from.saturating_sub(self.input.replicas.starting);
            return said(up, Some(settled.saturating_add(step(*step_up, *weight)).max(self.from)));
        }
        if let Some(down) = down.filter(|&down| value < down) {
            return said(down, Some(self.from.saturating_sub(step(*step_down, *weight))));
        }
        // Without a lower bound it could never agree to fewer, so it does not object either.
        said(nearest(*up, *down, value), down.map(|_| self.from))
    }

    /// Holds, or does what was configured for the lack of data; that may be more, and is never fewer.
    fn without_data(self, missing_ms: u64) -> (Vote, Option<u32>) {
        if missing_ms < millis(self.terms.missing_after) {
            return (Vote::Missing, None);
        }
        let desired = match self.terms.fallback {
            Fallback::Hold => self.from,
            Fallback::Min => self.from.max(self.terms.min_replicas),
            Fallback::Replicas(replicas) => self.from.max(replicas),
        };
        (Vote::Missing, Some(desired))
    }

    fn vote(self, desired: u32) -> Vote {
        match desired.cmp(&self.from) {
            Ordering::Greater => Vote::Up,
            Ordering::Less => Vote::Down,
            Ordering::Equal => Vote::Hold,
        }
    }
}

fn nearest(up: Option<f64>, down: Option<f64>, value: f64) -> f64 {
    match (up, down) {
        (Some(up), Some(down)) if (value - down).abs() < (value - up).abs() => down,
        (Some(bound), _) | (None, Some(bound)) => bound,
        (None, None) => 0.0,
    }
}
