//! Our element of `Forwarded`: `for=..;by=..;proto=..;host=..` (RFC 7239 section 4).

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Peer, Scheme};

/// Writes the element but for the host.
pub(super) fn write(peer: Peer, scheme: Scheme, name: &str) -> Bytes {
    let node = match peer {
        Peer::Ip(IpAddr::V4(address)) => address.to_string(),
        // Section 6: an IPv6 address has brackets, and these need quotes.
        Peer::Ip(IpAddr::V6(address)) => format!("\"[{address}]\""),
        Peer::Unix => "unknown".to_owned(),
    };
    // Section 6.3: a name that is no address begins with an underscore.
    Bytes::from(format!("for={node};by=_{name};proto={}", scheme.as_str()))
}

/// Adds the host, in quotes when it is no token (a port, brackets); leaves out what is no host.
pub(super) fn with_host(element: &Bytes, host: &[u8]) -> Bytes {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_host = |byte: &u8| is_plain(byte) || matches!(byte, b':' | b'[' | b']');
    if host.is_empty() || !host.iter().all(is_host) {
        return element.clone();
    }
    let mut text = BytesMut::with_capacity(element.len() + host.len() + 8);
    text.put_slice(element);
    text.put_slice(b";host=");
    if host.iter().all(is_plain) {
        text.put_slice(host);
    } else {
        text.put_u8(b'"');
        text.put_slice(host);
        text.put_u8(b'"');
    }
    text.freeze()
}
