//! The ledger of the process: the last entries of each pool in memory, more of them in the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tracing::warn;

use super::entry::{Carried, Draft, Entry, Read, Upshot};
use crate::model::{Id, Terms};
use crate::telemetry::history::{Store, StoreError};

/// Entries of each pool in memory.
const MEMORY: usize = 1000;

/// Entries of each pool in the store.
const STORED: usize = 10_000;

/// How long entries are stored, in milliseconds.
const STORED_MS: u64 = 8 * 24 * 3600 * 1000;

/// Entries from one look at what is too old or too much to the next.
const SWEEP: u64 = 128;

/// The names of pools that have entries: `ledger/pool/{pool}`.
const POOLS: &str = "ledger/pool/";

/// What was decided, of all pools.
///
/// Methods that write never wait for the disk; those that read do when they go beyond what is in memory.
#[derive(Debug)]
pub struct Ledger {
    books: Mutex<Books>,
    store: Store,
}

#[derive(Debug, Default)]
struct Books {
    by_pool: HashMap<Id, Book>,
    last_id: u64,
}

/// The entries of one pool.
#[derive(Debug, Default)]
struct Book {
    /// Each with the number of its terms.
    entries: BTreeMap<u64, (Arc<Entry>, u64)>,
    /// Terms by the number of the entry that was the first to follow from them.
    terms: BTreeMap<u64, Arc<Terms>>,
    written: u64,
}

/// What goes to the store.
struct Record {
    log: String,
    id: u64,
    bytes: Option<Vec<u8>>,
}

impl Ledger {
    /// Reads the last entries back; what is older than eight days at `now_unix_ms` goes, and what cannot be read is left out. Waits for the disk.
    pub fn open(store: Store, now_unix_ms: i64) -> Self {
        let mut books = Books::default();
        for pool in pools(&store) {
            let oldest = oldest(now_unix_ms);
            match Book::open(&store, &pool, oldest) {
                Ok(book) if book.entries.is_empty() => forget(&store, &pool),
                Ok(book) => {
                    books.last_id = books.last_id.max(book.entries.last_key_value().map_or(0, |(id, _)| *id));
                    books.by_pool.insert(pool, book);
                }
                Err(error) => warn!(%pool, %error, "Decisions from before cannot be read."),
            }
        }
        Self { books: Mutex::new(books), store }
    }

    /// Writes a decision down and returns its number: in memory at once, on disk a few seconds later.
    pub fn write(&self, draft: Draft) -> u64 {
        let pool = draft.pool.clone();
        let now = draft.at_unix_ms;
        let (record, is_new_pool, new_terms, is_sweep) = {
            let mut books = self.lock();
            // The time itself is the number, so that numbers grow even when the file is lost.
            let id = u64::try_from(now).unwrap_or(0).max(books.last_id.saturating_add(1));
            books.last_id = id;
            let is_new_pool = !books.by_pool.contains_key(&pool);
            let book = books.by_pool.entry(pool.clone()).or_default();
            let (terms_id, new_terms) = book.terms_of(id, &draft.terms);
            let entry = Arc::new(draft.into_entry(id));
            book.entries.insert(id, (entry.clone(), terms_id));
            book.written += 1;
            let is_sweep = book.sweep(oldest(now));
            drop(books);
            (Record { log: log(&pool), id, bytes: entry.encode(terms_id) }, is_new_pool, new_terms, is_sweep)
        };
        if is_new_pool {
            self.store.put(&format!("{POOLS}{pool}"), Bytes::new());
        }
        if let Some(terms) = new_terms.and_then(|terms| serde_json::to_vec(&*terms).ok()) {
            self.store.append(&terms_log(&pool), record.id, terms);
        }
        let id = record.id;
        self.append(record);
        if is_sweep {
            self.sweep(&pool, oldest(now));
        }
        id
    }

    /// Writes down what the platform said to a decision; tells whether the decision is known.
    pub fn carried(&self, id: u64, result: Upshot, at_unix_ms: i64) -> bool {
        self.amend(id, |entry| entry.carried_out = Some(Carried { result, at_unix_ms, ready_after_ms: None }))
    }

    /// Writes down how long it took until the last of the new replicas was ready; tells whether the decision is known and was carried out.
    pub fn ready(&self, id: u64, after_ms: u64) -> bool {
        let mut was_carried = false;
        let is_known = self.amend(id, |entry| {
            if let Some(carried) = &mut entry.carried_out {
                carried.ready_after_ms = Some(after_ms);
                was_carried = true;
            }
        });
        is_known && was_carried
    }

    /// Returns entries of a pool below `before_id`, or the last ones, from the last one back.
    ///
    /// # Errors
    /// When more are wanted than are in memory, and the store cannot be read.
    pub fn entries(&self, pool: &Id, limit: usize, before_id: Option<u64>) -> Result<Vec<Arc<Entry>>, StoreError> {
        let before = before_id.unwrap_or(u64::MAX);
        let (mut found, terms, first) = {
            let books = self.lock();
            let Some(book) = books.by_pool.get(pool) else { return Ok(Vec::new()) };
            let found: Vec<_> = book.entries.range(..before).rev().take(limit).map(|(_, (entry, _))| entry.clone()).collect();
            let first = book.entries.first_key_value().map_or(u64::MAX, |(id, _)| *id);
            (found, book.terms.clone(), first)
        };
        if found.len() < limit {
            let older = self.store.read_log_back(&log(pool), Some(before.min(first)), limit - found.len())?;
            found.extend(read(pool, older, &terms).into_iter().map(|(entry, _)| entry));
        }
        Ok(found)
    }

