//! `pools.NAME.autoscale`: how a pool is sized.

use schemars::JsonSchema;
use serde::Deserialize;

use super::amounts::{Amount, Gain, Price, Quantile, Surge};
use super::moments::{CronText, ZoneName};
use super::objects::{Currency, MetricName, Query, ServerUrl};
use super::platform::Target;
use super::quantities::{Count, Delay, Period, Ratio, Span};
use super::words::{Percentile, Season, SignalWord};
use crate::config::shape::{At, List, OrNone, Text};
use crate::model::{Aggregation, Fallback, ForecastMode, Id, ScaleMode, Step};

/// How a pool is sized: what is scaled, why, and within which limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Autoscale {
    /// What is scaled: exactly one of `kubernetes`, `docker` and `process`.
    pub(in crate::config) target: At<Target>,
    /// Whether decisions are carried out: `act`, `recommend` (everything but the call to the platform) or `off`. Default: `act`.
    pub(in crate::config) mode: Option<OrNone<Text<ScaleMode>>>,
    /// The fewest replicas, 0 to 1000; 0 allows scale to zero. Default: 1.
    pub(in crate::config) min_replicas: Option<Text<Count<0, 1000>>>,
    /// The most replicas, 1 to 1000; not less than `min_replicas`. Default: 10, or `min_replicas` when that is more.
    pub(in crate::config) max_replicas: Option<Text<Count<1, 1000>>>,
    /// How long there must have been no demand before the last replica goes; with `min_replicas: 0` only. Default: `10m`.
    pub(in crate::config) idle_after: Option<Text<Period>>,
    /// How often it is decided, 100ms to 1m; a queue that starts to fill is not waited for. Default: `1s`.
    pub(in crate::config) interval: Option<Text<Span<100, 60_000>>>,
    /// Reasons to scale. Default: one that gives each replica as much `concurrency` as the pool's `max_connections`.
    #[serde(default)]
    pub(in crate::config) policies: List<At<ScalePolicy>>,
    /// How fast it goes up and down.
    #[serde(default)]
    pub(in crate::config) behavior: Behavior,
    /// Quick reaction to surges, or `off`. Default: on, with the defaults of its keys.
    pub(in crate::config) panic: Option<OrNone<At<Panic>>>,
    /// Looking ahead, or `off`. Default: on, with the defaults of its keys.
    pub(in crate::config) forecast: Option<OrNone<At<Forecast>>>,
    /// How long a signal may be without data before `fallback` counts. Default: `2m`.
    pub(in crate::config) missing_after: Option<Text<Period>>,
    /// What a policy without data asks for: `hold`, `min` or a number of replicas, 1 to 1000; never fewer than there are. Default: `hold`.
    pub(in crate::config) fallback: Option<Text<Fallback>>,
    /// How replicas leave.
    #[serde(default)]
    pub(in crate::config) drain: ReplicaDrain,
    /// How long a request may wait for the first replica of a pool that has none. Default: `5m`.
    pub(in crate::config) cold_start_timeout: Option<Text<Period>>,
    /// What a replica costs. Default: not known.
    pub(in crate::config) cost: Option<Cost>,
}

/// One reason to scale: a `signal` with a `target` or with bounds, or a `schedule`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ScalePolicy {
    /// The name, unique in its pool.
    pub(in crate::config) name: Text<Id>,
    /// What is measured.
    pub(in crate::config) signal: Option<Text<SignalWord>>,
    /// For the signal `custom`: the name of a metric of the Prometheus pages of the endpoints.
    pub(in crate::config) metric: Option<Text<MetricName>>,
    /// For the signal `promql`: where and what is asked.
    pub(in crate::config) promql: Option<At<Promql>>,
    /// How much of the signal a replica is for, above 0: a number, a percentage or a duration, as the signal is.
    pub(in crate::config) target: Option<Text<Amount>>,
    /// Above this it scales up: a number, a percentage or a duration, as the signal is.
    pub(in crate::config) up: Option<Text<Amount>>,
    /// Below this it may scale down; below `up`: a number, a percentage or a duration, as the signal is.
    pub(in crate::config) down: Option<Text<Amount>>,
    /// Over which time the signal is taken, 1s to 10m; not less than `interval`. Default: `60s`.
    pub(in crate::config) window: Option<Text<Span<1_000, 600_000>>>,
    /// How the window becomes one number: `p50`, `p95` or `p99`, for times. Default: `p95` for times.
    pub(in crate::config) percentile: Option<Text<Percentile>>,
    /// How the window becomes one number; not with `percentile`. Default: `average`, but for times `p95`.
    pub(in crate::config) aggregation: Option<Text<Aggregation>>,
    /// Replicas more at once, with `up`, 1 to 1000. Default: 1.
    pub(in crate::config) step_up: Option<Text<Count<1, 1000>>>,
    /// Replicas fewer at once, with `down`, 1 to 1000. Default: 1.
    pub(in crate::config) step_down: Option<Text<Count<1, 1000>>>,
    /// Multiplies both steps, 0.1 to 100; the result is rounded, at least 1. Default: 1.
    pub(in crate::config) weight: Option<Text<Gain>>,
    /// Which policy explains a decision that several ask for: the highest, 0 to 100. Default: 5 for the queue, 4 for rates and times, 3 for
    /// processor and memory, else 1.
    pub(in crate::config) priority: Option<Text<Count<0, 100>>>,
    /// When a schedule begins: minute, hour, day of month, month, day of week, as in crontab.
    pub(in crate::config) schedule: Option<Text<CronText>>,
    /// The IANA name of the time zone of the schedule. Default: `UTC`.
    pub(in crate::config) time_zone: Option<Text<ZoneName>>,
    /// How long the schedule holds, 1m to 8784h; required with `schedule`.
    #[serde(rename = "for")]
    pub(in crate::config) lasts: Option<Text<Span<60_000, 31_622_400_000>>>,
    /// The fewest replicas while the schedule holds, 0 to 1000. Default: no such bound.
    pub(in crate::config) min_replicas: Option<Text<Count<0, 1000>>>,
    /// The most replicas while the schedule holds, 0 to 1000. Default: no such bound.
    pub(in crate::config) max_replicas: Option<Text<Count<0, 1000>>>,
}

