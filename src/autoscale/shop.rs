//! What every loop uses: the figures, the platforms, the records, who leads, and the peers.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OnceCell;
use tracing::warn;

use super::lead::{Deadline, Leadership};
use super::ledger::Ledger;
use super::patience::PATIENCE;
use super::peers::Peers;
use crate::kit::clock::Tick;
use crate::model::{Cluster, Secret, Target};
use crate::platform::Platforms;
use crate::telemetry::history::History;
use crate::telemetry::metrics::Registry;
use crate::upstream::Lookup;

/// What the autoscaler is given.
pub struct Tools {
    /// The figures of the request path.
    pub metrics: Registry,
    /// What replicas run on.
    pub platforms: Arc<Platforms>,
    /// Finds addresses of names.
    pub lookup: Lookup,
    /// Where history and decisions are kept; `None`: in memory.
    pub folder: Option<PathBuf>,
    /// Other gateways that size the same pools.
    pub cluster: Option<Cluster>,
    /// What the admin servers of peers ask for.
    pub token: Option<Secret>,
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tools").field("folder", &self.folder).field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// What every loop uses.
#[derive(Debug)]
pub(super) struct Shop {
    pub(super) tools: Tools,
    pub(super) lead: Leadership,
    pub(super) peers: Option<Peers>,
    /// The name of this gateway.
    pub(super) identity: String,
    /// Of the config in force.
    pub(super) generation: AtomicU64,
    records: OnceCell<Arc<Records>>,
}

/// What is kept over restarts.
#[derive(Debug)]
pub struct Records {
    /// The signals of every pool.
    pub history: Arc<History>,
    /// The decisions.
    pub ledger: Ledger,
}

impl Shop {
    /// Stands for election where that is configured, so on the control runtime.
    pub(super) fn open(tools: Tools) -> Self {
        let cluster = tools.cluster.as_ref();
        let identity = cluster.and_then(|cluster| cluster.identity.clone()).unwrap_or_else(host_name);
        let lease = cluster.and_then(|cluster| cluster.lease.as_ref());
        let lead =
            lease.map_or_else(Leadership::always, |lease| Leadership::stand(lease, &identity, tools.platforms.cluster().clone()));
        let service = cluster.and_then(|cluster| cluster.peers.clone());
        let peers = service.map(|service| Peers::new(identity.clone(), service, tools.token.clone(), tools.lookup.clone()));
        Self { tools, lead, peers, identity, generation: AtomicU64::new(0), records: OnceCell::new() }
    }

    /// Tells whether this gateway may act on `target` now, and until when. Replicas on this machine are nobody else's.
    pub(super) fn may_act(&self, target: &Target, now: Tick) -> Option<Deadline> {
        match target {
            Target::Kubernetes(_) => self.lead.may_act(now),
            Target::Docker(_) | Target::Process(_) => Some(Deadline::NONE),
        }
    }

    /// Returns how long a call about `target` may take.
    pub(super) fn patience(&self, target: &Target) -> Duration {
        match target {
            Target::Kubernetes(_) => PATIENCE.min(self.lead.call_limit()),
            Target::Docker(_) | Target::Process(_) => PATIENCE,
        }
    }

    /// Returns the gateways that size the same replicas.
    pub(super) fn peers_for(&self, target: &Target) -> Option<&Peers> {
        self.peers.as_ref().filter(|_| matches!(target, Target::Kubernetes(_)))
    }

    /// Returns who acts on `target`, when that is somebody of a cluster.
    pub(super) fn leader(&self, target: &Target) -> Option<String> {
        match target {
            Target::Kubernetes(_) => self.lead.standing()?.holder,
            Target::Docker(_) | Target::Process(_) => None,
        }
    }

    /// Returns the records, which are read from the disk when they are first asked for.
    pub(super) async fn records(&self) -> Arc<Records> {
        let open = || async {
            let folder = self.tools.folder.clone();
            let opened = tokio::task::spawn_blocking(move || Records::open(folder)).await;
            // The runtime is stopping, or a defect: the pool is sized all the same.
            Arc::new(opened.unwrap_or_else(|_| Records::open(None)))
        };
        self.records.get_or_init(open).await.clone()
    }

    /// Returns the records, if they have been asked for.
    pub(super) fn opened(&self) -> Option<Arc<Records>> {
        self.records.get().cloned()
    }
}

impl Records {
    fn open(folder: Option<PathBuf>) -> Self {
        let (history, error) = History::open(folder);
        if let Some(error) = error {
            warn!(%error, "History and decisions are not kept as they should be.");
        }
        let ledger = Ledger::open(history.store(), Timestamp::now().as_millisecond());
        Self { history: Arc::new(history), ledger }
    }
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "tidegate".to_owned() } else { name }
}
