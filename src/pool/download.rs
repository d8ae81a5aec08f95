//! An endpoint's response body on its way to the client: one frame in, one frame out, never coalesced, never delayed.
//!
//! It holds what the response uses — the connection and the attempt's place in flight — until its last byte, and gives each back
//! according to how it ended. A body that ends early becomes an error, so that hyper cuts the client's message too.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::kit::clock::{self, Tick};
use crate::message::body::{Cut, IdleTimer, Upload};
use crate::model::{Outcome, Reason};
use crate::resilience::bulkhead::Slot;
use crate::upstream::{self, Lease};

use super::place::Place;
use super::slow::Slow;

/// Bytes of an answer that nobody will see which are read for the sake of the connection; a new one costs as much.
const DISCARDED: usize = 64 * 1024;

/// How long they may take.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// What a running response uses.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) lease: Lease<Upload>,
    pub(super) place: Place,
    /// The bulkhead's.
    pub(super) slot: Option<Slot>,
}

/// When the response ends at the latest, and whose turn it is until then.
#[derive(Debug)]
struct End {
    sleep: Pin<Box<Sleep>>,
    reason: Reason,
    /// Since when the client has not asked for more; `None` while the endpoint is asked.
    passed: Option<Tick>,
    /// How long it had not asked before.
    unread: Duration,
}

impl End {
    fn new(end: Instant, reason: Reason) -> Self {
        let sleep = Box::pin(tokio::time::sleep_until(end));
        Self { sleep, reason, passed: Some(clock::now()), unread: Duration::ZERO }
    }

    /// The client asks.
    fn asked(&mut self) {
        if let Some(passed) = self.passed.take() {
            self.unread += clock::now().since(passed);
        }
    }

    /// The client has got something, and may take its time.
    fn passed(&mut self) {
        self.passed = Some(clock::now());
    }
}

/// An endpoint's response body.
#[derive(Debug)]
pub struct Download {
    incoming: Incoming,
    held: Option<Held>,
    over: bool,
    /// Whether its status says that the endpoint failed.
    is_failure: bool,
    idle: IdleTimer,
    end: Option<End>,
    /// An injected fault.
    slow: Option<Box<Slow>>,
}

impl Download {
    /// Boxed, because it is moved with the response many times.
    pub(super) fn new(incoming: Incoming, held: Held, idle: Option<Duration>, end: Option<(Instant, Reason)>) -> Box<Self> {
        let end = end.map(|(end, reason)| End::new(end, reason));
        let idle = IdleTimer::new(idle, held.place.upload().cloned());
        let is_failure = held.place.is_failure();
        let mut body = Box::new(Self { incoming, held: Some(held), over: false, is_failure, idle, end, slow: None });
        // Nobody polls a body that has ended already.
        body.finish_if_ended();
        body
    }

    /// Tells whether every byte was handed on.
    pub fn is_over(&self) -> bool {
        self.over && !self.holds_back()
    }

    /// Tells whether an injected fault keeps what the endpoint has sent already.
    fn holds_back(&self) -> bool {
        self.slow.as_ref().is_some_and(|slow| slow.holds())
    }

    /// The empty body of a response that switched protocols: it keeps what the tunnel uses until [`Download::finish_switched`].
    pub(super) fn switched(incoming: Incoming, held: Held) -> Box<Self> {
        let idle = IdleTimer::new(None, None);
        Box::new(Self { incoming, held: Some(held), over: true, is_failure: false, idle, end: None, slow: None })
    }

    /// The tunnel has ended so.
    pub fn finish_switched(mut self, outcome: Outcome) {
        // The connection is not released: it became the tunnel and is gone.
        self.end_attempt(outcome);
    }

    /// Keeps `slot` to the last byte.
    pub(super) fn hold(&mut self, slot: Slot) {
        match &mut self.held {
            Some(held) => held.slot = Some(slot),
            // Nothing was to come after the head.
            None => end_slot(slot, Outcome::Completed, self.is_failure),
        }
    }

    /// Lets at most so many bytes pass in each second.
    pub(super) fn slow_down(&mut self, bytes_per_sec: u64) {
        self.slow = Some(Box::new(Slow::new(bytes_per_sec)));
    }

