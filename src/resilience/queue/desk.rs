//! A line of waiting requests under one short mutex, and the futures of those who wait.
//!
//! The counter of those who wait is read without the mutex by whoever frees something: zero costs one load. A waiter counts itself *before*
//! it looks once more for what it wants, and a releaser frees *before* it reads the counter, both sequentially consistent; so one of the two
//! sees the other and no wake-up is lost.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;

use crate::kit::clock::{self, Tick};
use crate::model::Priority;
use crate::telemetry::metrics::Snapshot;

use super::line::{Line, Rank, Trimmed};
use super::pace::Pace;

/// How many of those who wait are asked how long they have: the line is in the order of importance first, and may be long.
const LOOKED_AT: usize = 1000;

/// Why one may not wait any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Every place is taken.
    Full,
    /// A more important one took the place.
    Displaced,
}

/// What a desk offers to one who waits.
pub enum Offer<G> {
    /// This.
    Grant(G),
    /// Nothing for this one; perhaps for the next.
    Pass,
    /// Nothing more for anybody.
    Stop,
}

/// What a queue has counted, and how it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Waiting now.
    pub waiting: u64,
    /// Came to wait.
    pub queued_total: u64,
    /// Got what they waited for.
    pub granted_total: u64,
    /// Found every place taken.
    pub rejected_total: u64,
    /// Had to leave for a more important one.
    pub displaced_total: u64,
    /// Gave up: their deadline passed, or their client left.
    pub left_total: u64,
    /// Seconds waited in all, by those who were served.
    pub waited_seconds_total: f64,
}

/// How long those who waited did, and those who wait have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waits {
    /// Of all who have left the line so far, served or not.
    pub over: Snapshot,
    /// Of the one among the first in line who has waited the longest.
    pub oldest: Option<Duration>,
}

/// Those who wait for grants of type `G`, each wanting a `W`.
pub struct Desk<W, G> {
    waiting: AtomicUsize,
    counts: Counts,
    begun: Arc<Notify>,
    inner: Mutex<Inner<W, G>>,
}

#[derive(Debug, Default)]
struct Counts {
    queued: AtomicU64,
    granted: AtomicU64,
    rejected: AtomicU64,
    displaced: AtomicU64,
    left: AtomicU64,
    waited_micros: AtomicU64,
}

struct Inner<W, G> {
    line: Line<Arc<Waiter<W, G>>>,
    pace: Pace,
    over: Snapshot,
}

struct Waiter<W, G> {
    want: W,
    since: Tick,
    stage: Mutex<Stage<G>>,
}

enum Stage<G> {
    Waiting(Option<Waker>),
    Granted(G),
    Refused(Refusal),
    Over,
}

/// How one comes to wait.
pub struct Entry<W> {
    /// What for.
    pub want: W,
    /// How important it is.
    pub priority: Priority,
    /// Orders equals: a request that comes again keeps its place.
    pub arrived: Tick,
    /// Places of the line.
    pub capacity: usize,
    /// The present.
    pub now: Tick,
}

/// Who owns a desk, and takes back what was granted to one who had left.
pub trait Issuer: Sized {
    /// What is wanted.
    type Want;
    /// What is granted.
    type Grant;
    /// Returns the desk.
    fn desk(&self) -> &Desk<Self::Want, Self::Grant>;
    /// Takes back a grant that nobody came for.
    fn take_back(&self, grant: Self::Grant);
}

/// Waits for a grant; dropped, it leaves the line at once, and what it was granted meanwhile goes back.
pub struct Wait<I: Issuer> {
    issuer: Arc<I>,
    waiter: Arc<Waiter<I::Want, I::Grant>>,
    rank: Rank,
}

impl<I: Issuer> fmt::Debug for Wait<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("rank", &self.rank).finish_non_exhaustive()
    }
}

