//! When an endpoint is checked next. Pure.
//!
//! First checks are spread, so that a pool of a thousand endpoints is not asked in one burst at every start, and later ones drift apart by
//! jitter. Deliberately not here: waiting.

use std::time::Duration;

use fastrand::Rng;

use super::verdict::{First, Standing};
use crate::kit::clock::Tick;
use crate::model::Health;

/// A spread start takes no longer than this: an endpoint of the file is in use before it has been checked.
const MAX_SPREAD: Duration = Duration::from_secs(5);

/// The jitter, either way, as a ratio.
const JITTER: f64 = 0.1;

/// A floor under intervals, so that a zero in the file does not spin.
const MIN_PAUSE: Duration = Duration::from_millis(10);

/// Returns when an endpoint that is new is checked: at once when it waits for that, otherwise at a random moment of the interval's first five
/// seconds.
pub fn first(health: &Health, first: First, now: Tick, rng: &mut Rng) -> Tick {
    match first {
        First::AfterGoodCheck => now,
        First::UseAtOnce => now + health.interval.min(MAX_SPREAD).mul_f64(rng.f64()),
    }
}

/// Returns when an endpoint is checked again after a check that ended `now`: in `interval`, or `unhealthy_interval` while it is down, 10% more or
/// less.
pub fn next(health: &Health, standing: Standing, now: Tick, rng: &mut Rng) -> Tick {
    let interval = match standing {
        Standing::Healthy | Standing::Degraded => health.interval,
        Standing::Unhealthy => health.unhealthy_interval,
    };
    now + jittered(interval, rng).max(MIN_PAUSE)
}

fn jittered(interval: Duration, rng: &mut Rng) -> Duration {
    let seconds = interval.as_secs_f64() * (1.0 - JITTER + 2.0 * JITTER * rng.f64());
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::health::testing::health;

    const NOW: Tick = Tick::from_nanos(7_000_000_000);

    fn secs(from: f64, to: f64, found: Tick) -> bool {
        (from..=to).contains(&found.since(NOW).as_secs_f64())
    }

    #[test]
    fn first_checks_are_spread_over_the_interval_and_at_most_five_seconds() {
        let mut rng = Rng::with_seed(1);
        for (interval, spread) in [(30, 5.0), (2, 2.0)] {
            let health = Health { interval: Duration::from_secs(interval), ..health() };
            let mut starts: Vec<_> = (0..1000).map(|_| first(&health, First::UseAtOnce, NOW, &mut rng)).collect();
            starts.sort_unstable();
            assert!(starts.iter().all(|&start| secs(0.0, spread, start)));
            assert!(secs(spread * 0.4, spread * 0.6, starts[500]));
        }
    }

    #[test]
    fn an_endpoint_that_waits_is_checked_at_once() {
        assert_eq!(first(&health(), First::AfterGoodCheck, NOW, &mut Rng::with_seed(1)), NOW);
    }

    #[test]
    fn an_interval_of_nothing_or_for_ever_is_bounded() {
        let mut rng = Rng::with_seed(1);
        let health = |interval| Health { interval, ..health() };
        assert_eq!(next(&health(Duration::ZERO), Standing::Healthy, NOW, &mut rng), NOW + MIN_PAUSE);
        assert!(next(&health(Duration::MAX), Standing::Healthy, NOW, &mut rng) > NOW + Duration::from_secs(1 << 30));
    }

    proptest! {
        #[test]
        fn the_next_check_is_within_a_tenth_of_the_interval(seed in any::<u64>(), interval in 1..3600_u64, down in 1..3600_u64) {
            let health = Health { interval: Duration::from_secs(interval), unhealthy_interval: Duration::from_secs(down), ..health() };
            for (standing, around) in [(Standing::Healthy, interval), (Standing::Degraded, interval), (Standing::Unhealthy, down)] {
                let around = around as f64;
                let found = next(&health, standing, NOW, &mut Rng::with_seed(seed));
                prop_assert!(secs(around * 0.9 - 1e-6, around * 1.1 + 1e-6, found), "{:?}", found.since(NOW));
                prop_assert_eq!(found, next(&health, standing, NOW, &mut Rng::with_seed(seed)));
            }
        }
    }
}
