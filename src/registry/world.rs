//! What is live: the compiled snapshot with everything that was built for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::sync::{Notify, oneshot};

use super::Socket;
use super::certificates::Contents;
use super::keeper::Keeper;
use super::sockets::Sockets;
use crate::endpoint::EndpointSet;
use crate::health::Plan;
use crate::kit::clock;
use crate::model::{self, Bind, Id, Listener, Pool, Route, Snapshot};
use crate::pool::RouteState;
use crate::resilience::breaker::Breaker;
use crate::resilience::bulkhead::Bulkhead;
use crate::resilience::queue::SlotQueue;
use crate::resilience::shed::{Pressure, ReplayMemory};
use crate::route::Table;
use crate::upstream::{Target, TlsClient};

/// Everything that is live. Replaced as a whole; never changed, but for the members of its pools.
#[derive(Debug)]
pub struct World {
    /// Counts the worlds of this process, from 1.
    pub generation: u64,
    /// What it was built from.
    pub snapshot: Arc<Snapshot>,
    /// The listeners, by name.
    pub listeners: BTreeMap<Id, Arc<LiveListener>>,
    /// The pools, by name.
    pub pools: BTreeMap<Id, Arc<LivePool>>,
    /// What the policies of each route share, by its name.
    pub routes: BTreeMap<Id, RouteState>,
    /// The bulkheads, by name.
    pub bulkheads: BTreeMap<Id, Arc<Bulkhead>>,
    /// How much of the process's limits is used.
    pub pressure: Arc<Pressure>,
    /// What is kept of request bodies for further attempts is taken from here.
    pub memory: Arc<ReplayMemory>,
}

/// What has been built for a snapshot.
pub(super) struct Built {
    pub(super) listeners: BTreeMap<Id, Arc<LiveListener>>,
    pub(super) pools: BTreeMap<Id, Arc<LivePool>>,
}

/// A listener with what was built for it.
#[derive(Debug)]
pub struct LiveListener {
    /// Its section of the config.
    pub model: Arc<Listener>,
    /// Which listener this is, over all worlds: a bind that changes makes another one.
    pub number: u64,
    /// TLS with its certificates.
    pub tls: Option<Arc<ServerConfig>>,
    /// The contents of the certificate files, to see whether they changed.
    pub(super) certificates: Contents,
    /// Its routes.
    pub table: Arc<Table>,
    /// Counts its open connections.
    pub gate: Arc<Gate>,
    /// Where it really listens.
    pub address: Bind,
    /// A socket for each worker, kept so that a worker that dies does not lose its backlog.
    pub(super) sockets: Arc<Sockets>,
}

impl World {
    /// Puts together a world with what `old` has learned; changes nothing that `old` uses.
    pub(super) fn new(generation: u64, snapshot: Snapshot, built: Built, old: Option<&Self>) -> Self {
        let Built { listeners, pools } = built;
        let overload = &snapshot.overload;
        let memory = old.map_or_else(|| Arc::new(ReplayMemory::new(overload.replay_memory)), |world| world.memory.clone());
        let pressure = old.map_or_else(|| Arc::new(Pressure::new(overload)), |world| world.pressure.clone());
        let bulkhead = |(name, model): (&Id, &Arc<model::Bulkhead>)| {
            let known = old.and_then(|world| world.bulkheads.get(name)).cloned();
            (name.clone(), known.unwrap_or_else(|| Arc::new(Bulkhead::new(model))))
        };
        let bulkheads = snapshot.bulkheads.iter().map(bulkhead).collect();
        let state = |route: &Arc<Route>| {
            let previous = old.and_then(|world| world.routes.get(&route.name));
            (route.name.clone(), RouteState::new(route, previous, &bulkheads, &memory))
        };
        let routes = snapshot.routes.iter().map(state).collect();
        Self { generation, snapshot: Arc::new(snapshot), listeners, pools, routes, bulkheads, pressure, memory }
    }

    /// Lets the settings take effect in what goes on from `old`; nothing can fail from here on.
    pub(super) fn configure(&self, old: Option<&Self>) {
        let now = clock::now();
        for listener in self.listeners.values() {
            listener.gate.set_limit(listener.model.limits.connections);
        }
        for (name, bulkhead) in &self.bulkheads {
            if let Some(model) = self.snapshot.bulkheads.get(name) {
                bulkhead.configure(model);
            }
        }
        for route in &self.snapshot.routes {
            if let Some(state) = self.routes.get(&route.name) {
                state.configure(route, old.and_then(|world| world.routes.get(&route.name)), now);
            }
        }
        self.pressure.configure(&self.snapshot.overload);
        self.memory.configure(self.snapshot.overload.replay_memory);
    }
}

impl LiveListener {
    /// Returns a handle to the socket of a worker.
    pub fn socket(&self, worker: usize) -> Option<std::io::Result<Socket>> {
        self.sockets.handle(worker)
    }
}

