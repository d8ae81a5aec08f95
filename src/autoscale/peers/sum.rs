//! The figures of several gateways as those of one. Pure.
//!
//! What counts at a moment (running, waiting) is added up while it is fresh. Totals are added up by what has been added to them, so that a gateway that
//! leaves or starts anew takes nothing away.

use std::collections::{BTreeMap, BTreeSet};

use super::letter::{PoolReport, Report};
use crate::autoscale::signal::Observation;
use crate::kit::clock::Tick;
use crate::model::Id;

/// How old what a peer said may be.
pub(super) const FRESH_MS: u64 = 5_000;

/// A peer that was heard of in this time and is silent is missed: pools do not shrink without knowing what it does.
pub(super) const MISSED_MS: u64 = 60_000;

/// What the peers see of one pool.
#[derive(Clone, Debug, Default)]
pub struct Others {
    peers: BTreeMap<String, Peer>,
    /// What has been added to the totals of peers, ever.
    grown: Observation,
}

#[derive(Clone, Debug)]
struct Peer {
    report: PoolReport,
    heard: Tick,
}

/// The figures of all gateways.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    /// As if one gateway had seen it.
    pub seen: Observation,
    /// Requests that run on each endpoint, at the peers.
    pub in_flight: BTreeMap<Id, u64>,
    /// The replicas to which every peer that was heard of in the last minute gives no new requests; `None` without such a peer.
    pub draining: Option<BTreeSet<Id>>,
    /// Whether every gateway that was heard of in the last minute is in it.
    pub is_complete: bool,
}

impl Others {
    /// Takes what a peer says of this pool.
    pub fn hear(&mut self, peer: &str, report: PoolReport, now: Tick) {
        let is_near = |peer: &&Peer| now.since(peer.heard).as_millis() <= u128::from(FRESH_MS);
        let before = self.peers.get(peer).filter(is_near).map(|peer| &peer.report.seen);
        // The first word of a peer is where its totals begin; so is the first after a silence, or what came meanwhile would look like a surge.
        if let Some(before) = before {
            grow(&mut self.grown, before, &report.seen);
        }
        self.peers.insert(peer.to_owned(), Peer { report, heard: now });
    }

    /// Takes what a peer says of all pools; of those that it does not name, it sees nothing, and uses none of their replicas.
    pub fn hear_of(pool: &Id, report: &Report, draining: &BTreeSet<Id>) -> PoolReport {
        let unknown = || PoolReport { draining: draining.clone(), ..PoolReport::default() };
        report.pools.get(pool).cloned().unwrap_or_else(unknown)
    }

    /// Adds up what the peers see and what this gateway sees itself.
    pub fn add_to(&mut self, own: &Observation, now: Tick) -> Sum {
        let silent_ms = |peer: &Peer| now.since(peer.heard).as_millis();
        self.peers.retain(|_, peer| silent_ms(peer) <= u128::from(MISSED_MS));
        let is_fresh = |peer: &&Peer| silent_ms(peer) <= u128::from(FRESH_MS);
        let is_complete = self.peers.values().all(|peer| is_fresh(&peer));
        // One that has fallen silent may still give requests to whom it has not been told of.
        let draining = self.peers.values().map(|peer| peer.report.draining.clone()).reduce(|a, b| &a & &b);
        let mut seen = own.clone();
        let mut in_flight = BTreeMap::new();
        let (mut cpu, mut memory) = (Mean::of(own.cpu), Mean::of(own.memory));
        for peer in self.peers.values() {
            // What ran there when it was last heard of is not over because it is silent.
            for (id, running) in &peer.report.in_flight {
                *in_flight.entry(id.clone()).or_insert(0) += running;
            }
        }
        for Peer { report, .. } in self.peers.values().filter(is_fresh) {
            let other = &report.seen;
            seen.in_flight = seen.in_flight.saturating_add(other.in_flight);
            seen.queued = seen.queued.saturating_add(other.queued);
            seen.queue_capacity = seen.queue_capacity.saturating_add(other.queue_capacity);
            seen.oldest_wait = seen.oldest_wait.max(other.oldest_wait);
            cpu.add(other.cpu);
            memory.add(other.memory);
        }
        (seen.cpu, seen.memory) = (cpu.value(), memory.value());
        grow(&mut seen, &Observation::default(), &self.grown);
        Sum { seen, in_flight, draining, is_complete }
    }
}

