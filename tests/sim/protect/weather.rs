//! What befalls replicas, and what operators do meanwhile.

use std::time::Duration;

use fastrand::Rng;
use tidegate::endpoint::Cause;
use tidegate::model::Weight;

use super::lab::Event;
use super::proxy::{Members, Proxy};
use super::replica::Fault;
use super::seen::Seen;
use crate::draw::exponential;

impl Proxy {
    /// A fault hits some replicas for a while.
    pub(super) fn storm(&self) {
        let rng = &mut self.control.borrow_mut().rng;
        let fault = Fault::ALL[rng.usize(..Fault::ALL.len())];
        let share = self.scenario.storm_share * rng.f64();
        let counts = &mut self.books.borrow_mut().counts;
        for (number, replica) in self.replicas.borrow_mut().iter_mut().enumerate() {
            if replica.fault == Fault::None && rng.f64() < share {
                replica.strike(fault, self.now()).into_iter().filter_map(Seen::of_course).for_each(|seen| counts.note(seen));
                let pause = Duration::from_secs_f64(0.5 + 14.5 * rng.f64());
                self.lab.after(pause, Event::Clear(number));
            }
        }
        self.lab.after(exponential(self.scenario.storms, rng), Event::Weather);
    }

    /// A replica is well again.
    pub(super) fn clear(&self, number: usize) {
        let resumed = self.replicas.borrow_mut()[number].recover();
        self.books.borrow_mut().counts.add(Seen::Resumed, resumed as u64);
    }

    /// An operator does something to an endpoint, or undoes it.
    pub(super) fn operate(&self) {
        let members = self.members.borrow().clone();
        let rng = &mut self.control.borrow_mut().rng;
        let state = &members.set.endpoints()[rng.usize(..members.set.len())].state;
        match rng.u32(..5) {
            0 => {
                let weight = [Some(0), Some(500), None][rng.usize(..3)];
                state.override_weight(weight.map(Weight::from_hundredths));
            }
            4 => self.close_a_breaker(&members, rng),
            kind => {
                let cause = if kind == 1 { Cause::Admin } else { Cause::Draining };
                state.set(cause, !state.availability().has(cause));
            }
        }
        self.lab.after(exponential(Duration::from_secs(2), rng), Event::Operate);
    }

    fn close_a_breaker(&self, members: &Members, rng: &mut Rng) {
        let blocked: Vec<_> =
            (0..members.set.len()).filter(|&index| members.breakers[index].opens_in(self.now()).is_some()).collect();
        if blocked.is_empty() {
            return;
        }
        let index = blocked[rng.usize(..blocked.len())];
        members.breakers[index].close(self.now());
        let mut books = self.books.borrow_mut();
        books.counts.note(Seen::Closings);
        books.identity(members.set.endpoints()[index].serial()).forget_breaker();
    }

    /// The machine sleeps for seconds or minutes, and wakes up.
    pub(super) fn leap(&self) {
        let rng = &mut self.control.borrow_mut().rng;
        self.lab.leap(if rng.bool() {
            Duration::from_millis(rng.u64(1_000..20_000))
        } else {
            Duration::from_secs(rng.u64(30..600))
        });
        self.books.borrow_mut().counts.note(Seen::Leaps);
        self.sleep_again(rng);
    }

    /// Puts in the next leap.
    pub(super) fn sleep_again(&self, rng: &mut Rng) {
        if let Some(pause) = self.scenario.leaps {
            self.lab.after(exponential(pause, rng), Event::Leap);
        }
    }
}
