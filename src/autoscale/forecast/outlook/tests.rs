use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::autoscale::forecast::testing::{policy, terms};

const MINUTE: i64 = 60_000;

/// Twelve steps of five minutes from the time 0, which say 10, 20, 30... and prepare for half as much again.
fn forecast() -> Forecast {
    let step =
        |index: i64| Step { unix_ms: index * 5 * MINUTE, value: 10.0 * (index + 1) as f64, upper: 15.0 * (index + 1) as f64 };
    Forecast {
        model: Some(Model::MstlDaily),
        confidence: 0.8,
        steps: (0..12).map(step).collect(),
        ..Forecast::none(0, Duration::from_secs(300), String::new())
    }
}

fn look(forecasts: &[(Signal, Forecast)], terms: &Terms, startup: u64) -> Option<Outlook> {
    outlook(&forecasts.iter().cloned().collect(), terms, Duration::from_secs(startup), 0)
}

#[test]
fn the_most_between_start_up_and_horizon_counts() {
    let mut falling = forecast();
    falling.steps.reverse();
    for (index, step) in falling.steps.iter_mut().enumerate() {
        step.unix_ms = index as i64 * 5 * MINUTE;
    }
    let of = |forecast: &Forecast, startup| {
        let terms = terms(Duration::from_secs(3600), vec![policy(Signal::Concurrency, 8.0)]);
        look(&[(Signal::Concurrency, forecast.clone())], &terms, startup).map(|outlook| (outlook.replicas, outlook.peak_unix_ms))
    };
    // 180 at most, 8 for each.
    assert_eq!(of(&forecast(), 30), Some((23, 55 * MINUTE)));
    assert_eq!(of(&falling, 30), Some((23, 0)));
    // Who starts for 11 minutes comes too late for the first two steps, and for a part of the third.
    assert_eq!(of(&falling, 11 * 60), Some((19, 10 * MINUTE)));
    assert_eq!(of(&falling, 15 * 60), Some((17, 15 * MINUTE)));
    assert_eq!(of(&falling, 50 * 60), Some((4, 50 * MINUTE)));
    assert_eq!(of(&falling, 2 * 3600), None, "nothing is said of then");
}

#[test]
fn what_is_beyond_the_horizon_does_not_count() {
    let terms = terms(Duration::from_secs(20 * 60), vec![policy(Signal::Concurrency, 1.0)]);
    let seen = look(&[(Signal::Concurrency, forecast())], &terms, 30).unwrap();
    assert_eq!((seen.replicas, seen.peak_unix_ms, seen.model.as_str()), (75, 20 * MINUTE, "mstl_daily"));
}

#[test]
fn of_several_the_largest_that_may_be_followed_counts() {
    let policies = vec![policy(Signal::Concurrency, 10.0), policy(Signal::RequestRate, 2.0), policy(Signal::Concurrency, 9.0)];
    let terms = terms(Duration::from_secs(3600), policies);
    let with = |rate: Forecast| look(&[(Signal::Concurrency, forecast()), (Signal::RequestRate, rate)], &terms, 30).unwrap();
    assert_eq!(with(forecast()).replicas, 90);
    assert_eq!(with(Forecast { confidence: 0.69, ..forecast() }).replicas, 20);
    assert_eq!(with(Forecast { demoted: true, ..forecast() }).replicas, 20);
    let neither = Forecast { demoted: true, ..forecast() };
    let shown = look(&[(Signal::Concurrency, neither.clone()), (Signal::RequestRate, neither)], &terms, 30).unwrap();
    assert_eq!((shown.replicas, shown.is_demoted), (90, true));
}

#[test]
fn there_is_none_without_policy_terms_model_or_freshness() {
    let good = terms(Duration::from_secs(3600), vec![policy(Signal::Concurrency, 8.0)]);
    let of =
        |forecast: Forecast, terms: &Terms, now| outlook(&[(Signal::Concurrency, forecast)].into(), terms, Duration::ZERO, now);
    assert!(of(forecast(), &good, 15 * MINUTE).is_some());
    assert_eq!(of(forecast(), &good, 15 * MINUTE + 1), None);
    assert_eq!(of(Forecast { model: None, ..forecast() }, &good, 0), None);
    assert_eq!(of(Forecast { model: Some(Model::LastValue), ..forecast() }, &good, 0), None);
    assert_eq!(of(forecast(), &Terms { forecast: None, ..good.clone() }, 0), None);
    for other in [policy(Signal::RequestRate, 8.0), policy(Signal::QueueDepth, 8.0)] {
        assert_eq!(of(forecast(), &terms(Duration::from_secs(3600), vec![other]), 0), None);
    }
    assert_eq!(of(forecast(), &terms(Duration::from_secs(3600), Vec::new()), 0), None);
}

#[test]
fn a_rounding_error_orders_no_replica() {
    let cases =
        [(0.0, 8.0, 0), (16.0, 8.0, 2), (16.000_000_1, 8.0, 2), (16.1, 8.0, 3), (0.1 + 0.2, 0.1, 3), (-1.0, 8.0, 0), (1.0, 0.0, 0)];
    for (value, target, expected) in cases {
        assert_eq!(replicas(value, target), expected, "{value} of {target}");
    }
    assert_eq!([f64::NAN, f64::INFINITY].map(|value| replicas(value, 1.0)), [0, u32::MAX]);
}

proptest! {
    #[test]
    fn more_is_never_fewer_replicas_and_no_figure_panics(value in any::<f64>(), more in 0.0..1e9_f64, target in any::<f64>(), now in any::<i64>(), startup in any::<u64>()) {
        prop_assert!(replicas(value, target) <= replicas(value + more, target) || !(value + more).is_finite());
        let terms = terms(Duration::from_secs(3600), vec![policy(Signal::Concurrency, target)]);
        let seen = outlook(&[(Signal::Concurrency, forecast())].into(), &terms, Duration::from_secs(startup), now);
        prop_assert_eq!(seen.is_some_and(|seen| seen.replicas > replicas(180.0, target)), false);
    }
}
