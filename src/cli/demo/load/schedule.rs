//! When the load asks for what: calm, a burst, calm, a rest, over and over; the same seed asks the same. Pure.
//!
//! In a calm time requests come one by one, so that one replica is enough and nobody waits. In a burst they come at random
//! (a Poisson process: independent clients), several times what one replica can do.

use std::time::Duration;

use fastrand::Rng;

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// One by one.
    Calm,
    /// Many at once.
    Burst,
    /// Not at all.
    Rest,
}

/// One round.
const ROUND: [(Phase, Duration); 4] = [
    (Phase::Calm, Duration::from_secs(3)),
    (Phase::Burst, Duration::from_secs(12)),
    (Phase::Calm, Duration::from_secs(12)),
    (Phase::Rest, Duration::from_secs(13)),
];

/// From one request to the next in a calm time, give or take a fifth: longer than an answer takes.
const CALM_GAP: Duration = Duration::from_millis(250);

/// Of so many requests in a calm time, one is a stream: it has ended before the next begins, so that a replica's other slot is free.
const CALM_STREAMS: u32 = 16;

/// The mean time from one request to the next in a burst: 36 a second, which keep some nine slots busy.
const BURST_GAP: Duration = Duration::from_nanos(1_000_000_000 / 36);

/// The share of streams in a burst.
const BURST_STREAMS: f64 = 1.0 / 24.0;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// One short answer.
    Answer,
    /// Two seconds of tokens.
    Stream,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// When, from the beginning.
    pub(super) at: Duration,
    /// For what.
    pub(super) ask: Ask,
}

/// All requests, without an end.
#[derive(Debug)]
pub(super) struct Schedule {
    rng: Rng,
    at: Duration,
    calm: u32,
}

impl Phase {
    /// Returns the phase at a time from the beginning, and when it ends.
    pub(super) fn at(at: Duration) -> (Self, Duration) {
        let round: Duration = ROUND.iter().map(|(_, lasts)| *lasts).sum();
        let within = at.as_nanos() % round.as_nanos();
        let within = Duration::from_nanos(u64::try_from(within).expect("a round is shorter than five hundred years"));
        let mut end = Duration::ZERO;
        for (phase, lasts) in ROUND {
            end += lasts;
            if within < end {
                return (phase, at + (end - within));
            }
        }
        (Self::Rest, at + (round - within))
    }

    /// Returns its name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Burst => "burst",
            Self::Rest => "rest",
        }
    }
}

impl Schedule {
    /// Begins with a calm time.
    pub(super) const fn new(rng: Rng) -> Self {
        Self { rng, at: Duration::ZERO, calm: 0 }
    }

    fn calm_ask(&mut self) -> Ask {
        self.calm = self.calm.wrapping_add(1);
        // The first of them soon, so that also a short load has one.
        if self.calm % CALM_STREAMS == 3 { Ask::Stream } else { Ask::Answer }
    }
}

impl Iterator for Schedule {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        loop {
            let (phase, end) = Phase::at(self.at);
            let gap = match phase {
                Phase::Calm => CALM_GAP.mul_f64(0.8 + 0.4 * self.rng.f64()),
                // Exponential, by inversion; the argument of the logarithm is above 0 and at most 1.
                Phase::Burst => BURST_GAP.mul_f64((1.0 - self.rng.f64()).ln().abs()),
                Phase::Rest => end - self.at,
            };
            self.at = (self.at + gap).min(end);
            if self.at == end {
                continue;
            }
            let ask = match phase {
                Phase::Burst if self.rng.f64() < BURST_STREAMS => Ask::Stream,
                Phase::Burst | Phase::Rest => Ask::Answer,
                Phase::Calm => self.calm_ask(),
            };
            return Some(Arrival { at: self.at, ask });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, proptest};

    use super::*;

    fn schedule(seed: u64) -> Schedule {
        Schedule::new(Rng::with_seed(seed))
    }

    fn round(seed: u64) -> Vec<Arrival> {
        schedule(seed).take_while(|arrival| arrival.at < Duration::from_secs(40)).collect()
    }

    #[test]
    fn a_round_is_calm_burst_calm_rest_and_then_begins_anew() {
        let at = |seconds| Phase::at(Duration::from_secs_f64(seconds));
        let end = Duration::from_secs;
        for (seconds, expected) in [
            (0.0, (Phase::Calm, end(3))),
            (2.999, (Phase::Calm, end(3))),
            (3.0, (Phase::Burst, end(15))),
            (15.0, (Phase::Calm, end(27))),
            (27.0, (Phase::Rest, end(40))),
            (40.0, (Phase::Calm, end(43))),
            (4003.5, (Phase::Burst, end(4015))),
        ] {
            assert_eq!(at(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn a_burst_has_several_times_the_requests_of_a_calm_time_and_a_rest_none() {
        let arrivals = round(1);
        let of = |phase| arrivals.iter().filter(|arrival| Phase::at(arrival.at).0 == phase).count();
        // 15 s with one each quarter of a second; 12 s with 36 each second, give or take five deviations.
        assert!((50..=75).contains(&of(Phase::Calm)), "{}", of(Phase::Calm));
        assert!((328..=536).contains(&of(Phase::Burst)), "{}", of(Phase::Burst));
        assert_eq!(of(Phase::Rest), 0);
    }

    #[test]
    fn there_are_streams_from_the_first_second_on() {
        let streams: Vec<_> = round(1).into_iter().filter(|arrival| arrival.ask == Ask::Stream).collect();
        assert!(streams[0].at < Duration::from_secs(1), "{streams:?}");
        assert!(streams.iter().any(|stream| Phase::at(stream.at).0 == Phase::Burst), "{streams:?}");
    }

    #[test]
    fn the_same_seed_asks_the_same_and_another_does_not() {
        assert_eq!(round(7), round(7));
        assert_ne!(round(7), round(8));
    }

    proptest! {
        #[test]
        fn requests_come_in_order_and_the_calm_ones_apart(seed: u64) {
            let arrivals: Vec<_> = schedule(seed).take(1500).collect();
            for pair in arrivals.windows(2) {
                prop_assert!(pair[0].at <= pair[1].at);
                let both_calm = pair.iter().all(|arrival| Phase::at(arrival.at).0 == Phase::Calm);
                // Of two calm times in a row the second begins anew.
                if both_calm && Phase::at(pair[0].at).1 == Phase::at(pair[1].at).1 {
                    prop_assert!(pair[1].at - pair[0].at >= Duration::from_millis(200));
                }
            }
            prop_assert!(arrivals.iter().all(|arrival| Phase::at(arrival.at).0 != Phase::Rest));
        }
    }
}