/// A query of a Prometheus server that has one value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Promql {
    /// The `http` or `https` address of the server, such as `http://prometheus:9090`.
    pub(in crate::config) server: Text<ServerUrl>,
    /// The query.
    pub(in crate::config) query: Text<Query>,
}

/// How fast it goes up and down.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Behavior {
    /// Limits of scaling up.
    #[serde(default)]
    pub(in crate::config) scale_up: ScaleUp,
    /// Limits of scaling down.
    #[serde(default)]
    pub(in crate::config) scale_down: ScaleDown,
    /// How far demand may be from what the replicas are for before anything is done, a ratio below 1. Default: 10%.
    pub(in crate::config) tolerance: Option<Text<Ratio>>,
    /// Scalings in any hour, both directions together, 1 to 3600; scale-up in panic or for a full queue does not count. Default: 60.
    pub(in crate::config) max_events_per_hour: Option<Text<Count<1, 3600>>>,
}

/// Limits of scaling up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ScaleUp {
    /// The shortest time from one scale-up to the next, which may be 0; does not hold in panic or for a full queue. Default: `30s`.
    pub(in crate::config) cooldown: Option<Text<Delay>>,
    /// The most replicas more at once, 1 to 1000, a share of those there are, 1% to 1000%, or `none`. Default: `none`.
    pub(in crate::config) max_step: Option<OrNone<Text<Step>>>,
    /// The least that was wanted in this time counts; may be 0. Default: `0s`.
    pub(in crate::config) stabilization: Option<Text<Delay>>,
}

/// Limits of scaling down.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ScaleDown {
    /// The shortest time from any scaling to the next scale-down; may be 0. Default: `60s`.
    pub(in crate::config) cooldown: Option<Text<Delay>>,
    /// The most replicas fewer at once, 1 to 1000, a share of those there are, 1% to 1000%, or `none`. Default: `none`.
    pub(in crate::config) max_step: Option<OrNone<Text<Step>>>,
    /// The most that was wanted in this time counts; may be 0. Default: `10m`.
    pub(in crate::config) stabilization: Option<Text<Delay>>,
    /// How long use must have been low; may be 0. Default: `10m`.
    pub(in crate::config) sustained: Option<Text<Delay>>,
}

/// Quick reaction to surges: policies with a target are looked at over a short window as well.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Panic {
    /// What the short window needs over the ready replicas, from which on it counts, 110% to 1000%. Default: 200%.
    pub(in crate::config) threshold: Option<Text<Surge>>,
    /// The short window, 1s to 10m; not less than `interval`. Default: `6s`, or `interval` when that is more.
    pub(in crate::config) window: Option<Text<Span<1_000, 600_000>>>,
}

/// Looking ahead.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Forecast {
    /// Whether decisions follow it: `watch` (it is computed and shown), `act` or `off`. Default: `watch`.
    pub(in crate::config) mode: Option<OrNone<Text<ForecastMode>>>,
    /// How far it looks, 10m to 24h. Default: `1h`.
    pub(in crate::config) horizon: Option<Text<Span<600_000, 86_400_000>>>,
    /// Seasons that are looked for. Default: `[daily, weekly]`.
    pub(in crate::config) season: Option<List<Text<Season>>>,
    /// The confidence below which decisions do not follow it, a ratio. Default: 70%.
    pub(in crate::config) confidence: Option<Text<Ratio>>,
    /// Which quantile of what may come is prepared for, `p50` to `p99.9`. Default: `p90`.
    pub(in crate::config) quantile: Option<Text<Quantile>>,
}

/// How replicas leave.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ReplicaDrain {
    /// How long the running requests of a leaving replica may take; may be 0. Default: `10m`.
    pub(in crate::config) timeout: Option<Text<Delay>>,
}

/// What a replica costs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Cost {
    /// For one hour, 0 to 1,000,000.
    pub(in crate::config) replica_hour: Text<Price>,
    /// The currency, 1 to 16 letters. Default: `USD`.
    pub(in crate::config) currency: Option<Text<Currency>>,
}
