use std::collections::BTreeSet;

use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

use crate::endpoint::EndpointSet;
use crate::kit::clock::Tick;
use crate::model::{Address, EndpointSpec, Weight};

use super::*;

fn blank() -> Sample {
    let spec = EndpointSpec {
        id: "a".parse().unwrap(),
        address: Address::Ip("127.0.0.1:80".parse().unwrap()),
        weight: Weight::ONE,
        max_connections: None,
        capabilities: BTreeSet::new(),
        zone: None,
    };
    let set = EndpointSet::new(&"pool".parse().unwrap(), [spec], None, Tick::default());
    let serial = set.endpoints()[0].serial();
    Sample { serial, eligible: true, attempts: 0, successes: 0, consecutive_failures: 0, median_latency: None }
}

fn found(settings: &Outlier, samples: impl IntoIterator<Item = Sample>) -> Vec<(usize, Why)> {
    suspects(settings, &samples.into_iter().enumerate().collect::<Vec<_>>())
}

fn indices(settings: &Outlier, samples: impl IntoIterator<Item = Sample>) -> Vec<usize> {
    found(settings, samples).into_iter().map(|(index, _)| index).collect()
}

/// Endpoints with so many successes of a thousand attempts.
fn rates(successes: &[u64]) -> Vec<Sample> {
    let blank = blank();
    successes.iter().map(|&successes| Sample { attempts: 1000, successes, ..blank }).collect()
}

/// Endpoints with these medians, in milliseconds, of 20 attempts.
fn latencies(medians: &[u64]) -> Vec<Sample> {
    let blank = blank();
    let sample = |&ms| Sample { attempts: 20, successes: 20, median_latency: Some(Duration::from_millis(ms)), ..blank };
    medians.iter().map(sample).collect()
}

#[test]
fn failures_in_a_row_are_counted() {
    let blank = blank();
    let samples = [0, 4, 5, 9].map(|consecutive_failures| Sample { consecutive_failures, ..blank });
    assert_eq!(found(&Outlier::default(), samples), [(3, Why::ConsecutiveFailures(9)), (2, Why::ConsecutiveFailures(5))]);
    assert_eq!(found(&Outlier { consecutive_failures: 0, ..Outlier::default() }, samples), []);
}

#[test]
fn a_success_rate_far_below_the_mean_is_found() {
    let settings = Outlier::default();
    for (successes, expected) in [
        (vec![990, 990, 990, 990, 500], vec![4]),
        (vec![990, 990, 990, 500], vec![]),
        (vec![900; 7], vec![]),
        (vec![0; 5], vec![]),
        (vec![990, 980, 990, 970, 985, 960, 400, 990], vec![6]),
        (vec![800, 850, 900, 950, 1000], vec![]),
    ] {
        assert_eq!(indices(&settings, rates(&successes)), expected, "{successes:?}");
    }
    let [(_, Why::SuccessRate { rate, mean, least })] = found(&settings, rates(&[1000, 1000, 1000, 1000, 500]))[..] else {
        panic!("one is found")
    };
    // Deviation of the population: sqrt((4 * 0.1^2 + 0.4^2) / 5) = 0.2.
    assert!((rate - 0.5).abs() < 1e-9 && (mean - 0.9).abs() < 1e-9 && (least - (0.9 - 1.9 * 0.2)).abs() < 1e-9);
    assert_eq!(found(&Outlier { success_rate_deviations: 0.0, ..settings }, rates(&[990, 990, 990, 990, 500])), []);
}

#[test]
fn few_attempts_say_nothing_about_a_success_rate() {
    let mut samples = rates(&[990, 990, 990, 990, 500]);
    samples[4] = Sample { attempts: 99, successes: 0, ..samples[4] };
    assert_eq!(found(&Outlier::default(), samples.clone()), []);
    samples.push(samples[0]);
    samples[4].attempts = 100;
    assert_eq!(indices(&Outlier::default(), samples), [4]);
}

