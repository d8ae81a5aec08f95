//! `pools.NAME.autoscale.policies`: each says one thing, in the unit of its signal, and can fire.

use std::time::Duration;

use super::autoscale::Sizing;
use super::{Report, file};
use crate::config::compile::{self, Unit};
use crate::config::raw::{Amount, ScalePolicy, SignalWord};
use crate::config::shape::{At, Text};
use crate::model::{Aggregation, Signal};

/// The keys that only a schedule has.
const OF_SCHEDULES: [&str; 4] = ["time_zone", "for", "min_replicas", "max_replicas"];

/// The keys that only a signal has.
const OF_SIGNALS: [&str; 11] =
    ["metric", "promql", "target", "up", "down", "window", "percentile", "aggregation", "step_up", "step_down", "weight"];

/// The keys that only bounds have, and which bound each belongs to.
const OF_BOUNDS: [(&str, &str); 3] = [("step_up", "up"), ("step_down", "down"), ("weight", "")];

/// Checks the policies of a pool.
pub(super) fn policies(sizing: &Sizing<'_>, report: &mut Report<'_>) {
    let policies = &sizing.autoscale.value.policies.0;
    let has_policies = report.has_items(sizing.autoscale.id, "policies");
    if !has_policies && !report.has_key(sizing.pool_id, "max_connections") {
        let suggestion = "give one of `policies`, or `max_connections` to the pool, which makes one".to_owned();
        report.error_with(sizing.autoscale.id, "nothing says when to scale".to_owned(), Some(suggestion));
    }
    file::unique("policy", policies.iter().map(|policy| &policy.value.name), report);
    for policy in policies {
        self::policy(sizing, policy, report);
    }
}

/// Tells whether a policy with a `target` measures what `fits`, as far as that could be read.
pub(super) fn may_have_target(sizing: &Sizing<'_>, report: &Report<'_>, fits: fn(SignalWord) -> bool) -> bool {
    let policies = &sizing.autoscale.value.policies.0;
    if !report.has_items(sizing.autoscale.id, "policies") {
        return report.has_key(sizing.pool_id, "max_connections") && fits(SignalWord::Concurrency);
    }
    let may_fit = |policy: &At<ScalePolicy>| {
        let signal = policy.value.signal.as_ref();
        report.has_key(policy.id, "target") && signal.map_or(report.has_key(policy.id, "signal"), |signal| fits(signal.value))
    };
    policies.iter().any(may_fit) || !report.is_whole(sizing.autoscale.id, "policies", policies.len())
}

/// Tells whether a signal says how much there is to do, so that it can be foreseen.
pub(super) fn is_demand(signal: SignalWord) -> bool {
    matches!(signal, SignalWord::Concurrency | SignalWord::RequestRate)
}

/// Returns the shortest window of the policies with a `target`.
pub(super) fn shortest_target_window(sizing: &Sizing<'_>) -> Option<Duration> {
    let policies = sizing.autoscale.value.policies.0.iter().map(|policy| &policy.value);
    policies.filter(|policy| policy.target.is_some()).map(compile::window).min()
}

fn policy(sizing: &Sizing<'_>, policy: &At<ScalePolicy>, report: &mut Report<'_>) {
    match (report.has_key(policy.id, "signal"), report.has_key(policy.id, "schedule")) {
        (true, true) => report.error(policy.id, "a policy has a `signal` or a `schedule`, not both"),
        (false, false) => report.error(policy.id, "the policy says nothing: a `signal` or a `schedule` is needed"),
        (true, false) => {
            foreign(policy, &OF_SCHEDULES, "goes with a `schedule` only", report);
            signal(sizing, policy, report);
        }
        (false, true) => {
            foreign(policy, &OF_SIGNALS, "goes with a `signal` only", report);
            schedule(sizing, policy, report);
        }
    }
}

fn foreign(policy: &At<ScalePolicy>, keys: &[&str], reason: &str, report: &mut Report<'_>) {
    for key in keys {
        if let Some(id) = report.child(policy.id, key) {
            report.error(id, format!("`{key}` {reason}"));
        }
    }
}

