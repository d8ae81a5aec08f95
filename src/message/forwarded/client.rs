//! The client of one connection: everything that stays the same for its requests is prepared once.

use std::cell::Cell;
use std::fmt;
use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::super::present::Present;
use super::super::via::token;
use super::chain::{X_FORWARDED_FOR, client_address, is_trusted};
use super::element;
use crate::model::{Forwarding, IpRange};

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: &str = "x-real-ip";
const X_FORWARDED: &str = "x-forwarded-";

/// Who is at the other end of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A host; the one that the PROXY protocol tells, when it does.
    Ip(IpAddr),
    /// A process on this machine. Trusted, because the permissions of the socket's file have admitted it.
    Unix,
}

/// How the client speaks to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// Returns `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The client of one connection, with the values that its requests get.
///
/// Not `Sync`: it belongs to its connection's worker, and remembers the last host's `Forwarded`.
pub struct Client {
    peer: Peer,
    trusted: bool,
    scheme: Scheme,
    /// The peer for `X-Forwarded-For`; a Unix socket has no address to tell.
    address: Option<HeaderValue>,
    /// Our element of `Forwarded` but for the host; empty when it is switched off.
    element: Bytes,
    /// The last `Host` and the whole element with it: nearly every request of a connection has the same.
    last: Cell<Option<(HeaderValue, HeaderValue)>>,
}

impl Client {
    /// Prepares the values for a connection.
    pub fn new(peer: Peer, scheme: Scheme, forwarding: &Forwarding) -> Self {
        let (peer, trusted) = match peer {
            Peer::Ip(address) => {
                let address = address.to_canonical();
                (Peer::Ip(address), is_trusted(address, &forwarding.trusted))
            }
            Peer::Unix => (peer, true),
        };
        let address = match peer {
            Peer::Ip(address) => HeaderValue::try_from(address.to_string()).ok(),
            Peer::Unix => None,
        };
        let element = if forwarding.forwarded { element::write(peer, scheme, &token(&forwarding.name)) } else { Bytes::new() };
        Self { peer, trusted, scheme, address, element, last: Cell::new(None) }
    }

    /// Returns who is at the other end.
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// Tells whether what it says about others is believed.
    pub const fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Returns how it speaks to us.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the address of the client that a request comes from, seen through trusted proxies; to be asked before [`Client::apply`].
    ///
    /// `None` when it came over a Unix socket and nobody tells more.
    pub fn address(&self, headers: &HeaderMap, trusted: &[IpRange]) -> Option<IpAddr> {
        let peer = match self.peer {
            Peer::Ip(address) => Some(address),
            Peer::Unix => None,
        };
        if self.trusted { client_address(peer, headers, trusted) } else { peer }
    }

    /// Sets the fields of a request. `Host` must still be the client's, or set from `:authority`.
    ///
    /// Allocates nothing for a client that is not trusted, but for the room of new fields in the map and `Forwarded` for a new host.
    pub fn apply(&self, headers: &mut HeaderMap, present: Present) {
        let host = headers.get(HOST).cloned();
        if self.trusted {
            self.continue_fields(headers, host.as_ref());
        } else {
            remove_claims(headers, present);
            self.replace_fields(headers, host.as_ref());
        }
        if !self.element.is_empty() {
            self.add_element(headers, host);
        }
    }

    fn replace_fields(&self, headers: &mut HeaderMap, host: Option<&HeaderValue>) {
        if let Some(address) = &self.address {
            headers.insert(X_FORWARDED_FOR, address.clone());
        }
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(self.scheme.as_str()));
        if let Some(host) = host {
            headers.insert(X_FORWARDED_HOST, host.clone());
        }
    }

    fn continue_fields(&self, headers: &mut HeaderMap, host: Option<&HeaderValue>) {
        if let Some(address) = &self.address {
            let list = joined(headers, &X_FORWARDED_FOR, address);
            headers.insert(X_FORWARDED_FOR, list);
        }
        // These two are about the first hop, so that what is there stays.
        headers.entry(X_FORWARDED_PROTO).or_insert_with(|| HeaderValue::from_static(self.scheme.as_str()));
        if let Some(host) = host {
            headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
        }
    }

    fn add_element(&self, headers: &mut HeaderMap, host: Option<HeaderValue>) {
        let own = self.whole_element(host);
        let value = if self.trusted { joined(headers, &FORWARDED, &own) } else { own };
        headers.insert(FORWARDED, value);
    }

    fn whole_element(&self, host: Option<HeaderValue>) -> HeaderValue {
        let Some(host) = host else { return shared(self.element.clone()) };
        if let Some((last_host, value)) = self.last.take()
            && last_host == host
        {
            self.last.set(Some((last_host, value.clone())));
            return value;
        }
        let value = shared(element::with_host(&self.element, host.as_bytes()));
        // A copy: the value itself would keep the whole buffer that the head was read into for as long as the connection is open.
        self.last.set(HeaderValue::from_bytes(host.as_bytes()).ok().map(|host| (host, value.clone())));
        value
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("peer", &self.peer).field("trusted", &self.trusted).field("scheme", &self.scheme).finish()
    }
}

fn shared(text: Bytes) -> HeaderValue {
    // An element is made of visible ASCII; a host that is not is left out of it.
    HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| HeaderValue::from_static("for=unknown"))
}

/// Removes what a client that is not trusted claims about where a request comes from.
fn remove_claims(headers: &mut HeaderMap, present: Present) {
    let is_claim = |name: &&HeaderName| {
        let text = name.as_str();
        // The three that are set anyway are not worth removing first.
        text.starts_with("x-")
            && (text == X_REAL_IP || text.starts_with(X_FORWARDED))
            && !(*name == X_FORWARDED_FOR || *name == X_FORWARDED_PROTO)
    };
    if present.has(Present::X_FORWARDED) {
        while let Some(claim) = headers.keys().find(is_claim).cloned() {
            headers.remove(claim);
        }
    }
    // Ours may be switched off, which does not make the client's true.
    if present.has(Present::FORWARDED) {
        headers.remove(FORWARDED);
    }
}

/// Returns the lines of a list joined to one, with `own` at the end.
fn joined(headers: &HeaderMap, name: &HeaderName, own: &HeaderValue) -> HeaderValue {
    let mut lines = headers.get_all(name).iter().filter(|line| !line.is_empty()).peekable();
    if lines.peek().is_none() {
        return own.clone();
    }
    let mut text = BytesMut::new();
    for line in lines {
        text.put_slice(line.as_bytes());
        text.put_slice(b", ");
    }
    text.put_slice(own.as_bytes());
    HeaderValue::from_maybe_shared(text.freeze()).unwrap_or_else(|_| own.clone())
}
