//! What befalls replicas, and what operators do meanwhile.

use std::time::Duration;

use tidegate::endpoint::Cause;
use tidegate::model::Weight;

use super::books::Seen;
use super::lab::Event;
use super::proxy::Proxy;
use super::replica::Fault;
use crate::draw::exponential;

impl Proxy {
    /// A fault hits some replicas for a while.
    pub(super) fn storm(&self) {
        let rng = &mut self.control.borrow_mut().rng;
        let fault = Fault::ALL[rng.usize(..Fault::ALL.len())];
        let share = self.scenario.storm_share * rng.f64();
        for (number, replica) in self.replicas.borrow_mut().iter_mut().enumerate() {
            if replica.fault == Fault::None && rng.f64() < share {
                replica.fault = fault;
                let pause = Duration::from_secs_f64(0.5 + 14.5 * rng.f64());
                self.lab.after(pause, Event::Clear(number));
            }
        }
        self.lab.after(exponential(self.scenario.storms, rng), Event::Weather);
    }

    /// A replica is well again.
    pub(super) fn clear(&self, number: usize) {
        self.replicas.borrow_mut()[number].fault = Fault::None;
    }

    /// An operator does something to an endpoint, or undoes it.
    pub(super) fn operate(&self) {
        let members = self.members.borrow().clone();
        let rng = &mut self.control.borrow_mut().rng;
        let state = &members.set.endpoints()[rng.usize(..members.set.len())].state;
        match rng.u32(..4) {
            0 => {
                let weight = [Some(0), Some(500), None][rng.usize(..3)];
                state.override_weight(weight.map(Weight::from_hundredths));
            }
            kind => {
                let cause = if kind == 1 { Cause::Admin } else { Cause::Draining };
                state.set(cause, !state.availability().has(cause));
            }
        }
        self.lab.after(exponential(Duration::from_secs(2), rng), Event::Operate);
    }

    /// The machine sleeps for minutes, and wakes up.
    pub(super) fn leap(&self) {
        let rng = &mut self.control.borrow_mut().rng;
        self.lab.leap(Duration::from_secs(rng.u64(30..600)));
        self.books.borrow_mut().counts.note(Seen::Leaps);
    }
}
