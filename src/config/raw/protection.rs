//! What a pool does about endpoints that fail, and when all are busy: `circuit_breaker`, `outlier`, `health`, `queue`.

use http::Method;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::hosts::RedirectHost;
use super::names::TargetText;
use super::probe::{Pointer, Statuses, Webhook};
use super::quantities::{Count, Deviations, Factor, Period, Ratio};
use super::route::Fields;
use crate::config::shape::{At, FromText, List, Mistake, OrNone, Text, Textual};
use crate::config::tree::NodeId;
use crate::model::Secret;

/// When an endpoint is refused all traffic, and how it comes back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Breaker {
    /// Consecutive failures that open it, 1 to 1,000,000. Default: 5.
    pub(in crate::config) failure_threshold: Option<Text<Count<1, 1_000_000>>>,
    /// A success rate below this ratio opens it too, or `off`. Default: 50%.
    pub(in crate::config) success_rate: Option<OrNone<Text<Ratio>>>,
    /// Over which time the success rate is taken. Default: `10s`.
    pub(in crate::config) window: Option<Text<Period>>,
    /// Attempts in the window below which the success rate says nothing, 1 to 1,000,000. Default: 20.
    pub(in crate::config) min_attempts: Option<Text<Count<1, 1_000_000>>>,
    /// How long it stays open the first time; doubles each time. Default: `60s`, or `max_recovery_timeout` when that is less.
    pub(in crate::config) recovery_timeout: Option<Text<Period>>,
    /// The longest time that it stays open. Default: `10m`, or `recovery_timeout` when that is more.
    pub(in crate::config) max_recovery_timeout: Option<Text<Period>>,
    /// Consecutive good probes that close it, 1 to 1000. Default: 3.
    pub(in crate::config) success_threshold: Option<Text<Count<1, 1_000>>>,
    /// Answers that are failures, 100 to 599: statuses or ranges. Default: `[500, 502, 503, 504]`.
    pub(in crate::config) statuses: Option<List<Text<Statuses>>>,
}

/// When an endpoint is taken out because its outcomes are worse than those of its peers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Outlier {
    /// How often the pool is looked at. Default: `10s`.
    pub(in crate::config) interval: Option<Text<Period>>,
    /// Consecutive gateway failures that eject, 1 to 1,000,000, or `off`. Default: 5.
    pub(in crate::config) consecutive_failures: Option<OrNone<Text<Count<1, 1_000_000>>>>,
    /// Ejection for a success rate far below the mean of the pool, or `off`. Default: on.
    pub(in crate::config) success_rate: Option<OrNone<SuccessRate>>,
    /// Ejection for a latency far above the median of the pool, or `off`. Default: on.
    pub(in crate::config) latency: Option<OrNone<Latency>>,
    /// How long an endpoint is out, times how often it was ejected. Default: `30s`, or `max_ejection` when that is less.
    pub(in crate::config) base_ejection: Option<Text<Period>>,
    /// The longest time that it is out. Default: `5m`, or `base_ejection` when that is more.
    pub(in crate::config) max_ejection: Option<Text<Period>>,
    /// The largest share of the pool that may be out at once, a ratio; never all of it. Default: 50%.
    pub(in crate::config) max_ejected: Option<Text<Ratio>>,
}

/// Ejection for a success rate far below the mean of the pool.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SuccessRate {
    /// Standard deviations below the mean that eject, 0.1 to 10. Default: 1.9.
    pub(in crate::config) deviations: Option<Text<Deviations>>,
    /// Endpoints with enough attempts that the mean needs, 2 to 10,000. Default: 5.
    pub(in crate::config) endpoints: Option<Text<Count<2, 10_000>>>,
    /// Attempts in the interval that a success rate needs, 1 to 1,000,000. Default: 100.
    pub(in crate::config) attempts: Option<Text<Count<1, 1_000_000>>>,
}

/// Ejection for a latency far above the median of the pool.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Latency {
    /// Times the median latency of the pool that ejects, 1 to 100. Default: 3.
    pub(in crate::config) factor: Option<Text<Factor>>,
    /// Endpoints with enough attempts that the median needs, 2 to 10,000. Default: 3.
    pub(in crate::config) endpoints: Option<Text<Count<2, 10_000>>>,
    /// Attempts in the interval that the latency of an endpoint needs, 1 to 1,000,000. Default: 20.
    pub(in crate::config) attempts: Option<Text<Count<1, 1_000_000>>>,
}