impl<W, G> fmt::Debug for Desk<W, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl<W, G> Default for Desk<W, G> {
    fn default() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            counts: Counts::default(),
            begun: Arc::default(),
            inner: Mutex::new(Inner { line: Line::default(), pace: Pace::default(), over: Snapshot::default() }),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the mutex holds is whole between any two statements: a panic elsewhere leaves it usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<W, G> Desk<W, G> {
    /// Returns how many wait; one load.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Lets one wait, then offers what is free to everybody in order: what was freed before the newcomer could be seen must not be missed,
    /// and belongs to whoever is first.
    ///
    /// A full line is walked only when `suits` says that something free may suit the newcomer, who is refused if it goes to others.
    fn join(
        &self,
        entry: Entry<W>,
        suits: impl FnOnce(&W) -> bool,
        offer: impl FnMut(&W) -> Offer<G>,
    ) -> Result<(Arc<Waiter<W, G>>, Rank), Refusal> {
        self.begun.notify_one();
        let waiter = Arc::new(Waiter { want: entry.want, since: entry.now, stage: Mutex::new(Stage::Waiting(None)) });
        let mut inner = lock(&self.inner);
        let is_full = inner.line.len() >= entry.capacity;
        let rank = inner.line.insert(entry.priority, entry.arrived, waiter.clone());
        self.waiting.store(inner.line.len(), SeqCst);
        // Availability is written with less order than slots are.
        fence(SeqCst);
        if !is_full || suits(&waiter.want) {
            self.hand_out(&mut inner, entry.now, offer);
        }
        let trimmed = inner.line.trim(rank, entry.capacity);
        self.waiting.store(inner.line.len(), SeqCst);
        match trimmed {
            Trimmed::Fits => {}
            Trimmed::Displaced(other) => {
                self.counts.displaced.fetch_add(1, Relaxed);
                inner.over.record(entry.now.since(other.since).as_secs_f64());
                other.resolve(Stage::Refused(Refusal::Displaced));
            }
            Trimmed::Full(_) => {
                self.counts.rejected.fetch_add(1, Relaxed);
                return Err(Refusal::Full);
            }
        }
        self.counts.queued.fetch_add(1, Relaxed);
        Ok((waiter, rank))
    }

    /// Offers what is free to those who wait, in order.
    pub(crate) fn serve(&self, now: Tick, offer: impl FnMut(&W) -> Offer<G>) {
        self.hand_out(&mut lock(&self.inner), now, offer);
    }

    fn hand_out(&self, inner: &mut Inner<W, G>, now: Tick, mut offer: impl FnMut(&W) -> Offer<G>) {
        let mut served = Vec::new();
        for (rank, waiter) in inner.line.iter() {
            match offer(&waiter.want) {
                Offer::Grant(grant) => served.push((rank, waiter.clone(), grant)),
                Offer::Pass => {}
                Offer::Stop => break,
            }
        }
        for (rank, waiter, grant) in served {
            self.grant(inner, rank, &waiter, grant, now);
        }
    }

    fn grant(&self, inner: &mut Inner<W, G>, rank: Rank, waiter: &Waiter<W, G>, grant: G, now: Tick) {
        inner.line.remove(rank);
        inner.pace.served(now);
        self.waiting.store(inner.line.len(), SeqCst);
        self.counts.granted.fetch_add(1, Relaxed);
        let waited = now.since(waiter.since).as_micros();
        self.counts.waited_micros.fetch_add(u64::try_from(waited).unwrap_or(u64::MAX), Relaxed);
        inner.over.record(now.since(waiter.since).as_secs_f64());
        waiter.resolve(Stage::Granted(grant));
    }

    /// Returns how long a newcomer should stay away.
    pub(crate) fn advice(&self, unknown: Duration, now: Tick) -> Duration {
        let mut inner = lock(&self.inner);
        let depth = inner.line.len();
        inner.pace.advice(depth, unknown, now)
    }

    /// Returns what is notified whenever somebody comes to wait, whether there is a place or not; for one listener.
    pub(crate) const fn begun(&self) -> &Arc<Notify> {
        &self.begun
    }

    /// Returns how long was waited and is waited. O(1) in those who wait.
    pub(crate) fn waits(&self, now: Tick) -> Waits {
        let inner = lock(&self.inner);
        let oldest = inner.line.iter().take(LOOKED_AT).map(|(_, waiter)| now.since(waiter.since)).max();
        Waits { over: inner.over.clone(), oldest }
    }

    pub(crate) fn figures(&self) -> Figures {
        let Counts { queued, granted, rejected, displaced, left, waited_micros } = &self.counts;
        Figures {
            waiting: self.waiting() as u64,
            queued_total: queued.load(Relaxed),
            granted_total: granted.load(Relaxed),
            rejected_total: rejected.load(Relaxed),
            displaced_total: displaced.load(Relaxed),
            left_total: left.load(Relaxed),
            waited_seconds_total: waited_micros.load(Relaxed) as f64 / 1e6,
        }
    }

    /// Takes a waiter out, and returns what it had been granted meanwhile.
    fn leave(&self, rank: Rank, waiter: &Waiter<W, G>, now: Tick) -> Option<G> {
        let mut inner = lock(&self.inner);
        if inner.line.remove(rank).is_some() {
            inner.over.record(now.since(waiter.since).as_secs_f64());
            self.waiting.store(inner.line.len(), SeqCst);
            self.counts.left.fetch_add(1, Relaxed);
        }
        match std::mem::replace(&mut *lock(&waiter.stage), Stage::Over) {
            Stage::Granted(grant) => Some(grant),
            Stage::Waiting(_) | Stage::Refused(_) | Stage::Over => None,
        }
    }
}

impl<W, G> Waiter<W, G> {
    fn resolve(&self, stage: Stage<G>) {
        let before = std::mem::replace(&mut *lock(&self.stage), stage);
        if let Stage::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<I: Issuer> Wait<I> {
    /// Lets one wait at the desk of `issuer`, which offers what it has free, and says whether that may suit one who finds no place.
    ///
    /// # Errors
    /// When every place is taken by somebody at least as important.
    pub(crate) fn new(
        issuer: &Arc<I>,
        entry: Entry<I::Want>,
        suits: impl FnOnce(&I::Want) -> bool,
        offer: impl FnMut(&I::Want) -> Offer<I::Grant>,
    ) -> Result<Self, Refusal> {
        let (waiter, rank) = issuer.desk().join(entry, suits, offer)?;
        Ok(Self { issuer: issuer.clone(), waiter, rank })
    }
}

impl<I: Issuer> Future for Wait<I> {
    type Output = Result<I::Grant, Refusal>;

    /// Cancel safe: a grant that nobody came for goes to the next.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = lock(&self.waiter.stage);
        match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Waiting(_) => {
                *stage = Stage::Waiting(Some(cx.waker().clone()));
                Poll::Pending
            }
            Stage::Granted(grant) => Poll::Ready(Ok(grant)),
            Stage::Refused(refusal) => Poll::Ready(Err(refusal)),
            // Polled again after its end, which no executor does.
            Stage::Over => Poll::Pending,
        }
    }
}

impl<I: Issuer> Drop for Wait<I> {
    fn drop(&mut self) {
        // Not while the line's mutex is held: what goes back is offered to the next.
        if let Some(grant) = self.issuer.desk().leave(self.rank, &self.waiter, clock::now()) {
            self.issuer.take_back(grant);
        }
    }
}
