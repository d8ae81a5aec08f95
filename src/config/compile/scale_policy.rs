//! Policies of sizing: what they measure, in which unit, and what they compare it with.

use std::time::Duration;

use crate::config::raw::{Amount, SignalWord};
use crate::config::shape::{At, List, Mistake, Text};
use crate::config::{defaults, raw};
use crate::model::{Aggregation, Meter, ScalePolicy, ScaleRule, Signal};

/// In which unit a signal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Unit {
    /// A duration; seconds in the model.
    Time,
    /// A percentage; a ratio in the model.
    Share,
    /// A plain number.
    Plain,
}

/// Compiles the policies of a pool with so many slots for each endpoint: the default one when the file names none.
pub(super) fn policies(raw: &List<At<raw::ScalePolicy>>, slots: Option<u32>) -> Vec<ScalePolicy> {
    if raw.0.is_empty() {
        return slots.map(defaults::scale_policy).into_iter().collect();
    }
    raw.0.iter().filter_map(|policy| self::policy(&policy.value)).collect()
}

/// Compiles a policy; `None` when it does not say enough, which is an error.
fn policy(raw: &raw::ScalePolicy) -> Option<ScalePolicy> {
    let signal = signal(raw);
    let priority = signal.as_ref().map_or(defaults::SCHEDULE_PRIORITY, defaults::scale_priority);
    let rule = match signal {
        None => schedule(raw)?,
        Some(signal) => measured(raw, signal)?,
    };
    Some(ScalePolicy { name: raw.name.value.clone(), rule, priority: raw.priority.as_ref().map_or(priority, |rank| rank.value.0) })
}

/// Returns what a policy measures; `None` when it measures nothing, or does not say what `custom` or `promql` is.
pub(in crate::config) fn signal(raw: &raw::ScalePolicy) -> Option<Signal> {
    Some(match raw.signal.as_ref()?.value {
        SignalWord::Concurrency => Signal::Concurrency,
        SignalWord::RequestRate => Signal::RequestRate,
        SignalWord::ResponseTime => Signal::ResponseTime,
        SignalWord::FirstByte => Signal::FirstByte,
        SignalWord::QueueDepth => Signal::QueueDepth,
        SignalWord::QueueWait => Signal::QueueWait,
        SignalWord::ErrorRate => Signal::ErrorRate,
        SignalWord::CpuUtilization => Signal::CpuUtilization,
        SignalWord::MemoryUtilization => Signal::MemoryUtilization,
        SignalWord::Custom => Signal::Custom(raw.metric.as_ref()?.value.0.clone()),
        SignalWord::Promql => {
            let promql = &raw.promql.as_ref()?.value;
            Signal::Promql { server: promql.server.value.0.clone(), query: promql.query.value.0.clone() }
        }
    })
}

/// Returns how a window of the signal becomes one number.
pub(in crate::config) fn aggregation(raw: &raw::ScalePolicy, signal: &Signal) -> Aggregation {
    let percentile = raw.percentile.as_ref().map(|percentile| percentile.value.0);
    let given = percentile.or_else(|| raw.aggregation.as_ref().map(|aggregation| aggregation.value));
    given.unwrap_or_else(|| defaults::scale_aggregation(signal))
}

/// Returns over which time a policy takes its signal.
pub(in crate::config) fn window(raw: &raw::ScalePolicy) -> Duration {
    raw.window.as_ref().map_or(defaults::SCALE_WINDOW, |span| span.value.0)
}

/// Returns the unit of a signal once its window is one number.
pub(in crate::config) fn unit(signal: &Signal, aggregation: Aggregation) -> Unit {
    match signal {
        _ if aggregation == Aggregation::Count => Unit::Plain,
        Signal::ResponseTime | Signal::FirstByte | Signal::QueueWait => Unit::Time,
        Signal::ErrorRate | Signal::CpuUtilization | Signal::MemoryUtilization => Unit::Share,
        Signal::Concurrency | Signal::RequestRate | Signal::QueueDepth | Signal::Custom(_) | Signal::Promql { .. } => Unit::Plain,
    }
}

/// Brings what is written into base units.
///
/// # Errors
/// When it is written in another unit, or could be read in two ways.
pub(in crate::config) fn amount(amount: Amount, unit: Unit) -> Result<f64, Mistake> {
    match (unit, amount) {
        (Unit::Time, Amount::Time(time)) => Ok(time.as_secs_f64()),
        (Unit::Share, Amount::Percent(percent)) => Ok(percent / 100.0),
        (Unit::Share, Amount::Number(number)) if number > 1.0 || number == 0.0 => Ok(number / 100.0),
        (Unit::Plain, Amount::Number(number)) => Ok(number),
        (Unit::Share, Amount::Number(number)) => Err(Mistake {
            message: format!("`{number}` could be a ratio or a percentage"),
            suggestion: Some(format!("write \"{}%\" or \"{number}%\"", rounded(number * 100.0))),
        }),
        (Unit::Time, Amount::Number(number)) => Err(Mistake {
            message: "the signal is a time: a duration such as `500ms` is needed".to_owned(),
            suggestion: Some(format!("a unit is missing; did you mean \"{number}s\"?")),
        }),
        (Unit::Time, Amount::Percent(_)) => Err("the signal is a time: a duration such as `500ms` is needed".to_owned().into()),
        (Unit::Share, Amount::Time(_)) => Err("the signal is a share: a percentage such as `75%` is needed".to_owned().into()),
        (Unit::Plain, _) => Err("the signal is a plain number, without unit".to_owned().into()),
    }
}

/// Cuts off what binary fractions add: 0.07 times 100 is 7.
fn rounded(percent: f64) -> f64 {
    (percent * 1e6).round() / 1e6
}

fn measured(raw: &raw::ScalePolicy, signal: Signal) -> Option<ScaleRule> {
    let aggregation = aggregation(raw, &signal);
    let unit = unit(&signal, aggregation);
    let value = |text: &Option<Text<Amount>>| text.as_ref().and_then(|text| amount(text.value, unit).ok());
    let meter = Meter { signal, aggregation, window: window(raw) };
    if raw.target.is_some() {
        return Some(ScaleRule::Target { meter, target: value(&raw.target)? });
    }
    Some(ScaleRule::Threshold {
        meter,
        up: value(&raw.up),
        down: value(&raw.down),
        step_up: raw.step_up.as_ref().map_or(defaults::SCALE_STEP, |count| count.value.0),
        step_down: raw.step_down.as_ref().map_or(defaults::SCALE_STEP, |count| count.value.0),
        weight: raw.weight.as_ref().map_or(defaults::SCALE_WEIGHT, |gain| gain.value.0),
    })
}

fn schedule(raw: &raw::ScalePolicy) -> Option<ScaleRule> {
    Some(ScaleRule::Schedule {
        cron: raw.schedule.as_ref()?.value.0.clone(),
        time_zone: raw.time_zone.as_ref().map_or_else(|| defaults::TIME_ZONE.to_owned(), |zone| zone.value.0.clone()),
        lasts: raw.lasts.as_ref()?.value.0,
        min_replicas: raw.min_replicas.as_ref().map(|count| count.value.0),
        max_replicas: raw.max_replicas.as_ref().map(|count| count.value.0),
    })
}
