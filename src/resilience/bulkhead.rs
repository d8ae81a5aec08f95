//! A named limit on requests that run at once, shared by routes, with a queue of its own.
//!
//! Its slots belong to no endpoint, so that one slow dependency behind several routes cannot take every worker's time; a full bulkhead delays
//! nobody but its own requests. The order, the queue and the accounting are those of [`queue`](super::queue).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use serde::Serialize;

use super::queue::{Desk, Entry, Figures, Issuer, Offer, Refusal, Wait};
use crate::kit::clock::{self, Tick};
use crate::model::{self, Id, Priority};

/// A named limit on requests that run at once; shared by workers, kept over reloads.
#[derive(Debug)]
pub struct Bulkhead {
    name: Id,
    desk: Desk<(), Slot>,
    max_concurrent: AtomicU32,
    capacity: AtomicU32,
    timeout_ms: AtomicU32,
    running: AtomicU32,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    admitted: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    aborted: AtomicU64,
}

/// A slot of a bulkhead; given back on drop, when it counts as aborted unless it was ended.
#[derive(Debug)]
pub struct Slot {
    bulkhead: Arc<Bulkhead>,
    ended: bool,
}

/// What a bulkhead has counted; `admitted_total` = `completed_total` + `failed_total` + `aborted_total` + `active`, once nothing moves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Running now.
    pub active: u32,
    /// May run at once.
    pub max_concurrent: u32,
    /// Places in the queue.
    pub capacity: u32,
    /// Got a slot.
    pub admitted_total: u64,
    /// Ended well.
    pub completed_total: u64,
    /// Ended without an answer, or with a failure of an endpoint.
    pub failed_total: u64,
    /// Their clients left.
    pub aborted_total: u64,
    /// Share of completed ones among those that completed or failed; 1 while there are none.
    pub success_rate: f64,
    /// The queue.
    pub queue: Figures,
}

impl Bulkhead {
    /// A bulkhead as configured.
    pub fn new(settings: &model::Bulkhead) -> Self {
        let bulkhead = Self {
            name: settings.name.clone(),
            desk: Desk::default(),
            max_concurrent: AtomicU32::new(0),
            capacity: AtomicU32::new(0),
            timeout_ms: AtomicU32::new(0),
            running: AtomicU32::new(0),
            counts: Counts::default(),
        };
        bulkhead.store(settings);
        bulkhead
    }

    /// Follows a reload: a raised limit lets waiting requests in at once, a lowered one takes effect as requests end.
    pub fn configure(self: &Arc<Self>, settings: &model::Bulkhead) {
        self.store(settings);
        self.serve(clock::now());
    }

    fn store(&self, settings: &model::Bulkhead) {
        self.max_concurrent.store(settings.max_concurrent, SeqCst);
        self.capacity.store(settings.queue.capacity, Relaxed);
        self.timeout_ms.store(u32::try_from(settings.queue.timeout.as_millis()).unwrap_or(u32::MAX), Relaxed);
    }

    /// Returns the name.
    pub const fn name(&self) -> &Id {
        &self.name
    }

    /// Returns how long a request may wait.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.load(Relaxed).into())
    }

    /// Takes a slot when one is free and nobody waits.
    pub fn try_enter(self: &Arc<Self>) -> Option<Slot> {
        if self.desk.waiting() > 0 { None } else { self.take() }
    }

    /// Lets a request wait for a slot.
    ///
    /// # Errors
    /// When every place is taken by requests at least as important.
    pub fn wait(self: &Arc<Self>, priority: Priority, arrived: Tick, now: Tick) -> Result<Wait<Self>, Refusal> {
        let capacity = self.capacity.load(Relaxed) as usize;
        // Its slots suit everybody: what is free belongs to those who wait.
        Wait::new(self, Entry { want: (), priority, arrived, capacity, now }, |()| false, |()| self.offer())
    }

    /// Returns how long one who was refused should stay away.
    pub fn advice(&self, now: Tick) -> Duration {
        self.desk.advice(self.timeout(), now)
    }

    /// Returns what has been counted.
    pub fn report(&self) -> Report {
        let Counts { admitted, completed, failed, aborted } = &self.counts;
        let (completed, failed) = (completed.load(Relaxed), failed.load(Relaxed));
        let ended = completed + failed;
        Report {
            active: self.running.load(SeqCst),
            max_concurrent: self.max_concurrent.load(SeqCst),
            capacity: self.capacity.load(Relaxed),
            admitted_total: admitted.load(Relaxed),
            completed_total: completed,
            failed_total: failed,
            aborted_total: aborted.load(Relaxed),
            success_rate: if ended == 0 { 1.0 } else { completed as f64 / ended as f64 },
            queue: self.desk.figures(),
        }
    }

    fn take(self: &Arc<Self>) -> Option<Slot> {
        let limit = self.max_concurrent.load(SeqCst);
        self.running.fetch_update(SeqCst, SeqCst, |running| (running < limit).then_some(running + 1)).ok()?;
        self.counts.admitted.fetch_add(1, Relaxed);
        Some(Slot { bulkhead: self.clone(), ended: false })
    }

    fn offer(self: &Arc<Self>) -> Offer<Slot> {
        self.take().map_or(Offer::Stop, Offer::Grant)
    }

    fn serve(self: &Arc<Self>, now: Tick) {
        if self.desk.waiting() > 0 {
            self.desk.serve(now, |()| self.offer());
        }
    }
}

impl Slot {
    /// The request has completed.
    pub fn completed(mut self) {
        self.ended = true;
        self.bulkhead.counts.completed.fetch_add(1, Relaxed);
    }

    /// The request has failed.
    pub fn failed(mut self) {
        self.ended = true;
        self.bulkhead.counts.failed.fetch_add(1, Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.ended {
            self.bulkhead.counts.aborted.fetch_add(1, Relaxed);
        }
        self.bulkhead.running.fetch_sub(1, SeqCst);
        self.bulkhead.serve(clock::now());
    }
}

impl Issuer for Bulkhead {
    type Want = ();
    type Grant = Slot;

    fn desk(&self) -> &Desk<(), Slot> {
        &self.desk
    }

    fn take_back(&self, slot: Slot) {
        // Its drop serves the next.
        drop(slot);
    }
}

#[cfg(test)]
mod tests;
