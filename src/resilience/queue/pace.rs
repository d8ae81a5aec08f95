//! How fast a queue moves, and so how long a newcomer would wait.

use std::time::Duration;

use crate::kit::clock::Tick;

/// Seconds that are remembered.
const SECONDS: usize = 10;

/// The longest advice: who is told more would not come back.
const MAX_ADVICE: Duration = Duration::from_secs(300);

/// Returns how long one who comes behind `ahead` others would wait: as many over the rate, from 1 s to 5 min; `unknown` while no rate is
/// measured.
pub fn advice(ahead: usize, per_second: Option<f64>, unknown: Duration) -> Duration {
    let wait = match per_second {
        Some(rate) => Duration::try_from_secs_f64((ahead as f64 + 1.0) / rate).unwrap_or(MAX_ADVICE),
        None => unknown,
    };
    wait.clamp(Duration::from_secs(1), MAX_ADVICE)
}

/// Counts what leaves a queue served, in the last 10 seconds.
#[derive(Debug, Default)]
pub struct Pace {
    /// Served in each second, at the second modulo the length.
    served: [u32; SECONDS],
    /// The last second written.
    second: u64,
    /// When counting began.
    began: Option<Tick>,
}

impl Pace {
    /// Notes that one was served.
    pub fn served(&mut self, now: Tick) {
        self.forget(now);
        self.began.get_or_insert(now);
        let slot = (self.second % SECONDS as u64) as usize;
        self.served[slot] = self.served[slot].saturating_add(1);
    }

    /// Returns how many are served in a second, `None` when none was in the last ten.
    pub fn per_second(&mut self, now: Tick) -> Option<f64> {
        self.forget(now);
        let served: u64 = self.served.iter().map(|&count| u64::from(count)).sum();
        let began = self.began.filter(|_| served > 0)?;
        let window = now.since(began).as_secs_f64().clamp(1.0, SECONDS as f64);
        Some(served as f64 / window)
    }

    /// Returns how long one who comes behind `depth` others would wait: depth over the measured rate, from 1 s to 5 min; `unknown` while
    /// nothing is measured.
    pub fn advice(&mut self, depth: usize, unknown: Duration, now: Tick) -> Duration {
        advice(depth, self.per_second(now), unknown)
    }

    /// Clears the seconds that have passed unwritten.
    fn forget(&mut self, now: Tick) {
        let second = now.as_nanos() / 1_000_000_000;
        let passed = second.saturating_sub(self.second);
        for step in 1..=passed.min(SECONDS as u64) {
            self.served[((self.second + step) % SECONDS as u64) as usize] = 0;
        }
        self.second = self.second.max(second);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, proptest};

    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn the_advice_is_depth_over_the_measured_rate() {
        let mut pace = Pace::default();
        assert_eq!(pace.advice(10, Duration::from_secs(30), at(0)), Duration::from_secs(30));
        // Two in each second.
        (0..20).for_each(|n| pace.served(at(n * 500)));
        let rate = pace.per_second(at(9_900)).unwrap();
        assert!((rate - 2.0).abs() < 0.1, "{rate}");
        let advice = pace.advice(39, Duration::ZERO, at(9_900));
        assert!((advice.as_secs_f64() - 20.0).abs() < 1.0, "{advice:?}");
    }

    #[test]
    fn what_is_older_than_ten_seconds_is_forgotten() {
        let mut pace = Pace::default();
        (0..100).for_each(|_| pace.served(at(0)));
        assert!(pace.per_second(at(9_000)).is_some());
        assert_eq!(pace.per_second(at(10_000)), None);
        assert_eq!(pace.advice(5, Duration::from_secs(7), at(60_000)), Duration::from_secs(7));
    }

    proptest! {
        #[test]
        fn advice_stays_between_a_second_and_five_minutes(
            times in prop::collection::vec(0_u64..60_000, 0..50), depth in 0_usize..100_000, now in 0_u64..120_000,
        ) {
            let mut pace = Pace::default();
            times.iter().for_each(|&time| pace.served(at(time)));
            let advice = pace.advice(depth, Duration::from_secs(30), at(now));
            prop_assert!(advice >= Duration::from_secs(1) && advice <= MAX_ADVICE);
        }
    }
}
