//! Entries for tests.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{Draft, Entry, Upshot};
use crate::autoscale::{Decision, Demand, Input, Look, Reading, Replicas, State, Trigger, Verdict, Vote, decide};
use crate::model::{Aggregation, Id, Meter, ScaleMode, ScalePolicy, ScaleRule, Signal, Terms};

/// 2026-01-01 in milliseconds, a whole hour.
pub(in crate::autoscale) const NOW: i64 = 1_767_139_200_000;

pub(in crate::autoscale) fn id(name: &str) -> Id {
    name.parse().unwrap()
}

/// A target and a threshold, from 1 to 10 replicas.
pub(in crate::autoscale) fn terms() -> Terms {
    let meter = |signal| Meter { signal, aggregation: Aggregation::Average, window: Duration::from_millis(1500) };
    let busy = ScaleRule::Target { meter: meter(Signal::Concurrency), target: 8.0 };
    let (meter, weight) = (meter(Signal::ResponseTime), 1.0);
    let slow = ScaleRule::Threshold { meter, up: Some(0.5), down: None, step_up: 2, step_down: 1, weight };
    let policies =
        vec![ScalePolicy { name: id("busy"), rule: busy, priority: 5 }, ScalePolicy { name: id("slow"), rule: slow, priority: 4 }];
    Terms { policies, max_events_per_hour: 10, panic: None, forecast: None, ..Terms::default() }
}

pub(in crate::autoscale) fn input(at_unix_ms: i64, desired: u32, value: f64) -> Input {
    let reading = |policy, value| Reading { policy: id(policy), value: Some(value), fast: None, missing_ms: 0, is_idle: false };
    Input {
        now_ms: u64::try_from(at_unix_ms - NOW).unwrap_or(0),
        unix_ms: at_unix_ms,
        replicas: Replicas { desired, ready: desired, starting: 0, draining: 0 },
        demand: Demand { is_complete: true, ..Demand::default() },
        readings: vec![reading("busy", value), reading("slow", value / 100.0)],
        schedule: Look::default(),
        outlook: None,
        order: None,
    }
}

/// What the code decides now, for a pool called `coders`.
pub(in crate::autoscale) fn draft(at_unix_ms: i64, terms: &Arc<Terms>, input: Input) -> Draft {
    let state = State { last: Some(input.replicas.desired), ..State::default() };
    let (decision, _) = decide(terms, &input, &state);
    let (pool, mode) = (id("coders"), ScaleMode::Act);
    Draft { at_unix_ms, pool, generation: 3, mode, terms: terms.clone(), input, state, decision }
}

/// A decision of the policy `slow` about 100 times as many milliseconds, which is not what the code would decide.
pub(in crate::autoscale) fn decision(from: u32, to: u32, value: f64, vote: Vote) -> Decision {
    let verdict = Verdict { policy: id("slow"), value: Some(value), threshold: 0.5, vote, desired: Some(to) };
    let (trigger, verdicts) = (Trigger::Policy(id("slow")), vec![verdict]);
    Decision { from, to, trigger, verdicts, wanted: to, limits: Vec::new(), reason: String::new() }
}

/// An entry with this decision, so many minutes after [`NOW`], carried out when it changes something.
pub(in crate::autoscale) fn entry(minute: i64, decision: Decision) -> Entry {
    let at_unix_ms = NOW + minute * 60_000;
    let mut draft = draft(at_unix_ms, &Arc::new(terms()), input(at_unix_ms, decision.from, 1.0));
    draft.decision = decision;
    let mut entry = draft.into_entry(u64::try_from(at_unix_ms).unwrap());
    if entry.changes() {
        entry.carried_out = Some(super::Carried { result: Upshot::Done, at_unix_ms, ready_after_ms: None });
    }
    entry
}
