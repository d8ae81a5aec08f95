//! `routes[].retry` and `routes[].hedge`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::quantities::{Count, Period, Ratio, Size};
use crate::config::shape::{List, Text};
use crate::model::{Backoff, Condition, HedgeDelay, Jitter};

/// When and how often a request is tried again; only when that is safe, and within the budget.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Retry {
    /// Attempts in all, the first included, 1 to 10. Default: 3.
    pub(in crate::config) max_attempts: Option<Text<Count<1, 10>>>,
    /// What is tried again. Default: `[connect_failure, refused, reset, gateway_error]`.
    pub(in crate::config) on: Option<List<Text<Condition>>>,
    /// Whether requests that may have an effect are tried again too, although an endpoint may have seen them. Default: `false`.
    pub(in crate::config) non_idempotent: Option<bool>,
    /// How the delays before attempts grow. Default: `exponential`.
    pub(in crate::config) backoff: Option<Text<Backoff>>,
    /// The first delay. Default: `100ms`, or `max_delay` when that is less.
    pub(in crate::config) base_delay: Option<Text<Period>>,
    /// The longest delay, also for an endpoint's `Retry-After`; at least `base_delay`. Default: `5s`, or `base_delay` when that is more.
    pub(in crate::config) max_delay: Option<Text<Period>>,
    /// How delays are spread. Default: `full`.
    pub(in crate::config) jitter: Option<Text<Jitter>>,
    /// How much of the traffic of the route may be retries.
    pub(in crate::config) budget: Option<Budget>,
    /// Bytes of a request body that are kept for another attempt, 0 to 64MiB; a larger body is sent once. Default: 1MiB.
    pub(in crate::config) body_buffer: Option<Text<Size<0, { 64 << 20 }>>>,
}

/// How much of the traffic of a route may be retries: both allowances are added.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Budget {
    /// Retries over requests of the last 10 s, a ratio. Default: 20%.
    pub(in crate::config) ratio: Option<Text<Ratio>>,
    /// Retries allowed in each second whatever the traffic, 0 to 1,000,000. Default: 10.
    pub(in crate::config) min_per_second: Option<Text<Count<0, 1_000_000>>>,
}

/// When a second attempt is sent beside one that is slow; for idempotent requests only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Hedge {
    /// How long the first attempt is waited for: a quantile of the times to first byte of the route, `p50` to `p99.9`, or a duration.
    pub(in crate::config) after: Text<HedgeDelay>,
    /// Extra attempts over requests of the last 10 s, a ratio. Default: 5%.
    pub(in crate::config) max_extra: Option<Text<Ratio>>,
}
