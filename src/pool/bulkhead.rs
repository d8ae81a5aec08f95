//! Lets a call in when its bulkhead has a slot, or lets it wait for one; the slot is kept to the last byte of the answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;
use tower::{Layer, Service};

use super::call::{Answer, Answering, Call, Denied, Reply};
use crate::kit::clock;
use crate::model::{Priority, Reason};
use crate::resilience::bulkhead::{self, Slot};
use crate::resilience::queue::Refusal;

/// Puts a [`Bulkhead`] around a service.
#[derive(Clone, Debug)]
pub struct BulkheadLayer {
    shared: Arc<bulkhead::Bulkhead>,
    priority: Priority,
}

/// Lets calls in as their bulkhead allows.
#[derive(Clone, Debug)]
pub struct Bulkhead<S> {
    inner: S,
    layer: BulkheadLayer,
}

impl BulkheadLayer {
    /// Calls of `priority` need a slot of `shared`.
    pub(super) const fn new(shared: Arc<bulkhead::Bulkhead>, priority: Priority) -> Self {
        Self { shared, priority }
    }

    async fn wait(&self, call: &Call) -> Result<Slot, Box<Denied>> {
        let name = self.shared.name();
        let limit = self.shared.timeout();
        let wait = self.shared.wait(self.priority, call.started, clock::now()).map_err(|refusal| self.refused(refusal))?;
        match tokio::time::timeout(limit, wait).await {
            Ok(granted) => granted.map_err(|refusal| self.refused(refusal)),
            Err(_) => Err(Denied::new(Reason::BulkheadTimeout, format!("no slot of bulkhead {name} became free within {limit:?}"))
                .after(self.shared.advice(clock::now()))),
        }
    }

    fn refused(&self, refusal: Refusal) -> Box<Denied> {
        let name = self.shared.name();
        let denied = match refusal {
            Refusal::Full => {
                Denied::new(Reason::BulkheadFull, format!("every slot of bulkhead {name} and every place in its queue is taken"))
            }
            Refusal::Displaced => {
                Denied::new(Reason::Displaced, format!("a more important request took the place in the queue of bulkhead {name}"))
            }
        };
        denied.after(self.shared.advice(clock::now()))
    }
}

impl<S> Layer<S> for BulkheadLayer {
    type Service = Bulkhead<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Bulkhead { inner, layer: self.clone() }
    }
}

impl<S> Service<Box<Call>> for Bulkhead<S>
where
    S: Service<Box<Call>, Response = Box<Reply>, Error = Box<Denied>, Future: Unpin> + Clone + 'static,
{
    type Response = Box<Reply>;
    type Error = Box<Denied>;
    type Future = BulkheadFuture<S::Future>;

    /// Always ready: whether there is a slot, the call finds out.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Box<Denied>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut call: Box<Call>) -> Self::Future {
        let end = call.end.map(|(end, _)| end);
        if let Some(slot) = self.layer.shared.try_enter() {
            return BulkheadFuture::Inside(self.inner.call(call), Entered { slot: Some(slot), end });
        }
        let Self { mut inner, layer } = self.clone();
        BulkheadFuture::Waiting(Box::pin(async move {
            let mut entered = Entered { slot: Some(layer.wait(&call).await?), end };
            call.at = clock::now();
            entered.keep(inner.call(call).await)
        }))
    }
}

/// Resolves to the response, which holds the slot.
pub enum BulkheadFuture<F> {
    /// Has a slot.
    Inside(F, Entered),
    /// Waits for one.
    Waiting(Answering),
}

impl<F: Future<Output = Answer> + Unpin> Future for BulkheadFuture<F> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Inside(inner, entered) => {
                let result = std::task::ready!(Pin::new(inner).poll(cx));
                Poll::Ready(entered.keep(result))
            }
            Self::Waiting(inner) => inner.as_mut().poll(cx),
        }
    }
}

/// A slot until there is an answer that holds it; dropped before, the client has left, or the time allowed is over, which is a failure.
pub struct Entered {
    slot: Option<Slot>,
    /// When the time allowed is over.
    end: Option<Instant>,
}

impl Entered {
    fn keep(&mut self, mut result: Answer) -> Answer {
        match (&mut result, self.slot.take()) {
            (Ok(reply), Some(slot)) => reply.response.body_mut().hold(slot),
            (Err(_), Some(slot)) => slot.failed(),
            (_, None) => {}
        }
        result
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.end.is_some_and(|end| end <= Instant::now())
            && let Some(slot) = self.slot.take()
        {
            slot.failed();
        }
    }
}
