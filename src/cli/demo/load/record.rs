//! What was seen in the last minute, and the figures of the view that follow from it. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use super::schedule::Phase;
use super::seen::{Change, Counters, Replicas, Seen};

/// Seconds of the queue that are shown.
pub(super) const SECONDS: usize = 60;

/// Over which time rates and latencies are taken.
const WINDOW: Duration = Duration::from_secs(3);

/// Decisions that are shown.
const CHANGES: usize = 6;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Record {
    last: Option<(Duration, Seen)>,
    /// Counters of the window, and those before it that it begins with.
    counters: VecDeque<(Duration, Counters)>,
    /// The most that waited in each second, with its number; the latest last.
    depths: VecDeque<(u64, u64)>,
    most_replicas: u32,
}

/// What is shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    /// From the beginning.
    pub(super) at: Duration,
    pub(super) phase: Phase,
    pub(super) replicas: Replicas,
    pub(super) max_replicas: u32,
    pub(super) in_flight: u64,
    pub(super) waiting: u64,
    /// The most that waited in each of the last seconds, the latest last.
    pub(super) depths: Vec<u64>,
    /// Requests a second.
    pub(super) rate: f64,
    pub(super) failures: u64,
    /// Seconds to the first byte.
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
    /// Decisions that changed something, the latest first, with their age.
    pub(super) changes: Vec<(Duration, Change)>,
}

impl Record {
    /// Takes in what was seen at a time from the beginning.
    pub(super) fn push(&mut self, at: Duration, seen: Seen) {
        self.most_replicas = self.most_replicas.max(seen.scaling.replicas.desired);
        let (second, waiting) = (at.as_secs(), seen.pool.queue.waiting);
        match self.depths.back_mut().filter(|(last, _)| *last == second) {
            Some((_, most)) => *most = waiting.max(*most),
            None => self.depths.push_back((second, waiting)),
        }
        while self.depths.len() > SECONDS {
            self.depths.pop_front();
        }
        self.counters.push_back((at, seen.counters.clone()));
        // The second one is old enough to begin the window: the first is needed no more.
        while self.counters.get(1).is_some_and(|(since, _)| at.saturating_sub(*since) >= WINDOW) {
            self.counters.pop_front();
        }
        self.last = Some((at, seen));
    }

    /// Returns the most replicas there were.
    pub(super) const fn most_replicas(&self) -> u32 {
        self.most_replicas
    }

    /// Returns what there is to show; `None` before the first look.
    pub(super) fn picture(&self) -> Option<Picture> {
        let ((at, seen), (since, earlier)) = (self.last.as_ref()?, self.counters.front()?);
        let seconds = at.saturating_sub(*since).as_secs_f64();
        let requests = seen.counters.requests.saturating_sub(earlier.requests);
        let window = grown(&earlier.first_byte, &seen.counters.first_byte);
        let age = |change: &Change| Duration::from_millis(u64::try_from(seen.unix_ms - change.at_unix_ms).unwrap_or(0));
        Some(Picture {
            at: *at,
            phase: Phase::at(*at).0,
            replicas: seen.scaling.replicas,
            max_replicas: seen.scaling.max_replicas,
            in_flight: seen.pool.in_flight,
            waiting: seen.pool.queue.waiting,
            depths: self.depths.iter().map(|(_, most)| *most).collect(),
            rate: if seconds > 0.0 { requests as f64 / seconds } else { 0.0 },
            failures: seen.counters.failures,
            p50: quantile(&window, 0.5),
            p95: quantile(&window, 0.95),
            changes: seen.changes.iter().take(CHANGES).map(|change| (age(change), change.clone())).collect(),
        })
    }
}

/// Returns by how much each bucket has grown; a histogram that was not there yet was empty.
fn grown(earlier: &[(f64, u64)], later: &[(f64, u64)]) -> Vec<(f64, u64)> {
    let before = |index: usize| earlier.get(index).map_or(0, |(_, count)| *count);
    later.iter().enumerate().map(|(index, (bound, count))| (*bound, count.saturating_sub(before(index)))).collect()
}

/// Estimates a quantile of a histogram with cumulative buckets: linear within its bucket, and the last finite bound beyond that (as
/// `histogram_quantile` of Prometheus does it).
fn quantile(buckets: &[(f64, u64)], quantile: f64) -> Option<f64> {
    let total = buckets.last().map(|(_, count)| *count).filter(|total| *total > 0)?;
    let rank = quantile * total as f64;
    let mut lower = (0.0, 0);
    for &(bound, count) in buckets {
        if count as f64 >= rank && bound.is_finite() {
            let within = count.saturating_sub(lower.1).max(1) as f64;
            return Some(lower.0 + (bound - lower.0) * ((rank - lower.1 as f64) / within).clamp(0.0, 1.0));
        }
        if bound.is_finite() {
            lower = (bound, count);
        }
    }
    Some(lower.0)
}

#[cfg(test)]
mod tests;
