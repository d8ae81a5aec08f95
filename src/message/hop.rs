//! Hop-by-hop fields: what belongs to one connection and must not reach the next one (RFC 9110 section 7.6.1).
//!
//! Runs before anything of ours is added, so that a client cannot name our fields in `Connection` to get rid of them. Some fields stay
//! even when they are named there: see `is_protected`.

use http::header::{CONNECTION, Entry, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::present::Present;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
/// Never a field of HTTP, but a CGI program's `HTTP_PROXY` is made of it.
const PROXY: HeaderName = HeaderName::from_static("proxy");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");

/// The hop-by-hop fields, but for `Connection` and `TE`, which need more than removal.
const PLAIN: [(Present, HeaderName); 9] = [
    (Present::KEEP_ALIVE, KEEP_ALIVE),
    (Present::PROXY_CONNECTION, PROXY_CONNECTION),
    (Present::TRANSFER_ENCODING, TRANSFER_ENCODING),
    (Present::UPGRADE, UPGRADE),
    (Present::HTTP2_SETTINGS, HTTP2_SETTINGS),
    (Present::PROXY, PROXY),
    (Present::PROXY_AUTHENTICATE, PROXY_AUTHENTICATE),
    (Present::PROXY_AUTHORIZATION, PROXY_AUTHORIZATION),
    (Present::PROXY_AUTHENTICATION_INFO, PROXY_AUTHENTICATION_INFO),
];

/// All of them.
const ANY: Present = Present::CONNECTION
    .and(Present::TE)
    .and(Present::KEEP_ALIVE)
    .and(Present::PROXY_CONNECTION)
    .and(Present::TRANSFER_ENCODING)
    .and(Present::UPGRADE)
    .and(Present::HTTP2_SETTINGS)
    .and(Present::PROXY)
    .and(Present::PROXY_AUTHENTICATE)
    .and(Present::PROXY_AUTHORIZATION)
    .and(Present::PROXY_AUTHENTICATION_INFO);

/// Removes the hop-by-hop fields of a request or a response.
///
/// `Trailer` stays, and `TE` stays as `trailers` when it says that, because gRPC needs it. Costs nothing when there is nothing to remove, and
/// allocates only when `Connection` has several lines.
pub fn strip(headers: &mut HeaderMap, present: Present) {
    if !present.has(ANY) {
        return;
    }
    // First, because it may name any of the others.
    if present.has(Present::CONNECTION) {
        strip_connection(headers);
    }
    if present.has(Present::TE) {
        strip_te(headers);
    }
    for (field, name) in &PLAIN {
        if present.has(*field) {
            headers.remove(name);
        }
    }
}

/// Returns the protocol that a request, or a response with status 101, switches to: one that makes the connection a tunnel.
///
/// `None` unless `Connection` names `upgrade` and there is exactly one `Upgrade`. HTTP/2 by upgrade (`h2c`) is not taken (RFC 9113 section 3.1),
/// nor is a list that offers it. To be asked before [`strip`].
pub fn upgrade_wanted(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(UPGRADE).iter();
    let protocol = lines.next()?;
    if lines.next().is_some() || !is_tunnel_protocol(protocol.as_bytes()) {
        return None;
    }
    let asked = headers.get_all(CONNECTION).iter().any(|line| has_token(line.as_bytes(), b"upgrade"));
    asked.then(|| protocol.clone())
}

/// Puts `Connection: upgrade` and `Upgrade: protocol` back after [`strip`].
pub fn restore_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Tells whether the value of `Upgrade` makes the connection a tunnel.
pub(super) fn is_tunnel_protocol(value: &[u8]) -> bool {
    !value.is_empty() && tokens(value).all(|token| !token.is_empty() && !token.eq_ignore_ascii_case(b"h2c"))
}

/// Tells whether a comma-separated list has `token`, in any case.
pub(super) fn has_token(value: &[u8], token: &[u8]) -> bool {
    tokens(value).any(|part| part.eq_ignore_ascii_case(token))
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Splits at `separator` outside quoted strings (RFC 9110 section 5.6.4).
pub(super) fn split_unquoted(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |&byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        !quoted && byte == separator
    })
}

fn strip_connection(headers: &mut HeaderMap) {
    let Entry::Occupied(entry) = headers.entry(CONNECTION) else { return };
    let first = entry.get().clone();
    let several = entry.iter().nth(1).is_some();
    let others: Vec<HeaderValue> = if several { entry.iter().skip(1).cloned().collect() } else { Vec::new() };
    entry.remove();
    for line in std::iter::once(&first).chain(&others) {
        strip_named(headers, line.as_bytes());
    }
}

fn strip_named(headers: &mut HeaderMap, line: &[u8]) {
    // What nearly every client says, and names no field.
    if line.eq_ignore_ascii_case(b"keep-alive") || line.eq_ignore_ascii_case(b"close") {
        return;
    }
    for token in tokens(line) {
        if let Ok(name) = std::str::from_utf8(token)
            && !name.is_empty()
            && !is_protected(name)
        {
            headers.remove(name);
        }
    }
}

/// Fields that stay although `Connection` names them, because a request or response without them means something else: its framing
/// and content, whom it is for, who sent it, what may be done. `TE` is handled by itself.
fn is_protected(name: &str) -> bool {
    const NAMES: [&str; 16] = [
        "host",
        "te",
        "authorization",
        "cookie",
        "set-cookie",
        "cache-control",
        "vary",
        "expect",
        "forwarded",
        "via",
        "x-request-id",
        "x-real-ip",
        "traceparent",
        "tracestate",
        "trailer",
        "strict-transport-security",
    ];
    const PREFIXES: [&str; 4] = ["content-", "x-forwarded-", "x-tidegate-", "grpc-"];
    let starts = |prefix: &&str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    NAMES.iter().any(|other| other.eq_ignore_ascii_case(name)) || PREFIXES.iter().any(starts)
}

fn strip_te(headers: &mut HeaderMap) {
    let trailers = headers.get_all(TE).iter().any(|line| has_token(line.as_bytes(), b"trailers"));
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(TE);
    }
}

#[cfg(test)]
mod tests;
