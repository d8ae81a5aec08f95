//! What decides about the number of replicas in a simulation, and what it sees. Pure.

use super::fleet::Census;
use crate::telemetry::metrics::Snapshot;

/// Decides how many replicas there should be.
pub(super) trait Sizer {
    /// Returns how many there are when the trace begins; `None`: as many as its first minute needs.
    fn first(&self) -> Option<u32> {
        None
    }

    /// Decides, not counting those that are draining.
    fn decide(&mut self, look: &Look<'_>) -> u32;

    /// Returns when it decides next, later than `now_us`; `None`: never.
    fn next_us(&self, now_us: u64) -> Option<u64>;

    /// Returns how soon after a decision it decides out of turn because somebody has begun to wait; `None`: it does not.
    fn wakes_after_us(&self) -> Option<u64> {
        None
    }

    /// Tells what becomes of draining replicas when more are wanted.
    fn drained(&self) -> Drained {
        Drained::Leave
    }
}

/// What becomes of draining replicas when more are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// They are taken back.
    ComeBack,
    /// They leave as they would have, and others start.
    Leave,
}

/// What is seen of the pool.
#[derive(Debug)]
pub(super) struct Look<'a> {
    /// Microseconds since the trace began.
    pub(super) now_us: u64,
    /// How many replicas there are, and requests that run.
    pub(super) census: Census,
    /// Requests that wait.
    pub(super) queued: usize,
    /// How long the first of them has waited, in microseconds.
    pub(super) oldest_us: u64,
    /// Whether somebody was refused since the last look, or there is no room.
    pub(super) queue_full: bool,
    /// How long nothing has run or waited, in microseconds.
    pub(super) idle_us: u64,
    /// Slots taken over slots, of the replicas that serve or run empty.
    pub(super) busy: Option<f64>,
    /// What has been counted.
    pub(super) totals: &'a Totals,
}

/// What is counted from the beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// Requests that came.
    pub(super) arrived: u64,
    /// Requests that were served to their end.
    pub(super) served: u64,
    /// Requests that found no room in the queue.
    pub(super) refused: u64,
    /// Requests that waited for too long.
    pub(super) expired: u64,
    /// Requests whose replica went before their end.
    pub(super) cut: u64,
    /// Running requests times microseconds.
    pub(super) in_flight_us: u64,
    /// Waiting requests times microseconds.
    pub(super) queued_us: u64,
    /// How long requests ran.
    pub(super) response_time: Snapshot,
    /// How long those that had to wait waited.
    pub(super) queue_wait: Snapshot,
}

/// Always as many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed(pub(super) u32);

impl Sizer for Fixed {
    fn first(&self) -> Option<u32> {
        Some(self.0)
    }

    fn decide(&mut self, _look: &Look<'_>) -> u32 {
        self.0
    }

    fn next_us(&self, _now_us: u64) -> Option<u64> {
        None
    }
}

/// Returns how many replicas `amount` needs when each is for `each` of it.
pub(super) fn needed(amount: f64, each: f64) -> u32 {
    // A sum of floats may be a little too large; `as` clamps.
    (amount / each - 1e-9).ceil().max(0.0) as u32
}
