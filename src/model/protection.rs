//! What a pool does about endpoints that fail: breaker, ejection, health checks.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde::{Serialize, Serializer};

use super::Secret;
use super::duration::written;

/// What a pool does about endpoints that fail, and when all are busy.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Protection {
    /// The breaker of each endpoint; `None` is off.
    pub circuit_breaker: Option<Breaker>,
    /// Ejection of endpoints that are worse than their peers; `None` is off.
    pub outlier: Option<Outlier>,
    /// Active checks; `None` is off.
    pub health: Option<Health>,
    /// Where requests wait for a slot; `None` is off: a request without a slot is refused at once.
    pub queue: Option<Queue>,
}

/// When an endpoint is refused all traffic, and how it comes back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Breaker {
    /// Consecutive failures that open it.
    pub failure_threshold: u32,
    /// A success rate below this opens it too, over `window` with at least `min_attempts`; 0 is off.
    pub success_rate: f64,
    /// Over which time the success rate is taken.
    #[serde(serialize_with = "written")]
    pub window: Duration,
    /// Attempts in the window below which the success rate says nothing.
    pub min_attempts: u32,
    /// How long it stays open the first time; doubles each time it opens again before it has closed.
    #[serde(serialize_with = "written")]
    pub recovery_timeout: Duration,
    /// The longest time that it stays open.
    #[serde(serialize_with = "written")]
    pub max_recovery_timeout: Duration,
    /// Consecutive good probes that close it.
    pub success_threshold: u32,
    /// Answers that are failures.
    pub statuses: Vec<u16>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            success_rate: 0.5,
            window: Duration::from_secs(10),
            min_attempts: 20,
            recovery_timeout: Duration::from_secs(60),
            max_recovery_timeout: Duration::from_secs(600),
            success_threshold: 3,
            statuses: vec![500, 502, 503, 504],
        }
    }
}

/// When an endpoint is taken out because its outcomes are worse than its peers'.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outlier {
    /// How often the pool is looked at.
    #[serde(serialize_with = "written")]
    pub interval: Duration,
    /// Consecutive gateway failures that eject; 0 is off.
    pub consecutive_failures: u32,
    /// Standard deviations below the mean success rate that eject; 0 is off.
    pub success_rate_deviations: f64,
    /// Endpoints with `success_rate_attempts` that the mean needs.
    pub success_rate_endpoints: u32,
    /// Attempts in the interval that a success rate needs.
    pub success_rate_attempts: u32,
    /// Times the pool's median latency that eject; 0 is off.
    pub latency_factor: f64,
    /// Endpoints with `latency_attempts` that the median needs.
    pub latency_endpoints: u32,
    /// Attempts in the interval that a median latency needs.
    pub latency_attempts: u32,
    /// How long an endpoint is out, times how often it was ejected.
    #[serde(serialize_with = "written")]
    pub base_ejection: Duration,
    /// The longest time that it is out.
    #[serde(serialize_with = "written")]
    pub max_ejection: Duration,
    /// The largest share of the pool that may be out at once; never all of it.
    pub max_ejected: f64,
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            consecutive_failures: 5,
            success_rate_deviations: 1.9,
            success_rate_endpoints: 5,
            success_rate_attempts: 100,
            latency_factor: 3.0,
            latency_endpoints: 3,
            latency_attempts: 20,
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_ejected: 0.5,
        }
    }
}

/// How endpoints are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    /// What is asked.
    pub probe: Probe,
    /// From the end of one check to the start of the next, with 10% jitter.
    #[serde(serialize_with = "written")]
    pub interval: Duration,
    /// The same while the endpoint is down.
    #[serde(serialize_with = "written")]
    pub unhealthy_interval: Duration,
    /// How long one check may take.
    #[serde(serialize_with = "written")]
    pub timeout: Duration,
    /// Consecutive good checks that bring an endpoint up.
    pub healthy_threshold: u32,
    /// Consecutive bad checks that bring an endpoint down.
    pub unhealthy_threshold: u32,
    /// Good checks that take longer make the endpoint degraded.
    #[serde(serialize_with = "written")]
    pub degraded_above: Option<Duration>,
    /// What is done about an endpoint that stays down.
    pub heal: Option<Heal>,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// An HTTP request.
    Http(HttpProbe),
    /// Whether a connection opens (with TLS, whether the handshake succeeds).
    Tcp,
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service asked for; empty is the whole server.
        service: String,
    },
}

/// An HTTP health check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpProbe {
    /// The method.
    #[serde(serialize_with = "text")]
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// `Host`; the endpoint's address when `None`.
    pub host: Option<String>,
    /// Header fields of the request.
    #[serde(serialize_with = "fields")]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Statuses that are good, as inclusive ranges.
    pub expect: Vec<(u16, u16)>,
    /// A text that the body must contain (its first 64 KiB are read).
    pub body: Option<String>,
    /// A JSON field of the body that must have a value.
    pub json: Option<JsonField>,
}

/// A JSON field and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JsonField {
    /// Where it is (RFC 6901), such as `/status`.
    pub pointer: String,
    /// What it must be: a text is compared as it is, anything else by its JSON text.
    pub equals: String,
}

/// What is done about an endpoint that stays down.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Heal {
    /// How long it must have been down.
    #[serde(serialize_with = "written")]
    pub after: Duration,
    /// The shortest time between two actions on one endpoint.
    #[serde(serialize_with = "written")]
    pub cooldown: Duration,
    /// Whether the replica is replaced, where the autoscaler's platform can do that.
    pub restart: bool,
    /// The address that gets a `POST` with what happened.
    pub webhook: Option<String>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
}

/// Where requests wait for a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// Requests that may wait.
    pub capacity: u32,
    /// How long each may wait.
    #[serde(serialize_with = "written")]
    pub timeout: Duration,
}

impl Default for Queue {
    fn default() -> Self {
        Self { capacity: 1000, timeout: Duration::from_secs(30) }
    }
}

fn text<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

fn fields<S: Serializer>(items: &[(HeaderName, HeaderValue)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(items.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()))))
}
