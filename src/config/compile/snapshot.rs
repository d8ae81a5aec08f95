//! The whole file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{cluster, listener, policies, pool, route, settings};
use crate::config::raw::File;
use crate::model::Snapshot;

/// Compiles a file that passed every check; paths become relative to `base`.
pub(in crate::config) fn snapshot(file: &File, base: &Path) -> Snapshot {
    let written = file.routes.0.iter().filter_map(|route| route::route(&route.value));
    // Behind all others, so that a written route which is just as unspecific wins.
    let implied = file.listeners.0.iter().filter_map(|listener| route::implied(&listener.value));
    Snapshot {
        listeners: file.listeners.0.iter().map(|item| Arc::new(listener::listener(&item.value, base))).collect(),
        routes: written.chain(implied).map(Arc::new).collect(),
        pools: file
            .pools
            .0
            .iter()
            .map(|(name, raw)| (name.value.clone(), Arc::new(pool::pool(name.value.clone(), raw, base))))
            .collect(),
        bulkheads: file
            .bulkheads
            .0
            .iter()
            .map(|(name, raw)| (name.value.clone(), Arc::new(policies::bulkhead(name.value.clone(), raw))))
            .collect(),
        overload: policies::overload(&file.overload),
        admin: settings::admin(&file.admin),
        telemetry: settings::telemetry(&file.telemetry, base),
        drain: settings::drain(&file.drain),
        forwarding: Arc::new(settings::forwarding(&file.forwarding)),
        cluster: file.cluster.as_ref().map(|cluster| cluster::cluster(&cluster.value)),
        storage: cluster::storage(&file.storage, base),
        workers: file.workers.as_ref().and_then(|workers| u16::try_from(workers.value.0).ok()),
    }
}

/// Returns every certificate and key file that a snapshot names, in order, without repetition.
pub(in crate::config) fn certificate_files(snapshot: &Snapshot) -> Vec<PathBuf> {
    let servers = snapshot.listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| {
        let pairs = tls.certificates.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
        pairs.chain(tls.client_ca.as_ref())
    });
    let clients = snapshot
        .pools
        .values()
        .filter_map(|pool| pool.upstream.tls.as_ref())
        .flat_map(|tls| [&tls.ca, &tls.certificate, &tls.key].into_iter().flatten());
    let mut files: Vec<PathBuf> = servers.chain(clients).cloned().collect();
    files.sort();
    files.dedup();
    files
}
