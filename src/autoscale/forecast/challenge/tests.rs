use fastrand::Rng;
use proptest::prelude::{ProptestConfig, prop, prop_assert, proptest};

use super::*;

const SEASONS: Seasons = Seasons { daily: Some(24), weekly: None };

fn hold(values: &[f64]) -> Challenge {
    Challenge::hold(&Trial { values, seasons: SEASONS, day: 24, steps: 6 })
}

fn held(residuals: Vec<Vec<f64>>) -> Challenge {
    Challenge { winner: Model::Ets, scores: Vec::new(), origins: residuals.first().map_or(0, Vec::len), residuals }
}

/// 1 to 8 each hour of the day, always the same, far from smooth.
fn steps_of_a_day(points: usize) -> Vec<f64> {
    (0..points).map(|at| [5.0, 1.0, 7.0, 2.0, 8.0, 3.0][at * at % 24 % 6] + (at % 24) as f64).collect()
}

#[test]
fn the_scale_is_the_seasonal_naive_error_of_the_past() {
    // Hyndman and Koehler 2006, section 3, by hand: |3-1|, |5-2|, |1-3| with a season of two.
    let two = Seasons { daily: Some(2), weekly: None };
    assert_eq!(scale(&[1.0, 2.0, 3.0, 5.0, 1.0], two), Some(7.0 / 3.0));
    let none = Seasons::default();
    assert_eq!(scale(&[1.0, 2.0, 4.0], none), Some(1.5));
    assert_eq!(scale(&[1.0, 2.0, 4.0], SEASONS), Some(1.5), "a season that does not fit is none");
    assert_eq!(scale(&[3.0; 10], none), None);
    assert_eq!(scale(&[], none), None);
}

#[test]
fn errors_are_measured_by_hand_for_the_last_value() {
    // 60 values, the last 24 are tried, 6 ahead; a slope of 1, so that h steps ahead it is h short.
    let values: Vec<_> = (0..60).map(f64::from).collect();
    let challenge = Challenge::hold(&Trial { values: &values, seasons: Seasons::default(), day: 24, steps: 6 });
    let last = challenge.scores[0];
    assert_eq!(last.model, Model::LastValue);
    assert!((last.mae - 3.5).abs() < 1e-9 && (last.mase.unwrap() - 3.5).abs() < 1e-9, "{last:?}");
    // 19 origins, from 36 to 54 known values; the values that came next are 36 + 0..6 to 54 + 0..6.
    assert_eq!(challenge.origins, 19);
    assert!((last.wape.unwrap() - 3.5 / 47.5).abs() < 1e-9);
    assert_eq!(challenge.winner, Model::Ets);
}

#[test]
fn what_repeats_each_day_is_won_by_a_season() {
    let challenge = hold(&steps_of_a_day(24 * 8));
    assert_eq!(challenge.winner, Model::SeasonalNaiveDaily);
    assert_eq!(challenge.best().map(|best| (best.mae, best.wape)), Some((0.0, Some(0.0))));
    assert_eq!(challenge.margin(0, 0.9), 0.0);
}

#[test]
fn of_equal_models_the_plainest_wins() {
    assert_eq!(hold(&[4.0; 200]).winner, Model::LastValue);
    assert_eq!(hold(&[0.0; 200]).best().and_then(|best| best.wape), None);
}

#[test]
fn noise_around_a_season_is_won_by_the_decomposition() {
    let mut rng = Rng::with_seed(1);
    let values: Vec<_> = steps_of_a_day(24 * 14).into_iter().map(|value| 3.0 * value + 6.0 * rng.f64()).collect();
    let challenge = hold(&values);
    assert_eq!(challenge.winner, Model::MstlDaily, "{:?}", challenge.scores);
    let mase = |model| challenge.scores.iter().find(|score| score.model == model).and_then(|score| score.mase).unwrap();
    assert!(mase(Model::MstlDaily) < 0.9 && mase(Model::LastValue) > 1.5, "{:?}", challenge.scores);
}

#[test]
fn the_margin_is_the_rank_of_the_errors_at_that_distance() {
    let near: Vec<_> = (1..=99).map(f64::from).collect();
    let far: Vec<_> = near.iter().map(|error| error * 10.0).collect();
    let challenge = held(vec![near, far]);
    assert_eq!([0.9, 0.5, 0.0].map(|quantile| challenge.margin(0, quantile)), [90.0, 50.0, 1.0]);
    assert_eq!([1, 2, 99].map(|distance| challenge.margin(distance, 0.9)), [900.0; 3]);
    assert_eq!(challenge.margin(0, 1.0), 99.0);
    assert_eq!(held(Vec::new()).margin(3, 0.9), 0.0);
}

#[test]
fn a_distance_with_few_errors_takes_those_of_its_neighbours_too() {
    let lists = (0..5_i32).map(|distance| (0..15).map(|_| f64::from(distance)).collect()).collect();
    let challenge = held(lists);
    assert_eq!(challenge.margin(2, 1.0), 3.0, "one on each side makes 45");
    assert_eq!(challenge.margin(0, 1.0), 2.0, "two on its one side make 45");
}

#[test]
fn no_forecast_is_tried_on_what_it_has_seen() {
    let values = steps_of_a_day(24 * 5);
    let trial = Trial { values: &values, seasons: SEASONS, day: 24, steps: 6 };
    let origins = trial.origins();
    assert_eq!((origins.first(), origins.last(), origins.len()), (Some(&96), Some(&114), 19));
    let spaced = Trial { day: 100, ..trial }.origins();
    assert_eq!((spaced.len(), spaced.last()), (24, Some(&114)));
    assert!(spaced.windows(2).all(|pair| pair[0] < pair[1]), "{spaced:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_challenge_of_anything_has_a_winner_that_is_not_worse_than_others(
        values in prop::collection::vec(0.0..1e6_f64, 0..120), day in 0..60_usize, steps in 0..30_usize,
    ) {
        let challenge = Challenge::hold(&Trial { values: &values, seasons: SEASONS, day, steps });
        let best = challenge.best().unwrap();
        prop_assert!(challenge.scores.iter().all(|score| best.mae <= score.mae));
        prop_assert!((0..steps).all(|distance| challenge.margin(distance, 0.9).is_finite()));
        prop_assert!(challenge.margin(0, 0.5) <= challenge.margin(0, 0.9));
    }
}
