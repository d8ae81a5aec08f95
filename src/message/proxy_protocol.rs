//! The PROXY protocol, versions 1 and 2: who the client is, told by the load balancer in front, before anything else on a connection
//! (haproxy.org `doc/proxy-protocol.txt`).
//!
//! Our own reader, because the crate at hand takes version 1 lines of any length and without their spaces, and refuses `LOCAL` headers
//! with an address block that the specification says to skip. Type-length-value extensions are skipped, not read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest version 1 line with its CRLF (section 2.1).
const MAX_V1: usize = 107;
/// What follows the fixed part of version 2; the format allows 65,535, real ones with every extension stay far below this.
const MAX_V2: usize = 4096;
/// What version 2 begins with (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_V2: usize = 16;
const PREFIX_V1: &[u8] = b"PROXY ";

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A header so far; needs more bytes. Never said of more than 4,112 bytes.
    Incomplete,
    /// A header.
    Header {
        /// The client, or `None` when the sender does not tell (`UNKNOWN`, `LOCAL`, a Unix socket): then the connection's own address counts.
        source: Option<SocketAddr>,
        /// How many bytes the header has; the client's own begin behind it.
        len: usize,
    },
    /// No header; the detail is for the log, because nobody can be answered.
    Invalid(&'static str),
}

/// Reads the header that `bytes`, everything received so far, begins with.
pub fn parse(bytes: &[u8]) -> Parsed {
    let begins_like = |start: &[u8]| bytes.iter().zip(start).all(|(byte, expected)| byte == expected);
    let parsed = if begins_like(PREFIX_V1) {
        parse_v1(bytes)
    } else if begins_like(SIGNATURE) {
        parse_v2(bytes)
    } else {
        Err("the connection does not begin with a PROXY header")
    };
    match parsed {
        Ok(Some((source, len))) => Parsed::Header { source, len },
        Ok(None) => Parsed::Incomplete,
        Err(detail) => Parsed::Invalid(detail),
    }
}

/// A source and a length, or `None` when bytes are missing.
type Read = Result<Option<(Option<SocketAddr>, usize)>, &'static str>;

fn parse_v1(bytes: &[u8]) -> Read {
    let window = &bytes[..bytes.len().min(MAX_V1)];
    let Some(feed) = memchr::memchr(b'\n', window) else {
        return if bytes.len() >= MAX_V1 { Err("a version 1 header is longer than 107 bytes") } else { Ok(None) };
    };
    let line = window[..feed].strip_suffix(b"\r").ok_or("a version 1 header does not end with CRLF")?;
    let line = std::str::from_utf8(line).map_err(|_| "a version 1 header is not ASCII")?;
    let rest = line.strip_prefix("PROXY ").ok_or("a version 1 header ends before its family")?;
    let mut words = rest.split(' ');
    let source = match words.next() {
        // Whatever follows is to be ignored.
        Some("UNKNOWN") => return Ok(Some((None, feed + 1))),
        Some("TCP4") => v1_source::<Ipv4Addr>(&mut words)?,
        Some("TCP6") => v1_source::<Ipv6Addr>(&mut words)?,
        _ => return Err("a version 1 header has an unknown family"),
    };
    if words.next().is_some() {
        return Err("a version 1 header has more than two addresses and two ports");
    }
    Ok(Some((Some(source), feed + 1)))
}

fn v1_source<'a, A: std::str::FromStr + Into<IpAddr>>(
    words: &mut impl Iterator<Item = &'a str>,
) -> Result<SocketAddr, &'static str> {
    let mut address = || words.next().and_then(|word| word.parse::<A>().ok()).ok_or("a version 1 header has a bad address");
    let (source, _destination) = (address()?, address()?);
    let mut port = || words.next().and_then(v1_port).ok_or("a version 1 header has a bad port");
    let (source_port, _destination_port) = (port()?, port()?);
    Ok(SocketAddr::new(source.into(), source_port))
}

/// Digits without sign and without leading zeros (section 2.1).
fn v1_port(word: &str) -> Option<u16> {
    let canonical = word == "0" || word.starts_with(|c: char| ('1'..='9').contains(&c));
    if canonical { word.parse().ok() } else { None }
}

fn parse_v2(bytes: &[u8]) -> Read {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_V2) else {
        return match bytes.get(12) {
            Some(0x20 | 0x21) | None => Ok(None),
            Some(_) => Err("a version 2 header has an unknown version or command"),
        };
    };
    let local = match fixed[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err("a version 2 header has an unknown version or command"),
    };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > MAX_V2 {
        return Err("a version 2 header is longer than 4 KiB");
    }
    let Some(block) = rest.get(..length) else { return Ok(None) };
    // Section 2.2: a LOCAL header's family and addresses are skipped, whatever they are.
    let source = if local { None } else { v2_source(fixed[13], block)? };
    Ok(Some((source, FIXED_V2 + length)))
}

fn v2_source(family: u8, block: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
    const SHORT: &str = "a version 2 header is too short for its addresses";
    match family {
        // Unspecified: the connection's own address counts.
        0x00 => Ok(None),
        0x11 => {
            let (addresses, _) = block.split_first_chunk::<12>().ok_or(SHORT)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            Ok(Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low]))))
        }
        0x21 => {
            let (addresses, _) = block.split_first_chunk::<36>().ok_or(SHORT)?;
            let (source, rest) = addresses.split_first_chunk::<16>().ok_or(SHORT)?;
            Ok(Some(SocketAddr::new(Ipv6Addr::from(*source).into(), u16::from_be_bytes([rest[16], rest[17]]))))
        }
        // Two paths of 108 bytes.
        0x31 if block.len() >= 216 => Ok(None),
        0x31 => Err(SHORT),
        _ => Err("a version 2 header has a family that is no stream"),
    }
}

#[cfg(test)]
mod tests;
