//! Listeners.

use std::path::Path;

use crate::config::raw;
use crate::config::shape::OrNone;
use crate::model::{CertificateFiles, ClientAuth, Limits, Listener, ListenerProtocol, ListenerTimeouts, ServerTls};

pub(super) fn listener(raw: &raw::Listener, base: &Path) -> Listener {
    Listener {
        name: raw.name.value.clone(),
        bind: raw.bind.value.clone(),
        protocol: raw.protocol.as_ref().map_or(ListenerProtocol::Auto, |protocol| protocol.value),
        tls: raw.tls.as_ref().and_then(OrNone::as_option).map(|tls| server_tls(&tls.value, base)),
        proxy_protocol: raw.proxy_protocol.unwrap_or(false),
        limits: limits(raw),
        timeouts: timeouts(raw),
    }
}

fn server_tls(raw: &raw::ServerTls, base: &Path) -> ServerTls {
    let join = |path: &raw::FilePath| base.join(&path.0);
    let first = raw.certificate.iter().zip(&raw.key);
    let others = raw.certificates.0.iter().map(|pair| (&pair.value.certificate, &pair.value.key));
    ServerTls {
        certificates: first
            .chain(others)
            .map(|(certificate, key)| CertificateFiles { certificate: join(&certificate.value), key: join(&key.value) })
            .collect(),
        client_ca: raw.client_ca.as_ref().map(|path| join(&path.value)),
        client_auth: raw.client_auth.as_ref().map_or(ClientAuth::Required, |auth| auth.value),
    }
}

fn limits(raw: &raw::Listener) -> Limits {
    let default = Limits::default();
    let raw = &raw.limits;
    let header_bytes = raw.header_bytes.as_ref().map_or(default.header_bytes, |size| narrow(size.value.0));
    Limits {
        connections: raw.connections.as_ref().map_or(default.connections, |count| count.value.0),
        headers: raw.headers.as_ref().map_or(default.headers, |count| u16::try_from(count.value.0).unwrap_or(u16::MAX)),
        header_bytes,
        request_line: raw.request_line.as_ref().map_or_else(|| default.request_line.min(header_bytes), |size| narrow(size.value.0)),
        request_body: match &raw.request_body {
            None => default.request_body,
            Some(limit) => limit.as_option().map(|size| size.value.0),
        },
        streams: raw.streams.as_ref().map_or(default.streams, |count| count.value.0),
        resets: raw.resets.as_ref().map_or(default.resets, |count| count.value.0),
        cancels: raw.cancels.as_ref().map_or(default.cancels, |count| count.value.0),
    }
}

fn timeouts(raw: &raw::Listener) -> ListenerTimeouts {
    let default = ListenerTimeouts::default();
    let raw = &raw.timeouts;
    ListenerTimeouts {
        handshake: raw.handshake.as_ref().map_or(default.handshake, |period| period.value.0),
        header: raw.header.as_ref().map_or(default.header, |period| period.value.0),
        keep_alive: raw.keep_alive.as_ref().map_or(default.keep_alive, |period| period.value.0),
        write: raw.write.as_ref().map_or(default.write, |period| period.value.0),
    }
}

fn narrow(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
