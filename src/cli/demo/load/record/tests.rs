//! What follows from what was seen.

use super::super::seen::{Pool, Queue, Scaling};
use super::*;

fn seen(waiting: u64, requests: u64, ready: u32) -> Seen {
    Seen {
        pool: Pool { in_flight: 3, queue: Queue { waiting, queued_total: waiting } },
        scaling: Scaling { max_replicas: 6, replicas: Replicas { desired: ready, ready, starting: 0, draining: 0 } },
        changes: Vec::new(),
        counters: Counters { requests, failures: 0, first_byte: vec![(0.25, requests), (f64::INFINITY, requests)] },
        unix_ms: 10_000,
    }
}

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn nothing_seen_is_nothing_to_show() {
    assert_eq!(Record::default().picture(), None);
}

#[test]
fn the_most_that_waited_in_each_second_is_kept_for_a_minute() {
    let mut record = Record::default();
    for (millis, waiting) in [(0, 2), (250, 9), (500, 1), (1000, 0), (2750, 4)] {
        record.push(at(millis), seen(waiting, 0, 1));
    }
    let picture = record.picture().unwrap();
    assert_eq!((picture.depths, picture.waiting), (vec![9, 0, 4], 4));
    for second in 3..100 {
        record.push(at(second * 1000), seen(second, 0, 1));
    }
    let depths = record.picture().unwrap().depths;
    assert_eq!((depths.len(), depths[0], depths[59]), (60, 40, 99));
}

#[test]
fn rates_and_latencies_are_those_of_the_last_three_seconds() {
    let mut record = Record::default();
    for second in 0..=20 {
        // Ten a second at first, and then a hundred.
        record.push(at(second * 1000), seen(0, if second < 10 { second * 10 } else { 100 + (second - 10) * 100 }, 1));
    }
    let picture = record.picture().unwrap();
    assert!((picture.rate - 100.0).abs() < 1e-9, "{}", picture.rate);
    assert_eq!(picture.p50, Some(0.125));
    record.push(at(60_000), seen(0, 1100, 1));
    record.push(at(66_000), seen(0, 1100, 1));
    let picture = record.picture().unwrap();
    assert_eq!((picture.rate, picture.p50, picture.p95), (0.0, None, None));
}

#[test]
fn the_most_replicas_are_remembered() {
    let mut record = Record::default();
    for ready in [1, 5, 2] {
        record.push(at(0), seen(0, 0, ready));
    }
    assert_eq!(record.most_replicas(), 5);
}

#[test]
fn decisions_have_an_age_and_only_the_latest_are_shown() {
    let change = |at_unix_ms| Change { at_unix_ms, from: 1, to: 2, reason: String::new() };
    let mut record = Record::default();
    let changes = [9_500, 8_000, 11_000].into_iter().cycle().take(10).map(change).collect();
    record.push(at(0), Seen { changes, ..seen(0, 0, 1) });
    let ages: Vec<_> = record.picture().unwrap().changes.into_iter().map(|(age, _)| age).collect();
    // One that was decided since the look began has just been.
    assert_eq!(ages, [at(500), at(2_000), at(0), at(500), at(2_000), at(0)]);
}

#[test]
fn quantiles_are_linear_within_a_bucket() {
    let infinite = f64::INFINITY;
    let buckets = [(0.1, 0), (0.2, 80), (0.4, 100), (infinite, 100)];
    for (buckets, of, expected) in [
        (&buckets[..], 0.4, Some(0.15)),
        (&buckets, 0.8, Some(0.2)),
        (&buckets, 0.9, Some(0.3)),
        (&buckets, 1.0, Some(0.4)),
        (&[(0.1, 0), (infinite, 7)], 0.5, Some(0.1)),
        (&[(0.1, 0), (infinite, 0)], 0.5, None),
        (&[], 0.5, None),
    ] {
        let found = quantile(buckets, of);
        assert!(found == expected || (found.unwrap() - expected.unwrap()).abs() < 1e-9, "{of} of {buckets:?} is {found:?}");
    }
}
