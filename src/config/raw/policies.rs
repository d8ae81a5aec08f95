//! What routes do beside sending requests, and what they share: `rate_limit`, `failover`, `mirror`, `bulkheads`, `overload`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::protection::Queue;
use super::quantities::{Count, Factor, Period, Ratio, Size};
use crate::config::shape::{FromList, List, OrNone, Text, TextOr};
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

/// A named limit on requests that run at once, shared by the routes that name it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Bulkhead {
    /// Requests that run at once, 1 to 1,000,000.
    pub(in crate::config) max_concurrent: Text<Count<1, 1_000_000>>,
    /// Where further requests wait, or `off`; a plain number is its capacity. Default: `off`, they are refused at once.
    pub(in crate::config) queue: Option<OrNone<TextOr<Queue>>>,
}

/// Limits of the whole process.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Overload {
    /// Requests that run at once, 1 to 10,000,000, or `none`. Default: `none`.
    pub(in crate::config) max_requests: Option<OrNone<Text<Count<1, 10_000_000>>>>,
    /// Resident memory, at least 16MiB, or `none`. Default: `none`.
    pub(in crate::config) max_memory: Option<OrNone<Text<Size<{ 16 << 20 }, { 1 << 53 }>>>>,
    /// The share of each limit that is kept for important requests, a ratio. Default: 20%.
    pub(in crate::config) reserve: Option<Text<Ratio>>,
    /// Bytes of request bodies that are kept for further attempts, over all requests, 0 to 1024GiB. Default: 64MiB.
    pub(in crate::config) replay_memory: Option<Text<Size<0, { 1 << 40 }>>>,
}

impl FromList for Failover {
    type Item = Text<Id>;

    fn from_list(items: List<Self::Item>) -> Self {
        Self { pools: items, overprovisioning: None }
    }
}
