//! How long replicas take to start, as measured. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kit::clock::Tick;
use crate::model::Id;
use crate::platform::{Phase, Replica};

/// How much the newest start counts.
const NEWEST: f64 = 0.3;

/// Follows replicas from when they are first seen to when they serve.
#[derive(Clone, Debug, Default)]
pub(super) struct Starts {
    /// `None` for those that serve, or did.
    since: BTreeMap<Id, Option<Tick>>,
    typical: Option<f64>,
    looked: Option<Tick>,
}

impl Starts {
    /// Looks at the replicas that there are.
    pub(super) fn follow(&mut self, replicas: &[Replica], now: Tick) {
        self.since.retain(|name, _| replicas.iter().any(|replica| replica.name == *name));
        for replica in replicas {
            let is_new = !self.since.contains_key(&replica.name);
            let since = self.since.entry(replica.name.clone()).or_insert(Some(now));
            if replica.phase != Phase::Ready {
                continue;
            }
            let Some(since) = since.take() else { continue };
            // One that serves when it is first seen took no longer than it is old, if it has come since the last look; else nobody saw it start.
            let is_young = self.looked.is_some_and(|looked| replica.age <= now.since(looked));
            let took = if is_new { Some(replica.age).filter(|_| is_young) } else { Some(now.since(since)) };
            if let Some(took) = took.map(|took| took.as_secs_f64()) {
                self.typical = Some(self.typical.map_or(took, |typical| typical + NEWEST * (took - typical)));
            }
        }
        self.looked = Some(now);
    }

    /// Returns the weighted mean of the last starts; `None` before the first.
    pub(super) fn typical(&self) -> Option<Duration> {
        self.typical.map(Duration::from_secs_f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Usage;

    fn look(starts: &mut Starts, replicas: &[(&str, Phase)], secs: u64) {
        let replica = |(name, phase): &(&str, Phase)| Replica {
            name: name.parse().unwrap(),
            address: None,
            phase: *phase,
            age: Duration::from_millis(700),
            usage: Usage::default(),
        };
        let replicas: Vec<_> = replicas.iter().map(replica).collect();
        starts.follow(&replicas, Tick::from_nanos(secs * 1_000_000_000));
    }

    #[test]
    fn a_start_is_measured_from_the_first_sight_to_the_first_service() {
        let mut starts = Starts::default();
        look(&mut starts, &[("a", Phase::Ready)], 0);
        assert_eq!(starts.typical(), None, "nobody saw it start");
        look(&mut starts, &[("a", Phase::Ready), ("b", Phase::Starting)], 1);
        look(&mut starts, &[("a", Phase::Ready), ("b", Phase::Ready)], 11);
        assert_eq!(starts.typical(), Some(Duration::from_secs(10)));
        look(&mut starts, &[("a", Phase::Failed), ("b", Phase::Ready)], 12);
        look(&mut starts, &[("a", Phase::Ready), ("b", Phase::Ready)], 99);
        assert_eq!(starts.typical(), Some(Duration::from_secs(10)), "coming back is no start");
    }

    #[test]
    fn a_start_between_two_looks_took_no_longer_than_the_replica_is_old() {
        let mut starts = Starts::default();
        look(&mut starts, &[], 0);
        look(&mut starts, &[("a", Phase::Ready)], 1);
        assert_eq!(starts.typical(), Some(Duration::from_millis(700)));
    }

    #[test]
    fn the_newest_start_counts_for_a_third() {
        let mut starts = Starts::default();
        look(&mut starts, &[("a", Phase::Starting), ("b", Phase::Starting)], 0);
        look(&mut starts, &[("a", Phase::Ready), ("b", Phase::Starting)], 10);
        look(&mut starts, &[("a", Phase::Ready), ("b", Phase::Ready)], 20);
        assert_eq!(starts.typical(), Some(Duration::from_secs(13)));
    }
}
