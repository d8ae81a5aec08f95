//! The sentence that explains a decision to people. Pure.
//!
//! It says what moved it, how many there are, and what holds it back: `concurrency is 41.0, 8 for each replica: 6 wanted; 4 now; cooldown
//! of 30 s ends in 12 s`. Programs read the fields of a decision instead.

use std::fmt::Write as _;

use super::decision::{Trigger, Vote};
use super::input::Order;
use super::limit::{Held, Range};
use super::opinion::{Opinion, View};
use super::wish::trusted_outlook;
use crate::model::{Id, ScaleRule, Signal};

/// What there is to tell.
#[derive(Debug)]
pub(super) struct Story<'a> {
    pub(super) view: View<'a>,
    pub(super) opinions: &'a [Opinion<'a>],
    pub(super) trigger: &'a Trigger,
    pub(super) wanted: u32,
    pub(super) held: &'a Held,
    pub(super) range: Range,
}

/// Returns the sentence.
pub(super) fn of(story: &Story<'_>) -> String {
    let mut text = story.cause();
    let (from, to) = (story.view.from, story.held.to);
    // Writing to a string cannot fail.
    let _ = write!(text, "; {from} now");
    for note in &story.held.notes {
        let _ = write!(text, "; {note}");
    }
    if to != from {
        let _ = write!(text, "; so {to}");
    }
    text
}

/// Returns a time for people.
pub(super) fn time(ms: u64) -> String {
    if ms == 0 || ms >= 1000 { format!("{} s", ms.div_ceil(1000)) } else { format!("{ms} ms") }
}

impl Story<'_> {
    fn cause(&self) -> String {
        let Self { view, wanted, range, .. } = self;
        let demand = &view.input.demand;
        match self.trigger {
            Trigger::Policy(name) => format!("{}: {wanted} wanted", self.measured(name)),
            Trigger::Panic(name) => format!("{}: {wanted} wanted", self.surged(name)),
            Trigger::Forecast => self.foreseen(),
            Trigger::Schedule(name) if view.from < range.low => format!("schedule {name} asks for at least {}", range.low),
            Trigger::Schedule(name) => format!("schedule {name} allows {}", range.high),
            Trigger::Bounds if view.from < range.low => format!("min_replicas is {}", range.low),
            Trigger::Bounds if view.from > range.high => format!("max_replicas is {}", range.high),
            Trigger::Bounds => "no policy measures anything: the fewest are wanted".to_owned(),
            Trigger::FirstRequest => format!("{} waiting and no replica: {wanted} wanted", demand.queued),
            Trigger::QueueFull => format!("the queue is full: {wanted} wanted"),
            Trigger::Idle => format!("idle for {}: {wanted} wanted", time(demand.idle_ms)),
            Trigger::Operator => match view.input.order {
                Some(Order::Replicas(replicas)) => format!("an operator wants {replicas}"),
                Some(Order::Pause) | None => "an operator wants no change".to_owned(),
            },
            Trigger::Adopted => format!("somebody else has set {}", view.input.replicas.desired),
            Trigger::Missing => self.missed(),
            Trigger::Steady => "no policy wants a change".to_owned(),
        }
    }

    fn opinion(&self, name: &Id) -> Option<&Opinion<'_>> {
        self.opinions.iter().find(|opinion| opinion.policy.name == *name)
    }

    fn measured(&self, name: &Id) -> String {
        let Some(opinion) = self.opinion(name) else { return format!("policy {name}") };
        let value = opinion.verdict.value.unwrap_or_default();
        sentence(opinion, value)
    }

    fn surged(&self, name: &Id) -> String {
        let window = self.view.terms.panic.as_ref().map_or(0, |panic| super::state::millis(panic.window));
        let Some((opinion, (value, _))) = self.opinion(name).and_then(|opinion| Some((opinion, opinion.fast?))) else {
            return format!("policy {name} in panic");
        };
        format!("panic, in the last {} {}", time(window), sentence(opinion, value))
    }

    fn foreseen(&self) -> String {
        let Some(outlook) = trusted_outlook(self.view) else { return "a forecast".to_owned() };
        format!("forecast by {} with a confidence of {:.2}: {} wanted", outlook.model, outlook.confidence, outlook.replicas)
    }

    fn missed(&self) -> String {
        let missing = self.opinions.iter().filter(|opinion| opinion.verdict.vote == Vote::Missing);
        let names: Vec<_> = missing.map(|opinion| format!("{} (for {})", opinion.policy.name, time(opinion.missing_ms))).collect();
        if names.is_empty() { "signals are missing".to_owned() } else { format!("no data for {}", names.join(", ")) }
    }
}

/// Says what a policy compares.
fn sentence(opinion: &Opinion<'_>, value: f64) -> String {
    let threshold = opinion.verdict.threshold;
    match &opinion.policy.rule {
        ScaleRule::Target { meter, .. } => {
            format!(
                "{} is {}, {} for each replica",
                named(&meter.signal),
                shown(&meter.signal, value),
                bound(&meter.signal, threshold)
            )
        }
        ScaleRule::Threshold { meter, .. } => {
            let side = if value > threshold { "above" } else { "below" };
            format!("{} is {}, {side} {}", named(&meter.signal), shown(&meter.signal, value), bound(&meter.signal, threshold))
        }
        ScaleRule::Schedule { .. } => opinion.policy.name.to_string(),
    }
}

fn named(signal: &Signal) -> &str {
    match signal {
        Signal::Custom(name) => name,
        other => other.as_str(),
    }
}

/// How a signal is written.
enum Unit {
    Seconds,
    Ratio,
    Plain,
}

const fn unit(signal: &Signal) -> Unit {
    match signal {
        Signal::ResponseTime | Signal::FirstByte | Signal::QueueWait => Unit::Seconds,
        Signal::ErrorRate | Signal::CpuUtilization | Signal::MemoryUtilization => Unit::Ratio,
        Signal::Concurrency | Signal::RequestRate | Signal::QueueDepth | Signal::Custom(_) | Signal::Promql { .. } => Unit::Plain,
    }
}

fn shown(signal: &Signal, value: f64) -> String {
    match unit(signal) {
        Unit::Seconds => format!("{value:.3} s"),
        Unit::Ratio => format!("{:.1}%", value * 100.0),
        Unit::Plain => format!("{value:.1}"),
    }
}

/// A configured number, as short as it was written.
fn bound(signal: &Signal, value: f64) -> String {
    match unit(signal) {
        Unit::Seconds => format!("{value} s"),
        // Rounded, as a hundredfold of 0.07 is not 7.
        Unit::Ratio => format!("{}%", (value * 1e6).round() / 1e4),
        Unit::Plain => format!("{value}"),
    }
}
