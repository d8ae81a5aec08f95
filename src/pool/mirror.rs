//! Sends copies of requests to a shadow pool and throws the answers away.
//!
//! The copy goes out once the real request has been answered or has failed, so that it cannot delay it; its own failures are only counted. A
//! request whose body is larger than the limit, or still on its way then, is not copied.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use tower::{Layer, Service};

use super::call::{Answer, Call, Denied, Reply, Terms};
use super::dispatch::Dispatch;
use super::route_state::RouteState;
use super::seat::Seat;
use super::spare::Spare;
use crate::model;
use crate::resilience::shadow::Shadow;
use crate::resilience::shed::ReplayMemory;

/// Copies that run at once on a worker and a route; a shadow pool that hangs must not gather memory here.
const MAX_RUNNING: u32 = 128;

/// How long a copy may run.
const LONGEST: Duration = Duration::from_secs(60);

/// Puts a [`Mirror`] around a service.
#[derive(Clone, Debug)]
pub struct MirrorLayer(Rc<Policy>);

#[derive(Debug)]
struct Policy {
    settings: model::Mirror,
    target: Seat<Dispatch>,
    counts: Arc<Shadow>,
    memory: Arc<ReplayMemory>,
    running: Cell<u32>,
}

/// Copies requests.
#[derive(Clone, Debug)]
pub struct Mirror<S> {
    inner: S,
    policy: Rc<Policy>,
}

impl MirrorLayer {
    /// Copies requests to `target` as `settings` say.
    pub(super) fn new(settings: model::Mirror, target: Seat<Dispatch>, state: &RouteState) -> Self {
        let (counts, memory) = (state.shadow.clone(), state.memory.clone());
        Self(Rc::new(Policy { settings, target, counts, memory, running: Cell::new(0) }))
    }
}

impl<S> Layer<S> for MirrorLayer {
    type Service = Mirror<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Mirror { inner, policy: self.0.clone() }
    }
}

impl<S> Service<Box<Call>> for Mirror<S>
where
    S: Service<Box<Call>, Response = Box<Reply>, Error = Box<Denied>, Future: Unpin>,
{
    type Response = Box<Reply>;
    type Error = Box<Denied>;
    type Future = MirrorFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Box<Denied>>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut call: Box<Call>) -> Self::Future {
        let copied = fastrand::f64() < self.policy.settings.share && !call.switches();
        let copy = copied.then(|| {
            let spare = Spare::of(&mut call, self.policy.settings.body_buffer, &self.policy.memory);
            // Its own life: neither the deadline nor the attempts of the real one are its.
            Box::new((spare, call.terms().alone(), self.policy.clone()))
        });
        MirrorFuture { inner: self.inner.call(call), copy }
    }
}

/// Resolves as the service below does, and then sends the copy.
pub struct MirrorFuture<F> {
    inner: F,
    copy: Option<Box<(Spare, Terms, Rc<Policy>)>>,
}

impl<F: Future<Output = Answer> + Unpin> Future for MirrorFuture<F> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let result = std::task::ready!(Pin::new(&mut this.inner).poll(cx));
        if let Some((spare, terms, policy)) = this.copy.take().map(|copy| *copy) {
            send(&spare, &terms, policy);
        }
        Poll::Ready(result)
    }
}

fn send(spare: &Spare, terms: &Terms, policy: Rc<Policy>) {
    if !spare.is_whole() || policy.running.get() >= MAX_RUNNING {
        policy.counts.skipped();
        return;
    }
    policy.counts.sent();
    policy.running.set(policy.running.get() + 1);
    let call = terms.call(spare.request());
    // Ends by itself, at the latest when its time is over.
    tokio::task::spawn_local(async move {
        let mut target = policy.target.clone();
        let exchange = async {
            let mut body = target.call(call).await.ok()?.response.into_body();
            while let Some(frame) = body.frame().await {
                frame.ok()?;
            }
            Some(())
        };
        if !matches!(tokio::time::timeout(LONGEST, exchange).await, Ok(Some(()))) {
            policy.counts.failed();
        }
        policy.running.set(policy.running.get() - 1);
    });
}
