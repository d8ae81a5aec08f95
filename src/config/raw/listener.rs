//! `listeners`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::names::FilePath;
use super::quantities::{Count, Period, Size};
use crate::config::shape::{At, List, OrNone, Text};
use crate::model::{Bind, ClientAuth, Id, ListenerProtocol};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// A socket that Tidegate accepts on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Listener {
    /// The name, unique among listeners.
    pub(in crate::config) name: Text<Id>,
    /// Where it listens: `0.0.0.0:8080`, `[::]:8080`, `:8080` (every address) or `unix:/path`.
    pub(in crate::config) bind: Text<Bind>,
    /// Which HTTP versions it speaks. Default: `auto`.
    pub(in crate::config) protocol: Option<Text<ListenerProtocol>>,
    /// TLS. Default: `none`.
    pub(in crate::config) tls: Option<OrNone<At<ServerTls>>>,
    /// Whether every connection must begin with a PROXY protocol header, version 1 or 2. Default: `false`.
    pub(in crate::config) proxy_protocol: Option<bool>,
    /// What a client may use.
    #[serde(default)]
    pub(in crate::config) limits: Limits,
    /// How long a client may take.
    #[serde(default)]
    pub(in crate::config) timeouts: ListenerTimeouts,
    /// Where requests go that no route takes: short for a route behind all others, for this listener only.
    pub(in crate::config) pool: Option<Text<Id>>,
}

/// TLS as a server. Files are relative to the folder of the config and are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ServerTls {
    /// The certificate chain (PEM), leaf first; goes with `key`.
    pub(in crate::config) certificate: Option<Text<FilePath>>,
    /// The private key (PEM).
    pub(in crate::config) key: Option<Text<FilePath>>,
    /// Further certificates: the first that fits the name which the client asks for, else the first of all.
    #[serde(default)]
    pub(in crate::config) certificates: List<At<Certificate>>,
    /// Certificate authorities of clients (PEM). Default: clients show no certificate.
    pub(in crate::config) client_ca: Option<Text<FilePath>>,
    /// Whether a client must show a certificate when `client_ca` is given. Default: `required`.
    pub(in crate::config) client_auth: Option<Text<ClientAuth>>,
}

/// A certificate chain and its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Certificate {
    /// The certificate chain (PEM), leaf first.
    pub(in crate::config) certificate: Text<FilePath>,
    /// The private key (PEM).
    pub(in crate::config) key: Text<FilePath>,
}

/// What a client may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// Open connections, all workers together; further ones wait in the backlog. 1 to 10,000,000. Default: 20000.
    pub(in crate::config) connections: Option<Text<Count<1, 10_000_000>>>,
    /// Header fields of one request, 1 to 10,000. Default: 100.
    pub(in crate::config) headers: Option<Text<Count<1, 10_000>>>,
    /// Bytes of the head of one request, 1KiB to 1MiB. Default: 32KiB.
    pub(in crate::config) header_bytes: Option<Text<Size<KIB, MIB>>>,
    /// Bytes of the request line, 256 to 1MiB, at most `header_bytes`. Default: 8KiB, or `header_bytes` when that is less.
    pub(in crate::config) request_line: Option<Text<Size<256, MIB>>>,
    /// Bytes of the body of one request, or `none`. Default: 64MiB.
    pub(in crate::config) request_body: Option<OrNone<Text<Size<0, { 1 << 53 }>>>>,
    /// Concurrent HTTP/2 streams of one connection, 1 to 65,536. Default: 100.
    pub(in crate::config) streams: Option<Text<Count<1, 65_536>>>,
    /// HTTP/2 streams that a client may reset before they were looked at, on one connection, 1 to 65,536. Default: 20.
    pub(in crate::config) resets: Option<Text<Count<1, 65_536>>>,
    /// Requests that a client may give up before they were answered, on one HTTP/2 connection, at once; 33 more in each second. 1 to
    /// 1,000,000. Default: 1000.
    pub(in crate::config) cancels: Option<Text<Count<1, 1_000_000>>>,
}

/// How long a client may take; longer than 0, at most a year.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ListenerTimeouts {
    /// From accept to the end of the PROXY header and the TLS handshake; without TLS and with `protocol: auto`, to the bytes that tell HTTP/2 from
    /// HTTP/1. Default: `5s`.
    pub(in crate::config) handshake: Option<Text<Period>>,
    /// From the first byte of the head of a request (or the start of the connection) to its end. Default: `10s`.
    pub(in crate::config) header: Option<Text<Period>>,
    /// Between the end of a response and the next request. Default: `75s`.
    pub(in crate::config) keep_alive: Option<Text<Period>>,
    /// How long a client may take none of the bytes that wait for it. Default: `60s`.
    pub(in crate::config) write: Option<Text<Period>>,
}
