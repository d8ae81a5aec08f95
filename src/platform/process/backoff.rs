//! How long a replica that died waits for its next start. Pure.

use std::time::Duration;

use fastrand::Rng;

/// The first pause: a program that fails at once is tried ten times in the first minute, not a thousand.
const SHORTEST: Duration = Duration::from_millis(100);

/// The longest pause, jitter included.
const LONGEST: Duration = Duration::from_secs(30);

/// How long a replica must have served for its earlier deaths to be forgotten.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// Counts the deaths of one replica.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    deaths: u32,
}

impl Backoff {
    /// Takes in a death after `served` in service, and returns how long to wait: twice as long each time, and up to half as much again at random, so
    /// that replicas that died together do not start together.
    pub(super) fn next(&mut self, served: Duration, rng: &mut Rng) -> Duration {
        if served >= FORGIVEN_AFTER {
            self.deaths = 0;
        }
        let doubled = SHORTEST.saturating_mul(1_u32.checked_shl(self.deaths).unwrap_or(u32::MAX));
        self.deaths = self.deaths.saturating_add(1);
        doubled.min(LONGEST * 2 / 3).mul_f64(1.0 + rng.f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn delays(served: &[u64], seed: u64) -> Vec<Duration> {
        let (mut backoff, mut rng) = (Backoff::default(), Rng::with_seed(seed));
        served.iter().map(|served| backoff.next(Duration::from_secs(*served), &mut rng)).collect()
    }

    #[test]
    fn each_death_in_a_row_doubles_the_pause() {
        for (nth, delay) in delays(&[0; 8], 1).into_iter().enumerate() {
            let floor = SHORTEST * (1 << nth);
            assert!(floor <= delay && delay <= floor * 3 / 2, "pause {nth} is {delay:?}");
        }
    }

    #[test]
    fn a_minute_of_service_forgives() {
        let delays = delays(&[0, 0, 0, 0, 59, 60, 0], 2);
        assert!(delays[4] >= SHORTEST * 16, "{delays:?}");
        assert!(delays[5] <= SHORTEST * 3 / 2, "{delays:?}");
        assert!(delays[6] >= SHORTEST * 2, "{delays:?}");
    }

    #[test]
    fn pauses_differ_by_chance() {
        assert_ne!(delays(&[0; 3], 3), delays(&[0; 3], 4));
    }

    proptest! {
        #[test]
        fn a_pause_is_within_its_bounds(deaths in any::<u32>(), served in 0_u64..1000, seed in any::<u64>()) {
            let delay = Backoff { deaths }.next(Duration::from_secs(served), &mut Rng::with_seed(seed));
            assert!((SHORTEST..=LONGEST).contains(&delay), "{delay:?}");
        }
    }
}
