//! The shards: what one worker counts of one listener, route or endpoint. Each has one writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::histogram::{Histogram, add};
use crate::model::{Outcome, Reason};

/// Status classes: 1xx to 5xx, and what is none of them.
pub(super) const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Kinds of failure before a connection gets to HTTP.
pub(super) const HANDSHAKE_KINDS: [&str; 5] = ["socket", "proxy_protocol", "tls", "closed", "timeout"];

/// Outcomes, in the order of their counters.
pub(super) const OUTCOMES: [&str; 4] = ["completed", "failed", "truncated", "aborted"];

/// What cuts a client's connection, or one of its streams, that takes too long or does harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// A head, or the trailers of a body, did not arrive in time.
    Header,
    /// No request came in time after the connection was opened.
    NoRequest,
    /// No further request came in time.
    KeepAlive,
    /// The client took none of the bytes that were there for it, or did not close when it should.
    Write,
    /// The client took none of one stream's bytes; its connection lives on.
    StreamWrite,
    /// The client broke the rules, or reset streams, more often than is allowed.
    Flood,
    /// The client did not answer a PING.
    Ping,
}

/// Requests of one route on one listener.
#[derive(Debug)]
pub struct RequestCounters {
    pub(super) in_flight: AtomicU64,
    pub(super) classes: [AtomicU64; CLASSES.len()],
    pub(super) reasons: Box<[AtomicU64]>,
    pub(super) duration: Histogram,
    pub(super) first_byte: Histogram,
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
}

/// Attempts on one endpoint.
#[derive(Debug)]
pub struct EndpointCounters {
    pub(super) outcomes: [AtomicU64; OUTCOMES.len()],
    pub(super) reasons: Box<[AtomicU64]>,
    pub(super) duration: Histogram,
    pub(super) first_byte: Histogram,
    pub(super) opened: AtomicU64,
    pub(super) reused: AtomicU64,
}

/// Connections of one listener.
#[derive(Debug, Default)]
pub struct ListenerCounters {
    pub(super) accepted: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) handshakes: [AtomicU64; HANDSHAKE_KINDS.len()],
    pub(super) http1: AtomicU64,
    pub(super) http2: AtomicU64,
    pub(super) cuts: [AtomicU64; Guard::ALL.len()],
}

impl Guard {
    /// Every guard.
    pub const ALL: [Self; 7] =
        [Self::Header, Self::NoRequest, Self::KeepAlive, Self::Write, Self::StreamWrite, Self::Flood, Self::Ping];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::NoRequest => "no_request",
            Self::KeepAlive => "keep_alive",
            Self::Write => "write",
            Self::StreamWrite => "stream_write",
            Self::Flood => "flood",
            Self::Ping => "ping",
        }
    }
}

fn reasons() -> Box<[AtomicU64]> {
    Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect()
}

fn subtract(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).saturating_sub(amount), Relaxed);
}

impl Default for RequestCounters {
    fn default() -> Self {
        Self {
            in_flight: AtomicU64::default(),
            classes: <[AtomicU64; CLASSES.len()]>::default(),
            reasons: reasons(),
            duration: Histogram::default(),
            first_byte: Histogram::default(),
            received: AtomicU64::default(),
            sent: AtomicU64::default(),
        }
    }
}

/// The figures of a request that is over.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The status that was sent.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// From its head to its last byte.
    pub duration: Duration,
    /// From its head to the response's, when an endpoint answered.
    pub first_byte: Option<Duration>,
    /// Bytes of its body.
    pub received: u64,
    /// Bytes of the response's body.
    pub sent: u64,
}

impl RequestCounters {
    /// A request was matched.
    pub fn begin(&self) {
        add(&self.in_flight, 1);
    }

    /// A matched request is over.
    pub fn end(&self) {
        subtract(&self.in_flight, 1);
    }

    /// Counts a request that is over.
    pub fn ended(&self, ended: &Ended) {
        let class = usize::from(ended.status / 100);
        add(&self.classes[if class < CLASSES.len() { class } else { 0 }], 1);
        if let Some(reason) = ended.outcome.reason() {
            add(&self.reasons[reason as usize], 1);
        }
        self.duration.record(ended.duration);
        if let Some(first_byte) = ended.first_byte {
            self.first_byte.record(first_byte);
        }
        add(&self.received, ended.received);
        add(&self.sent, ended.sent);
    }
}

impl Default for EndpointCounters {
    fn default() -> Self {
        Self {
            outcomes: <[AtomicU64; OUTCOMES.len()]>::default(),
            reasons: reasons(),
            duration: Histogram::default(),
            first_byte: Histogram::default(),
            opened: AtomicU64::default(),
            reused: AtomicU64::default(),
        }
    }
}

impl EndpointCounters {
    /// The endpoint answered, over a connection that was `reused` or opened for it.
    pub fn answered(&self, first_byte: Duration, reused: bool) {
        self.first_byte.record(first_byte);
        add(if reused { &self.reused } else { &self.opened }, 1);
    }

    /// An attempt is over.
    pub fn ended(&self, outcome: Outcome, duration: Duration) {
        let place = match outcome {
            Outcome::Completed => 0,
            Outcome::Failed(_) => 1,
            Outcome::Truncated(_) => 2,
            Outcome::Aborted => 3,
        };
        add(&self.outcomes[place], 1);
        if let Some(reason) = outcome.reason() {
            add(&self.reasons[reason as usize], 1);
        }
        self.duration.record(duration);
    }
}

impl ListenerCounters {
    /// A connection was accepted; it is open until the answer is dropped.
    pub fn accepted(self: &Arc<Self>) -> Open {
        add(&self.accepted, 1);
        add(&self.open, 1);
        Open(self.clone())
    }

    /// A connection could not be accepted.
    pub fn refused(&self) {
        add(&self.refused, 1);
    }

    /// A connection ended before HTTP; unknown kinds are not counted.
    pub fn handshake_failed(&self, kind: &str) {
        if let Some(place) = HANDSHAKE_KINDS.iter().position(|known| *known == kind) {
            add(&self.handshakes[place], 1);
        }
    }

    /// A guard has cut a connection or a stream.
    pub fn cut(&self, guard: Guard) {
        if let Some(counter) = self.cuts.get(guard as usize) {
            add(counter, 1);
        }
    }

    /// A connection speaks HTTP/1 or HTTP/2.
    pub fn speaks(&self, http2: bool) {
        add(if http2 { &self.http2 } else { &self.http1 }, 1);
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Open(Arc<ListenerCounters>);

impl Drop for Open {
    fn drop(&mut self) {
        subtract(&self.0.open, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_has_its_own_count() {
        let counters = ListenerCounters::default();
        for (n, guard) in Guard::ALL.into_iter().enumerate() {
            (0..=n).for_each(|_| counters.cut(guard));
        }
        let counts: Vec<_> = counters.cuts.iter().map(|count| count.load(Relaxed)).collect();
        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7]);
    }
}
