//! How long to wait before each retry. Pure.
//!
//! The shapes and the jitters are those of "Exponential Backoff And Jitter" (Brooker, AWS Architecture Blog, 2015). Does not know deadlines: a
//! wait that no attempt can follow is the caller's to leave out.

use std::time::Duration;

use fastrand::Rng;

use crate::model::{Backoff, Jitter, Retry};

/// Shifts beyond this leave no bit of a delay below its cap.
const MAX_SHIFT: u32 = 63;

/// The delays of one request.
#[derive(Clone, Debug, Default)]
pub struct Delays {
    retries: u32,
    /// The delay before, for [`Backoff::Decorrelated`].
    last: Option<Duration>,
}

impl Delays {
    /// Before the first retry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the delay before the next retry, never more than `max_delay`: jitter comes after the cap.
    ///
    /// A decorrelated delay is random by itself, and jitter leaves it alone.
    pub fn next(&mut self, settings: &Retry, rng: &mut Rng) -> Duration {
        let (base, most) = (settings.base_delay, settings.max_delay);
        let n = self.retries;
        self.retries = n.saturating_add(1);
        match settings.backoff {
            Backoff::Fixed => spread(base.min(most), settings.jitter, rng),
            Backoff::Linear => spread(base.saturating_mul(n.saturating_add(1)).min(most), settings.jitter, rng),
            Backoff::Exponential => spread(doubled(base, n, most), settings.jitter, rng),
            Backoff::Decorrelated => {
                let upper = self.last.unwrap_or(base).saturating_mul(3);
                let delay = base.saturating_add(upper.saturating_sub(base).mul_f64(rng.f64())).min(most);
                *self.last.insert(delay)
            }
        }
    }
}

/// Returns how long to wait when the endpoint `asked` for a pause by `Retry-After`: as long as it asks, but no longer than `max_delay`, and no
/// shorter than the `delay` that is due anyhow.
///
/// An endpoint that asks for more than `max_delay` is tried again after `max_delay`.
pub fn honour(asked: Option<Duration>, delay: Duration, max_delay: Duration) -> Duration {
    asked.map_or(delay, |asked| asked.min(max_delay).max(delay))
}

fn doubled(base: Duration, n: u32, most: Duration) -> Duration {
    // The nanoseconds of 500 years fit 64 bits, and so all shifts fit; what is longer is above any cap.
    let Ok(nanos) = u64::try_from(base.as_nanos()) else { return base.min(most) };
    Duration::from_nanos_u128((u128::from(nanos) << n.min(MAX_SHIFT)).min(most.as_nanos()))
}

fn spread(delay: Duration, jitter: Jitter, rng: &mut Rng) -> Duration {
    match jitter {
        Jitter::None => delay,
        Jitter::Equal => delay - delay.mul_f64(0.5 * rng.f64()),
        Jitter::Full => delay.mul_f64(rng.f64()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop, prop_assert, proptest};

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn settings(backoff: Backoff, jitter: Jitter) -> Retry {
        Retry { backoff, jitter, base_delay: ms(100), max_delay: ms(1000), ..Retry::default() }
    }

    fn delays(settings: &Retry, seed: u64) -> Vec<Duration> {
        let (mut delays, mut rng) = (Delays::new(), Rng::with_seed(seed));
        (0..6).map(|_| delays.next(settings, &mut rng)).collect()
    }

    #[test]
    fn delays_grow_as_the_backoff_says_up_to_the_cap() {
        for (backoff, expected) in [
            (Backoff::Fixed, [100, 100, 100, 100, 100, 100]),
            (Backoff::Linear, [100, 200, 300, 400, 500, 600]),
            (Backoff::Exponential, [100, 200, 400, 800, 1000, 1000]),
        ] {
            assert_eq!(delays(&settings(backoff, Jitter::None), 1), expected.map(ms), "{backoff:?}");
        }
        let capped = Retry { max_delay: ms(250), ..settings(Backoff::Linear, Jitter::None) };
        assert_eq!(delays(&capped, 1)[2..4], [ms(250), ms(250)]);
    }

    #[test]
    fn jitter_spreads_over_its_range_and_no_further() {
        for (jitter, low, high) in [(Jitter::Equal, 50.0, 100.0), (Jitter::Full, 0.0, 100.0)] {
            let first = |seed| delays(&settings(Backoff::Fixed, jitter), seed)[0].as_secs_f64() * 1000.0;
            let all: Vec<_> = (0..2000).map(first).collect();
            assert!(all.iter().all(|delay| (low..=high).contains(delay)));
            let mean = all.iter().sum::<f64>() / 2000.0;
            assert!((mean - (low + high) / 2.0).abs() < 3.0, "{jitter:?}: {mean}");
        }
    }

    #[test]
    fn a_decorrelated_delay_is_between_the_base_and_three_times_the_one_before() {
        for seed in 0..500 {
            let mut before = ms(100);
            for delay in delays(&settings(Backoff::Decorrelated, Jitter::Full), seed) {
                assert!(delay >= ms(100) && delay <= (before * 3).min(ms(1000)));
                before = delay;
            }
        }
        let capped = (0..500).filter(|&seed| delays(&settings(Backoff::Decorrelated, Jitter::None), seed).contains(&ms(1000)));
        assert!(capped.count() > 10);
    }

    #[test]
    fn the_endpoints_wish_is_honoured_up_to_the_longest_delay() {
        for (asked, delay, expected) in [(None, 100, 100), (Some(300), 100, 300), (Some(5000), 100, 1000), (Some(0), 100, 100)] {
            assert_eq!(honour(asked.map(ms), ms(delay), ms(1000)), ms(expected), "{asked:?}");
        }
    }

    fn durations() -> impl Strategy<Value = Duration> {
        (any::<u64>(), 0_u32..64).prop_map(|(nanos, shift)| Duration::from_nanos(nanos >> shift))
    }

    proptest! {
        #[test]
        fn no_delay_exceeds_the_longest(
            base in durations(),
            most in durations(),
            backoff in prop::sample::select(vec![Backoff::Fixed, Backoff::Linear, Backoff::Exponential, Backoff::Decorrelated]),
            jitter in prop::sample::select(vec![Jitter::None, Jitter::Equal, Jitter::Full]),
            seed: u64,
        ) {
            let settings = Retry { backoff, jitter, base_delay: base, max_delay: most, ..Retry::default() };
            let (mut delays, mut rng) = (Delays::new(), Rng::with_seed(seed));
            for _ in 0..100 {
                prop_assert!(delays.next(&settings, &mut rng) <= most);
            }
        }
    }

    #[test]
    fn the_longest_durations_there_are_do_no_harm() {
        for backoff in [Backoff::Fixed, Backoff::Linear, Backoff::Exponential, Backoff::Decorrelated] {
            for jitter in [Jitter::None, Jitter::Equal, Jitter::Full] {
                delays(&Retry { base_delay: Duration::MAX, max_delay: Duration::MAX, ..settings(backoff, jitter) }, 1);
            }
        }
    }
}
