//! What happens when: events in the order of time, and of their coming among those of one instant. Pure.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A request has run to its end.
    End {
        /// Where it ran.
        replica: usize,
        /// Which.
        request: usize,
    },
    /// A replica serves, if it was not sent away meanwhile.
    Ready(usize),
    /// A request has waited for as long as it may.
    Expire(usize),
    /// A replica goes, empty or not, if it has not been taken back since.
    DrainOver {
        /// Which.
        replica: usize,
        /// How often it had been drained.
        turn: u32,
    },
    /// It is time to decide.
    Decide,
    /// Somebody waits: it is decided out of turn.
    Wake,
    /// It is time for a line of the timeline.
    Sample,
}

/// Events to come.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BinaryHeap<Reverse<Entry>>,
    count: u64,
}

#[derive(Debug)]
struct Entry {
    at_us: u64,
    turn: u64,
    event: Event,
}

impl Agenda {
    /// Enters an event.
    pub(super) fn enter(&mut self, at_us: u64, event: Event) {
        self.count += 1;
        self.entries.push(Reverse(Entry { at_us, turn: self.count, event }));
    }

    /// Returns when the next event happens.
    pub(super) fn next_us(&self) -> Option<u64> {
        self.entries.peek().map(|Reverse(entry)| entry.at_us)
    }

    /// Takes the next event.
    pub(super) fn take(&mut self) -> Option<Event> {
        self.entries.pop().map(|Reverse(entry)| entry.event)
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_us, self.turn).cmp(&(other.at_us, other.turn))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_instant_happen_as_they_were_entered() {
        let mut agenda = Agenda::default();
        let entered = [(5, Event::Ready(0)), (3, Event::Ready(1)), (5, Event::Decide), (3, Event::Expire(2))];
        entered.into_iter().for_each(|(at, event)| agenda.enter(at, event));
        assert_eq!(agenda.next_us(), Some(3));
        let taken: Vec<_> = std::iter::from_fn(|| agenda.take()).collect();
        assert_eq!(taken, [Event::Ready(1), Event::Expire(2), Event::Ready(0), Event::Decide]);
        assert_eq!(agenda.next_us(), None);
    }
}
