use std::time::Duration;

use super::*;
use crate::balance::testing::{Bench, START, answer, at, equals, load, set, set_of, spec};
use crate::model::{Outcome, Reason, Strategy};

fn bench(now_ms: u64) -> Bench {
    Bench { now: at(now_ms), ..Bench::new(Strategy::LeastResponseTime) }
}

#[test]
fn the_median_is_the_lower_of_two_in_the_middle() {
    assert_eq!(lower_median(&mut []), None);
    assert_eq!(lower_median(&mut [3.0]), Some(3.0));
    assert_eq!(lower_median(&mut [4.0, 1.0]), Some(1.0));
    assert_eq!(lower_median(&mut [9.0, 1.0, 5.0]), Some(5.0));
}

#[test]
fn the_quicker_endpoint_is_picked_until_its_load_outweighs_it() {
    let (set, mut bench) = (set(&[("quick", 1.0), ("slow", 1.0)]), bench(400));
    answer(&set, "quick", 100);
    answer(&set, "slow", 350);
    assert_eq!(bench.counts(&set, 20)["quick"], 20);
    let _three = load(&set, "quick", 3);
    assert_eq!(bench.counts(&set, 20)["slow"], 20);
}

#[test]
fn a_heavier_endpoint_costs_less() {
    let (set, mut bench) = (set(&[("light", 1.0), ("heavy", 4.0)]), bench(400));
    answer(&set, "light", 100);
    answer(&set, "heavy", 300);
    assert_eq!(bench.counts(&set, 20)["heavy"], 20);
}

#[test]
fn one_slow_answer_moves_traffic_at_once() {
    let (set, mut bench) = (equals(2), bench(2000));
    (0..50).for_each(|_| answer(&set, "e0", 10));
    answer(&set, "e1", 50);
    assert_eq!(bench.pick(&set), "e0");
    answer(&set, "e0", 2000);
    assert_eq!(bench.pick(&set), "e1");
}

#[test]
fn an_unmeasured_endpoint_starts_at_the_median() {
    let (set, mut bench) = (equals(4), bench(1000));
    for (id, ms) in [("e0", 200), ("e1", 300), ("e2", 1000)] {
        answer(&set, id, ms);
    }
    // At 300 ms, e3 loses to e0 while that is idle, and wins once that has one in flight: 400 ms against 300.
    assert_eq!(bench.counts(&set, 20)["e0"], 20);
    let _one = (load(&set, "e0", 1), load(&set, "e1", 1));
    assert_eq!(bench.counts(&set, 20)["e3"], 20);
    let _more = load(&set, "e3", 1);
    assert_eq!(bench.counts(&set, 20)["e0"], 20);
}

#[test]
fn a_slow_endpoint_left_alone_fades_to_the_median_and_no_further() {
    let (set, mut bench) = (equals(3), bench(0));
    for (id, ms) in [("e0", 100), ("e1", 110), ("e2", 9000)] {
        answer(&set, id, ms);
    }
    bench.now = at(19_000);
    assert!(!bench.counts(&set, 50).contains_key("e2"));
    bench.now = at(900_000);
    assert_eq!(bench.counts(&set, 50)["e0"], 50);
    let _two = (load(&set, "e0", 1), load(&set, "e1", 1));
    assert_eq!(bench.counts(&set, 50)["e2"], 50);
    let _third = load(&set, "e2", 1);
    assert_eq!(bench.counts(&set, 50)["e0"], 50);
}

#[test]
fn endpoints_that_nobody_has_measured_share_by_load() {
    let (set, mut bench) = (equals(3), bench(0));
    let _one = load(&set, "e1", 1);
    let counts = bench.counts(&set, 3000);
    assert!(!counts.contains_key("e1") && counts["e0"] > 1350 && counts["e2"] > 1350, "{counts:?}");
}

