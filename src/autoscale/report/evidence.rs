//! What a report is made of. Pure.

use std::sync::Arc;
use std::time::Duration;

use crate::autoscale::ledger::Entry;
use crate::model::{Cost, Id, Terms};
use crate::telemetry::history::Series;

/// The longest time that a report is about, in milliseconds: that of the coarse rows of history, five weeks.
const LONGEST_MS: i64 = 35 * 24 * 3600 * 1000;

/// What is known of one pool.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// The pool.
    pub pool: Id,
    /// Its decisions, the oldest first; the last one before the time of the report says what held when it began.
    pub entries: &'a [Arc<Entry>],
    /// Its replicas that served ([`Ready`](crate::telemetry::history::Column::Ready)).
    pub ready: &'a Series,
    /// The replicas that were wanted before limits ([`Wanted`](crate::telemetry::history::Column::Wanted)); where it is silent, the decisions count.
    pub wanted: &'a Series,
    /// What a replica costs.
    pub cost: Option<&'a Cost>,
}

/// The time that a report is about, in milliseconds since 1970, the end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub from: i64,
    pub until: i64,
}

impl Span {
    pub(super) fn new(window: Duration, until: i64) -> Self {
        let length = i64::try_from(window.as_millis()).unwrap_or(LONGEST_MS).min(LONGEST_MS);
        Self { from: until.saturating_sub(length), until }
    }

    pub(super) fn contains(self, unix_ms: i64) -> bool {
        (self.from..self.until).contains(&unix_ms)
    }
}

impl Evidence<'_> {
    /// Returns the decisions in this time.
    pub(super) fn inside(&self, span: Span) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|entry| &**entry).filter(move |entry| span.contains(entry.at_unix_ms))
    }

    /// Returns the last decision until then.
    pub(super) fn before(&self, unix_ms: i64) -> Option<&Entry> {
        let unix_ms = u64::try_from(unix_ms).unwrap_or(0);
        // Numbers are times, but unlike times they never go back.
        let count = self.entries.partition_point(|entry| entry.id <= unix_ms);
        self.entries.get(count.checked_sub(1)?).map(|entry| &**entry)
    }

    /// Returns the terms that hold now.
    pub(super) fn terms(&self) -> Option<&Terms> {
        self.entries.last().map(|entry| &*entry.terms)
    }
}
