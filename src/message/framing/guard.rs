//! The guard itself: which part of the stream comes next, and what may be handed on.

use super::super::Refusal;
use super::chunks::{Chunks, End};
use super::fields::{Framing, LastHost};
use super::head::{Progress, Section};
use crate::model::{self, Reason};

/// The header map behind panics beyond 24,576 fields; a listener's limit that is larger is cut here.
const MAX_HEADERS: u16 = 16_384;

/// What a head may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fields of a head; also of a trailer section.
    pub headers: u16,
    /// Bytes of a head with all its line ends; also of a trailer section.
    pub header_bytes: u32,
    /// Bytes of the request line with its line end; not more than `header_bytes`.
    pub request_line: u32,
}

impl From<&model::Limits> for Limits {
    fn from(limits: &model::Limits) -> Self {
        Self { headers: limits.headers, header_bytes: limits.header_bytes, request_line: limits.request_line }
    }
}

/// What became of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// How many bytes from its start may be handed on now: complete heads, and everything of bodies.
    pub pass: usize,
    /// What the rest is.
    pub verdict: Verdict,
}

/// What the bytes are that may not be handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There are none.
    AllPassed,
    /// An incomplete head or trailer section: to be offered again, from its start, with more bytes behind it.
    NeedMore,
    /// A head that is refused. Nothing of it was passed: an answer can be given in its place, then the connection closes.
    RefuseHead(Refusal),
    /// The rest of a body that is refused; its request was passed. Only closing the connection is left.
    RefuseBody(Refusal),
}

/// Follows what a client sends on one HTTP/1 connection.
///
/// After a refusal every call returns that refusal and passes nothing.
#[derive(Debug)]
pub struct Guard {
    limits: Limits,
    state: State,
    section: Section,
    hosts: LastHost,
    heads_passed: u64,
    /// The last head asked to make the connection a tunnel.
    tunnel_asked: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Length(u64),
    Chunks(Chunks),
    Trailers,
    Tunnel,
    Refused(Verdict),
}

impl Guard {
    /// A guard at the start of a connection.
    pub fn new(limits: Limits) -> Self {
        let limits = Limits {
            headers: limits.headers.min(MAX_HEADERS),
            request_line: limits.request_line.min(limits.header_bytes),
            ..limits
        };
        Self {
            limits,
            state: State::Head,
            section: Section::default(),
            hosts: LastHost::default(),
            heads_passed: 0,
            tunnel_asked: false,
        }
    }

    /// Looks at `bytes`: what the last call did not pass, with what has come since.
    ///
    /// Costs one search for line ends and one look at each byte of a head; data of bodies is skipped.
    pub fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let mut pass = 0;
        loop {
            let rest = &bytes[pass..];
            let verdict = match &mut self.state {
                State::Head | State::Trailers if rest.is_empty() => Verdict::AllPassed,
                State::Head => match self.section.advance(rest, self.limits, &mut self.hosts) {
                    Ok(Progress::Complete(length)) => {
                        pass += length;
                        self.end_head();
                        continue;
                    }
                    Ok(Progress::Partial) => Verdict::NeedMore,
                    Err(refusal) => self.refuse(Verdict::RefuseHead(refusal)),
                },
                State::Length(left) => {
                    let skipped = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left -= skipped as u64;
                    pass += skipped;
                    if *left > 0 {
                        Verdict::AllPassed
                    } else {
                        self.end_body();
                        continue;
                    }
                }
                State::Chunks(chunks) => {
                    let step = chunks.advance(rest);
                    pass += step.used;
                    match step.end {
                        End::More => Verdict::AllPassed,
                        End::Bad(refusal) => self.refuse(Verdict::RefuseBody(refusal)),
                        End::Trailers => {
                            self.section = Section::trailer();
                            self.state = State::Trailers;
                            continue;
                        }
                    }
                }
                State::Trailers => match self.section.advance(rest, self.limits, &mut self.hosts) {
                    Ok(Progress::Complete(length)) => {
                        pass += length;
                        self.end_body();
                        continue;
                    }
                    Ok(Progress::Partial) => Verdict::NeedMore,
                    // The head is through: whatever the trailer's fault is, it is the body that is broken.
                    Err(refusal) => self.refuse(Verdict::RefuseBody(Refusal { reason: Reason::RequestBodyBroken, ..refusal })),
                },
                State::Tunnel => return Scanned { pass: bytes.len(), verdict: Verdict::AllPassed },
                State::Refused(verdict) => *verdict,
            };
            return Scanned { pass, verdict };
        }
    }

    /// Returns how many heads were passed.
    pub const fn heads_passed(&self) -> u64 {
        self.heads_passed
    }

    /// Tells whether the last head asked for a protocol switch. What follows it and its body passes unseen, so that the caller must close
    /// the connection when the switch does not happen.
    pub const fn tunnel_asked(&self) -> bool {
        self.tunnel_asked
    }

    /// Tells whether a request has begun and is not complete: false between requests, when a connection may be closed without loss.
    pub const fn in_request(&self) -> bool {
        match self.state {
            State::Head => self.section.has_begun(),
            State::Length(_) | State::Chunks(_) | State::Trailers | State::Tunnel => true,
            State::Refused(_) => false,
        }
    }

    /// Tells whether a chunked body has ended but for its trailers.
    pub const fn in_trailers(&self) -> bool {
        matches!(self.state, State::Trailers)
    }

    fn end_head(&mut self) {
        let section = std::mem::take(&mut self.section);
        self.heads_passed += 1;
        self.tunnel_asked = section.asks_for_tunnel();
        match section.fields.framing {
            Framing::None | Framing::Length(0) => self.end_body(),
            Framing::Length(length) => self.state = State::Length(length),
            Framing::Chunked => self.state = State::Chunks(Chunks::default()),
        }
    }

    fn end_body(&mut self) {
        self.section = Section::default();
        self.state = if self.tunnel_asked { State::Tunnel } else { State::Head };
    }

    fn refuse(&mut self, verdict: Verdict) -> Verdict {
        self.state = State::Refused(verdict);
        verdict
    }
}
