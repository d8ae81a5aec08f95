//! What the seeds are meant to reach, and how often they did.

use tidegate::model::{Outcome, Reason};

use super::link::Course;
use super::replica::Fault;

/// What the seeds are meant to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// An event.
    Events,
    /// A request.
    Requests,
    /// A client left.
    Left,
    /// One came to wait for a slot of the pool.
    Queued,
    /// One got the slot that it waited for.
    Granted,
    /// One found the pool's queue full.
    Refused,
    /// One found every slot taken, and the pool without a queue.
    TurnedAway,
    /// One had to leave the pool's queue for a more important one.
    Displaced,
    /// One left when it was called to a slot, and did not know.
    Withdrawn,
    /// One waited for a slot too long.
    Late,
    /// One got the slot of the bulkhead that it waited for.
    Entered,
    /// One found the bulkhead's queue full.
    HullRefused,
    /// One had to leave the bulkhead's queue for a more important one.
    HullDisplaced,
    /// One left when it was called to a slot of the bulkhead, and did not know.
    HullWithdrawn,
    /// A grant was of an endpoint that the worker did not know.
    Strangers,
    /// A retry.
    Retries,
    /// A hedge.
    Hedges,
    /// A probe of a half-open breaker.
    Probes,
    /// Such a probe for which the slot and the pass came from the queue.
    QueueProbes,
    /// A breaker opened.
    Openings,
    /// An operator closed a breaker.
    Closings,
    /// An endpoint was ejected for its failures in a row.
    EjectionsByFailures,
    /// One was for its success rate.
    EjectionsByRate,
    /// One was for its latency.
    EjectionsByLatency,
    /// Health checks took an endpoint down.
    Downs,
    /// A reload.
    Reloads,
    /// A leap of the clock.
    Leaps,
    /// A request that came after a leap.
    RequestsAfterLeap,
    /// An attempt began at a replica that stands still.
    AtStalled,
    /// One began on a connection whose other side is gone.
    AtHalfOpen,
    /// One began at a replica that fails fast.
    AtFast,
    /// One began at a replica whose bodies break off.
    AtTruncating,
    /// One began at a replica that fails and serves by turns.
    AtFlapping,
    /// One began at a slow replica.
    AtSlow,
    /// An attempt was broken off while it ran.
    Cut,
    /// One stood still while it ran.
    Held,
    /// One lost the other side of its connection while it ran.
    Dead,
    /// One went on after it had stood still.
    Resumed,
    /// A body broke off.
    Truncated,
    /// A body stopped.
    IdleTimeouts,
    /// No answer came in time.
    FirstByteTimeouts,
    /// An attempt took too long.
    AttemptTimeouts,
    /// A request took too long.
    TotalTimeouts,
    /// The queue was looked at while somebody waited.
    Waiting,
    /// It was while the guard owed nothing.
    Watched,
}

/// How often each was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts([u64; Seen::ALL.len()]);

impl Seen {
    pub(super) const ALL: [Self; 45] = [
        Self::Events,
        Self::Requests,
        Self::Left,
        Self::Queued,
        Self::Granted,
        Self::Refused,
        Self::TurnedAway,
        Self::Displaced,
        Self::Withdrawn,
        Self::Late,
        Self::Entered,
        Self::HullRefused,
        Self::HullDisplaced,
        Self::HullWithdrawn,
        Self::Strangers,
        Self::Retries,
        Self::Hedges,
        Self::Probes,
        Self::QueueProbes,
        Self::Openings,
        Self::Closings,
        Self::EjectionsByFailures,
        Self::EjectionsByRate,
        Self::EjectionsByLatency,
        Self::Downs,
        Self::Reloads,
        Self::Leaps,
        Self::RequestsAfterLeap,
        Self::AtStalled,
        Self::AtHalfOpen,
        Self::AtFast,
        Self::AtTruncating,
        Self::AtFlapping,
        Self::AtSlow,
        Self::Cut,
        Self::Held,
        Self::Dead,
        Self::Resumed,
        Self::Truncated,
        Self::IdleTimeouts,
        Self::FirstByteTimeouts,
        Self::AttemptTimeouts,
        Self::TotalTimeouts,
        Self::Waiting,
        Self::Watched,
    ];

    /// Returns what it is that an attempt begins at a replica with `fault`.
    pub(super) const fn of_fault(fault: Fault) -> Option<Self> {
        match fault {
            Fault::None => None,
            Fault::Stall => Some(Self::AtStalled),
            Fault::HalfOpen => Some(Self::AtHalfOpen),
            Fault::Fast => Some(Self::AtFast),
            Fault::Truncate => Some(Self::AtTruncating),
            Fault::Flap => Some(Self::AtFlapping),
            Fault::Slow => Some(Self::AtSlow),
        }
    }

    /// Returns what it is that an attempt comes to `course` while it runs.
    pub(super) const fn of_course(course: Course) -> Option<Self> {
        match course {
            Course::Flows => None,
            Course::Held(_) => Some(Self::Held),
            Course::Dead(_) => Some(Self::Dead),
            Course::Cut => Some(Self::Cut),
        }
    }

    /// Returns what it is that an attempt ends so.
    pub(super) const fn of_end(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Truncated(Reason::EndpointTruncated) => Some(Self::Truncated),
            Outcome::Truncated(Reason::IdleTimeout) => Some(Self::IdleTimeouts),
            Outcome::Failed(Reason::FirstByteTimeout) => Some(Self::FirstByteTimeouts),
            Outcome::Failed(Reason::AttemptTimeout) | Outcome::Truncated(Reason::AttemptTimeout) => Some(Self::AttemptTimeouts),
            Outcome::Failed(Reason::TotalTimeout) | Outcome::Truncated(Reason::TotalTimeout) => Some(Self::TotalTimeouts),
            _ => None,
        }
    }

    /// Returns what it is that an endpoint is ejected for `reason`, in the words of the admin API.
    pub(super) fn of_ejection(reason: &str) -> Self {
        match reason {
            _ if reason.contains("consecutive failures") => Self::EjectionsByFailures,
            _ if reason.starts_with("success rate") => Self::EjectionsByRate,
            _ if reason.starts_with("median latency") => Self::EjectionsByLatency,
            _ => unreachable!("an ejection for: {reason}"),
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self([0; Seen::ALL.len()])
    }
}

impl Counts {
    pub(super) fn note(&mut self, seen: Seen) {
        self.add(seen, 1);
    }

    pub(super) fn add(&mut self, seen: Seen, count: u64) {
        self.0[seen as usize] += count;
    }

    pub(super) fn of(&self, seen: Seen) -> u64 {
        self.0[seen as usize]
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        Seen::ALL.into_iter().for_each(|seen| self.add(seen, other.of(seen)));
    }
}
