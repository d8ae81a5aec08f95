//! Heads and trailer sections, line by line; remembers how far it came, so that no byte is searched twice.

use super::super::{Refusal, host};
use super::Limits;
use super::fields::{Fields, LastHost, is_head_only};
use super::line::{Found, is_token, next_line, split_field};
use crate::model::Reason;

/// The longest method; the longest registered one has 17.
const MAX_METHOD: usize = 32;
/// The longest target that the URI type behind can hold.
const MAX_TARGET: usize = 65_534;
/// What a request line ends with but for the last digit, space included.
const VERSION: &[u8] = b" HTTP/1.";

/// Where a byte may stand in a request target: bit 0 in its path, bit 1 in its query.
///
/// Takes exactly what the URI type behind takes, but for `#` (a fragment is never sent) and bytes above 127.
const TARGET: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        let b = byte as u8;
        let path = !matches!(b, b'#' | b'<' | b'>' | b'`' | b'?');
        let query = !matches!(b, b'#' | b'<' | b'>' | b'"');
        table[byte] = path as u8 | (query as u8) << 1;
        byte += 1;
    }
    table
};

/// A head or trailer section that is being read.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// Where the current line begins.
    line: usize,
    /// How far the search for its end came.
    searched: usize,
    /// How many fields were taken.
    count: u16,
    part: Part,
    /// What the fields say.
    pub(super) fields: Fields,
    /// The authority of an absolute target, as a range of the section.
    authority: Option<(usize, usize)>,
    http11: bool,
}

/// What the next line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// The request line, or one empty line before it.
    #[default]
    Start,
    /// The request line.
    RequestLine,
    /// A field of a head, or its end.
    Field,
    /// A field of a trailer section, or its end.
    Trailer,
}

/// What has become of a section.
pub(super) enum Progress {
    /// It is complete, and this long.
    Complete(usize),
    /// Its end is not there yet.
    Partial,
}

impl Section {
    /// A trailer section.
    pub(super) fn trailer() -> Self {
        Self { part: Part::Trailer, ..Self::default() }
    }

    /// Goes on with `bytes`, which begin where the section begins and hold at least what they held the last time.
    pub(super) fn advance(&mut self, bytes: &[u8], limits: Limits, hosts: &mut LastHost) -> Result<Progress, Refusal> {
        if bytes.len() < self.searched {
            return Ok(Progress::Partial);
        }
        loop {
            // What a line may use is looked at before what it says, so that it does not matter how the bytes were cut.
            match next_line(bytes, self.line, self.searched) {
                Ok(Found::Line(line, next)) => {
                    self.check_size(next, limits)?;
                    let start = std::mem::replace(&mut self.line, next);
                    self.searched = next;
                    if self.take_line(bytes, line, start, limits, hosts)? {
                        return Ok(Progress::Complete(next));
                    }
                }
                Ok(Found::None) => {
                    self.searched = bytes.len();
                    self.check_size(bytes.len(), limits)?;
                    return Ok(Progress::Partial);
                }
                Err(refusal) => {
                    let feed = memchr::memchr(b'\n', &bytes[self.searched..]).unwrap_or(0);
                    self.check_size(self.searched + feed + 1, limits)?;
                    return Err(refusal);
                }
            }
        }
    }

    /// Checks what is used when the current line goes on to `end`.
    fn check_size(&self, end: usize, limits: Limits) -> Result<(), Refusal> {
        let in_request_line = matches!(self.part, Part::Start | Part::RequestLine);
        // From the start, empty line included: then the smaller limit is always the first to be hit, however the bytes were cut.
        if in_request_line && end > limits.request_line as usize {
            return Err(Refusal::new(Reason::TargetTooLong, "the request line is longer than this listener takes"));
        }
        if end > limits.header_bytes as usize {
            return Err(Refusal::new(Reason::HeaderTooLarge, "the header is larger than this listener takes"));
        }
        Ok(())
    }

    /// Takes the line that began at `start`; tells whether it was the last.
    fn take_line(
        &mut self,
        bytes: &[u8],
        line: &[u8],
        start: usize,
        limits: Limits,
        hosts: &mut LastHost,
    ) -> Result<bool, Refusal> {
        match self.part {
            Part::Start if line.is_empty() => {
                self.part = Part::RequestLine;
                Ok(false)
            }
            Part::Start | Part::RequestLine => {
                self.take_request_line(line, start)?;
                self.part = Part::Field;
                Ok(false)
            }
            Part::Field if line.is_empty() => self.finish().map(|()| true),
            Part::Field => {
                self.count_field(limits)?;
                let (name, value) = split_field(line)?;
                let host_before = self.fields.host_seen;
                self.fields.take(name, value, self.http11, hosts)?;
                if self.fields.host_seen != host_before {
                    self.compare_host(bytes, value)?;
                }
                Ok(false)
            }
            Part::Trailer if line.is_empty() => Ok(true),
            Part::Trailer => {
                self.count_field(limits)?;
                let (name, _) = split_field(line)?;
                if is_head_only(name) {
                    return Err(Refusal::new(Reason::AmbiguousFraming, "a trailer has a field that belongs in the head"));
                }
                Ok(false)
            }
        }
    }

    fn count_field(&mut self, limits: Limits) -> Result<(), Refusal> {
        if self.count >= limits.headers {
            return Err(Refusal::new(Reason::TooManyHeaders, "there are more fields than this listener takes"));
        }
        self.count += 1;
        Ok(())
    }

