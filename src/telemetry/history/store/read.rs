//! Reading what is on disk, with what is still to be written laid over it.
//!
//! What waits is looked at first: while the file is read, it may get there, but it cannot get lost on the way.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use redb::{Database, Error, ReadableDatabase};

use super::batch::Batch;
use super::tables::{KEYS, LOGS};

/// Which records of a log are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The first ones.
    First,
    /// The last ones.
    Last,
}

/// A part of a log.
#[derive(Clone, Debug)]
pub(super) struct Part<'a> {
    pub log: &'a str,
    pub seqs: RangeInclusive<u64>,
    pub end: End,
    pub limit: usize,
}

/// What waits to be written of a part of a log.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    records: BTreeMap<u64, Bytes>,
    cut: u64,
}

impl Waiting {
    /// Looks at batches, the older one first.
    pub(super) fn of<'a>(part: &Part<'_>, batches: impl Iterator<Item = &'a Batch>) -> Self {
        let mut waiting = Self::default();
        for log in batches.filter_map(|batch| batch.logs.get(part.log)) {
            waiting.cut = waiting.cut.max(log.cut);
            let wanted = log.records.iter().filter(|(seq, _)| part.seqs.contains(seq));
            waiting.records.extend(wanted.map(|(seq, record)| (*seq, record.clone())));
        }
        waiting
    }
}

/// Reads a part of a log, in the order of the numbers for [`End::First`], from the last one back for [`End::Last`].
pub(super) fn log(database: Option<&Database>, part: &Part<'_>, waiting: Waiting) -> Result<Vec<(u64, Bytes)>, Error> {
    let Waiting { mut records, cut } = waiting;
    let (from, to) = (cut.max(*part.seqs.start()), *part.seqs.end());
    if let Some(database) = database.filter(|_| from <= to) {
        let table = database.begin_read()?.open_table(LOGS)?;
        let mut range = table.range((part.log, from)..=(part.log, to))?;
        for _ in 0..part.limit {
            let next = if part.end == End::First { range.next() } else { range.next_back() };
            let Some(entry) = next else { break };
            let (key, record) = entry?;
            records.entry(key.value().1).or_insert_with(|| Bytes::copy_from_slice(record.value()));
        }
    }
    let wanted = records.into_iter().filter(|(seq, _)| *seq >= cut);
    Ok(match part.end {
        End::First => wanted.take(part.limit).collect(),
        End::Last => wanted.rev().take(part.limit).collect(),
    })
}

/// Reads one value.
pub(super) fn value(database: &Database, key: &str) -> Result<Option<Bytes>, Error> {
    let table = database.begin_read()?.open_table(KEYS)?;
    Ok(table.get(key)?.map(|value| Bytes::copy_from_slice(value.value())))
}

/// Reads all values whose names begin with `prefix`.
pub(super) fn values(database: &Database, prefix: &str) -> Result<BTreeMap<String, Bytes>, Error> {
    let table = database.begin_read()?.open_table(KEYS)?;
    let mut found = BTreeMap::new();
    for entry in table.range(prefix..)? {
        let (key, value) = entry?;
        if !key.value().starts_with(prefix) {
            break;
        }
        found.insert(key.value().to_owned(), Bytes::copy_from_slice(value.value()));
    }
    Ok(found)
}
