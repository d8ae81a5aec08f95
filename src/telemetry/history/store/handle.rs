//! The way to the store for everybody: writes never wait, reads may wait for the disk.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use redb::Database;
use serde::Serialize;

use super::super::memory::Change;
use super::batch::Batch;
use super::error::StoreError;
use super::read::{self, End, Part, Waiting};
use crate::model::Id;

/// What may wait for the disk, in bytes: more than a day of decisions. Beyond it rows and records are dropped and counted.
const WAITING_BYTES: usize = 16 * 1024 * 1024;

/// Small values by name and numbered logs, on disk a few seconds after they are written.
///
/// Cloning is cheap. What has been written can be read at once. Without a file, values are kept as long as the process lives, and logs are
/// not kept. Reads may wait for the disk: they are for the control side only.
#[derive(Clone, Debug)]
pub struct Store(pub(super) Arc<Shared>);

/// How the store is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Whether anything is written to disk.
    pub is_durable: bool,
    /// Transactions that are on disk.
    pub commits: u64,
    /// Transactions that failed; what was in them is tried again.
    pub failures: u64,
    /// Rows and records that were dropped, as too many waited.
    pub dropped: u64,
    /// Bytes that wait, about.
    pub waiting_bytes: usize,
    /// Bytes of the file.
    pub file_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub state: Mutex<State>,
    /// The thread waits here for work.
    pub work: Condvar,
    /// Those who flush wait here for the thread.
    pub settled: Condvar,
    pub commits: AtomicU64,
    pub failures: AtomicU64,
    pub dropped: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The file; `None` in memory, and between a failure and the next try.
    pub database: Option<Arc<Database>>,
    /// Where the file is; `None` in memory.
    pub path: Option<PathBuf>,
    pub pending: Batch,
    pub committing: Option<Arc<Batch>>,
    /// Somebody wants it written now.
    pub is_urgent: bool,
    pub is_ending: bool,
    /// Attempts that are over.
    pub rounds: u64,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here is left half-done by a panic: each change is a single call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn is_durable(&self) -> bool {
        self.path.is_some()
    }

    /// What is not on disk yet, the older first.
    fn waiting(&self) -> impl Iterator<Item = &Batch> {
        self.committing.as_deref().into_iter().chain(std::iter::once(&self.pending))
    }

    fn waiting_bytes(&self) -> usize {
        self.waiting().map(Batch::bytes).sum()
    }
}

impl Store {
    /// Writes a value.
    pub fn put(&self, key: &str, value: impl Into<Bytes>) {
        let value = value.into();
        self.change(|batch| batch.put(key, Some(value)));
    }

    /// Removes a value.
    pub fn remove(&self, key: &str) {
        self.change(|batch| batch.put(key, None));
    }

