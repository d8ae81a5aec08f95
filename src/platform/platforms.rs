//! The platforms of this process: each client is made when the first pool needs it, and kept over reloads.

use std::collections::BTreeMap;
use std::fmt;
use std::mem::{Discriminant, discriminant};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::docker::Containers;
use super::kubernetes::{Cluster, Workload};
use super::process;
use super::scaler::{Replica, ScaleError, Scaler};
use crate::model::{Id, Target};

/// Runs replicas on this machine or engine, and so knows where they are.
pub trait Local: Scaler {
    /// Returns the replicas as they come and go, in the order of their names.
    fn replicas(&self) -> watch::Receiver<Vec<Replica>>;

    /// Takes changed settings: they hold for replicas that start from now on.
    fn configure(&self, target: &Target);

    /// Ends every replica that must not outlive this process, each with its grace; called once, at the end.
    fn close(&self) -> super::scaler::Pending<'_, ()>;

    /// Ends every replica, each with its grace, because the pool is gone from the config; called once, in place of `close`.
    fn disband(&self) -> super::scaler::Pending<'_, ()> {
        self.close()
    }
}

/// What runs the replicas of each pool here, and of which kind it is.
type Running = BTreeMap<Id, (Discriminant<Target>, Arc<dyn Local>)>;

/// The owner of containers when no other name is given.
const OWNER: &str = "tidegate";

/// The platforms of this process.
pub struct Platforms {
    /// Who owns what runs on an engine that others use too.
    owner: String,
    /// Where local processes are written down, so that the next start finds them.
    folder: Option<PathBuf>,
    local: Mutex<Running>,
    cluster: Arc<Cluster>,
}

impl fmt::Debug for Platforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platforms").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Platforms {
    /// Makes nothing yet. Without a folder, processes of an earlier run are not found again.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { owner: OWNER.to_owned(), folder, local: Mutex::default(), cluster: Arc::default() }
    }

    /// Names who owns what runs on an engine that other Tidegates use too; the name must be the same at the next start.
    #[must_use]
    pub fn owned_by(self, owner: &str) -> Self {
        Self { owner: owner.to_owned(), ..self }
    }

    /// Speaks to this cluster instead of the one that the environment names.
    #[must_use]
    pub fn with_cluster(self, cluster: Arc<Cluster>) -> Self {
        Self { cluster, ..self }
    }

    /// Returns the cluster; nothing is asked of it yet.
    pub const fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Returns what runs the replicas of `pool`.
    ///
    /// # Errors
    /// When the platform cannot even be addressed, such as Kubernetes without a kubeconfig.
    pub fn scaler(&self, pool: &Id, target: &Target) -> Result<Arc<dyn Scaler>, ScaleError> {
        if let Target::Kubernetes(workload) = target {
            return Ok(Arc::new(Workload::new(self.cluster.clone(), workload.clone())));
        }
        self.local(pool, target).map(|local| -> Arc<dyn Scaler> { local })
    }

    /// Returns what runs the replicas of `pool` on this machine or engine.
    ///
    /// # Errors
    /// When `target` is elsewhere, or cannot even be addressed.
    pub fn local(&self, pool: &Id, target: &Target) -> Result<Arc<dyn Local>, ScaleError> {
        let mut local = self.lock();
        let kind = discriminant(target);
        match local.get(pool) {
            Some((known, runs)) if *known == kind => {
                runs.configure(target);
                return Ok(runs.clone());
            }
            Some(_) => {
                // The pool has moved: what ran there ends by itself, each replica with its grace.
                let (_, runs) = local.remove(pool).expect("it has just been found, under the same lock");
                tokio::spawn(async move { runs.disband().await });
            }
            None => {}
        }
        let made: Arc<dyn Local> = match target {
            Target::Process(program) => Arc::new(process::Fleet::start(pool.clone(), program.clone(), self.folder.as_deref())?),
            Target::Docker(container) => Arc::new(Containers::start(pool, &self.owner, container)),
            Target::Kubernetes(_) => {
                return Err(ScaleError::Missing { platform: "Kubernetes", what: "replicas on this machine".to_owned() });
            }
        };
        local.insert(pool.clone(), (kind, made.clone()));
        Ok(made)
    }

    /// Forgets the pools for which `is_kept` is false, and returns what ran their replicas, to be disbanded.
    pub fn retain(&self, is_kept: impl Fn(&Id) -> bool) -> Vec<Arc<dyn Local>> {
        let mut local = self.lock();
        let gone: Vec<Id> = local.keys().filter(|pool| !is_kept(pool)).cloned().collect();
        gone.iter().filter_map(|pool| Some(local.remove(pool)?.1)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        // Entries are put in and taken out whole.
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
