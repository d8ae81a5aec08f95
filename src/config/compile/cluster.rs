//! Many gateways that act as one, and where what they learn is kept.

use std::path::Path;
use std::time::Duration;

use crate::config::{defaults, raw};
use crate::model::{Cluster, Lease, Storage};

pub(super) fn cluster(raw: &raw::Cluster) -> Cluster {
    Cluster {
        peers: raw.peers.as_ref().map(|peers| (peers.value.host.clone(), peers.value.port)),
        lease: raw.lease.as_ref().map(|lease| self::lease(&lease.value)),
        identity: raw.identity.as_ref().map(|identity| identity.value.0.clone()),
    }
}

/// Returns the longest time between two renewals of a lease: two may be lost before it runs out.
pub(in crate::config) fn longest_renew(duration: Duration) -> Duration {
    duration / 3
}

/// Returns how long a lease is good.
pub(in crate::config) fn lease_duration(raw: &raw::Lease) -> Duration {
    raw.duration.as_ref().map_or(defaults::LEASE_DURATION, |time| time.value.0)
}

pub(super) fn storage(raw: &raw::Storage, base: &Path) -> Storage {
    Storage { path: raw.path.as_ref().map(|path| base.join(&path.value.0)) }
}

fn lease(raw: &raw::Lease) -> Lease {
    let duration = lease_duration(raw);
    let renew = raw.renew.as_ref().map(|renew| renew.value.0);
    Lease {
        name: raw.name.as_ref().map_or_else(|| defaults::LEASE_NAME.to_owned(), |name| name.value.0.clone()),
        namespace: raw.namespace.as_ref().map(|namespace| namespace.value.0.clone()),
        duration,
        renew: renew.unwrap_or_else(|| defaults::LEASE_RENEW.min(longest_renew(duration))),
    }
}