/// How endpoints are asked whether they are well: exactly one of `http`, `tcp` and `grpc`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Health {
    /// An HTTP request.
    pub(in crate::config) http: Option<At<HttpProbe>>,
    /// Whether a connection opens, and with TLS, whether the handshake succeeds: `{}`.
    pub(in crate::config) tcp: Option<At<TcpProbe>>,
    /// `grpc.health.v1.Health/Check`.
    pub(in crate::config) grpc: Option<At<GrpcProbe>>,
    /// From the end of one check to the start of the next, with 10% jitter. Default: `30s`.
    pub(in crate::config) interval: Option<Text<Period>>,
    /// The same while the endpoint is down. Default: `5s`, or `interval` when that is less.
    pub(in crate::config) unhealthy_interval: Option<Text<Period>>,
    /// How long one check may take. Default: `5s`.
    pub(in crate::config) timeout: Option<Text<Period>>,
    /// Consecutive good checks that bring an endpoint up, 1 to 100. Default: 2.
    pub(in crate::config) healthy_threshold: Option<Text<Count<1, 100>>>,
    /// Consecutive bad checks that bring an endpoint down, 1 to 100. Default: 3.
    pub(in crate::config) unhealthy_threshold: Option<Text<Count<1, 100>>>,
    /// Good checks that take longer make the endpoint degraded; shorter than `timeout`, or `none`. Default: `none`.
    pub(in crate::config) degraded_above: Option<OrNone<Text<Period>>>,
    /// What is done about an endpoint that stays down, or `off`. Default: `off`.
    pub(in crate::config) heal: Option<OrNone<At<Heal>>>,
}

/// An HTTP health check; all that is given must hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HttpProbe {
    /// Path, with query if wanted. Default: `/health`.
    pub(in crate::config) path: Option<Text<TargetText>>,
    /// The method, in capitals. Default: `GET`.
    pub(in crate::config) method: Option<Text<Method>>,
    /// What is sent as `Host`, with a port if wanted. Default: the address of the endpoint.
    pub(in crate::config) host: Option<Text<RedirectHost>>,
    /// Header fields of the request.
    #[serde(default)]
    pub(in crate::config) headers: Fields,
    /// Answers that are good, 100 to 599: statuses or ranges. Default: `[200-299]`.
    pub(in crate::config) expect: Option<At<List<Text<Statuses>>>>,
    /// A text that the first 64 KiB of the body must contain. Default: any body.
    pub(in crate::config) body: Option<Text<String>>,
    /// A JSON field of the body that must have a value. Default: any body.
    pub(in crate::config) json: Option<At<JsonField>>,
}

/// A TCP health check; it has no keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct TcpProbe {}

/// A gRPC health check.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct GrpcProbe {
    /// The service that is asked for. Default: empty, which is the whole server.
    pub(in crate::config) service: Option<Text<String>>,
}

/// A JSON field and its value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct JsonField {
    /// Where it is, as a JSON pointer (RFC 6901) such as `/status`.
    pub(in crate::config) pointer: Text<Pointer>,
    /// What it must be: a text as it is, anything else by its JSON text.
    pub(in crate::config) equals: Text<String>,
}

/// What is done about an endpoint that stays down: at least one of `restart` and `webhook`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Heal {
    /// How long it must have been down. Default: `5m`.
    pub(in crate::config) after: Option<Text<Period>>,
    /// The shortest time between two actions on one endpoint. Default: `10m`.
    pub(in crate::config) cooldown: Option<Text<Period>>,
    /// Whether the replica is replaced; needs `autoscale`, whose platform does it. Default: `false`.
    pub(in crate::config) restart: Option<At<bool>>,
    /// The `http` or `https` address that gets a `POST` with what happened. Default: none.
    pub(in crate::config) webhook: Option<Text<Webhook>>,
    /// Sent to the webhook as `Authorization: Bearer`. Default: none.
    pub(in crate::config) token: Option<Text<Secret>>,
}

/// Where requests wait for a slot. A plain number is its capacity.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Queue {
    /// Requests that may wait, 0 to 1,000,000. Default: 1000 for a pool, 0 for a bulkhead.
    pub(in crate::config) capacity: Option<Text<Count<0, 1_000_000>>>,
    /// How long each may wait. Default: `30s`.
    pub(in crate::config) timeout: Option<Text<Period>>,
}

impl FromText for Queue {
    const EXPECTED: &'static str = "a number of requests, or a mapping with the keys capacity, timeout";

    fn from_text(text: &str, id: NodeId) -> Result<Self, Mistake> {
        Ok(Self { capacity: Some(Text { id, value: Count::read(text)? }), timeout: None })
    }

    fn text_schema() -> Schema {
        Count::<0, 1_000_000>::schema()
    }
}
