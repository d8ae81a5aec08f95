//! The layer order of a route's policies: the one place where it stands, outermost first.
//!
//! Concrete types, so that a policy that is off costs nothing: an absent layer is tower's `Either` over the service below. The one
//! boxing of an attempt is at the bottom, in [`Dispatch`].

use std::rc::Rc;

use tower::ServiceBuilder;
use tower::util::Either;

use super::Local;
use super::deadline::{Deadline, DeadlineLayer};
use super::dispatch::Dispatch;
use super::retry::{Retry, RetryLayer};
use super::route_state::RouteState;
use super::seat::{Seat, SeatLayer};
use crate::model::{Reason, Route};

type Maybe<L, S> = Either<L, S>;
type Attempt = Maybe<Deadline<Dispatch>, Dispatch>;
type Tried = Maybe<Retry<Seat<Attempt>>, Seat<Attempt>>;

/// A route's policies around one pool.
pub type Stack = Maybe<Deadline<Tried>, Tried>;

/// Builds the stack of `route` over `pool` on this worker.
pub fn build(route: &Route, pool: &Rc<Local>, state: &RouteState) -> Stack {
    let total = route.timeouts.total.map(|limit| DeadlineLayer::new(limit, Reason::TotalTimeout));
    let attempt = route.timeouts.attempt.map(|limit| DeadlineLayer::new(limit, Reason::AttemptTimeout));
    let retry = route.policies.retry.clone().zip(state.budget.clone());
    let retry = retry.map(|(settings, budget)| RetryLayer::new(settings, budget, state));
    ServiceBuilder::new()
        // Outermost: nothing that a request waits for, whatever it is, may outlast it.
        .option_layer(total)
        // Around all that one attempt needs, so that another one finds its own endpoint and place.
        .option_layer(retry)
        // Before the attempt's clock: who waits for a slot has not been sent to anybody.
        .layer(SeatLayer::new(pool, route))
        // Around one attempt: from the pick to the last byte.
        .option_layer(attempt)
        // Sends.
        .service(Dispatch::new(route))
}
