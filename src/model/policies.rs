//! What a route does for its requests beside sending them: retries, hedges, limits, tiers, shadows.

use std::time::Duration;

use http::HeaderName;
use serde::Serialize;

use super::duration::written;
use super::{Hedge, Id, Queue, Retry};

/// How important a request is, from -100 to 100; higher goes first and is shed last.
pub type Priority = i8;

/// The policies of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Policies {
    /// When a request is tried again; `None` is never.
    pub retry: Option<Retry>,
    /// When a second attempt is sent beside the first; `None` is never.
    pub hedge: Option<Hedge>,
    /// The bulkhead whose slots its requests need.
    pub bulkhead: Option<Id>,
    /// How important its requests are.
    pub priority: Priority,
    /// How many requests are let through in a time; all must agree.
    pub rate_limits: Vec<RateLimit>,
    /// Pools that take over when the first one loses capacity.
    pub failover: Option<Failover>,
    /// A pool that gets copies.
    pub mirror: Option<Mirror>,
}

/// How many requests are let through in a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RateLimit {
    /// Its name in the `RateLimit` fields.
    pub name: Id,
    /// Requests in each `per`.
    pub requests: u32,
    /// The time.
    #[serde(serialize_with = "written")]
    pub per: Duration,
    /// Requests that may come at once after a pause; at least 1.
    pub burst: u32,
    /// Whose requests are counted together.
    pub key: RateKey,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateKey {
    /// All requests of the route.
    Route,
    /// Those of one client address (an IPv6 client is its /64).
    ClientAddress,
    /// Those with one value of a header field; those without it share one count.
    Header(#[serde(serialize_with = "name")] HeaderName),
}

/// Pools that take over, in this order, when those before lose capacity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failover {
    /// The pools; none of them twice.
    pub pools: Vec<Id>,
    /// A tier takes all of its traffic until its available share times this falls below 1.
    pub overprovisioning: f64,
}

/// A pool that gets copies of requests; its answers are thrown away.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mirror {
    /// The pool.
    pub pool: Id,
    /// The share of requests that is copied.
    pub share: f64,
    /// A request with a larger body is not copied, in bytes.
    pub body_buffer: u64,
}

/// A named limit on requests that run at once, shared by routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bulkhead {
    /// The name, unique among bulkheads.
    pub name: Id,
    /// Requests that run at once.
    pub max_concurrent: u32,
    /// Where further ones wait.
    pub queue: Queue,
}

/// Limits of the whole process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overload {
    /// Requests that run at once; `None` is no limit.
    pub max_requests: Option<u32>,
    /// Resident memory, in bytes; `None` is no limit.
    pub max_memory: Option<u64>,
    /// The share of each limit that is kept for important requests: priority 10 and above may use all of it, -10 and below all but this.
    pub reserve: f64,
    /// Bytes of request bodies that are kept for further attempts, over all requests.
    pub replay_memory: u64,
}

impl Default for Overload {
    fn default() -> Self {
        Self { max_requests: None, max_memory: None, reserve: 0.2, replay_memory: 64 * 1024 * 1024 }
    }
}

fn name<S: serde::Serializer>(name: &HeaderName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}