    /// Returns the entries of a pool since this time and the last one before it, the oldest first: what reports are made of.
    ///
    /// # Errors
    /// When more are wanted than are in memory, and the store cannot be read.
    pub fn since(&self, pool: &Id, unix_ms: i64) -> Result<Vec<Arc<Entry>>, StoreError> {
        let mut found: Vec<Arc<Entry>> = Vec::new();
        loop {
            let page = self.entries(pool, MEMORY, found.last().map(|entry| entry.id))?;
            let is_last = page.len() < MEMORY;
            let wanted = page.iter().position(|entry| entry.at_unix_ms < unix_ms);
            found.extend(page.into_iter().take(wanted.map_or(MEMORY, |place| place + 1)));
            if is_last || wanted.is_some() {
                found.reverse();
                return Ok(found);
            }
        }
    }

    fn amend(&self, id: u64, change: impl FnOnce(&mut Entry)) -> bool {
        let record = {
            let mut books = self.lock();
            let Some((pool, book)) = books.by_pool.iter_mut().find(|(_, book)| book.entries.contains_key(&id)) else {
                return false;
            };
            let Some((entry, terms)) = book.entries.get_mut(&id) else { return false };
            change(Arc::make_mut(entry));
            Record { log: log(pool), id, bytes: entry.encode(*terms) }
        };
        self.append(record);
        true
    }

    fn append(&self, record: Record) {
        match record.bytes {
            Some(bytes) => self.store.append(&record.log, record.id, bytes),
            None => warn!(id = record.id, "A decision has no form for the disk; it is in memory only."),
        }
    }

    /// Removes from the store what is too old or too much.
    fn sweep(&self, pool: &Id, oldest: u64) {
        self.store.cut(&log(pool), oldest);
        self.store.trim(&log(pool), STORED);
        let first_terms = self.lock().by_pool.get(pool).and_then(|book| book.terms.first_key_value().map(|(id, _)| *id));
        self.store.cut(&terms_log(pool), first_terms.unwrap_or(0));
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn open(store: &Store, pool: &Id, oldest: u64) -> Result<Self, StoreError> {
        store.cut(&log(pool), oldest);
        let known = store.read_log(&terms_log(pool), 0, usize::MAX)?;
        let known = known.iter().filter_map(|(number, bytes)| Some((*number, Arc::new(serde_json::from_slice(bytes).ok()?))));
        let terms = known.collect();
        let records = store.read_log_back(&log(pool), None, MEMORY)?;
        let entries = read(pool, records, &terms).into_iter().map(|(entry, number)| (entry.id, (entry, number))).collect();
        Ok(Self { entries, terms, written: 0 })
    }

    /// Returns the number of these terms, and the terms when they are to be written.
    ///
    /// Only the last ones are looked at, so that no entry follows from terms older than those that were in force when it was written.
    fn terms_of(&mut self, id: u64, terms: &Arc<Terms>) -> (u64, Option<Arc<Terms>>) {
        match self.terms.last_key_value() {
            Some((number, last)) if Arc::ptr_eq(last, terms) || last == terms => (*number, None),
            _ => {
                self.terms.insert(id, terms.clone());
                (id, Some(terms.clone()))
            }
        }
    }

    /// Frees what is beyond the bound; tells whether it is time to look at the store.
    fn sweep(&mut self, oldest: u64) -> bool {
        while self.entries.len() > MEMORY {
            self.entries.pop_first();
        }
        if !self.written.is_multiple_of(SWEEP) {
            return false;
        }
        // The oldest entries follow from the last terms before them.
        while self.terms.keys().nth(1).is_some_and(|next| *next <= oldest) {
            self.terms.pop_first();
        }
        true
    }
}

/// Makes entries of records; those of a version with other values are left out.
fn read(pool: &Id, records: Vec<(u64, Bytes)>, terms: &BTreeMap<u64, Arc<Terms>>) -> Vec<(Arc<Entry>, u64)> {
    let entry = |(id, bytes): (u64, Bytes)| {
        let read = Read::decode(&bytes)?;
        let number = read.terms;
        let terms = terms.get(&number)?.clone();
        Some((Arc::new(read.into_entry(id, pool.clone(), terms)), number))
    };
    records.into_iter().filter_map(entry).collect()
}

fn pools(store: &Store) -> Vec<Id> {
    let names = store.list(POOLS).unwrap_or_else(|error| {
        warn!(%error, "Decisions from before cannot be read.");
        Vec::new()
    });
    names.iter().filter_map(|(name, _)| name.strip_prefix(POOLS)?.parse().ok()).collect()
}

/// Removes what is left of a pool that has no entries any more.
fn forget(store: &Store, pool: &Id) {
    store.cut(&terms_log(pool), u64::MAX);
    store.remove(&format!("{POOLS}{pool}"));
}

fn log(pool: &Id) -> String {
    format!("ledger/{pool}")
}

fn terms_log(pool: &Id) -> String {
    format!("ledger-terms/{pool}")
}

/// Returns the number below which entries are too old.
fn oldest(now_unix_ms: i64) -> u64 {
    u64::try_from(now_unix_ms).unwrap_or(0).saturating_sub(STORED_MS)
}

#[cfg(test)]
mod tests;