fn schedule(sizing: &Sizing<'_>, policy: &At<ScalePolicy>, report: &mut Report<'_>) {
    if !report.has_key(policy.id, "for") {
        report.error(policy.id, "the schedule does not end: `for` is needed, which says how long it holds");
    }
    if !report.has_key(policy.id, "min_replicas") && !report.has_key(policy.id, "max_replicas") {
        report.error(policy.id, "the schedule has no effect: `min_replicas` or `max_replicas` is needed");
    }
    let ScalePolicy { min_replicas, max_replicas, .. } = &policy.value;
    if let (Some(min), Some(max)) = (min_replicas, max_replicas)
        && min.value.0 > max.value.0
    {
        report.error(min.id, "`min_replicas` is more than `max_replicas`");
    }
    if let (Some(own), Some(most)) = (min_replicas, sizing.max_replicas)
        && own.value.0 > most
    {
        report.error(own.id, format!("is more than `max_replicas` of the pool, which is {most}"));
    }
    if let (Some(own), Some(fewest)) = (max_replicas, sizing.min_replicas)
        && own.value.0 < fewest
    {
        report.error(own.id, format!("is less than `min_replicas` of the pool, which is {fewest}"));
    }
    if let (Some(own), Some(fewest)) = (min_replicas, sizing.min_replicas)
        && own.value.0 <= fewest
    {
        report.warn(own.id, format!("has no effect: `min_replicas` of the pool is {fewest}"));
    }
    if let (Some(own), Some(most)) = (max_replicas, sizing.max_replicas)
        && own.value.0 >= most
    {
        report.warn(own.id, format!("has no effect: `max_replicas` of the pool is {most}"));
    }
}

fn signal(sizing: &Sizing<'_>, policy: &At<ScalePolicy>, report: &mut Report<'_>) {
    details(policy, report);
    shape(policy, report);
    if let Some(window) = &policy.value.window
        && window.value.0 < compile::interval(&sizing.autoscale.value)
    {
        report.error(window.id, "is shorter than `interval`: there would be nothing to see in it");
    }
    let Some(signal) = compile::signal(&policy.value) else { return };
    waiting(sizing, &signal, policy, report);
    let aggregation = compile::aggregation(&policy.value, &signal);
    samples(policy, &signal, report);
    // What could not be read might have made another unit of it.
    let is_known = ["percentile", "aggregation"].iter().all(|key| !report.has_key(policy.id, key))
        || policy.value.percentile.is_some()
        || policy.value.aggregation.is_some();
    if is_known {
        amounts(sizing, policy, (&signal, aggregation), report);
    }
}

/// Checks what the signals `custom` and `promql` need beside their name.
fn details(policy: &At<ScalePolicy>, report: &mut Report<'_>) {
    let Some(signal) = &policy.value.signal else { return };
    for (word, key, name) in [(SignalWord::Custom, "metric", "custom"), (SignalWord::Promql, "promql", "promql")] {
        match report.child(policy.id, key) {
            None if signal.value == word => report.error(signal.id, format!("the signal `{name}` needs `{key}`")),
            Some(id) if signal.value != word => report.error(id, format!("`{key}` goes with the signal `{name}` only")),
            _ => {}
        }
    }
}

/// Checks that a policy has either a target or bounds, and what belongs to it.
fn shape(policy: &At<ScalePolicy>, report: &mut Report<'_>) {
    let has_target = report.has_key(policy.id, "target");
    let bounds: Vec<&str> = ["up", "down"].into_iter().filter(|key| report.has_key(policy.id, key)).collect();
    if has_target && !bounds.is_empty() {
        report.error(policy.id, format!("a policy has a `target` or bounds, not both: `{}`", bounds.join("`, `")));
        return;
    }
    if !has_target && bounds.is_empty() {
        report.error(policy.id, "the policy can never fire: `target`, `up` or `down` is needed");
        return;
    }
    for (key, bound) in OF_BOUNDS {
        let Some(id) = report.child(policy.id, key) else { continue };
        if has_target {
            report.error(id, format!("a policy with a `target` has no `{key}`: the target says how many replicas are needed"));
        } else if !bound.is_empty() && !bounds.contains(&bound) {
            report.warn(id, format!("has no effect: the policy has no `{bound}`"));
        }
    }
}

/// Checks that who looks at the queue has one, and that somebody can wait in it.
fn waiting(sizing: &Sizing<'_>, signal: &Signal, policy: &At<ScalePolicy>, report: &mut Report<'_>) {
    let Some(word) = policy.value.signal.as_ref().filter(|_| matches!(signal, Signal::QueueDepth | Signal::QueueWait)) else {
        return;
    };
    let may_be_full = compile::has_slots(sizing.pool) || report.has_key(sizing.pool_id, "max_connections");
    if sizing.capacity == Some(0) {
        report.error(word.id, "the policy can never fire: the pool has no `queue`");
    } else if !may_be_full {
        report.warn(word.id, "nobody waits while an endpoint is up: the pool has no `max_connections`");
    }
}

