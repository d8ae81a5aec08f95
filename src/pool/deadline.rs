//! Ends a call that takes too long, from here to the last byte of its response.
//!
//! Until the response's head the layer's own timer counts; after it, the end travels with the body. The layer is only in the stack
//! when its limit is configured.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use tower::{Layer, Service};

use super::call::{Call, Denied, Tries, Trying};
use crate::model::Reason;

/// Puts a [`Deadline`] around a service.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer {
    limit: Duration,
    reason: Reason,
}

impl DeadlineLayer {
    /// Ends calls after `limit`, for `reason`.
    pub const fn new(limit: Duration, reason: Reason) -> Self {
        Self { limit, reason }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline { inner, layer: *self }
    }
}

/// Ends a call that takes too long.
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    inner: S,
    layer: DeadlineLayer,
}

impl<S: Service<Box<Call>, Error = Box<Denied>, Future: Unpin>> Service<Box<Call>> for Deadline<S> {
    type Response = S::Response;
    type Error = Box<Denied>;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Box<Denied>>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut call: Box<Call>) -> Self::Future {
        let end = Instant::now() + self.layer.limit;
        call.end_by(end, self.layer.reason);
        let trying = call.watch();
        let sleep = Box::pin(tokio::time::sleep_until(end));
        DeadlineFuture { inner: self.inner.call(call), sleep, reason: self.layer.reason, trying }
    }
}

/// Resolves to the response, or to the layer's reason.
#[derive(Debug)]
pub struct DeadlineFuture<F> {
    inner: F,
    sleep: Pin<Box<Sleep>>,
    reason: Reason,
    trying: Trying,
}

impl<F, R> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<R, Box<Denied>>> + Unpin,
{
    type Output = Result<R, Box<Denied>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Poll::Ready(result) = Pin::new(&mut this.inner).poll(cx) {
            return Poll::Ready(result);
        }
        this.sleep.as_mut().poll(cx).map(|()| {
            let mut denied = Denied::new(this.reason, "the time allowed by the route is over");
            denied.tries = Tries { attempts: this.trying.count(), skipped: None };
            denied.member = this.trying.last();
            denied.sent = true;
            Err(denied)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::clock;
    use crate::message::body::Upload;
    use tower::{ServiceExt, service_fn};

    fn call() -> Box<Call> {
        Call::new(http::Request::new(Upload::empty()), clock::now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_past_its_deadline_is_denied_with_the_layers_reason() {
        let stuck = service_fn(|_: Box<Call>| std::future::pending::<Result<(), Box<Denied>>>());
        let service = DeadlineLayer::new(Duration::from_secs(3), Reason::TotalTimeout).layer(stuck);
        let before = Instant::now();
        let denied = service.oneshot(call()).await.unwrap_err();
        assert_eq!(denied.failure.reason, Reason::TotalTimeout);
        assert_eq!(before.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_end_travels_with_the_call() {
        let seen = service_fn(|call: Box<Call>| std::future::ready(Ok::<_, Box<Denied>>(call.end)));
        let inner = DeadlineLayer::new(Duration::from_secs(1), Reason::AttemptTimeout).layer(seen);
        let outer = DeadlineLayer::new(Duration::from_secs(5), Reason::TotalTimeout).layer(inner);
        let expected = Instant::now() + Duration::from_secs(1);
        assert_eq!(outer.oneshot(call()).await.unwrap(), Some((expected, Reason::AttemptTimeout)));
    }
}