    /// Returns a value.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let database = {
            let state = self.0.lock();
            let newest = state.waiting().filter_map(|batch| batch.keys.get(key)).last();
            if let Some(value) = newest {
                return Ok(value.clone());
            }
            database(&state)?
        };
        database.map_or(Ok(None), |database| read::value(&database, key).map_err(|error| disk(&error)))
    }

    /// Returns all values whose names begin with `prefix`, in the order of the names.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn list(&self, prefix: &str) -> Result<Vec<(String, Bytes)>, StoreError> {
        let (newer, database) = {
            let state = self.0.lock();
            let named = state.waiting().flat_map(|batch| batch.keys.range(prefix.to_owned()..));
            let named = named.filter(|(key, _)| key.starts_with(prefix));
            (named.map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>(), database(&state)?)
        };
        let mut found = match database {
            Some(database) => read::values(&database, prefix).map_err(|error| disk(&error))?,
            None => BTreeMap::new(),
        };
        for (key, value) in newer {
            match value {
                Some(value) => _ = found.insert(key, value),
                None => _ = found.remove(&key),
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Writes a record of a log; one with the same number is replaced.
    pub fn append(&self, log: &str, seq: u64, record: impl Into<Bytes>) {
        let record = record.into();
        self.change_bounded(1, |batch| batch.append(log, seq, record));
    }

    /// Returns records from this number on, in their order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_log(&self, log: &str, from_seq: u64, limit: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
        self.read(&Part { log, seqs: from_seq..=u64::MAX, end: End::First, limit })
    }

    /// Returns records below this number, or the last ones, from the last one back.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_log_back(&self, log: &str, before: Option<u64>, limit: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let last = match before {
            None => u64::MAX,
            Some(0) => return Ok(Vec::new()),
            Some(before) => before - 1,
        };
        self.read(&Part { log, seqs: 0..=last, end: End::Last, limit })
    }

    /// Removes all but the last `keep` records; reads may still see the others until that is on disk. Costs time for each that stays.
    pub fn trim(&self, log: &str, keep: usize) {
        self.change_bounded(0, |batch| batch.trim(log, keep));
    }

    /// Removes the records below this number.
    pub fn cut(&self, log: &str, below: u64) {
        self.change_bounded(0, |batch| batch.cut(log, below));
    }

    /// Waits until what has been written so far is on disk, or could not be written; tells which.
    pub fn flush(&self) -> bool {
        let mut state = self.0.lock();
        if !state.is_durable() {
            return false;
        }
        // What a running attempt does not have with it needs one more.
        let wanted = state.rounds + if state.committing.is_some() { 2 } else { 1 };
        while state.rounds < wanted && state.is_durable() {
            state.is_urgent = true;
            self.0.work.notify_one();
            state = self.0.settled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_durable() && state.waiting().all(Batch::is_empty)
    }

    /// Returns how the store is doing.
    pub fn figures(&self) -> Figures {
        let (is_durable, waiting_bytes, path) = {
            let state = self.0.lock();
            (state.is_durable(), state.waiting_bytes(), state.path.clone())
        };
        let file_bytes = path.and_then(|path| path.metadata().ok()).map_or(0, |file| file.len());
        let [commits, failures, dropped] =
            [&self.0.commits, &self.0.failures, &self.0.dropped].map(|counter| counter.load(Relaxed));
        Figures { is_durable, commits, failures, dropped, waiting_bytes, file_bytes }
    }

    /// Writes rows.
    pub(in super::super) fn rows(&self, pool: &Id, change: &Change) {
        self.change_bounded(2, |batch| batch.rows(pool, change));
    }

    fn read(&self, part: &Part<'_>) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let (waiting, database) = {
            let state = self.0.lock();
            (Waiting::of(part, state.waiting()), database(&state)?)
        };
        read::log(database.as_deref(), part, waiting).map_err(|error| disk(&error))
    }

    /// Changes what is written next, unless there is no file or too much waits already.
    fn change_bounded(&self, drops: u64, change: impl FnOnce(&mut Batch)) {
        let (is_durable, is_full) = {
            let state = self.0.lock();
            (state.is_durable(), state.waiting_bytes() >= WAITING_BYTES)
        };
        match (is_durable, is_full) {
            (true, false) => self.change(change),
            (true, true) => _ = self.0.dropped.fetch_add(drops, Relaxed),
            (false, _) => {}
        }
    }

    /// Changes what is written next.
    fn change(&self, change: impl FnOnce(&mut Batch)) {
        let mut state = self.0.lock();
        let is_first = state.pending.is_empty();
        change(&mut state.pending);
        drop(state);
        if is_first {
            self.0.work.notify_one();
        }
    }
}

/// Returns the file to read from: none in memory.
fn database(state: &State) -> Result<Option<Arc<Database>>, StoreError> {
    match &state.database {
        None if state.is_durable() => Err(StoreError::Closed),
        database => Ok(database.clone()),
    }
}

fn disk(error: &redb::Error) -> StoreError {
    StoreError::Disk(error.to_string())
}
