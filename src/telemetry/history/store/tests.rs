//! Real files in folders of their own. Nothing waits for time: the pace is so slow that only `flush` and the end write.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use redb::StorageBackend;
use redb::backends::FileBackend;
use tempfile::TempDir;

use super::super::column::{Column, Row};
use super::super::shared::History;
use super::*;
use crate::model::Id;

/// 2026-01-01.
const NOW: i64 = 29_452_320;

const SLOW: Pace = Pace { batch: Duration::from_secs(86_400), retry: Duration::from_secs(86_400) };

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(folder: &Path) -> (History, Option<OpenError>) {
    History::begin(Some(Place::new(folder)), SLOW)
}

/// Opens a file that must be in order.
fn opened(folder: &Path) -> History {
    let (history, error) = open(folder);
    assert!(error.is_none(), "{error:?}");
    assert!(history.store().figures().is_durable);
    history
}

fn pool(name: &str) -> Id {
    name.parse().unwrap()
}

fn ready(count: f64) -> Row {
    Row::default().with(Column::Ready, count)
}

fn minutes(history: &History, count: u32) -> Vec<Option<f32>> {
    history.last(&pool("coders"), Column::Ready, count, NOW + i64::from(count)).values
}

fn texts(records: Vec<(u64, bytes::Bytes)>) -> Vec<(u64, String)> {
    records.into_iter().map(|(seq, record)| (seq, String::from_utf8(record.to_vec()).unwrap())).collect()
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let folder = folder();
    {
        let history = opened(folder.path());
        (0..7).for_each(|minute| history.record(&pool("coders"), NOW + minute, &ready(2.0)));
        history.record(&pool("tools"), NOW, &ready(5.0));
        let store = history.store();
        store.put("desired/coders", &b"0"[..]);
        store.put("desired/tools", &b"3"[..]);
        store.remove("desired/tools");
        (1..=3).for_each(|seq| store.append("log", seq, format!("record {seq}")));
    }
    let history = opened(folder.path());
    assert_eq!(minutes(&history, 8), [[Some(2.0); 7].as_slice(), &[None]].concat());
    assert_eq!(history.series(&pool("coders"), Column::Ready, NOW..NOW + 10, 5).values, [Some(2.0); 2]);
    assert_eq!(history.pools(), [pool("coders"), pool("tools")]);
    let store = history.store();
    assert_eq!(store.list("desired/").unwrap(), [("desired/coders".to_owned(), bytes::Bytes::from_static(b"0"))]);
    assert_eq!(store.get("desired/tools").unwrap(), None);
    assert_eq!(texts(store.read_log("log", 2, 9).unwrap()), [(2, "record 2".to_owned()), (3, "record 3".to_owned())]);
}

#[test]
fn rows_that_come_after_a_restart_join_those_from_before() {
    let folder = folder();
    (0..2).for_each(|minute| opened(folder.path()).record(&pool("coders"), NOW + minute, &ready(2.0)));
    let history = opened(folder.path());
    history.record(&pool("coders"), NOW + 2, &ready(8.0));
    assert_eq!(history.series(&pool("coders"), Column::Ready, NOW..NOW + 5, 5).values, [Some(4.0)]);
}

#[test]
fn a_kill_loses_only_what_was_not_yet_written() {
    let (folder, after) = (folder(), self::folder());
    let history = opened(folder.path());
    history.record(&pool("coders"), NOW, &ready(1.0));
    history.store().append("log", 1, &b"early"[..]);
    assert!(history.store().flush());
    history.record(&pool("coders"), NOW + 1, &ready(2.0));
    history.store().append("log", 2, &b"late"[..]);
    // The file as it is while the process still has it open: what a kill would leave.
    fs::copy(folder.path().join("history.redb"), after.path().join("history.redb")).unwrap();
    let survivor = opened(after.path());
    assert_eq!(minutes(&survivor, 2), [Some(1.0), None]);
    assert_eq!(texts(survivor.store().read_log("log", 0, 9).unwrap()), [(1, "early".to_owned())]);
    // Here it is not lost.
    assert_eq!(minutes(&history, 2), [Some(1.0), Some(2.0)]);
}

#[test]
fn a_batch_is_written_by_itself_when_its_time_has_come() {
    let folder = folder();
    let pace = Pace { batch: Duration::ZERO, retry: Duration::ZERO };
    let (history, _) = History::begin(Some(Place::new(folder.path())), pace);
    history.record(&pool("coders"), NOW, &ready(1.0));
    let shared = history.store().0;
    let mut state = shared.lock();
    // The thread says so when it is done; nobody asked for it.
    while state.rounds == 0 {
        state = shared.settled.wait(state).unwrap();
    }
    assert!(state.pending.is_empty());
}

