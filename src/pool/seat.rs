//! Finds a place for a call: an endpoint, one of its slots, and its breaker's pass; or waits for one in the pool's queue.
//!
//! A place that is free at once costs a pick. Only a call that must wait gets a timer and a box.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tower::{Layer, Service};

use super::call::{Answer, Answering, Call, Denied, Reply};
use super::local::Local;
use super::place::Place;
use super::spread::Spread;
use super::tiers::Tiers;
use crate::balance::NoPick;
use crate::kit::clock::{self, Tick};
use crate::model::{Priority, Reason, Route};
use crate::resilience::queue::{Refusal, Want};

/// Picks after which a call stops to look for a breaker that admits it: each refusal has set the endpoint's bit, so that the next pick sees
/// fewer.
const MAX_PICKS: usize = 16;

/// Puts a [`Seat`] around a service.
#[derive(Clone, Debug)]
pub struct SeatLayer(Rc<Policy>);

#[derive(Debug)]
struct Policy {
    tiers: Tiers,
    require: Box<[Box<str>]>,
    priority: Priority,
    /// The route's own; the pool's counts when `None`.
    timeout: Option<Duration>,
    /// Counts places, where pools take over from each other.
    spread: Option<Arc<Spread>>,
}

/// Finds a place for each call.
#[derive(Clone, Debug)]
pub struct Seat<S> {
    inner: S,
    policy: Rc<Policy>,
}

/// What a look for a place has found.
enum Found {
    /// A place.
    Place(Place),
    /// None, but the pool has a queue.
    Queue(Rc<Local>),
    /// None.
    Nothing(Box<Denied>),
}

impl SeatLayer {
    pub(super) fn new(tiers: Tiers, route: &Route, spread: Option<Arc<Spread>>) -> Self {
        let require = route.require.iter().map(|name| name.as_str().into()).collect();
        Self(Rc::new(Policy { tiers, require, priority: route.policies.priority, timeout: route.timeouts.queue, spread }))
    }
}

impl Policy {
    /// Gives a call its place.
    fn seat(&self, call: &mut Call, place: Place) {
        if let Some(spread) = &self.spread {
            spread.count(&place.member().pool);
        }
        call.place = Some(place);
    }

    /// Looks for a place that is free now: in the pool that the call's share of the traffic belongs to, and then in those that take over.
    ///
    /// A pool that is only full keeps the call when it has a queue; one whose endpoints this call has tried gives it to the next one.
    fn look(&self, call: &Call, now: Tick) -> Found {
        let mut first = None;
        let mut tried = None;
        for pool in self.tiers.order(call.key) {
            let queue = pool.queue();
            // Who comes while others wait must not be served before them.
            let found = if queue.is_busy() { Err(pool.crowded(&self.require, call)) } else { self.look_in(pool, call, now) };
            match found {
                Ok(place) if call.tried.contains(&place.member().endpoint.serial()) => match tried {
                    None => tried = Some(place),
                    Some(_) => place.withdraw(),
                },
                Ok(place) => {
                    if let Some(tried) = tried {
                        tried.withdraw();
                    }
                    return Found::Place(place);
                }
                Err(NoPick::Full) if queue.is_on() => return tried.map_or_else(|| Found::Queue(pool.clone()), Found::Place),
                Err(reason) => {
                    first.get_or_insert((pool, reason));
                }
            }
        }
        match (tried, first) {
            (Some(place), _) => Found::Place(place),
            (None, Some((pool, NoPick::Empty | NoPick::Unavailable))) if pool.queue().is_on() => Found::Queue(pool.clone()),
            (None, Some((pool, reason))) => Found::Nothing(self.no_place(pool, call, reason, now)),
            (None, None) => Found::Nothing(Denied::new(Reason::NoEndpoint, "the route has no pool")),
        }
    }

    fn look_in(&self, pool: &Local, call: &Call, now: Tick) -> Result<Place, NoPick> {
        let mut refusal = NoPick::Unavailable;
        for _ in 0..MAX_PICKS {
            let member = pool.pick(&self.require, call, now)?;
            match Place::take(&member, now) {
                Some(place) => return Ok(place),
                // Another worker was faster, for the slot or for the half-open breaker's probe.
                None => refusal = NoPick::Full,
            }
        }
        Err(refusal)
    }

