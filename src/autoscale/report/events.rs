//! What was scaled, by whom, and whether it helped. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::evidence::{Evidence, Span};
use crate::autoscale::ledger::{Carried, Entry, Upshot};
use crate::autoscale::{Trigger, Verdict, Vote};
use crate::model::{Id, ScaleMode, ScaleRule};

/// How long a scaling may take to help, in milliseconds: a slow start, and a window of the signal.
const EFFECT_MS: i64 = 10 * 60_000;

/// A scaling the other way within this time is a reversal, in milliseconds.
const REVERSAL_MS: i64 = 15 * 60_000;

/// A value that is less than this share of what it was has become better.
const BETTER: f64 = 0.9;

/// How often it was scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Scalings that the platform carried out.
    pub events: u32,
    /// Those upwards.
    pub up: u32,
    /// Those downwards.
    pub down: u32,
    /// Those that a forecast explains.
    pub predictive: u32,
    /// Those within 15 minutes after one the other way.
    pub reversals: u32,
    /// Calls to the platform that failed; not among the scalings.
    pub failed: u32,
    /// Calls to the platform without an answer that is known; not among the scalings.
    pub unanswered: u32,
    /// What was recommended only; not among the scalings.
    pub recommended: u32,
}

/// The scalings of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hour {
    /// When it begins, in milliseconds since 1970.
    pub from_unix_ms: i64,
    /// Upwards.
    pub up: u32,
    /// Downwards.
    pub down: u32,
    /// Failed.
    pub failed: u32,
}

/// What one policy has done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyReport {
    /// The policy.
    pub policy: Id,
    /// Scalings upwards that it explains.
    pub up: u32,
    /// Scalings downwards that it explains.
    pub down: u32,
    /// Those whose effect is known by now; a schedule has none.
    pub judged: u32,
    /// Those that helped: after one upwards the signal was back inside its bound within ten minutes; after one downwards nothing was scaled up again.
    pub effective: u32,
    /// `effective` over `judged`.
    pub effectiveness: Option<f64>,
    /// Scalings upwards after which the signal was no better.
    pub in_vain: u32,
    /// Whether it has asked for more or fewer at all.
    pub has_fired: bool,
}

/// How long it took until new replicas were ready.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Waits {
    /// The mean, in seconds.
    pub mean: f64,
    /// The longest, in seconds.
    pub max: f64,
}

/// The direction of a scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

/// What the platform has carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a> {
    pub entry: &'a Entry,
    pub way: Way,
}

/// Whether a scaling helped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Helped,
    /// The signal is better, or nobody looked.
    Unclear,
    InVain,
}

impl Counts {
    /// Adds what another one counts.
    pub(super) fn add(&mut self, other: &Self) {
        let Self { events, up, down, predictive, reversals, failed, unanswered, recommended } = other;
        self.events += events;
        self.up += up;
        self.down += down;
        self.predictive += predictive;
        self.reversals += reversals;
        self.failed += failed;
        self.unanswered += unanswered;
        self.recommended += recommended;
    }
}

impl Event<'_> {
    fn at(&self) -> i64 {
        self.entry.at_unix_ms
    }

    /// Tells whether `other` comes after this one, not later than so many milliseconds.
    fn is_soon_followed_by(&self, other: &Entry, within_ms: i64) -> bool {
        other.id > self.entry.id && other.at_unix_ms.saturating_sub(self.at()) <= within_ms
    }
}

/// Returns what was carried out in this time, the oldest first.
pub(super) fn events<'a>(evidence: &'a Evidence<'_>, span: Span) -> Vec<Event<'a>> {
    let done = evidence.inside(span).filter(|entry| matches!(&entry.carried_out, Some(Carried { result: Upshot::Done, .. })));
    let done = done.filter(|entry| entry.changes());
    done.map(|entry| Event { entry, way: if entry.decision.to > entry.decision.from { Way::Up } else { Way::Down } }).collect()
}