#[test]
fn a_fast_failure_does_not_attract_traffic() {
    let (set, mut bench) = (equals(2), bench(1000));
    answer(&set, "e0", 900);
    let failing = load(&set, "e1", 1).remove(0);
    failing.finish(Outcome::Failed(Reason::ConnectRefusedByEndpoint), at(1));
    assert_eq!(bench.counts(&set, 20)["e0"], 20);
    let mut failing = load(&set, "e1", 1).remove(0);
    failing.response(http::StatusCode::SERVICE_UNAVAILABLE, at(1));
    assert_eq!(bench.counts(&set, 20)["e0"], 20);
}

#[test]
fn a_parked_endpoint_is_picked_only_when_all_are() {
    for n in [3, 50] {
        let (set, mut bench) = (equals(n), bench(0));
        for endpoint in &set.endpoints()[1..] {
            endpoint.vitals().park(Duration::from_secs(20), START);
        }
        assert_eq!(bench.counts(&set, 200)["e0"], 200);
        set.endpoints()[0].vitals().park(Duration::from_secs(10), START);
        assert!(bench.counts(&set, 200).contains_key("e0"));
        bench.now = at(10_000);
        assert_eq!(bench.counts(&set, 200)["e0"], 200);
    }
}

#[test]
fn of_all_parked_the_one_free_first_is_picked() {
    let (set, mut bench) = (equals(2), bench(0));
    set.endpoints()[0].vitals().park(Duration::from_secs(20), START);
    set.endpoints()[1].vitals().park(Duration::from_secs(19), START);
    assert_eq!(bench.counts(&set, 20)["e1"], 20);
}

#[test]
fn above_eight_endpoints_two_at_random_are_compared() {
    let (set, mut bench) = (equals(20), bench(500));
    set.endpoints().iter().for_each(|endpoint| answer(&set, endpoint.spec.id.as_str(), 400));
    answer(&set, "e3", 500);
    let counts = bench.counts(&set, 20_000);
    // The slowest loses every comparison; the others are equal.
    assert!(!counts.contains_key("e3"));
    assert!(counts.values().all(|count| (900..1250).contains(count)), "{counts:?}");
}

#[test]
fn up_to_eight_endpoints_all_are_compared() {
    for (n, always) in [(8, true), (9, false)] {
        let (set, mut bench) = (equals(n), bench(500));
        set.endpoints().iter().for_each(|endpoint| answer(&set, endpoint.spec.id.as_str(), 400));
        let _running: Vec<_> = (1..n).map(|n| load(&set, &format!("e{n}"), 1)).collect();
        assert_eq!(bench.counts(&set, 500)["e0"] == 500, always);
    }
}

#[test]
fn the_median_of_many_is_found_and_renewed() {
    let (set, mut bench) = (set_of((0..1000).map(|n| spec(&format!("e{n}"), 1.0, &[])), None), bench(0));
    assert!(bench.ask(&set, &crate::balance::Ask::default()).is_ok());
    set.endpoints()[1..].iter().for_each(|endpoint| answer(&set, endpoint.spec.id.as_str(), 250));
    let mut median = Median::default();
    let members = Members { indexes: (0..1000).collect(), weights: vec![1; 1000], ..Members::default() };
    let ask = crate::balance::Ask::default();
    let mut refresh = |ms| {
        median.refresh(&members, &Pick { set: &set, ask: &ask, now: at(ms) }, &mut bench.rng);
        median.seconds
    };
    assert!(refresh(300).is_some_and(|seconds| (seconds - 0.25).abs() < 1e-6));
    set.endpoints().iter().for_each(|endpoint| answer(&set, endpoint.spec.id.as_str(), 350));
    assert!(refresh(399).is_some_and(|seconds| (seconds - 0.25).abs() < 1e-6));
    assert!(refresh(400).is_some_and(|seconds| (seconds - 0.35).abs() < 1e-6));
    median.follow(&set, &members);
    set.endpoints().iter().for_each(|endpoint| answer(&set, endpoint.spec.id.as_str(), 450));
    median.refresh(&members, &Pick { set: &set, ask: &ask, now: at(400) }, &mut bench.rng);
    assert!(median.seconds.is_some_and(|seconds| (seconds - 0.45).abs() < 1e-6));
}
