//! When something is done about an endpoint. Pure.

use std::time::Duration;

use crate::kit::clock::Tick;

/// Remembers of one endpoint when something was last done.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::health) struct Healer {
    last: Option<Tick>,
}

impl Healer {
    /// Tells whether something is to be done about an endpoint that has been down since `since`, and remembers that it was.
    pub(in crate::health) fn due(&mut self, after: Duration, cooldown: Duration, since: Tick, now: Tick) -> bool {
        let is_due = now.since(since) > after && self.last.is_none_or(|last| now.since(last) >= cooldown);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn at(secs: u64) -> Tick {
        Tick::from_nanos(secs * 1_000_000_000)
    }

    fn due(healer: &mut Healer, since: u64, now: u64) -> bool {
        healer.due(Duration::from_secs(60), Duration::from_secs(300), at(since), at(now))
    }

    #[test]
    fn an_endpoint_that_stays_down_is_healed_once_per_cooldown() {
        let mut healer = Healer::default();
        let times: Vec<_> = (10..800).filter(|&now| due(&mut healer, 10, now)).collect();
        assert_eq!(times, [71, 371, 671]);
    }

    #[test]
    fn the_cooldown_outlasts_a_recovery() {
        let mut healer = Healer::default();
        assert!(due(&mut healer, 0, 100));
        assert!(!due(&mut healer, 200, 300));
        assert!(due(&mut healer, 200, 400));
    }

    proptest! {
        #[test]
        fn actions_are_a_cooldown_apart_and_none_is_early(
            after in 0..100_u64, cooldown in 0..100_u64, steps in prop::collection::vec(0..40_u64, 1..60),
        ) {
            let mut healer = Healer::default();
            let (mut now, mut last) = (0, None);
            for step in steps {
                now += step;
                let (after_s, cooldown_s) = (Duration::from_secs(after), Duration::from_secs(cooldown));
                let expected = now > after && last.is_none_or(|last| now - last >= cooldown);
                prop_assert_eq!(healer.due(after_s, cooldown_s, at(0), at(now)), expected);
                if expected {
                    prop_assert!(now > after);
                    last = Some(now);
                }
            }
        }
    }
}
