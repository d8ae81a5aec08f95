//! Names of what platforms know: objects of Kubernetes, images, networks, environments, metrics.

use schemars::{Schema, json_schema};

use super::probe::absolute;
use super::quantities::Port;
use crate::config::shape::{Mistake, Textual};
use crate::model::{Address, Secret};

/// The name of an object of Kubernetes: a DNS subdomain.
#[derive(Debug, Clone)]
pub(in crate::config) struct ObjectName(pub(in crate::config) String);

/// A namespace of Kubernetes, or the plural of a kind: a DNS label.
#[derive(Debug, Clone)]
pub(in crate::config) struct Label(pub(in crate::config) String);

/// A kind of objects.
#[derive(Debug, Clone)]
pub(in crate::config) struct Kind(pub(in crate::config) String);

/// Group and version of an API; the group is empty for the core one.
#[derive(Debug, Clone)]
pub(in crate::config) struct ApiVersion {
    pub(in crate::config) group: String,
    pub(in crate::config) version: String,
}

/// The name or number of a port of a Service.
#[derive(Debug, Clone)]
pub(in crate::config) struct ServicePort(pub(in crate::config) String);

/// The name of an image, with a tag or digest if wanted.
#[derive(Debug, Clone)]
pub(in crate::config) struct Image(pub(in crate::config) String);

/// The name of a network of a container engine.
#[derive(Debug, Clone)]
pub(in crate::config) struct NetworkName(pub(in crate::config) String);

/// Where a container engine is reached.
#[derive(Debug, Clone)]
pub(in crate::config) struct EngineHost(pub(in crate::config) String);

/// A part of a command.
#[derive(Debug, Clone)]
pub(in crate::config) struct Argument(pub(in crate::config) String);

/// The name of a variable of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::config) struct EnvName(pub(in crate::config) String);

/// The value of a variable of an environment, which may be a secret.
#[derive(Debug, Clone)]
pub(in crate::config) struct EnvValue(pub(in crate::config) Secret);

/// The name of a metric of Prometheus.
#[derive(Debug, Clone)]
pub(in crate::config) struct MetricName(pub(in crate::config) String);

/// A query that is not empty.
#[derive(Debug, Clone)]
pub(in crate::config) struct Query(pub(in crate::config) String);

/// A server of Prometheus.
#[derive(Debug, Clone)]
pub(in crate::config) struct ServerUrl(pub(in crate::config) String);

/// A currency, or what else a replica is paid with.
#[derive(Debug, Clone)]
pub(in crate::config) struct Currency(pub(in crate::config) String);

/// Where the admin servers of all gateways are found.
#[derive(Debug, Clone)]
pub(in crate::config) struct PeersAddress {
    pub(in crate::config) host: String,
    pub(in crate::config) port: u16,
}

/// The name of one gateway among its peers.
#[derive(Debug, Clone)]
pub(in crate::config) struct Identity(pub(in crate::config) String);

impl Textual for ApiVersion {
    const EXPECTED: &'static str = "group and version such as `apps/v1`, or `v1`";

    fn read(text: &str) -> Result<Self, Mistake> {
        let (group, version) = text.split_once('/').map_or(("", text), |(group, version)| (group, version));
        let is_good = is_label(version) && (is_subdomain(group) || !text.contains('/'));
        if is_good {
            return Ok(Self { group: group.to_owned(), version: version.to_owned() });
        }
        Err(format!("expected {}, found {text:?}", Self::EXPECTED).into())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^([a-z0-9.-]+/)?[a-z0-9-]+$" })
    }
}

impl Textual for PeersAddress {
    const EXPECTED: &'static str = "host and port of the admin servers, such as `tidegate-peers:9900`";

    fn read(text: &str) -> Result<Self, Mistake> {
        match text.parse() {
            Ok(Address::Name { host, port }) => Ok(Self { host, port }),
            Ok(Address::Ip(address)) => Ok(Self { host: address.ip().to_string(), port: address.port() }),
            Ok(Address::Unix(_)) | Err(_) => Err(format!("expected {}, found {text:?}", Self::EXPECTED).into()),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "examples": ["tidegate-peers.agents.svc:9900"] })
    }
}