    fn take_request_line(&mut self, line: &[u8], start: usize) -> Result<(), Refusal> {
        let space = memchr::memchr(b' ', line).ok_or_else(|| bad_line(line))?;
        let method = &line[..space];
        if method.len() > MAX_METHOD || !is_token(method) {
            return Err(bad_method(line, method));
        }
        if method == b"CONNECT" {
            return Err(Refusal::new(Reason::ConnectRefused, "this proxy opens no tunnels"));
        }
        let target_and_version = &line[space + 1..];
        let target = match target_and_version {
            [target @ .., minor @ (b'0' | b'1')] if target.ends_with(VERSION) => {
                self.http11 = *minor == b'1';
                &target[..target.len() - VERSION.len()]
            }
            _ => return Err(bad_line(line)),
        };
        self.take_target(method, target, start + space + 1)
    }

    fn take_target(&mut self, method: &[u8], target: &[u8], at: usize) -> Result<(), Refusal> {
        if target.len() > MAX_TARGET {
            return Err(Refusal::new(Reason::TargetTooLong, "the request target is longer than 65534 bytes"));
        }
        match target.first() {
            Some(b'/') => check_path_and_query(target),
            Some(b'*') if target.len() == 1 => asterisk(method),
            None | Some(b' ' | b'\t') => Err(bad_line(target)),
            Some(_) => self.take_absolute(target, at),
        }
    }

    /// Takes a target of the form `http://host/path` (RFC 9112 section 3.2.2).
    fn take_absolute(&mut self, target: &[u8], at: usize) -> Result<(), Refusal> {
        let scheme = [&b"http://"[..], b"https://"]
            .into_iter()
            .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
            .map(<[u8]>::len)
            .ok_or_else(|| bad_target(target))?;
        let rest = &target[scheme..];
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        check_path_and_query(&rest[end..])?;
        host::check(&rest[..end])?;
        self.authority = Some((at + scheme, at + scheme + end));
        Ok(())
    }

    /// RFC 9112 section 3.2.2 lets the target win over a `Host` that differs; two hosts in one request are refused here instead.
    fn compare_host(&self, bytes: &[u8], host: &[u8]) -> Result<(), Refusal> {
        match self.authority {
            Some((start, end)) if !bytes[start..end].eq_ignore_ascii_case(host) => {
                Err(Refusal::new(Reason::InvalidHost, "Host and request target name different hosts"))
            }
            _ => Ok(()),
        }
    }

    fn finish(&self) -> Result<(), Refusal> {
        // RFC 9112 section 3.2: HTTP/1.1 always has one.
        if self.http11 && !self.fields.host_seen {
            return Err(Refusal::new(Reason::InvalidHost, "there is no Host"));
        }
        Ok(())
    }

    /// Tells whether the connection may become a tunnel after this request; HTTP/1.0 has no upgrades.
    pub(super) const fn asks_for_tunnel(&self) -> bool {
        self.http11 && self.fields.asks_for_tunnel()
    }

    /// Tells whether anything was taken.
    pub(super) const fn has_begun(&self) -> bool {
        self.searched > 0
    }
}

fn asterisk(method: &[u8]) -> Result<(), Refusal> {
    if method == b"OPTIONS" { Ok(()) } else { Err(Refusal::new(Reason::InvalidTarget, "only OPTIONS has the target *")) }
}

/// Without an early way out in the path, so that the common case runs without branches on the data.
fn check_path_and_query(target: &[u8]) -> Result<(), Refusal> {
    let (path, query) = target.split_at(memchr::memchr(b'?', target).unwrap_or(target.len()));
    let ok = |part: &[u8], bit: u8| part.iter().fold(bit, |all, byte| all & TARGET[usize::from(*byte)]) == bit;
    if ok(path, 1) && ok(query, 2) { Ok(()) } else { Err(bad_target(target)) }
}

#[cold]
fn bad_line(line: &[u8]) -> Refusal {
    let detail = if line.contains(&b'\r') {
        return Refusal::new(Reason::AmbiguousFraming, "a carriage return stands alone");
    } else if line.rsplit(|byte| *byte == b' ').next().is_some_and(|last| last.starts_with(b"HTTP/")) {
        "the request line has a version other than HTTP/1.0 and HTTP/1.1, or white space at a wrong place"
    } else {
        "the request line is not a method, a target and a version with one space between them"
    };
    Refusal::new(Reason::MalformedRequest, detail)
}

#[cold]
fn bad_method(line: &[u8], method: &[u8]) -> Refusal {
    if method.is_empty() || line.contains(&b'\r') {
        bad_line(line)
    } else if method.len() > MAX_METHOD {
        Refusal::new(Reason::MalformedRequest, "the method is longer than 32 bytes")
    } else {
        Refusal::new(Reason::MalformedRequest, "the method is not a token")
    }
}

#[cold]
fn bad_target(target: &[u8]) -> Refusal {
    match target.iter().find(|byte| !matches!(byte, b'!'..=b'~')) {
        Some(b'\r') => Refusal::new(Reason::AmbiguousFraming, "a carriage return stands alone"),
        Some(b' ' | b'\t') => Refusal::new(Reason::MalformedRequest, "the request target has white space in it"),
        Some(..=b' ' | 0x7f) => Refusal::new(Reason::InvalidTarget, "the request target has a control character"),
        Some(_) => Refusal::new(Reason::InvalidTarget, "the request target has a byte above 127 that is not percent-encoded"),
        None if target.contains(&b'#') => Refusal::new(Reason::InvalidTarget, "the request target has a fragment"),
        None if target.first() == Some(&b'/') || target.windows(3).any(|part| part == b"://") => Refusal::new(
            Reason::InvalidTarget,
            "the request target has a character that must be percent-encoded, or an unknown scheme",
        ),
        None => Refusal::new(Reason::InvalidTarget, "the request target is neither a path nor an http or https URL"),
    }
}
