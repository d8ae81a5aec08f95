use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;

/// 2026-01-01, a multiple of five minutes.
const NOW: i64 = 29_452_320;

fn ready(count: f64) -> Row {
    Row::default().with(Column::Ready, count)
}

fn values(memory: &Memory, minutes: Range<i64>, step: u32) -> Vec<Option<f32>> {
    memory.series(Column::Ready, &minutes, step).values
}

#[test]
fn minutes_without_a_row_are_gaps() {
    let mut memory = Memory::default();
    memory.record(NOW, &ready(1.0));
    memory.record(NOW + 2, &ready(3.0));
    memory.record(NOW + 3, &Row::default());
    assert_eq!(values(&memory, NOW - 1..NOW + 4, 1), [None, Some(1.0), None, Some(3.0), None]);
}

#[test]
fn a_late_row_finds_its_place_and_its_five_minutes() {
    let mut memory = Memory::default();
    memory.record(NOW + 1, &ready(1.0));
    memory.record(NOW + 7, &ready(9.0));
    let change = memory.record(NOW, &ready(3.0));
    assert_eq!(change.five, (NOW, ready(2.0)));
    assert_eq!(values(&memory, NOW..NOW + 10, 5), [Some(2.0), Some(9.0)]);
}

#[test]
fn a_minute_that_comes_again_replaces_what_it_knows() {
    let mut memory = Memory::default();
    memory.record(NOW, &ready(1.0).with(Column::Arrived, 7.0));
    let again = ready(2.0);
    memory.record(NOW, &again);
    let change = memory.record(NOW, &again);
    assert_eq!(change.minute.1, ready(2.0).with(Column::Arrived, 7.0));
    assert_eq!(change.five.1, change.minute.1);
}

#[test]
fn columns_are_made_coarse_each_by_its_own_law() {
    let mut memory = Memory::default();
    for minute in 0..5_u32 {
        let value = f64::from(minute);
        let row = Column::ALL.into_iter().fold(Row::default(), |row, column| row.with(column, value));
        memory.record(NOW + i64::from(minute), &row);
    }
    let (_, five) = memory.record(NOW + 4, &Row::default()).five;
    for column in Column::ALL {
        let expected = match column.law() {
            crate::telemetry::history::Law::Mean => 2.0,
            crate::telemetry::history::Law::Max => 4.0,
            crate::telemetry::history::Law::Sum => 10.0,
        };
        assert_eq!(five.get(column), Some(expected), "{column:?}");
    }
}

#[test]
fn rows_of_a_clock_that_was_wrong_leave_first() {
    for wrong in [NOW + 5_000_000, NOW - 5_000_000] {
        let mut memory = Memory::new(10, 10);
        (0..10).for_each(|minute| _ = memory.record(NOW + minute, &ready(1.0)));
        (0..4).for_each(|minute| _ = memory.record(wrong + minute, &ready(9.0)));
        (10..14).for_each(|minute| _ = memory.record(NOW + minute, &ready(1.0)));
        let there = memory.minutes.rows.keys().filter(|minute| minute.abs_diff(wrong) < 10).count();
        assert_eq!(there, 0, "{wrong}");
        assert_eq!(values(&memory, NOW + 10..NOW + 14, 1), [Some(1.0); 4]);
    }
}

#[test]
fn a_coarse_row_outlives_its_minutes() {
    let mut memory = Memory::new(7, 100);
    (0..20).for_each(|minute| _ = memory.record(NOW + minute, &ready(f64::from(i32::try_from(minute).unwrap()))));
    assert_eq!(values(&memory, NOW..NOW + 20, 5), [2.0, 7.0, 12.0, 17.0].map(Some));
    // Minute 11 is gone; a row that comes for it now must not stand for all five.
    memory.record(NOW + 11, &ready(99.0));
    assert_eq!(values(&memory, NOW + 10..NOW + 15, 5), [Some(12.0)]);
}

#[test]
fn a_series_begins_at_a_multiple_of_its_step() {
    let mut memory = Memory::default();
    (0..30).for_each(|minute| _ = memory.record(NOW + minute, &ready(2.0)));
    let series = memory.series(Column::Ready, &(NOW + 13..NOW + 21), 10);
    assert_eq!((series.from, series.values), (NOW + 10, vec![Some(2.0); 2]));
}

#[test]
fn a_series_is_never_longer_than_five_weeks_of_minutes() {
    let memory = Memory::default();
    assert_eq!(memory.series(Column::Ready, &(i64::MIN..i64::MAX), 0).values.len(), 35 * 1440);
    let backwards = Range { start: NOW, end: NOW - 9 };
    assert_eq!(memory.series(Column::Ready, &backwards, 1).values, []);
    assert!(memory.series(Column::Ready, &(i64::MIN..i64::MAX), u32::MAX).values.len() <= 35 * 1440 + 1);
}

#[test]
fn the_rows_of_eight_days_and_five_weeks_are_kept() {
    let mut memory = Memory::default();
    let days = 40_i64;
    (0..days * 1440).for_each(|minute| _ = memory.record(NOW + minute, &ready(1.0)));
    assert_eq!((memory.minutes.rows.len(), memory.fives.rows.len()), (MINUTES, FIVES));
    assert_eq!(memory.minutes.first(), Some(NOW + 32 * 1440));
    assert_eq!(memory.fives.first(), Some(NOW + 5 * 1440));
}

proptest! {
    #[test]
    fn no_minute_breaks_anything_and_the_newest_is_always_there(minutes in prop::collection::vec(any::<i64>(), 1..60)) {
        let mut memory = Memory::new(8, 4);
        for minute in minutes {
            let change = memory.record(minute, &ready(1.0));
            let (at, _) = change.minute;
            prop_assert_eq!(values(&memory, at..at + 1, 1), [Some(1.0)]);
            prop_assert!(memory.minutes.rows.len() <= 8 && memory.fives.rows.len() <= 4);
        }
    }

    #[test]
    fn the_order_of_rows_does_not_matter(mut rows in prop::collection::vec((0..40_i64, 0..100_u32), 1..60)) {
        rows.sort_unstable();
        rows.dedup_by_key(|(minute, _)| *minute);
        let (mut one, mut other) = (Memory::default(), Memory::default());
        rows.iter().for_each(|&(minute, count)| _ = one.record(NOW + minute, &ready(f64::from(count))));
        rows.iter().rev().for_each(|&(minute, count)| _ = other.record(NOW + minute, &ready(f64::from(count))));
        for step in [1, 3, 5, 10] {
            prop_assert_eq!(values(&one, NOW..NOW + 40, step), values(&other, NOW..NOW + 40, step));
        }
        // What arrived is neither lost nor counted twice, however it is grouped.
        let mut sums = Memory::default();
        let total: u32 = rows.iter().map(|(_, count)| count).sum();
        for (minute, count) in rows {
            sums.record(NOW + minute, &Row::default().with(Column::Arrived, f64::from(count)));
        }
        for step in [1, 4, 5, 20] {
            let sum: f32 = sums.series(Column::Arrived, &(NOW..NOW + 40), step).values.into_iter().flatten().sum();
            prop_assert_eq!(f64::from(sum), f64::from(total));
        }
    }
}