/// Counts all kinds of them.
pub(super) fn counts(evidence: &Evidence<'_>, events: &[Event<'_>], span: Span) -> Counts {
    let mut counts = Counts::default();
    for event in events {
        counts.events += 1;
        match event.way {
            Way::Up => counts.up += 1,
            Way::Down => counts.down += 1,
        }
        counts.predictive += u32::from(event.entry.decision.trigger == Trigger::Forecast);
    }
    let reversals = events.windows(2).filter(|pair| pair[0].way != pair[1].way);
    let soon = reversals.filter(|pair| pair[0].is_soon_followed_by(pair[1].entry, REVERSAL_MS)).count();
    counts.reversals = u32::try_from(soon).unwrap_or(u32::MAX);
    for entry in evidence.inside(span).filter(|entry| entry.changes()) {
        match (&entry.carried_out, entry.mode) {
            (Some(Carried { result: Upshot::Failed { .. }, .. }), _) => counts.failed += 1,
            (Some(_), _) => {}
            (None, ScaleMode::Act) => counts.unanswered += 1,
            (None, _) => counts.recommended += 1,
        }
    }
    counts
}

/// Counts by whole hours since 1970, those without a scaling included.
pub(super) fn hours<'a>(evidence: impl Iterator<Item = &'a Evidence<'a>>, span: Span) -> Vec<Hour> {
    const HOUR: i64 = 3_600_000;
    let first = span.from.div_euclid(HOUR);
    // The span is at most five weeks.
    let mut hours: Vec<Hour> = (first..=span.until.saturating_sub(1).max(span.from).div_euclid(HOUR))
        .map(|hour| Hour { from_unix_ms: hour.saturating_mul(HOUR), up: 0, down: 0, failed: 0 })
        .collect();
    for entry in evidence.flat_map(|evidence| evidence.inside(span)).filter(|entry| entry.changes()) {
        let place = usize::try_from(entry.at_unix_ms.div_euclid(HOUR) - first).ok();
        let (Some(hour), Some(carried)) = (place.and_then(|place| hours.get_mut(place)), &entry.carried_out) else { continue };
        match carried.result {
            Upshot::Failed { .. } => hour.failed += 1,
            Upshot::Done if entry.decision.to > entry.decision.from => hour.up += 1,
            Upshot::Done => hour.down += 1,
        }
    }
    hours
}

