//! The books of a fleet: which replicas there are and how they stand. Every change that the next Tidegate must know is written down with it, and every
//! change that can be seen is told.
//!
//! One short mutex. The list is written under it, so that what is on the disk is in the order of what happened; that is a small file in a cache.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::plan::{Candidate, Plan, free_name, plan};
use super::proc::{self, Identity};
use super::store::{Entry, Roll, Store};
use super::template::fingerprint;
use super::usage::{Gauge, Sample};
use crate::kit::clock::{self, Tick};
use crate::model::{Address, Id, Program};
use crate::platform::{Observed, Phase, Replica, ScaleError, Usage};

/// What this platform is called in errors.
pub(super) const PLATFORM: &str = "this machine";

/// No fleet is larger: the list of a damaged file must not fill the machine with processes.
const MOST: u32 = 1000;

/// What is wanted of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// It is to go for good.
    pub(super) is_unwanted: bool,
    /// How often somebody wanted it started anew.
    restarts: u64,
}

/// A replica that somebody must look after.
#[derive(Debug)]
pub(super) struct Charge {
    pub(super) name: Id,
    pub(super) wish: watch::Receiver<Wish>,
}

/// What the lives of a fleet's replicas share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pool: Id,
    store: Option<Store>,
    boot: Option<String>,
    books: Mutex<Books>,
    replicas: watch::Sender<Vec<Replica>>,
    changed: Notify,
    is_left: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Books {
    program: Arc<Program>,
    desired: u32,
    lines: BTreeMap<Id, Line>,
    is_closed: bool,
    gauge: Gauge,
}

/// One replica.
#[derive(Debug)]
struct Line {
    phase: Phase,
    /// Where its present process listens, or will.
    address: Option<SocketAddr>,
    /// What is written down of its present process.
    entry: Option<Entry>,
    since: Tick,
    /// How old its process was at `since`.
    age_before: Duration,
    usage: Usage,
    failure: Option<String>,
    wish: watch::Sender<Wish>,
}

impl Shared {
    /// Begins without a replica.
    pub(super) fn new(pool: Id, program: Program, store: Option<Store>, is_left: Arc<AtomicBool>) -> Self {
        let gauge = Gauge::new(thread::available_parallelism().map_or(1, usize::from));
        let books = Books { program: Arc::new(program), desired: 0, lines: BTreeMap::new(), is_closed: false, gauge };
        let (boot, replicas) = (proc::boot(), watch::Sender::default());
        Self { pool, store, boot, books: Mutex::new(books), replicas, changed: Notify::new(), is_left }
    }

    /// Returns the settings for the next start.
    pub(super) fn program(&self) -> Arc<Program> {
        self.lock().program.clone()
    }

    /// Takes settings that hold from the next start on.
    pub(super) fn configure(&self, program: &Program) {
        let mut books = self.lock();
        if *books.program != *program {
            books.program = Arc::new(program.clone());
        }
    }

    /// Returns where a replica's output goes, when it is kept.
    pub(super) fn log(&self, name: &Id) -> Option<PathBuf> {
        Some(self.store.as_ref()?.log(name))
    }

    /// Returns the mark that processes are left to the next Tidegate.
    pub(super) const fn is_left(&self) -> &Arc<AtomicBool> {
        &self.is_left
    }

    /// Sets how many replicas are wanted and tells those that are too many; returns those that somebody must look after from now on.
    ///
    /// # Errors
    /// When the fleet is closed, the number is beyond reason, or the pool's name leaves no room for a number.
    pub(super) fn order(&self, wanted: u32, victims: &[Id]) -> Result<Vec<Charge>, ScaleError> {
        let mut books = self.lock();
        if books.is_closed {
            return Err(refused("the pool's processes are being ended".to_owned()));
        }
        if wanted > MOST {
            return Err(refused(format!("{wanted} processes are more than the {MOST} that a pool may have")));
        }
        let Plan { more, fewer } = plan(usize::try_from(wanted).unwrap_or(usize::MAX), books.candidates(clock::now()), victims);
        let names = books.free_names(&self.pool, more)?;
        let is_news = books.desired != wanted || more > 0 || !fewer.is_empty();
        books.desired = wanted;
        fewer.iter().for_each(|name| books.dismiss(name));
        let charges = names.into_iter().map(|name| books.expect(name)).collect();
        if is_news {
            info!(pool = %self.pool, wanted, more, ?fewer, "Processes are started or ended.");
            self.write_or_warn(&books);
            self.publish(&books);
        }
        Ok(charges)
    }

