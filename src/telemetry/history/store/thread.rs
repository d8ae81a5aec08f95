//! The thread that writes.
//!
//! It owns the file. After a failure it closes the file, which the database demands, and opens it anew some time later; what was to be written is kept
//! meanwhile, up to a bound.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use redb::{Database, Error};
use tracing::{error, info, warn};

use super::batch::Batch;
use super::error::OpenError;
use super::file::{Opened, Place};
use super::handle::{Shared, State, Store};
use super::tables::{self, Kept};

/// How often it is written.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Pace {
    /// From one transaction to the next: each waits for the disk, and a crash loses what came since.
    pub batch: Duration,
    /// From a failure to the next try.
    pub retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { batch: Duration::from_secs(2), retry: Duration::from_secs(30) }
    }
}

/// The store's thread; dropping it writes what waits, closes the file and ends the thread.
#[derive(Debug)]
pub(in super::super) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What came of opening the file.
pub(in super::super) struct Begun {
    /// The way to the store, with or without a file.
    pub store: Store,
    /// The thread; `None` without a file.
    pub keeper: Option<Keeper>,
    /// The rows that were kept.
    pub kept: Vec<Kept>,
    /// What was wrong.
    pub error: Option<OpenError>,
}

struct Writer {
    shared: Arc<Shared>,
    place: Place,
    pace: Pace,
    last: Instant,
    /// Said once for each time that it stops working.
    has_failed: bool,
}

impl Keeper {
    /// Opens the file and starts the thread; without a file, or when it cannot be opened, everything stays in memory.
    pub(in super::super) fn begin(place: Option<Place>, pace: Pace) -> Begun {
        let store = Store(Arc::default());
        let in_memory = |error| Begun { store: store.clone(), keeper: None, kept: Vec::new(), error };
        let Some(place) = place else { return in_memory(None) };
        let path = place.path().to_owned();
        let Opened { database, kept, broken } = match place.open() {
            Ok(opened) => opened,
            Err(error) => return in_memory(Some(error)),
        };
        {
            let mut state = store.0.lock();
            state.database = Some(Arc::new(database));
            state.path = Some(path.clone());
        }
        let shared = store.0.clone();
        let mut writer = Writer { shared: shared.clone(), place, pace, last: Instant::now(), has_failed: false };
        match thread::Builder::new().name("history".to_owned()).spawn(move || writer.run()) {
            Ok(thread) => Begun { store, keeper: Some(Keeper { shared, thread: Some(thread) }), kept, error: broken },
            Err(source) => {
                shared.lock().close();
                Begun { store, keeper: None, kept, error: Some(OpenError::Unusable { path, source }) }
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.lock().is_ending = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    /// Everything is in memory only from now on.
    fn close(&mut self) {
        self.database = None;
        self.path = None;
    }
}

impl Writer {
    fn run(&mut self) {
        loop {
            let (batch, database, is_last) = self.next();
            let done = if batch.is_empty() { Ok(()) } else { self.attempt(database, &batch) };
            self.last = Instant::now();
            self.settle(&batch, done.is_ok(), is_last);
            self.tell(done);
            if is_last {
                return;
            }
        }
    }

    /// Waits until it is time, and takes what is to be written.
    fn next(&self) -> (Arc<Batch>, Option<Arc<Database>>, bool) {
        let pause = if self.has_failed { self.pace.retry } else { self.pace.batch };
        let mut state = self.shared.lock();
        while !state.is_urgent && !state.is_ending {
            let left = pause.saturating_sub(self.last.elapsed());
            state = match (state.pending.is_empty(), left.is_zero()) {
                (true, _) => self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                (false, false) => self.shared.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                (false, true) => break,
            };
        }
        state.is_urgent = false;
        let batch = Arc::new(std::mem::take(&mut state.pending));
        state.committing = Some(batch.clone());
        (batch, state.database.clone(), state.is_ending)
    }

    fn attempt(&self, database: Option<Arc<Database>>, batch: &Batch) -> Result<(), String> {
        let database = match database {
            Some(database) => database,
            None => self.open_again()?,
        };
        let written = catch_unwind(AssertUnwindSafe(|| tables::write(&database, batch)));
        written.unwrap_or_else(|_| Err(Error::Corrupted("writing it failed".to_owned()))).map_err(|error| error.to_string())
    }

    fn open_again(&self) -> Result<Arc<Database>, String> {
        let opened = self
            .place
            .open()
            .map_err(|error| std::error::Error::source(&error).map_or(error.to_string(), |why| format!("{error}: {why}")))?;
        if let Some(error) = opened.broken {
            warn!(%error, "History begins anew on disk.");
        }
        let database = Arc::new(opened.database);
        self.shared.lock().database = Some(database.clone());
        Ok(database)
    }

    /// Puts back what could not be written, and wakes those who wait.
    fn settle(&self, batch: &Arc<Batch>, is_done: bool, is_last: bool) {
        let mut state = self.shared.lock();
        state.committing = None;
        if !is_done {
            state.pending.put_under(batch);
            state.database = None;
        }
        if is_last {
            state.close();
        }
        state.rounds += 1;
        let counter = if is_done { &self.shared.commits } else { &self.shared.failures };
        counter.fetch_add(u64::from(!batch.is_empty()), Relaxed);
        drop(state);
        self.shared.settled.notify_all();
    }

    fn tell(&mut self, done: Result<(), String>) {
        match done {
            Err(error) if !self.has_failed => {
                error!(file = %self.place.path().display(), %error, "History cannot be written to disk; it goes on in memory.");
                self.has_failed = true;
            }
            Err(_) => {}
            Ok(()) if self.has_failed => {
                info!(file = %self.place.path().display(), "History is written to disk again.");
                self.has_failed = false;
            }
            Ok(()) => {}
        }
    }
}
