//! `pools`.

use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::autoscale::Autoscale;
use super::hosts::{DnsName, ServerName};
use super::names::{Capability, FilePath};
use super::objects::{Label, ObjectName, ServicePort};
use super::protection::{Breaker, Health, Outlier, Queue};
use super::quantities::{Count, Factor, Period, Port, Ratio};
use crate::config::shape::{At, FromText, List, Mistake, OrNone, Text, TextOr, Textual};
use crate::config::tree::NodeId;
use crate::model::{Address, HashKey, HostHeader, Id, Strategy, UpstreamProtocol, Weight};

/// A named group of interchangeable endpoints.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Pool {
    /// How an endpoint is chosen. Default: `least_connections`.
    pub(in crate::config) strategy: Option<Text<Strategy>>,
    /// For the strategy `consistent_hashing`.
    pub(in crate::config) hash: Option<At<Hash>>,
    /// How much each term counts in the score of the strategy `resource_based`.
    pub(in crate::config) resource: Option<At<Resource>>,
    /// The endpoints; a plain text is an address. May be left out with `discovery`, and with `autoscale` of containers or processes.
    #[serde(default)]
    pub(in crate::config) endpoints: List<At<TextOr<Endpoint>>>,
    /// Where further endpoints come from.
    pub(in crate::config) discovery: Option<At<Discovery>>,
    /// How long the weight of a new endpoint grows from 10% to 100%, or `none`. Default: `none`.
    pub(in crate::config) slow_start: Option<OrNone<Text<Period>>>,
    /// Slots of an endpoint that names none of its own: requests in flight to it at once, 1 to 1,000,000. Default: no limit.
    pub(in crate::config) max_connections: Option<Text<Count<1, 1_000_000>>>,
    /// When an endpoint is refused all traffic, or `off`. Default: on, with the defaults of its keys.
    pub(in crate::config) circuit_breaker: Option<OrNone<At<Breaker>>>,
    /// When an endpoint is taken out because it is worse than its peers; `{}` is enough. Default: `off`.
    pub(in crate::config) outlier: Option<OrNone<At<Outlier>>>,
    /// How endpoints are asked whether they are well, or `off`. Default: `off`.
    pub(in crate::config) health: Option<OrNone<At<Health>>>,
    /// Where requests wait for a slot, or `off`; a plain number is its capacity. Default: on when any `max_connections` or `autoscale` is given.
    pub(in crate::config) queue: Option<OrNone<TextOr<Queue>>>,
    /// How the pool is sized, or `off`. Default: `off`; its endpoints are as many as they are.
    pub(in crate::config) autoscale: Option<OrNone<At<Autoscale>>>,
    /// How the endpoints are reached.
    #[serde(default)]
    pub(in crate::config) upstream: Upstream,
}

/// Settings of `consistent_hashing`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Hash {
    /// `header:NAME`, `cookie:NAME`, `query:NAME`, `path` or `client_address`. Default: `client_address`.
    pub(in crate::config) key: Option<Text<HashKey>>,
    /// By which factor an endpoint's requests in flight may exceed the mean, 1 to 100. Default: 1.25.
    pub(in crate::config) bounded_load: Option<Text<Factor>>,
}

/// How much each term counts in the score of `resource_based`; ratios from 0 to 1, not all 0.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Resource {
    /// In flight over `max_connections`, weighed by what the endpoint reports. Default: 0.4.
    pub(in crate::config) connections: Option<Text<Ratio>>,
    /// Mean response time over one second. Default: 0.4.
    pub(in crate::config) response_time: Option<Text<Ratio>>,
    /// Share of failed attempts. Default: 0.2.
    pub(in crate::config) failures: Option<Text<Ratio>>,
}

