//! The running proxy: one world, its workers, and everything that a reload touches.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use super::administration::Administration;
use super::logs::AccessLogs;
use super::source::{Source, Surroundings};
use super::storage;
use crate::admin::ReloadFailure;
use crate::autoscale::{Autoscaler, Tools};
use crate::config::{Errors, Loaded};
use crate::discovery::{Resolver, Sources};
use crate::health::{Outside, Repair};
use crate::ingress::{self, Services};
use crate::model::{Bind, Id, Snapshot};
use crate::platform::Platforms;
use crate::platform::kubernetes::Cluster;
use crate::registry::{ApplyError, Crew, Registry, Report, World};
use crate::resilience::shed::resident_memory;
use crate::telemetry::log;
use crate::telemetry::metrics::{self, Process, ReloadResult};
use crate::upstream::Lookup;

/// How often the memory of the process is looked at.
const MEMORY_INTERVAL: Duration = Duration::from_secs(1);

/// Where everything really listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The listeners, in the order of their names.
    pub listeners: Vec<(Id, Bind)>,
    /// The admin server.
    pub admin: Option<SocketAddr>,
}

/// The running proxy.
pub struct Proxy {
    pub(super) source: Source,
    pub(super) services: Arc<Services>,
    pub(super) autoscaler: Arc<Autoscaler>,
    pub(super) started: Instant,
    pub(super) state: Mutex<State>,
    pub(super) administration: Administration,
    pub(super) logs: AccessLogs,
    log: Option<log::Control>,
    draining: AtomicBool,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
}

/// What is known of the config in force.
#[derive(Debug)]
pub(super) struct State {
    pub(super) applied_at: Timestamp,
    pub(super) last_error: Option<ReloadFailure>,
    pub(super) warnings: Vec<String>,
    files: Vec<PathBuf>,
}

/// A proxy that has just been started.
pub struct Started {
    /// The proxy.
    pub proxy: Arc<Proxy>,
    /// Where it listens.
    pub addresses: Addresses,
}

/// Why a config did not come into force.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is not valid.
    Invalid(Errors),
    /// It cannot be applied.
    Obstacles(ApplyError),
    /// Something beside the listeners and pools cannot be had.
    Other(anyhow::Error),
}

impl Refusal {
    pub(super) fn into_error(self) -> anyhow::Error {
        match self {
            Self::Invalid(errors) => errors.into(),
            Self::Obstacles(error) => error.into(),
            Self::Other(error) => error,
        }
    }

    fn problems(&self) -> Vec<String> {
        match self {
            Self::Invalid(errors) => errors.to_string().lines().map(str::to_owned).collect(),
            Self::Obstacles(error) => error.0.iter().map(ToString::to_string).collect(),
            Self::Other(error) => vec![format!("{error:#}")],
        }
    }

    const fn result(&self) -> ReloadResult {
        match self {
            Self::Invalid(_) => ReloadResult::Invalid,
            Self::Obstacles(_) | Self::Other(_) => ReloadResult::Refused,
        }
    }
}

fn lookup(resolver: Resolver) -> Lookup {
    Arc::new(move |name| {
        let (resolver, name) = (resolver.clone(), name.to_owned());
        Box::pin(async move { resolver.lookup(&name).await.map_err(|error| error.to_string().into()) })
    })
}

/// Lets health checks have replicas replaced.
fn repair(healer: &Arc<OnceLock<Weak<Autoscaler>>>) -> Repair {
    let healer = healer.clone();
    Arc::new(move |pool, endpoint| {
        let autoscaler = healer.get().and_then(Weak::upgrade);
        let (pool, endpoint) = (pool.clone(), endpoint.clone());
        Box::pin(async move {
            let autoscaler = autoscaler.ok_or("the proxy is stopping")?;
            autoscaler.restart(&pool, endpoint).await.map_err(|error| error.to_string())
        })
    })
}

/// Tells the limits how much memory the process has; ends with the proxy.
async fn watch_memory(services: Weak<Services>) {
    let mut ticks = tokio::time::interval(MEMORY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(services) = services.upgrade() else { return };
        let Some(world) = services.registry.world() else { continue };
        // A file of the kernel: reading it never waits for a disk. Where there is none, memory is not limited.
        if let Some(bytes) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident_memory) {
            world.pressure.set_memory(bytes);
        }
    }
}

fn platforms(snapshot: &Snapshot, folder: Option<PathBuf>, cluster: Option<Arc<Cluster>>) -> Platforms {
    let identity = snapshot.cluster.as_ref().and_then(|cluster| cluster.identity.clone());
    let owner = storage::owner(identity, folder.as_deref());
    let mut platforms = Platforms::new(folder).owned_by(&owner);
    if let Some(cluster) = cluster {
        platforms = platforms.with_cluster(cluster);
    }
    platforms
}

