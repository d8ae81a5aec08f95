use fastrand::Rng;
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};

use super::*;
use crate::autoscale::forecast::testing::{policy, terms};

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MS: i64 = 3_600_000;

/// A day with its peak at noon, in steps of an hour so that models are fitted quickly.
fn days(points: usize) -> Series {
    let mut rng = Rng::with_seed(3);
    let value = |at: usize| {
        let hour = (at % 24) as f64 / 24.0 * std::f64::consts::TAU;
        Some(100.0 - 80.0 * hour.cos() + rng.f64() * 4.0)
    };
    Series { step: HOUR, start_unix_ms: 0, values: (0..points).map(value).collect() }
}

fn until(series: &Series, points: usize) -> Series {
    Series { values: series.values[..points].to_vec(), ..series.clone() }
}

fn six_hours() -> Terms {
    terms(HOUR * 6, vec![policy(Signal::Concurrency, 8.0), policy(Signal::Concurrency, 10.0), policy(Signal::QueueWait, 1.0)])
}

fn update(forecaster: &mut Forecaster, series: &Series, terms: &Terms) -> Forecast {
    let context = Context { terms, startup: HOUR, now_unix_ms: series.end_unix_ms() };
    forecaster.update(&Signal::Concurrency, series, &context);
    forecaster.forecasts().remove(&Signal::Concurrency).unwrap()
}

#[test]
fn a_day_that_repeats_is_seen_before_it_comes() {
    let (series, terms) = (days(24 * 6 + 6), six_hours());
    let mut forecaster = Forecaster::default();
    let forecast = update(&mut forecaster, &series, &terms);
    assert!(forecast.confidence > 0.9 && !forecast.demoted, "{forecast:?}");
    assert_eq!(forecast.steps.iter().map(|step| step.unix_ms / HOUR_MS).collect::<Vec<_>>(), (150..157).collect::<Vec<_>>());
    assert!(forecast.steps.iter().all(|step| step.value <= step.upper && step.upper < step.value + 20.0), "{forecast:?}");
    // At 6 in the morning 100 run, at noon 180: 8 for each replica.
    let context = Context { terms: &terms, startup: HOUR, now_unix_ms: series.end_unix_ms() };
    let outlook = forecaster.outlook(&context).unwrap();
    assert!((23..=25).contains(&outlook.replicas), "{outlook:?}");
    assert_eq!(outlook.peak_unix_ms, (24 * 6 + 12) * HOUR_MS);
    assert!(forecast.reason.ends_with("was best of 4 in 18 forecasts of the last day"), "{}", forecast.reason);
}

#[test]
fn without_enough_of_the_past_there_is_none_and_it_says_why() {
    let forecast = update(&mut Forecaster::default(), &days(99), &six_hours());
    assert_eq!((forecast.model, forecast.steps.len(), forecast.confidence), (None, 0, 0.0));
    assert_eq!(forecast.reason, "needs 100 points of 60 minutes, has 99");
}

#[test]
fn what_was_filled_in_is_said() {
    let mut series = days(24 * 6);
    series.values[50..53].fill(None);
    let forecast = update(&mut Forecaster::default(), &series, &six_hours());
    assert!(forecast.reason.ends_with("of the last day; 3 of 144 points were filled in"), "{}", forecast.reason);
}

#[test]
fn signals_are_those_of_targets_and_no_others() {
    let terms = six_hours();
    assert_eq!(Forecaster::signals(&terms), [Signal::Concurrency]);
    assert_eq!(Forecaster::signals(&Terms { forecast: None, ..terms.clone() }), []);
    let mut forecaster = Forecaster::default();
    let context = Context { terms: &terms, startup: HOUR, now_unix_ms: 0 };
    forecaster.update(&Signal::RequestRate, &days(200), &context);
    assert!(forecaster.forecasts().is_empty());
    update(&mut forecaster, &days(120), &terms);
    forecaster.retain(&terms);
    assert_eq!(forecaster.forecasts().len(), 1);
    forecaster.retain(&super::super::testing::terms(HOUR, Vec::new()));
    assert!(forecaster.forecasts().is_empty());
}

#[test]
fn an_update_is_due_when_a_step_has_gone_by_or_the_clock_was_set_back() {
    let mut forecaster = Forecaster::default();
    let series = days(120);
    assert!(forecaster.due(&Signal::Concurrency, 0));
    update(&mut forecaster, &series, &six_hours());
    let made = series.end_unix_ms();
    let due = [made, made + HOUR_MS - 1, made + HOUR_MS, made - 1].map(|now| forecaster.due(&Signal::Concurrency, now));
    assert_eq!(due, [false, false, true, true]);
}

/// Steps of five minutes, without season.
fn minutes(points: usize) -> Series {
    let value = |at: usize| Some(50.0 + (at % 7) as f64);
    Series { step: Duration::from_secs(300), start_unix_ms: 0, values: (0..points).map(value).collect() }
}

