//! `pools`: endpoints, weights, and settings that do not fit the strategy.

use std::collections::HashMap;
use std::path::Path;

use super::autoscale::autoscale;
use super::protection::protection;
use super::{Report, files};
use crate::config::compile::endpoint_id;
use crate::config::raw::{Discovery, Endpoint, Pool, Upstream, UpstreamTls};
use crate::config::shape::{At, OrNone, Text, TextOr};
use crate::config::tree::NodeId;
use crate::model::{Address, Id, Strategy, UpstreamProtocol};

/// Checks one pool.
pub(super) fn pool(name: &Text<Id>, pool: &Pool, base: &Path, report: &mut Report<'_>) {
    // The value of an entry is numbered right behind its key.
    let id = name.id + 1;
    if !report.has_items(id, "endpoints") && !report.has_key(id, "discovery") && !brings_endpoints(pool, id, report) {
        report.error(name.id, format!("the pool \"{}\" has neither `endpoints` nor `discovery`", name.value));
    }
    let endpoints = &pool.endpoints.0;
    let all_idle = endpoints.iter().all(|item| item.value.0.weight.as_ref().is_some_and(|weight| weight.value.is_zero()));
    if !endpoints.is_empty() && all_idle && report.is_whole(id, "endpoints", endpoints.len()) && pool.discovery.is_none() {
        report.error(name.id, format!("every endpoint of the pool \"{}\" has weight 0", name.value));
    }
    self::endpoints(endpoints, report);
    strategy(pool, report);
    if let Some(discovery) = &pool.discovery {
        self::discovery(discovery, report);
    }
    protection(pool, id, report);
    autoscale(pool, id, report);
    upstream(pool, base, report);
}

/// Tells whether the replicas of the pool become its endpoints, as far as that could be read.
fn brings_endpoints(pool: &Pool, id: NodeId, report: &Report<'_>) -> bool {
    match &pool.autoscale {
        Some(autoscale) => autoscale.as_option().is_some_and(|autoscale| {
            let target = autoscale.value.target.id;
            // One that names nothing has a mistake of its own.
            !report.has_key(target, "kubernetes") || report.has_key(target, "docker") || report.has_key(target, "process")
        }),
        // It may have said so before the mistake in it, which has been told.
        None => report.has_key(id, "autoscale"),
    }
}

fn endpoints(endpoints: &[At<TextOr<Endpoint>>], report: &mut Report<'_>) {
    let mut ids: HashMap<Id, NodeId> = HashMap::new();
    let mut addresses: HashMap<&Address, NodeId> = HashMap::new();
    for item in endpoints {
        let endpoint = &item.value.0;
        let address = &endpoint.address;
        let Some(id) = endpoint_id(endpoint) else {
            report.error(address.id, "the address is too long to serve as `id`: give one");
            continue;
        };
        match ids.get(&id) {
            Some(first) => {
                let at = endpoint.id.as_ref().map_or(address.id, |id| id.id);
                let suggestion = endpoint.id.is_none().then(|| "give each an `id` of its own".to_owned());
                let line = report.line(*first);
                report.error_with(at, format!("an endpoint \"{id}\" is there already, in {line}"), suggestion);
                continue;
            }
            None => ids.insert(id, item.id),
        };
        if let Some(first) = addresses.insert(&address.value, address.id) {
            let line = report.line(first);
            report.warn(address.id, format!("the address {} is there already, in {line}", address.value));
        }
    }
}

fn strategy(pool: &Pool, report: &mut Report<'_>) {
    let strategy = pool.strategy.as_ref().map_or(Strategy::LeastConnections, |strategy| strategy.value);
    // When the strategy could not be read, nobody knows what fits it; the file is refused anyway.
    if let Some(hash) = pool.hash.as_ref().filter(|_| strategy != Strategy::ConsistentHashing) {
        report.warn(hash.id, "has no effect: the strategy is not `consistent_hashing`");
    }
    let Some(resource) = &pool.resource else { return };
    if strategy != Strategy::ResourceBased {
        report.warn(resource.id, "has no effect: the strategy is not `resource_based`");
    }
    let terms = [&resource.value.connections, &resource.value.response_time, &resource.value.failures];
    if terms.iter().all(|term| term.as_ref().is_some_and(|ratio| ratio.value.0 == 0.0)) {
        report.error(resource.id, "every term is 0: the score would not tell endpoints apart");
    }
}

fn discovery(discovery: &At<Discovery>, report: &mut Report<'_>) {
    match (report.has_key(discovery.id, "dns"), report.has_key(discovery.id, "kubernetes")) {
        (true, true) => report.error(discovery.id, "only one of `dns`, `kubernetes` can be given"),
        (false, false) => report.error(discovery.id, "one of `dns`, `kubernetes` is needed"),
        _ => {}
    }
    let Some(dns) = discovery.value.dns.as_ref().map(|dns| &dns.value) else { return };
    if let (Some(min), Some(max)) = (&dns.min_interval, &dns.max_interval)
        && min.value.0 > max.value.0
    {
        report.error(min.id, "`min_interval` is longer than `max_interval`");
    }
}

fn upstream(pool: &Pool, base: &Path, report: &mut Report<'_>) {
    let Upstream { protocol, tls, .. } = &pool.upstream;
    let Some(tls) = tls.as_ref().and_then(OrNone::as_option) else {
        if let Some(auto) = protocol.as_ref().filter(|protocol| protocol.value == UpstreamProtocol::Auto) {
            report.warn(auto.id, "without `tls` there is nothing to negotiate: HTTP/1.1 is spoken");
        }
        return;
    };
    let UpstreamTls { ca, certificate, key, server_name } = &tls.value;
    if certificate.is_some() && !report.has_key(tls.id, "key") {
        report.error(tls.id, "`certificate` needs its `key`");
    }
    if key.is_some() && !report.has_key(tls.id, "certificate") {
        report.error(tls.id, "`key` needs its `certificate`");
    }
    for path in [ca, certificate, key].into_iter().flatten() {
        files::readable(path, base, report);
    }
    let unix = pool.endpoints.0.iter().map(|item| &item.value.0.address).find(|address| matches!(address.value, Address::Unix(_)));
    if let Some(unix) = unix.filter(|_| server_name.is_none()) {
        report.error(unix.id, "a Unix socket has no host to check a certificate for: `upstream.tls.server_name` is needed");
    }
}
