//! The layer order of a route's policies: the one place where it stands, outermost first.
//!
//! Concrete types, so that a policy that is off costs nothing: an absent layer is tower's `Either` over the service below. The one
//! boxing of a request is at the bottom, in [`Dispatch`].

use std::rc::Rc;

use tower::ServiceBuilder;
use tower::util::Either;

use super::Local;
use super::deadline::{Deadline, DeadlineLayer};
use super::dispatch::Dispatch;
use crate::model::{Reason, Route};

type Maybe<S> = Either<Deadline<S>, S>;

/// A route's policies around one pool.
pub type Stack = Maybe<Maybe<Dispatch>>;

/// Builds the stack of `route` over `pool` on this worker.
pub fn build(route: &Route, pool: &Rc<Local>) -> Stack {
    let total = route.timeouts.total.map(|limit| DeadlineLayer::new(limit, Reason::TotalTimeout));
    let attempt = route.timeouts.attempt.map(|limit| DeadlineLayer::new(limit, Reason::AttemptTimeout));
    ServiceBuilder::new()
        // Outermost: nothing that a request waits for, whatever it is, may outlast it.
        .option_layer(total)
        // Around one attempt: from the pick to the last byte.
        .option_layer(attempt)
        // Picks an endpoint and sends.
        .service(Dispatch::new(pool, route))
}
