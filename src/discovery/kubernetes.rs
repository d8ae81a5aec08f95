//! The pods behind a Service of Kubernetes, as its EndpointSlices show them.
//!
//! While there is no API server, the last endpoints stay. Which pods are ready is the cluster's word; whether they serve is found out by health
//! checks and traffic, as for every endpoint.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use tracing::info;

use super::merge::Found;
use super::watch::Sender;
use crate::model::{Address, Id, KubernetesService};
use crate::platform::kubernetes::{Cluster, Mirror};

/// Which slices belong to a service (Kubernetes docs, "EndpointSlices", ownership).
const LABEL: &str = "kubernetes.io/service-name";

/// Follows the slices of `service` until it is dropped.
pub(super) async fn follow(service: KubernetesService, cluster: Arc<Cluster>, sender: Sender) {
    let labels = format!("{LABEL}={}", service.service);
    let mut slices: Mirror<EndpointSlice> = Mirror::new(cluster, service.namespace.clone(), labels);
    loop {
        slices.changed().await;
        let found = found(slices.objects(), service.port.as_deref());
        sender.send_if_modified(|current| {
            let is_news = current.as_ref() != Some(&found);
            if is_news {
                info!(service = service.service, endpoints = found.len(), "Endpoints of a service have changed.");
                *current = Some(found);
            }
            is_news
        });
    }
}

/// Joins slices, which come in any order and with their endpoints in any order; sorted by name, each once.
fn found<'a>(slices: impl Iterator<Item = &'a EndpointSlice>, port: Option<&str>) -> Vec<Found> {
    let mut all: Vec<Found> = slices.flat_map(|slice| in_slice(slice, port)).collect();
    // An endpoint may be in two slices: of two families, or for a moment while it is moved. Where one of them says that it stays, it stays.
    all.sort_by_cached_key(|found| {
        (found.id(), found.is_leaving, found.address.to_string().contains('['), found.address.to_string())
    });
    all.dedup_by_key(|found| found.id());
    all
}

fn in_slice<'a>(slice: &'a EndpointSlice, port: Option<&str>) -> impl Iterator<Item = Found> + 'a {
    let is_ip = slice.address_type == "IPv4" || slice.address_type == "IPv6";
    // Null while the service has no pod at all.
    let port = self::port(slice.ports.as_deref().unwrap_or_default(), port).filter(|_| is_ip);
    port.into_iter().flat_map(|port| slice.endpoints.iter().filter_map(move |endpoint| one(endpoint, port)))
}

/// The port with that name, or else with that number, or the first. Slices name the ports of pods, not those of the service.
fn port(ports: &[EndpointPort], wanted: Option<&str>) -> Option<u16> {
    let is_tcp = |port: &&EndpointPort| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP");
    let number = |port: &EndpointPort| port.port.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    let mut ports = ports.iter().filter(is_tcp);
    let Some(wanted) = wanted else { return ports.find_map(number) };
    let named = ports.clone().find(|port| port.name.as_deref() == Some(wanted));
    named.and_then(number).or_else(|| ports.filter_map(number).find(|number| number.to_string() == wanted))
}

fn one(endpoint: &Endpoint, port: u16) -> Option<Found> {
    // All addresses of an endpoint are the same pod; nobody looks beyond the first (API reference, EndpointSlice v1).
    let ip: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    let is_leaving = standing(endpoint)?;
    let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref().is_none_or(|kind| kind == "Pod"));
    let id: Option<Id> = pod.and_then(|pod| pod.name.as_deref()?.parse().ok());
    let hint = || endpoint.hints.as_ref()?.for_zones.as_ref()?.first().map(|zone| zone.name.clone());
    let zone = endpoint.zone.clone().or_else(hint);
    Some(Found { id, address: Address::Ip(SocketAddr::new(ip, port)), zone, is_leaving })
}

/// Tells whether an endpoint is leaving; `None` for one that serves nothing (yet, or any more).
///
/// A service that publishes pods which are not ready says so by `ready`, and is taken at its word. A server too old to know `serving` means
/// `ready` by it.
fn standing(endpoint: &Endpoint) -> Option<bool> {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let is_ready = conditions.ready.unwrap_or(true);
    let is_serving = conditions.serving.unwrap_or(is_ready);
    let is_terminating = conditions.terminating.unwrap_or(false);
    (is_serving || is_ready && !is_terminating).then_some(is_terminating)
}

#[cfg(test)]
mod tests;
