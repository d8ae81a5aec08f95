//! `cluster`: who leads, and whether peers can be asked.

use super::Report;
use super::file::ROOT;
use crate::config::compile;
use crate::config::raw::{Cluster, File, Lease};
use crate::config::shape::{At, OrNone};

/// Checks what many gateways do together.
pub(super) fn cluster(file: &File, report: &mut Report<'_>) {
    let Some(cluster) = &file.cluster else { return };
    if let Some(lease) = &cluster.value.lease {
        self::lease(lease, report);
    }
    peers(file, cluster, report);
}

fn lease(lease: &At<Lease>, report: &mut Report<'_>) {
    // When the duration could not be read, nobody knows how often is often enough.
    let is_known = lease.value.duration.is_some() || !report.has_key(lease.id, "duration");
    let duration = compile::lease_duration(&lease.value);
    let longest = compile::longest_renew(duration);
    if let Some(renew) = lease.value.renew.as_ref().filter(|renew| is_known && renew.value.0 > longest) {
        report.error(
            renew.id,
            format!("is more than a third of `duration`, which is {duration:?}: two renewals in a row may fail before it is lost"),
        );
    }
}

fn peers(file: &File, cluster: &At<Cluster>, report: &mut Report<'_>) {
    let Some(peers) = &cluster.value.peers else { return };
    if !report.has_key(cluster.id, "lease") {
        report.warn(peers.id, "without `lease` every gateway leads, and scales as if it were alone");
    }
    if file.admin.token.is_none() {
        report.warn(peers.id, "without `admin.token` the peers refuse to answer each other, and shared pools never shrink");
    }
    let scales_pods = file.pools.0.iter().any(|(_, pool)| {
        let autoscale = pool.autoscale.as_ref().and_then(OrNone::as_option);
        autoscale.is_some_and(|autoscale| autoscale.value.target.value.kubernetes.is_some())
    });
    // Without a word, it listens on loopback; one that could not be read has been told.
    let is_hidden = match &file.admin.bind {
        None => report.child(ROOT, "admin").is_none_or(|admin| !report.has_key(admin, "bind")),
        Some(OrNone::None) => true,
        Some(OrNone::Some(bind)) => bind.value.0.ip().to_canonical().is_loopback(),
    };
    if scales_pods && is_hidden {
        report.warn(peers.id, "the peers cannot be asked: `admin.bind` is not reached from elsewhere");
    }
}
