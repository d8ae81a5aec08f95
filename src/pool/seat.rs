//! Finds a place for a call: an endpoint, one of its slots, and its breaker's pass; or waits for one in the pool's queue.
//!
//! A place that is free at once costs a pick. Only a call that must wait gets a timer and a box.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tower::{Layer, Service};

use super::call::{Call, Denied, Reply};
use super::local::Local;
use super::place::Place;
use crate::balance::NoPick;
use crate::kit::clock::{self, Tick};
use crate::model::{Priority, Reason, Route};
use crate::resilience::queue::{Refusal, Want};

/// Picks after which a call stops to look for a breaker that admits it: each refusal has set the endpoint's bit, so that the next pick sees
/// fewer.
const MAX_PICKS: usize = 16;

/// Puts a [`Seat`] around a service.
#[derive(Clone, Debug)]
pub struct SeatLayer {
    pool: Rc<Local>,
    policy: Rc<Policy>,
}

#[derive(Debug)]
struct Policy {
    require: Box<[Box<str>]>,
    priority: Priority,
    /// The route's own; the pool's counts when `None`.
    timeout: Option<Duration>,
}

/// Finds a place for each call.
#[derive(Clone, Debug)]
pub struct Seat<S> {
    inner: S,
    layer: SeatLayer,
}

impl SeatLayer {
    pub(super) fn new(pool: &Rc<Local>, route: &Route) -> Self {
        let require = route.require.iter().map(|name| name.as_str().into()).collect();
        let policy = Policy { require, priority: route.policies.priority, timeout: route.timeouts.queue };
        Self { pool: pool.clone(), policy: Rc::new(policy) }
    }

    /// Looks for a place that is free now.
    fn look(&self, call: &Call, now: Tick) -> Result<Place, NoPick> {
        let mut refusal = NoPick::Unavailable;
        for _ in 0..MAX_PICKS {
            let member = self.pool.pick(&self.policy.require, call, now)?;
            match Place::take(&member, now) {
                Some(place) => return Ok(place),
                // Another worker was faster, for the slot or for the half-open breaker's probe.
                None => refusal = NoPick::Full,
            }
        }
        Err(refusal)
    }

    /// Waits for a place.
    async fn wait(&self, call: &Call) -> Result<Place, Denied> {
        let queue = self.pool.queue();
        let limit = self.policy.timeout.unwrap_or_else(|| queue.timeout());
        let deadline = tokio::time::Instant::now() + limit;
        let (mut returns, mut strangers) = (false, Vec::new());
        loop {
            let now = clock::now();
            let required = self.policy.require.iter().chain(&call.required).cloned().collect();
            let want =
                Want { required, priority: self.policy.priority, arrived: call.started, returns, strangers: strangers.clone() };
            let wait = queue.wait(want, now).map_err(|refusal| self.refused(refusal, now))?;
            let attempt = match tokio::time::timeout_at(deadline, wait).await {
                Ok(granted) => granted.map_err(|refusal| self.refused(refusal, clock::now()))?,
                Err(_) => return Err(self.late(limit)),
            };
            let now = clock::now();
            returns = true;
            // A member that this worker has not heard of yet, or a probe that somebody else has taken: once more, at the old place in the line.
            match self.pool.member_of(attempt.endpoint()) {
                Some(member) => {
                    if let Some(place) = Place::with(&member, attempt, now) {
                        return Ok(place);
                    }
                }
                None => {
                    let endpoint = attempt.endpoint().clone();
                    attempt.withdraw();
                    queue.freed(&endpoint, now);
                    // Else the same grant would come again and again, until every worker has read its post.
                    strangers.push(endpoint.serial());
                }
            }
        }
    }

    fn refused(&self, refusal: Refusal, now: Tick) -> Denied {
        let (queue, name) = (self.pool.queue(), self.pool.model().name.clone());
        match refusal {
            Refusal::Full => {
                Denied::new(Reason::QueueFull, format!("every slot of pool {name} and every place in its queue is taken"))
            }
            Refusal::Displaced => {
                Denied::new(Reason::Displaced, format!("a more important request took the place in the queue of pool {name}"))
            }
        }
        .after(queue.advice(now))
    }

    fn late(&self, limit: Duration) -> Denied {
        let (queue, name) = (self.pool.queue(), self.pool.model().name.clone());
        let wait = queue.advice(clock::now());
        Denied::new(Reason::QueueTimeout, format!("no slot of pool {name} became free within {limit:?}")).after(wait)
    }

    fn no_place(&self, call: &Call, reason: NoPick, now: Tick) -> Denied {
        let name = self.pool.model().name.clone();
        match reason {
            NoPick::Empty => Denied::new(Reason::NoEndpoint, format!("pool {name} has no endpoint")),
            NoPick::Unavailable => match self.pool.breakers_open_for(now) {
                Some(wait) => Denied::new(Reason::BreakerOpen, format!("every circuit breaker of pool {name} is open"))
                    .after(wait.max(Duration::from_secs(1))),
                None => Denied::new(
                    Reason::NoAvailableEndpoint,
                    format!("every endpoint of pool {name} is unavailable or has weight 0"),
                ),
            },
            NoPick::Full => Denied::new(Reason::QueueFull, format!("every slot of pool {name} is taken, and it has no queue"))
                .after(Duration::from_secs(1)),
            NoPick::Capability => {
                let wanted: Vec<&str> = self.policy.require.iter().chain(&call.required).map(AsRef::as_ref).collect();
                let detail = format!("no endpoint of pool {name} offers all of: {}", wanted.join(", "));
                Denied::new(Reason::CapabilityUnavailable, detail)
            }
        }
    }
}

impl<S> Layer<S> for SeatLayer {
    type Service = Seat<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Seat { inner, layer: self.clone() }
    }
}

impl<S> Service<Call> for Seat<S>
where
    S: Service<Call, Response = Reply, Error = Denied, Future: Unpin> + Clone + 'static,
{
    type Response = Reply;
    type Error = Denied;
    type Future = SeatFuture<S::Future>;

    /// Always ready: a place depends on the call.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Denied>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        let now = clock::now();
        let queue = self.layer.pool.queue();
        // Who comes while others wait must not be served before them.
        let found = if queue.is_busy() {
            Err(self.layer.pool.crowded(&self.layer.policy.require, &call))
        } else {
            self.layer.look(&call, now)
        };
        match found {
            Ok(place) => {
                call.place = Some(place);
                SeatFuture::Found(self.inner.call(call))
            }
            Err(NoPick::Empty | NoPick::Unavailable | NoPick::Full) if queue.is_on() => {
                let Self { mut inner, layer } = self.clone();
                SeatFuture::Waiting(Box::pin(async move {
                    call.place = Some(layer.wait(&call).await?);
                    inner.call(call).await
                }))
            }
            Err(reason) => SeatFuture::Refused(Some(Box::new(self.layer.no_place(&call, reason, now)))),
        }
    }
}

/// Resolves to the response, once there was a place.
pub enum SeatFuture<F> {
    /// There was one at once.
    Found(F),
    /// Waits for one.
    Waiting(Pin<Box<dyn Future<Output = Result<Reply, Denied>>>>),
    /// There is none.
    Refused(Option<Box<Denied>>),
}

impl<F: Future<Output = Result<Reply, Denied>> + Unpin> Future for SeatFuture<F> {
    type Output = Result<Reply, Denied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Found(inner) => Pin::new(inner).poll(cx),
            Self::Waiting(inner) => inner.as_mut().poll(cx),
            Self::Refused(denied) => denied.take().map_or(Poll::Pending, |denied| Poll::Ready(Err(*denied))),
        }
    }
}
