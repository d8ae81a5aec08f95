//! History as everybody sees it: rows of all pools behind one short mutex, and the store beside it.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::column::{Column, Row};
use super::memory::Memory;
use super::series::Series;
use super::store::{Grain, Keeper, Kept, OpenError, Pace, Place, Store};
use crate::model::Id;

/// What was, of each pool: rows of minutes for eight days, of five minutes for five weeks.
///
/// Dropping it writes to disk what is not there yet, and ends the thread that writes.
#[derive(Debug)]
pub struct History {
    pools: Mutex<HashMap<Id, Memory>>,
    store: Store,
    /// Ends with the history.
    _keeper: Option<Keeper>,
}

impl History {
    /// Opens `history.redb` in this folder, which is made when it is missing, and reads the rows back; without a folder everything is in memory only.
    ///
    /// There is always a history: what is wrong with the file is said beside it. Waits for the disk.
    pub fn open(folder: Option<PathBuf>) -> (Self, Option<OpenError>) {
        Self::begin(folder.map(|folder| Place::new(&folder)), Pace::default())
    }

    /// Does the same with other settings.
    pub(super) fn begin(place: Option<Place>, pace: Pace) -> (Self, Option<OpenError>) {
        let begun = Keeper::begin(place, pace);
        let mut pools: HashMap<Id, Memory> = HashMap::new();
        for Kept { pool, grain, minute, row } in begun.kept {
            let memory = pools.entry(pool).or_default();
            match grain {
                Grain::Minute => memory.restore_minute(minute, row),
                Grain::Five => memory.restore_five(minute, row),
            }
        }
        (Self { pools: Mutex::new(pools), store: begun.store, _keeper: begun.keeper }, begun.error)
    }

    /// Takes the row of the minute (since 1970) that has just been.
    ///
    /// Late rows find their place. A minute that comes again replaces the columns that it has data for. Never waits for the disk.
    pub fn record(&self, pool: &Id, unix_minute: i64, row: &Row) {
        let change = {
            let mut pools = self.lock();
            if !pools.contains_key(pool) {
                pools.insert(pool.clone(), Memory::default());
            }
            let Some(memory) = pools.get_mut(pool) else { return };
            memory.record(unix_minute, row)
        };
        self.store.rows(pool, &change);
    }

    /// Returns a column over these minutes, the end excluded, in steps of so many minutes (0 is 1) that begin at their multiples.
    ///
    /// Steps of a multiple of five minutes reach back five weeks, others eight days. At most the last 50,401 values are returned.
    pub fn series(&self, pool: &Id, column: Column, minutes: Range<i64>, step: u32) -> Series {
        match self.lock().get(pool) {
            Some(memory) => memory.series(column, &minutes, step),
            None => Memory::default().series(column, &minutes, step),
        }
    }

    /// Returns the last so many minutes of a column before `until`, which is excluded.
    pub fn last(&self, pool: &Id, column: Column, count: u32, until: i64) -> Series {
        self.series(pool, column, until.saturating_sub(i64::from(count))..until, 1)
    }

    /// Returns the pools that something is known of, in the order of their names.
    pub fn pools(&self) -> Vec<Id> {
        let mut names: Vec<Id> = self.lock().keys().cloned().collect();
        names.sort();
        names
    }

    /// Frees the memory of a pool that has left; what is on disk ages.
    pub fn forget(&self, pool: &Id) {
        self.lock().remove(pool);
    }

    /// Returns the way to the store beside the rows.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Memory>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
