//! How pools are sized.

use std::path::Path;
use std::time::Duration;

use super::{scale_policy, target};
use crate::config::raw::Season;
use crate::config::shape::{OrNone, Text};
use crate::config::{defaults, raw};
use crate::model::{Autoscale, Cost, Forecast, Panic, ScaleDown, ScaleMode, ScaleUp, Step, Terms};

/// Compiles how a pool with so many slots for each endpoint is sized; `None` when nothing says what is scaled, which is an error.
pub(super) fn autoscale(raw: &raw::Autoscale, slots: Option<u32>, base: &Path) -> Option<Autoscale> {
    Some(Autoscale {
        target: target::target(&raw.target.value, base)?,
        mode: match &raw.mode {
            None => ScaleMode::Act,
            Some(mode) => mode.as_option().map_or(ScaleMode::Off, |mode| mode.value),
        },
        terms: terms(raw, slots),
        drain_timeout: delay(&raw.drain.timeout, defaults::REPLICA_DRAIN),
        cold_start_timeout: period(&raw.cold_start_timeout, defaults::COLD_START_TIMEOUT),
        cost: raw.cost.as_ref().map(cost),
    })
}

/// Returns the most replicas when the file does not say.
pub(in crate::config) fn default_max_replicas(min_replicas: u32) -> u32 {
    // A bound that is given moves the default of the other one out of its way.
    Terms::default().max_replicas.max(min_replicas)
}

/// Returns how often it is decided.
pub(in crate::config) fn interval(raw: &raw::Autoscale) -> Duration {
    raw.interval.as_ref().map_or(Terms::default().interval, |span| span.value.0)
}

fn terms(raw: &raw::Autoscale, slots: Option<u32>) -> Terms {
    let default = Terms::default();
    let min_replicas = raw.min_replicas.as_ref().map_or(default.min_replicas, |count| count.value.0);
    let behavior = &raw.behavior;
    Terms {
        min_replicas,
        max_replicas: raw.max_replicas.as_ref().map_or_else(|| default_max_replicas(min_replicas), |count| count.value.0),
        idle_after: period(&raw.idle_after, default.idle_after),
        interval: interval(raw),
        policies: scale_policy::policies(&raw.policies, slots),
        scale_up: scale_up(&behavior.scale_up),
        scale_down: scale_down(&behavior.scale_down),
        tolerance: behavior.tolerance.as_ref().map_or(default.tolerance, |ratio| ratio.value.0),
        max_events_per_hour: behavior.max_events_per_hour.as_ref().map_or(default.max_events_per_hour, |count| count.value.0),
        panic: match &raw.panic {
            None => Some(panic(None, raw)),
            Some(given) => given.as_option().map(|given| panic(Some(&given.value), raw)),
        },
        forecast: match &raw.forecast {
            None => Some(Forecast::default()),
            Some(given) => given.as_option().and_then(|given| forecast(&given.value)),
        },
        missing_after: period(&raw.missing_after, default.missing_after),
        fallback: raw.fallback.as_ref().map_or(default.fallback, |fallback| fallback.value),
    }
}

fn scale_up(raw: &raw::ScaleUp) -> ScaleUp {
    let default = ScaleUp::default();
    ScaleUp {
        cooldown: delay(&raw.cooldown, default.cooldown),
        max_step: step(&raw.max_step, default.max_step),
        stabilization: delay(&raw.stabilization, default.stabilization),
    }
}

fn scale_down(raw: &raw::ScaleDown) -> ScaleDown {
    let default = ScaleDown::default();
    ScaleDown {
        cooldown: delay(&raw.cooldown, default.cooldown),
        max_step: step(&raw.max_step, default.max_step),
        stabilization: delay(&raw.stabilization, default.stabilization),
        sustained: delay(&raw.sustained, default.sustained),
    }
}

fn panic(raw: Option<&raw::Panic>, autoscale: &raw::Autoscale) -> Panic {
    let default = Panic::default();
    Panic {
        threshold: raw.and_then(|raw| raw.threshold.as_ref()).map_or(default.threshold, |surge| surge.value.0),
        window: raw
            .and_then(|raw| raw.window.as_ref())
            // A window that is shorter than the interval would see nothing.
            .map_or_else(|| default.window.max(interval(autoscale)), |span| span.value.0),
    }
}

/// Compiles a forecast; `None` when its mode is off.
fn forecast(raw: &raw::Forecast) -> Option<Forecast> {
    let default = Forecast::default();
    let mode = match &raw.mode {
        None => default.mode,
        Some(mode) => mode.as_option()?.value,
    };
    let looks_for = |season, default| match &raw.season {
        None => default,
        Some(seasons) => seasons.0.iter().any(|given| given.value == season),
    };
    Some(Forecast {
        mode,
        horizon: raw.horizon.as_ref().map_or(default.horizon, |span| span.value.0),
        daily: looks_for(Season::Daily, default.daily),
        weekly: looks_for(Season::Weekly, default.weekly),
        confidence: raw.confidence.as_ref().map_or(default.confidence, |ratio| ratio.value.0),
        quantile: raw.quantile.as_ref().map_or(default.quantile, |quantile| quantile.value.0),
    })
}

fn cost(raw: &raw::Cost) -> Cost {
    let currency = raw.currency.as_ref().map_or_else(|| defaults::CURRENCY.to_owned(), |currency| currency.value.0.clone());
    Cost { replica_hour: raw.replica_hour.value.0, currency }
}

fn step(raw: &Option<OrNone<Text<Step>>>, default: Option<Step>) -> Option<Step> {
    match raw {
        None => default,
        Some(step) => step.as_option().map(|step| step.value),
    }
}

fn period(raw: &Option<Text<raw::Period>>, default: Duration) -> Duration {
    raw.as_ref().map_or(default, |period| period.value.0)
}

fn delay(raw: &Option<Text<raw::Delay>>, default: Duration) -> Duration {
    raw.as_ref().map_or(default, |delay| delay.value.0)
}
