//! Finds a place for a call: an endpoint, one of its slots, and its breaker's pass; or waits for one in the pool's queue.
//!
//! A place that is free at once costs a pick. Only a call that must wait gets a timer and a box.
//!
//! Who waits stands in the line of one pool. When the route has others that take over, it goes where it would go if it came now, whenever the
//! shares of the pools change; it keeps its place where it has none elsewhere.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tower::{Layer, Service};

use super::call::{Answer, Answering, Call, Denied, Reply};
use super::local::Local;
use super::place::Place;
use super::spread::Spread;
use super::tiers::Tiers;
use crate::balance::NoPick;
use crate::endpoint::Serial;
use crate::kit::clock::{self, Tick};
use crate::model::{Priority, Reason, Route};
use crate::resilience::failover::MAX_TIERS;
use crate::resilience::queue::{Refusal, SlotQueue, Wait, Want, advice};

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
    /// None, but this pool has a queue.
    Queue(usize),
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
    /// A pool that is only full keeps the call when it has a queue; one whose endpoints this call has tried gives it to the next one. Of the
    /// pools in `refused` nothing is wanted.
    fn look(&self, call: &Call, point: f64, refused: Refused, now: Tick) -> Found {
        let mut first = None;
        let mut tried = None;
        for (tier, pool) in self.tiers.order(point).filter(|&(tier, _)| !refused.has(tier)) {
            let queue = pool.queue();
            // Who comes while others wait must not be served before them, unless a reload has switched the queue off: those who still wait
            // want what is not free, and who comes has nowhere to wait.
            let found = if queue.is_busy() && queue.is_on() {
                Err(pool.crowded(&self.require, call))
            } else {
                self.look_in(pool, call, now)
            };
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
                Err(NoPick::Full) if queue.is_on() => return tried.map_or(Found::Queue(tier), Found::Place),
                Err(reason) => {
                    first.get_or_insert((tier, pool, reason));
                }
            }
        }
        match (tried, first) {
            (Some(place), _) => Found::Place(place),
            (None, Some((tier, pool, NoPick::Empty | NoPick::Unavailable))) if pool.queue().is_on() => {
                match self.in_vain(pool, call, now) {
                    Some(denied) => Found::Nothing(denied),
                    None => Found::Queue(tier),
                }
            }
            (None, Some((_, pool, reason))) => Found::Nothing(self.no_place(pool, call, reason, now)),
            (None, None) => Found::Nothing(no_pool()),
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

    /// Returns how long a call may wait in the line of `pool`.
    fn patience(&self, pool: &Local) -> Duration {
        self.timeout.unwrap_or_else(|| pool.patience())
    }

    /// Tells why a call need not wait: breakers keep everybody away for longer than it may.
    fn in_vain(&self, pool: &Local, call: &Call, now: Tick) -> Option<Box<Denied>> {
        let pools = self.tiers.pools();
        let soonest = pools.iter().map(|pool| pool.surely_open_for(&self.require, call, now));
        let wait = soonest.reduce(|one, other| Some(one?.min(other?)))??;
        let left = call.end.map_or(Duration::MAX, |(end, _)| end.saturating_duration_since(Instant::now()));
        (wait > self.patience(pool).min(left)).then(|| breakers_open(pool, wait))
    }

    /// Waits for a place, in the line of `tier` to begin with.
    async fn wait(&self, tier: usize, point: f64, call: &Call) -> Result<Place, Box<Denied>> {
        let limit = self.tiers.pools().get(tier).map_or(Duration::ZERO, |pool| self.patience(pool));
        let deadline = Instant::now() + limit;
        let mut search = Search { policy: self, call, point, strangers: Vec::new(), refused: Refused::default(), first: None };
        let mut next = search.line_up(tier);
        loop {
            let standing = match next? {
                Next::Place(place) => return Ok(place),
                Next::Line(standing) => standing,
            };
            next = match tokio::time::timeout_at(deadline, search.stand(standing)).await {
                Ok(next) => next,
                Err(_) => return Err(self.late(tier, call, limit)),
            };
        }
    }

    /// Tells why a call has waited in vain, by what is so now.
    fn late(&self, tier: usize, call: &Call, limit: Duration) -> Box<Denied> {
        let now = clock::now();
        let pools = self.tiers.pools();
        let Some(pool) = pools.get(tier) else { return no_pool() };
        let is_open = |pool: &Rc<Local>| pool.lack(&self.require, call) == Some(NoPick::Unavailable);
        if pools.iter().all(is_open) {
            if let Some(wait) = pools.iter().filter_map(|pool| pool.breakers_open_for(&self.require, call, now)).min() {
                return breakers_open(pool, wait);
            }
            // The first replica may still be on its way.
            if !pools.iter().any(|pool| pool.is_sized()) {
                return unavailable(pool).after(pool.queue().advice(now));
            }
        }
        let name = pool.model().name.clone();
        let wait = pool.queue().advice(now);
        Denied::new(Reason::QueueTimeout, format!("no slot of pool {name} became free within {limit:?}")).after(wait)
    }

    fn no_place(&self, pool: &Local, call: &Call, reason: NoPick, now: Tick) -> Box<Denied> {
        let name = pool.model().name.clone();
        match reason {
            NoPick::Empty => Denied::new(Reason::NoEndpoint, format!("pool {name} has no endpoint")),
            NoPick::Unavailable => match pool.breakers_open_for(&self.require, call, now) {
                Some(wait) => breakers_open(pool, wait),
                None => unavailable(pool),
            },
            NoPick::Full => Denied::new(Reason::QueueFull, format!("every slot of pool {name} is taken, and it has no queue"))
                .after(advice(0, pool.pace(&self.require, call), Duration::ZERO)),
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

fn breakers_open(pool: &Local, wait: Duration) -> Box<Denied> {
    let name = pool.model().name.clone();
    Denied::new(Reason::BreakerOpen, format!("circuit breakers keep away the last endpoints of pool {name}"))
        .after(wait.max(Duration::from_secs(1)))
}

fn unavailable(pool: &Local) -> Box<Denied> {
    let name = pool.model().name.clone();
    Denied::new(Reason::NoAvailableEndpoint, format!("every endpoint of pool {name} is unavailable or has weight 0"))
}

fn no_pool() -> Box<Denied> {
    Denied::new(Reason::NoEndpoint, "the route has no pool")
}

/// The tiers, by number, whose lines had no place.
#[derive(Clone, Copy, Debug, Default)]
struct Refused(u8);

impl Refused {
    const fn has(self, tier: usize) -> bool {
        tier < MAX_TIERS && self.0 & (1 << tier) != 0
    }

    const fn add(&mut self, tier: usize) {
        if tier < MAX_TIERS {
            self.0 |= 1 << tier;
        }
    }
}

/// A call that waits.
struct Search<'a> {
    policy: &'a Policy,
    call: &'a Call,
    point: f64,
    /// Members that its worker has not heard of yet.
    strangers: Vec<Serial>,
    refused: Refused,
    /// What the first line said that had no place.
    first: Option<Box<Denied>>,
}

/// A place in the line of a pool.
struct Standing<'a> {
    tier: usize,
    pool: &'a Rc<Local>,
    wait: Wait<SlotQueue>,
}

/// How a search goes on.
enum Next<'a> {
    /// It is over.
    Place(Place),
    /// In this line.
    Line(Standing<'a>),
}

impl<'a> Search<'a> {
    /// Takes a place in the line of `tier`, or finds one elsewhere when that has none.
    fn line_up(&mut self, mut tier: usize) -> Result<Next<'a>, Box<Denied>> {
        let policy = self.policy;
        loop {
            let Some(pool) = policy.tiers.pools().get(tier) else { return Err(no_pool()) };
            let now = clock::now();
            match pool.queue().wait(self.want(), now) {
                Ok(wait) => return Ok(Next::Line(Standing { tier, pool, wait })),
                Err(refusal) => match self.sent_away(tier, refused(pool, refusal, now), now)? {
                    Found::Place(place) => return Ok(Next::Place(place)),
                    Found::Queue(other) => tier = other,
                    Found::Nothing(denied) => return Err(denied),
                },
            }
        }
    }

    /// Looks elsewhere; when there is nothing, what the first line said counts.
    fn sent_away(&mut self, tier: usize, denied: Box<Denied>, now: Tick) -> Result<Found, Box<Denied>> {
        let first = self.first.take().unwrap_or(denied);
        self.refused.add(tier);
        if !self.policy.tiers.are_several() {
            return Err(first);
        }
        match self.policy.look(self.call, self.point, self.refused, now) {
            Found::Nothing(_) => Err(first),
            found => {
                self.first = Some(first);
                Ok(found)
            }
        }
    }

    /// Stands in a line until it is served, is sent away, or has a better place elsewhere.
    ///
    /// Cancel safe: dropped, it leaves the line.
    async fn stand(&mut self, mut standing: Standing<'a>) -> Result<Next<'a>, Box<Denied>> {
        let policy = self.policy;
        let mut chosen = policy.tiers.chosen(self.point);
        loop {
            let shifted = policy.tiers.shifted();
            if let Some(next) = self.elsewhere(&standing, &mut chosen) {
                return Ok(next);
            }
            // A grant that comes meanwhile goes back when the line is left.
            let granted = tokio::select! {
                granted = &mut standing.wait => granted,
                () = shifted => continue,
            };
            let Standing { tier, pool, .. } = standing;
            let grant = match granted {
                Ok(grant) => grant,
                Err(refusal) => {
                    let now = clock::now();
                    return match self.sent_away(tier, refused(pool, refusal, now), now)? {
                        Found::Place(place) => Ok(Next::Place(place)),
                        Found::Queue(other) => self.line_up(other),
                        Found::Nothing(denied) => Err(denied),
                    };
                }
            };
            if let Some(member) = pool.member_of(grant.endpoint()) {
                return Ok(Next::Place(Place::granted(&member, grant)));
            }
            // A member that this worker has not heard of yet: once more, at the old place in the line.
            let endpoint = grant.endpoint().clone();
            grant.withdraw();
            pool.queue().freed(&endpoint, clock::now());
            // Else the same grant would come again and again, until this worker has read its post.
            self.strangers.push(endpoint.serial());
            return self.line_up(tier);
        }
    }

    /// Returns the better place of one who stands in a line: when the shares give it to another pool, or its pool has nobody left.
    fn elsewhere(&mut self, standing: &Standing<'_>, chosen: &mut usize) -> Option<Next<'a>> {
        let policy = self.policy;
        if !policy.tiers.are_several() {
            return None;
        }
        let before = std::mem::replace(chosen, policy.tiers.chosen(self.point));
        if *chosen == before && standing.pool.available_share() > 0.0 {
            return None;
        }
        let now = clock::now();
        match policy.look(self.call, self.point, Refused::default(), now) {
            Found::Place(place) => Some(Next::Place(place)),
            Found::Queue(tier) if tier != standing.tier => {
                let pool = policy.tiers.pools().get(tier)?;
                let wait = pool.queue().wait(self.want(), now).ok()?;
                Some(Next::Line(Standing { tier, pool, wait }))
            }
            Found::Queue(_) | Found::Nothing(_) => None,
        }
    }

    fn want(&self) -> Want {
        let required = self.policy.require.iter().chain(&self.call.required).cloned().collect();
        let (priority, arrived) = (self.policy.priority, self.call.started);
        Want { required, priority, arrived, strangers: self.strangers.clone() }
    }
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
        let point = self.policy.tiers.point(call.key);
        match self.policy.look(&call, point, Refused::default(), call.at) {
            Found::Place(place) => {
                self.policy.seat(&mut call, place);
                SeatFuture::Found(self.inner.call(call))
            }
            Found::Queue(tier) => {
                let Self { mut inner, policy } = self.clone();
                SeatFuture::Waiting(Box::pin(async move {
                    let place = policy.wait(tier, point, &call).await?;
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
