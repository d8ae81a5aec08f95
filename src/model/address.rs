//! Where something listens and where an endpoint is reached.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

/// What a listener binds: `0.0.0.0:8080`, `[::]:8080`, `:8080` (all addresses, both families) or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    /// A TCP address; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
}

/// Where an endpoint is reached: `10.0.0.1:8080`, `[::1]:8080`, `name:8080` or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP address.
    Ip(SocketAddr),
    /// A DNS name and a port; resolved again when its time to live has passed.
    Name {
        /// The name, in lower case.
        host: String,
        /// The TCP port.
        port: u16,
    },
    /// A Unix stream socket.
    Unix(PathBuf),
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseAddressError {
    /// There is no port, or it is not a number from 1 to 65535.
    #[error("{0:?} has no valid port: write HOST:PORT, [IPV6]:PORT or unix:/PATH")]
    Port(String),
    /// The host is neither an IP address nor a DNS name.
    #[error("{0:?} is neither an IP address nor a DNS name")]
    Host(String),
    /// A Unix socket needs an absolute path.
    #[error("a Unix socket is written unix:/absolute/path, found {0:?}")]
    Path(String),
    /// A listener binds to an IP address.
    #[error("a listener binds to an IP address and port, [IPV6]:PORT, :PORT or unix:/PATH, found {0:?}")]
    Bind(String),
    /// Not an address range.
    #[error("{0:?} is not an address or a range such as 10.0.0.0/8 or fd00::/8")]
    Range(String),
}

fn parse_unix(text: &str) -> Option<Result<PathBuf, ParseAddressError>> {
    let path = text.strip_prefix("unix:")?;
    // 107 is what fits `sockaddr_un.sun_path` with its terminator.
    Some(if path.starts_with('/') && path.len() <= 107 {
        Ok(PathBuf::from(path))
    } else {
        Err(ParseAddressError::Path(text.to_owned()))
    })
}

impl FromStr for Bind {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = parse_unix(text) {
            return path.map(Self::Unix);
        }
        let full = if text.starts_with(':') { format!("[::]{text}") } else { text.replacen("localhost:", "127.0.0.1:", 1) };
        full.parse().map(Self::Tcp).map_err(|_| ParseAddressError::Bind(text.to_owned()))
    }
}

/// Tells whether `text` is a DNS name: labels of 1 to 63 letters, digits, `-` or `_`, 253 bytes in all (RFC 1123 section 2.1).
fn is_dns_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
        // All digits and dots would be a mistyped IPv4 address.
        && !text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = parse_unix(text) {
            return path.map(Self::Unix);
        }
        let bad_port = || ParseAddressError::Port(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(bad_port)?;
        let port: u16 = port.parse().map_err(|_| bad_port())?;
        if port == 0 {
            return Err(bad_port());
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        if !is_dns_name(host) {
            return Err(ParseAddressError::Host(host.to_owned()));
        }
        Ok(Self::Name { host: host.trim_end_matches('.').to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Serialize for Bind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A range of IP addresses in CIDR notation; a bare address is a range of one (RFC 4632 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpRange {
    first: IpAddr,
    prefix: u8,
}

impl IpRange {
    /// Tells whether `address` is in the range; an IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => mask4(first, self.prefix) == mask4(address, self.prefix),
            (IpAddr::V6(first), IpAddr::V6(address)) => mask6(first, self.prefix) == mask6(address, self.prefix),
            _ => false,
        }
    }
}

fn mask4(address: Ipv4Addr, prefix: u8) -> u32 {
    u32::from(address) & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask6(address: Ipv6Addr, prefix: u8) -> u128 {
    u128::from(address) & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for IpRange {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseAddressError::Range(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| bad())?;
        let widest = if first.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(widest);
        if prefix > widest {
            return Err(bad());
        }
        Ok(Self { first, prefix })
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl Serialize for IpRange {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_alike() {
        for text in ["10.0.0.1:80", "[::1]:8080", "agents.local:9000", "unix:/run/a.sock"] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
        for text in ["10.0.0.1", "10.0.0.999:80", "a b:80", ":80", "host:0", "host:70000", "unix:relative", "-a:80"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_bare_port_binds_every_address() {
        assert_eq!(":8080".parse::<Bind>().map(|b| b.to_string()), Ok("[::]:8080".to_owned()));
        assert!("name:80".parse::<Bind>().is_err());
    }

    #[test]
    fn ranges_contain_what_their_prefix_says() {
        let range: IpRange = "10.1.0.0/16".parse().unwrap();
        assert!(range.contains("10.1.2.3".parse().unwrap()));
        assert!(range.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!range.contains("10.2.0.0".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<IpRange>().unwrap().contains("9.9.9.9".parse().unwrap()));
        assert!("fd00::/8".parse::<IpRange>().unwrap().contains("fd12::1".parse().unwrap()));
        assert!("10.0.0.0/33".parse::<IpRange>().is_err());
    }
}
