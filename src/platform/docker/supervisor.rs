//! The task that carries out what the roster of a pool asks for, and keeps it up to date with what the engine lists.
//!
//! All jobs run inside the one task; when it ends, what it has asked of the engine may or may not be carried out, and the next list tells.

use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::sleep;
use tracing::{info, warn};

use super::engine::Engine;
use super::measure::Sample;
use super::probe;
use super::roster::{Job, Listed, Roster};
use crate::kit::clock::{self, Tick};
use crate::model::{Address, Id};
use crate::platform::{Replica, ScaleError};

/// How often the engine is asked what there is: a death is noticed within this, for one cheap request.
const LOOK: Duration = Duration::from_secs(1);

/// How often use is measured.
const MEASURE: Duration = Duration::from_secs(2);

/// Containers that are created or measured at once; an engine does not become quicker by more.
const MAX_AT_ONCE: usize = 16;

/// What the task and its owner share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Engine,
    books: Mutex<Books>,
    /// Wakes the task.
    pub(super) wake: Notify,
    /// Counts the turns of the task, for those who wait for something.
    pub(super) turns: watch::Sender<u64>,
    /// Told when `observe` would show something else.
    pub(super) news: Notify,
    pub(super) replicas: watch::Sender<Vec<Replica>>,
    places: Semaphore,
}

/// What is known.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) roster: Roster,
    /// Whether the engine answered last; `None` before its first answer.
    pub(super) reach: Option<Result<(), ScaleError>>,
    /// Why something that was asked for last failed.
    pub(super) trouble: Option<ScaleError>,
    /// Nothing new is begun.
    pub(super) is_closing: bool,
    /// The task has ended.
    pub(super) is_over: bool,
}

/// How a job ended.
enum Done {
    Listed(u64, Result<Vec<Listed>, ScaleError>),
    Created(Id, Result<String, ScaleError>),
    Probed(Id, String, Result<Address, String>),
    Ended(Id, Result<(), ScaleError>),
    Buried(Id, Result<String, ScaleError>),
    Measured(Id, String, Option<Sample>),
}

type Running<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send + 'a>>>;

impl Shared {
    /// Knows nothing yet.
    pub(super) fn new(engine: Engine, roster: Roster) -> Self {
        Self {
            engine,
            books: Mutex::new(Books { roster, reach: None, trouble: None, is_closing: false, is_over: false }),
            wake: Notify::new(),
            turns: watch::Sender::default(),
            news: Notify::new(),
            replicas: watch::Sender::default(),
            places: Semaphore::new(MAX_AT_ONCE),
        }
    }

    /// Returns the books, for a moment.
    pub(super) fn lock(&self) -> MutexGuard<'_, Books> {
        // Nothing done under the lock panics; were it to, the books are worth more than their end.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn list(&self, epoch: u64) -> Done {
        Done::Listed(epoch, self.engine.list().await)
    }

    async fn perform(&self, job: Job) -> Done {
        match job {
            Job::Create(name) => {
                let _place = self.places.acquire().await;
                let result = self.engine.create(&name).await;
                Done::Created(name, result)
            }
            Job::Probe(name, container) => {
                let result = probe::until_it_listens(&self.engine, &container).await;
                Done::Probed(name, container, result)
            }
            Job::End(name, container) => Done::Ended(name, self.engine.end(&container).await),
            Job::Bury(name, container) => Done::Buried(name, self.engine.bury(&container).await),
        }
    }

    async fn measure(&self, name: Id, container: String) -> Done {
        let _place = self.places.acquire().await;
        let sample = self.engine.sample(&container).await.ok();
        Done::Measured(name, container, sample)
    }

    fn record(&self, done: Done) {
        let now = clock::now();
        self.tell(&done);
        let mut books = self.lock();
        match done {
            Done::Listed(epoch, result) => books.listed(epoch, result, now),
            Done::Created(name, result) => {
                books.trouble =
                    result.as_ref().err().filter(|error| error.as_str() != "conflict").cloned().or(books.trouble.take());
                books.roster.created(&name, result, now);
            }
            Done::Probed(name, container, result) => books.roster.probed(&name, &container, result, now),
            Done::Ended(name, result) => books.roster.ended(&name, result, now),
            Done::Buried(name, result) => books.roster.buried(&name, result, now),
            Done::Measured(name, container, sample) => {
                let cpus = self.engine.settings().cpus;
                if let Some(sample) = sample {
                    books.roster.measured(&name, &container, sample, cpus, now);
                }
            }
        }
    }

    fn tell(&self, done: &Done) {
        let pool = &self.engine.identity().pool;
        match done {
            Done::Listed(_, result) => self.tell_of_reach(result.as_ref().err()),
            Done::Created(replica, Ok(_)) => info!(%pool, %replica, "Container was started."),
            Done::Created(replica, Err(error)) => warn!(%pool, %replica, %error, "Container could not be started."),
            Done::Probed(replica, _, Ok(address)) => info!(%pool, %replica, %address, "Container listens."),
            Done::Probed(replica, _, Err(reason)) => warn!(%pool, %replica, %reason, "Container does not listen."),
            Done::Ended(replica, Ok(())) => info!(%pool, %replica, "Container was stopped and removed."),
            Done::Ended(replica, Err(error)) => warn!(%pool, %replica, %error, "Container could not be stopped."),
            Done::Buried(replica, Ok(reason)) => warn!(%pool, %replica, %reason, "Container has died."),
            Done::Buried(replica, Err(error)) => warn!(%pool, %replica, %error, "Dead container could not be removed."),
            Done::Measured(..) => {}
        }
    }

    /// Says when the engine goes and when it comes back, not each time between.
    fn tell_of_reach(&self, error: Option<&ScaleError>) {
        let pool = &self.engine.identity().pool;
        let before = self.lock().reach.clone();
        match (before, error) {
            (Some(Err(before)), Some(error)) if before == *error => {}
            (_, Some(error)) => warn!(%pool, %error, "Containers are not known."),
            (Some(Err(_)), None) => info!(%pool, "The container engine is back."),
            (_, None) => {}
        }
    }

    /// Publishes what has changed; ages and use are not news.
    fn publish(&self, before: &mut Option<Seen>) {
        let seen = Seen::of(&self.lock());
        if before.as_ref() != Some(&seen) {
            self.replicas.send_replace(seen.replicas.clone());
            *before = Some(seen);
            self.news.notify_one();
        }
        self.turn();
    }

    /// Lets those who wait for something look again.
    pub(super) fn turn(&self) {
        self.turns.send_modify(|turns| *turns = turns.wrapping_add(1));
    }
}