    /// Waits for a place in `pool`.
    async fn wait(&self, pool: &Local, call: &Call) -> Result<Place, Box<Denied>> {
        let queue = pool.queue();
        let limit = self.timeout.unwrap_or_else(|| pool.patience());
        let deadline = tokio::time::Instant::now() + limit;
        let mut strangers = Vec::new();
        loop {
            let now = clock::now();
            let required = self.require.iter().chain(&call.required).cloned().collect();
            let (priority, arrived) = (self.priority, call.started);
            let want = Want { required, priority, arrived, strangers: strangers.clone() };
            let wait = queue.wait(want, now).map_err(|refusal| refused(pool, refusal, now))?;
            let grant = match tokio::time::timeout_at(deadline, wait).await {
                Ok(granted) => granted.map_err(|refusal| refused(pool, refusal, clock::now()))?,
                Err(_) => return Err(late(pool, limit)),
            };
            if let Some(member) = pool.member_of(grant.endpoint()) {
                return Ok(Place::granted(&member, grant));
            }
            // A member that this worker has not heard of yet: once more, at the old place in the line.
            let endpoint = grant.endpoint().clone();
            grant.withdraw();
            queue.freed(&endpoint, clock::now());
            // Else the same grant would come again and again, until this worker has read its post.
            strangers.push(endpoint.serial());
        }
    }

    fn no_place(&self, pool: &Local, call: &Call, reason: NoPick, now: Tick) -> Box<Denied> {
        let name = pool.model().name.clone();
        match reason {
            NoPick::Empty => Denied::new(Reason::NoEndpoint, format!("pool {name} has no endpoint")),
            NoPick::Unavailable => match pool.breakers_open_for(now) {
                Some(wait) => {
                    Denied::new(Reason::BreakerOpen, format!("circuit breakers keep away the last endpoints of pool {name}"))
                        .after(wait.max(Duration::from_secs(1)))
                }
                None => Denied::new(
                    Reason::NoAvailableEndpoint,
                    format!("every endpoint of pool {name} is unavailable or has weight 0"),
                ),
            },
            NoPick::Full => Denied::new(Reason::QueueFull, format!("every slot of pool {name} is taken, and it has no queue"))
                .after(Duration::from_secs(1)),
            NoPick::Capability => {
                let wanted: Vec<&str> = self.require.iter().chain(&call.required).map(AsRef::as_ref).collect();
                let detail = format!("no endpoint of pool {name} offers all of: {}", wanted.join(", "));
                Denied::new(Reason::CapabilityUnavailable, detail)
            }
        }
    }
}

fn refused(pool: &Local, refusal: Refusal, now: Tick) -> Box<Denied> {
    let name = pool.model().name.clone();
    match refusal {
        Refusal::Full => Denied::new(Reason::QueueFull, format!("every slot of pool {name} and every place in its queue is taken")),
        Refusal::Displaced => {
            Denied::new(Reason::Displaced, format!("a more important request took the place in the queue of pool {name}"))
        }
    }
    .after(pool.queue().advice(now))
}

fn late(pool: &Local, limit: Duration) -> Box<Denied> {
    let name = pool.model().name.clone();
    let wait = pool.queue().advice(clock::now());
    Denied::new(Reason::QueueTimeout, format!("no slot of pool {name} became free within {limit:?}")).after(wait)
}

impl<S> Layer<S> for SeatLayer {
    type Service = Seat<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Seat { inner, policy: self.0.clone() }
    }
}

impl<S> Service<Box<Call>> for Seat<S>
where
    S: Service<Box<Call>, Response = Box<Reply>, Error = Box<Denied>, Future: Unpin> + Clone + 'static,
{
    type Response = Box<Reply>;
    type Error = Box<Denied>;
    type Future = SeatFuture<S::Future>;

    /// Always ready: a place depends on the call.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Box<Denied>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut call: Box<Call>) -> Self::Future {
        match self.policy.look(&call, call.at) {
            Found::Place(place) => {
                self.policy.seat(&mut call, place);
                SeatFuture::Found(self.inner.call(call))
            }
            Found::Queue(pool) => {
                let Self { mut inner, policy } = self.clone();
                SeatFuture::Waiting(Box::pin(async move {
                    let place = policy.wait(&pool, &call).await?;
                    policy.seat(&mut call, place);
                    inner.call(call).await
                }))
            }
            Found::Nothing(denied) => SeatFuture::Refused(Some(denied)),
        }
    }
}

/// Resolves to the response, once there was a place.
pub enum SeatFuture<F> {
    /// There was one at once.
    Found(F),
    /// Waits for one.
    Waiting(Answering),
    /// There is none.
    Refused(Option<Box<Denied>>),
}

impl<F: Future<Output = Answer> + Unpin> Future for SeatFuture<F> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Found(inner) => Pin::new(inner).poll(cx),
            Self::Waiting(inner) => inner.as_mut().poll(cx),
            Self::Refused(denied) => denied.take().map_or(Poll::Pending, |denied| Poll::Ready(Err(denied))),
        }
    }
}