/// Checks that a percentile is asked of what has samples.
fn samples(policy: &At<ScalePolicy>, signal: &Signal, report: &mut Report<'_>) {
    let ScalePolicy { percentile, aggregation, .. } = &policy.value;
    if let (Some(_), Some(aggregation)) = (percentile, aggregation) {
        report.error(aggregation.id, "only one of `percentile` and `aggregation` can be given");
        return;
    }
    if matches!(signal, Signal::ResponseTime | Signal::FirstByte | Signal::QueueWait) {
        return;
    }
    let is_percentile = |aggregation| matches!(aggregation, Aggregation::P50 | Aggregation::P95 | Aggregation::P99);
    let asked = aggregation.as_ref().filter(|aggregation| is_percentile(aggregation.value)).map(|aggregation| aggregation.id);
    if let Some(id) = percentile.as_ref().map(|percentile| percentile.id).or(asked) {
        report.error(id, format!("`{}` has no percentiles: it is one figure at a time, not one for each request", signal.as_str()));
    }
}

/// Checks what the signal is compared with.
fn amounts(sizing: &Sizing<'_>, policy: &At<ScalePolicy>, meter: (&Signal, Aggregation), report: &mut Report<'_>) {
    let ScalePolicy { target, up, down, .. } = &policy.value;
    let unit = compile::unit(meter.0, meter.1);
    for (key, text) in [("target", target), ("up", up)] {
        if let Some((text, value)) = known(text, unit, report) {
            reachable((key, text, value), sizing, meter, report);
        }
    }
    let Some((text, low)) = known(down, unit, report) else { return };
    if low <= 0.0 {
        report.error(text.id, "the policy can never fire: nothing is below 0");
    } else if unit == Unit::Share && low > 1.0 && is_level(meter.1) {
        report.error(text.id, format!("`{}` is always below: it is at most 100%", meter.0.as_str()));
    }
    let high = up.as_ref().and_then(|up| compile::amount(up.value, unit).ok());
    if high.is_some_and(|high| low >= high) {
        report.error(text.id, "`down` is not below `up`: it would scale up and down at once");
    }
}

/// Returns a written amount with its value in base units, or reports that it is in another unit.
fn known<'a>(text: &'a Option<Text<Amount>>, unit: Unit, report: &mut Report<'_>) -> Option<(&'a Text<Amount>, f64)> {
    let text = text.as_ref()?;
    match compile::amount(text.value, unit) {
        Ok(value) => Some((text, value)),
        Err(mistake) => {
            report.error_with(text.id, mistake.message, mistake.suggestion);
            None
        }
    }
}

/// Tells whether an aggregation stays within what the signal itself can be.
fn is_level(aggregation: Aggregation) -> bool {
    !matches!(aggregation, Aggregation::Sum | Aggregation::Count)
}

/// Reports a bound that a signal never exceeds, and a target that asks for nothing.
fn reachable(
    (key, text, value): (&str, &Text<Amount>, f64),
    sizing: &Sizing<'_>,
    (signal, aggregation): (&Signal, Aggregation),
    report: &mut Report<'_>,
) {
    if key == "target" && value <= 0.0 {
        report.error(text.id, "a replica is for more than 0: the policy would ask for no end of them");
        return;
    }
    if !is_level(aggregation) {
        return;
    }
    let word = signal.as_str();
    match signal {
        // A processor may be used beyond its request where there is no limit, but nobody can count on that.
        Signal::CpuUtilization if value > 1.0 => {
            report.error(text.id, format!("the policy can never fire: `{word}` is at most 100%"));
        }
        Signal::MemoryUtilization | Signal::ErrorRate if value >= 1.0 => {
            report.error(text.id, format!("the policy can never fire: `{word}` is never above 100%"));
        }
        Signal::QueueDepth => {
            let capacity = sizing.capacity.filter(|capacity| *capacity > 0 && value >= f64::from(*capacity));
            if let Some(capacity) = capacity {
                report.error(text.id, format!("the policy can never fire: at most {capacity} requests wait (`queue.capacity`)"));
            }
        }
        _ => {}
    }
}
