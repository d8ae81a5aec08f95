//! Does to a call what an operator has switched on for its route: delay, abort, reset, slow body.
//!
//! Always in the stack, because it is switched on while requests run; off, it costs one load.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use fastrand::Rng;
use tower::{Layer, Service};

use super::call::{Answer, Answering, Call, Denied, Reply};
use crate::kit::clock;
use crate::model::Reason;
use crate::resilience::fault::{End, Injection, Switch};

/// Puts a [`Fault`] around a service.
#[derive(Clone, Debug)]
pub struct FaultLayer(Rc<Policy>);

/// Behind an `Rc`, so that a request does not count itself where all workers look.
#[derive(Debug)]
struct Policy {
    switch: Arc<Switch>,
}

/// Injects faults.
#[derive(Clone, Debug)]
pub struct Fault<S> {
    inner: S,
    policy: Rc<Policy>,
}

impl FaultLayer {
    /// Injects what `switch` says.
    pub(super) fn new(switch: Arc<Switch>) -> Self {
        Self(Rc::new(Policy { switch }))
    }
}

impl<S> Layer<S> for FaultLayer {
    type Service = Fault<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Fault { inner, policy: self.0.clone() }
    }
}

impl<S> Service<Box<Call>> for Fault<S>
where
    S: Service<Box<Call>, Response = Box<Reply>, Error = Box<Denied>, Future: Unpin> + Clone + 'static,
{
    type Response = Box<Reply>;
    type Error = Box<Denied>;
    type Future = FaultFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Box<Denied>>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Box<Call>) -> Self::Future {
        let injection = if self.policy.switch.is_on() { self.policy.switch.draw(call.started, &mut Rng::new()) } else { None };
        match injection {
            None => FaultFuture::Healthy(self.inner.call(call)),
            Some(injection) => FaultFuture::Faulty(Box::pin(inject(self.inner.clone(), call, injection))),
        }
    }
}

async fn inject<S>(mut inner: S, mut call: Box<Call>, injection: Injection) -> Answer
where
    S: Service<Box<Call>, Response = Box<Reply>, Error = Box<Denied>>,
{
    if let Some(delay) = injection.delay {
        tokio::time::sleep(delay).await;
        call.at = clock::now();
    }
    let mut denied = Denied::new(Reason::FaultInjected, "an operator has switched this fault on");
    match injection.end {
        End::Abort(status) => {
            denied.failure.status = Some(status);
            Err(denied)
        }
        End::Reset => {
            denied.reset = true;
            Err(denied)
        }
        End::None => {
            let mut reply = inner.call(call).await?;
            if let Some(bytes_per_sec) = injection.bytes_per_sec {
                reply.response.body_mut().slow_down(bytes_per_sec);
            }
            Ok(reply)
        }
    }
}

/// Resolves to the response, or to the fault.
pub enum FaultFuture<F> {
    /// Nothing is done to it.
    Healthy(F),
    /// Something is.
    Faulty(Answering),
}

impl<F: Future<Output = Answer> + Unpin> Future for FaultFuture<F> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Healthy(inner) => Pin::new(inner).poll(cx),
            Self::Faulty(inner) => inner.as_mut().poll(cx),
        }
    }
}
