use proptest::prelude::{any, prop, prop_assert, proptest};

use super::*;
use crate::autoscale::forecast::STEP;

const STEP_MS: i64 = 300_000;

fn series(values: &[f64]) -> Series {
    Series { step: STEP, start_unix_ms: 0, values: values.iter().copied().map(Some).collect() }
}

/// Says `said` and supposes `last` for each of these steps, and judges after each, when as much has come as `series` has.
fn follow(record: &mut Record, series: &Series, steps: std::ops::Range<i64>, said: f64, last: f64) -> Vec<bool> {
    let judged = |step: i64| {
        record.note(Made { unix_ms: step * STEP_MS, said, last, came: None });
        record.judge(series, 10.0, (step + 1) * STEP_MS);
        record.is_demoted()
    };
    steps.map(judged).collect()
}

#[test]
fn errors_are_in_whole_replicas() {
    let mut record = Record::default();
    // 10 for a replica: 41 came, which is 5; 55 was said, 6; 38 was there, 4.
    let series = series(&[41.0; 100]);
    follow(&mut record, &series, 0..30, 55.0, 38.0);
    let lately = record.judge(&series, 10.0, 30 * STEP_MS).unwrap();
    assert_eq!(lately, Lately { error: 1.0, error_without: 1.0, outcomes: 30 });
    assert!(!record.is_demoted(), "as good as none is not worse");
    assert_eq!(record.judge(&series, 1.0, 30 * STEP_MS).unwrap(), Lately { error: 14.0, error_without: 3.0, outcomes: 30 });
}

#[test]
fn a_few_outcomes_judge_nobody() {
    let mut record = Record::default();
    let demoted = follow(&mut record, &series(&[41.0; 100]), 0..40, 99.0, 41.0);
    assert_eq!(demoted.iter().position(|is| *is), Some(23));
}

#[test]
fn what_was_worse_than_none_is_demoted_until_a_day_has_been_better() {
    let mut record = Record::default();
    let series = series(&[41.0; 2000]);
    assert!(follow(&mut record, &series, 0..50, 99.0, 41.0)[49]);
    // Demoted at step 23. Good ones since, but the day is not over until step 23 + 288.
    let demoted = follow(&mut record, &series, 50..600, 41.0, 30.0);
    assert_eq!(demoted.iter().position(|is| !is), Some(23 + 288 - 50));
    assert!(demoted[400..].iter().all(|is| !is));
}

#[test]
fn a_day_that_was_no_better_keeps_it_demoted() {
    let mut record = Record::default();
    let series = series(&[41.0; 2000]);
    follow(&mut record, &series, 0..50, 99.0, 41.0);
    assert!(follow(&mut record, &series, 50..1000, 41.0, 41.0).iter().all(|is| *is));
}

#[test]
fn what_was_not_seen_counts_as_nothing() {
    let mut record = Record::default();
    let mut gone = series(&[41.0; 100]);
    gone.values[10..90].fill(None);
    follow(&mut record, &gone, 0..33, 99.0, 41.0);
    assert_eq!(record.judge(&gone, 10.0, 33 * STEP_MS), None);
    assert_eq!(record.iter().filter(|made| made.came.is_some()).count(), 10);
}

#[test]
fn what_is_older_than_a_day_or_from_a_clock_that_was_ahead_is_forgotten() {
    let mut record = Record::default();
    let series = series(&[41.0; 10]);
    for unix_ms in [0, 1, DAY_MS, 2 * DAY_MS, 2 * DAY_MS + 1] {
        record.note(Made { unix_ms, said: 1.0, last: 1.0, came: None });
    }
    record.judge(&series, 10.0, DAY_MS + 1);
    assert_eq!(record.iter().map(|made| made.unix_ms).collect::<Vec<_>>(), [1, DAY_MS, 2 * DAY_MS, 2 * DAY_MS + 1]);
    record.judge(&series, 10.0, 0);
    assert_eq!(record.iter().map(|made| made.unix_ms).collect::<Vec<_>>(), [1, DAY_MS]);
}

#[test]
fn a_second_forecast_for_a_step_replaces_the_first() {
    let mut record = Record::default();
    for said in [1.0, 2.0] {
        record.note(Made { unix_ms: 7, said, last: 1.0, came: None });
    }
    assert_eq!(record.iter().map(|made| made.said).collect::<Vec<_>>(), [2.0]);
}

proptest! {
    #[test]
    fn it_is_bounded_and_judges_anything(times in prop::collection::vec((any::<i64>(), any::<f64>(), any::<i64>()), 0..60), target in any::<f64>()) {
        let mut record = Record::default();
        let series = series(&[41.0; 100]);
        for (unix_ms, said, now) in times {
            record.note(Made { unix_ms, said, last: 1.0, came: Some(1.0) });
            record.judge(&series, target, now);
            prop_assert!(record.iter().all(|made| made.unix_ms.abs_diff(now) <= DAY_MS.unsigned_abs()));
        }
    }
}
