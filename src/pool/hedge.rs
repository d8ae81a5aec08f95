//! Sends a second attempt beside one that is slow, and takes whichever answers first.
//!
//! Only for idempotent requests of which everything is here: the second one must be able to start at once. It goes to another endpoint when
//! there is one. The loser is dropped, which cancels it at its endpoint.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Sleep;
use tower::{Layer, Service};

use super::call::{Answer, Call, Denied, Reply, Terms, Trying};
use super::route_state::RouteState;
use super::spare::Spare;
use crate::kit::clock::{self, Tick};
use crate::resilience::hedge::Hedging;
use crate::resilience::retry::is_idempotent;
use crate::resilience::shed::ReplayMemory;

/// Bytes of a request body that are kept for the second attempt; what is idempotent is seldom large.
const BODY: u64 = 64 * 1024;

/// Puts a [`Hedge`] around a service.
#[derive(Clone, Debug)]
pub struct HedgeLayer {
    shared: Arc<Hedging>,
    memory: Arc<ReplayMemory>,
}

/// Sends second attempts beside slow ones.
#[derive(Clone, Debug)]
pub struct Hedge<S> {
    inner: S,
    layer: HedgeLayer,
}

impl HedgeLayer {
    /// Hedges by the figures and on the account of `shared`.
    pub(super) fn new(shared: Arc<Hedging>, state: &RouteState) -> Self {
        Self { shared, memory: state.memory.clone() }
    }
}

impl<S> Layer<S> for HedgeLayer {
    type Service = Hedge<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Hedge { inner, layer: self.clone() }
    }
}

impl<S> Service<Box<Call>> for Hedge<S>
where
    S: Service<Box<Call>, Response = Box<Reply>, Error = Box<Denied>, Future: Unpin> + Clone + Unpin,
{
    type Response = Box<Reply>;
    type Error = Box<Denied>;
    type Future = HedgeFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Box<Denied>>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut call: Box<Call>) -> Self::Future {
        let begun = clock::now();
        self.layer.shared.note_request(begun);
        let delay = self.layer.shared.delay(begun).filter(|_| is_idempotent(call.request.method()) && !call.switches());
        let trying = delay.map(|_| call.watch());
        let spare = delay.map(|delay| {
            let spare = Spare::of(&mut call, BODY, &self.layer.memory);
            let timer = Box::pin(tokio::time::sleep(delay));
            Box::new(Second { spare, terms: call.terms(), timer })
        });
        HedgeFuture { service: self.clone(), begun, first: Some(self.inner.call(call)), second: None, trying, spare }
    }
}

/// Resolves to the first answer, or to the last failure.
pub struct HedgeFuture<S: Service<Box<Call>>> {
    service: Hedge<S>,
    begun: Tick,
    first: Option<S::Future>,
    second: Option<S::Future>,
    /// The attempts of both, when there may be a second.
    trying: Option<Trying>,
    /// What a second attempt needs, until it is sent or given up.
    spare: Option<Box<Second>>,
}

struct Second {
    spare: Spare,
    terms: Terms,
    timer: Pin<Box<Sleep>>,
}

impl<S> HedgeFuture<S>
where
    S: Service<Box<Call>, Response = Box<Reply>, Error = Box<Denied>, Future: Unpin> + Clone + Unpin,
{
    /// Returns how many attempts were made in all, those included that have failed or still run beside the one that says `own`.
    fn attempts(&self, own: u32) -> u32 {
        self.trying.as_ref().map_or(own, |trying| trying.count())
    }

    /// Sends the second attempt when the first has been slow for long enough.
    fn poll_second(&mut self, cx: &mut Context<'_>) {
        let Some(second) = &mut self.spare else { return };
        if second.timer.as_mut().poll(cx).is_pending() {
            return;
        }
        let Some(second) = self.spare.take() else { return };
        // A request that has no endpoint yet would only wait twice.
        let Some(slow) = self.trying.as_ref().and_then(|trying| trying.last()) else { return };
        if !second.spare.is_whole() || !self.service.layer.shared.spend(clock::now()) {
            return;
        }
        let mut terms = second.terms.beside();
        terms.tried.push(slow.endpoint.serial());
        self.second = Some(self.service.inner.call(terms.call(second.spare.request())));
    }
}

impl<S> Future for HedgeFuture<S>
where
    S: Service<Box<Call>, Response = Box<Reply>, Error = Box<Denied>, Future: Unpin> + Clone + Unpin,
{
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let first = poll_one(&mut this.first, cx);
        if first.is_none() && this.second.is_none() {
            this.poll_second(cx);
        }
        let second = if first.as_ref().is_some_and(Result::is_ok) { None } else { poll_one(&mut this.second, cx) };
        let mut last = None;
        for result in [first, second].into_iter().flatten() {
            match result {
                Ok(mut reply) => {
                    // A failure that comes fast says nothing of how long a good answer takes.
                    if !reply.response.status().is_server_error() {
                        let now = clock::now();
                        this.service.layer.shared.record(now.since(this.begun), now);
                    }
                    reply.tries.attempts = this.attempts(reply.tries.attempts);
                    return Poll::Ready(Ok(reply));
                }
                Err(denied) => last = Some(denied),
            }
        }
        match last {
            Some(mut denied) if this.first.is_none() && this.second.is_none() => {
                denied.tries.attempts = this.attempts(denied.tries.attempts);
                Poll::Ready(Err(denied))
            }
            // The other one may still answer.
            _ => Poll::Pending,
        }
    }
}

/// Polls an attempt that runs; one that has ended is gone.
fn poll_one<F: Future + Unpin>(attempt: &mut Option<F>, cx: &mut Context<'_>) -> Option<F::Output> {
    match Pin::new(attempt.as_mut()?).poll(cx) {
        Poll::Ready(result) => {
            *attempt = None;
            Some(result)
        }
        Poll::Pending => None,
    }
}