/// One replica's address, and what it offers. A plain text is its address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Endpoint {
    /// The identity in its pool: what was learned stays with it over reloads. Default: made from the address.
    pub(in crate::config) id: Option<Text<Id>>,
    /// `10.0.0.1:8080`, `[::1]:8080`, `name:8080` or `unix:/path`.
    pub(in crate::config) address: Text<Address>,
    /// Its share of the traffic relative to its peers, 0 to 1000 in steps of 0.01; 0 takes no new requests. Default: 1.
    pub(in crate::config) weight: Option<Text<Weight>>,
    /// Its slots: requests in flight to it at once, 1 to 1,000,000. Default: `max_connections` of the pool.
    pub(in crate::config) max_connections: Option<Text<Count<1, 1_000_000>>>,
    /// What it offers to requests that require it.
    #[serde(default)]
    pub(in crate::config) capabilities: List<Text<Capability>>,
    /// Where it runs.
    pub(in crate::config) zone: Option<Text<Id>>,
}

/// Where further endpoints come from: exactly one of `dns` and `kubernetes`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Discovery {
    /// Every address of a DNS name becomes an endpoint.
    pub(in crate::config) dns: Option<At<Dns>>,
    /// Every ready pod behind a Service of Kubernetes becomes an endpoint.
    pub(in crate::config) kubernetes: Option<At<KubernetesService>>,
}

/// A Service of Kubernetes, whose EndpointSlices are followed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct KubernetesService {
    /// Its name.
    pub(in crate::config) service: Text<ObjectName>,
    /// Its namespace. Default: that of Tidegate's own pod, or of the context of the kubeconfig.
    pub(in crate::config) namespace: Option<Text<Label>>,
    /// The name or number of the port. Default: the first one.
    pub(in crate::config) port: Option<Text<ServicePort>>,
}

/// Every address of a DNS name becomes an endpoint.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Dns {
    /// The name.
    pub(in crate::config) host: Text<DnsName>,
    /// The port of every endpoint, 1 to 65535.
    pub(in crate::config) port: Text<Port>,
    /// The shortest time between two look-ups, whatever the record says. Default: `5s`.
    pub(in crate::config) min_interval: Option<Text<Period>>,
    /// The longest time between two look-ups. Default: `60s`.
    pub(in crate::config) max_interval: Option<Text<Period>>,
}

/// How endpoints are reached.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Upstream {
    /// Which HTTP version they speak. Default: `http1`.
    pub(in crate::config) protocol: Option<Text<UpstreamProtocol>>,
    /// TLS: `none`, or a mapping, which may be empty. Default: `none`.
    pub(in crate::config) tls: Option<OrNone<At<UpstreamTls>>>,
    /// From the pick to an open connection, TLS included. Default: `3s`.
    pub(in crate::config) connect_timeout: Option<Text<Period>>,
    /// How long an unused connection is kept. Default: `90s`.
    pub(in crate::config) idle_timeout: Option<Text<Period>>,
    /// Unused connections kept for each worker and endpoint, 0 to 65,536. Default: 1024.
    pub(in crate::config) max_idle: Option<Text<Count<0, 65_536>>>,
    /// What is sent as `Host`: `client` (what the client sent), `endpoint` (its address) or a host. Default: `client`.
    pub(in crate::config) host: Option<Text<HostHeader>>,
}

/// TLS as a client. Files are relative to the folder of the config and are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct UpstreamTls {
    /// Certificate authorities (PEM). Default: those of the system.
    pub(in crate::config) ca: Option<Text<FilePath>>,
    /// The client certificate chain (PEM); goes with `key`.
    pub(in crate::config) certificate: Option<Text<FilePath>>,
    /// The private key of the client certificate (PEM).
    pub(in crate::config) key: Option<Text<FilePath>>,
    /// The name to ask for and to check. Default: the host of the endpoint.
    pub(in crate::config) server_name: Option<Text<ServerName>>,
}

impl FromText for Endpoint {
    const EXPECTED: &'static str = "an address, or a mapping with the key address";

    fn from_text(text: &str, id: NodeId) -> Result<Self, Mistake> {
        Ok(Self {
            id: None,
            address: Text { id, value: Address::read(text)? },
            weight: None,
            max_connections: None,
            capabilities: List::default(),
            zone: None,
        })
    }

    fn text_schema() -> Schema {
        Address::schema()
    }
}
