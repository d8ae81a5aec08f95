//! A worker: one thread, one single-threaded runtime, its own sockets, connections, pools and views.
//!
//! It takes commands from `registry` and answers when they are in force. A worker that dies is started again with the current world.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tracing::{error, warn};

use super::accept;
use super::connection::{self, Accepted};
use super::stream::Socket;
use super::view::{Parts, Slot, View};
use super::watch::{Connections, sweep_interval};
use crate::kit::clock;
use crate::message::via::Via;
use crate::model::Id;
use crate::pool;
use crate::registry::{Adopted, Command, LivePool, Pass, Registry, World};
use crate::telemetry::{access_log, metrics};
use crate::upstream::Lookup;

/// What all workers are given.
pub struct Services {
    /// The world and the crew.
    pub registry: Arc<Registry>,
    /// Where counters are resolved.
    pub metrics: metrics::Registry,
    /// Figures of the process.
    pub process: metrics::Process,
    /// The access log of the current config.
    pub access_log: arc_swap::ArcSwapOption<access_log::Handle>,
    /// Resolves the names of endpoints.
    pub lookup: Lookup,
    /// Tells this process from others, in `Via`.
    pub instance: u64,
}

/// A pool as it was built, and this worker's view of it.
type Pool = (Arc<LivePool>, Rc<pool::Local>);

/// A worker, as the tasks on it see it.
pub(super) struct Worker {
    index: usize,
    services: Arc<Services>,
    metrics: metrics::Shard,
    pub(super) connections: Rc<Connections>,
    slots: RefCell<HashMap<u64, Rc<Slot>>>,
    pools: RefCell<HashMap<Id, Pool>>,
    sweep_every: Cell<Duration>,
    /// Which world is in force.
    generation: Cell<u64>,
    /// Told when an accept loop has ended.
    deafened: Notify,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("index", &self.index).finish_non_exhaustive()
    }
}

/// Starts worker number `index`; the receiver hears when it serves the current world.
///
/// # Errors
/// When the system gives no thread.
pub fn start(index: usize, services: Arc<Services>) -> io::Result<oneshot::Receiver<()>> {
    let (ready, started) = oneshot::channel();
    thread::Builder::new().name(format!("worker-{index}")).spawn(move || live(index, &services, ready))?;
    Ok(started)
}

/// Runs a worker for ever; one that dies of a defect is counted and replaced, with its sockets but without its connections.
fn live(index: usize, services: &Arc<Services>, ready: oneshot::Sender<()>) {
    let mut ready = Some(ready);
    loop {
        let once = ready.take();
        // Nothing of the dead worker is used again but what is shared by design.
        match catch_unwind(AssertUnwindSafe(|| run(index, services.clone(), once))) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error!(worker = index, %error, "A worker could not run and is started again."),
            Err(_panic) => error!(worker = index, "A worker died and is started again."),
        }
        services.process.worker_restarted();
        // A worker that dies at once must not take the processor from the others.
        thread::sleep(Duration::from_millis(100));
    }
}

fn run(index: usize, services: Arc<Services>, ready: Option<oneshot::Sender<()>>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let (commands, inbox) = mpsc::unbounded_channel();
        // First the mailbox, then the world: a world that comes in between is applied twice, never missed.
        services.registry.crew().attach(index, commands);
        let worker = Rc::new(Worker::new(index, services));
        if let Some(world) = worker.services.registry.world() {
            worker.apply(&world);
        }
        if let Some(ready) = ready {
            // Nobody waits when the start was given up.
            let _ = ready.send(());
        }
        worker.listen(inbox).await;
    });
    Ok(())
}

impl Worker {
    fn new(index: usize, services: Arc<Services>) -> Self {
        let crew = services.registry.crew().clone();
        Self {
            index,
            metrics: services.metrics.shard(index),
            connections: Rc::new(Connections::new(move |open| crew.set_open(index, open))),
            services,
            slots: RefCell::default(),
            pools: RefCell::default(),
            sweep_every: Cell::new(sweep_interval(std::iter::empty())),
            generation: Cell::new(0),
            deafened: Notify::new(),
        }
    }

