//! The endpoints of a pool: those of the file and those that DNS names.

use std::net::IpAddr;
use std::sync::Arc;

use super::world::Members;
use crate::discovery;
use crate::endpoint::EndpointSet;
use crate::kit::clock;
use crate::model::{Pool, Strategy};
use crate::upstream::{Target, TlsClient, TlsError};

/// Builds the members of `pool`, keeping what `previous` has learned of the same endpoints.
pub(super) fn build(
    pool: &Pool,
    discovered: &[IpAddr],
    tls: Option<&Arc<TlsClient>>,
    previous: Option<&Members>,
) -> Result<Members, TlsError> {
    let specs = discovery::merge(&pool.endpoints, discovered, pool.dns.as_ref().map_or(0, |dns| dns.port));
    let set = EndpointSet::new(&pool.name, specs, previous.map(|members| &*members.set), clock::now());
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
    Ok(Members { set: Arc::new(set), targets })
}
