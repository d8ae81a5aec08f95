//! What a listener is, once its section of the file has been read.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::duration::written;
use super::{Bind, Id};

/// A socket that Tidegate accepts on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listener {
    /// The name, unique among listeners.
    pub name: Id,
    /// Where it listens.
    pub bind: Bind,
    /// Which HTTP versions it speaks.
    pub protocol: ListenerProtocol,
    /// TLS, when it is spoken.
    pub tls: Option<ServerTls>,
    /// Whether every connection must begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// What a client may use.
    pub limits: Limits,
    /// How long a client may take.
    pub timeouts: ListenerTimeouts,
}

/// Which HTTP versions a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerProtocol {
    /// HTTP/1.1 and HTTP/2, told apart by ALPN or by the HTTP/2 preface.
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
}

/// TLS as a server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerTls {
    /// Certificates in order: the first that fits the client's SNI name, else the first.
    pub certificates: Vec<CertificateFiles>,
    /// Certificate authorities of clients (PEM); with it, `client_auth` applies.
    pub client_ca: Option<PathBuf>,
    /// Whether a client must show a certificate.
    pub client_auth: ClientAuth,
}

/// A certificate chain and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Whether a client must show a certificate when `client_ca` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// A client without a valid certificate is refused.
    Required,
    /// A certificate is asked for and checked when shown.
    Optional,
}

/// What a client may use.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Open connections on the listener, all workers together; further ones wait in the backlog.
    pub connections: u32,
    /// Header fields of one request.
    pub headers: u16,
    /// Bytes of one request's head.
    pub header_bytes: u32,
    /// Bytes of the request line.
    pub request_line: u32,
    /// Bytes of one request's body; `None` is no limit.
    pub request_body: Option<u64>,
    /// Concurrent HTTP/2 streams of one connection.
    pub streams: u32,
    /// HTTP/2 streams that a client may reset before they were looked at, on one connection.
    pub resets: u32,
    /// Requests that a client may give up before they were answered, on one HTTP/2 connection, at once.
    pub cancels: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            headers: 100,
            header_bytes: 32 * 1024,
            request_line: 8 * 1024,
            request_body: Some(64 * 1024 * 1024),
            streams: 100,
            resets: 20,
            cancels: 1000,
        }
    }
}

/// How long a client may take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListenerTimeouts {
    /// From accept to the end of the PROXY header and TLS handshake, and to the bytes that tell HTTP/2 from HTTP/1 without TLS.
    #[serde(serialize_with = "written")]
    pub handshake: Duration,
    /// From the first byte of a request head (or the start of the connection) to its end.
    #[serde(serialize_with = "written")]
    pub header: Duration,
    /// Between the end of a response and the next request.
    #[serde(serialize_with = "written")]
    pub keep_alive: Duration,
    /// How long a client may take none of the bytes that wait for it.
    #[serde(serialize_with = "written")]
    pub write: Duration,
}

impl Default for ListenerTimeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            write: Duration::from_secs(60),
        }
    }
}
