use std::collections::BTreeSet;

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

use crate::endpoint::EndpointSet;
use crate::model::{Address, EndpointSpec, Weight};

use super::*;

fn at(secs: u64) -> Tick {
    Tick::from_nanos(secs * 1_000_000_000)
}

/// `n` endpoints that do well.
fn pool(n: usize) -> Vec<Sample> {
    let specs = (0..n).map(|n| EndpointSpec {
        id: format!("e{n}").parse().unwrap(),
        address: Address::Ip("127.0.0.1:80".parse().unwrap()),
        weight: Weight::ONE,
        max_connections: None,
        capabilities: BTreeSet::new(),
        zone: None,
    });
    let set = EndpointSet::new(&"pool".parse().unwrap(), specs, None, at(0));
    let sample =
        |serial| Sample { serial, eligible: true, attempts: 10, successes: 10, consecutive_failures: 0, median_latency: None };
    set.endpoints().iter().map(|endpoint| sample(endpoint.serial())).collect()
}

/// Ejection for 30 s times the times, at most 70 s, of at most half of the pool.
fn settings() -> Outlier {
    Outlier { max_ejection: Duration::from_secs(70), ..Outlier::default() }
}

fn failing(samples: &mut [Sample], which: &[usize], failures: u32) {
    for &index in which {
        samples[index].consecutive_failures = failures;
    }
}

fn ejected(verdicts: &[Verdict]) -> Vec<usize> {
    let index = |verdict: &Verdict| match verdict {
        Verdict::Eject { index, .. } => Some(*index),
        Verdict::Return { .. } => None,
    };
    verdicts.iter().filter_map(index).collect()
}

#[test]
fn no_more_than_the_share_rounded_down_is_out_and_never_the_last() {
    for (endpoints, share, expected) in [
        (1, 1.0, 0),
        (2, 0.5, 1),
        (3, 0.5, 1),
        (3, 1.0, 2),
        (5, 0.5, 2),
        (10, 0.7, 7),
        (100, 0.29, 29),
        (10, 0.0, 0),
        (10, f64::NAN, 0),
    ] {
        let (mut ejector, mut samples) = (Ejector::new(), pool(endpoints));
        failing(&mut samples, &(0..endpoints).collect::<Vec<_>>(), 5);
        let settings = Outlier { max_ejected: share, ..settings() };
        assert_eq!(ejected(&ejector.judge(&settings, &samples, at(0))).len(), expected, "{endpoints} {share}");
        assert_eq!(ejected(&ejector.judge(&settings, &samples, at(1))).len(), 0, "{endpoints} {share}: those that are out count");
    }
}

#[test]
fn endpoints_that_take_nothing_anyhow_are_no_company() {
    let (mut ejector, mut samples) = (Ejector::new(), pool(4));
    failing(&mut samples, &[0, 1], 5);
    (1..4).for_each(|index| samples[index].eligible = false);
    assert_eq!(ejector.judge(&settings(), &samples, at(0)), [], "0 is the last one, and 1 is not judged");
    samples[2].eligible = true;
    assert_eq!(ejected(&ejector.judge(&settings(), &samples, at(10))), [0]);
}

#[test]
fn it_returns_after_its_time_which_grows_with_each_ejection_up_to_the_longest() {
    let (mut ejector, mut samples) = (Ejector::new(), pool(2));
    let mut now = at(0);
    let mut failures = 0;
    for expected in [30, 60, 70, 70] {
        failures += 5;
        failing(&mut samples, &[0], failures);
        let verdicts = ejector.judge(&settings(), &samples, now);
        let until = now + Duration::from_secs(expected);
        assert_eq!(verdicts, [Verdict::Eject { index: 0, until, why: Why::ConsecutiveFailures(5) }]);
        assert!(ejector.is_ejected(samples[0].serial));
        assert_eq!(ejector.judge(&settings(), &samples, now + Duration::from_secs(expected - 1)), []);
        assert_eq!(ejector.judge(&settings(), &samples, until), [Verdict::Return { index: 0 }]);
        now = until + Duration::from_secs(10);
    }
    assert_eq!(ejector.ejections_total(), 4);
    assert_eq!(ejector.report(samples[0].serial, now).times_ejected, 3);
}

#[test]
fn intervals_of_good_behaviour_take_ejections_back() {
    let (mut ejector, mut samples) = (Ejector::new(), pool(2));
    let times = |ejector: &Ejector, sample: &Sample| ejector.report(sample.serial, at(0)).times_ejected;
    failing(&mut samples, &[0], 5);
    ejector.judge(&settings(), &samples, at(0));
    ejector.judge(&settings(), &samples, at(10));
    assert_eq!(times(&ejector, &samples[0]), 1, "being out is no merit");
    ejector.judge(&settings(), &samples, at(30));
    assert_eq!(times(&ejector, &samples[0]), 1, "neither is coming back");
    failing(&mut samples, &[0], 0);
    ejector.judge(&settings(), &samples, at(40));
    assert_eq!(times(&ejector, &samples[0]), 0);
    failing(&mut samples, &[0], 5);
    let verdicts = ejector.judge(&settings(), &samples, at(50));
    assert!(matches!(verdicts[..], [Verdict::Eject { until, .. }] if until == at(80)));
}

