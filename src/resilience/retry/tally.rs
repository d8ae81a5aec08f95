//! What became of a route's retries, counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use super::judge::Skip;

/// Counts the retries of a route, and why there were no more; shared by workers.
#[derive(Debug, Default)]
pub struct Tally {
    retries: AtomicU64,
    recovered: AtomicU64,
    skipped: [AtomicU64; Skip::ALL.len()],
}

/// What a [`Tally`] has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retries {
    /// Attempts beyond the first of their request.
    pub retries_total: u64,
    /// Requests that were answered well by such an attempt.
    pub recovered_total: u64,
    /// Requests that were not tried again although their route wanted that, by reason.
    pub skipped_total: Vec<(Skip, u64)>,
}

impl Tally {
    /// An attempt is made again.
    pub fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// A request is over after so many `attempts`, with an answer that is no failure (`good`) or otherwise.
    pub fn note(&self, attempts: u32, good: bool, skipped: Option<Skip>) {
        if attempts > 1 && good && skipped.is_none() {
            self.recovered.fetch_add(1, Relaxed);
        }
        if let Some(counter) = skipped.and_then(|skip| self.skipped.get(skip as usize)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Returns what has been counted.
    pub fn report(&self) -> Retries {
        Retries {
            retries_total: self.retries.load(Relaxed),
            recovered_total: self.recovered.load(Relaxed),
            skipped_total: Skip::ALL.iter().zip(&self.skipped).map(|(&skip, counter)| (skip, counter.load(Relaxed))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_recovered_when_a_further_attempt_was_good() {
        let tally = Tally::default();
        for (attempts, good, skipped) in [(1, true, None), (2, false, None), (2, true, Some(Skip::AttemptsUsed)), (2, true, None)] {
            tally.note(attempts, good, skipped);
        }
        assert_eq!(tally.report().recovered_total, 1);
    }

    #[test]
    fn every_skip_has_its_own_count() {
        let tally = Tally::default();
        for (n, &skip) in Skip::ALL.iter().enumerate() {
            (0..=n).for_each(|_| tally.note(1, false, Some(skip)));
        }
        let counts: Vec<_> = tally.report().skipped_total.into_iter().collect();
        assert!(counts.iter().zip(1..).all(|(&(_, count), n)| count == n), "{counts:?}");
    }
}
