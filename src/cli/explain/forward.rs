//! Where a request that is forwarded may go: the pools of its route, and which of their endpoints may be picked.
//!
//! Only what the file tells: which endpoints are available now, the running Tidegate knows (`status`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::HeaderMap;

use super::policies;
use super::report::{Candidate, Forward, Share};
use super::sent::{self, Sent, Way};
use crate::model::{Discovery, EndpointSpec, Forwarding, Id, Pool, RouteTimeouts, Split};
use crate::route::Rewriter;

/// What the endpoints of a route depend on.
pub(super) struct Situation<'a> {
    pub(super) rewriter: &'a Rewriter,
    /// The capabilities that the route and the request ask for.
    pub(super) require: BTreeSet<String>,
    pub(super) method: &'a str,
    /// The target after the rewrite.
    pub(super) target: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// What the route says about each attempt.
    pub(super) timeouts: &'a RouteTimeouts,
    pub(super) is_tls: bool,
    pub(super) forwarding: &'a Forwarding,
}

/// Describes the pools that `splits` name.
pub(super) fn forward(splits: &[Split], pools: &BTreeMap<Id, Arc<Pool>>, situation: &Situation<'_>) -> Forward {
    let total: u64 = splits.iter().map(|split| u64::from(split.weight)).sum();
    // A pool that a route names exists, by the invariant of the snapshot.
    let named = splits.iter().filter_map(|split| Some((pools.get(&split.pool)?, split.weight)));
    let shares = named.map(|(pool, weight)| share(pool, f64::from(weight) / total.max(1) as f64, situation));
    let pools = shares.collect();
    Forward { require: situation.require.iter().cloned().collect(), pools }
}

fn share(pool: &Pool, share: f64, situation: &Situation<'_>) -> Share {
    let Situation { rewriter, require, method, target, headers, timeouts, is_tls, forwarding } = situation;
    let way = Way { is_tls: *is_tls, forwarding, rewriter, pool };
    Share {
        pool: pool.name.to_string(),
        share,
        strategy: policies::word(&pool.strategy),
        discovery: pool.discovery.as_ref().map(discovery),
        endpoints: pool.endpoints.iter().map(|endpoint| candidate(endpoint, require)).collect(),
        policies: policies::of_pool(pool, timeouts),
        sent: Sent {
            method: (*method).to_owned(),
            target: (*target).to_owned(),
            version: sent::version(pool),
            headers: sent::headers(headers, &way),
        },
    }
}

fn discovery(discovery: &Discovery) -> String {
    match discovery {
        Discovery::Dns(dns) => format!("DNS, {}:{}", dns.host, dns.port),
        Discovery::Kubernetes(found) => match &found.namespace {
            Some(namespace) => format!("Kubernetes, service {} in {namespace}", found.service),
            None => format!("Kubernetes, service {}", found.service),
        },
        Discovery::Replicas => "replicas of the autoscaler".to_owned(),
    }
}

fn candidate(endpoint: &EndpointSpec, require: &BTreeSet<String>) -> Candidate {
    let missing: Vec<_> = require.difference(&endpoint.capabilities).map(String::as_str).collect();
    let reason = match missing.as_slice() {
        [] if endpoint.weight.is_zero() => Some("its weight is 0".to_owned()),
        [] => None,
        missing => Some(format!("lacks {}", missing.join(", "))),
    };
    Candidate {
        id: endpoint.id.to_string(),
        address: endpoint.address.to_string(),
        weight: endpoint.weight.as_f64(),
        zone: endpoint.zone.clone(),
        capabilities: endpoint.capabilities.iter().cloned().collect(),
        eligible: reason.is_none(),
        reason,
    }
}
