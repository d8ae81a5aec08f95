//! The layer order of a route's policies: the one place where it stands, outermost first.
//!
//! Concrete types, so that a policy that is off costs nothing: an absent layer is tower's `Either` over the service below. The one
//! boxing of an attempt is at the bottom, in [`Dispatch`].

use std::rc::Rc;

use tower::util::Either;
use tower::{Layer, ServiceBuilder};

use super::Local;
use super::bulkhead::{Bulkhead, BulkheadLayer};
use super::deadline::{Deadline, DeadlineLayer};
use super::dispatch::Dispatch;
use super::fault::{Fault, FaultLayer};
use super::hedge::{Hedge, HedgeLayer};
use super::mirror::{Mirror, MirrorLayer};
use super::retry::{Retry, RetryLayer};
use super::route_state::RouteState;
use super::seat::{Seat, SeatLayer};
use super::tiers::Tiers;
use crate::model::{Reason, Route};

type Attempt = Either<Deadline<Dispatch>, Dispatch>;
type Retried = Either<Retry<Seat<Attempt>>, Seat<Attempt>>;
type Hedged = Either<Hedge<Retried>, Retried>;
type Contained = Either<Bulkhead<Hedged>, Hedged>;
type Faulty = Fault<Contained>;
type Limited = Either<Deadline<Faulty>, Faulty>;

/// A route's policies around a pool and those that take over from it.
pub type Stack = Either<Mirror<Limited>, Limited>;

/// Builds the stack of `route` over `tiers` on this worker; `shadow` is the pool that gets copies.
pub fn build(route: &Route, tiers: Tiers, shadow: Option<&Rc<Local>>, state: &RouteState) -> Stack {
    let policies = &route.policies;
    let mirror = policies.mirror.clone().zip(shadow).map(|(settings, shadow)| {
        // Late or in vain: a copy is not tried again.
        let target = SeatLayer::new(Tiers::new(route, shadow, []), route, None).layer(Dispatch::new(route));
        MirrorLayer::new(settings, target, state)
    });
    let total = route.timeouts.total.map(|limit| DeadlineLayer::new(limit, Reason::TotalTimeout));
    let bulkhead = state.bulkhead.clone().map(|bulkhead| BulkheadLayer::new(bulkhead, policies.priority));
    let hedge = state.hedging.clone().map(|hedging| HedgeLayer::new(hedging, state));
    let retry = policies.retry.clone().zip(state.budget.clone());
    let retry = retry.map(|(settings, budget)| RetryLayer::new(settings, budget, state));
    let attempt = route.timeouts.attempt.map(|limit| DeadlineLayer::new(limit, Reason::AttemptTimeout));
    ServiceBuilder::new()
        // Outermost: a copy is of the client's request, whatever becomes of it here.
        .option_layer(mirror)
        // Nothing that a request waits for, whatever it is, may outlast it.
        .option_layer(total)
        // Before all that protects: a fault is to look like one of the endpoint's to the client, and costs no slot.
        .layer(FaultLayer::new(state.fault.clone()))
        // Around all attempts: a request has one slot, however often it is tried.
        .option_layer(bulkhead)
        // Around retries: a second attempt beside the first has retries of its own.
        .option_layer(hedge)
        // Around all that one attempt needs, so that another one finds its own endpoint and place.
        .option_layer(retry)
        // Before the attempt's clock: who waits for a slot has not been sent to anybody.
        .layer(SeatLayer::new(tiers, route, state.spread.clone()))
        // Around one attempt: from the pick to the last byte.
        .option_layer(attempt)
        // Sends.
        .service(Dispatch::new(route))
}
