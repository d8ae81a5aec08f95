//! The loops: one for each pool that is sized, from reload to reload.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::scaling::{Scaling, Trouble};
use super::turn::{Cue, Sizer};
use crate::model::{Autoscale, Discovery, Id, ScaleMode};
use crate::platform::{Platforms, ScaleError, Scaler};
use crate::registry::{LivePool, World};
use crate::telemetry::metrics::Registry;

/// How long it takes until a platform that cannot even be addressed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// The shortest time between two turns: a storm of waiting requests is one piece of news.
const BREATH: Duration = Duration::from_millis(50);

/// What every loop uses.
#[derive(Debug)]
pub struct Tools {
    /// The figures of the request path.
    pub metrics: Registry,
    /// What replicas run on.
    pub platforms: Arc<Platforms>,
}

/// Sizes the pools of the present world.
pub struct Autoscaler {
    tools: Arc<Tools>,
    loops: Mutex<BTreeMap<Id, Running>>,
}

/// The loop of one pool; it ends when the sender goes.
struct Running {
    shared: Arc<Scaling>,
    live: watch::Sender<Arc<LivePool>>,
}

impl fmt::Debug for Autoscaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Autoscaler").field("tools", &self.tools).finish_non_exhaustive()
    }
}

impl Autoscaler {
    /// Sizes nothing yet.
    pub fn new(tools: Tools) -> Self {
        Self { tools: Arc::new(tools), loops: Mutex::default() }
    }

    /// Follows a change of the world: loops begin, go on with other settings, or end. To be called on the control runtime; does not wait.
    pub fn follow(&self, world: &World) {
        let is_sized = |pool: &LivePool| pool.model.autoscale.as_ref().is_some_and(|autoscale| autoscale.mode != ScaleMode::Off);
        let mut loops = self.lock();
        loops.retain(|name, _| world.pools.get(name).is_some_and(|pool| is_sized(pool)));
        for (name, pool) in world.pools.iter().filter(|(_, pool)| is_sized(pool)) {
            match loops.get(name) {
                Some(running) => {
                    running.live.send_if_modified(|live| !Arc::ptr_eq(&std::mem::replace(live, pool.clone()), pool));
                }
                None => {
                    loops.insert(name.clone(), self.start(pool));
                }
            }
        }
        drop(loops);
        let is_here = |pool: &LivePool| pool.model.discovery == Some(Discovery::Replicas);
        for gone in self.tools.platforms.retain(|name| world.pools.get(name).is_some_and(|pool| is_here(pool))) {
            // Ends by itself: a replica has a grace, and then none.
            tokio::spawn(async move { gone.disband().await });
        }
    }

    /// Returns how the sizing of `pool` stands; `None` for a pool that is not sized.
    pub fn scaling(&self, pool: &str) -> Option<Arc<Scaling>> {
        self.lock().get(pool).map(|running| running.shared.clone())
    }

    /// Returns how every sized pool stands, by name.
    pub fn all(&self) -> Vec<(Id, Arc<Scaling>)> {
        self.lock().iter().map(|(name, running)| (name.clone(), running.shared.clone())).collect()
    }

    /// Replaces a replica that does not get well.
    ///
    /// # Errors
    /// When its pool is not sized, or the platform does not do it.
    pub async fn restart(&self, pool: &Id, target: &Autoscale, replica: Id) -> Result<(), ScaleError> {
        self.tools.platforms.scaler(pool, &target.target)?.restart(replica).await?;
        if let Some(shared) = self.scaling(pool.as_str()) {
            shared.update(|standing| standing.counts.restarts_total += 1);
        }
        Ok(())
    }

    /// Ends every loop, and the replicas that must not outlive this process.
    pub async fn close(&self) {
        self.lock().clear();
        let local = self.tools.platforms.retain(|_| false);
        futures_util::future::join_all(local.iter().map(|local| local.close())).await;
    }

    fn start(&self, pool: &Arc<LivePool>) -> Running {
        let shared = Arc::new(Scaling::default());
        let (live, receiver) = watch::channel(pool.clone());
        tokio::spawn(size(receiver, shared.clone(), self.tools.clone()));
        Running { shared, live }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, Running>> {
        // Entries are put in and taken out whole.
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sizes one pool until its sender goes.
async fn size(mut live: watch::Receiver<Arc<LivePool>>, shared: Arc<Scaling>, tools: Arc<Tools>) {
    loop {
        let Some(scaler) = reach(&mut live, &shared, &tools.platforms).await else { return };
        let pool = live.borrow_and_update().clone();
        let mut sizer = Sizer::new(pool, scaler, shared.clone(), tools.clone());
        let goes_on = keep_sizing(&mut sizer, &mut live, &shared).await;
        sizer.stay();
        if !goes_on {
            return;
        }
    }
}

/// Returns the platform of the pool, as soon as it can be addressed; `None` when the pool is not sized any more.
async fn reach(live: &mut watch::Receiver<Arc<LivePool>>, shared: &Scaling, platforms: &Platforms) -> Option<Arc<dyn Scaler>> {
    loop {
        let pool = live.borrow_and_update().clone();
        let autoscale = pool.model.autoscale.as_ref()?;
        match platforms.scaler(&pool.model.name, &autoscale.target) {
            Ok(scaler) => return Some(scaler),
            Err(error) => shared.update(|standing| {
                standing.mode = Some(autoscale.mode);
                standing.error = Some(Trouble { kind: error.as_str(), detail: error.to_string(), times: 1 });
            }),
        }
        // Cancel safe: nothing is lost of either.
        tokio::select! {
            changed = live.changed() => changed.ok()?,
            () = sleep(RETRY) => {}
        }
    }
}

/// Takes turn after turn; true when the pool has another platform now, false when it is not sized any more.
async fn keep_sizing(sizer: &mut Sizer, live: &mut watch::Receiver<Arc<LivePool>>, shared: &Scaling) -> bool {
    let model = sizer.live.model.clone();
    let Some(mut settings) = model.autoscale.clone() else { return false };
    let mut ticks = ticks(settings.terms.interval);
    let mut cue = Cue::Look;
    loop {
        let began = Instant::now();
        sizer.turn(&settings, cue).await;
        tokio::time::sleep_until(began + BREATH).await;
        let (queue, scaler) = (sizer.live.queue.begun().clone(), sizer.scaler.clone());
        // Cancel safe, all: a permit, a version or a tick that came stays noted.
        cue = tokio::select! {
            changed = live.changed() => {
                let pool = live.borrow_and_update().clone();
                match (changed, &pool.model.autoscale) {
                    (Ok(()), Some(new)) if new.target == settings.target => {
                        ticks = self::ticks(new.terms.interval);
                        settings = new.clone();
                        sizer.live = pool;
                    }
                    (Ok(()), Some(_)) => return true,
                    _ => return false,
                }
                Cue::Look
            }
            () = queue.notified() => Cue::Waiting,
            () = scaler.changed() => Cue::Look,
            () = shared.wake.notified() => Cue::Look,
            _ = ticks.tick() => Cue::Look,
        };
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period.max(BREATH));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