#[test]
fn a_latency_above_the_factor_times_the_median_is_found() {
    for (medians, expected) in [
        (vec![100, 100, 301], vec![2]),
        (vec![100, 100, 300], vec![]),
        (vec![100, 500], vec![]),
        (vec![100, 100, 900, 400], vec![2]),
        (vec![10, 1000, 10, 900, 10], vec![1, 3]),
        (vec![0, 0, 1], vec![2]),
        (vec![0, 0, 0], vec![]),
    ] {
        assert_eq!(indices(&Outlier::default(), latencies(&medians)), expected, "{medians:?}");
    }
    let mut samples = latencies(&[100, 100, 100, 900]);
    samples[3].attempts = 19;
    assert_eq!(found(&Outlier::default(), samples), []);
    assert_eq!(found(&Outlier { latency_factor: 0.0, ..Outlier::default() }, latencies(&[100, 100, 900])), []);
}

#[test]
fn settings_that_need_nobody_do_no_harm() {
    let settings = Outlier {
        success_rate_endpoints: 0,
        success_rate_attempts: 0,
        latency_endpoints: 0,
        latency_attempts: 0,
        ..Outlier::default()
    };
    assert_eq!(found(&settings, []), []);
    assert_eq!(found(&settings, [blank(), blank()]), []);
}

#[test]
fn an_endpoint_is_named_once_and_the_worst_first() {
    let mut samples = rates(&[990, 990, 990, 990, 990, 990, 990, 990, 100, 50]);
    for (sample, ms) in samples.iter_mut().zip([100, 100, 900, 100, 100, 100, 950, 100, 100, 5000]) {
        sample.median_latency = Some(Duration::from_millis(ms));
    }
    samples[3].consecutive_failures = 6;
    samples[9].consecutive_failures = 5;
    let settings = Outlier { success_rate_deviations: 1.0, ..Outlier::default() };
    let words: Vec<_> = found(&settings, samples).into_iter().map(|(index, why)| (index, why.as_str())).collect();
    let expected = [(3, "consecutive_failures"), (9, "consecutive_failures"), (8, "success_rate"), (6, "latency"), (2, "latency")];
    assert_eq!(words, expected);
}

#[test]
fn the_reason_is_told_with_its_figures() {
    let (median, pool) = (Duration::from_millis(950), Duration::from_millis(100));
    for (why, text) in [
        (Why::ConsecutiveFailures(7), "7 consecutive failures"),
        (Why::SuccessRate { rate: 0.5, mean: 0.9, least: 0.52 }, "success rate 0.500 below 0.520 at a mean of 0.900 in the pool"),
        (Why::Latency { median, pool }, "median latency 950.0ms at a median of 100.0ms in the pool"),
    ] {
        assert_eq!(why.to_string(), text);
    }
}

proptest! {
    #[test]
    fn equals_are_never_suspects(
        n in 5_usize..20, attempts in 100_u64..100_000, share in 0.0_f64..=1.0, ms in 0_u64..10_000, deviations in 0.001_f64..2.0,
    ) {
        let successes = (attempts as f64 * share) as u64;
        let sample = Sample { attempts, successes, median_latency: Some(Duration::from_millis(ms)), ..blank() };
        let settings = Outlier { success_rate_deviations: deviations, ..Outlier::default() };
        prop_assert_eq!(found(&settings, vec![sample; n]), []);
    }

    #[test]
    fn a_suspect_by_rate_is_below_the_mean_and_never_the_best(successes in prop::collection::vec(0_u64..=1000, 5..30)) {
        let best = successes.iter().max().copied().unwrap_or_default();
        for (index, why) in found(&Outlier { success_rate_deviations: 0.5, ..Outlier::default() }, rates(&successes)) {
            let Why::SuccessRate { rate, mean, .. } = why else { panic!("{why:?}") };
            prop_assert!(rate < mean && successes[index] < best);
        }
    }
}
