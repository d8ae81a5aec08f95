//! Pools.

use std::path::Path;
use std::time::Duration;

use super::autoscale;
use super::protection::protection;
use crate::config::raw;
use crate::config::shape::OrNone;
use crate::model::{
    Address, Autoscale, Discovery, Dns, EndpointSpec, Hash, Id, KubernetesService, Pool, ResourceTerms, Strategy, Target, Upstream,
    UpstreamTls,
};

/// Shorter would ask the resolver for every request burst.
const MIN_DNS_INTERVAL: Duration = Duration::from_secs(5);

/// A record without a useful time to live is looked up once a minute.
const MAX_DNS_INTERVAL: Duration = Duration::from_secs(60);

pub(super) fn pool(name: Id, raw: &raw::Pool, base: &Path) -> Pool {
    let max_connections = raw.max_connections.as_ref().map(|count| count.value.0);
    let given = raw.autoscale.as_ref().and_then(OrNone::as_option);
    let autoscale = given.and_then(|given| autoscale::autoscale(&given.value, max_connections, base));
    Pool {
        name,
        strategy: raw.strategy.as_ref().map_or(Strategy::LeastConnections, |strategy| strategy.value),
        hash: hash(raw),
        resource: resource(raw),
        endpoints: raw.endpoints.0.iter().filter_map(|endpoint| self::endpoint(&endpoint.value.0)).collect(),
        discovery: discovery(raw, autoscale.as_ref()),
        autoscale,
        slow_start: raw.slow_start.as_ref().and_then(OrNone::as_option).map(|period| period.value.0),
        max_connections,
        protection: protection(raw),
        upstream: upstream(raw, base),
    }
}

/// Returns the identity of an endpoint: its `id`, or one made from its address; `None` when the address is too long for one.
pub(in crate::config) fn endpoint_id(raw: &raw::Endpoint) -> Option<Id> {
    if let Some(id) = &raw.id {
        return Some(id.value.clone());
    }
    match &raw.address.value {
        Address::Ip(address) if address.is_ipv6() => format!("ip-{}:{}", address.ip(), address.port()).parse().ok(),
        Address::Ip(address) => address.to_string().parse().ok(),
        Address::Name { host, port } => {
            // A name may begin with `_`, an id may not.
            let text = format!("{host}:{port}");
            text.parse().or_else(|_| format!("name-{text}").parse()).ok()
        }
        Address::Unix(path) => {
            let path = path.to_string_lossy();
            let clean: String = path
                .trim_start_matches('/')
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':') { c } else { '-' })
                .collect();
            format!("unix:{clean}").parse().ok()
        }
    }
}

fn endpoint(raw: &raw::Endpoint) -> Option<EndpointSpec> {
    Some(EndpointSpec {
        id: endpoint_id(raw)?,
        address: raw.address.value.clone(),
        weight: raw.weight.as_ref().map(|weight| weight.value).unwrap_or_default(),
        max_connections: raw.max_connections.as_ref().map(|count| count.value.0),
        capabilities: raw.capabilities.0.iter().map(|word| word.value.0.clone()).collect(),
        zone: raw.zone.as_ref().map(|zone| zone.value.to_string()),
    })
}

fn hash(raw: &raw::Pool) -> Hash {
    let default = Hash::default();
    let Some(raw) = raw.hash.as_ref().map(|hash| &hash.value) else { return default };
    Hash {
        key: raw.key.as_ref().map_or(default.key, |key| key.value.clone()),
        bounded_load: raw.bounded_load.as_ref().map_or(default.bounded_load, |factor| factor.value.0),
    }
}

fn resource(raw: &raw::Pool) -> ResourceTerms {
    let default = ResourceTerms::default();
    let Some(raw) = raw.resource.as_ref().map(|resource| &resource.value) else { return default };
    ResourceTerms {
        connections: raw.connections.as_ref().map_or(default.connections, |ratio| ratio.value.0),
        response_time: raw.response_time.as_ref().map_or(default.response_time, |ratio| ratio.value.0),
        failures: raw.failures.as_ref().map_or(default.failures, |ratio| ratio.value.0),
    }
}

/// Returns where further endpoints come from: the replicas themselves, where they run on this machine or engine.
fn discovery(raw: &raw::Pool, autoscale: Option<&Autoscale>) -> Option<Discovery> {
    if let Some(Target::Docker(_) | Target::Process(_)) = autoscale.map(|autoscale| &autoscale.target) {
        return Some(Discovery::Replicas);
    }
    let raw = &raw.discovery.as_ref()?.value;
    if let Some(service) = &raw.kubernetes {
        return Some(Discovery::Kubernetes(kubernetes(&service.value)));
    }
    raw.dns.as_ref().map(|dns| Discovery::Dns(self::dns(&dns.value)))
}

fn kubernetes(raw: &raw::KubernetesService) -> KubernetesService {
    KubernetesService {
        service: raw.service.value.0.clone(),
        namespace: raw.namespace.as_ref().map(|namespace| namespace.value.0.clone()),
        port: raw.port.as_ref().map(|port| port.value.0.clone()),
    }
}

fn dns(raw: &raw::Dns) -> Dns {
    let min = raw.min_interval.as_ref().map(|period| period.value.0);
    let max = raw.max_interval.as_ref().map(|period| period.value.0);
    Dns {
        host: raw.host.value.0.clone(),
        port: raw.port.value.0,
        // A bound that is given moves the default of the other one out of its way.
        min_interval: min.unwrap_or_else(|| max.map_or(MIN_DNS_INTERVAL, |max| max.min(MIN_DNS_INTERVAL))),
        max_interval: max.unwrap_or_else(|| min.map_or(MAX_DNS_INTERVAL, |min| min.max(MAX_DNS_INTERVAL))),
    }
}

fn upstream(raw: &raw::Pool, base: &Path) -> Upstream {
    let default = Upstream::default();
    let raw = &raw.upstream;
    Upstream {
        protocol: raw.protocol.as_ref().map_or(default.protocol, |protocol| protocol.value),
        tls: raw.tls.as_ref().and_then(OrNone::as_option).map(|tls| upstream_tls(&tls.value, base)),
        connect_timeout: raw.connect_timeout.as_ref().map_or(default.connect_timeout, |period| period.value.0),
        idle_timeout: raw.idle_timeout.as_ref().map_or(default.idle_timeout, |period| period.value.0),
        max_idle: raw.max_idle.as_ref().map_or(default.max_idle, |count| count.value.0),
        host: raw.host.as_ref().map_or(default.host, |host| host.value.clone()),
    }
}

fn upstream_tls(raw: &raw::UpstreamTls, base: &Path) -> UpstreamTls {
    UpstreamTls {
        ca: raw.ca.as_ref().map(|path| base.join(&path.value.0)),
        certificate: raw.certificate.as_ref().map(|path| base.join(&path.value.0)),
        key: raw.key.as_ref().map(|path| base.join(&path.value.0)),
        server_name: raw.server_name.as_ref().map(|name| name.value.0.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::shape::FromText;

    #[test]
    fn an_endpoint_without_id_is_known_by_its_address() {
        for (address, id) in [
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[::1]:80", "ip-::1:80"),
            ("agents.local:80", "agents.local:80"),
            ("_x.local:80", "name-_x.local:80"),
            ("unix:/run/a b.sock", "unix:run-a-b.sock"),
        ] {
            let endpoint = raw::Endpoint::from_text(address, 0).unwrap();
            assert_eq!(endpoint_id(&endpoint).unwrap().as_str(), id);
        }
    }
}
