//! Which fields a head has, of those that a proxy must look at: found in one pass over the names, instead of by a look-up for each question.
//!
//! Nearly all requests have few of them, and an edit that has nothing to do should cost a test of a bit. Says nothing about values.

use http::HeaderMap;

/// A set of fields that a head had when it was looked at.
///
/// A field that is not in it is not there; one that is may have been removed since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present(u32);

impl Present {
    /// `Connection`.
    pub const CONNECTION: Self = Self(1);
    /// `TE`.
    pub const TE: Self = Self(1 << 1);
    /// `Keep-Alive`.
    pub const KEEP_ALIVE: Self = Self(1 << 2);
    /// `Proxy-Connection`.
    pub const PROXY_CONNECTION: Self = Self(1 << 3);
    /// `Transfer-Encoding`.
    pub const TRANSFER_ENCODING: Self = Self(1 << 4);
    /// `Upgrade`.
    pub const UPGRADE: Self = Self(1 << 5);
    /// `HTTP2-Settings`.
    pub const HTTP2_SETTINGS: Self = Self(1 << 6);
    /// `Proxy`.
    pub const PROXY: Self = Self(1 << 7);
    /// `Proxy-Authenticate`.
    pub const PROXY_AUTHENTICATE: Self = Self(1 << 8);
    /// `Proxy-Authorization`.
    pub const PROXY_AUTHORIZATION: Self = Self(1 << 9);
    /// `Proxy-Authentication-Info`.
    pub const PROXY_AUTHENTICATION_INFO: Self = Self(1 << 10);
    /// `Content-Length`.
    pub const CONTENT_LENGTH: Self = Self(1 << 11);
    /// `Content-Type`.
    pub const CONTENT_TYPE: Self = Self(1 << 12);
    /// `Cookie`.
    pub const COOKIE: Self = Self(1 << 13);
    /// `Expect`.
    pub const EXPECT: Self = Self(1 << 14);
    /// `Via`.
    pub const VIA: Self = Self(1 << 15);
    /// `Forwarded`.
    pub const FORWARDED: Self = Self(1 << 16);
    /// Any `X-Forwarded-`, or `X-Real-IP`.
    pub const X_FORWARDED: Self = Self(1 << 17);
    /// `x-request-id`.
    pub const X_REQUEST_ID: Self = Self(1 << 18);
    /// `traceparent`.
    pub const TRACEPARENT: Self = Self(1 << 19);
    /// `tracestate`.
    pub const TRACESTATE: Self = Self(1 << 20);
    /// `x-tidegate-require`.
    pub const REQUIRE: Self = Self(1 << 21);
    /// `Retry-After`.
    pub const RETRY_AFTER: Self = Self(1 << 22);
    /// `endpoint-load-metrics`.
    pub const LOAD_REPORT: Self = Self(1 << 23);

    /// Looks at every name of a head.
    pub fn of(headers: &HeaderMap) -> Self {
        headers.keys().fold(Self::default(), |found, name| found.and(Self::named(name.as_str())))
    }

    /// Tells whether any of `fields` was there.
    pub const fn has(self, fields: Self) -> bool {
        self.0 & fields.0 != 0
    }

    /// Returns the fields of both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// By length first: most names have a length that none of these has.
    fn named(name: &str) -> Self {
        match name.len() {
            2 if name == "te" => Self::TE,
            3 if name == "via" => Self::VIA,
            5 if name == "proxy" => Self::PROXY,
            6 if name == "cookie" => Self::COOKIE,
            6 if name == "expect" => Self::EXPECT,
            7 if name == "upgrade" => Self::UPGRADE,
            9 if name == "forwarded" => Self::FORWARDED,
            9 if name == "x-real-ip" => Self::X_FORWARDED,
            10 if name == "connection" => Self::CONNECTION,
            10 if name == "keep-alive" => Self::KEEP_ALIVE,
            10 if name == "tracestate" => Self::TRACESTATE,
            11 if name == "traceparent" => Self::TRACEPARENT,
            11 if name == "retry-after" => Self::RETRY_AFTER,
            12 if name == "content-type" => Self::CONTENT_TYPE,
            12 if name == "x-request-id" => Self::X_REQUEST_ID,
            14 if name == "content-length" => Self::CONTENT_LENGTH,
            14 if name == "http2-settings" => Self::HTTP2_SETTINGS,
            16 if name == "proxy-connection" => Self::PROXY_CONNECTION,
            17 if name == "transfer-encoding" => Self::TRANSFER_ENCODING,
            18 if name == "proxy-authenticate" => Self::PROXY_AUTHENTICATE,
            18 if name == "x-tidegate-require" => Self::REQUIRE,
            19 if name == "proxy-authorization" => Self::PROXY_AUTHORIZATION,
            21 if name == "endpoint-load-metrics" => Self::LOAD_REPORT,
            25 if name == "proxy-authentication-info" => Self::PROXY_AUTHENTICATION_INFO,
            12.. if name.starts_with("x-forwarded-") => Self::X_FORWARDED,
            _ => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    /// Every set of one, with a name that is in it.
    const EACH: [(Present, &str); 27] = [
        (Present::CONNECTION, "connection"),
        (Present::TE, "te"),
        (Present::KEEP_ALIVE, "keep-alive"),
        (Present::PROXY_CONNECTION, "proxy-connection"),
        (Present::TRANSFER_ENCODING, "transfer-encoding"),
        (Present::UPGRADE, "upgrade"),
        (Present::HTTP2_SETTINGS, "http2-settings"),
        (Present::PROXY, "proxy"),
        (Present::PROXY_AUTHENTICATE, "proxy-authenticate"),
        (Present::PROXY_AUTHORIZATION, "proxy-authorization"),
        (Present::PROXY_AUTHENTICATION_INFO, "proxy-authentication-info"),
        (Present::CONTENT_LENGTH, "content-length"),
        (Present::CONTENT_TYPE, "content-type"),
        (Present::COOKIE, "cookie"),
        (Present::EXPECT, "expect"),
        (Present::VIA, "via"),
        (Present::FORWARDED, "forwarded"),
        (Present::X_FORWARDED, "x-real-ip"),
        (Present::X_FORWARDED, "x-forwarded-for"),
        (Present::X_FORWARDED, "x-forwarded-port"),
        (Present::X_FORWARDED, "x-forwarded-"),
        (Present::X_REQUEST_ID, "x-request-id"),
        (Present::TRACEPARENT, "traceparent"),
        (Present::TRACESTATE, "tracestate"),
        (Present::REQUIRE, "x-tidegate-require"),
        (Present::RETRY_AFTER, "retry-after"),
        (Present::LOAD_REPORT, "endpoint-load-metrics"),
    ];

    fn head(names: &[&'static str]) -> HeaderMap {
        names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x"))).collect()
    }

    #[test]
    fn each_field_is_found_by_its_name_and_no_other_one_is() {
        for (field, name) in EACH {
            assert_eq!(Present::of(&head(&[name])), field, "{name}");
        }
        assert_eq!(Present::of(&head(&["accept", "x-forwarded", "host", "content-lengths", "proxies"])), Present::default());
    }

    #[test]
    fn all_are_found_among_others() {
        let names: Vec<_> = ["accept"].into_iter().chain(EACH.map(|(_, name)| name)).chain(["host"]).collect();
        let found = Present::of(&head(&names));
        assert!(EACH.iter().all(|(field, _)| found.has(*field)));
        assert!(!found.has(Present::default()));
    }
}