impl Textual for EnvValue {
    const EXPECTED: &'static str = "a text";

    // No message here repeats the text.
    fn read(text: &str) -> Result<Self, Mistake> {
        if text.contains('\0') {
            return Err("the value of a variable has no zero byte".to_owned().into());
        }
        Ok(Self(Secret::new(text.to_owned())))
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl Textual for EngineHost {
    const EXPECTED: &'static str = "`unix:///path`, `http://host:port` or `tcp://host:port`";

    fn read(text: &str) -> Result<Self, Mistake> {
        let is_socket = text.strip_prefix("unix://").is_some_and(|path| path.starts_with('/') && !path.contains('\0'));
        // `tcp` is how `DOCKER_HOST` calls it.
        let url = text.strip_prefix("tcp://").map_or_else(|| text.to_owned(), |rest| format!("http://{rest}"));
        let is_url = url.starts_with("http://") && absolute(&url).is_some_and(|authority| authority.port().is_some());
        match (is_socket, is_url) {
            (true, _) => Ok(Self(text.to_owned())),
            (_, true) => Ok(Self(url)),
            _ => Err(format!("expected {}, found {text:?}", Self::EXPECTED).into()),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^(unix:///|http://|tcp://)" })
    }
}

/// Makes a text readable that is good or not: what is expected, when it is good, its pattern.
macro_rules! plain {
    ($($type:ty, $expected:literal, $is_good:expr, $schema:tt;)*) => {
        $(impl Textual for $type {
            const EXPECTED: &'static str = $expected;

            fn read(text: &str) -> Result<Self, Mistake> {
                let is_good: fn(&str) -> bool = $is_good;
                if is_good(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(format!("expected {}, found {text:?}", Self::EXPECTED).into())
            }

            fn schema() -> Schema {
                json_schema!($schema)
            }
        })*
    };
}

plain! {
    ObjectName, "the name of an object: lower case letters, digits, `-` and `.`", is_subdomain,
        { "type": "string", "pattern": "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", "maxLength": 253 };
    Label, "1 to 63 lower case letters, digits and `-`", is_label,
        { "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 63 };
    Kind, "a kind such as `Deployment`", is_kind,
        { "type": "string", "pattern": "^[A-Z][A-Za-z0-9]{0,62}$" };
    ServicePort, "the name or number of a port", is_service_port,
        { "type": ["string", "integer"] };
    Image, "an image such as `coder:1.4`", is_image,
        { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._/:@-]*$" };
    NetworkName, "the name of a network: letters, digits, `_`, `.` and `-`", is_network,
        { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$" };
    Argument, "a text without zero byte", |text| !text.contains('\0'),
        { "type": ["string", "number", "boolean"] };
    EnvName, "the name of a variable", |text| !text.is_empty() && !text.contains(['=', '\0']),
        { "type": "string", "pattern": "^[^=]+$" };
    MetricName, "the name of a metric: letters, digits, `_` and `:`", is_metric,
        { "type": "string", "pattern": "^[A-Za-z_:][A-Za-z0-9_:]*$" };
    Query, "a query", |text| !text.trim().is_empty(),
        { "type": "string", "minLength": 1 };
    ServerUrl, "the `http` or `https` address of a server, such as `http://prometheus:9090`", is_server,
        { "type": "string", "format": "uri", "pattern": "^https?://" };
    Currency, "1 to 16 letters such as `USD`", |text| (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphabetic()),
        { "type": "string", "pattern": "^[A-Za-z]{1,16}$" };
    Identity, "1 to 253 visible ASCII characters without spaces", |text| (1..=253).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()),
        { "type": "string", "minLength": 1, "maxLength": 253 };
}

/// RFC 1123 section 2.1, as Kubernetes takes it: lower case only.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_kind(text: &str) -> bool {
    text.len() <= 63 && text.starts_with(|c: char| c.is_ascii_uppercase()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// RFC 6335 section 5.1: at most 15 letters, digits and hyphens, one letter among them.
fn is_service_port(text: &str) -> bool {
    Port::read(text).is_ok() || (is_label(text) && text.len() <= 15 && text.bytes().any(|b| b.is_ascii_lowercase()))
}

fn is_image(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b':' | b'@' | b'-'))
}

fn is_network(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_metric(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
}

fn is_server(text: &str) -> bool {
    absolute(text).is_some_and(|authority| !authority.as_str().contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good<T: Textual>(texts: &[&str]) {
        texts.iter().for_each(|text| assert!(T::read(text).is_ok(), "{text:?} was refused"));
    }

    fn bad<T: Textual>(texts: &[&str]) {
        texts.iter().for_each(|text| assert!(T::read(text).is_err(), "{text:?} was taken"));
    }

    #[test]
    fn objects_of_kubernetes_have_dns_names() {
        good::<ObjectName>(&["coders", "coders-2.x", "0"]);
        bad::<ObjectName>(&["", "Coders", "a_b", "-a", "a-", "a..b", "a b"]);
        good::<Label>(&["agents", "a-1"]);
        bad::<Label>(&["", "a.b", "A"]);
        good::<Kind>(&["Deployment", "RayService"]);
        bad::<Kind>(&["", "deployment", "Ray Service"]);
        good::<ServicePort>(&["http", "8080", "grpc-1"]);
        bad::<ServicePort>(&["", "0", "65536", "HTTP", "a-name-that-is-too-long", "-"]);
        good::<ApiVersion>(&["v1", "apps/v1", "serving.kserve.io/v1beta1"]);
        bad::<ApiVersion>(&["", "/v1", "apps/", "a/b/c", "Apps/v1"]);
    }

    #[test]
    fn engines_are_sockets_or_addresses_with_a_port() {
        good::<EngineHost>(&["unix:///var/run/docker.sock", "http://10.0.0.1:2375", "http://[::1]:2375"]);
        bad::<EngineHost>(&["", "unix://run/docker.sock", "/var/run/docker.sock", "http://10.0.0.1", "ssh://a:22", "tcp://"]);
        assert_eq!(EngineHost::read("tcp://a:2375").map(|host| host.0).unwrap(), "http://a:2375");
        good::<Image>(&["coder:1.4", "registry:5000/a/b@sha256:0123", "a"]);
        bad::<Image>(&["", "a b", ":1", "-a", "$X"]);
        good::<NetworkName>(&["agents", "a_b.c-d"]);
        bad::<NetworkName>(&["", "a b", "-a", "a/b"]);
    }

    #[test]
    fn environments_have_names_and_their_values_are_not_repeated() {
        good::<EnvName>(&["PATH", "a.b"]);
        bad::<EnvName>(&["", "A=B", "a\0"]);
        good::<EnvValue>(&["", "a b\n", "é"]);
        assert!(!EnvValue::read("hunter\0two").unwrap_err().message.contains("hunter"));
        bad::<Argument>(&["a\0b"]);
    }

    #[test]
    fn metrics_and_servers_are_those_of_prometheus() {
        good::<MetricName>(&["vllm:num_requests_waiting", "_a1"]);
        bad::<MetricName>(&["", "1a", "a-b", "a b", "up{a=\"b\"}"]);
        good::<ServerUrl>(&["http://prometheus:9090", "https://a/prom"]);
        bad::<ServerUrl>(&["", "prometheus:9090", "ftp://a", "http://u:p@a", "http://a:x"]);
        bad::<Query>(&["", "  "]);
    }

    #[test]
    fn peers_have_a_host_and_a_port() {
        let read = |text| PeersAddress::read(text).map(|peers| (peers.host, peers.port));
        assert_eq!(read("Tidegate-peers.agents.svc:9900"), Ok(("tidegate-peers.agents.svc".to_owned(), 9900)));
        assert_eq!(read("[::1]:99"), Ok(("::1".to_owned(), 99)));
        for text in ["", "a", "unix:/a", "a:0", "a:99999"] {
            assert!(read(text).is_err(), "{text}");
        }
        bad::<Identity>(&["", "a b", "é"]);
        bad::<Currency>(&["", "$", "US Dollar"]);
    }
}
