//! What the fields of a head mean for where the message ends, who it is for, and what follows it.

use super::super::{Refusal, hop, host};
use super::line::trim;
use crate::model::Reason;

/// The server behind keeps the two largest numbers for itself.
const MAX_LENGTH: u64 = u64::MAX - 2;

/// How long the body of a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Framing {
    /// Nothing said: no body.
    #[default]
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What has been learned from the fields of one head so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields {
    pub(super) framing: Framing,
    pub(super) host_seen: bool,
    connection_upgrade: bool,
    upgrade_lines: u8,
    upgrade_usable: bool,
}

/// The last host of a connection that was found good: nearly every request has the same.
#[derive(Debug, Default)]
pub(super) struct LastHost(Vec<u8>);

impl LastHost {
    fn check(&mut self, value: &[u8]) -> Result<(), Refusal> {
        // The empty host is bad, so that the beginning is no exception.
        if value != self.0 || value.is_empty() {
            host::check(value)?;
            value.clone_into(&mut self.0);
        }
        Ok(())
    }
}

/// The fields that the guard looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Host,
    Upgrade,
    Connection,
    ContentLength,
    TransferEncoding,
}

impl Fields {
    /// Takes one field of a request; `http11` tells the version.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8], http11: bool, hosts: &mut LastHost) -> Result<(), Refusal> {
        match classify(name) {
            None => Ok(()),
            Some(Known::Host) => self.take_host(value, hosts),
            Some(Known::ContentLength) => self.take_length(value),
            Some(Known::TransferEncoding) => self.take_coding(value, http11),
            Some(Known::Connection) => {
                self.connection_upgrade |= hop::has_token(value, b"upgrade");
                Ok(())
            }
            Some(Known::Upgrade) => {
                self.upgrade_lines = self.upgrade_lines.saturating_add(1);
                self.upgrade_usable = hop::is_tunnel_protocol(value);
                Ok(())
            }
        }
    }

    /// Tells whether the connection may become a tunnel after this request; agrees with `hop::upgrade_wanted`.
    pub(super) const fn asks_for_tunnel(&self) -> bool {
        self.connection_upgrade && self.upgrade_lines == 1 && self.upgrade_usable
    }

    fn take_host(&mut self, value: &[u8], hosts: &mut LastHost) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.host_seen, true) {
            return Err(Refusal::new(Reason::InvalidHost, "there is more than one Host"));
        }
        hosts.check(value)
    }

    fn take_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        match self.framing {
            Framing::None => self.framing = Framing::Length(parse_length(value)?),
            // Equal lengths are refused with differing ones: a sender that repeats itself does not know what it sends.
            Framing::Length(_) => return Err(ambiguous("there is more than one Content-Length")),
            Framing::Chunked => return Err(both()),
        }
        Ok(())
    }

    fn take_coding(&mut self, value: &[u8], http11: bool) -> Result<(), Refusal> {
        if !http11 {
            return Err(ambiguous("HTTP/1.0 has no Transfer-Encoding"));
        }
        match self.framing {
            Framing::None if value.eq_ignore_ascii_case(b"chunked") => self.framing = Framing::Chunked,
            Framing::None => return Err(bad_coding(value)),
            Framing::Length(_) => return Err(both()),
            Framing::Chunked => return Err(ambiguous("there is more than one Transfer-Encoding")),
        }
        Ok(())
    }
}

/// Tells whether a field must not be in a trailer, because it says how a message is framed or routed (RFC 9110 section 6.5.1).
pub(super) fn is_head_only(name: &[u8]) -> bool {
    classify(name).is_some()
}

/// By length first: most names of a request have a length that none of these has.
fn classify(name: &[u8]) -> Option<Known> {
    let (known, text): (Known, &[u8]) = match name.len() {
        4 => (Known::Host, b"host"),
        7 => (Known::Upgrade, b"upgrade"),
        10 => (Known::Connection, b"connection"),
        14 => (Known::ContentLength, b"content-length"),
        17 => (Known::TransferEncoding, b"transfer-encoding"),
        _ => return None,
    };
    name.eq_ignore_ascii_case(text).then_some(known)
}

fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    const BAD: Refusal = ambiguous("Content-Length is not a number");
    if value.is_empty() {
        return Err(BAD);
    }
    let mut length = 0_u64;
    for digit in value {
        if !digit.is_ascii_digit() {
            return Err(BAD);
        }
        length = length
            .checked_mul(10)
            .and_then(|length| length.checked_add(u64::from(digit - b'0')))
            .filter(|length| *length <= MAX_LENGTH)
            .ok_or(ambiguous("Content-Length is too large a number"))?;
    }
    Ok(length)
}

const fn ambiguous(detail: &'static str) -> Refusal {
    Refusal::new(Reason::AmbiguousFraming, detail)
}

const fn both() -> Refusal {
    ambiguous("Content-Length and Transfer-Encoding are both there")
}

/// Tells codings that we do not know from a `chunked` at the wrong place (RFC 9112 section 6.1).
#[cold]
fn bad_coding(value: &[u8]) -> Refusal {
    let is_chunked = |coding: &[u8]| trim(coding).eq_ignore_ascii_case(b"chunked");
    let mut codings = value.split(|byte| *byte == b',');
    if codings.clone().any(|coding| trim(coding).is_empty()) {
        return ambiguous("Transfer-Encoding has an empty coding");
    }
    let last_is_chunked = codings.next_back().is_some_and(is_chunked);
    let chunked_before_last = codings.any(is_chunked);
    match (chunked_before_last, last_is_chunked) {
        (true, true) => ambiguous("Transfer-Encoding has chunked more than once"),
        (true, false) => ambiguous("Transfer-Encoding has chunked before another coding"),
        (false, _) => Refusal::new(Reason::UnknownTransferCoding, "the only transfer coding taken is chunked, alone"),
    }
}
