//! The endpoints of a pool: those of the file and those that were found.

use std::sync::Arc;

use super::world::Members;
use crate::discovery::{self, Found};
use crate::endpoint::{Cause, Endpoint, EndpointSet};
use crate::kit::clock;
use crate::model::{EndpointSpec, Pool, Strategy};
use crate::resilience::breaker::Breaker;
use crate::upstream::{Target, TlsClient, TlsError};

/// Builds the members of `pool`, keeping what `previous` has learned of the same endpoints.
pub(super) fn build(
    pool: &Pool,
    found: &[Found],
    tls: Option<&Arc<TlsClient>>,
    previous: Option<&Members>,
) -> Result<Members, TlsError> {
    let specs = discovery::merge(&pool.endpoints, found);
    let slots = |spec: EndpointSpec| EndpointSpec { max_connections: spec.max_connections.or(pool.max_connections), ..spec };
    let specs = specs.into_iter().map(slots);
    let known = previous.map(|members| &*members.set);
    let set = match &pool.protection.health {
        // Slow start begins with the first good check.
        Some(_) => EndpointSet::unproven(&pool.name, specs, known),
        None => EndpointSet::new(&pool.name, specs, known, clock::now()),
    };
    for found in found {
        if let Some(endpoint) = found.id().and_then(|id| set.get(&id)) {
            endpoint.state.set(Cause::Leaving, found.is_leaving);
        }
    }
    // Built here, so that no worker builds it on its first pick.
    if pool.strategy == Strategy::ConsistentHashing {
        set.ring();
    }
    let settings = Arc::new(pool.upstream.clone());
    let targets = set
        .endpoints()
        .iter()
        .map(|endpoint| Target::new(endpoint.spec.address.clone(), tls.map(|tls| &**tls), settings.clone()))
        .collect::<Result<_, _>>()?;
    let breakers = breakers(pool, &set, previous);
    Ok(Members { set: Arc::new(set), targets, breakers })
}

/// Returns the breaker of every endpoint, the old one where there was one; which follows the settings only when the members are those that count.
fn breakers(pool: &Pool, set: &EndpointSet, previous: Option<&Members>) -> Vec<Arc<Breaker>> {
    let settings = pool.protection.circuit_breaker.as_ref();
    let known = |endpoint: &Endpoint| {
        let previous = previous?;
        let index = previous.set.index_of(&endpoint.spec.id)?;
        previous.breakers.get(index).cloned()
    };
    let breaker = |endpoint: &Arc<Endpoint>| {
        known(endpoint).unwrap_or_else(|| {
            let wake = set.state().changed().clone();
            Arc::new(Breaker::new(&settings.cloned().unwrap_or_default(), endpoint.state.clone(), wake))
        })
    };
    set.endpoints().iter().map(breaker).collect()
}