#[test]
fn without_a_folder_values_are_kept_and_logs_are_not() {
    let (history, error) = History::open(None);
    assert!(error.is_none());
    history.record(&pool("coders"), NOW, &ready(1.0));
    let store = history.store();
    store.put("desired/coders", &b"0"[..]);
    store.append("log", 1, &b"x"[..]);
    assert_eq!(minutes(&history, 1), [Some(1.0)]);
    assert_eq!(store.get("desired/coders").unwrap().as_deref(), Some(&b"0"[..]));
    assert_eq!(store.list("desired").unwrap().len(), 1);
    assert_eq!(store.read_log("log", 0, 9).unwrap(), []);
    assert!(!store.flush());
    assert!(!store.figures().is_durable);
}

#[test]
fn a_second_process_is_told_so_and_harms_nothing() {
    let folder = folder();
    let first = opened(folder.path());
    let (second, error) = open(folder.path());
    let error = error.unwrap();
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    assert!(error.to_string().contains("in use by another Tidegate"), "{error}");
    second.record(&pool("coders"), NOW, &ready(9.0));
    assert_eq!(minutes(&second, 1), [Some(9.0)]);
    drop(second);
    first.record(&pool("coders"), NOW, &ready(1.0));
    assert!(first.store().flush());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_cannot_be_made_leaves_history_in_memory() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").unwrap();
    let (history, error) = open(&folder.path().join("file").join("below"));
    assert!(matches!(error, Some(OpenError::Unusable { .. })), "{error:?}");
    history.record(&pool("coders"), NOW, &ready(1.0));
    assert_eq!(minutes(&history, 1), [Some(1.0)]);
}

/// Makes a file with something in it.
fn filled(folder: &Path) -> Vec<u8> {
    let history = opened(folder);
    (0..300).for_each(|minute| history.record(&pool("coders"), NOW + minute, &ready(1.0)));
    history.store().put("key", vec![7; 9000]);
    drop(history);
    fs::read(folder.join("history.redb")).unwrap()
}

/// Opens what must be put aside, and sees that the new file works.
fn is_put_aside(folder: &Path, number: u32) {
    let (history, error) = open(folder);
    let error = error.unwrap();
    assert!(matches!(error, OpenError::Broken { .. }), "{error:?}");
    let aside = folder.join(format!("history.redb.broken-{number}"));
    assert!(aside.exists(), "{error}");
    assert!(error.to_string().contains(&format!("{}", aside.display())), "{error}");
    history.store().put("key", &b"new"[..]);
    drop(history);
    let history = opened(folder);
    assert_eq!(history.store().get("key").unwrap().as_deref(), Some(&b"new"[..]));
}

#[test]
fn a_file_that_is_none_of_ours_is_put_aside() {
    let folder = folder();
    fs::write(folder.path().join("history.redb"), "this is a letter, not a database\n".repeat(1000)).unwrap();
    is_put_aside(folder.path(), 1);
    fs::write(folder.path().join("history.redb"), "short").unwrap();
    is_put_aside(folder.path(), 2);
}

