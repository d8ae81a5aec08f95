//! A replica on a machine that it shares: its queries share its cores evenly, one core for a query at most.
//!
//! Says when its next query will be done; the simulation tells it when that time has come.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tidegate::kit::clock::Tick;

/// The time over which the replica averages the use of its cores.
const USE_AVERAGED_OVER: Duration = Duration::from_secs(1);

/// A replica and the queries that it works on.
#[derive(Debug)]
pub(crate) struct Replica {
    /// What it may use at present.
    cores: f64,
    /// The seconds of processor time that each query would have got that had been there from the beginning.
    served: f64,
    /// Until when `served` and `used` are right.
    at: Tick,
    /// By the value of `served` at which they are done.
    queue: BTreeSet<(Order, u64)>,
    done_at: HashMap<u64, Order>,
    used: f64,
}

/// A number above 0 in its order: the bits of such numbers are in the order of the numbers.
type Order = u64;

impl Replica {
    pub(crate) fn new(cores: f64) -> Self {
        Self { cores, served: 1.0, at: Tick::from_nanos(0), queue: BTreeSet::new(), done_at: HashMap::new(), used: 0.0 }
    }

    /// Takes in a query that needs `cost` of processor time.
    pub(crate) fn admit(&mut self, query: u64, cost: Duration, now: Tick) {
        self.advance(now);
        let done_at = (self.served + cost.as_secs_f64()).to_bits();
        self.queue.insert((done_at, query));
        self.done_at.insert(query, done_at);
    }

    /// Stops work on a query.
    pub(crate) fn cancel(&mut self, query: u64, now: Tick) {
        self.advance(now);
        if let Some(done_at) = self.done_at.remove(&query) {
            self.queue.remove(&(done_at, query));
        }
    }

    /// Returns in what time the next query will be done if nothing changes until then.
    pub(crate) fn next_done(&self) -> Option<Duration> {
        let &(done_at, _) = self.queue.first()?;
        let left = (f64::from_bits(done_at) - self.served).max(0.0);
        Some(Duration::from_secs_f64(left / self.rate()))
    }

    /// Ends the query whose time has come, and returns it.
    pub(crate) fn finish(&mut self, now: Tick) -> Option<u64> {
        self.advance(now);
        let (done_at, query) = self.queue.pop_first()?;
        self.done_at.remove(&query);
        // Time is in whole nanoseconds: what they have cut off is given back, so that it does not add up.
        self.served = self.served.max(f64::from_bits(done_at));
        Some(query)
    }

    /// Changes what it may use.
    pub(crate) fn set_cores(&mut self, cores: f64, now: Tick) {
        self.advance(now);
        self.cores = cores;
    }

    /// Returns the cores that it has used, averaged over a second.
    pub(crate) fn used(&mut self, now: Tick) -> f64 {
        self.advance(now);
        self.used
    }

    /// Returns how many queries are more than it has cores for.
    pub(crate) fn waiting(&self) -> u32 {
        (self.queue.len() as f64 - self.cores).max(0.0) as u32
    }

    /// Seconds of processor time for each query in a second.
    fn rate(&self) -> f64 {
        (self.cores / self.queue.len() as f64).min(1.0)
    }

    fn advance(&mut self, now: Tick) {
        let elapsed = now.since(self.at).as_secs_f64();
        let past = (-elapsed / USE_AVERAGED_OVER.as_secs_f64()).exp();
        self.used = self.used * past + self.cores.min(self.queue.len() as f64) * (1.0 - past);
        if !self.queue.is_empty() {
            self.served += elapsed * self.rate();
        }
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::from_nanos(ms * 1_000_000)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[track_caller]
    fn assert_next(replica: &Replica, expected: u64) {
        let next = replica.next_done().unwrap();
        assert!(next.abs_diff(ms(expected)) < Duration::from_micros(1), "{next:?} is not {expected} ms");
    }

    #[test]
    fn queries_share_what_is_there_and_use_one_core_at_most() {
        let mut replica = Replica::new(2.0);
        assert_eq!(replica.next_done(), None);
        replica.admit(1, ms(100), at(0));
        assert_next(&replica, 100);
        replica.admit(2, ms(300), at(50));
        replica.admit(3, ms(300), at(50));
        replica.admit(4, ms(300), at(50));
        // Two cores for four queries, of which the first has 50 ms left.
        assert_next(&replica, 100);
        assert_eq!(replica.waiting(), 2);
        assert_eq!(replica.finish(at(150)), Some(1));
        // 250 ms left for each, two thirds of a core for each.
        assert_next(&replica, 375);
        replica.set_cores(1.0, at(150));
        assert_next(&replica, 750);
        replica.cancel(3, at(150));
        replica.cancel(3, at(150));
        assert_next(&replica, 500);
        assert_eq!(replica.finish(at(650)), Some(2));
        assert_eq!(replica.finish(at(650)), Some(4));
        assert_eq!(replica.finish(at(650)), None);
    }

    #[test]
    fn what_is_used_is_averaged_over_a_second() {
        let mut replica = Replica::new(4.0);
        (0..6).for_each(|query| replica.admit(query, ms(100_000), at(0)));
        assert!((replica.used(at(1000)) - 4.0 * (1.0 - (-1.0_f64).exp())).abs() < 1e-6);
        assert!((replica.used(at(20_000)) - 4.0).abs() < 1e-3);
    }
}
