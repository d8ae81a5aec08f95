//! The processes of one pool, as a platform.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::found::found;
use super::life::{Held, Life};
use super::output::Output;
use super::port::Port;
use super::proc;
use super::running::Running;
use super::shared::{Charge, Shared, refused};
use super::store::{Entry, Store};
use super::usage::Sample;
use crate::kit::clock;
use crate::model::{Id, Program, Target};
use crate::platform::{Local, Observed, Pending, Replica, ScaleError, Scaler};

/// How the first start of a replica went.
type First = oneshot::Receiver<Result<(), String>>;

/// Runs the replicas of one pool as processes of this machine.
///
/// Dropped, it kills them at once; [`Local::close`] lets them end, [`Fleet::leave`] lets them be. Each replica is looked after by a task of its own, which
/// the fleet owns.
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<Shared>,
    lives: Mutex<JoinSet<()>>,
    runtime: Handle,
}

impl Fleet {
    /// Looks after the processes of `pool` on the present runtime, which must have its I/O and time drivers.
    ///
    /// With a folder, the processes that an earlier Tidegate has left are taken back when they are of the same program, or else ended, and as many are started
    /// as it wanted. Without one there are none until somebody wants some.
    ///
    /// # Errors
    /// When another Tidegate runs the processes of this pool from this folder, when the folder cannot be used, or outside a runtime.
    pub fn start(pool: Id, program: Program, folder: Option<&Path>) -> Result<Self, ScaleError> {
        let runtime = Handle::try_current().map_err(|error| refused(error.to_string()))?;
        let store = folder.map(|folder| Store::open(folder, &pool)).transpose().map_err(|error| refused(error.to_string()))?;
        let roll = store.as_ref().map(Store::read).unwrap_or_default();
        let (desired, is_left) = (roll.desired, Arc::new(AtomicBool::new(false)));
        let found = found(roll, &is_left);
        let shared = Arc::new(Shared::new(pool, program, store, is_left));
        let fleet = Self { shared, lives: Mutex::default(), runtime };
        for (entry, running) in found {
            if let Err(error) = fleet.take_back(entry, running) {
                warn!(pool = %fleet.shared.pool, %error, "A process of an earlier run cannot be taken back; it is killed.");
            }
        }
        for charge in fleet.shared.order(desired, &[])? {
            // How it goes is logged, and seen by whoever observes.
            drop(fleet.begin(charge, None));
        }
        Ok(fleet)
    }

    /// Lets go of the processes without ending them, as if this process were killed: the next fleet with this folder takes them back.
    pub async fn leave(self) {
        self.shared.is_left().store(true, Ordering::Release);
        let mut lives = std::mem::take(&mut *self.lives());
        lives.shutdown().await;
    }

    /// Returns why a replica died last, or could not be started.
    pub fn failure(&self, replica: &Id) -> Option<String> {
        self.shared.failure(replica)
    }

    fn take_back(&self, entry: Entry, running: Running) -> Result<(), String> {
        let port = Port::of(entry.port).ok_or_else(|| format!("port {} is promised to another replica", entry.port))?;
        let output =
            Output::open(self.shared.log(&entry.name).as_deref()).map_err(|error| format!("its output cannot be kept: {error}"))?;
        let held = Held { running, port, output, program: self.shared.program() };
        let charge = self.shared.take_back(entry).ok_or_else(|| "two processes have its name".to_owned())?;
        drop(self.begin(charge, Some(held)));
        Ok(())
    }

    fn begin(&self, charge: Charge, held: Option<Held>) -> First {
        let (life, first) = Life::new(self.shared.clone(), charge);
        let mut lives = self.lives();
        lives.spawn_on(life.run(held), &self.runtime);
        while let Some(ended) = lives.try_join_next() {
            if let Err(error) = ended {
                error!(pool = %self.shared.pool, %error, "The task of a replica has failed; the replica is killed.");
            }
        }
        first
    }

    async fn scale(&self, count: u32, victims: Vec<Id>) -> Result<(), ScaleError> {
        let charges = self.shared.order(count, &victims)?;
        // All are begun before the first is waited for.
        let firsts: Vec<First> = charges.into_iter().map(|charge| self.begin(charge, None)).collect();
        let mut refusal = None;
        for first in firsts {
            // One that is no longer wanted before its start says nothing.
            if let Ok(Err(reason)) = first.await {
                refusal.get_or_insert(reason);
            }
        }
        refusal.map_or(Ok(()), |reason| Err(refused(reason)))
    }

    async fn look(&self) -> Observed {
        let due = self.shared.due();
        if !due.is_empty() {
            let sample =
                move || Some(Sample { groups: proc::consumption(&due)?, memory_kib: proc::memory_kib(), at: clock::now() });
            if let Ok(Some(sample)) = self.runtime.spawn_blocking(sample).await {
                self.shared.measure(sample);
            }
        }
        self.shared.observed()
    }

    async fn end(&self) {
        self.shared.close();
        let mut replicas = self.shared.watch();
        // The sender is in `shared`.
        let _ = replicas.wait_for(Vec::is_empty).await;
        self.shared.forget();
    }

    fn lives(&self) -> MutexGuard<'_, JoinSet<()>> {
        // Tasks are put in and taken out whole.
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scaler for Fleet {
    fn observe(&self) -> Pending<'_, Result<Observed, ScaleError>> {
        Box::pin(async { Ok(self.look().await) })
    }

    /// Returns once every new replica has been started, or could not be; whether it serves, `observe` tells. A replica that could not be started is tried again.
    fn scale_to(&self, count: u32, victims: Vec<Id>) -> Pending<'_, Result<(), ScaleError>> {
        Box::pin(self.scale(count, victims))
    }

    fn restart(&self, replica: Id) -> Pending<'_, Result<(), ScaleError>> {
        Box::pin(async move { self.shared.restart(&replica) })
    }

    /// Is for one caller at a time: news that comes while nobody waits is kept once.
    fn changed(&self) -> Pending<'_, ()> {
        Box::pin(self.shared.changed())
    }
}

impl Local for Fleet {
    fn replicas(&self) -> watch::Receiver<Vec<Replica>> {
        self.shared.watch()
    }

    fn configure(&self, target: &Target) {
        match target {
            Target::Process(program) => self.shared.configure(program),
            Target::Kubernetes(_) | Target::Docker(_) => {
                warn!(pool = %self.shared.pool, "Processes cannot become replicas of another platform; they stay as they are.");
            }
        }
    }

    /// Takes at most the grace of a replica, and a few seconds for those that do not even end when they are killed.
    fn close(&self) -> Pending<'_, ()> {
        Box::pin(self.end())
    }
}