#[test]
fn models_compete_once_an_hour_and_when_the_terms_change() {
    let mut terms = six_hours();
    terms.forecast = Some(model::Forecast { horizon: HOUR / 2, daily: false, weekly: false, ..model::Forecast::default() });
    let mut forecaster = Forecaster::default();
    let held = |forecaster: &Forecaster| forecaster.tracks[&Signal::Concurrency].challenge.as_ref().unwrap().unix_ms;
    let mut at = |points: usize, terms: &Terms| {
        update(&mut forecaster, &minutes(points), terms);
        held(&forecaster) / 300_000
    };
    assert_eq!([100, 101, 111, 112].map(|points| at(points, &terms)), [100, 100, 100, 112]);
    terms.forecast = Some(model::Forecast { horizon: HOUR * 2, daily: false, weekly: false, ..model::Forecast::default() });
    assert_eq!(at(113, &terms), 113);
    assert_eq!(at(112, &terms), 112, "the clock was set back");
}

#[test]
fn a_forecast_that_is_worse_than_none_is_demoted() {
    let terms = six_hours();
    let mut series = days(24 * 6 + 60);
    // From the sixth day on nothing changes any more, and the season goes on saying that it does.
    series.values[24 * 6..].fill(Some(100.0));
    let mut forecaster = Forecaster::default();
    // Hand it a winner that it keeps: the challenge is not due as long as the clock says so.
    let first = update(&mut forecaster, &until(&series, 24 * 6), &terms);
    assert!(!first.demoted);
    let mut demoted = Vec::new();
    for points in 24 * 6 + 1..24 * 6 + 60 {
        if let Some(held) = forecaster.tracks.get_mut(&Signal::Concurrency).and_then(|track| track.challenge.as_mut()) {
            held.unix_ms = at(0, HOUR, points);
            held.challenge.winner = Model::SeasonalNaiveDaily;
        }
        demoted.push(update(&mut forecaster, &until(&series, points), &terms).demoted);
        if demoted.len() == 26 {
            let lately = forecaster.forecasts()[&Signal::Concurrency].lately.unwrap();
            assert!(lately.error > 2.0 && lately.error_without < lately.error, "{lately:?}");
        }
    }
    assert_eq!(demoted.iter().position(|is| *is), Some(24));
    assert_eq!(
        forecaster
            .outlook(&Context { terms: &terms, startup: HOUR, now_unix_ms: at(0, HOUR, 24 * 6 + 59) })
            .map(|outlook| outlook.is_demoted),
        Some(true)
    );
}

#[test]
fn what_was_said_and_what_came_can_be_shown() {
    let (series, terms) = (days(24 * 7), six_hours());
    let mut forecaster = Forecaster::default();
    for points in 24 * 6..24 * 6 + 4 {
        update(&mut forecaster, &until(&series, points), &terms);
    }
    // Each is for the hour in which a replica would serve that was ordered when it was made.
    let past: Vec<_> = forecaster.past(&Signal::Concurrency).map(|made| (made.unix_ms / HOUR_MS, made.came)).collect();
    assert_eq!(past, [(145, series.values[145]), (146, series.values[146]), (147, None), (148, None)]);
    assert!(forecaster.past(&Signal::Concurrency).all(|made| (made.said - series.at(made.unix_ms).unwrap()).abs() < 20.0));
    assert_eq!(forecaster.past(&Signal::RequestRate).count(), 0);
}

#[test]
fn all_that_it_knows_can_be_written_down_and_read_back() {
    let mut forecaster = Forecaster::default();
    update(&mut forecaster, &days(24 * 6), &six_hours());
    let text = serde_json::to_string(&forecaster).unwrap();
    assert_eq!(serde_json::from_str::<Forecaster>(&text).unwrap(), forecaster);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whatever_the_past_the_forecast_is_finite_and_its_confidence_a_ratio(
        values in prop::collection::vec(prop::option::weighted(0.95, 0.0..1e9_f64), 0..160),
        step in prop::sample::select(vec![0, 1, 300, 3600, u64::MAX]),
        now in any::<i64>(),
        startup in any::<u64>(),
    ) {
        let series = Series { step: Duration::from_secs(step), start_unix_ms: 0, values };
        let mut terms = six_hours();
        terms.forecast = Some(model::Forecast { horizon: Duration::from_secs(step.saturating_mul(5)), ..model::Forecast::default() });
        let context = Context { terms: &terms, startup: Duration::from_secs(startup.min(step.saturating_mul(9))), now_unix_ms: now };
        let mut forecaster = Forecaster::default();
        forecaster.update(&Signal::Concurrency, &series, &context);
        let forecast = forecaster.forecasts().remove(&Signal::Concurrency).unwrap();
        prop_assert!((0.0..=1.0).contains(&forecast.confidence));
        prop_assert!(forecast.steps.iter().all(|step| step.value.is_finite() && step.value >= 0.0 && step.upper.is_finite() && step.upper >= 0.0));
        forecaster.outlook(&context);
    }
}
