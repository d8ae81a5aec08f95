//! Whether a request is let in at all, before anything is done for it: the rate limits of its route, the limits of the process.

use http::{HeaderName, HeaderValue, Request};

use super::connection::Client;
use super::view::{RouteView, View};
use crate::kit::clock::{self, Tick};
use crate::kit::gcra::Decision;
use crate::message::rate_limit::{self, RATE_LIMIT, RATE_LIMIT_POLICY};
use crate::model::{Failure, RateKey, Reason};
use crate::resilience::rate_limit::{RateLimits, Standing, address_key, value_key};
use crate::resilience::shed::Permit;

/// Fields that tell a client where it stands.
pub(super) type Fields = Vec<(HeaderName, HeaderValue)>;

/// Why a request is not let in.
pub(super) struct Turned {
    pub(super) failure: Failure,
    pub(super) detail: &'static str,
    pub(super) fields: Fields,
}

/// Asks the rate limits of a route.
///
/// # Errors
/// When one of them refuses.
pub(super) fn rate<B>(client: &Client, view: &View, route: &RouteView, request: &Request<B>, now: Tick) -> Result<Fields, Turned> {
    let Some(limits) = route.state.limits.as_deref() else { return Ok(Fields::new()) };
    let key = |key: &RateKey| match key {
        RateKey::Route => None,
        RateKey::ClientAddress => client.forwarded.address(request.headers(), &view.forwarding.trusted).map(address_key),
        RateKey::Header(name) => Some(value_key(request.headers().get(name).map_or(&[], HeaderValue::as_bytes))),
    };
    let Some(standing) = limits.check(now, key) else { return Ok(Fields::new()) };
    let fields = told(route, limits, standing);
    match standing.decision {
        Decision::Allowed { .. } => Ok(fields),
        Decision::Refused { retry_after, .. } => Err(Turned {
            failure: Failure { retry_after: Some(retry_after), ..Reason::RateLimited.into() },
            detail: "a rate limit of the route is used up",
            fields,
        }),
    }
}

/// Asks the limits of the process.
///
/// # Errors
/// When a limit is so near that the request is not important enough.
pub(super) fn pressure(view: &View, route: &RouteView) -> Result<Permit, Turned> {
    let priority = route.model.policies.priority;
    view.pressure.enter(priority).ok_or_else(|| Turned {
        failure: Failure { retry_after: Some(view.pressure.retry_after(priority, clock::now())), ..Reason::Overloaded.into() },
        detail: "the process is near one of its limits, and more important requests come first",
        fields: Fields::new(),
    })
}

fn told(route: &RouteView, limits: &RateLimits, standing: Standing) -> Fields {
    let (remaining, reset) = match standing.decision {
        Decision::Allowed { remaining, reset } => (remaining, reset),
        Decision::Refused { reset, .. } => (0, reset),
    };
    let name = limits.limits().get(standing.limit).map(|limit| limit.name());
    let here = name.and_then(|name| rate_limit::standing(name, remaining, reset));
    let policy = route.rate_policy.clone().map(|policy| (RATE_LIMIT_POLICY, policy));
    policy.into_iter().chain(here.map(|here| (RATE_LIMIT, here))).collect()
}