    /// Puts a replica of an earlier Tidegate into the books; `None` when there is one of its name already.
    pub(super) fn take_back(&self, entry: Entry) -> Option<Charge> {
        let mut books = self.lock();
        if books.lines.contains_key(&entry.name) {
            return None;
        }
        let is_wanted = entry.program == fingerprint(&books.program);
        let charge = books.expect(entry.name.clone());
        let line = books.lines.get_mut(&entry.name)?;
        line.address = Some((std::net::Ipv4Addr::LOCALHOST, entry.port).into());
        line.age_before = entry.process.and_then(Identity::age).unwrap_or_default();
        info!(pool = %self.pool, replica = %entry.name, port = entry.port, is_wanted, "A process of an earlier run is found again.");
        let name = entry.name.clone();
        line.entry = Some(entry);
        if !is_wanted {
            books.dismiss(&name);
        }
        self.publish(&books);
        Some(charge)
    }

    /// Wants a replica started anew.
    ///
    /// # Errors
    /// When there is none of this name, or it is on its way out.
    pub(super) fn restart(&self, name: &Id) -> Result<(), ScaleError> {
        let books = self.lock();
        let line = books.lines.get(name).filter(|line| !line.is_unwanted());
        let line = line.ok_or_else(|| ScaleError::Missing { platform: PLATFORM, what: format!("replica {:?}", name.as_str()) })?;
        line.wish.send_modify(|wish| wish.restarts += 1);
        Ok(())
    }

    /// Wants every replica to go, and takes no more orders.
    pub(super) fn close(&self) {
        let mut books = self.lock();
        books.is_closed = true;
        let names: Vec<Id> = books.lines.keys().cloned().collect();
        names.iter().for_each(|name| books.dismiss(name));
        self.publish(&books);
    }

    /// Forgets what was wanted, once everything has ended.
    pub(super) fn forget(&self) {
        let _books = self.lock();
        if let Some(store) = &self.store {
            store.remove();
        }
    }

    /// Writes down that a process is about to start.
    ///
    /// # Errors
    /// When that is not possible; the process must not be started.
    pub(super) fn announce(&self, entry: Entry, address: SocketAddr) -> io::Result<()> {
        let mut books = self.lock();
        if let Some(line) = books.lines.get_mut(&entry.name) {
            (line.since, line.age_before, line.usage) = (clock::now(), Duration::ZERO, Usage::default());
            (line.address, line.entry) = (Some(address), Some(entry));
            line.enter(Phase::Starting);
        }
        self.publish(&books);
        self.write(&books)
    }

    /// Writes down which process it has become.
    pub(super) fn identify(&self, name: &Id, process: Option<Identity>) {
        let mut books = self.lock();
        if let Some(entry) = books.lines.get_mut(name).and_then(|line| line.entry.as_mut()) {
            entry.process = process;
        }
        // If this fails, the process is still found by its mark.
        self.write_or_warn(&books);
    }

    /// Takes in how far a replica is.
    pub(super) fn enter(&self, name: &Id, phase: Phase) {
        let mut books = self.lock();
        if books.lines.get_mut(name).is_some_and(|line| line.enter(phase)) {
            self.publish(&books);
        }
    }

    /// Takes in why a replica is not there, for the time until its next start.
    pub(super) fn fail(&self, name: &Id, reason: String) {
        let mut books = self.lock();
        if let Some(line) = books.lines.get_mut(name) {
            line.enter(Phase::Failed);
            (line.address, line.entry, line.usage, line.failure) = (None, None, Usage::default(), Some(reason));
        }
        self.write_or_warn(&books);
        self.publish(&books);
    }

    /// Takes a replica out that has ended for good.
    pub(super) fn remove(&self, name: &Id) {
        let mut books = self.lock();
        if books.lines.remove(name).is_some() {
            self.write_or_warn(&books);
            self.publish(&books);
        }
    }

    /// Returns why a replica died last.
    pub(super) fn failure(&self, name: &Id) -> Option<String> {
        self.lock().lines.get(name)?.failure.clone()
    }

    /// Returns how the replicas stand, with what they used when that was last looked at.
    pub(super) fn observed(&self) -> Observed {
        let books = self.lock();
        Observed { desired: books.desired, replicas: books.replicas(clock::now()) }
    }

