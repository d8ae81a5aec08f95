//! How long a server that failed is left alone. Pure.

use std::time::Duration;

use fastrand::Rng;

/// The first pause: long enough not to spin, short enough that a cut watch is not noticed.
const FIRST: Duration = Duration::from_millis(200);

/// The longest pause: endpoints that come after an outage are found within it.
const LONGEST: Duration = Duration::from_secs(10);

/// Pauses that double with every failure in a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Counts a failure and returns the pause after it: half of it is left to chance, so that gateways do not come back in step.
    pub(super) fn fail(&mut self, rng: &mut Rng) -> Duration {
        let full = FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(rng.f64().mul_add(0.5, 0.5))
    }

    /// Forgets the failures.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_anew_after_a_success() {
        let (mut backoff, mut rng) = (Backoff::default(), Rng::with_seed(7));
        for failure in 0..50 {
            let full = FIRST.saturating_mul(1 << failure.min(10)).min(LONGEST);
            let pause = backoff.fail(&mut rng);
            assert!(pause >= full / 2 && pause <= full, "{pause:?} after {failure} failures");
        }
        backoff.reset();
        assert!(backoff.fail(&mut rng) <= FIRST);
    }
}
