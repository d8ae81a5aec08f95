//! The rows of one pool: one for each minute of about eight days, one for each five minutes of five weeks. Pure.
//!
//! Rows are kept by their minute, not by their turn, so that late ones find their place and a clock that jumps breaks nothing. What is too much is
//! what is farthest from the present, on either side: rows from a time that never was go first once the clock is right again. A minute that comes
//! again replaces what it knows anew, so that writing the same row twice is writing it once.

use std::collections::BTreeMap;
use std::ops::Range;

use super::column::{Column, Row};
use super::series::Series;

/// Minutes of eight days.
pub(super) const MINUTES: usize = 8 * 1440;

/// Five-minute rows of five weeks: a weekly season needs two.
pub(super) const FIVES: usize = 35 * 288;

/// Minutes of a coarse row.
pub(super) const COARSE: i64 = 5;

/// Minutes beyond this are clamped: two million years each way, and no sum overflows. A series ends before it.
const FARTHEST: i64 = 1 << 40;

/// Values in a series at most: all minutes of five weeks.
const LONGEST: i64 = 35 * 1440;

/// The rows of one pool.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    minutes: Ring,
    fives: Ring,
}

/// What a new row has made of the rows of its pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Change {
    /// The minute, and its row now.
    pub minute: (i64, Row),
    /// The first minute of its five, and their row now.
    pub five: (i64, Row),
}

/// Rows by their first minute, at most `capacity`.
#[derive(Clone, Debug)]
struct Ring {
    capacity: usize,
    rows: BTreeMap<i64, Row>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(MINUTES, FIVES)
    }
}

impl Memory {
    /// Room for so many rows of each kind.
    pub(super) fn new(minutes: usize, fives: usize) -> Self {
        Self { minutes: Ring::new(minutes), fives: Ring::new(fives) }
    }

    /// Takes the row of the minute that has just been.
    pub(super) fn record(&mut self, minute: i64, row: &Row) -> Change {
        let minute = minute.clamp(-FARTHEST, FARTHEST - 1);
        let known = self.minutes.rows.get(&minute).copied().unwrap_or_default();
        let updated = known.updated(row);
        let start = minute.div_euclid(COARSE) * COARSE;
        // Where some of the five minutes are gone already, the coarse row knows more than those that are left.
        let is_cut = self.minutes.is_full() && self.minutes.first().is_some_and(|first| start < first);
        self.minutes.insert(minute, updated);
        let five = match self.fives.rows.get(&start) {
            Some(five) if is_cut => *five,
            _ => Row::of(self.minutes.rows.range(start..start + COARSE).map(|(_, row)| row)),
        };
        self.fives.insert(start, five);
        Change { minute: (minute, updated), five: (start, five) }
    }

    /// Takes the row of a minute back that was kept elsewhere.
    pub(super) fn restore_minute(&mut self, minute: i64, row: Row) {
        self.minutes.rows.insert(minute.clamp(-FARTHEST, FARTHEST - 1), row);
    }

    /// Takes a coarse row back that was kept elsewhere.
    pub(super) fn restore_five(&mut self, start: i64, row: Row) {
        self.fives.rows.insert(start.clamp(-FARTHEST, FARTHEST - 1), row);
    }

    /// Returns a column over these minutes (the end excluded), in steps of so many minutes that begin at their multiples.
    ///
    /// Steps of a multiple of five minutes come from the coarse rows, others from the fine ones. When more than five weeks of minutes would be
    /// returned, the last are.
    pub(super) fn series(&self, column: Column, minutes: &Range<i64>, step: u32) -> Series {
        let step = step.max(1);
        let wide = i64::from(step);
        let end = minutes.end.clamp(-FARTHEST, FARTHEST);
        let from = minutes.start.clamp(-FARTHEST, FARTHEST).max(end - wide * LONGEST).div_euclid(wide) * wide;
        let ring = if wide % COARSE == 0 { &self.fives } else { &self.minutes };
        let mut values = Vec::new();
        let mut rows = ring.rows.range(from..end.max(from)).peekable();
        let mut start = from;
        while start < end {
            let inside = std::iter::from_fn(|| rows.next_if(|(minute, _)| **minute < start + wide));
            values.push(column.law().of(inside.filter_map(|(_, row)| row.get(column))));
            start += wide;
        }
        Series { column, from, step, values }
    }
}

impl Ring {
    fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), rows: BTreeMap::new() }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.capacity
    }

    fn first(&self) -> Option<i64> {
        self.rows.first_key_value().map(|(minute, _)| *minute)
    }

    /// Puts a row of the present; the farthest from it go.
    fn insert(&mut self, present: i64, row: Row) {
        self.rows.insert(present, row);
        while self.rows.len() > self.capacity {
            let last = self.rows.last_key_value().map(|(minute, _)| *minute);
            let (Some(first), Some(last)) = (self.first(), last) else { return };
            self.rows.remove(if present.abs_diff(first) >= present.abs_diff(last) { &first } else { &last });
        }
    }
}

#[cfg(test)]
mod tests;