fn worker_count(snapshot: &Snapshot) -> usize {
    snapshot.workers.map_or_else(|| available_parallelism().map_or(1, usize::from), usize::from).max(1)
}

/// Forgets the figures of what `world` does not have; also after DNS took an endpoint away.
fn forget_removed(metrics: &metrics::Registry, world: &World) {
    let endpoints = world.pools.iter().flat_map(|(name, pool)| {
        let members = pool.members.load();
        members.set.endpoints().iter().map(|endpoint| (name.clone(), endpoint.spec.id.clone())).collect::<Vec<_>>()
    });
    let routes = world.snapshot.routes.iter().map(|route| &route.name);
    metrics.retain(world.listeners.keys(), routes, &endpoints.collect());
}

impl Proxy {
    /// Starts the proxy from `source`: from nothing to the first config is a reload like any other.
    ///
    /// Must be awaited on the control runtime, a multi-threaded one.
    ///
    /// # Errors
    /// [`Errors`] when the config is not valid, [`ApplyError`] when it cannot be applied.
    pub async fn start(source: Source) -> anyhow::Result<Started> {
        Self::start_in(source, Surroundings::default()).await
    }

    /// Starts the proxy from `source`, with this around it.
    ///
    /// Must be awaited on the control runtime, a multi-threaded one.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_in(source: Source, surroundings: Surroundings) -> anyhow::Result<Started> {
        let loaded = source.load()?;
        Self::start_loaded(source, loaded, surroundings, None).await
    }

    pub(super) async fn start_loaded(
        source: Source,
        loaded: Loaded,
        surroundings: Surroundings,
        log: Option<log::Control>,
    ) -> anyhow::Result<Started> {
        let workers = worker_count(&loaded.snapshot);
        let resolver = match surroundings.resolver {
            Some(resolver) => resolver,
            None => Resolver::new(Handle::current()).context("the system's resolver cannot be used")?,
        };
        let crew = Arc::new(Crew::new(workers));
        let lookup = lookup(resolver.clone());
        let folder = storage::folder(&loaded.snapshot, &source);
        let platforms = Arc::new(platforms(&loaded.snapshot, folder.clone(), surroundings.cluster));
        let healer = Arc::new(OnceLock::new());
        let sources = Sources { resolver, platforms: platforms.clone() };
        let services = Arc::new(Services {
            registry: Registry::new(crew, sources, Outside { lookup: lookup.clone(), repair: repair(&healer) }),
            metrics: metrics::Registry::default(),
            process: Process::new(workers),
            access_log: arc_swap::ArcSwapOption::empty(),
            lookup,
            instance: fastrand::u64(..),
        });
        let metrics = services.metrics.clone();
        let autoscaler = Autoscaler::new(Tools {
            metrics: metrics.clone(),
            platforms,
            lookup: services.lookup.clone(),
            folder,
            cluster: loaded.snapshot.cluster.clone(),
            token: loaded.snapshot.admin.token.clone(),
        });
        // Set once, before any world is there whose endpoints could need it.
        let _ = healer.set(Arc::downgrade(&autoscaler));
        let sizes = autoscaler.clone();
        services.registry.on_change(move |world| {
            forget_removed(&metrics, world);
            sizes.follow(world);
        });
        let proxy = Arc::new(Self {
            source,
            services,
            autoscaler,
            started: Instant::now(),
            state: Mutex::new(State { applied_at: Timestamp::now(), last_error: None, warnings: Vec::new(), files: Vec::new() }),
            administration: Administration::default(),
            logs: AccessLogs::default(),
            log,
            draining: AtomicBool::new(false),
            reloading: tokio::sync::Mutex::default(),
        });
        proxy.take(loaded).await.map_err(Refusal::into_error)?;
        tokio::spawn(watch_memory(Arc::downgrade(&proxy.services)));
        for index in 0..workers {
            let ready = ingress::start(index, proxy.services.clone()).context("a worker thread cannot be started")?;
            ready.await.map_err(|_| anyhow!("worker {index} died at its start"))?;
        }
        let addresses = proxy.addresses();
        Ok(Started { proxy, addresses })
    }

    /// Returns where everything listens now.
    pub fn addresses(&self) -> Addresses {
        let world = self.services.registry.world();
        let listeners = world.iter().flat_map(|world| world.listeners.values());
        Addresses {
            listeners: listeners.map(|listener| (listener.model.name.clone(), listener.address.clone())).collect(),
            admin: self.administration.address(),
        }
    }

    /// Reads the config again and applies it; a failure is kept, counted and logged, and the old config stays.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub async fn reload(self: &Arc<Self>) -> Result<Report, ReloadFailure> {
        let _one_at_a_time = self.reloading.lock().await;
        let source = self.source.clone();
        let loaded = tokio::task::spawn_blocking(move || source.load()).await;
        let result = match loaded {
            // A new world would listen again.
            _ if self.is_draining() => Err(Refusal::Other(anyhow!("the proxy is stopping"))),
            Ok(Ok(loaded)) => self.take(loaded).await,
            Ok(Err(errors)) => Err(Refusal::Invalid(errors)),
            Err(error) => Err(Refusal::Other(anyhow!(error))),
        };
        match result {
            Ok(report) => {
                self.services.process.reloaded(ReloadResult::Applied);
                info!(generation = report.generation, changes = %report, "Config applied.");
                Ok(report)
            }
            Err(refusal) => {
                self.services.process.reloaded(refusal.result());
                let failure = ReloadFailure { at: Timestamp::now().to_string(), problems: refusal.problems() };
                for problem in &failure.problems {
                    warn!(problem, "Config not taken, the old one stays in force.");
                }
                self.state().last_error = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// Applies a config: everything that can fail first, then the swap.
    async fn take(self: &Arc<Self>, loaded: Loaded) -> Result<Report, Refusal> {
        let other = |error: anyhow::Error| Refusal::Other(error);
        let Loaded { snapshot, warnings, files, .. } = loaded;
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        for warning in &warnings {
            warn!(warning, "The config is odd.");
        }
        let access_log = snapshot.telemetry.access_log.as_ref();
        let next_log = self.logs.prepare(access_log).map_err(other)?;
        let next_admin = self.administration.prepare(&snapshot.admin).map_err(other)?;
        // Set first, since only this tells whether it is understood; put back when the config is not taken.
        self.set_level(&snapshot).map_err(other)?;
        self.note_fixed(&snapshot);
        self.services.access_log.store(self.logs.handle(&next_log).map(Arc::new));
        let applied = self.services.registry.apply(snapshot).await;
        let report = match applied {
            Ok(report) => report,
            Err(error) => {
                self.services.access_log.store(self.logs.handle(&super::logs::Next::Same).map(Arc::new));
                if let Some(world) = self.services.registry.world() {
                    self.set_level(&world.snapshot).map_err(other)?;
                }
                return Err(Refusal::Obstacles(error));
            }
        };
        // From here on nothing fails: the config is in force.
        if let Some(next) = next_admin {
            self.administration.replace(next, Arc::new(self.clone()));
        }
        if let Some(world) = self.services.registry.world() {
            self.autoscaler.set_token(world.snapshot.admin.token.clone());
        }
        self.services.process.applied(report.generation);
        *self.state() = State { applied_at: Timestamp::now(), last_error: None, warnings, files };
        self.logs.keep(next_log).await;
        Ok(report)
    }

    fn set_level(&self, snapshot: &Snapshot) -> anyhow::Result<()> {
        let set = self.log.as_ref().map(|log| log.set_level(&snapshot.telemetry.log.level));
        set.transpose().map(drop).context("the log level cannot be set")
    }

    /// Says which changes wait for the next start.
    fn note_fixed(&self, new: &Snapshot) {
        let Some(world) = self.services.registry.world() else { return };
        if world.snapshot.workers != new.workers {
            warn!("A change of `workers` takes effect at the next start.");
        }
        if world.snapshot.cluster != new.cluster || world.snapshot.storage != new.storage {
            warn!("A change of `cluster` or `storage` takes effect at the next start.");
        }
        if world.snapshot.telemetry.log.format != new.telemetry.log.format {
            warn!("A change of `telemetry.log.format` takes effect at the next start.");
        }
    }

    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Fields are replaced one by one, each valid by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the files that belong to the config in force.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.state().files.clone()
    }

    /// Tells whether it is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Stops in peace: not ready, then not accepting, then waiting for what runs, as long as the config allows.
    ///
    /// Returns whether everything ended by itself.
    pub async fn drain(&self) -> bool {
        self.draining.store(true, Relaxed);
        let Some(world) = self.services.registry.world() else { return true };
        let drain = &world.snapshot.drain;
        let open = self.services.registry.crew().open();
        info!(connections = open, delay = ?drain.delay, timeout = ?drain.timeout, "Draining.");
        tokio::time::sleep(drain.delay).await;
        // A reload that has begun would listen again.
        drop(self.reloading.lock().await);
        let in_peace = tokio::time::timeout(drain.timeout, self.services.registry.drain()).await.is_ok();
        if !in_peace {
            warn!(connections = self.services.registry.crew().open(), "Connections are cut: the drain timeout is over.");
        }
        self.logs.close().await;
        in_peace
    }

    /// Ends the replicas that must not outlive this process; after [`drain`](Self::drain), as running requests need them.
    pub async fn close(&self) {
        self.autoscaler.close().await;
    }

    /// Ends every worker at once, with every connection.
    pub fn stop(&self) {
        self.services.registry.crew().stop();
    }

    /// Returns how long it has been running.
    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("source", &self.source).finish_non_exhaustive()
    }
}
