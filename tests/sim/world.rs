//! The core of every simulation: virtual time, what is due, randomness from one seed.
//!
//! Knows nothing of what is simulated: events are the simulation's own. Events of one moment come in the order in which they were put in, so that
//! a seed says all that happens. No clock, no thread, no map whose order is random.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use tidegate::kit::clock::Tick;

/// Names an event that has not come yet; good for [`World::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    at: Tick,
    number: u64,
}

/// What is due and when, and what time it is.
pub(crate) struct World<E> {
    now: Tick,
    due: BTreeMap<Ticket, E>,
    numbers: u64,
    seeds: Rng,
}

impl<E> World<E> {
    /// Makes a world without events.
    pub(crate) fn new(seed: u64) -> Self {
        Self { now: Tick::from_nanos(0), due: BTreeMap::new(), numbers: 0, seeds: Rng::with_seed(seed) }
    }

    /// Returns the present.
    pub(crate) const fn now(&self) -> Tick {
        self.now
    }

    /// Returns a number that was never returned before; rising.
    pub(crate) const fn fresh(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Returns a source of randomness of its own, so that what one part draws does not change what another one gets.
    pub(crate) fn randomness(&mut self) -> Rng {
        self.seeds.fork()
    }

    /// Puts in an event `delay` from now.
    pub(crate) fn after(&mut self, delay: Duration, event: E) -> Ticket {
        let ticket = Ticket { at: self.now + delay, number: self.fresh() };
        self.due.insert(ticket, event);
        ticket
    }

    /// Takes out an event that has not come yet.
    pub(crate) fn cancel(&mut self, ticket: Ticket) -> Option<E> {
        self.due.remove(&ticket)
    }

    /// Goes to the next event before `end`, or else to `end`.
    pub(crate) fn next(&mut self, end: Tick) -> Option<E> {
        let entry = self.due.first_entry().filter(|entry| entry.key().at < end);
        self.now = entry.as_ref().map_or(end, |entry| entry.key().at);
        entry.map(|entry| entry.remove())
    }
}

#[test]
fn events_come_by_time_and_then_in_the_order_they_were_put_in() {
    let mut world = World::new(1);
    let end = Tick::from_nanos(100);
    for (delay, name) in [(30, "d"), (10, "a"), (20, "b"), (20, "c"), (100, "after the end")] {
        world.after(Duration::from_nanos(delay), name);
    }
    let gone = world.after(Duration::from_nanos(15), "cancelled");
    assert_eq!(world.cancel(gone), Some("cancelled"));
    assert_eq!(world.cancel(gone), None);
    let seen: Vec<_> = std::iter::from_fn(|| world.next(end).map(|name| (name, world.now().as_nanos()))).collect();
    assert_eq!(seen, [("a", 10), ("b", 20), ("c", 20), ("d", 30)]);
    assert_eq!(world.now(), end);
    assert_eq!(world.next(end + Duration::from_nanos(1)), Some("after the end"));
}

#[test]
fn parts_draw_from_sources_of_their_own() {
    let draws = |first_draws: usize| {
        let mut world = World::<()>::new(7);
        let (mut first, mut second) = (world.randomness(), world.randomness());
        (0..first_draws).for_each(|_| _ = first.u64(..));
        (first.u64(..), second.u64(..))
    };
    let ((first, second), (later, same)) = (draws(0), draws(50));
    assert!(second == same && first != later && first != second);
}