    /// Returns the processes whose use is to be looked at now.
    pub(super) fn due(&self) -> Vec<Identity> {
        let books = self.lock();
        let processes = || books.lines.values().filter_map(|line| line.entry.as_ref()?.process).collect();
        if books.gauge.is_due(clock::now()) { processes() } else { Vec::new() }
    }

    /// Takes in what processes have used.
    pub(super) fn measure(&self, sample: Sample) {
        let mut books = self.lock();
        let found = books.gauge.update(sample);
        for line in books.lines.values_mut() {
            let process = line.entry.as_ref().and_then(|entry| entry.process);
            line.usage = process.and_then(|process| found.get(&process).copied()).unwrap_or_default();
        }
    }

    /// Returns the replicas as they come and go.
    pub(super) fn watch(&self) -> watch::Receiver<Vec<Replica>> {
        self.replicas.subscribe()
    }

    /// Waits for news. Cancel safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn publish(&self, books: &Books) {
        self.replicas.send_replace(books.replicas(clock::now()));
        // One that comes while nobody waits is kept for the next who does.
        self.changed.notify_one();
    }

    fn write(&self, books: &Books) -> io::Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        // What is left is the next Tidegate's; what is closed is forgotten.
        if self.is_left.load(Ordering::Acquire) || books.is_closed && books.lines.is_empty() {
            return Ok(());
        }
        let replicas = books.lines.values().filter_map(|line| line.entry.clone()).collect();
        store.write(&Roll { desired: books.desired, boot: self.boot.clone(), replicas })
    }

    fn write_or_warn(&self, books: &Books) {
        if let Err(error) = self.write(books) {
            warn!(pool = %self.pool, %error, "The list of processes cannot be written; one that ends now leaves its processes unknown to the next run.");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        // Nothing done under the lock panics; were it to, the books are worth more than their end.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn candidates(&self, now: Tick) -> Vec<Candidate> {
        let wanted = self.lines.iter().filter(|(_, line)| !line.is_unwanted());
        wanted.map(|(name, line)| Candidate { name: name.clone(), phase: line.phase, age: line.age(now) }).collect()
    }

    fn free_names(&self, pool: &Id, count: usize) -> Result<Vec<Id>, ScaleError> {
        let mut names: Vec<Id> = Vec::new();
        for _ in 0..count {
            let is_taken = |name: &str| self.lines.contains_key(name) || names.iter().any(|taken| taken.as_str() == name);
            let name =
                free_name(pool, is_taken).map_err(|error| refused(format!("pool {pool:?} cannot name its replicas: {error}")))?;
            names.push(name);
        }
        Ok(names)
    }

    fn dismiss(&mut self, name: &Id) {
        if let Some(line) = self.lines.get_mut(name) {
            line.phase = Phase::Stopping;
            line.wish.send_modify(|wish| wish.is_unwanted = true);
        }
    }

    fn expect(&mut self, name: Id) -> Charge {
        let (sender, wish) = watch::channel(Wish::default());
        let line = Line {
            phase: Phase::Starting,
            address: None,
            entry: None,
            since: clock::now(),
            age_before: Duration::ZERO,
            usage: Usage::default(),
            failure: None,
            wish: sender,
        };
        self.lines.insert(name.clone(), line);
        Charge { name, wish }
    }

    fn replicas(&self, now: Tick) -> Vec<Replica> {
        let replica = |(name, line): (&Id, &Line)| Replica {
            name: name.clone(),
            address: line.address.map(Address::Ip),
            phase: line.phase,
            age: line.age(now),
            usage: line.usage,
        };
        self.lines.iter().map(replica).collect()
    }
}

impl Line {
    fn is_unwanted(&self) -> bool {
        self.wish.borrow().is_unwanted
    }

    fn age(&self, now: Tick) -> Duration {
        self.age_before + now.since(self.since)
    }

    /// Tells whether that is news. One on its way out stays on its way out, whatever its process still does.
    fn enter(&mut self, phase: Phase) -> bool {
        let phase = if self.is_unwanted() { Phase::Stopping } else { phase };
        std::mem::replace(&mut self.phase, phase) != phase
    }
}

/// Returns the error of a platform that says no.
pub(super) fn refused(detail: String) -> ScaleError {
    ScaleError::Refused { platform: PLATFORM, detail }
}
