//! Whether everybody who was found has answered. Pure.
//!
//! A gateway that has just begun to lead has heard of nobody: that nobody is missed then means nothing. Who was found and does not answer is missed
//! for as long as one who was heard of before.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::sum::{FRESH_MS, MISSED_MS};
use crate::kit::clock::Tick;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It was answered.
    Said,
    /// Nobody is there.
    Absent,
    /// Somebody is there and does not tell.
    Refuses,
}

/// The gateways that were called, and those that did not answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Roll {
    /// When everybody was called last; `None`: not since this gateway leads.
    called: Option<Tick>,
    silent: BTreeMap<SocketAddr, Tick>,
    /// Whether somebody is there who does not tell: that does not pass with time.
    is_refused: bool,
}

impl Roll {
    /// Takes in who was called, each with what became of it.
    pub(super) fn call(&mut self, answers: impl IntoIterator<Item = (SocketAddr, Word)>, now: Tick) {
        let answers: Vec<_> = answers.into_iter().collect();
        self.is_refused = answers.iter().any(|(_, word)| *word == Word::Refuses);
        let silent = answers.into_iter().filter(|(_, word)| *word == Word::Absent);
        self.silent = silent.map(|(address, _)| (address, self.silent.get(&address).copied().unwrap_or(now))).collect();
        self.called = Some(now);
    }

    /// Tells whether everybody was called lately, and nobody has just fallen silent.
    pub(super) fn is_complete(&self, now: Tick) -> bool {
        let ms_since = |at: Tick| now.since(at).as_millis();
        !self.is_refused
            && self.called.is_some_and(|at| ms_since(at) <= u128::from(FRESH_MS))
            && self.silent.values().all(|&since| ms_since(since) > u128::from(MISSED_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::from_nanos(ms * 1_000_000)
    }

    fn peer(n: u8) -> SocketAddr {
        ([10, 0, 0, n], 9900).into()
    }

    #[test]
    fn nothing_is_complete_before_everybody_was_called_and_long_after() {
        let mut roll = Roll::default();
        assert!(!roll.is_complete(at(0)));
        roll.call([(peer(1), Word::Said), (peer(2), Word::Said)], at(0));
        assert!(roll.is_complete(at(5_000)));
        assert!(!roll.is_complete(at(5_001)));
    }

    #[test]
    fn who_does_not_answer_is_missed_for_a_minute() {
        let mut roll = Roll::default();
        for ms in [0, 30_000, 60_000, 60_001] {
            roll.call([(peer(1), Word::Said), (peer(2), Word::Absent)], at(ms));
            assert_eq!(roll.is_complete(at(ms)), ms > 60_000, "{ms}");
        }
    }

    #[test]
    fn who_answers_again_or_is_not_found_any_more_is_not_missed() {
        for later in [[(peer(1), Word::Said), (peer(2), Word::Said)].as_slice(), &[(peer(1), Word::Said)]] {
            let mut roll = Roll::default();
            roll.call([(peer(1), Word::Said), (peer(2), Word::Absent)], at(0));
            roll.call(later.iter().copied(), at(1_000));
            assert!(roll.is_complete(at(1_000)));
            roll.call([(peer(1), Word::Said), (peer(2), Word::Absent)], at(2_000));
            assert!(!roll.is_complete(at(61_000)), "it is silent since it was silent again");
        }
    }

    #[test]
    fn who_is_there_and_does_not_tell_is_missed_for_as_long() {
        let mut roll = Roll::default();
        for ms in [0, 60_000, 600_000] {
            roll.call([(peer(1), Word::Said), (peer(2), Word::Refuses)], at(ms));
            assert!(!roll.is_complete(at(ms)), "{ms}");
        }
        roll.call([(peer(1), Word::Said), (peer(2), Word::Said)], at(600_001));
        assert!(roll.is_complete(at(600_001)));
    }
}