#[test]
fn a_database_of_somebody_else_is_put_aside() {
    let folder = folder();
    let database = redb::Database::create(folder.path().join("history.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("keys")).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    is_put_aside(folder.path(), 1);
}

#[test]
fn a_file_of_a_newer_tidegate_is_put_aside() {
    let folder = folder();
    filled(folder.path());
    let database = redb::Database::open(folder.path().join("history.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    is_put_aside(folder.path(), 1);
}

#[test]
fn a_file_that_was_cut_off_is_put_aside() {
    let folder = folder();
    let bytes = filled(folder.path());
    fs::write(folder.path().join("history.redb"), &bytes[..bytes.len() / 2]).unwrap();
    is_put_aside(folder.path(), 1);
    fs::write(folder.path().join("history.redb"), &bytes[..100]).unwrap();
    is_put_aside(folder.path(), 2);
}

#[test]
fn damage_anywhere_never_stops_tidegate() {
    let bytes = filled(folder().path());
    let mut broken = 0;
    for part in 0..48 {
        let folder = folder();
        let mut damaged = bytes.clone();
        let at = damaged.len() * part / 48;
        let end = (at + 64).min(damaged.len());
        damaged[at..end].iter_mut().for_each(|byte| *byte ^= 0xA5);
        fs::write(folder.path().join("history.redb"), damaged).unwrap();
        let (history, error) = open(folder.path());
        broken += u32::from(error.is_some());
        history.store().put("key", &b"new"[..]);
        assert!(history.store().flush(), "{error:?}");
        drop(history);
        assert_eq!(opened(folder.path()).store().get("key").unwrap().as_deref(), Some(&b"new"[..]));
    }
    assert!(broken > 0, "no damage was noticed");
}

/// A file on a disk that can be full.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    is_full: Arc<AtomicBool>,
}

impl Disk {
    fn check(&self) -> io::Result<()> {
        if self.is_full.load(Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// A history on a disk that is full while the flag is set.
fn on_disk(folder: &Path, is_full: &Arc<AtomicBool>) -> History {
    let is_full = is_full.clone();
    let place = Place::new(folder).opened_by(Box::new(move |path| {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let disk = Disk { file: FileBackend::new(file)?, is_full: is_full.clone() };
        file::builder().create_with_backend(disk)
    }));
    let (history, error) = History::begin(Some(place), SLOW);
    assert!(error.is_none(), "{error:?}");
    history
}

#[test]
fn a_full_disk_loses_nothing_when_there_is_room_again() {
    let (folder, is_full) = (folder(), Arc::new(AtomicBool::new(false)));
    let history = on_disk(folder.path(), &is_full);
    let store = history.store();
    store.put("key", &b"before"[..]);
    assert!(store.flush());
    is_full.store(true, Relaxed);
    history.record(&pool("coders"), NOW, &ready(1.0));
    store.append("log", 1, &b"kept"[..]);
    store.put("key", &b"after"[..]);
    assert!(!store.flush());
    assert!(!store.flush());
    let figures = store.figures();
    assert_eq!((figures.failures, figures.dropped, figures.is_durable), (2, 0, true));
    assert_eq!(minutes(&history, 1), [Some(1.0)]);
    assert_eq!(store.get("key").unwrap().as_deref(), Some(&b"after"[..]));
    // What is on disk only cannot be said meanwhile, which is not the same as nothing.
    assert_eq!(store.get("other"), Err(StoreError::Closed));
    is_full.store(false, Relaxed);
    store.append("log", 2, &b"new"[..]);
    assert!(store.flush());
    assert_eq!(store.get("other"), Ok(None));
    drop(history);
    let history = opened(folder.path());
    assert_eq!(minutes(&history, 1), [Some(1.0)]);
    assert_eq!(texts(history.store().read_log("log", 0, 9).unwrap()), [(1, "kept".to_owned()), (2, "new".to_owned())]);
}

#[test]
fn what_waits_for_a_full_disk_is_bounded() {
    let (folder, is_full) = (folder(), Arc::new(AtomicBool::new(false)));
    let history = on_disk(folder.path(), &is_full);
    let store = history.store();
    is_full.store(true, Relaxed);
    for seq in 0..40 {
        store.append("log", seq, vec![0; 1024 * 1024]);
        assert!(seq % 7 != 0 || !store.flush());
    }
    let figures = store.figures();
    assert!(figures.dropped > 0 && figures.waiting_bytes < 18 * 1024 * 1024, "{figures:?}");
    // States of the size of a number still find their place.
    store.put("desired/coders", &b"2"[..]);
    is_full.store(false, Relaxed);
    assert!(store.flush());
    drop(history);
    assert!(opened(folder.path()).store().get("desired/coders").unwrap().is_some());
}

#[test]
fn a_log_is_cut_and_trimmed() {
    let folder = folder();
    let history = opened(folder.path());
    let store = history.store();
    (1..=10).for_each(|seq| store.append("a", seq, &b"x"[..]));
    (1..=3).for_each(|seq| store.append("b", seq, &b"y"[..]));
    let seqs = |records: Result<Vec<(u64, bytes::Bytes)>, StoreError>| {
        records.unwrap().into_iter().map(|(seq, _)| seq).collect::<Vec<_>>()
    };
    for is_on_disk in [false, true] {
        assert!(!is_on_disk || store.flush());
        assert_eq!(seqs(store.read_log_back("a", None, 3)), [10, 9, 8]);
        assert_eq!(seqs(store.read_log_back("a", Some(3), 9)), [2, 1]);
        assert_eq!(seqs(store.read_log("a", 4, 2)), [4, 5]);
        assert!(seqs(store.read_log_back("a", Some(0), 3)).is_empty());
    }
    store.cut("a", 4);
    assert_eq!(seqs(store.read_log("a", 0, 99)), (4..=10).collect::<Vec<_>>());
    store.trim("a", 5);
    assert!(store.flush());
    assert_eq!(seqs(store.read_log("a", 0, 99)), (6..=10).collect::<Vec<_>>());
    store.trim("a", 0);
    assert!(store.flush());
    assert!(seqs(store.read_log("a", 0, 99)).is_empty());
    assert_eq!(seqs(store.read_log("b", 0, 99)), [1, 2, 3]);
}

#[test]
fn the_file_stays_as_it_is_once_the_oldest_days_leave() {
    let folder = folder();
    let history = opened(folder.path());
    let mut sizes = BTreeMap::new();
    for hour in 0..24 * 80_i64 {
        (0..60).step_by(10).for_each(|minute| history.record(&pool("coders"), NOW + hour * 60 + minute, &ready(3.0)));
        if hour % 12 == 11 {
            assert!(history.store().flush());
            sizes.insert(hour / 24, history.store().figures().file_bytes);
        }
    }
    let (after_40, after_80) = (sizes[&40], sizes[&79]);
    assert!(after_80 <= after_40 + after_40 / 10, "{after_40} bytes after 40 days, {after_80} after 80: {sizes:?}");
    drop(history);
    let history = opened(folder.path());
    let end = NOW + 80 * 1440;
    let known = |minutes, step| history.series(&pool("coders"), Column::Ready, minutes, step).values.into_iter().flatten().count();
    assert_eq!(known(end - 8 * 1440..end, 2), 8 * 144);
    assert_eq!(known(end - 35 * 1440..end, 5), 35 * 144);
    assert_eq!(known(end - 80 * 1440..end - 37 * 1440, 60), 0);
}

#[derive(Clone, Debug)]
enum Act {
    Put(u8, u8),
    Remove(u8),
    Append(u8, u64, u8),
    Cut(u8, u64),
    Flush,
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..4_u8, any::<u8>()).prop_map(|(key, value)| Act::Put(key, value)),
        1 => (0..4_u8).prop_map(Act::Remove),
        6 => (0..2_u8, 0..20_u64, any::<u8>()).prop_map(|(log, seq, value)| Act::Append(log, seq, value)),
        1 => (0..2_u8, 0..20_u64).prop_map(|(log, seq)| Act::Cut(log, seq)),
        2 => Just(Act::Flush),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_store_holds_what_was_put_into_it(acts in prop::collection::vec(act(), 1..40), from in 0..20_u64, limit in 0..6_usize) {
        let folder = folder();
        let mut history = Some(opened(folder.path()));
        let (mut keys, mut logs, mut cuts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for act in acts {
            let store = history.as_ref().unwrap().store();
            match act {
                Act::Put(key, value) => { store.put(&format!("k{key}"), vec![value]); keys.insert(key, value); }
                Act::Remove(key) => { store.remove(&format!("k{key}")); keys.remove(&key); }
                // A log only grows: what is cut off does not come again.
                Act::Append(log, seq, _) if seq < *cuts.get(&log).unwrap_or(&0) => {}
                Act::Append(log, seq, value) => { store.append(&format!("l{log}"), seq, vec![value]); logs.insert((log, seq), value); }
                Act::Cut(log, below) => {
                    store.cut(&format!("l{log}"), below);
                    logs.retain(|(of, seq), _| *of != log || *seq >= below);
                    let cut = cuts.entry(log).or_insert(0);
                    *cut = below.max(*cut);
                }
                Act::Flush => assert!(store.flush()),
                Act::Reopen => { drop(history.take()); history = Some(opened(folder.path())); }
            }
            let store = history.as_ref().unwrap().store();
            let held: Vec<_> = store.list("k").unwrap().into_iter().map(|(key, value)| (key, value[0])).collect();
            prop_assert_eq!(held, keys.iter().map(|(key, value)| (format!("k{key}"), *value)).collect::<Vec<_>>());
            for log in 0..2_u8 {
                let all: Vec<_> = logs.range((log, 0)..=(log, u64::MAX)).map(|((_, seq), value)| (*seq, *value)).collect();
                let plain = |records: Vec<(u64, bytes::Bytes)>| records.into_iter().map(|(seq, value)| (seq, value[0])).collect::<Vec<_>>();
                let first: Vec<_> = all.iter().copied().filter(|(seq, _)| *seq >= from).take(limit).collect();
                prop_assert_eq!(plain(store.read_log(&format!("l{log}"), from, limit).unwrap()), first);
                let last: Vec<_> = all.iter().rev().copied().filter(|(seq, _)| *seq < from).take(limit).collect();
                prop_assert_eq!(plain(store.read_log_back(&format!("l{log}"), Some(from), limit).unwrap()), last);
            }
        }
    }
}
