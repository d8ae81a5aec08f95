//! A request's body on its way out, watched: the wait for a response must know whose turn it is.
//!
//! The clock of `first_byte` starts when the request has been sent. An upload that takes long is not a slow endpoint, and neither is a
//! client that pauses; an endpoint that takes no more of the body is.

use std::cell::Cell;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::upstream::clock::{after, since};

use super::alarm::{Alarm, Alarms};

/// What a request's body must be; every fitting body is one.
pub trait RequestBody: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + 'static {}

impl<B> RequestBody for B
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
}

/// How far a body is; shared by the body and whoever waits for the response.
#[derive(Debug, Default)]
pub(super) struct Progress {
    frames: Cell<u64>,
    phase: Cell<Phase>,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The connection's: it has not asked for the next frame, as the endpoint has not taken the last one.
    #[default]
    Endpoint,
    /// The client's: the connection has asked and waits.
    Client,
    /// Nobody's: the last frame was handed over at this moment.
    Ended(Instant),
    /// Nobody's: the body gave an error.
    Broken,
}

/// A body that is watched when it has something to send.
pub(super) struct Outgoing<B> {
    body: B,
    progress: Option<Rc<Progress>>,
}

impl Progress {
    /// Forgets the last body.
    pub(super) fn reset(&self) {
        self.frames.set(0);
        self.phase.set(Phase::Endpoint);
    }

    /// Tells whether the body gave an error.
    pub(super) fn is_broken(&self) -> bool {
        self.phase.get() == Phase::Broken
    }

    /// Returns until when to wait on, once a wait has run out; `seen` is how many frames had passed when it began.
    fn extended(&self, seen: &mut u64, limit: Duration) -> Option<Instant> {
        match self.phase.get() {
            Phase::Ended(at) => Some(since(at, limit)).filter(|end| *end > Instant::now()),
            Phase::Client => Some(after(limit)),
            Phase::Endpoint if self.frames.get() != *seen => {
                *seen = self.frames.get();
                Some(after(limit))
            }
            Phase::Endpoint | Phase::Broken => None,
        }
    }
}

impl<B> Outgoing<B> {
    /// Takes `body`, not watched yet.
    pub(super) fn new(body: B) -> Self {
        Self { body, progress: None }
    }

    /// Reports to `progress` from now on.
    pub(super) fn watch(&mut self, progress: Rc<Progress>) {
        self.progress = Some(progress);
    }
}

impl<B: RequestBody> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(progress) = &self.progress {
            progress.phase.set(match &polled {
                Poll::Pending => Phase::Client,
                Poll::Ready(Some(Ok(_))) => {
                    progress.frames.set(progress.frames.get().wrapping_add(1));
                    if self.body.is_end_stream() { Phase::Ended(Instant::now()) } else { Phase::Endpoint }
                }
                Poll::Ready(Some(Err(_))) => Phase::Broken,
                Poll::Ready(None) => Phase::Ended(Instant::now()),
            });
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    /// A wait for `answer`, at most for a limit after the request has been sent; `None` is a wait that ran out.
    ///
    /// A type of its own, as an `async` block would keep `answer` twice. Cancel safe as far as `answer` is.
    pub(super) struct Within<F> {
        #[pin]
        answer: F,
        progress: Option<Rc<Progress>>,
        clock: Option<Clock>,
    }
}

/// How long is waited.
struct Clock {
    limit: Duration,
    deadline: Instant,
    /// Frames of the request's body that had passed when the deadline was set.
    seen: u64,
    /// Taken from `alarms`, and put back when it has not rung.
    alarm: Alarm,
    alarms: Rc<Alarms>,
}

impl<F: Future> Within<F> {
    /// Waits from now on; one of `alarms` keeps the time.
    pub(super) fn new(answer: F, limit: Option<Duration>, progress: Option<Rc<Progress>>, alarms: &Rc<Alarms>) -> Self {
        let clock =
            limit.map(|limit| Clock { limit, deadline: after(limit), seen: 0, alarm: alarms.take(), alarms: Rc::clone(alarms) });
        Self { answer, progress, clock }
    }

    /// Tells whether the request's body gave an error.
    pub(super) fn is_broken(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| progress.is_broken())
    }
}

impl<F: Future> Future for Within<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.answer.poll(cx) {
            if let Some(clock) = this.clock.take() {
                clock.alarms.put_back(clock.alarm);
            }
            return Poll::Ready(Some(output));
        }
        let Some(clock) = this.clock else { return Poll::Pending };
        loop {
            ready!(clock.alarm.poll(clock.deadline, cx));
            match this.progress.as_ref().and_then(|progress| progress.extended(&mut clock.seen, clock.limit)) {
                Some(later) => clock.deadline = later,
                None => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, Full, StreamBody};
    use tokio::sync::mpsc;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn never() -> std::future::Pending<()> {
        std::future::pending()
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_body_the_wait_is_as_long_as_it_says() {
        let start = Instant::now();
        assert_eq!(Within::new(never(), Some(LIMIT), None, &Rc::default()).await, None);
        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_starts_when_the_last_frame_was_handed_over() {
        let progress = Rc::new(Progress::default());
        let mut body = Outgoing::new(Full::new(Bytes::from_static(b"x")));
        body.watch(Rc::clone(&progress));
        let start = Instant::now();
        let upload = async {
            progress.phase.set(Phase::Client);
            tokio::time::sleep(LIMIT * 3).await;
            assert!(body.frame().await.is_some());
            never().await;
        };
        assert_eq!(Within::new(upload, Some(LIMIT), Some(Rc::clone(&progress)), &Rc::default()).await, None);
        assert_eq!(start.elapsed(), LIMIT * 4);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_takes_no_more_of_the_body_runs_out_of_time() {
        let progress = Rc::new(Progress::default());
        progress.frames.set(7);
        let start = Instant::now();
        assert_eq!(Within::new(never(), Some(LIMIT), Some(progress), &Rc::default()).await, None);
        assert_eq!(start.elapsed(), LIMIT * 2);
    }

    #[tokio::test]
    async fn a_body_tells_whose_turn_it_is() {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Result<Frame<Bytes>, Infallible>>();
        let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
        let progress = Rc::new(Progress::default());
        let mut body = Outgoing::new(StreamBody::new(stream));
        body.watch(Rc::clone(&progress));
        assert!(futures_util::poll!(body.frame()).is_pending());
        assert_eq!(progress.phase.get(), Phase::Client);
        sender.send(Ok(Frame::data(Bytes::from_static(b"x")))).unwrap();
        assert!(body.frame().await.is_some());
        assert_eq!(progress.phase.get(), Phase::Endpoint);
        drop(sender);
        assert!(body.frame().await.is_none());
        assert!(matches!(progress.phase.get(), Phase::Ended(_)));
    }
}