impl Books {
    fn listed(&mut self, epoch: u64, result: Result<Vec<Listed>, ScaleError>, now: Tick) {
        match result {
            // Older than what is known. The next one is asked for at once if nothing is known of the engine, else in its time.
            Ok(_) if epoch != self.roster.epoch() => self.reach = self.reach.take().filter(Result::is_ok),
            Ok(list) => {
                self.roster.listed(&list, now);
                self.reach = Some(Ok(()));
            }
            Err(error) => self.reach = Some(Err(error)),
        }
    }

    /// Returns what is to be done; nothing while the engine cannot be reached, or the end has begun.
    fn take_jobs(&mut self, now: Tick) -> Vec<Job> {
        if self.is_reached() && !self.is_closing { self.roster.jobs(now) } else { Vec::new() }
    }

    fn next_due(&self) -> Option<Tick> {
        if self.is_reached() && !self.is_closing { self.roster.next_due() } else { None }
    }

    const fn is_reached(&self) -> bool {
        matches!(self.reach, Some(Ok(())))
    }

    /// Returns how the last scaling went, once every container that it asked for has been started or has failed.
    pub(super) fn outcome(&self, now: Tick) -> Option<Result<(), ScaleError>> {
        match self.reach.as_ref()? {
            Err(error) => Some(Err(error.clone())),
            Ok(()) if self.roster.is_settled(now) => Some(self.trouble.clone().map_or(Ok(()), Err)),
            Ok(()) => None,
        }
    }
}

/// What `observe` shows, without what changes all the time.
#[derive(PartialEq)]
struct Seen {
    desired: u32,
    replicas: Vec<Replica>,
    is_reached: bool,
}

impl Seen {
    fn of(books: &Books) -> Self {
        let mut observed = books.roster.observed(Tick::default());
        for replica in &mut observed.replicas {
            (replica.age, replica.usage) = Default::default();
        }
        Self { desired: observed.desired, replicas: observed.replicas, is_reached: books.is_reached() }
    }
}

/// Carries out what the books ask for, until it is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    let shared = &*shared;
    let mut running = Running::new();
    let (mut is_looking, mut next_look, mut next_measure) = (false, clock::now(), clock::now() + MEASURE);
    let mut before = None;
    loop {
        let now = clock::now();
        let (jobs, epoch, is_asked) = {
            let mut books = shared.lock();
            (books.take_jobs(now), books.roster.epoch(), books.reach.is_none())
        };
        for job in jobs {
            running.push(Box::pin(shared.perform(job)));
        }
        if !is_looking && (is_asked || now >= next_look) {
            running.push(Box::pin(shared.list(epoch)));
            (is_looking, next_look) = (true, now + LOOK);
        }
        if now >= next_measure {
            let serving = shared.lock().roster.serving();
            running.extend(serving.into_iter().map(|(name, container)| -> Pin<Box<dyn Future<Output = Done> + Send>> {
                Box::pin(shared.measure(name, container))
            }));
            next_measure = now + MEASURE;
        }
        shared.publish(&mut before);
        let due = shared.lock().next_due();
        let wake = [due, Some(next_measure), (!is_looking).then_some(next_look)].into_iter().flatten().min();
        // Every branch is cancel safe: jobs stay in their set, a time and a permit of `wake` are looked at again.
        tokio::select! {
            Some(done) = running.next() => {
                is_looking &= !matches!(done, Done::Listed(..));
                shared.record(done);
            }
            () = until(wake) => {}
            () = shared.wake.notified() => {}
        }
    }
}

/// Waits until `tick`, or for ever.
async fn until(tick: Option<Tick>) {
    match tick {
        Some(tick) => sleep(tick.since(clock::now())).await,
        None => pending().await,
    }
}
