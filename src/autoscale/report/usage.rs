//! How many replicas there were, for how long, and how many of them were wanted. Pure.

use serde::Serialize;

use super::evidence::{Evidence, Span};

/// Replicas over time. Times without data count nowhere but in what is missing from `measured_hours`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Hours that are known of.
    pub measured_hours: f64,
    /// Replicas that served, times hours.
    pub replica_hours: f64,
    /// The part of them above what all policies wanted.
    pub over_provisioned_hours: f64,
    /// Minutes in which more than `max_replicas` was wanted.
    pub at_max_minutes: f64,
    /// Minutes in which fewer than `min_replicas` would have done.
    pub at_min_minutes: f64,
}

impl Usage {
    /// Measures one pool.
    pub(super) fn of(evidence: &Evidence<'_>, span: Span) -> Self {
        let mut usage = Self::default();
        let minutes = f64::from(evidence.ready.step);
        for (minute, ready) in evidence.ready.points() {
            let at = minute.saturating_mul(60_000);
            let Some(ready) = ready.map(f64::from).filter(|_| span.contains(at)) else { continue };
            usage.measured_hours += minutes / 60.0;
            usage.replica_hours += ready * minutes / 60.0;
            let decided = evidence.before(at);
            let wanted = evidence.wanted.at(minute).map(f64::from).or(decided.map(|entry| f64::from(entry.decision.wanted)));
            let Some(wanted) = wanted else { continue };
            usage.over_provisioned_hours += (ready - wanted).max(0.0) * minutes / 60.0;
            let Some(terms) = decided.map(|entry| &entry.terms) else { continue };
            if wanted > f64::from(terms.max_replicas) {
                usage.at_max_minutes += minutes;
            }
            if wanted < f64::from(terms.min_replicas) {
                usage.at_min_minutes += minutes;
            }
        }
        usage
    }

    /// Adds that of another pool; the hours that are known of are those of the pool of which most is known.
    pub(super) fn add(&mut self, other: &Self) {
        self.measured_hours = self.measured_hours.max(other.measured_hours);
        self.replica_hours += other.replica_hours;
        self.over_provisioned_hours += other.over_provisioned_hours;
        self.at_max_minutes += other.at_max_minutes;
        self.at_min_minutes += other.at_min_minutes;
    }
}
