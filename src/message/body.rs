//! A client's request body on its way to an endpoint: counted, limited, and never silent for longer than allowed.
//!
//! Frames pass one by one, as they come. What is deliberately not here: what is kept for another attempt ([`replay`](super::replay)).

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::replay::{Reader, Replay, Room};
use crate::model::Reason;

/// Why a body was cut. As an error of a body it makes hyper cut the message too, so that it never looks complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut(pub Reason);

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl std::error::Error for Cut {}

/// What is known of a request body while it moves; shared by the body and whoever waits for the response.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: Cell<u64>,
    cut: Cell<Option<Reason>>,
    moved: Cell<Option<Instant>>,
    /// Since when the client is waited for.
    asked: Cell<Option<Instant>>,
    /// How long it was waited for before.
    waited: Cell<Duration>,
}

impl Progress {
    /// Returns how many bytes have passed.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Returns why the body was cut, when it was.
    pub fn cut(&self) -> Option<Reason> {
        self.cut.get()
    }

    /// Tells whether it is the client's turn: the endpoint has taken all that came, and asks for more.
    pub fn is_awaited(&self) -> bool {
        self.asked.get().is_some()
    }

    /// Returns how long the client was waited for so far, over all attempts.
    pub fn waited(&self, now: Instant) -> Duration {
        self.waited.get() + self.asked.get().map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked))
    }

    /// An attempt begins: it is nobody's turn but the endpoint's until the body is asked for more than is here.
    pub fn begin(&self, now: Instant) {
        self.waited.set(self.waited(now));
        self.asked.set(None);
    }

    fn ask(&self) {
        if !self.is_awaited() {
            self.asked.set(Some(Instant::now()));
        }
    }

    fn answer(&self) {
        if self.is_awaited() {
            self.begin(Instant::now());
        }
    }
}

/// A timer that starts when a body has nothing to give, and is rewound by every frame.
///
/// The bodies of one request share what rewinds them: a stream of both directions is not silent while one side speaks.
#[derive(Debug)]
pub struct IdleTimer {
    limit: Option<Duration>,
    shared: Option<Rc<Progress>>,
    moved: Option<Instant>,
    waiting: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    /// A timer of `limit`, rewound by whatever moves on `shared` too; without a limit it never ends.
    pub const fn new(limit: Option<Duration>, shared: Option<Rc<Progress>>) -> Self {
        Self { limit, shared, moved: None, waiting: false, sleep: None }
    }

    /// Notes that a frame came.
    pub fn moved(&mut self) {
        self.waiting = false;
        // What nobody shares is noted when the wait begins.
        if self.limit.is_some() && self.shared.is_some() {
            self.note();
        }
    }

    /// Is ready once nothing came for the whole limit.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else { return Poll::Pending };
        if !self.waiting {
            // Time in which nobody asked for a frame is no silence.
            self.waiting = true;
            self.note();
        }
        loop {
            let end = self.last().map_or_else(Instant::now, |moved| moved + limit);
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
            std::task::ready!(sleep.as_mut().poll(cx));
            // Set anew only when it has run out: frames come more often than silence.
            if end <= sleep.deadline() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(end);
        }
    }

    fn note(&mut self) {
        let now = Some(Instant::now());
        match &self.shared {
            Some(shared) => shared.moved.set(now),
            None => self.moved = now,
        }
    }

    fn last(&self) -> Option<Instant> {
        self.shared.as_ref().map_or(self.moved, |shared| shared.moved.get())
    }
}

/// A request's body on its way to an endpoint; most requests have none.
#[derive(Debug, Default)]
pub struct Upload {
    /// Boxed: a request is moved more often than a body is.
    source: Option<Box<Source>>,
}

#[derive(Debug)]
enum Source {
    /// As it comes from the client.
    Client(ClientBody),
    /// Kept while it passes, so that it can pass again.
    Kept(Reader),
}

/// A client's request body: counted, limited, never silent for longer than allowed.
#[derive(Debug)]
pub(super) struct ClientBody {
    inner: Option<Incoming>,
    progress: Rc<Progress>,
    left: u64,
    idle: IdleTimer,
}

impl Upload {
    /// No body.
    pub const fn empty() -> Self {
        Self { source: None }
    }

    /// Passes on `incoming`, at most `limit` bytes of it.
    pub fn new(incoming: Incoming, limit: Option<u64>) -> Self {
        if incoming.is_end_stream() {
            return Self::empty();
        }
        let progress = Rc::<Progress>::default();
        let idle = IdleTimer::new(None, Some(progress.clone()));
        let body = ClientBody { inner: Some(incoming), progress, left: limit.unwrap_or(u64::MAX), idle };
        Self { source: Some(Box::new(Source::Client(body))) }
    }

