//! What routes do beside sending requests, and what they share: `rate_limit`, `failover`, `mirror`, `bulkheads`, `overload`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::quantities::{Count, Factor, Period, Ratio, Size};
use crate::config::shape::{FromList, List, Text};
use crate::model::{Id, RateKey};

/// How many requests are let through in a time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RateLimit {
    /// Requests in each `per`, 1 to 1,000,000,000.
    pub(in crate::config) requests: Text<Count<1, 1_000_000_000>>,
    /// The time. Default: `1s`.
    pub(in crate::config) per: Option<Text<Period>>,
    /// Requests that may come at once after a pause, 1 to 1,000,000,000. Default: as many as `requests`.
    pub(in crate::config) burst: Option<Text<Count<1, 1_000_000_000>>>,
    /// Whose requests are counted together: `route` (all), `client_address` or `header:NAME`. Default: `route`.
    pub(in crate::config) key: Option<Text<RateKey>>,
    /// Its name in the `RateLimit` fields of answers, unique in its route. Default: `default`, or the key when there are several.
    pub(in crate::config) name: Option<Text<Id>>,
}

/// Pools that take over, in this order, when those before lose capacity. A plain list is `pools`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Failover {
    /// The pools: 1 to 7, none of them twice, none that the route sends to already.
    pub(in crate::config) pools: List<Text<Id>>,
    /// A pool takes all of its traffic until its available share times this falls below 1; 1 to 100. Default: 1.4.
    pub(in crate::config) overprovisioning: Option<Text<Factor>>,
}

/// A pool that gets copies of requests; its answers are thrown away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Mirror {
    /// The pool.
    pub(in crate::config) pool: Text<Id>,
    /// The share of requests that is copied, a ratio. Default: 100%.
    pub(in crate::config) share: Option<Text<Ratio>>,
    /// A request with a larger body is not copied; 0 to 64MiB. Default: 64KiB.
    pub(in crate::config) body_buffer: Option<Text<Size<0, { 64 << 20 }>>>,
}

impl FromList for Failover {
    type Item = Text<Id>;

    fn from_list(items: List<Self::Item>) -> Self {
        Self { pools: items, overprovisioning: None }
    }
}