#[test]
fn an_endpoint_that_could_not_be_ejected_has_not_behaved() {
    let (mut ejector, mut samples) = (Ejector::new(), pool(2));
    failing(&mut samples, &[0], 5);
    ejector.judge(&settings(), &samples, at(0));
    ejector.judge(&settings(), &samples, at(30));
    samples[1].eligible = false;
    failing(&mut samples, &[0], 10);
    assert_eq!(ejector.judge(&settings(), &samples, at(40)), []);
    assert_eq!(ejector.report(samples[0].serial, at(40)).times_ejected, 1);
}

#[test]
fn failures_from_before_the_return_are_not_held_against_it_again() {
    let (mut ejector, mut samples) = (Ejector::new(), pool(2));
    failing(&mut samples, &[0], 7);
    ejector.judge(&settings(), &samples, at(0));
    ejector.judge(&settings(), &samples, at(30));
    for (failures, ejects) in [(7, false), (11, false), (12, true)] {
        let mut ejector = Ejector { records: ejector.records.clone(), ..Ejector::new() };
        failing(&mut samples, &[0], failures);
        assert_eq!(!ejected(&ejector.judge(&settings(), &samples, at(40))).is_empty(), ejects, "{failures}");
    }
    failing(&mut samples, &[0], 1);
    ejector.judge(&settings(), &samples, at(40));
    failing(&mut samples, &[0], 5);
    assert_eq!(ejected(&ejector.judge(&settings(), &samples, at(50))), [0], "a success has set the count back");
}

#[test]
fn when_nobody_else_is_left_the_first_to_return_returns_at_once() {
    let (mut ejector, mut samples) = (Ejector::new(), pool(5));
    failing(&mut samples, &[1], 5);
    ejector.judge(&settings(), &samples, at(0));
    failing(&mut samples, &[3], 5);
    ejector.judge(&settings(), &samples, at(10));
    [0, 2, 4].into_iter().for_each(|index| samples[index].eligible = false);
    assert_eq!(ejector.judge(&settings(), &samples, at(20)), [Verdict::Return { index: 1 }]);
    assert_eq!(ejector.judge(&settings(), &samples, at(21)), []);
    assert!(ejector.is_ejected(samples[3].serial));
}

#[test]
fn endpoints_that_left_the_pool_are_forgotten() {
    let (mut ejector, mut samples) = (Ejector::new(), pool(3));
    failing(&mut samples, &[0], 5);
    ejector.judge(&settings(), &samples, at(0));
    ejector.judge(&settings(), &samples[1..], at(10));
    assert!(!ejector.is_ejected(samples[0].serial));
    assert_eq!(ejector.records.len(), 2);
}

#[test]
fn the_report_says_why_and_for_how_long() {
    let (mut ejector, mut samples) = (Ejector::new(), pool(2));
    failing(&mut samples, &[0], 5);
    ejector.judge(&settings(), &samples, at(0));
    let reason = Some("5 consecutive failures".to_owned());
    let report = Report { ejected: true, returns_in_seconds: Some(20.0), times_ejected: 1, reason };
    assert_eq!(ejector.report(samples[0].serial, at(10)), report);
    let nothing = Report { ejected: false, returns_in_seconds: None, times_ejected: 0, reason: None };
    assert_eq!(ejector.report(samples[1].serial, at(10)), nothing);
}

/// Eligible, attempts, successes, failures in a row, milliseconds.
type Figures = (bool, u64, u64, u32, u64);

fn intervals() -> impl Strategy<Value = Vec<Vec<Figures>>> {
    let endpoint = (any::<bool>(), 0_u64..300, 0_u64..300, 0_u32..9, 0_u64..1000);
    prop::collection::vec(prop::collection::vec(endpoint, 9), 1..25)
}

proptest! {
    #[test]
    fn the_limits_hold_whatever_the_endpoints_do(
        intervals in intervals(), n in 1_usize..10, share in 0.0_f64..=1.0, pause in 1_u64..40,
    ) {
        let (mut ejector, mut samples, mut now) = (Ejector::new(), pool(n), at(0));
        let settings = Outlier { max_ejected: share, latency_attempts: 0, ..settings() };
        let mut out: HashSet<usize> = HashSet::new();
        for interval in intervals {
            for (sample, (eligible, attempts, successes, consecutive_failures, ms)) in samples.iter_mut().zip(interval) {
                let median_latency = Some(Duration::from_millis(ms));
                *sample = Sample { eligible, attempts, successes, consecutive_failures, median_latency, ..*sample };
            }
            let verdicts = ejector.judge(&settings, &samples, now);
            for verdict in &verdicts {
                match *verdict {
                    Verdict::Return { index } => prop_assert!(out.remove(&index), "only who is out returns"),
                    Verdict::Eject { index, until, .. } => {
                        prop_assert!(out.insert(index), "only who is in is ejected");
                        prop_assert!(samples[index].eligible && until > now && until <= now + settings.max_ejection);
                    }
                }
            }
            prop_assert!(out.len() as f64 <= share * n as f64 + 1e-6);
            let eligible: Vec<_> = (0..n).filter(|&index| samples[index].eligible).collect();
            prop_assert!(eligible.is_empty() || eligible.iter().any(|index| !out.contains(index)));
            for (index, sample) in samples.iter().enumerate() {
                prop_assert_eq!(ejector.is_ejected(sample.serial), out.contains(&index));
            }
            now = now + Duration::from_secs(pause);
        }
    }
}
