//! The figures of sizing on the metrics page, read from the loops on each scrape.
//!
//! Labels are names of the config and words of closed lists. A value that nobody knows is absent, never zero.

use super::figures::{Figure, counter, family, gauge};
use crate::autoscale::{Autoscaler, Standing, Vote};
use crate::telemetry::metrics::{Family, Text};

const REPLICAS: Family = gauge("tidegate_autoscale_replicas", "Replicas of a pool, by state.");
const WANTED: Family =
    gauge("tidegate_autoscale_wanted_replicas", "Replicas that policies and forecast want, before cooldowns, steps and bounds.");
const DECIDED: Family = gauge("tidegate_autoscale_decided_replicas", "Replicas of the last decision.");
const LEADS: Family = gauge("tidegate_autoscale_leader", "Whether this gateway acts for the pool: 1 or 0.");
const SCALINGS: Family = counter("tidegate_autoscale_scalings_total", "Calls that changed the number of replicas, by direction.");
const SIGNAL: Family =
    gauge("tidegate_autoscale_signal", "What a policy sees over its window, in base units; absent without fresh data.");
const POLICY_WANTS: Family =
    gauge("tidegate_autoscale_policy_replicas", "Replicas that a policy wants; absent when it has no say.");
const MISSING: Family = gauge("tidegate_autoscale_signal_missing", "Whether a policy has no fresh data: 1 or 0.");
const STARTUP: Family =
    gauge("tidegate_autoscale_startup_seconds", "Measured time until a replica serves; absent before the first start.");
const TROUBLE: Family =
    gauge("tidegate_autoscale_platform_errors", "Refusals of the platform in a row; 0 when it does what it is told.");
const FORECAST: Family = gauge(
    "tidegate_autoscale_forecast",
    "What is expected of a signal for the step of five minutes that is next, in base units; absent without a forecast.",
);
const FORECAST_UPPER: Family = gauge("tidegate_autoscale_forecast_upper", "The quantile that is prepared for, of the same step.");
const FORECAST_CONFIDENCE: Family = gauge("tidegate_autoscale_forecast_confidence", "How far a forecast can be trusted, a ratio.");
const FORECAST_ERROR: Family =
    gauge("tidegate_autoscale_forecast_error", "Mean absolute error of a forecast in its back-test, in units of the signal.");

/// What a loop counts.
const COUNTS: [Figure<Standing>; 5] = [
    (counter("tidegate_autoscale_decisions_total", "Decisions, whether they changed something or not."), |standing| {
        standing.counts.decisions_total
    }),
    (counter("tidegate_autoscale_predictive_total", "Scale-ups that a forecast asked for."), |standing| {
        standing.counts.predictive_total
    }),
    (counter("tidegate_autoscale_failures_total", "Calls to the platform that failed."), |standing| standing.counts.failed_total),
    (counter("tidegate_autoscale_taken_back_total", "Draining replicas that were taken back."), |standing| {
        standing.counts.taken_back_total
    }),
    (counter("tidegate_autoscale_restarts_total", "Replicas that were restarted to heal them."), |standing| {
        standing.counts.restarts_total
    }),
];

/// Writes the figures of every sized pool.
pub(super) fn render(autoscaler: &Autoscaler, text: &mut Text) {
    let all = autoscaler.all();
    let pools: Vec<(&str, Standing)> = all.iter().map(|(name, scaling)| (name.as_str(), scaling.standing())).collect();
    replicas(&pools, text);
    for (of_counts, value) in COUNTS {
        family(text, of_counts, "pool", &pools, value);
    }
    text.family(SCALINGS);
    for (pool, Standing { counts, .. }) in &pools {
        for (direction, count) in [("up", counts.up_total), ("down", counts.down_total)] {
            text.sample(SCALINGS.name, &[("pool", *pool), ("direction", direction)], count);
        }
    }
    family(text, LEADS, "pool", &pools, |standing| u8::from(standing.leads));
    family(text, TROUBLE, "pool", &pools, |standing| standing.error.as_ref().map_or(0, |trouble| trouble.times));
    text.family(STARTUP);
    for (pool, millis) in pools.iter().filter_map(|(pool, standing)| Some((pool, standing.startup_ms?))) {
        text.sample(STARTUP.name, &[("pool", *pool)], millis as f64 / 1e3);
    }
    policies(&pools, text);
    forecasts(autoscaler, text);
}

fn replicas(pools: &[(&str, Standing)], text: &mut Text) {
    text.family(REPLICAS);
    for (pool, Standing { replicas, .. }) in pools {
        let states = [
            ("desired", replicas.desired),
            ("ready", replicas.ready),
            ("starting", replicas.starting),
            ("draining", replicas.draining),
        ];
        for (state, count) in states {
            text.sample(REPLICAS.name, &[("pool", *pool), ("state", state)], count);
        }
    }
    for (of_decision, value) in [(WANTED, false), (DECIDED, true)] {
        text.family(of_decision);
        for (pool, decision) in pools.iter().filter_map(|(pool, standing)| Some((pool, standing.decision.as_ref()?))) {
            text.sample(of_decision.name, &[("pool", *pool)], if value { decision.to } else { decision.wanted });
        }
    }
}

fn policies(pools: &[(&str, Standing)], text: &mut Text) {
    let verdicts = || {
        pools.iter().flat_map(|(pool, standing)| {
            standing.decision.iter().flat_map(move |decision| decision.verdicts.iter().map(move |verdict| (*pool, verdict)))
        })
    };
    text.family(SIGNAL);
    for (pool, verdict) in verdicts() {
        if let Some(value) = verdict.value {
            text.sample(SIGNAL.name, &[("pool", pool), ("policy", verdict.policy.as_str())], value);
        }
    }
    text.family(POLICY_WANTS);
    for (pool, verdict) in verdicts() {
        if let Some(desired) = verdict.desired {
            text.sample(POLICY_WANTS.name, &[("pool", pool), ("policy", verdict.policy.as_str())], desired);
        }
    }
    text.family(MISSING);
    for (pool, verdict) in verdicts() {
        let is_missing = u8::from(verdict.vote == Vote::Missing);
        text.sample(MISSING.name, &[("pool", pool), ("policy", verdict.policy.as_str())], is_missing);
    }
}

fn forecasts(autoscaler: &Autoscaler, text: &mut Text) {
    let all = autoscaler.all();
    let forecasts: Vec<_> = all
        .iter()
        .filter_map(|(pool, scaling)| Some((pool.as_str(), scaling.foresight()?.forecasts())))
        .flat_map(|(pool, forecasts)| forecasts.into_iter().map(move |(signal, forecast)| (pool, signal, forecast)))
        .filter(|(_, _, forecast)| forecast.model.is_some())
        .collect();
    let families: [Figure<crate::autoscale::forecast::Forecast, Option<f64>>; 4] = [
        (FORECAST, |forecast| forecast.steps.first().map(|step| step.value)),
        (FORECAST_UPPER, |forecast| forecast.steps.first().map(|step| step.upper)),
        (FORECAST_CONFIDENCE, |forecast| Some(forecast.confidence)),
        (FORECAST_ERROR, |forecast| forecast.error.as_ref().map(|error| error.mae)),
    ];
    for (of_forecasts, value) in families {
        text.family(of_forecasts);
        for (pool, signal, forecast) in &forecasts {
            if let Some(value) = value(forecast) {
                text.sample(of_forecasts.name, &[("pool", *pool), ("signal", signal.as_str())], value);
            }
        }
    }
}