/// Adds to the totals of `sum` what came from `before` to `after`; a total that fell has begun anew.
fn grow(sum: &mut Observation, before: &Observation, after: &Observation) {
    let added = |before: u64, after: u64| after.checked_sub(before).unwrap_or(after);
    let total = |sum: &mut u64, before, after| *sum = sum.saturating_add(added(before, after));
    total(&mut sum.arrived_total, before.arrived_total, after.arrived_total);
    total(&mut sum.completed_total, before.completed_total, after.completed_total);
    total(&mut sum.failed_total, before.failed_total, after.failed_total);
    total(&mut sum.refused_total, before.refused_total, after.refused_total);
    sum.first_byte.add(&after.first_byte.since(&before.first_byte));
    sum.response_time.add(&after.response_time.since(&before.response_time));
    sum.queue_wait.add(&after.queue_wait.since(&before.queue_wait));
}

/// The mean of those that say something.
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn of(first: Option<f64>) -> Self {
        let mut mean = Self { sum: 0.0, count: 0 };
        mean.add(first);
        mean
    }

    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::from_nanos(ms * 1_000_000)
    }

    fn says(in_flight: u64, arrived_total: u64) -> PoolReport {
        let seen = Observation { in_flight, arrived_total, queued: 1, ..Observation::default() };
        PoolReport { seen, in_flight: [("a".parse().unwrap(), in_flight)].into(), draining: BTreeSet::new() }
    }

    #[test]
    fn what_runs_and_waits_is_added_up() {
        let mut others = Others::default();
        others.hear("b", says(3, 0), at(0));
        others.hear("c", says(4, 0), at(0));
        let sum = others.add_to(&Observation { in_flight: 1, queued: 1, ..Observation::default() }, at(0));
        assert_eq!((sum.seen.in_flight, sum.seen.queued, sum.is_complete), (8, 3, true));
        assert_eq!(sum.in_flight["a"], 7);
    }

    #[test]
    fn a_silent_peer_is_missed_for_a_minute() {
        let mut others = Others::default();
        others.hear("b", says(3, 0), at(0));
        let look = |others: &mut Others, ms| {
            let sum = others.add_to(&Observation::default(), at(ms));
            (sum.seen.in_flight, sum.is_complete)
        };
        assert_eq!(look(&mut others, 5_000), (3, true));
        assert_eq!(look(&mut others, 5_001), (0, false));
        assert_eq!(look(&mut others, 60_000), (0, false));
        assert_eq!(look(&mut others, 60_001), (0, true));
    }

    #[test]
    fn a_replica_is_drained_when_every_peer_says_so() {
        let mut others = Others::default();
        let drains = |names: &[&str]| {
            let draining = names.iter().map(|name| name.parse().unwrap()).collect();
            PoolReport { draining, ..PoolReport::default() }
        };
        let look = |others: &mut Others, ms| {
            let draining = others.add_to(&Observation::default(), at(ms)).draining;
            draining.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(look(&mut others, 0), None);
        others.hear("b", drains(&["x", "y"]), at(0));
        assert_eq!(look(&mut others, 0).as_deref(), Some("x y"));
        others.hear("c", drains(&["y"]), at(0));
        assert_eq!(look(&mut others, 0).as_deref(), Some("y"));
        assert_eq!(look(&mut others, 60_000).as_deref(), Some("y"), "what a silent peer said last is all that is known");
        assert_eq!(look(&mut others, 60_001), None);
    }

    #[test]
    fn a_pool_that_a_peer_does_not_name_is_not_used_there() {
        let leaving = BTreeSet::from(["a".parse().unwrap()]);
        let heard = Others::hear_of(&"coders".parse().unwrap(), &Report::default(), &leaving);
        assert_eq!(heard, PoolReport { draining: leaving, ..PoolReport::default() });
    }

    #[test]
    fn latencies_are_merged() {
        let mut others = Others::default();
        let mut later = says(0, 0);
        others.hear("b", later.clone(), at(0));
        later.seen.response_time.record(0.1);
        others.hear("b", later, at(1));
        let mut own = Observation::default();
        own.response_time.record(0.01);
        let sum = others.add_to(&own, at(1)).seen.response_time;
        assert_eq!(sum.count(), 2);
        assert!(sum.quantile(1.0).is_some_and(|max| max > 0.09));
    }

    proptest! {
        #[test]
        fn totals_never_fall_and_hold_what_was_added(
            steps in prop::collection::vec((0..3_usize, 0..100_u64, prop::bool::weighted(0.1)), 1..60),
        ) {
            let mut others = Others::default();
            let mut totals = [None; 3];
            let mut expected = 0;
            for (n, (peer, more, restarts)) in steps.into_iter().enumerate() {
                let before: Option<u64> = totals[peer];
                let total = if restarts { more } else { before.unwrap_or(0) + more };
                expected += before.map_or(0, |before| total.checked_sub(before).unwrap_or(total));
                totals[peer] = Some(total);
                others.hear(&format!("p{peer}"), says(0, total), at(n as u64));
                prop_assert_eq!(others.add_to(&Observation::default(), at(n as u64)).seen.arrived_total, expected);
            }
        }
    }
}