    async fn listen(self: &Rc<Self>, mut inbox: UnboundedReceiver<Command>) {
        let mut next_sweep = Instant::now() + self.sweep_every.get();
        loop {
            // Cancel safe, both: a command stays in the channel, a sleep is begun again with the same end.
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(Command::Stop) | None => return,
                    Some(command) => self.obey(command),
                },
                () = tokio::time::sleep_until(next_sweep) => {
                    self.connections.sweep(clock::now());
                    next_sweep = Instant::now() + self.sweep_every.get();
                }
            }
        }
    }

    fn obey(self: &Rc<Self>, command: Command) {
        match command {
            Command::Apply(world, done) => {
                self.apply(&world);
                let _ = done.send(());
            }
            Command::Members(pool, done) => {
                self.take_members(&pool);
                let _ = done.send(());
            }
            Command::Adopt(adopted) => {
                self.services.registry.crew().note_offer(self.index, -1);
                self.adopt(adopted);
            }
            Command::Drain(done) => self.drain(done),
            // Taken out of the mailbox by `listen`.
            Command::Stop => {}
        }
    }

    fn shared<'a>(&'a self, live: &'a LivePool, members: &'a crate::registry::Members) -> pool::Shared<'a> {
        pool::Shared {
            model: &live.model,
            set: &members.set,
            targets: &members.targets,
            breakers: &members.breakers,
            queue: &live.queue,
            lookup: &self.services.lookup,
        }
    }

    fn apply(self: &Rc<Self>, world: &World) {
        self.generation.set(world.generation);
        self.apply_pools(world);
        let pools = self.pools.borrow().iter().map(|(name, (_, local))| (name.clone(), local.clone())).collect();
        let forwarding = &world.snapshot.forwarding;
        let parts = Parts {
            snapshot: &world.snapshot,
            pools: &pools,
            states: &world.routes,
            pressure: &world.pressure,
            metrics: &self.metrics,
            access_log: self.services.access_log.load().as_deref().cloned(),
            via: Rc::new(Via::new(&forwarding.name, self.services.instance)),
        };
        self.sweep_every.set(sweep_interval(world.listeners.values().map(|listener| &listener.model.timeouts)));
        // Not as soon as they are deaf: a connection that another worker accepted may be on its way here.
        self.slots.borrow_mut().retain(|_, slot| !slot.is_deaf());
        let kept: Vec<u64> = world.listeners.values().map(|listener| listener.number).collect();
        for live in world.listeners.values() {
            let view = Rc::new(View::new(live, &parts));
            let known = self.slots.borrow().get(&live.number).cloned();
            match known {
                Some(slot) => {
                    self.connections.set_timeouts(live.number, &view.timeouts);
                    slot.set_view(view);
                }
                None => self.open(live, view),
            }
        }
        for slot in self.slots.borrow().values().filter(|slot| !kept.contains(&slot.number)) {
            self.close(slot);
        }
    }

    fn apply_pools(&self, world: &World) {
        let mut pools = self.pools.borrow_mut();
        pools.retain(|name, (_, local)| {
            let stays = world.pools.contains_key(name);
            if !stays {
                local.retire();
            }
            stays
        });
        for (name, live) in &world.pools {
            let members = live.members.load_full();
            match pools.get_mut(name) {
                Some((known, _)) if Arc::ptr_eq(known, live) => {}
                Some((known, local)) => {
                    local.update(&self.shared(live, &members), &self.metrics);
                    *known = live.clone();
                }
                None => {
                    let local = pool::Local::new(&self.shared(live, &members), &self.metrics);
                    pools.insert(name.clone(), (live.clone(), Rc::new(local)));
                }
            }
        }
    }

    fn take_members(&self, pool: &Id) {
        if let Some((live, local)) = self.pools.borrow().get(pool) {
            local.update(&self.shared(live, &live.members.load()), &self.metrics);
        }
    }

    fn open(self: &Rc<Self>, live: &crate::registry::LiveListener, view: Rc<View>) {
        let slot = Rc::new(Slot::new(live, view));
        self.slots.borrow_mut().insert(live.number, slot.clone());
        match live.socket(self.index) {
            Some(Ok(socket)) => {
                let worker = self.clone();
                tokio::task::spawn_local(async move {
                    accept::run(worker.clone(), slot.clone(), socket).await;
                    slot.set_deaf();
                    worker.deafened.notify_waiters();
                });
            }
            none => {
                slot.set_deaf();
                let error = none.and_then(Result::err);
                warn!(listener = %live.model.name, ?error, "Cannot accept: no socket for this worker.");
            }
        }
    }

    fn close(&self, slot: &Slot) {
        slot.stop();
        self.connections.last_call(Some(slot.number));
    }

    fn drain(self: &Rc<Self>, done: oneshot::Sender<()>) {
        for slot in self.slots.borrow().values() {
            slot.stop();
        }
        self.connections.last_call(None);
        let worker = self.clone();
        tokio::task::spawn_local(async move {
            // First those that are in the backlogs, or they would find nobody.
            worker.deaf().await;
            worker.connections.empty().await;
            let _ = done.send(());
        });
    }

    /// Waits until nothing is accepted any more.
    async fn deaf(&self) {
        loop {
            let deafened = self.deafened.notified();
            if self.slots.borrow().values().all(|slot| slot.is_deaf()) {
                return;
            }
            deafened.await;
        }
    }

    /// Gives a connection that `slot` accepted to whoever has room.
    pub(super) fn place(self: &Rc<Self>, slot: &Rc<Slot>, socket: Socket, peer: Option<SocketAddr>, pass: Pass) {
        let crew = self.services.registry.crew();
        // Where a listener is leaving, another worker may have left already.
        let Some(other) = crew.better_than(self.index).filter(|_| !slot.is_stopping()) else {
            return self.serve(slot.clone(), socket, peer, pass);
        };
        let stream = match socket.into_std() {
            Ok(stream) => stream,
            Err(error) => return warn!(%error, "A connection was lost between two workers."),
        };
        let adopted = Adopted { listener: slot.number, stream, peer, pass };
        crew.note_offer(other, 1);
        if let Err(Command::Adopt(adopted)) = crew.post(other, Command::Adopt(adopted)) {
            crew.note_offer(other, -1);
            self.adopt(adopted);
        }
    }

    fn adopt(self: &Rc<Self>, adopted: Adopted) {
        let Adopted { listener, stream, peer, pass } = adopted;
        let mut slot = self.slots.borrow().get(&listener).cloned();
        if slot.is_none()
            && let Some(world) = self.services.registry.world().filter(|world| world.generation > self.generation.get())
        {
            // Another worker has the new world already, and its connection overtook our command.
            self.apply(&world);
            slot = self.slots.borrow().get(&listener).cloned();
        }
        match (slot, Socket::from_std(stream)) {
            (Some(slot), Ok(socket)) => self.serve(slot, socket, peer, pass),
            (None, _) => warn!(listener, "A connection was lost: its listener has gone."),
            (_, Err(error)) => warn!(%error, "A connection was lost between two workers."),
        }
    }

    fn serve(self: &Rc<Self>, slot: Rc<Slot>, socket: Socket, peer: Option<SocketAddr>, pass: Pass) {
        // Seated here and not in its task, so that whoever counts connections never misses one that is about to begin.
        let seat = Rc::new(self.connections.seat(slot.number, &slot.view().timeouts));
        tokio::task::spawn_local(connection::serve(slot, seat, Accepted { socket, peer, pass }));
    }
}
