use fastrand::Rng;
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};

use super::*;

/// A day of 24 steps, so that models are fitted quickly.
const SEASONS: Seasons = Seasons { daily: Some(24), weekly: Some(168) };

const ALL: [Model; 7] = [
    Model::LastValue,
    Model::SeasonalNaiveDaily,
    Model::SeasonalNaiveWeekly,
    Model::Ets,
    Model::MstlDaily,
    Model::MstlWeekly,
    Model::MstlDailyWeekly,
];

/// Days and weeks with some noise.
fn series(points: usize) -> Vec<f64> {
    let mut rng = Rng::with_seed(7);
    (0..points)
        .map(|at| {
            let day = (at % 24) as f64 / 24.0 * std::f64::consts::TAU;
            let week = if at / 24 % 7 >= 5 { 40.0 } else { 0.0 };
            100.0 - 50.0 * day.cos() - week + rng.f64()
        })
        .collect()
}

#[test]
fn seasons_are_those_of_the_terms_in_steps() {
    let terms = model::Forecast::default();
    let of = |seconds| Seasons::of(&terms, Duration::from_secs(seconds));
    assert_eq!(of(300), Seasons { daily: Some(288), weekly: Some(2016) });
    assert_eq!(of(3600), SEASONS);
    for odd in [0, 7 * 60, 24 * 60 * 60, 100 * 60 * 60] {
        assert_eq!(of(odd), Seasons::default(), "a step of {odd} s");
    }
    let neither = model::Forecast { daily: false, weekly: false, ..terms };
    assert_eq!(Seasons::of(&neither, Duration::from_secs(300)), Seasons::default());
}

#[test]
fn a_season_is_looked_for_from_two_of_its_kind() {
    let daily = [Model::LastValue, Model::SeasonalNaiveDaily, Model::Ets, Model::MstlDaily];
    assert_eq!(Model::candidates(SEASONS, 47), [Model::LastValue, Model::Ets]);
    assert_eq!(Model::candidates(SEASONS, 48), daily);
    assert_eq!(Model::candidates(SEASONS, 335), daily);
    let all = Model::candidates(SEASONS, 336);
    assert!(all.contains(&Model::MstlDailyWeekly) && all.contains(&Model::SeasonalNaiveWeekly));
    let weekly = Model::candidates(Seasons { daily: None, ..SEASONS }, 336);
    assert_eq!(weekly, [Model::LastValue, Model::SeasonalNaiveWeekly, Model::Ets, Model::MstlWeekly]);
}

#[test]
fn naive_models_repeat_what_was() {
    let values: Vec<_> = (0..400).map(f64::from).collect();
    let say = |model: Model, steps| model.run(&values, SEASONS, steps).values;
    assert_eq!(say(Model::LastValue, 3), [399.0; 3]);
    assert_eq!(say(Model::SeasonalNaiveDaily, 3), [376.0, 377.0, 378.0]);
    assert_eq!(say(Model::SeasonalNaiveDaily, 25)[24], 376.0);
    assert_eq!(say(Model::SeasonalNaiveWeekly, 2), [232.0, 233.0]);
}

#[test]
fn smoothing_follows_a_slope() {
    let values: Vec<_> = (0..120).map(|at| 100.0 + 2.0 * f64::from(at) + f64::from(at % 2)).collect();
    let run = Model::Ets.run(&values, SEASONS, 5);
    assert_eq!(run.model, Model::Ets);
    assert!((run.values[4] - 348.0).abs() < 6.0, "{:?}", run.values);
}

#[test]
fn a_decomposition_knows_the_hour_and_the_weekday() {
    let values = series(5 * 168 + 5 * 24);
    let (known, coming) = values.split_at(5 * 168 + 4 * 24 + 20);
    // It is Friday evening, and the weekend begins in four hours.
    let run = Model::MstlDailyWeekly.run(&known[..known.len()], SEASONS, coming.len());
    assert_eq!(run.model, Model::MstlDailyWeekly);
    for (said, came) in run.values.iter().zip(coming) {
        assert!((said - came).abs() < 5.0, "{said} for {came}");
    }
    let daily = Model::MstlDaily.run(&series(10 * 24 + 6)[..], SEASONS, 12);
    assert_eq!(daily.model, Model::MstlDaily);
    assert!(daily.values[6] > daily.values[0] + 30.0, "{:?}", daily.values);
}

#[test]
fn what_cannot_be_fitted_is_said_by_the_next_plainer_model() {
    let short = series(60);
    let by = |model: Model, values: &[f64]| model.run(values, SEASONS, 4).model;
    assert_eq!(by(Model::MstlDailyWeekly, &short), Model::MstlDaily);
    assert_eq!(by(Model::MstlDailyWeekly, &short[..40]), Model::Ets);
    assert_eq!(by(Model::MstlWeekly, &short), Model::Ets);
    assert_eq!(by(Model::MstlDaily, &short[..5]), Model::LastValue);
    assert_eq!(by(Model::SeasonalNaiveWeekly, &short), Model::SeasonalNaiveDaily);
    assert_eq!(by(Model::SeasonalNaiveWeekly, &short[..20]), Model::LastValue);
    for flat in [0.0, 5.0, f64::MAX, 5e-324] {
        let run = Model::MstlDailyWeekly.run(&[flat; 400], SEASONS, 4);
        assert_eq!((run.model, run.values), (Model::LastValue, vec![flat; 4]));
    }
    assert_eq!(Model::MstlDaily.run(&[], SEASONS, 2), Run { model: Model::LastValue, values: vec![0.0; 2] });
}

#[test]
fn no_forecast_is_below_zero_or_far_beyond_what_was_seen() {
    let falling: Vec<_> = (0..120).map(|at| f64::from(240 - 2 * at + at % 2)).collect();
    assert_eq!(Model::Ets.run(&falling, SEASONS, 40).values[39], 0.0);
    let rising: Vec<_> = (0..120).map(|at| f64::from(2 * at + at % 2)).collect();
    let far = Model::Ets.run(&rising, SEASONS, 2000).values;
    assert!(far.iter().all(|value| *value <= 2.0 * 239.0), "{:?}", far.last());
}

#[test]
fn words_are_those_of_the_admin_api() {
    for model in ALL {
        assert_eq!(serde_json::to_string(&model).unwrap(), format!("\"{}\"", model.as_str()));
    }
}

/// What traffic does not look like, and figures may.
fn odd() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(5e-324), Just(f64::MAX), Just(1e300), Just(1.0), 0.0..1e-300, 0.0..1e9]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_the_series_every_model_says_as_many_finite_values_as_asked(
        pattern in prop::collection::vec(odd(), 1..6),
        noise in any::<u64>(),
        points in 0..400_usize,
        steps in 0..14_usize,
    ) {
        let mut rng = Rng::with_seed(noise);
        let values: Vec<_> = (0..points).map(|_| pattern[rng.usize(..pattern.len())]).collect();
        for model in ALL {
            let run = model.run(&values, SEASONS, steps);
            prop_assert_eq!(run.values.len(), steps);
            prop_assert!(run.values.iter().all(|value| value.is_finite() && *value >= 0.0), "{} of {:?}", model.as_str(), run);
        }
    }
}
