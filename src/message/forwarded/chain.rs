//! Who a request comes from, when it came through proxies that are trusted: the last address, read from our side, that no trusted proxy has.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

use super::super::hop::split_unquoted;
use crate::model::IpRange;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Returns the client that a request comes from, believing `trusted` proxies only: the rightmost address of `X-Forwarded-For` that is not trusted, the
/// leftmost one when all are, and `peer` when there is none.
///
/// Stops at the first entry from the right that is no address, since what is left of it was told by somebody unknown. `Forwarded` is read only when there is no
/// `X-Forwarded-For`: a proxy that sets the one often lets the client's other pass.
pub fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpRange]) -> Option<IpAddr> {
    if peer.is_some_and(|peer| !is_trusted(peer, trusted)) {
        return peer;
    }
    if headers.contains_key(X_FORWARDED_FOR) {
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(parse_node);
        return walk(peer, entries, trusted);
    }
    let lines = headers.get_all(FORWARDED).iter().rev();
    let entries = lines.flat_map(|line| {
        // Quotes can only be followed from the left.
        let elements: Vec<_> = split_unquoted(line.as_bytes(), b',').map(for_node).collect();
        elements.into_iter().rev()
    });
    walk(peer, entries, trusted)
}

/// Tells whether a proxy at `address` is believed.
pub(super) fn is_trusted(address: IpAddr, trusted: &[IpRange]) -> bool {
    trusted.iter().any(|range| range.contains(address))
}

fn walk(peer: Option<IpAddr>, entries: impl Iterator<Item = Option<IpAddr>>, trusted: &[IpRange]) -> Option<IpAddr> {
    let mut client = peer;
    for entry in entries {
        let Some(address) = entry else { break };
        client = Some(address);
        if !is_trusted(address, trusted) {
            break;
        }
    }
    client
}

/// Returns the address of an element's `for` (RFC 7239 section 4).
fn for_node(element: &[u8]) -> Option<IpAddr> {
    let mut pairs = split_unquoted(element, b';').filter_map(|pair| pair.trim_ascii().split_at_checked(4));
    let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case(b"for="))?;
    let unquoted = match node {
        [b'"', inner @ .., b'"'] => inner,
        plain => plain,
    };
    parse_node(unquoted)
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn parse_node(node: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(node.trim_ascii()).ok()?;
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(in_brackets).or_else(with_port).map(|address: IpAddr| address.to_canonical())
}
