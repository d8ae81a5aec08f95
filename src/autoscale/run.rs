//! The loops: one for each pool that is sized, from reload to reload.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::foresight::Foresight;
use super::lead::LeaseStanding;
use super::peers::{Instruction, Report as PeerReport, rounds};
use super::scaling::{Scaling, Trouble};
use super::shop::{Records, Shop, Tools};
use super::signal::pages;
use super::turn::{Cue, Place, Sizer};
use crate::kit::clock;
use crate::model::{Autoscale, Discovery, Id, ScaleMode, Secret, Target};
use crate::platform::{Platforms, ScaleError, Scaler};
use crate::registry::{LivePool, World};

/// How long it takes until a platform that cannot even be addressed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// The shortest time between two turns for the same kind of news: a storm of waiting requests is one piece of it.
const BREATH: Duration = Duration::from_millis(50);

/// How often it is looked whether the replicas of a pool that has left are empty.
const LOOK: Duration = Duration::from_millis(250);

/// Looks that must find them empty: a worker may just have picked one when the pool left.
const EMPTY_LOOKS: u32 = 2;

/// Sizes the pools of the present world.
pub struct Autoscaler {
    shop: Arc<Shop>,
    loops: Mutex<BTreeMap<Id, Running>>,
    here: Here,
    is_closed: AtomicBool,
}

/// How long it is waited for turns that are under way when everything ends.
const CLOSING: Duration = Duration::from_secs(6);

/// The pools of the present world whose replicas are on this machine or engine.
type Here = Arc<Mutex<BTreeMap<Id, Arc<LivePool>>>>;

/// The loop of one pool; it ends when the sender goes.
struct Running {
    shared: Arc<Scaling>,
    live: watch::Sender<Arc<LivePool>>,
    task: JoinHandle<()>,
}

impl fmt::Debug for Autoscaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Autoscaler").field("shop", &self.shop).finish_non_exhaustive()
    }
}

impl Autoscaler {
    /// Sizes nothing yet. To be called on the control runtime.
    pub fn new(tools: Tools) -> Arc<Self> {
        let autoscaler = Arc::new(Self {
            shop: Arc::new(Shop::open(tools)),
            loops: Mutex::default(),
            here: Here::default(),
            is_closed: AtomicBool::new(false),
        });
        if autoscaler.shop.peers.is_some() {
            tokio::spawn(rounds::make(Arc::downgrade(&autoscaler)));
        }
        autoscaler
    }

    pub(super) const fn shop(&self) -> &Arc<Shop> {
        &self.shop
    }

