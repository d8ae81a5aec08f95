//! The tables in the file, and how they are written and read.
//!
//! Rows of a day have a table of their own, so that what is too old goes in one piece: `minutes/20780`, `fives/20780`, the number being the day since
//! 1970. The file never becomes smaller, but the pages of a table that has gone are used again.

use redb::{Database, Durability, Error, ReadableDatabase, ReadableTable, Table, TableDefinition, TableHandle, WriteTransaction};

use super::super::column::Row;
use super::batch::{Batch, Grain, Log, surplus};
use crate::model::Id;

/// Values by name.
pub(super) const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");

/// Records by log and number.
pub(super) const LOGS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("logs");

/// What the file is.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The key in [`META`] of the version of what the tables mean.
const FORMAT: &str = "format";

/// The version that this code writes and reads.
const VERSION: u64 = 1;

/// Days of minutes: eight whole ones and the one that has begun.
const MINUTE_DAYS: usize = 9;

/// Days of five-minute rows: five weeks and the day that has begun.
const FIVE_DAYS: usize = 36;

/// A row that was kept.
#[derive(Debug, PartialEq)]
pub(in super::super) struct Kept {
    pub pool: Id,
    pub grain: Grain,
    pub minute: i64,
    pub row: Row,
}

type Rows<'a> = TableDefinition<'a, (&'static str, i64), &'static [u8]>;

impl Grain {
    const ALL: [Self; 2] = [Self::Minute, Self::Five];

    const fn days(self) -> usize {
        match self {
            Self::Minute => MINUTE_DAYS,
            Self::Five => FIVE_DAYS,
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Minute => "minutes/",
            Self::Five => "fives/",
        }
    }

    fn table(self, day: i64) -> String {
        format!("{}{day}", self.prefix())
    }

    /// Reads the day back from the name of a table.
    fn day(self, table: &str) -> Option<i64> {
        table.strip_prefix(self.prefix())?.parse().ok()
    }
}

/// Makes the tables of a new file, checks those of an old one, and returns its rows.
pub(super) fn begin(database: &Database) -> Result<Vec<Kept>, Error> {
    let transaction = database.begin_write()?;
    {
        let is_new = transaction.list_tables()?.next().is_none();
        let mut meta = transaction.open_table(META)?;
        let version = meta.get(FORMAT)?.map(|version| version.value());
        if version != Some(VERSION) && !is_new {
            let found = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
            return Err(Error::Corrupted(format!("its format is {found}, this Tidegate reads {VERSION}")));
        }
        meta.insert(FORMAT, VERSION)?;
        transaction.open_table(KEYS)?;
        transaction.open_table(LOGS)?;
    }
    transaction.commit()?;
    rows(database)
}

fn rows(database: &Database) -> Result<Vec<Kept>, Error> {
    let transaction = database.begin_read()?;
    let names: Vec<String> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
    let mut kept = Vec::new();
    for grain in Grain::ALL {
        for name in names.iter().filter(|name| grain.day(name).is_some()) {
            let rows: Rows<'_> = TableDefinition::new(name);
            for entry in transaction.open_table(rows)?.iter()? {
                let (key, row) = entry?;
                let (pool, minute) = key.value();
                // A name that is none any more belongs to no pool that there could be.
                let Ok(pool) = pool.parse() else { continue };
                kept.push(Kept { pool, grain, minute, row: Row::decode(row.value()) });
            }
        }
    }
    Ok(kept)
}

/// Writes a batch in one transaction, and waits until it is on disk.
pub(super) fn write(database: &Database, batch: &Batch) -> Result<(), Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    write_rows(&transaction, batch)?;
    {
        let mut keys = transaction.open_table(KEYS)?;
        for (key, value) in &batch.keys {
            match value {
                Some(value) => _ = keys.insert(key.as_str(), value.as_ref())?,
                None => _ = keys.remove(key.as_str())?,
            }
        }
        let mut logs = transaction.open_table(LOGS)?;
        for (name, log) in &batch.logs {
            write_log(&mut logs, name, log)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn write_rows(transaction: &WriteTransaction, batch: &Batch) -> Result<(), Error> {
    for ((grain, day), rows) in &batch.rows {
        let name = grain.table(*day);
        let mut table = transaction.open_table(Rows::new(&name))?;
        for ((pool, minute), row) in rows {
            table.insert((pool.as_str(), *minute), row.encode().as_slice())?;
        }
    }
    let Some(today) = batch.today else { return Ok(()) };
    let names: Vec<String> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
    for grain in Grain::ALL {
        let days = names.iter().filter_map(|name| grain.day(name)).collect();
        for day in surplus(days, today, grain.days()) {
            transaction.delete_table(Rows::new(&grain.table(day)))?;
        }
    }
    Ok(())
}

fn write_log(logs: &mut Table<'_, (&'static str, u64), &'static [u8]>, name: &str, log: &Log) -> Result<(), Error> {
    for (seq, record) in &log.records {
        logs.insert((name, *seq), record.as_ref())?;
    }
    let mut cut = log.cut;
    if let Some(keep) = log.keep {
        let after = match keep.checked_sub(1) {
            Some(last) => logs.range((name, 0)..=(name, u64::MAX))?.rev().nth(last).transpose()?.map(|(key, _)| key.value().1),
            None => Some(u64::MAX),
        };
        cut = cut.max(after.unwrap_or(0));
    }
    if cut > 0 {
        logs.retain_in((name, 0)..(name, cut), |_, _| false)?;
    }
    Ok(())
}
