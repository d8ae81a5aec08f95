//! Host names as they are matched, sent and redirected to.

use schemars::{Schema, json_schema};

use crate::config::shape::{Mistake, Textual};
use crate::model::{HostHeader, HostPattern};

/// A host to match; `None` is any.
#[derive(Debug, Clone)]
pub(in crate::config) struct HostWord(pub(in crate::config) Option<HostPattern>);

/// A host to redirect to, with a port if wanted.
#[derive(Debug, Clone)]
pub(in crate::config) struct RedirectHost(pub(in crate::config) String);

/// A name that a certificate can be for.
#[derive(Debug, Clone)]
pub(in crate::config) struct ServerName(pub(in crate::config) String);

/// A DNS name to look up.
#[derive(Debug, Clone)]
pub(in crate::config) struct DnsName(pub(in crate::config) String);

impl Textual for HostWord {
    const EXPECTED: &'static str = "a host such as `example.com` or `*.example.com`";

    fn read(text: &str) -> Result<Self, Mistake> {
        if text == "*" {
            return Ok(Self(None));
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') {
            return Err(format!("`*` stands for a whole first label only, as in `*.example.com`, found {text:?}").into());
        }
        let is_literal = name.starts_with('[') && !below;
        if !is_literal && name.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())) {
            return Err(format!("a host is matched without its port, found {text:?}").into());
        }
        let host = host_name(name)?;
        Ok(Self(Some(if below { HostPattern::Below(host) } else { HostPattern::Exact(host) })))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "examples": ["example.com", "*.example.com", "*"] })
    }
}

impl Textual for RedirectHost {
    const EXPECTED: &'static str = "a host, with a port if wanted";

    fn read(text: &str) -> Result<Self, Mistake> {
        authority(text).map(Self)
    }
}

impl Textual for ServerName {
    const EXPECTED: &'static str = "the name of a server";

    fn read(text: &str) -> Result<Self, Mistake> {
        if text.parse::<std::net::IpAddr>().is_ok() {
            return Ok(Self(text.to_owned()));
        }
        host_name(text).map(Self)
    }
}

impl Textual for DnsName {
    const EXPECTED: &'static str = "a DNS name";

    fn read(text: &str) -> Result<Self, Mistake> {
        if text.parse::<std::net::IpAddr>().is_ok() || text.starts_with('[') {
            return Err(format!("{text:?} is an address: write it under `endpoints`").into());
        }
        host_name(text).map(Self)
    }
}

impl Textual for HostHeader {
    const EXPECTED: &'static str = "`client`, `endpoint` or a host";

    fn read(text: &str) -> Result<Self, Mistake> {
        match text {
            "client" => Ok(Self::Client),
            "endpoint" => Ok(Self::Endpoint),
            _ => authority(text).map(Self::Fixed),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "examples": ["client", "endpoint", "agents.internal"] })
    }
}

/// Reads a DNS name, an IPv4 address or an IPv6 address in brackets; lower case, without a final dot.
fn host_name(text: &str) -> Result<String, Mistake> {
    if let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: std::net::Ipv6Addr = inside.parse().map_err(|_| format!("{text:?} is not an IPv6 address"))?;
        return Ok(format!("[{address}]"));
    }
    if !text.is_ascii() {
        return Err(format!("a host is written in ASCII, found {text:?}: use its punycode form, which begins with `xn--`").into());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // RFC 1123 section 2.1.
    if name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(name.to_ascii_lowercase());
    }
    Err(format!("{text:?} is not a host name").into())
}

/// Reads a host with an optional port.
fn authority(text: &str) -> Result<String, Mistake> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host = host_name(host)?;
    match port {
        None => Ok(host),
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => Ok(format!("{host}:{number}")),
            _ => Err(format!("{text:?} has no valid port").into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Option<HostPattern> {
        HostWord::read(text).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}")).0
    }

    #[test]
    fn hosts_are_lower_case_and_a_star_is_a_whole_first_label() {
        assert_eq!(word("*"), None);
        assert_eq!(word("Example.COM."), Some(HostPattern::Exact("example.com".to_owned())));
        assert_eq!(word("*.Example.com"), Some(HostPattern::Below("example.com".to_owned())));
        assert_eq!(word("[::0:1]"), Some(HostPattern::Exact("[::1]".to_owned())));
        assert_eq!(word("10.0.0.1"), Some(HostPattern::Exact("10.0.0.1".to_owned())));
        for text in [
            "",
            "a.*.com",
            "*a.com",
            "*.*.com",
            "a b",
            "münchen.de",
            "example.com:8080",
            "-a.com",
            "a..b",
            "[::1",
            "*.",
            "*.[::1]x",
        ] {
            assert!(HostWord::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_redirect_may_name_a_port() {
        assert_eq!(RedirectHost::read("A.com:8443").map(|host| host.0), Ok("a.com:8443".to_owned()));
        assert_eq!(RedirectHost::read("[::1]").map(|host| host.0), Ok("[::1]".to_owned()));
        assert_eq!(RedirectHost::read("[::1]:80").map(|host| host.0), Ok("[::1]:80".to_owned()));
        for text in ["", "a:", "a:0", "a:+1", "a:99999", "http://a", "a/b", ":80"] {
            assert!(RedirectHost::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_to_look_up_are_not_addresses() {
        assert!(DnsName::read("agents.default.svc").is_ok());
        assert!(DnsName::read("10.0.0.1").is_err());
        assert!(DnsName::read("[::1]").is_err());
    }

    #[test]
    fn a_server_name_is_a_name_or_an_address() {
        for text in ["a.example", "10.0.0.1", "::1"] {
            assert!(ServerName::read(text).is_ok(), "{text}");
        }
        assert!(ServerName::read("a b").is_err());
    }
}
