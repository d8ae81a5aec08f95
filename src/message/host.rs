//! The host that a request names, in `Host` or `:authority`: checked strictly, and normalised so that a route can compare it byte by byte.
//!
//! Stricter than RFC 3986: no userinfo, no percent-escapes, no empty port. What no DNS name and no URL that a client derives `Host`
//! from contains is refused, because two parsers would disagree about it.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::Refusal;
use crate::model::Reason;

/// The longest name of DNS in text, without the final dot (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;
/// The longest label (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// A checked host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// The name or IPv4 address in lower case without a final dot, or an IPv6 address in its canonical form with brackets.
    pub name: Cow<'a, str>,
    /// The port, when one is given; never 0.
    pub port: Option<u16>,
}

/// A host split into its parts, not yet normalised.
struct Split<'a> {
    name: &'a [u8],
    /// The address, when `name` is one in brackets.
    address: Option<Ipv6Addr>,
    port: Option<u16>,
}

/// Reads the value of `Host` or `:authority`; borrows when it is in normal form already.
///
/// # Errors
/// `invalid_host` when it is empty, has userinfo, a bad name, a bad IPv6 address or a bad port.
pub fn parse(value: &[u8]) -> Result<Host<'_>, Refusal> {
    let Split { name, address, port } = split(value)?;
    if let Some(address) = address {
        return Ok(Host { name: bracketed(name, address), port });
    }
    let text = std::str::from_utf8(name).map_err(|_| invalid("Host is not ASCII"))?;
    let name = if name.iter().any(u8::is_ascii_uppercase) { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) };
    Ok(Host { name, port })
}

/// Checks the value of `Host` or `:authority` without normalising it: exactly what [`parse`] accepts, but never allocates.
///
/// # Errors
/// As [`parse`].
pub fn check(value: &[u8]) -> Result<(), Refusal> {
    split(value).map(|_| ())
}

const fn invalid(detail: &'static str) -> Refusal {
    Refusal::new(Reason::InvalidHost, detail)
}

fn split(value: &[u8]) -> Result<Split<'_>, Refusal> {
    if value.first() == Some(&b'[') {
        return split_bracketed(value);
    }
    let (name, port) = match memchr::memchr(b':', value) {
        Some(colon) => (&value[..colon], Some(parse_port(&value[colon + 1..])?)),
        None => (value, None),
    };
    // The final dot only says that the name is absolute, which names in `Host` are.
    let name = name.strip_suffix(b".").unwrap_or(name);
    check_name(name)?;
    Ok(Split { name, address: None, port })
}

fn split_bracketed(value: &[u8]) -> Result<Split<'_>, Refusal> {
    let end = memchr::memchr(b']', value).ok_or(invalid("Host has an opening bracket without a closing one"))?;
    let address = std::str::from_utf8(&value[1..end])
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(invalid("Host has brackets around something that is not an IPv6 address"))?;
    let port = match &value[end + 1..] {
        [] => None,
        [b':', port @ ..] => Some(parse_port(port)?),
        _ => return Err(invalid("Host continues after the closing bracket")),
    };
    Ok(Split { name: &value[..=end], address: Some(address), port })
}

fn check_name(name: &[u8]) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(invalid("Host is empty"));
    }
    if name.len() > MAX_NAME {
        return Err(invalid("Host is longer than 253 bytes"));
    }
    let mut label = 0;
    for byte in name {
        match byte {
            b'.' if label == 0 => return Err(invalid("Host has an empty label")),
            b'.' => label = 0,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label < MAX_LABEL => label += 1,
            b'@' => return Err(invalid("Host has userinfo")),
            _ if label >= MAX_LABEL => return Err(invalid("Host has a label longer than 63 bytes")),
            _ => return Err(invalid("Host has a character that no host has")),
        }
    }
    if label == 0 { Err(invalid("Host has an empty label")) } else { Ok(()) }
}

fn parse_port(digits: &[u8]) -> Result<u16, Refusal> {
    const BAD: Refusal = invalid("Host has a port that is not a number from 1 to 65535");
    if digits.is_empty() || digits.len() > 5 {
        return Err(BAD);
    }
    let mut port = 0_u32;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(BAD);
        }
        port = port * 10 + u32::from(digit - b'0');
    }
    u16::try_from(port).ok().filter(|port| *port != 0).ok_or(BAD)
}

fn bracketed(name: &[u8], address: Ipv6Addr) -> Cow<'_, str> {
    let canonical = format!("[{address}]");
    match std::str::from_utf8(name) {
        Ok(text) if text == canonical => Cow::Borrowed(text),
        _ => Cow::Owned(canonical),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    fn read(text: &str) -> Option<(String, Option<u16>)> {
        parse(text.as_bytes()).ok().map(|host| (host.name.into_owned(), host.port))
    }

    #[test]
    fn hosts_are_normalised() {
        for (text, name, port) in [
            ("example.com", "example.com", None),
            ("EXAMPLE.com:8080", "example.com", Some(8080)),
            ("example.com.", "example.com", None),
            ("example.com.:80", "example.com", Some(80)),
            ("a_b-c.example", "a_b-c.example", None),
            ("10.0.0.1:1", "10.0.0.1", Some(1)),
            ("[::1]", "[::1]", None),
            ("[0:0:0:0:0:0:0:1]:65535", "[::1]", Some(65535)),
            ("[2001:DB8::A]:443", "[2001:db8::a]", Some(443)),
        ] {
            assert_eq!(read(text), Some((name.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long_label = format!("{}.com", "a".repeat(64));
        let long_name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63)].join(".");
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "a\tb",
            "user@host",
            "user:pass@host",
            "host:",
            "host:0",
            "host:65536",
            "host:+80",
            "host:8o",
            "host:080808",
            "host:80:80",
            "a,b",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a%41",
            "é.com",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "[127.0.0.1]",
            "]",
            "*",
            "*.example.com",
            &long_label,
            &long_name,
        ] {
            assert_eq!(parse(text.as_bytes()).map_err(|refusal| refusal.reason), Err(Reason::InvalidHost), "{text}");
        }
    }

    #[test]
    fn a_host_in_normal_form_is_borrowed() {
        for text in ["example.com:80", "[::1]:80", "10.0.0.1"] {
            assert!(matches!(parse(text.as_bytes()), Ok(Host { name: Cow::Borrowed(_), .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_name_of_a_host_is_a_host_and_stays_as_it_is(value in prop::collection::vec(any::<u8>(), 0..24)) {
            if let Ok(host) = parse(&value) {
                let again = parse(host.name.as_bytes()).map(|host| host.name.into_owned());
                prop_assert_eq!(again, Ok(host.name.into_owned()));
            }
            prop_assert_eq!(parse(&value).is_ok(), check(&value).is_ok());
        }
    }
}