/// Counts by the word of the trigger.
pub(super) fn triggers(events: &[Event<'_>]) -> BTreeMap<&'static str, u32> {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(word(&event.entry.decision.trigger)).or_insert(0) += 1;
    }
    counts
}

/// Says how long new replicas took; `None` when it is not known of any.
pub(super) fn waits(events: &[Event<'_>]) -> Option<Waits> {
    let carried = events.iter().filter(|event| event.way == Way::Up).filter_map(|event| event.entry.carried_out.as_ref());
    let seconds: Vec<f64> = carried.filter_map(|carried| carried.ready_after_ms).map(|ms| ms as f64 / 1e3).collect();
    let max = seconds.iter().copied().reduce(f64::max)?;
    Some(Waits { mean: seconds.iter().sum::<f64>() / seconds.len() as f64, max })
}

/// Says what each policy has done: those that hold now in their order, then those that have left.
pub(super) fn policies(evidence: &Evidence<'_>, events: &[Event<'_>], span: Span) -> Vec<PolicyReport> {
    let mut names: Vec<&Id> =
        evidence.terms().map_or_else(Vec::new, |terms| terms.policies.iter().map(|policy| &policy.name).collect());
    for name in events.iter().filter_map(|event| policy(&event.entry.decision.trigger)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter().map(|name| one_policy(name, evidence, events, span)).collect()
}

fn one_policy(name: &Id, evidence: &Evidence<'_>, events: &[Event<'_>], span: Span) -> PolicyReport {
    let mine = || events.iter().filter(|event| policy(&event.entry.decision.trigger) == Some(name));
    let count = |way| u32::try_from(mine().filter(|event| event.way == way).count()).unwrap_or(u32::MAX);
    let (mut judged, mut effective, mut in_vain) = (0, 0, 0);
    for (way, effect) in mine().filter_map(|event| Some((event.way, effect(event, name, evidence, span.until)?))) {
        judged += 1;
        effective += u32::from(effect == Effect::Helped);
        // A scale-down that is undone was too early; that says nothing of what the signal depends on.
        in_vain += u32::from(effect == Effect::InVain && way == Way::Up);
    }
    let effectiveness = (judged > 0).then(|| f64::from(effective) / f64::from(judged));
    let mut verdicts = evidence.inside(span).filter_map(|entry| verdict(entry, name));
    let has_fired = mine().next().is_some() || verdicts.any(|verdict| matches!(verdict.vote, Vote::Up | Vote::Down));
    PolicyReport {
        policy: name.clone(),
        up: count(Way::Up),
        down: count(Way::Down),
        judged,
        effective,
        effectiveness,
        in_vain,
        has_fired,
    }
}

/// Says whether a scaling helped; `None` while it cannot be known, and for schedules.
fn effect(event: &Event<'_>, name: &Id, evidence: &Evidence<'_>, now: i64) -> Option<Effect> {
    let before = verdict(event.entry, name)?;
    let after = || evidence.entries.iter().map(|entry| &**entry).filter(|entry| event.is_soon_followed_by(entry, EFFECT_MS));
    let is_over = event.at().saturating_add(EFFECT_MS) <= now;
    if event.way == Way::Down {
        let is_undone = after().any(|entry| entry.changes() && entry.decision.to > entry.decision.from);
        return (is_undone || is_over).then_some(if is_undone { Effect::InVain } else { Effect::Helped });
    }
    let mut verdicts = after().filter_map(|entry| verdict(entry, name)).filter(|verdict| verdict.value.is_some());
    if verdicts.clone().any(|verdict| matches!(verdict.vote, Vote::Hold | Vote::Down)) {
        return Some(Effect::Helped);
    }
    let last = verdicts.next_back();
    // The sum that a target divides does not fall because there are more replicas.
    let rules = event.entry.terms.policies.iter().find(|policy| policy.name == *name).map(|policy| &policy.rule);
    let is_comparable = matches!(rules, Some(ScaleRule::Threshold { .. }));
    let is_better = |last: &Verdict| match (before.value, last.value) {
        (Some(before), Some(last)) => last < before * BETTER,
        _ => true,
    };
    let in_vain = is_comparable && last.is_some_and(|last| !is_better(last));
    is_over.then_some(if in_vain { Effect::InVain } else { Effect::Unclear })
}

fn verdict<'a>(entry: &'a Entry, policy: &Id) -> Option<&'a Verdict> {
    entry.decision.verdicts.iter().find(|verdict| verdict.policy == *policy)
}

/// Returns the policy that explains a decision.
fn policy(trigger: &Trigger) -> Option<&Id> {
    match trigger {
        Trigger::Policy(policy) | Trigger::Panic(policy) | Trigger::Schedule(policy) => Some(policy),
        Trigger::Forecast
        | Trigger::Bounds
        | Trigger::FirstRequest
        | Trigger::QueueFull
        | Trigger::Idle
        | Trigger::Operator
        | Trigger::Adopted
        | Trigger::Missing
        | Trigger::Steady => None,
    }
}

fn word(trigger: &Trigger) -> &'static str {
    match trigger {
        Trigger::Policy(_) => "policy",
        Trigger::Panic(_) => "panic",
        Trigger::Forecast => "forecast",
        Trigger::Schedule(_) => "schedule",
        Trigger::Bounds => "bounds",
        Trigger::FirstRequest => "first_request",
        Trigger::QueueFull => "queue_full",
        Trigger::Idle => "idle",
        Trigger::Operator => "operator",
        Trigger::Adopted => "adopted",
        Trigger::Missing => "missing",
        Trigger::Steady => "steady",
    }
}
