use std::time::Duration;

use super::*;
use crate::balance::testing::{Bench, START, answer, at, equals, load, pool, set, set_of, spec};
use crate::endpoint::{EndpointSet, LoadReport};
use crate::model::{Outcome, Pool, Reason, Strategy};

fn bench() -> Bench {
    Bench::new(Strategy::ResourceBased)
}

fn score(set: &EndpointSet, index: usize, now: Tick) -> f64 {
    Score { terms: &ResourceTerms::default(), now }.of(&set.endpoints()[index])
}

#[track_caller]
fn assert_score(set: &EndpointSet, now: Tick, expected: f64) {
    let score = score(set, 0, now);
    assert!((score - expected).abs() < 1e-6, "{score} is not {expected}");
}

#[test]
fn the_score_adds_load_response_time_and_failures() {
    let set = set_of([EndpointSpecs::with_max(50)], None);
    assert_score(&set, START, 0.0);
    let _running = load(&set, "a", 10);
    assert_score(&set, START, 0.4 * 0.2);
    answer(&set, "a", 500);
    assert_score(&set, START, 0.4 * 0.2 + 0.4 * 0.5);
    load(&set, "a", 1).remove(0).finish(Outcome::Failed(Reason::EndpointReset), START);
    assert_score(&set, START, 0.4 * 0.2 + 0.4 * 0.5 + 0.2 * 0.5);
    (0..100).for_each(|_| answer(&set, "a", 60_000));
    assert_score(&set, START, 0.4 * 0.2 + 0.4);
}

struct EndpointSpecs;

impl EndpointSpecs {
    fn with_max(max: u32) -> crate::model::EndpointSpec {
        crate::model::EndpointSpec { max_connections: Some(max), ..spec("a", 1.0, &[]) }
    }
}

#[test]
fn without_a_maximum_a_hundred_in_flight_is_full_and_a_maximum_of_none_does_no_harm() {
    let set_unset = equals(1);
    let _running = load(&set_unset, "e0", 25);
    assert_score(&set_unset, START, 0.4 * 0.25);
    assert_score(&set_of([EndpointSpecs::with_max(0)], None), START, 0.0);
}

#[test]
fn a_report_multiplies_what_is_in_flight_and_queued_and_fades() {
    let set = set(&[("a", 1.0)]);
    let _running = load(&set, "a", 20);
    let vitals = set.endpoints()[0].vitals();
    vitals.report(LoadReport { cpu: 0.1, memory: 0.9, application: 0.3, queue: 0 }, START);
    assert_score(&set, START, 0.4 * 0.21 * 3.7);
    vitals.report(LoadReport { cpu: 0.1, memory: 0.1, application: 0.3, queue: 50 }, START);
    assert_score(&set, at(10_000), 0.4 * 0.71 * 1.9);
    assert_score(&set, at(15_000), 0.4 * (0.5 * 0.71 * 1.9 + 0.5 * 0.2));
    assert_score(&set, at(20_000), 0.4 * 0.2);
}

#[test]
fn what_is_borrowed_counts_no_more_than_full() {
    let set = set(&[("a", 1.0)]);
    let score = |cpu| {
        set.endpoints()[0].vitals().report(LoadReport { cpu, ..LoadReport::default() }, START);
        score(&set, 0, START)
    };
    assert!(score(0.9) < score(1.0));
    assert_eq!(score(1.0), score(7.5));
}

#[test]
fn of_idle_endpoints_the_less_utilised_is_picked() {
    let (set, mut bench) = (equals(2), bench());
    for (endpoint, memory) in set.endpoints().iter().zip([0.6, 0.5]) {
        endpoint.vitals().report(LoadReport { memory, ..LoadReport::default() }, START);
    }
    assert_eq!(bench.counts(&set, 20)["e1"], 20);
}

#[test]
fn an_endpoint_that_says_it_is_idle_takes_four_times_as_much_as_a_full_one_and_no_more() {
    let (set, mut bench) = (equals(2), bench());
    for (endpoint, cpu) in set.endpoints().iter().zip([0.0, 1.0]) {
        endpoint.vitals().report(LoadReport { cpu, ..LoadReport::default() }, START);
    }
    let _running: Vec<_> = (0..100).map(|_| bench.pick(&set).to_owned()).map(|id| load(&set, &id, 1)).collect();
    let in_flight: Vec<_> = set.endpoints().iter().map(|endpoint| endpoint.vitals().in_flight()).collect();
    assert!(in_flight[0].abs_diff(80) <= 1, "{in_flight:?}");
}

