use std::path::Path;

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};
use tempfile::TempDir;

use super::super::testing::{NOW, draft, id, input, terms};
use super::super::{Difference, replay};
use super::*;
use crate::autoscale::{Outlook, Trigger};
use crate::telemetry::history::History;

const DAY: i64 = 24 * 3_600_000;

fn open(folder: &Path, now: i64) -> (History, Ledger) {
    let (history, error) = History::open(Some(folder.to_owned()));
    assert!(error.is_none(), "{error:?}");
    let ledger = Ledger::open(history.store(), now);
    (history, ledger)
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn write(ledger: &Ledger, at: i64, terms: &Arc<Terms>) -> u64 {
    ledger.write(draft(at, terms, input(at, 2, 3.0)))
}

#[test]
fn entries_are_the_same_after_a_restart() {
    let folder = folder();
    let (history, ledger) = open(folder.path(), NOW);
    let terms = Arc::new(terms());
    let ids: Vec<u64> = (0..3).map(|turn| write(&ledger, NOW + turn * 1000, &terms)).collect();
    assert!(ledger.carried(ids[0], Upshot::Done, NOW + 20));
    assert!(ledger.ready(ids[0], 4_200));
    let failed = Upshot::Failed { error: "refused".to_owned(), text: "quota".to_owned() };
    assert!(ledger.carried(ids[1], failed, NOW + 1020));
    let before = ledger.entries(&id("coders"), 9, None).unwrap();
    assert_eq!(before.iter().map(|entry| entry.id).collect::<Vec<_>>(), [ids[2], ids[1], ids[0]]);
    assert_eq!(before[2].carried_out.as_ref().unwrap().ready_after_ms, Some(4_200));
    drop((history, ledger));
    let (_history, ledger) = open(folder.path(), NOW);
    assert_eq!(ledger.entries(&id("coders"), 9, None).unwrap(), before);
    // What was decided before the restart can still be answered after it.
    assert!(ledger.carried(ids[2], Upshot::Done, NOW + 9000));
}

#[test]
fn decisions_that_are_not_known_cannot_be_answered() {
    let ledger = Ledger::open(History::open(None).0.store(), NOW);
    assert!(!ledger.carried(1, Upshot::Done, NOW));
    let id = write(&ledger, NOW, &Arc::new(terms()));
    assert!(!ledger.ready(id, 1));
    assert!(ledger.carried(id, Upshot::Done, NOW) && ledger.ready(id, 1));
}

#[test]
fn numbers_grow_whatever_the_clock_and_the_file_do() {
    let folder = folder();
    let terms = Arc::new(terms());
    let mut last = 0;
    for (at, is_lost) in [(NOW, false), (NOW, false), (NOW - DAY, false), (NOW + DAY, true), (-1, false), (NOW + 9, false)] {
        if is_lost {
            std::fs::remove_file(folder.path().join("history.redb")).unwrap();
        }
        let (_history, ledger) = open(folder.path(), at);
        let one = write(&ledger, at, &terms);
        let two = write(&ledger, at, &terms);
        assert!(last < one && one < two, "{last} {one} {two}");
        last = two;
    }
}

#[test]
fn entries_beyond_memory_come_from_the_store() {
    let folder = folder();
    let (history, ledger) = open(folder.path(), NOW);
    let terms = Arc::new(terms());
    let ids: Vec<u64> = (0..1200).map(|turn| write(&ledger, NOW + turn, &terms)).collect();
    assert_eq!(ledger.lock().by_pool[&id("coders")].entries.len(), MEMORY);
    for is_on_disk in [false, true] {
        assert!(!is_on_disk || history.store().flush());
        let all: Vec<u64> = ledger.entries(&id("coders"), 5000, None).unwrap().iter().rev().map(|entry| entry.id).collect();
        assert_eq!(all, ids);
        let page: Vec<u64> = ledger.entries(&id("coders"), 10, Some(ids[205])).unwrap().iter().map(|entry| entry.id).collect();
        assert_eq!(page, ids[195..205].iter().rev().copied().collect::<Vec<_>>());
        let since: Vec<u64> = ledger.since(&id("coders"), NOW + 100).unwrap().iter().map(|entry| entry.id).collect();
        assert_eq!(since, ids[99..]);
    }
    assert!(!ledger.lock().by_pool[&id("coders")].entries.contains_key(&ids[0]), "memory has a bound");
    assert_eq!(ledger.entries(&id("tools"), 10, None).unwrap(), []);
}

#[test]
fn terms_are_stored_when_they_change() {
    let folder = folder();
    let (history, ledger) = open(folder.path(), NOW);
    let (one, same) = (Arc::new(terms()), Arc::new(terms()));
    let other = Arc::new(Terms { max_replicas: 77, ..terms() });
    let stored = || history.store().read_log(&terms_log(&id("coders")), 0, 99).unwrap().len();
    (0..5).for_each(|turn| _ = write(&ledger, NOW + turn, &one));
    write(&ledger, NOW + 5, &same);
    assert_eq!(stored(), 1);
    write(&ledger, NOW + 6, &other);
    assert_eq!(stored(), 2);
    write(&ledger, NOW + 7, &one);
    assert_eq!(stored(), 3);
    let found = ledger.entries(&id("coders"), 3, None).unwrap();
    assert_eq!(found.iter().map(|entry| entry.terms.max_replicas).collect::<Vec<_>>(), [10, 77, 10]);
}

#[test]
fn entries_of_more_than_eight_days_go_and_those_that_stay_have_their_terms() {
    let folder = folder();
    let (history, ledger) = open(folder.path(), NOW);
    let old = Arc::new(terms());
    let new = Arc::new(Terms { max_replicas: 77, ..terms() });
    let later = NOW + 9 * DAY;
    (0..10).for_each(|turn| _ = write(&ledger, NOW + turn, &new));
    for at in [NOW + DAY, NOW + 2 * DAY] {
        (0..10).for_each(|turn| _ = write(&ledger, at + turn, &old));
    }
    (0..i64::try_from(SWEEP).unwrap()).for_each(|turn| _ = write(&ledger, later + turn, &old));
    assert!(history.store().flush());
    let first = history.store().read_log(&log(&id("coders")), 0, 1).unwrap()[0].0;
    assert_eq!(first, u64::try_from(NOW + 2 * DAY).unwrap());
    assert_eq!(history.store().read_log(&terms_log(&id("coders")), 0, 99).unwrap().len(), 1);
    drop((history, ledger));
    let (_history, ledger) = open(folder.path(), later);
    let left = ledger.entries(&id("coders"), 5000, None).unwrap();
    assert_eq!(left.len(), 10 + usize::try_from(SWEEP).unwrap());
    assert!(left.iter().all(|entry| entry.terms.max_replicas == 10));
}

#[test]
fn no_more_than_ten_thousand_entries_of_a_pool_are_stored() {
    let folder = folder();
    let (history, ledger) = open(folder.path(), NOW);
    let terms = Arc::new(terms());
    let turns = i64::try_from(STORED).unwrap() + 3 * i64::try_from(SWEEP).unwrap();
    for turn in 0..turns {
        write(&ledger, NOW + turn, &terms);
        // More than a batch may hold would be dropped, as if the disk were too slow.
        assert!(turn % 4000 != 0 || history.store().flush());
    }
    assert!(history.store().flush());
    assert_eq!(history.store().figures().dropped, 0);
    let stored = history.store().read_log(&log(&id("coders")), 0, usize::MAX).unwrap().len();
    assert!((STORED..STORED + 2 * usize::try_from(SWEEP).unwrap()).contains(&stored), "{stored}");
}

#[test]
fn a_pool_whose_entries_are_all_too_old_is_forgotten() {
    let folder = folder();
    let (history, ledger) = open(folder.path(), NOW);
    write(&ledger, NOW, &Arc::new(terms()));
    drop((history, ledger));
    let (history, ledger) = open(folder.path(), NOW + 9 * DAY);
    assert!(ledger.lock().by_pool.is_empty());
    assert_eq!(history.store().list("").unwrap(), []);
    assert_eq!(history.store().read_log(&terms_log(&id("coders")), 0, 9).unwrap(), []);
}

#[test]
fn entries_that_cannot_be_read_are_left_out() {
    let folder = folder();
    let (history, ledger) = open(folder.path(), NOW);
    let terms = Arc::new(terms());
    let ids: Vec<u64> = (0..3).map(|turn| write(&ledger, NOW + turn, &terms)).collect();
    history.store().append(&log(&id("coders")), ids[1], &b"{\"of\":\"another version\"}"[..]);
    drop((history, ledger));
    let (_history, ledger) = open(folder.path(), NOW);
    let left: Vec<u64> = ledger.entries(&id("coders"), 9, None).unwrap().iter().map(|entry| entry.id).collect();
    assert_eq!(left, [ids[2], ids[0]]);
}

/// Replays an entry after something in its decision was changed.
fn replay_of(change: impl FnOnce(&mut Entry)) -> Result<(), Box<Difference>> {
    let ledger = Ledger::open(History::open(None).0.store(), NOW);
    let number = write(&ledger, NOW, &Arc::new(terms()));
    let mut entry = Entry::clone(&ledger.entries(&id("coders"), 1, Some(number + 1)).unwrap()[0]);
    change(&mut entry);
    replay(&entry)
}

#[test]
fn a_decision_that_would_be_another_now_is_told_by_its_field() {
    assert!(replay_of(|_| {}).is_ok());
    let changed = replay_of(|entry| entry.decision.to += 1).unwrap_err();
    assert_eq!(changed.field, "to");
    let changed = replay_of(|entry| entry.decision.trigger = Trigger::Operator).unwrap_err();
    assert_eq!((changed.field.as_str(), changed.then.as_str()), ("trigger", "\"operator\""));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_decision_can_be_computed_again_after_a_restart(
        looks in prop::collection::vec((0..30_u32, any::<f64>(), any::<bool>(), 0.0..1.0_f64), 1..6),
        max_replicas in 1..40_u32,
        tolerance in 0.0..0.5_f64,
    ) {
        let folder = folder();
        let terms = Arc::new(Terms { max_replicas, tolerance, ..terms() });
        let (history, ledger) = open(folder.path(), NOW);
        for (turn, (desired, value, is_known, confidence)) in looks.into_iter().enumerate() {
            let at = NOW + 1000 * i64::try_from(turn).unwrap();
            // Whoever measures hands in finite numbers only.
            let mut input = input(at, desired, if value.is_finite() { value } else { 0.0 });
            if !is_known {
                input.readings[0].value = None;
                input.readings[0].missing_ms = 90_000;
                let model = "seasonal".to_owned();
                input.outlook = Some(Outlook { replicas: 4, confidence, peak_unix_ms: at, model, is_demoted: false });
            }
            ledger.write(draft(at, &terms, input));
        }
        let before = ledger.entries(&id("coders"), 99, None).unwrap();
        drop((history, ledger));
        let (_history, ledger) = open(folder.path(), NOW);
        let after = ledger.entries(&id("coders"), 99, None).unwrap();
        prop_assert_eq!(&after, &before);
        for entry in after {
            prop_assert!(replay(&entry).is_ok(), "{:?}", replay(&entry));
        }
    }
}
