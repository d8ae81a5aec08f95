//! Where a redirect sends the client: the `Location` of the answer.
//!
//! Scheme and host are named only when the route changes one of them. A relative reference (RFC 9110 section 10.2.2) stays right
//! behind a load balancer that speaks TLS for us, and never repeats a `Host` that the client made up.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode};

use super::rewrite::{PrefixRewrite, RewriteError};
use crate::model::Redirect;

/// Where the request came in.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'o> {
    /// `http` or `https`, as the client sees it.
    pub scheme: &'o str,
    /// Host and port, as the client wrote them; empty when it named none.
    pub authority: &'o str,
    /// Path and query.
    pub target: &'o PathAndQuery,
}

/// A redirect, ready to be answered with.
#[derive(Clone, Debug)]
pub struct Redirector {
    status: StatusCode,
    scheme: Option<Box<str>>,
    host: Option<Box<str>>,
    path: Path,
}

#[derive(Clone, Debug)]
enum Path {
    Keep,
    Whole(Box<str>),
    Prefix(PrefixRewrite),
}

/// Why there is no `Location`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// The scheme changes, but the request names no host.
    #[error("the request names no host to redirect to")]
    NoHost,
    /// The prefix cannot be replaced.
    #[error("the path cannot be redirected")]
    Rewrite(#[source] RewriteError),
    /// The result is no header value.
    #[error("the location is not a valid header value")]
    Invalid,
}

impl Redirector {
    /// Readies a redirect.
    ///
    /// # Errors
    /// When `redirect.prefix` cannot replace a prefix.
    pub fn new(redirect: &Redirect) -> Result<Self, RewriteError> {
        let path = match (&redirect.path, &redirect.prefix) {
            (Some(path), _) => Path::Whole(path.as_str().into()),
            (None, Some(prefix)) => Path::Prefix(PrefixRewrite::new(prefix)?),
            (None, None) => Path::Keep,
        };
        let own = |text: &Option<String>| text.as_deref().map(Into::into);
        Ok(Self { status: redirect.status, scheme: own(&redirect.scheme), host: own(&redirect.host), path })
    }

    /// Returns the status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Builds the `Location` for a request whose match covers `prefix_len` bytes of its path.
    ///
    /// When the scheme changes and the route names no host, the port is left out: it was the other scheme's.
    ///
    /// # Errors
    /// When the scheme changes but the request names no host, and when the path grows too long.
    pub fn location(&self, origin: &Origin<'_>, prefix_len: usize) -> Result<HeaderValue, LocationError> {
        let mut location = BytesMut::with_capacity(origin.authority.len() + origin.target.as_str().len() + 32);
        let absolute = self.begin(origin, &mut location)?;
        let rewritten;
        let target = match &self.path {
            Path::Keep => origin.target.as_str(),
            Path::Whole(path) => path,
            Path::Prefix(prefix) => {
                rewritten = prefix.apply(origin.target, prefix_len).map_err(LocationError::Rewrite)?;
                rewritten.as_str()
            }
        };
        // `*` is no path: `OPTIONS *` is sent to the root.
        let target = if target == "*" { "/" } else { target };
        put_target(&mut location, target, absolute);
        HeaderValue::from_maybe_shared(Bytes::from(location)).map_err(|_| LocationError::Invalid)
    }

    /// Writes scheme and host if one of them changes, and tells whether it did.
    fn begin(&self, origin: &Origin<'_>, location: &mut BytesMut) -> Result<bool, LocationError> {
        let scheme = self.scheme.as_deref().filter(|scheme| *scheme != origin.scheme);
        let host = match (&self.host, scheme) {
            (Some(host), _) => &**host,
            (None, Some(_)) => without_port(origin.authority),
            (None, None) => return Ok(false),
        };
        if host.is_empty() {
            return Err(LocationError::NoHost);
        }
        for part in [scheme.unwrap_or(origin.scheme), "://", host] {
            location.put_slice(part.as_bytes());
        }
        Ok(true)
    }
}

/// Writes the path and query so that no browser can read them as another host.
fn put_target(location: &mut BytesMut, target: &str, absolute: bool) {
    let path = target.trim_start_matches('/');
    // A relative `//host` would name a host (RFC 3986 section 4.2).
    let slashes = if absolute { target.len() - path.len() } else { 1 };
    location.put_bytes(b'/', slashes.max(1));
    for byte in path.bytes() {
        // Browsers take `\` for `/`; what is not visible ASCII has no place in a header value.
        if byte.is_ascii_graphic() && byte != b'\\' {
            location.put_u8(byte);
        } else {
            // Writing into growing memory cannot fail.
            let _ = write!(location, "%{byte:02X}");
        }
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.is_empty() => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect() -> Redirect {
        Redirect { status: StatusCode::PERMANENT_REDIRECT, scheme: None, host: None, path: None, prefix: None }
    }

    fn location(redirect: &Redirect, authority: &str, target: &str) -> Result<String, LocationError> {
        let origin = Origin { scheme: "http", authority, target: &target.parse().unwrap() };
        let redirector = Redirector::new(redirect).unwrap();
        assert_eq!(redirector.status(), redirect.status);
        redirector.location(&origin, "/old".len()).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn only_what_the_route_changes_is_named() {
        let path = Redirect { path: Some("/new?x=1".to_owned()), ..redirect() };
        let prefix = Redirect { prefix: Some("/v2".to_owned()), ..redirect() };
        let scheme = Redirect { scheme: Some("https".to_owned()), ..redirect() };
        let host = Redirect { host: Some("b.example:81".to_owned()), ..redirect() };
        let both = Redirect { scheme: Some("https".to_owned()), prefix: Some("/".to_owned()), ..host.clone() };
        for (redirect, target, want) in [
            (&redirect(), "/old?q", "/old?q"),
            (&path, "/old?q", "/new?x=1"),
            (&prefix, "/old/a?q", "/v2/a?q"),
            (&scheme, "/old?q", "https://a.example/old?q"),
            (&host, "/old?q", "http://b.example:81/old?q"),
            (&both, "/old/a", "https://b.example:81/a"),
        ] {
            assert_eq!(location(redirect, "a.example:8080", target).as_deref(), Ok(want));
        }
    }

    #[test]
    fn a_scheme_that_does_not_change_keeps_the_location_relative() {
        let same = Redirect { scheme: Some("http".to_owned()), path: Some("/new".to_owned()), ..redirect() };
        assert_eq!(location(&same, "a.example:8080", "/old").as_deref(), Ok("/new"));
    }

    #[test]
    fn an_ipv6_host_loses_only_its_port() {
        let scheme = Redirect { scheme: Some("https".to_owned()), ..redirect() };
        assert_eq!(location(&scheme, "[::1]:8080", "/").as_deref(), Ok("https://[::1]/"));
        assert_eq!(location(&scheme, "[::1]", "/").as_deref(), Ok("https://[::1]/"));
        assert_eq!(location(&scheme, "", "/"), Err(LocationError::NoHost));
    }

    #[test]
    fn a_relative_location_cannot_name_another_host() {
        assert_eq!(location(&redirect(), "a.example", "//evil.example/x").as_deref(), Ok("/evil.example/x"));
        let odd = Redirect { path: Some("/\\evil.example\u{e9}\r\nx: y".to_owned()), ..redirect() };
        assert_eq!(location(&odd, "a.example", "/old").as_deref(), Ok("/%5Cevil.example%C3%A9%0D%0Ax:%20y"));
        assert_eq!(location(&redirect(), "a.example", "*").as_deref(), Ok("/"));
    }
}