/// A pool with what was built for it.
#[derive(Debug)]
pub struct LivePool {
    /// Its section of the config.
    pub model: Arc<Pool>,
    /// TLS towards its endpoints.
    pub(super) tls: Option<Arc<TlsClient>>,
    /// The contents of its certificate files, to see whether they changed.
    pub(super) certificates: Contents,
    /// Its endpoints, as configured and as discovered.
    pub members: ArcSwap<Members>,
    /// Where requests wait for a slot.
    pub queue: Arc<SlotQueue>,
    /// How its endpoints are checked.
    pub(super) plan: Option<Plan>,
    /// Looks after its endpoints.
    pub keeper: Arc<Keeper>,
}

/// The endpoints of a pool, how each is reached and what guards it, in the same order.
#[derive(Debug)]
pub struct Members {
    /// The endpoints.
    pub set: Arc<EndpointSet>,
    /// How each is reached.
    pub targets: Vec<Target>,
    /// The breaker of each.
    pub breakers: Vec<Arc<Breaker>>,
}

impl LivePool {
    /// Lets the queue follow the members, once every worker knows them, and serves whom new ones suit.
    pub(super) fn open_queue(&self) {
        self.queue.configure(self.model.protection.queue.as_ref());
        let members = self.members.load();
        self.queue.follow(members.set.clone(), members.breakers.clone(), clock::now());
    }
}

/// Counts the open connections of a listener over all workers, and lets further ones wait in the backlog.
#[derive(Debug)]
pub struct Gate {
    open: AtomicU32,
    limit: AtomicU32,
    waiting: AtomicU32,
    room: Notify,
}

/// A connection that waits for a place; no longer so on drop.
struct Waiting<'a>(&'a Gate);

impl Gate {
    pub(super) fn new(limit: u32) -> Self {
        Self { open: AtomicU32::new(0), limit: AtomicU32::new(limit), waiting: AtomicU32::new(0), room: Notify::new() }
    }

    pub(super) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Relaxed);
        self.room.notify_waiters();
    }

    /// Returns how many connections are open.
    pub fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Returns how many connections are accepted and wait for a place: one for each socket that is accepted from; all others wait in the backlog.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Relaxed)
    }

    /// Waits until one more connection may open, and takes its place. Cancel safe.
    pub async fn enter(self: &Arc<Self>) -> Pass {
        let mut waiting = None;
        loop {
            // Asked for before the look, so that no place that becomes free in between is missed.
            let room = self.room.notified();
            let entered = self.open.fetch_update(Relaxed, Relaxed, |open| (open < self.limit.load(Relaxed)).then_some(open + 1));
            if entered.is_ok() {
                return Pass(self.clone());
            }
            waiting.get_or_insert_with(|| Waiting::new(self));
            room.await;
        }
    }
}

impl<'a> Waiting<'a> {
    fn new(gate: &'a Gate) -> Self {
        gate.waiting.fetch_add(1, Relaxed);
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// A place of an open connection; given back on drop.
#[derive(Debug)]
pub struct Pass(Arc<Gate>);

impl Drop for Pass {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Relaxed) >= self.0.limit.load(Relaxed) {
            self.0.room.notify_waiters();
        } else {
            self.0.room.notify_one();
        }
    }
}

/// What a worker is told.
#[derive(Debug)]
pub enum Command {
    /// Take a new world; answer when it is in force.
    Apply(Arc<World>, oneshot::Sender<()>),
    /// Take the new members of a pool.
    Members(Id, oneshot::Sender<()>),
    /// Take over a connection that another worker accepted.
    Adopt(Adopted),
    /// Accept nothing more, let running requests end; answer when the last connection has closed.
    Drain(oneshot::Sender<()>),
    /// End at once, with every connection.
    Stop,
}

/// A connection that another worker accepted.
#[derive(Debug)]
pub struct Adopted {
    /// The number of its listener.
    pub listener: u64,
    /// The connection, not registered with any runtime.
    pub stream: Stream,
    /// Who connected; `None` over a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Its place.
    pub pass: Pass,
}

/// An accepted connection between two workers.
#[derive(Debug)]
pub enum Stream {
    /// A TCP connection.
    Tcp(std::net::TcpStream),
    /// A connection over a Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_gate_lets_the_next_in_when_one_leaves() {
        let gate = Arc::new(Gate::new(1));
        let first = gate.enter().await;
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        let second = waiting.await.unwrap();
        assert_eq!(gate.open(), 1);
        drop(second);
        assert_eq!(gate.open(), 0);
    }

    #[tokio::test]
    async fn a_raised_limit_lets_waiting_connections_in() {
        let gate = Arc::new(Gate::new(0));
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter().await }
        });
        tokio::task::yield_now().await;
        gate.set_limit(1);
        drop(waiting.await.unwrap());
    }
}