    /// Follows a change of the world: loops begin, go on with other settings, or end. To be called on the control runtime; does not wait.
    pub fn follow(&self, world: &World) {
        if self.is_closed.load(Relaxed) {
            return;
        }
        self.shop.generation.store(world.generation, Relaxed);
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
        let here = world.pools.iter().filter(|(_, pool)| is_here(pool)).map(|(name, pool)| (name.clone(), pool.clone()));
        let here: BTreeMap<Id, Arc<LivePool>> = here.collect();
        let before = std::mem::replace(&mut *lock(&self.here), here.clone());
        for (name, pool) in before.into_iter().filter(|(name, _)| !here.contains_key(name)) {
            // Ends by itself: what runs has its time, a replica a grace, and then none.
            tokio::spawn(retire(name, pool, self.shop.clone(), self.here.clone()));
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

    /// Returns what is kept over restarts; `None` before the first pool was sized.
    pub fn records(&self) -> Option<Arc<Records>> {
        self.shop.opened()
    }

    /// Returns how the election stands; `None` when there is none.
    pub fn election(&self) -> Option<LeaseStanding> {
        self.shop.lead.standing()
    }

    /// Takes what a leader says, and tells it what is seen here.
    pub fn exchange(&self, instruction: &Instruction) -> PeerReport {
        let now = clock::now();
        let loops = self.lock();
        for (name, running) in loops.iter() {
            running.shared.tell(instruction.draining.get(name).cloned().unwrap_or_default(), now);
        }
        let pools = loops.iter().map(|(name, running)| (name.clone(), running.shared.reported())).collect();
        PeerReport { gateway: self.shop.identity.clone(), pools }
    }

    /// Tells whether this gateway acts on `target`.
    pub fn leads(&self, target: &Target) -> bool {
        self.shop.may_act(target, clock::now()).is_some()
    }

    /// Takes another token for the admin servers of peers.
    pub fn set_token(&self, token: Option<Secret>) {
        if let Some(peers) = &self.shop.peers {
            peers.set_token(token);
        }
    }

    /// Replaces a replica that does not get well.
    ///
    /// # Errors
    /// When its pool is not sized, or the platform does not do it.
    pub async fn restart(&self, pool: &Id, replica: Id) -> Result<(), ScaleError> {
        let found = self.lock().get(pool).map(|running| (running.shared.clone(), running.live.borrow().clone()));
        let missing = || ScaleError::Missing { platform: "Tidegate", what: format!("loop that sizes pool {pool}") };
        let (shared, live) = found.ok_or_else(missing)?;
        let autoscale = live.model.autoscale.as_ref().ok_or_else(missing)?;
        let may_act = self.shop.may_act(&autoscale.target, clock::now()).is_some();
        if !may_act || autoscale.mode != ScaleMode::Act {
            // One gateway does it, and none where nothing is to be done.
            let detail = format!("pool {pool} is not this gateway's to change, or its mode is not act");
            return Err(ScaleError::Refused { platform: "Tidegate", detail });
        }
        self.shop.tools.platforms.scaler(pool, &autoscale.target)?.restart(replica).await?;
        shared.update(|standing| standing.counts.restarts_total += 1);
        Ok(())
    }

    /// Ends every loop, and the replicas that must not outlive this process.
    pub async fn close(&self) {
        // What ends now changes the world, and must not begin anew by that.
        self.is_closed.store(true, Relaxed);
        let loops = std::mem::take(&mut *self.lock());
        let turns = loops.into_values().map(|running| running.task);
        // A call that is under way must be over before another gateway leads.
        let _ = timeout(CLOSING, futures_util::future::join_all(turns)).await;
        let local = self.shop.tools.platforms.retain(|_| false);
        futures_util::future::join_all(local.iter().map(|local| local.close())).await;
        self.shop.lead.release().await;
    }

    fn start(&self, pool: &Arc<LivePool>) -> Running {
        let shared = Arc::new(Scaling::default());
        let (live, receiver) = watch::channel(pool.clone());
        let lookup = self.shop.tools.lookup.clone();
        tokio::spawn(pages::follow(receiver.clone(), Arc::downgrade(&shared), lookup));
        let task = tokio::spawn(size(receiver, shared.clone(), self.shop.clone()));
        Running { shared, live, task }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, Running>> {
        lock(&self.loops)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Entries are put in and taken out whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the replicas of a pool that has none here any more, once nothing runs on them or their time to run empty is over; a pool that has come back
/// meanwhile keeps them.
async fn retire(name: Id, pool: Arc<LivePool>, shop: Arc<Shop>, here: Here) {
    let patience = pool.model.autoscale.as_ref().map_or(Duration::ZERO, |autoscale| autoscale.drain_timeout);
    // Late is a reason too.
    let _ = timeout(patience, empty(&pool)).await;
    let gone = {
        let here = lock(&here);
        shop.tools.platforms.retain(|known| *known != name || here.contains_key(&name))
    };
    for gone in gone {
        gone.disband().await;
    }
}

/// Waits until nothing runs on the members of a pool that gets no more requests.
async fn empty(pool: &LivePool) {
    let members = pool.members.load_full();
    let mut empty_looks = 0;
    while empty_looks < EMPTY_LOOKS {
        sleep(LOOK).await;
        let is_empty = members.set.endpoints().iter().all(|endpoint| endpoint.vitals().in_flight() == 0);
        empty_looks = if is_empty { empty_looks + 1 } else { 0 };
    }
}

/// Sizes one pool until its sender goes.
async fn size(mut live: watch::Receiver<Arc<LivePool>>, shared: Arc<Scaling>, shop: Arc<Shop>) {
    let records = shop.records().await;
    let name = live.borrow().model.name.clone();
    let foresight = foresight(name, &records).await;
    shared.set_foresight(foresight.clone());
    loop {
        let Some(scaler) = reach(&mut live, &shared, &shop.tools.platforms).await else { return };
        let pool = live.borrow_and_update().clone();
        let Some(settings) = pool.model.autoscale.clone() else { return };
        let (shared, shop, records, foresight) = (shared.clone(), shop.clone(), records.clone(), foresight.clone());
        let mut sizer = Sizer::new(pool, &settings, scaler, Place { shared: shared.clone(), shop, records, foresight });
        let goes_on = keep_sizing(&mut sizer, settings, &mut live, &shared).await;
        sizer.leave();
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
async fn keep_sizing(
    sizer: &mut Sizer,
    mut settings: Autoscale,
    live: &mut watch::Receiver<Arc<LivePool>>,
    shared: &Scaling,
) -> bool {
    let mut ticks = ticks(settings.terms.interval);
    let mut cue = Cue::Look;
    // When news of the platform and of operators counts again, and when that somebody waits does: whoever comes just after an ordinary turn must not
    // wait for the next one.
    let mut rested = Instant::now();
    let mut heard = rested;
    loop {
        match cue {
            Cue::Look => rested = Instant::now() + BREATH,
            Cue::Waiting => heard = Instant::now() + BREATH,
        }
        sizer.turn(&settings, cue).await;
        let (queue, scaler) = (sizer.live.queue.begun().clone(), sizer.scaler.clone());
        // Cancel safe, all: a permit, a version or a tick that came stays noted.
        cue = tokio::select! {
            changed = live.changed() => {
                let pool = live.borrow_and_update().clone();
                match (changed, &pool.model.autoscale) {
                    (Ok(()), Some(new)) if new.target == settings.target => {
                        ticks = self::ticks(new.terms.interval);
                        settings = new.clone();
                        sizer.configure(new);
                        sizer.live = pool;
                    }
                    (Ok(()), Some(_)) => return true,
                    _ => return false,
                }
                Cue::Look
            }
            () = later(heard, queue.notified()) => Cue::Waiting,
            () = later(rested, scaler.changed()) => Cue::Look,
            () = later(rested, shared.wake.notified()) => Cue::Look,
            _ = ticks.tick() => Cue::Look,
        };
    }
}

/// Waits for news, which is not looked at before `at`; cancel safe where `news` is before it was polled.
async fn later(at: Instant, news: impl Future<Output = ()>) {
    sleep_until(at).await;
    news.await;
}

/// Reads what an earlier run has written down of the forecasts of a pool.
async fn foresight(pool: Id, records: &Arc<Records>) -> Arc<Foresight> {
    let history = records.history.clone();
    let opened = tokio::task::spawn_blocking({
        let (pool, history) = (pool.clone(), history.clone());
        move || Foresight::open(pool, history)
    });
    // The runtime is stopping, or a defect: the pool is sized all the same.
    opened.await.unwrap_or_else(|_| Foresight::new(pool, history))
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period.max(BREATH));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
