//! What is to be written next. Pure.
//!
//! Whatever is written twice before it is on disk is written once. The order of things in a batch is: rows, values, records, then what is cut off logs.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::column::Row;
use super::super::memory::Change;
use crate::model::Id;

/// Minutes of a day, which is what one table of rows holds.
const DAY: i64 = 1440;

/// What a row takes of the bound, about.
const ROW_BYTES: usize = 160;

/// How fine the rows of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Grain {
    /// One for each minute.
    Minute,
    /// One for each five minutes.
    Five,
}

/// What is to be written next.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Values by name; `None` is to be removed.
    pub keys: BTreeMap<String, Option<Bytes>>,
    /// Logs by name.
    pub logs: BTreeMap<String, Log>,
    /// Rows by the table that they go to.
    pub rows: BTreeMap<(Grain, i64), BTreeMap<(Id, i64), Row>>,
    /// The day of the last row: the present, as far as tables are concerned.
    pub today: Option<i64>,
    bytes: usize,
}

/// What changes in a log.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    /// New records, or new versions of records.
    pub records: BTreeMap<u64, Bytes>,
    /// Records below this number go.
    pub cut: u64,
    /// So many of the last records stay.
    pub keep: Option<usize>,
}

impl Batch {
    /// Tells whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.logs.is_empty() && self.rows.is_empty()
    }

    /// Returns how much it holds, about, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a value, or its removal.
    pub(super) fn put(&mut self, key: &str, value: Option<Bytes>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        self.keys.insert(key.to_owned(), value);
    }

    /// Adds a record.
    pub(super) fn append(&mut self, log: &str, seq: u64, record: Bytes) {
        self.bytes += log.len() + record.len();
        self.log(log).records.insert(seq, record);
    }

    /// Cuts a log below `seq`.
    pub(super) fn cut(&mut self, log: &str, seq: u64) {
        let log = self.log(log);
        log.cut = log.cut.max(seq);
        log.records = log.records.split_off(&seq);
    }

    /// Cuts a log down to its last `keep` records.
    pub(super) fn trim(&mut self, log: &str, keep: usize) {
        let log = self.log(log);
        log.keep = Some(log.keep.map_or(keep, |old| old.min(keep)));
    }

    /// Adds rows.
    pub(super) fn rows(&mut self, pool: &Id, change: &Change) {
        for (grain, (minute, row)) in [(Grain::Minute, change.minute), (Grain::Five, change.five)] {
            let day = minute.div_euclid(DAY);
            self.today = Some(day);
            self.rows.entry((grain, day)).or_default().insert((pool.clone(), minute), row);
            self.bytes += ROW_BYTES;
        }
    }

    /// Takes over what an older batch could not get written, where this one knows nothing newer.
    pub(super) fn put_under(&mut self, older: &Self) {
        self.bytes += older.bytes;
        self.today = self.today.or(older.today);
        for (key, value) in &older.keys {
            self.keys.entry(key.clone()).or_insert_with(|| value.clone());
        }
        for (name, old) in &older.logs {
            let log = self.log(name);
            log.cut = log.cut.max(old.cut);
            log.keep = [log.keep, old.keep].into_iter().flatten().min();
            for (seq, record) in old.records.range(log.cut..) {
                log.records.entry(*seq).or_insert_with(|| record.clone());
            }
        }
        for (table, rows) in &older.rows {
            let here = self.rows.entry(*table).or_default();
            for (key, row) in rows {
                here.entry(key.clone()).or_insert(*row);
            }
        }
    }

    fn log(&mut self, name: &str) -> &mut Log {
        if !self.logs.contains_key(name) {
            self.logs.insert(name.to_owned(), Log::default());
        }
        self.logs.entry(name.to_owned()).or_default()
    }
}

/// Returns which of these days are too many when `keep` may stay: the farthest from today, on either side, as a clock may have been wrong.
pub(super) fn surplus(mut days: Vec<i64>, today: i64, keep: usize) -> Vec<i64> {
    days.sort_by_key(|day| (day.abs_diff(today), *day));
    days.split_off(keep.min(days.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_are_farthest_from_today_are_too_many() {
        assert_eq!(surplus(vec![1, 2, 3, 4], 4, 3), [1]);
        assert_eq!(surplus(vec![1, 2, 3, 900], 3, 3), [900]);
        assert_eq!(surplus(vec![3, i64::MIN, i64::MAX], 3, 1).len(), 2);
        assert!(surplus(vec![1, 2], 2, 3).is_empty());
    }

    #[test]
    fn what_failed_goes_under_what_is_newer() {
        let (mut older, mut newer) = (Batch::default(), Batch::default());
        older.put("a", Some(Bytes::from_static(b"old")));
        older.put("b", Some(Bytes::from_static(b"only")));
        (1..=4).for_each(|seq| older.append("log", seq, Bytes::from_static(b"old")));
        newer.put("a", None);
        newer.append("log", 4, Bytes::from_static(b"new"));
        newer.cut("log", 3);
        newer.put_under(&older);
        assert_eq!(newer.keys.values().map(Option::as_deref).collect::<Vec<_>>(), [None, Some(&b"only"[..])]);
        let records = newer.logs["log"].records.iter().map(|(seq, record)| (*seq, record.as_ref())).collect::<Vec<_>>();
        assert_eq!(records, [(3, &b"old"[..]), (4, &b"new"[..])]);
    }
}
