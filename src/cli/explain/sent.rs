//! The request as an endpoint would see it.
//!
//! The same functions as on the request path do the work, for a client at an address of documentation that speaks HTTP/1.1; values
//! that are new for each request or process are shown as `<...>`.

use std::net::{IpAddr, Ipv4Addr};

use http::header::{EXPECT, HOST, VIA};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use crate::message::forwarded::{Client, Peer, Scheme};
use crate::message::mint::Mint;
use crate::message::present::Present;
use crate::message::{hop, request_id, trace};
use crate::model::{Forwarding, HostHeader, Pool, UpstreamProtocol};
use crate::route::Rewriter;

/// The client that is assumed (RFC 5737 section 3).
pub(super) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

const NEW: HeaderValue = HeaderValue::from_static("<new for each request>");
const ENDPOINT_ADDRESS: HeaderValue = HeaderValue::from_static("<the endpoint's address>");

/// The request as an endpoint would see it.
#[derive(Debug, Serialize)]
pub(super) struct Sent {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) version: &'static str,
    /// Name and value.
    pub(super) headers: Vec<(String, String)>,
}

/// What the header fields of a request depend on.
pub(super) struct Way<'a> {
    pub(super) is_tls: bool,
    pub(super) forwarding: &'a Forwarding,
    pub(super) rewriter: &'a Rewriter,
    pub(super) pool: &'a Pool,
}

/// Returns the header fields that an endpoint gets for those of a client: the edits of the request path, in its order.
pub(super) fn headers(client: &HeaderMap, way: &Way<'_>) -> Vec<(String, String)> {
    let mut headers = client.clone();
    let (present, mint) = (Present::of(client), Mint::default());
    let fresh = mint.fresh(0, 0);
    request_id::ensure(&mut headers, present, &fresh);
    show_new(&mut headers, client, &request_id::X_REQUEST_ID);
    let protocol = hop::upgrade_wanted(&headers);
    hop::strip(&mut headers, present);
    headers.remove(EXPECT);
    let scheme = if way.is_tls { Scheme::Https } else { Scheme::Http };
    Client::new(Peer::Ip(CLIENT), scheme, way.forwarding).apply(&mut headers, present);
    if let Ok(via) = HeaderValue::try_from(format!("1.1 {}-<process>", way.forwarding.name)) {
        headers.append(VIA, via);
    }
    trace::ensure(&mut headers, present, &fresh);
    show_new(&mut headers, client, &trace::TRACEPARENT);
    way.rewriter.request(&mut headers);
    set_host(&mut headers, &way.pool.upstream.host);
    if let Some(protocol) = protocol {
        hop::restore_upgrade(&mut headers, protocol);
    }
    headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}

/// Returns the HTTP version that is spoken to the endpoints of `pool`.
pub(super) const fn version(pool: &Pool) -> &'static str {
    match (pool.upstream.protocol, &pool.upstream.tls) {
        (UpstreamProtocol::Http1, _) | (UpstreamProtocol::Auto, None) => "HTTP/1.1",
        (UpstreamProtocol::Http2, _) => "HTTP/2",
        (UpstreamProtocol::Auto, Some(_)) => "HTTP/1.1 or HTTP/2, by ALPN",
    }
}

/// Marks a value that was made here: the next request has another.
fn show_new(headers: &mut HeaderMap, client: &HeaderMap, name: &HeaderName) {
    if headers.get(name) != client.get(name) {
        headers.insert(name, NEW);
    }
}

fn set_host(headers: &mut HeaderMap, host: &HostHeader) {
    match host {
        HostHeader::Client => {}
        HostHeader::Endpoint => drop(headers.insert(HOST, ENDPOINT_ADDRESS)),
        HostHeader::Fixed(name) => {
            if let Ok(name) = HeaderValue::from_str(name) {
                headers.insert(HOST, name);
            }
        }
    }
}
