//! What a pool is: a named group of interchangeable endpoints, and how they are reached.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use serde::Serialize;

use super::duration::written;
use super::{Address, Autoscale, Id, Protection, Weight};

/// A named group of interchangeable endpoints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pool {
    /// The name, unique among pools.
    pub name: Id,
    /// How an endpoint is chosen.
    pub strategy: Strategy,
    /// For `consistent_hashing`.
    pub hash: Hash,
    /// For `resource_based`.
    pub resource: ResourceTerms,
    /// The endpoints of the file.
    pub endpoints: Vec<EndpointSpec>,
    /// Where further endpoints come from.
    pub discovery: Option<Discovery>,
    /// How long a new endpoint's weight grows from 10% to 100%.
    #[serde(serialize_with = "written")]
    pub slow_start: Option<Duration>,
    /// Slots of an endpoint that names none of its own, such as a discovered one; `None` is no limit.
    pub max_connections: Option<u32>,
    /// How it is sized; `None`: its endpoints are as many as they are.
    pub autoscale: Option<Autoscale>,
    /// What is done about endpoints that fail, and when all are busy.
    #[serde(flatten)]
    pub protection: Protection,
    /// How the endpoints are reached.
    pub upstream: Upstream,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Strict rotation.
    RoundRobin,
    /// Least in flight divided by weight.
    LeastConnections,
    /// Smooth rotation in exact proportion to the weights.
    WeightedRoundRobin,
    /// Least peak EWMA of time to first byte, times load.
    LeastResponseTime,
    /// Least of a score over load, response time and failures.
    ResourceBased,
    /// The owner of a key, with bounded load.
    ConsistentHashing,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 6] = [
        Self::RoundRobin,
        Self::LeastConnections,
        Self::WeightedRoundRobin,
        Self::LeastResponseTime,
        Self::ResourceBased,
        Self::ConsistentHashing,
    ];
}

/// Settings of `consistent_hashing`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hash {
    /// Where the key comes from.
    pub key: HashKey,
    /// An endpoint's in-flight requests may exceed the mean by this factor; at least 1.
    pub bounded_load: f64,
}

impl Default for Hash {
    fn default() -> Self {
        Self { key: HashKey::ClientAddress, bounded_load: 1.25 }
    }
}

/// Where the key of `consistent_hashing` comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// A header field: `header:NAME`.
    Header(HeaderName),
    /// A cookie: `cookie:NAME`.
    Cookie(String),
    /// A query parameter: `query:NAME`.
    Query(String),
    /// The normalised path: `path`.
    Path,
    /// The client's address, without port: `client_address`.
    ClientAddress,
}

impl Serialize for HashKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Header(name) => serializer.collect_str(&format_args!("header:{name}")),
            Self::Cookie(name) => serializer.collect_str(&format_args!("cookie:{name}")),
            Self::Query(name) => serializer.collect_str(&format_args!("query:{name}")),
            Self::Path => serializer.serialize_str("path"),
            Self::ClientAddress => serializer.serialize_str("client_address"),
        }
    }
}

/// How much each term counts in the score of `resource_based`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResourceTerms {
    /// In flight over `max_connections`, weighed by what the endpoint reports.
    pub connections: f64,
    /// Mean response time over one second, at most 1.
    pub response_time: f64,
    /// Share of failed attempts.
    pub failures: f64,
}

impl Default for ResourceTerms {
    fn default() -> Self {
        Self { connections: 0.4, response_time: 0.4, failures: 0.2 }
    }
}

/// One replica's address, and what it offers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointSpec {
    /// The identity in its pool: what was learned stays with it over reloads.
    pub id: Id,
    /// Where it is reached.
    pub address: Address,
    /// Its share of the traffic.
    pub weight: Weight,
    /// Its slots: requests that may be in flight to it at once; `None` is no limit.
    pub max_connections: Option<u32>,
    /// What it offers.
    pub capabilities: BTreeSet<String>,
    /// Where it runs.
    pub zone: Option<String>,
}

/// Where further endpoints come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Discovery {
    /// Every address of a DNS name becomes an endpoint.
    Dns(Dns),
    /// Every ready pod behind a Service of Kubernetes becomes an endpoint.
    Kubernetes(KubernetesService),
    /// The replicas that the autoscaler has started on this machine or engine become endpoints.
    Replicas,
}

/// A Service of Kubernetes, whose EndpointSlices are followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KubernetesService {
    /// Its name.
    pub service: String,
    /// Its namespace; Tidegate's own, or the kubeconfig's, when `None`.
    pub namespace: Option<String>,
    /// The name or number of the port; the first one when `None`.
    pub port: Option<String>,
}

/// Every address of a DNS name becomes an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dns {
    /// The name.
    pub host: String,
    /// The port of every endpoint.
    pub port: u16,
    /// The shortest time between two look-ups, whatever the record's time to live.
    #[serde(serialize_with = "written")]
    pub min_interval: Duration,
    /// The longest time between two look-ups.
    #[serde(serialize_with = "written")]
    pub max_interval: Duration,
}

/// How endpoints are reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Upstream {
    /// Which HTTP version they speak.
    pub protocol: UpstreamProtocol,
    /// TLS, when it is spoken.
    pub tls: Option<UpstreamTls>,
    /// From the pick to an open connection, TLS included.
    #[serde(serialize_with = "written")]
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    #[serde(serialize_with = "written")]
    pub idle_timeout: Duration,
    /// Unused connections kept for each worker and endpoint.
    pub max_idle: u32,
    /// What is sent as `Host`.
    pub host: HostHeader,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            protocol: UpstreamProtocol::Http1,
            tls: None,
            connect_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(90),
            max_idle: 1024,
            host: HostHeader::Client,
        }
    }
}

/// Which HTTP version endpoints speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS by prior knowledge.
    Http2,
    /// What ALPN chooses; HTTP/1.1 without TLS.
    Auto,
}

/// TLS as a client.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct UpstreamTls {
    /// Certificate authorities (PEM); the system's when `None`.
    pub ca: Option<PathBuf>,
    /// The client certificate chain (PEM).
    pub certificate: Option<PathBuf>,
    /// The client certificate's key (PEM).
    pub key: Option<PathBuf>,
    /// The name to ask for and check; the endpoint's host when `None`.
    pub server_name: Option<String>,
}

/// What is sent as `Host`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostHeader {
    /// What the client sent.
    Client,
    /// The endpoint's address as written in the file.
    Endpoint,
    /// This.
    Fixed(String),
}
