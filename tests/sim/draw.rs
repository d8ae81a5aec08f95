//! The distributions that simulations draw from.

use std::time::Duration;

use fastrand::Rng;

/// Mean of a normal distribution with mean 1 and standard deviation 1 that is cut off at 0: `1 + pdf(1) / cdf(1)` of the standard one.
pub(crate) const MEAN_OF_POSITIVE_NORMAL: f64 = 1.287_599_970_8;

/// Draws from the exponential distribution.
pub(crate) fn exponential(mean: Duration, rng: &mut Rng) -> Duration {
    mean.mul_f64(-(1.0 - rng.f64()).ln())
}

/// Draws from the normal distribution (Box and Muller 1958, "A Note on the Generation of Random Normal Deviates").
pub(crate) fn normal(mean: f64, deviation: f64, rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    mean + deviation * radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// Draws from the normal distribution whose standard deviation is its mean, cut off at 0 by drawing again.
pub(crate) fn positive_normal(mean: f64, rng: &mut Rng) -> f64 {
    std::iter::repeat_with(|| normal(mean, mean, rng)).find(|&drawn| drawn > 0.0).expect("the iterator has no end")
}

#[test]
fn what_is_drawn_has_the_mean_that_is_claimed() {
    let mut rng = Rng::with_seed(3);
    let n = 100_000;
    let mut mean = |draw: fn(&mut Rng) -> f64| (0..n).map(|_| draw(&mut rng)).sum::<f64>() / f64::from(n);
    assert!((mean(|rng| exponential(Duration::from_secs(2), rng).as_secs_f64()) - 2.0).abs() < 0.03);
    assert!((mean(|rng| normal(5.0, 2.0, rng)) - 5.0).abs() < 0.03);
    assert!((mean(|rng| (normal(5.0, 2.0, rng) - 5.0).powi(2)) - 4.0).abs() < 0.1);
    assert!((mean(|rng| positive_normal(3.0, rng)) / 3.0 - MEAN_OF_POSITIVE_NORMAL).abs() < 0.01);
}