    /// Ends an answer that nobody will see, such as one that is tried again: the endpoint has answered, whatever is still to come.
    ///
    /// A short rest is read, so that the connection can serve again; as long as the endpoint sends, its slot is not free.
    pub fn discard(mut self: Box<Self>) {
        let Some(Held { lease, mut place, slot }) = self.held.take() else { return };
        if let Some(slot) = slot {
            end_slot(slot, Outcome::Completed, self.is_failure);
        }
        place.is_judged();
        tokio::task::spawn_local(async move {
            let mut left = DISCARDED;
            let read = async {
                while let Some(frame) = self.incoming.frame().await {
                    left = left.checked_sub(frame.ok()?.data_ref().map_or(0, Bytes::len))?;
                }
                Some(())
            };
            let read = tokio::time::timeout(DISCARD_TIME, read).await;
            // Before the slot is given to the next, who may need the connection.
            match read {
                Ok(Some(())) => lease.release(),
                Ok(None) | Err(_) => drop(lease),
            }
            place.ended(Outcome::Completed);
        });
    }

    fn end_attempt(&mut self, outcome: Outcome) -> Option<Lease<Upload>> {
        let Held { lease, mut place, slot, .. } = self.held.take()?;
        if let Some(slot) = slot {
            end_slot(slot, outcome, self.is_failure);
        }
        place.ended(outcome);
        Some(lease)
    }

    fn finish_if_ended(&mut self) {
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.over = true;
        if let Some(lease) = self.end_attempt(Outcome::Completed) {
            lease.release();
        }
    }

    fn cut(&mut self, reason: Reason) -> Cut {
        if let (Some(end), Some(held)) = (&self.end, &mut self.held) {
            held.place.ended_unread(Outcome::Truncated(reason), end.unread);
        }
        self.end_attempt(Outcome::Truncated(reason));
        Cut(reason)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self;
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.idle.moved();
                // Nothing follows trailers, and hyper's HTTP/1 server does not ask for what follows.
                if frame.is_trailers() {
                    this.finish();
                } else {
                    this.finish_if_ended();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                // A broken upload ends the exchange, and looks like an endpoint that broke off.
                let upload = this.held.as_ref().and_then(|held| held.place.upload()?.cut());
                Poll::Ready(Some(Err(this.cut(upload.unwrap_or_else(|| upstream::body_reason(&error))))))
            }
            Poll::Pending if this.held.is_none() => Poll::Pending,
            Poll::Pending => this.idle.poll_expired(cx).map(|()| Some(Err(this.cut(Reason::IdleTimeout)))),
        }
    }

    fn poll_slowly(&mut self, slow: &mut Slow, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if !slow.holds() {
            match std::task::ready!(self.poll_next(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => slow.push(data),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            }
        }
        slow.poll_part(cx).map(|part| Some(Ok(Frame::data(part))))
    }

    /// Polls the next frame, unless the time is over.
    fn poll_within(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        // First: an endpoint that always has a frame ready must not outlast its time.
        if let Poll::Ready(reason) = self.poll_end(cx) {
            return Poll::Ready(Some(Err(self.cut(reason))));
        }
        let Some(mut slow) = self.slow.take() else { return self.poll_next(cx) };
        let polled = self.poll_slowly(&mut slow, cx);
        self.slow = Some(slow);
        polled
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        let is_held_back = self.holds_back();
        match &mut self.end {
            Some(end) if self.held.is_some() || is_held_back => end.sleep.as_mut().poll(cx).map(|()| end.reason),
            _ => Poll::Pending,
        }
    }
}

fn end_slot(slot: Slot, outcome: Outcome, is_failure: bool) {
    match outcome {
        Outcome::Completed if !is_failure => slot.completed(),
        Outcome::Completed | Outcome::Failed(_) | Outcome::Truncated(_) => slot.failed(),
        Outcome::Aborted => drop(slot),
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        if let Some(end) = &mut this.end {
            end.asked();
        }
        let polled = this.poll_within(cx);
        if polled.is_ready()
            && let Some(end) = &mut this.end
        {
            end.passed();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream() && !self.holds_back()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.slow {
            None => self.incoming.size_hint(),
            // What is held back is no longer the body's to tell.
            Some(_) => SizeHint::default(),
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // Dropped with bytes to come: the client left. The lease closes the way to the endpoint, so that it can stop working.
        self.end_attempt(Outcome::Aborted);
    }
}
