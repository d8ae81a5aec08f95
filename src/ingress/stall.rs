//! Ends an HTTP/2 stream whose client takes none of what waits for it, and leaves the others of its connection alone.
//!
//! A client that gives a stream no window holds up its response, and with it the endpoint's slot, for as long as it likes: the socket is idle, so the
//! sweep sees nothing, and hyper does not ask the body for more, so that the body cannot end either. But hyper runs each stream as a task
//! on our executor, so the task is where time is kept: from a frame that was handed on until the next one is asked for. Time in which the endpoint
//! has nothing to send does not count. HTTP/1 needs none of this; there the socket tells.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tracing::debug;

use super::watch::Watched;
use crate::telemetry::metrics::{Guard, ListenerCounters};

/// As much of a body as is handed on at once: the most that a client must take within the write timeout.
///
/// hyper gives h2 a frame as soon as there is any window, and asks for the next when all of it has left. The largest frame that a client
/// takes unasked (RFC 9113 section 4.2), so that no more frames are written than without.
pub(super) const PART: usize = 16 * 1024;

/// What the body of a stream did last while the stream's task ran; a connection has one, since its streams run one at a time.
#[derive(Debug, Default)]
pub(super) struct Turn(Cell<Event>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Event {
    /// Nothing asked it for a frame.
    #[default]
    Untouched,
    /// It had no frame.
    Empty,
    /// It handed one on.
    Handed,
    /// The stream is being ended.
    Cut,
}

impl Turn {
    /// The body was asked for a frame, and `had` one.
    pub(super) fn asked<T>(&self, had: &Poll<T>) {
        self.0.set(if had.is_ready() { Event::Handed } else { Event::Empty });
    }

    /// Tells whether the stream, whose body is just being dropped, is ended because its client takes nothing.
    pub(super) fn is_cut(&self) -> bool {
        self.0.get() == Event::Cut
    }
}

/// Runs the streams of one connection.
#[derive(Clone, Debug)]
pub(super) struct StreamExec(Rc<Streams>);

/// What the streams of one connection share.
#[derive(Debug)]
struct Streams {
    watched: Rc<Watched>,
    counters: Arc<ListenerCounters>,
}

impl StreamExec {
    pub(super) fn new(watched: Rc<Watched>, counters: Arc<ListenerCounters>) -> Self {
        Self(Rc::new(Streams { watched, counters }))
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for StreamExec {
    fn execute(&self, future: F) {
        // Detached: hyper's own tasks end with their connection.
        drop(tokio::task::spawn_local(Guarded::new(self.0.clone(), future)));
    }
}

pin_project! {
    /// The task of one stream.
    struct Guarded<F> {
        #[pin]
        stream: Option<F>,
        shared: Rc<Streams>,
        handed: Option<Instant>,
        sleep: Option<Pin<Box<Sleep>>>,
    }
}

impl<F> Guarded<F> {
    const fn new(shared: Rc<Streams>, stream: F) -> Self {
        Self { stream: Some(stream), shared, handed: None, sleep: None }
    }
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(stream) = this.stream.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let turn = &this.shared.watched.turn.0;
        turn.set(Event::Untouched);
        if stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match turn.get() {
            Event::Untouched | Event::Cut => {}
            Event::Empty => *this.handed = None,
            Event::Handed => *this.handed = Some(Instant::now()),
        }
        let Some(handed) = *this.handed else { return Poll::Pending };
        let end = handed + this.shared.watched.write_timeout();
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        loop {
            ready!(sleep.as_mut().poll(cx));
            // Set anew only when it has run out: a client that is slow takes something again and again.
            if end <= sleep.deadline() {
                break;
            }
            sleep.as_mut().reset(end);
        }
        this.shared.counters.cut(Guard::StreamWrite);
        debug!("A stream is reset, because its client takes none of it.");
        turn.set(Event::Cut);
        this.stream.set(None);
        turn.set(Event::Untouched);
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ingress::watch::Connections;
    use crate::model::ListenerTimeouts;

    const WRITE: Duration = Duration::from_secs(60);

    fn watched() -> Rc<Watched> {
        let seat = Rc::new(Connections::new(|_| {})).seat(1, &ListenerTimeouts::default());
        seat.watched.clone()
    }

    fn guarded<F>(watched: Rc<Watched>, stream: F) -> Guarded<F> {
        Guarded::new(Rc::new(Streams { watched, counters: Arc::default() }), stream)
    }

    /// Runs a stream whose body says this, one after the other, with as many seconds between, and then nothing more.
    async fn run(events: &[(u64, Option<Poll<()>>)]) -> Option<Duration> {
        let watched = watched();
        let (inside, events) = (watched.clone(), events.to_vec());
        let stream = async move {
            for (seconds, event) in events {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                if let Some(event) = event {
                    inside.turn.asked(&event);
                }
            }
            std::future::pending().await
        };
        let begun = Instant::now();
        let ended = tokio::time::timeout(WRITE * 100, guarded(watched, stream)).await;
        ended.ok().map(|()| begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_frame_is_not_taken_ends_after_the_write_timeout() {
        assert_eq!(run(&[(5, Some(Poll::Ready(())))]).await, Some(WRITE + Duration::from_secs(5)));
        // Woken for something else, it waits no longer.
        assert_eq!(run(&[(0, Some(Poll::Ready(()))), (50, None)]).await, Some(WRITE));
    }

    #[tokio::test(start_paused = true)]
    async fn each_frame_that_is_taken_gives_the_next_one_the_whole_time() {
        let events = [(0, Some(Poll::Ready(()))), (50, Some(Poll::Ready(()))), (50, Some(Poll::Ready(())))];
        assert_eq!(run(&events).await, Some(WRITE + Duration::from_secs(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_has_nothing_to_send_may_be_silent_for_ever() {
        assert_eq!(run(&[]).await, None);
        assert_eq!(run(&[(0, Some(Poll::Ready(()))), (50, Some(Poll::Pending))]).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_stream_holds_is_dropped_as_cut() {
        struct Body(Rc<Watched>, Rc<Cell<bool>>);
        impl Drop for Body {
            fn drop(&mut self) {
                self.1.set(self.0.turn.is_cut());
            }
        }
        for (stalls, cut) in [(true, true), (false, false)] {
            let (watched, told) = (watched(), Rc::<Cell<bool>>::default());
            let body = Body(watched.clone(), told.clone());
            let stream = async move {
                body.0.turn.asked(&Poll::Ready(()));
                if stalls {
                    std::future::pending::<()>().await;
                }
            };
            guarded(watched.clone(), stream).await;
            assert_eq!((told.get(), watched.turn.is_cut()), (cut, false));
        }
    }
}