#[test]
fn the_weights_of_the_terms_are_configurable() {
    let terms = ResourceTerms { connections: 0.0, response_time: 1.0, failures: 0.0 };
    let mut bench = Bench::of(&Pool { resource: terms, ..pool(Strategy::ResourceBased) });
    let set = set(&[("busy", 1.0), ("slow", 1.0)]);
    answer(&set, "slow", 300);
    answer(&set, "busy", 200);
    let _running = load(&set, "busy", 90);
    assert_eq!(bench.counts(&set, 20)["busy"], 20);
}

#[test]
fn the_least_score_by_weight_is_picked_and_ties_go_at_random() {
    let (set, mut bench) = (set(&[("a", 1.0), ("b", 1.0), ("c", 3.0)]), bench());
    let _running = (load(&set, "a", 1), load(&set, "b", 1), load(&set, "c", 2));
    assert_eq!(bench.counts(&set, 20)["c"], 20);
    let _more = load(&set, "c", 2);
    let counts = bench.counts(&set, 2000);
    assert!(counts["a"] > 900 && counts["b"] > 900, "{counts:?}");
}

#[test]
fn an_endpoint_with_twice_its_share_in_flight_loses_whatever_the_scores() {
    let (set, mut bench) = (equals(4), bench());
    (1..4).for_each(|n| answer(&set, &format!("e{n}"), 60_000));
    // 2 x (in flight + 1) / 4, rounded up: 1 for the first, 2 for the next.
    let mut running = load(&set, "e1", 1);
    assert_eq!(bench.counts(&set, 20)["e0"], 20);
    running.extend(load(&set, "e0", 1));
    assert_eq!(bench.counts(&set, 20)["e0"], 20);
    running.extend(load(&set, "e0", 1));
    assert!(!bench.counts(&set, 20).contains_key("e0"));
    running.extend(load(&set, "e2", 2));
    assert_eq!(bench.counts(&set, 20)["e0"], 20);
}

#[test]
fn a_share_in_flight_goes_by_weight() {
    let (set, mut bench) = (set(&[("large", 6.0), ("b", 1.0), ("c", 1.0)]), bench());
    ["b", "c"].iter().for_each(|id| answer(&set, id, 60_000));
    // Of 2 x (in flight + 1) three quarters.
    let _running = (load(&set, "large", 11), load(&set, "b", 1));
    assert_eq!(bench.counts(&set, 20)["large"], 20);
    let large = set.get(&"large".parse().unwrap()).unwrap();
    large.state.override_weight(Some(crate::model::Weight::ONE));
    assert!(!bench.counts(&set, 20).contains_key("large"));
}

#[test]
fn of_crowded_endpoints_the_least_in_flight_is_picked() {
    let (set, mut bench) = (equals(3), bench());
    answer(&set, "e1", 60_000);
    let _running = (load(&set, "e0", 9), load(&set, "e1", 8), load(&set, "e2", 1));
    let tried = [set.endpoints()[2].serial()];
    let ask = crate::balance::Ask { tried: &tried, ..crate::balance::Ask::default() };
    assert_eq!(bench.ask(&set, &ask), Ok(0));
    // Now most of the share is that of the one that was tried.
    set.endpoints()[2].state.override_weight(Some(crate::model::Weight::from_hundredths(10_000)));
    assert_eq!(bench.ask(&set, &ask), Ok(1));
}

#[test]
fn nobody_is_crowded_where_load_does_not_count() {
    let terms = ResourceTerms { connections: 0.0, ..ResourceTerms::default() };
    let mut bench = Bench::of(&Pool { resource: terms, ..pool(Strategy::ResourceBased) });
    let set = equals(4);
    (1..4).for_each(|n| answer(&set, &format!("e{n}"), 300));
    let _running = load(&set, "e0", 50);
    assert_eq!(bench.counts(&set, 20)["e0"], 20);
}

#[test]
fn above_eight_endpoints_two_at_random_are_compared() {
    let (set, mut bench) = (equals(9), bench());
    let _running: Vec<_> = (1..9).map(|n| load(&set, &format!("e{n}"), n)).collect();
    let counts = bench.counts(&set, 9000);
    // The least of all is one of the two in 2 of 9 cases; the most loaded wins against nobody.
    assert!((1800..2200).contains(&counts["e0"]) && !counts.contains_key("e8"), "{counts:?}");
    assert_eq!(self::bench().counts(&equals(8), 8000).len(), 8);
}

#[test]
fn a_stale_report_says_nothing() {
    let set = equals(1);
    set.endpoints()[0].vitals().report(LoadReport { cpu: 1.0, ..LoadReport::default() }, START);
    assert_score(&set, START + Duration::from_secs(3600), 0.0);
}
