//! The platforms of this process: each client is made when the first pool needs it, and kept over reloads.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::docker::Containers;
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

/// The owner of containers when no other name is given.
const OWNER: &str = "tidegate";

/// The platforms of this process.
pub struct Platforms {
    /// Who owns what runs on an engine that others use too.
    owner: String,
    /// Where local processes are written down, so that the next start finds them.
    folder: Option<PathBuf>,
    local: Mutex<BTreeMap<Id, Arc<dyn Local>>>,
}

impl fmt::Debug for Platforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platforms").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Platforms {
    /// Makes nothing yet. Without a folder, processes of an earlier run are not found again.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { owner: OWNER.to_owned(), folder, local: Mutex::default() }
    }

    /// Names who owns what runs on an engine that other Tidegates use too; the name must be the same at the next start.
    pub fn owned_by(self, owner: &str) -> Self {
        Self { owner: owner.to_owned(), ..self }
    }

    /// Returns what runs the replicas of `pool`.
    ///
    /// # Errors
    /// When the platform cannot even be addressed, such as Kubernetes without a kubeconfig.
    pub fn scaler(&self, pool: &Id, target: &Target) -> Result<Arc<dyn Scaler>, ScaleError> {
        self.local(pool, target).map(|local| -> Arc<dyn Scaler> { local })
    }

    /// Returns what runs the replicas of `pool` on this machine or engine.
    ///
    /// # Errors
    /// When `target` is elsewhere, or cannot even be addressed.
    pub fn local(&self, pool: &Id, target: &Target) -> Result<Arc<dyn Local>, ScaleError> {
        let mut local = self.lock();
        if let Some(known) = local.get(pool) {
            known.configure(target);
            return Ok(Arc::clone(known));
        }
        let made: Arc<dyn Local> = match target {
            Target::Docker(container) => Arc::new(Containers::start(pool, &self.owner, container)),
            Target::Kubernetes(_) | Target::Process(_) => {
                return Err(ScaleError::Missing { platform: "this build", what: "platform".to_owned() });
            }
        };
        local.insert(pool.clone(), Arc::clone(&made));
        Ok(made)
    }

    /// Forgets the pools for which `is_kept` is false, and returns what ran their replicas, to be disbanded.
    pub fn retain(&self, is_kept: impl Fn(&Id) -> bool) -> Vec<Arc<dyn Local>> {
        let mut local = self.lock();
        let gone: Vec<Id> = local.keys().filter(|pool| !is_kept(pool)).cloned().collect();
        gone.iter().filter_map(|pool| local.remove(pool)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, Arc<dyn Local>>> {
        // Entries are put in and taken out whole.
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
