//! `listeners`: TLS, limits, and binds that clash.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use super::{Report, files};
use crate::config::raw::{File, Listener, ServerTls};
use crate::config::shape::{At, OrNone};
use crate::config::tree::NodeId;
use crate::model::{Bind, ListenerProtocol};

/// Checks one listener by itself.
pub(super) fn listener(listener: &Listener, base: &Path, report: &mut Report<'_>) {
    if let Some(tls) = listener.tls.as_ref().and_then(OrNone::as_option) {
        self::tls(tls, base, report);
    }
    let limits = &listener.limits;
    if let (Some(line), Some(head)) = (&limits.request_line, &limits.header_bytes)
        && line.value.0 > head.value.0
    {
        report.error(line.id, "the request line is part of the head: it cannot be larger than `header_bytes`");
    }
    if listener.protocol.as_ref().is_some_and(|protocol| protocol.value == ListenerProtocol::Http1) {
        let ids = [
            limits.streams.as_ref().map(|count| count.id),
            limits.resets.as_ref().map(|count| count.id),
            limits.cancels.as_ref().map(|count| count.id),
        ];
        for id in ids.into_iter().flatten() {
            report.warn(id, "has no effect: the listener speaks HTTP/1.1 only");
        }
    }
}

fn tls(tls: &At<ServerTls>, base: &Path, report: &mut Report<'_>) {
    let ServerTls { certificate, key, certificates, client_ca, client_auth } = &tls.value;
    if certificate.is_some() && !report.has_key(tls.id, "key") {
        report.error(tls.id, "`certificate` needs its `key`");
    }
    if key.is_some() && !report.has_key(tls.id, "certificate") {
        report.error(tls.id, "`key` needs its `certificate`");
    }
    let is_empty = certificate.is_none() && key.is_none() && certificates.0.is_empty();
    if is_empty && !["certificate", "key", "certificates"].iter().any(|key| report.has_items(tls.id, key)) {
        report.error(tls.id, "no certificate is given: write `certificate` and `key`");
    }
    if let Some(auth) = client_auth
        && !report.has_key(tls.id, "client_ca")
    {
        report.error(auth.id, "`client_auth` needs `client_ca`, against which clients are checked");
    }
    let pairs = certificates.0.iter().flat_map(|pair| [&pair.value.certificate, &pair.value.key]);
    for path in certificate.iter().chain(key).chain(pairs).chain(client_ca) {
        files::readable(path, base, report);
    }
}

/// Reports addresses that are bound twice, and warns about those that overlap.
pub(super) fn binds(file: &File, report: &mut Report<'_>) {
    let mut exact: HashMap<&Bind, NodeId> = HashMap::new();
    let mut by_port: HashMap<u16, Vec<(SocketAddr, NodeId)>> = HashMap::new();
    for listener in &file.listeners.0 {
        let bind = &listener.value.bind;
        match &bind.value {
            // Each gets a free port of its own.
            Bind::Tcp(address) if address.port() == 0 => continue,
            Bind::Tcp(address) => by_port.entry(address.port()).or_default().push((*address, bind.id)),
            Bind::Unix(_) => {}
        }
        match exact.get(&bind.value) {
            Some(first) => {
                let line = report.line(*first);
                report.error(bind.id, format!("{} is bound already, in {line}", bind.value));
            }
            None => {
                exact.insert(&bind.value, bind.id);
            }
        }
    }
    admin_bind(file, &exact, report);
    for (address, id) in by_port.values().flat_map(|group| overlaps(group)) {
        report
            .warn(id, format!("{address} takes connections on every address of this port, and another listener is more specific"));
    }
}

/// Finds the wildcard addresses in a group of one port that has others as well.
fn overlaps(group: &[(SocketAddr, NodeId)]) -> impl Iterator<Item = (SocketAddr, NodeId)> {
    let has_others = group.iter().any(|(address, _)| address.ip() != group[0].0.ip());
    group.iter().copied().filter(move |(address, _)| has_others && address.ip().is_unspecified())
}

fn admin_bind(file: &File, listeners: &HashMap<&Bind, NodeId>, report: &mut Report<'_>) {
    let Some(admin) = file.admin.bind.as_ref().and_then(OrNone::as_option) else { return };
    if let Some(listener) = listeners.get(&Bind::Tcp(admin.value.0)).filter(|_| admin.value.0.port() != 0) {
        let line = report.line(*listener);
        report.error(admin.id, format!("{} is bound already by a listener, in {line}", admin.value.0));
    }
}
