//! Who may read and who may write.
//!
//! Health and metrics are open. On a loopback address reading is open; elsewhere it needs the token when there is one. Writing needs the
//! token when there is one, and is refused on an address that others can reach when there is none. A page in a browser must not write:
//! writes from a foreign origin are refused. Nor may it read what is open only because nobody else gets here: on a loopback address, every
//! request for a foreign host name is refused (DNS rebinding).

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Method, StatusCode};
use subtle::ConstantTimeEq;

use crate::model::Secret;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) status: StatusCode,
    pub(super) detail: &'static str,
}

/// Who may read and who may write.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    loopback: bool,
    token: Option<Secret>,
}

impl Guard {
    pub(super) fn new(address: IpAddr, token: Option<Secret>) -> Self {
        Self { loopback: address.is_loopback(), token: token.filter(|token| !token.expose().is_empty()) }
    }

    /// Tells whether a request to `/api` may pass.
    pub(super) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Denied> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !reads {
            same_origin(headers, host)?;
        }
        if self.loopback && !is_local(host) {
            return Err(forbidden("on a loopback address, the host of a request is an IP address or localhost"));
        }
        match &self.token {
            None if reads || self.loopback => Ok(()),
            None => Err(forbidden(
                "writes are refused: the admin server can be reached from other machines and has no token (admin.token)",
            )),
            Some(_) if reads && self.loopback => Ok(()),
            Some(token) if bearer(headers).is_some_and(|shown| same(shown, token)) => Ok(()),
            Some(_) => Err(Denied {
                status: StatusCode::UNAUTHORIZED,
                detail: "this needs the header Authorization: Bearer TOKEN with the token of admin.token",
            }),
        }
    }
}

fn same(shown: &str, token: &Secret) -> bool {
    shown.as_bytes().ct_eq(token.expose().as_bytes()).into()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn same_origin(headers: &HeaderMap, host: &str) -> Result<(), Denied> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let of = origin.strip_prefix("http://").or(origin.strip_prefix("https://")).unwrap_or_default();
    if of == host { Ok(()) } else { Err(forbidden("writes from a page of another origin are refused")) }
}

const fn forbidden(detail: &'static str) -> Denied {
    Denied { status: StatusCode::FORBIDDEN, detail }
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1";
    const REACHABLE: &str = "10.0.0.1";

    fn guard(address: &str, token: &str) -> Guard {
        Guard::new(address.parse().unwrap(), Some(Secret::new(token.to_owned())))
    }

    fn headers(fields: &[(http::HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "127.0.0.1:9900".parse().unwrap());
        for (name, value) in fields {
            headers.insert(name.clone(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn loopback_without_token_is_open() {
        assert_eq!(guard(LOOPBACK, "").check(&Method::POST, &headers(&[])), Ok(()));
    }

    #[test]
    fn a_reachable_address_without_token_only_reads() {
        let guard = guard(REACHABLE, "");
        assert_eq!(guard.check(&Method::GET, &headers(&[])), Ok(()));
        assert_eq!(guard.check(&Method::POST, &headers(&[])).unwrap_err().status, StatusCode::FORBIDDEN);
    }

    #[test]
    fn a_token_is_needed_to_write_and_elsewhere_to_read() {
        let right = headers(&[(AUTHORIZATION, "Bearer s3cret")]);
        let wrong = headers(&[(AUTHORIZATION, "Bearer s3cre")]);
        assert_eq!(guard(LOOPBACK, "s3cret").check(&Method::GET, &headers(&[])), Ok(()));
        for (address, method) in [(LOOPBACK, Method::POST), (REACHABLE, Method::POST), (REACHABLE, Method::GET)] {
            let guard = guard(address, "s3cret");
            assert_eq!(guard.check(&method, &right), Ok(()));
            assert_eq!(guard.check(&method, &wrong).unwrap_err().status, StatusCode::UNAUTHORIZED);
            assert_eq!(guard.check(&method, &headers(&[])).unwrap_err().status, StatusCode::UNAUTHORIZED);
        }
    }

    #[test]
    fn pages_of_others_cannot_write() {
        let guard = guard(LOOPBACK, "");
        let foreign = headers(&[(ORIGIN, "http://evil.example")]);
        assert_eq!(guard.check(&Method::POST, &foreign).unwrap_err().status, StatusCode::FORBIDDEN);
        let rebound = headers(&[(HOST, "evil.example:9900"), (ORIGIN, "http://evil.example:9900")]);
        assert_eq!(guard.check(&Method::POST, &rebound).unwrap_err().status, StatusCode::FORBIDDEN);
        let own = headers(&[(ORIGIN, "http://127.0.0.1:9900")]);
        assert_eq!(guard.check(&Method::POST, &own), Ok(()));
        assert_eq!(guard.check(&Method::POST, &headers(&[(HOST, "[::1]:9900")])), Ok(()));
    }

    #[test]
    fn a_foreign_host_name_reads_nothing_on_loopback() {
        let rebound = headers(&[(HOST, "evil.example:9900")]);
        for token in ["", "s3cret"] {
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(guard(LOOPBACK, token).check(&method, &rebound).unwrap_err().status, StatusCode::FORBIDDEN);
            }
        }
        let mut nameless = headers(&[]);
        nameless.remove(HOST);
        assert_eq!(guard(LOOPBACK, "").check(&Method::GET, &nameless).unwrap_err().status, StatusCode::FORBIDDEN);
        for host in ["localhost:9900", "LOCALHOST", "[::1]:9900", "127.0.0.1"] {
            assert_eq!(guard(LOOPBACK, "").check(&Method::GET, &headers(&[(HOST, host)])), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_reachable_address_goes_by_any_name() {
        let named = headers(&[(HOST, "gateway.example:9900"), (AUTHORIZATION, "Bearer s3cret")]);
        assert_eq!(guard(REACHABLE, "s3cret").check(&Method::GET, &named), Ok(()));
        assert_eq!(guard(REACHABLE, "s3cret").check(&Method::POST, &named), Ok(()));
    }
}
