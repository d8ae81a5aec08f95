//! From a snapshot to the live world: build everything beside the old world, then swap.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::certificates::{self, CertificateError, Contents};
use super::crew::Crew;
use super::diff::Report;
use super::follow::Followers;
use super::keeper::{self, Keeper};
use super::world::{Built, Command, Gate, LiveListener, LivePool, World};
use super::{members, sockets};
use crate::discovery::{Found, Sources};
use crate::health::{Outside, WebhookError};
use crate::model::{Bind, Id, Listener, Pool, Snapshot};
use crate::resilience::queue::SlotQueue;
use crate::route::{RouteError, Table};
use crate::upstream::{self, TlsError};

/// Why a snapshot cannot become the world.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// A listener's address cannot be bound.
    #[error("listener \"{name}\": cannot listen on {bind}: {}", sockets::why_not(source))]
    Bind {
        /// The listener.
        name: Id,
        /// Its address.
        bind: Bind,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A listener's certificates cannot be used.
    #[error("listener \"{name}\": {source}")]
    ListenerTls {
        /// The listener.
        name: Id,
        /// Why.
        #[source]
        source: CertificateError,
    },
    /// A pool's certificates cannot be used.
    #[error("pool \"{name}\": {source}")]
    PoolTls {
        /// The pool.
        name: Id,
        /// Why.
        #[source]
        source: Box<TlsError>,
    },
    /// A pool's certificate file cannot be read.
    #[error("pool \"{name}\": {source}")]
    PoolFile {
        /// The pool.
        name: Id,
        /// Why.
        #[source]
        source: CertificateError,
    },
    /// The webhook of a pool's health checks cannot be called.
    #[error("pool \"{name}\": {source}")]
    Webhook {
        /// The pool.
        name: Id,
        /// Why.
        #[source]
        source: WebhookError,
    },
    /// The routes cannot be compiled.
    #[error("routes of listener \"{name}\": {source}")]
    Routes {
        /// The listener.
        name: Id,
        /// Why.
        #[source]
        source: RouteError,
    },
}

/// Everything that keeps a snapshot from becoming the world.
#[derive(Debug)]
pub struct ApplyError(pub Vec<Obstacle>);

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, obstacle) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            obstacle.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ApplyError {}

/// Called when every worker has a changed world, or the changed members of one of its pools.
type OnChange = Box<dyn Fn(&World) + Send + Sync>;

/// Holds the world, and is the only one to replace it.
pub struct Registry {
    pub(super) world: ArcSwapOption<World>,
    pub(super) crew: Arc<Crew>,
    pub(super) sources: Sources,
    /// For health checks.
    pub(super) outside: Outside,
    listeners_made: AtomicU64,
    changed: OnceLock<OnChange>,
    /// One change at a time; guards what follows the sources of endpoints.
    pub(super) changing: tokio::sync::Mutex<Followers>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("world", &self.world).finish_non_exhaustive()
    }
}

/// What has been built so far, and what stood in the way.
struct Builder<'a> {
    old: Option<&'a World>,
    workers: usize,
    obstacles: Vec<Obstacle>,
}

