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
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::endpoint::Attempt;
use crate::kit::clock;
use crate::message::body::{Cut, IdleTimer};
use crate::model::{Outcome, Reason};
use crate::upstream::Lease;

use super::member::Tally;

/// What a running response uses.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) lease: Lease,
    pub(super) attempt: Attempt,
    pub(super) tally: Tally,
}

/// An endpoint's response body.
#[derive(Debug)]
pub struct Download {
    incoming: Incoming,
    held: Option<Held>,
    idle: IdleTimer,
    end: Option<(Pin<Box<Sleep>>, Reason)>,
}

impl Download {
    pub(super) fn new(incoming: Incoming, held: Held, idle: Option<Duration>, end: Option<(Instant, Reason)>) -> Self {
        let end = end.map(|(end, reason)| (Box::pin(tokio::time::sleep_until(end)), reason));
        let mut body = Self { incoming, held: Some(held), idle: IdleTimer::new(idle), end };
        // Nobody polls a body that has ended already.
        body.finish_if_ended();
        body
    }

    fn finish_if_ended(&mut self) {
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(held) = self.held.take() {
            let now = clock::now();
            held.lease.release();
            held.tally.ended(Outcome::Completed, held.attempt.started(), now);
            held.attempt.finish(Outcome::Completed, now);
        }
    }

    fn cut(&mut self, reason: Reason) -> Cut {
        if let Some(held) = self.held.take() {
            let now = clock::now();
            held.tally.ended(Outcome::Truncated(reason), held.attempt.started(), now);
            held.attempt.finish(Outcome::Truncated(reason), now);
        }
        Cut(reason)
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        if let Some((sleep, reason)) = &mut self.end
            && sleep.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(*reason);
        }
        self.idle.poll_expired(cx).map(|()| Reason::IdleTimeout)
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.idle.moved();
                this.finish_if_ended();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(this.cut(Reason::EndpointTruncated)))),
            Poll::Pending if this.held.is_none() => Poll::Pending,
            Poll::Pending => this.poll_timers(cx).map(|reason| Some(Err(this.cut(reason)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // Dropped with bytes to come: the client left. The lease closes the way to the endpoint, so that it can stop working.
        if let Some(held) = self.held.take() {
            held.tally.ended(Outcome::Aborted, held.attempt.started(), clock::now());
        }
    }
}
