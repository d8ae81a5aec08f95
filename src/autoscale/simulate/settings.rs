//! What a simulation takes from a pool's config, and what it is told beside that. Pure.

use std::time::Duration;

use crate::model::{Cost, Pool, Queue, ScalePolicy, ScaleRule, Signal, Terms};

/// The share of the slots that a replica is for, when no policy says how much that is.
const USUAL_SHARE: f64 = 0.7;

/// What a config does not tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// From the order of a replica until it serves, in the mean; each one takes up to a fifth more or less.
    pub startup: Duration,
    /// How long a request may wait before it counts as badly served.
    pub slo: Duration,
    /// The slots of a replica; what the pool says when `None`.
    pub slots: Option<u32>,
    /// How old the metrics are that the Kubernetes HPA sees.
    pub metric_lag: Duration,
    /// Where start-up times come from.
    pub seed: u64,
}

/// The pool that is simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How it is decided.
    pub terms: Terms,
    /// Requests that a replica runs at once.
    pub slots: u32,
    /// How many of them a replica is for: the concurrency target of the policies.
    pub target: f64,
    /// Where requests wait; `None`: nowhere.
    pub queue: Option<Queue>,
    /// How long a leaving replica's running requests may take.
    pub drain_timeout: Duration,
    /// How long a request may wait while there is no replica.
    pub cold_start_timeout: Duration,
    /// What a replica costs.
    pub cost: Option<Cost>,
    /// What the config does not tell.
    pub conditions: Conditions,
    /// What of the config is not simulated, for people.
    pub notes: Vec<String>,
}

impl Settings {
    /// Takes what is simulated from a pool; `None` when the pool is not sized.
    ///
    /// Policies whose signals no trace tells are left out, and named in the notes: with them the pool would never scale in, as their data would be
    /// missing.
    pub fn new(pool: &Pool, conditions: Conditions) -> Option<Self> {
        let autoscale = pool.autoscale.as_ref()?;
        let mut terms = autoscale.terms.clone();
        let mut notes = Vec::new();
        terms.policies.retain(|policy| match unknown(policy) {
            Some(signal) => {
                notes.push(format!("policy {:?} is left out: a trace does not tell {signal}", policy.name.as_str()));
                false
            }
            None => true,
        });
        let target = terms.policies.iter().find_map(concurrency_target);
        let slots = conditions.slots.or(pool.max_connections).or_else(|| target.map(slots_for)).unwrap_or(1).max(1);
        if conditions.slots.or(pool.max_connections).is_none() {
            notes.push(format!("the pool has no max_connections: {slots} slots for each replica are simulated"));
        }
        Some(Self {
            slots,
            target: target.unwrap_or(f64::from(slots) * USUAL_SHARE),
            terms,
            queue: pool.protection.queue.clone(),
            drain_timeout: autoscale.drain_timeout,
            cold_start_timeout: autoscale.cold_start_timeout,
            cost: autoscale.cost.clone(),
            conditions,
            notes,
        })
    }
}

/// Names the signal of a policy that cannot be simulated.
fn unknown(policy: &ScalePolicy) -> Option<&'static str> {
    let (ScaleRule::Target { meter, .. } | ScaleRule::Threshold { meter, .. }) = &policy.rule else { return None };
    match meter.signal {
        Signal::Concurrency
        | Signal::RequestRate
        | Signal::ResponseTime
        | Signal::QueueDepth
        | Signal::QueueWait
        | Signal::ErrorRate
        | Signal::CpuUtilization => None,
        Signal::FirstByte | Signal::MemoryUtilization | Signal::Custom(_) | Signal::Promql { .. } => Some(meter.signal.as_str()),
    }
}

fn concurrency_target(policy: &ScalePolicy) -> Option<f64> {
    match &policy.rule {
        ScaleRule::Target { meter, target } if meter.signal == Signal::Concurrency => Some(*target),
        _ => None,
    }
}

fn slots_for(target: f64) -> u32 {
    // `as` clamps.
    target.ceil() as u32
}