impl Registry {
    /// A registry without a world.
    pub fn new(crew: Arc<Crew>, sources: Sources, outside: Outside) -> Arc<Self> {
        Arc::new(Self {
            world: ArcSwapOption::empty(),
            crew,
            sources,
            outside,
            listeners_made: AtomicU64::new(0),
            changed: OnceLock::new(),
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// Returns the world; `None` before the first snapshot was applied.
    pub fn world(&self) -> Option<Arc<World>> {
        self.world.load_full()
    }

    /// Lets `hear` know of every change, one at a time; only the first caller is heard.
    pub fn on_change(&self, hear: impl Fn(&World) + Send + Sync + 'static) {
        // The composition root calls this once.
        let _ = self.changed.set(Box::new(hear));
    }

    pub(super) fn tell(&self, world: &World) {
        if let Some(hear) = self.changed.get() {
            hear(world);
        }
    }

    /// Returns the workers.
    pub const fn crew(&self) -> &Arc<Crew> {
        &self.crew
    }

    /// Builds a world from `snapshot`, swaps it in, and waits until every worker has it.
    ///
    /// # Errors
    /// Everything that stands in the way; the old world stays.
    pub async fn apply(self: &Arc<Self>, snapshot: Snapshot) -> Result<Report, ApplyError> {
        let mut followers = self.changing.lock().await;
        let old = self.world();
        let mut builder = Builder { old: old.as_deref(), workers: self.crew.size(), obstacles: Vec::new() };
        let listeners = builder.listeners(&snapshot, &self.listeners_made);
        let pools = builder.pools(&snapshot, &followers);
        if !builder.obstacles.is_empty() {
            return Err(ApplyError(builder.obstacles));
        }
        let generation = old.as_ref().map_or(1, |world| world.generation + 1);
        let report = Report::between(old.as_ref().map(|world| &*world.snapshot), &snapshot, generation);
        let world = Arc::new(World::new(generation, snapshot, Built { listeners, pools }, old.as_deref()));
        world.configure(old.as_deref());
        for pool in world.pools.values() {
            pool.keeper.look_after(pool, &pool.members.load(), &self.outside);
        }
        self.world.store(Some(world.clone()));
        // Before the workers hear of it: each serves what is in its backlog when it closes, and must be the last to close.
        let kept = |old: &LiveListener| world.listeners.values().any(|new| Arc::ptr_eq(&new.sockets, &old.sockets));
        let left = old.iter().flat_map(|world| world.listeners.values()).filter(|old| !kept(old));
        left.for_each(|old| old.sockets.close());
        self.crew.post_all(|done| Command::Apply(world.clone(), done)).await;
        for pool in world.pools.values() {
            pool.open_queue();
        }
        self.tell(&world);
        self.follow(&mut followers, &world);
        Ok(report)
    }

    /// Stops listening, for good: what waits in the backlog of a worker is still served, further connections are refused.
    pub async fn drain(&self) {
        if let Some(world) = self.world() {
            // First these handles: as long as one is left, the system takes connections that nobody would accept.
            for listener in world.listeners.values() {
                listener.sockets.close();
            }
        }
        self.crew.post_all(Command::Drain).await;
    }
}

impl Builder<'_> {
    /// Keeps what the obstacle is, when there is one.
    fn note<T>(&mut self, result: Result<T, Obstacle>) -> Option<T> {
        result.map_err(|obstacle| self.obstacles.push(obstacle)).ok()
    }

    fn listeners(&mut self, snapshot: &Snapshot, made: &AtomicU64) -> BTreeMap<Id, Arc<LiveListener>> {
        let mut live = BTreeMap::new();
        for model in &snapshot.listeners {
            let built = self.listener(model, snapshot, made);
            if let Some(listener) = self.note(built) {
                live.insert(model.name.clone(), Arc::new(listener));
            }
        }
        live
    }

    fn listener(&self, model: &Arc<Listener>, snapshot: &Snapshot, made: &AtomicU64) -> Result<LiveListener, Obstacle> {
        let name = &model.name;
        let old = self.old.and_then(|world| world.listeners.get(name));
        let table = Table::build(&snapshot.routes, name).map_err(|source| Obstacle::Routes { name: name.clone(), source })?;
        let tls_failed = |source| Obstacle::ListenerTls { name: name.clone(), source };
        let contents = Contents::read(model.tls.iter().flat_map(certificates::files)).map_err(tls_failed)?;
        let same_tls = |old: &&Arc<LiveListener>| {
            old.certificates == contents && old.model.tls == model.tls && old.model.protocol == model.protocol
        };
        let tls = match (&model.tls, old.filter(same_tls)) {
            (None, _) => None,
            // Kept, so that sessions can still be resumed.
            (Some(_), Some(old)) => old.tls.clone(),
            (Some(tls), None) => Some(certificates::build(tls, model.protocol, &contents).map_err(tls_failed)?),
        };
        let live = |number, gate, address, sockets| LiveListener {
            model: model.clone(),
            number,
            tls: tls.clone(),
            certificates: contents.clone(),
            table: Arc::new(table),
            gate,
            address,
            sockets,
        };
        if let Some(old) = old.filter(|old| old.model.bind == model.bind) {
            return Ok(live(old.number, old.gate.clone(), old.address.clone(), old.sockets.clone()));
        }
        // Other listeners may have given their addresses up in the same reload.
        let stays = |old: &LiveListener| snapshot.listeners.iter().any(|l| l.name == old.model.name && l.bind == old.model.bind);
        let given_up: Vec<_> = self.old.into_iter().flat_map(|world| world.listeners.values()).filter(|old| !stays(old)).collect();
        let number = made.fetch_add(1, Relaxed) + 1;
        let gate = Arc::new(Gate::new(model.limits.connections));
        if let Some(other) = given_up.iter().find(|other| other.model.bind == model.bind) {
            return Ok(live(number, gate, other.address.clone(), other.sockets.clone()));
        }
        let addresses: Vec<&Bind> = given_up.iter().map(|other| &other.address).collect();
        let bound = sockets::bind(&model.bind, self.workers, &addresses).map_err(|source| Obstacle::Bind {
            name: name.clone(),
            bind: model.bind.clone(),
            source,
        })?;
        Ok(live(number, gate, bound.address, Arc::new(bound.sockets)))
    }

    fn pools(&mut self, snapshot: &Snapshot, followers: &Followers) -> BTreeMap<Id, Arc<LivePool>> {
        let mut live = BTreeMap::new();
        for (name, model) in &snapshot.pools {
            let found = followers.known(model);
            let built = self.pool(model, &found);
            if let Some(pool) = self.note(built) {
                live.insert(name.clone(), pool);
            }
        }
        live
    }

    fn pool(&self, model: &Arc<Pool>, found: &[Found]) -> Result<Arc<LivePool>, Obstacle> {
        let name = &model.name;
        let old = self.old.and_then(|world| world.pools.get(name));
        let tls = model.upstream.tls.as_ref();
        let files = tls.into_iter().flat_map(|tls| [&tls.ca, &tls.certificate, &tls.key]).flatten().map(|path| path.as_path());
        let certificates = Contents::read(files).map_err(|source| Obstacle::PoolFile { name: name.clone(), source })?;
        if let Some(old) = old.filter(|old| old.model == *model && old.certificates == certificates) {
            return Ok(old.clone());
        }
        let tls_failed = |source| Obstacle::PoolTls { name: name.clone(), source: Box::new(source) };
        let same_tls = |old: &&Arc<LivePool>| {
            old.certificates == certificates
                && old.model.upstream.tls == model.upstream.tls
                && old.model.upstream.protocol == model.upstream.protocol
        };
        let tls = match (tls, old.filter(same_tls)) {
            (None, _) => None,
            (Some(_), Some(old)) => old.tls.clone(),
            (Some(tls), None) => Some(upstream::build_tls(tls, model.upstream.protocol).map_err(tls_failed)?),
        };
        let previous = old.map(|old| old.members.load_full());
        let members = members::build(model, found, tls.as_ref(), previous.as_deref()).map_err(tls_failed)?;
        let plan = keeper::plan(model).map_err(|source| Obstacle::Webhook { name: name.clone(), source })?;
        let queue = match old {
            Some(old) => old.queue.clone(),
            None => Arc::new(SlotQueue::new(None, members.set.clone())),
        };
        let keeper = old.map_or_else(|| Arc::new(Keeper::new(name.clone())), |old| old.keeper.clone());
        Ok(Arc::new(LivePool {
            model: model.clone(),
            tls,
            certificates,
            members: ArcSwap::from_pointee(members),
            queue,
            plan,
            keeper,
        }))
    }
}
