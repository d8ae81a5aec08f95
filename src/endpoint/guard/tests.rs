use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::endpoint::{EndpointSet, FAILED_LATENCY, Totals};
use crate::model::{Address, EndpointSpec, Reason, Weight};

fn at(ms: u64) -> Tick {
    Tick::from_nanos(ms * 1_000_000)
}

fn set() -> EndpointSet {
    let spec = EndpointSpec {
        id: "a".parse().unwrap(),
        address: Address::Ip("127.0.0.1:80".parse().unwrap()),
        weight: Weight::ONE,
        max_connections: None,
        capabilities: std::collections::BTreeSet::new(),
        zone: None,
    };
    EndpointSet::new(&"pool".parse().unwrap(), [spec], None, at(0))
}

fn begin(set: &EndpointSet) -> Attempt {
    Attempt::begin(set.endpoints()[0].clone(), at(0))
}

fn totals(set: &EndpointSet) -> (u64, u64, u64) {
    let Totals { completed, failed, aborted, .. } = set.endpoints()[0].vitals().totals();
    (completed, failed, aborted)
}

/// The average of times to first byte, in milliseconds.
fn average(set: &EndpointSet) -> Option<u64> {
    set.endpoints()[0].vitals().last_first_byte().map(|seconds| (seconds * 1000.0).round() as u64)
}

#[test]
fn an_attempt_is_in_flight_from_the_pick_to_the_end() {
    let set = set();
    let (one, two) = (begin(&set), begin(&set));
    assert_eq!((set.endpoints()[0].vitals().in_flight(), set.state().in_flight()), (2, 2));
    one.finish(Outcome::Completed, at(5));
    assert_eq!((set.endpoints()[0].vitals().in_flight(), set.state().in_flight()), (1, 1));
    drop(two);
    assert_eq!((set.endpoints()[0].vitals().in_flight(), set.state().in_flight()), (0, 0));
}

#[test]
fn an_attempt_that_is_dropped_counts_as_aborted() {
    let set = set();
    drop(begin(&set));
    assert_eq!(totals(&set), (0, 0, 1));
}

#[test]
fn the_first_byte_and_the_last_are_measured_from_the_pick() {
    let set = set();
    let mut attempt = begin(&set);
    attempt.first_byte(at(20));
    attempt.first_byte(at(900));
    attempt.response(StatusCode::OK, at(900));
    attempt.finish(Outcome::Completed, at(1000));
    assert_eq!(average(&set), Some(20));
    assert_eq!(set.endpoints()[0].vitals().mean_response_time(), Some(1.0));
}

#[test]
fn an_answer_that_says_failure_counts_as_failed_though_it_completed() {
    for status in [500, 502, 503, 504] {
        let set = set();
        let mut attempt = begin(&set);
        attempt.response(StatusCode::from_u16(status).unwrap(), at(1));
        attempt.finish(Outcome::Completed, at(2));
        assert_eq!((totals(&set), average(&set)), ((0, 1, 0), Some(5000)));
        assert_eq!(set.endpoints()[0].vitals().failure_rate(), 1.0);
    }
    for status in [200, 404, 429, 501] {
        let set = set();
        let mut attempt = begin(&set);
        attempt.response(StatusCode::from_u16(status).unwrap(), at(1));
        attempt.finish(Outcome::Completed, at(2));
        assert_eq!((totals(&set), average(&set)), ((1, 0, 0), Some(1)));
    }
}

#[test]
fn a_failed_attempt_counts_as_its_latency_or_five_seconds() {
    for (ms, counts_as) in [(3, FAILED_LATENCY.as_millis() as u64), (8000, 8000)] {
        let set = set();
        begin(&set).finish(Outcome::Failed(Reason::ConnectTimeout), at(ms));
        assert_eq!((totals(&set), average(&set)), ((0, 1, 0), Some(counts_as)));
    }
}

#[test]
fn a_truncated_response_is_a_failure() {
    let set = set();
    let mut attempt = begin(&set);
    attempt.first_byte(at(1));
    attempt.finish(Outcome::Truncated(Reason::EndpointTruncated), at(2));
    assert_eq!((totals(&set), average(&set)), ((0, 1, 0), Some(5000)));
}

#[test]
fn the_clients_doing_is_not_held_against_the_endpoint() {
    let set = set();
    let outcomes = [Outcome::Aborted, Outcome::Failed(Reason::RequestBodyBroken), Outcome::Truncated(Reason::ClientAbort)];
    outcomes.into_iter().for_each(|outcome| begin(&set).finish(outcome, at(1)));
    assert_eq!((totals(&set), average(&set)), ((0, 0, 3), None));
    assert_eq!(set.endpoints()[0].vitals().failure_rate(), 0.0);
}

#[test]
fn what_an_endpoint_asks_and_reports_is_kept() {
    let set = set();
    let attempt = begin(&set);
    attempt.park(Duration::from_secs(7), at(0));
    attempt.report(LoadReport { cpu: 0.5, queue: 3, ..LoadReport::default() }, at(0));
    let vitals = set.endpoints()[0].vitals();
    assert_eq!(vitals.parked_for(at(2000)), Some(Duration::from_secs(5)));
    assert!(vitals.reported(at(0)).is_some_and(|load| load.queue == 3));
}

fn outcomes() -> impl Strategy<Value = Option<Outcome>> {
    prop_oneof![
        Just(None),
        Just(Some(Outcome::Completed)),
        Just(Some(Outcome::Aborted)),
        prop::sample::select(Reason::ALL).prop_map(|reason| Some(Outcome::Failed(reason))),
        prop::sample::select(Reason::ALL).prop_map(|reason| Some(Outcome::Truncated(reason))),
    ]
}

proptest! {
    #[test]
    fn attempts_are_completed_failed_aborted_or_in_flight(
        ends in prop::collection::vec((outcomes(), any::<bool>(), 100_u16..600), 0..60),
        left: u8,
    ) {
        let set = set();
        let running: Vec<_> = (0..left).map(|_| begin(&set)).collect();
        for &(outcome, answers, status) in &ends {
            let mut attempt = begin(&set);
            if answers {
                attempt.response(StatusCode::from_u16(status).unwrap(), at(1));
            }
            if let Some(outcome) = outcome {
                attempt.finish(outcome, at(2));
            }
            let vitals = set.endpoints()[0].vitals();
            let totals = vitals.totals();
            prop_assert_eq!(totals.attempts, totals.completed + totals.failed + totals.aborted + u64::from(vitals.in_flight()));
        }
        prop_assert_eq!(set.state().in_flight(), running.len() as u64);
    }
}

#[test]
fn the_law_of_counts_holds_after_threads_raced() {
    let set = set();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let set = &set;
            scope.spawn(move || {
                for n in 0..2000 {
                    let mut attempt = begin(set);
                    attempt.first_byte(at(n));
                    match (n + thread) % 3 {
                        0 => attempt.finish(Outcome::Completed, at(n)),
                        1 => attempt.finish(Outcome::Failed(Reason::EndpointReset), at(n)),
                        _ => drop(attempt),
                    }
                }
            });
        }
    });
    let totals = set.endpoints()[0].vitals().totals();
    assert_eq!(totals.attempts, 8000);
    assert_eq!(totals.completed + totals.failed + totals.aborted, 8000);
    assert_eq!((set.endpoints()[0].vitals().in_flight(), set.state().in_flight()), (0, 0));
}