    /// Lets at most `idle` pass between two frames that come from the client.
    pub fn limit_silence(&mut self, idle: Option<Duration>) {
        if let Some(Source::Client(body)) = self.source.as_deref_mut() {
            body.idle.limit = idle;
        }
    }

    /// A body that `reader` gives.
    pub(super) fn kept(reader: Reader) -> Self {
        Self { source: Some(Box::new(Source::Kept(reader))) }
    }

    /// Keeps what passes from now on, at most `limit` bytes (the largest, when others want it kept) and as long as `room` has place; `None` when
    /// there is no body.
    pub fn keep(&mut self, limit: u64, room: impl FnOnce() -> Box<dyn Room>) -> Option<Replay> {
        match *self.source.take()? {
            Source::Client(body) => {
                let (replay, reader) = Replay::new(body, limit, room());
                *self = Self::kept(reader);
                Some(replay)
            }
            Source::Kept(reader) => {
                let replay = reader.replay(limit);
                *self = Self::kept(reader);
                Some(replay)
            }
        }
    }

    /// Returns the shared progress; `None` when there is no body.
    pub fn progress(&self) -> Option<Rc<Progress>> {
        match self.source.as_deref()? {
            Source::Client(body) => Some(body.progress()),
            Source::Kept(reader) => Some(reader.progress()),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.source.as_deref_mut() {
            None => Poll::Ready(None),
            Some(Source::Client(body)) => body.poll_frame(cx),
            Some(Source::Kept(reader)) => reader.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.source.as_deref() {
            None => true,
            Some(Source::Client(body)) => body.is_over(),
            Some(Source::Kept(reader)) => reader.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.source.as_deref() {
            None => SizeHint::with_exact(0),
            Some(Source::Client(body)) => body.size_hint(),
            Some(Source::Kept(reader)) => reader.size_hint(),
        }
    }
}

impl ClientBody {
    pub(super) fn progress(&self) -> Rc<Progress> {
        self.progress.clone()
    }

    pub(super) fn is_over(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Some(inner) = &mut self.inner else {
            // A reader that comes after the cut must not take it for the end.
            return Poll::Ready(self.progress.cut.get().map(|reason| Err(Cut(reason))));
        };
        let polled = Pin::new(inner).poll_frame(cx);
        match &polled {
            Poll::Pending => self.progress.ask(),
            Poll::Ready(_) => self.progress.answer(),
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.moved();
                Poll::Ready(Some(self.count(&frame).map(|()| frame)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(self.cut(Reason::RequestBodyBroken)))),
            Poll::Ready(None) => {
                self.inner = None;
                Poll::Ready(None)
            }
            Poll::Pending => self.idle.poll_expired(cx).map(|()| Some(Err(self.cut(Reason::RequestBodyTimeout)))),
        }
    }

    fn cut(&mut self, reason: Reason) -> Cut {
        self.inner = None;
        self.progress.cut.set(Some(reason));
        Cut(reason)
    }

    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), Cut> {
        let Some(data) = frame.data_ref() else { return Ok(()) };
        let length = data.len() as u64;
        if length > self.left {
            return Err(self.cut(Reason::BodyTooLarge));
        }
        self.left -= length;
        self.progress.bytes.set(self.progress.bytes.get() + length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_frame_in_one_direction_rewinds_the_other() {
        let progress = Rc::<Progress>::default();
        let mut silent = IdleTimer::new(Some(LIMIT), Some(progress.clone()));
        let mut busy = IdleTimer::new(Some(LIMIT), Some(progress));
        let begun = Instant::now();
        let speak = async {
            for _ in 0..4 {
                tokio::time::sleep(LIMIT / 2).await;
                busy.moved();
            }
        };
        tokio::join!(poll_fn(|cx| silent.poll_expired(cx)), speak);
        assert_eq!(begun.elapsed(), LIMIT * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_client_is_waited_for_while_it_is_asked_and_no_attempt_takes_over_the_turn_of_the_one_before() {
        let progress = Progress::default();
        let mut waited = Vec::new();
        for step in 0..5 {
            match step {
                0 | 3 => progress.ask(),
                1 => progress.answer(),
                4 => progress.begin(Instant::now()),
                _ => {}
            }
            tokio::time::advance(LIMIT).await;
            waited.push((progress.is_awaited(), progress.waited(Instant::now())));
        }
        let expected = [(true, 1), (false, 1), (false, 1), (true, 2), (false, 2)];
        assert_eq!(waited, expected.map(|(awaited, times)| (awaited, LIMIT * times)));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_asked_is_no_silence() {
        let mut timer = IdleTimer::new(Some(LIMIT), None);
        timer.moved();
        tokio::time::advance(LIMIT * 2).await;
        let begun = Instant::now();
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(begun.elapsed(), LIMIT);
    }
}
