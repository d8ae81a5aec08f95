//! What a waiting request is given: a slot of an endpoint, and the pass of the endpoint's breaker.
//!
//! Both at once, and by whoever hands out: were the pass taken later, a slot of a half-open endpoint would be given to all who wait, and all but
//! one of them would have to wait anew, behind those who came meanwhile. Deliberately not here: who is given it (`slots`).

use std::sync::Arc;

use crate::endpoint::{Attempt, Endpoint};
use crate::kit::clock::Tick;
use crate::resilience::breaker::{Breaker, Pass, Verdict};

/// A slot and a pass; dropped, both go back.
#[derive(Debug)]
pub struct Grant {
    attempt: Attempt,
    owed: Owed,
}

/// A pass that a breaker must hear of again.
#[derive(Debug)]
struct Owed {
    pass: Option<(Arc<Breaker>, Pass)>,
    since: Tick,
}

impl Grant {
    /// Takes a slot as the breaker allows, without one as it is free.
    pub(super) fn take(endpoint: &Arc<Endpoint>, breaker: Option<&Arc<Breaker>>, now: Tick) -> Option<Self> {
        let attempt = Attempt::try_begin(endpoint, now)?;
        let Some(breaker) = breaker else { return Some(Self { attempt, owed: Owed { pass: None, since: now } }) };
        match breaker.admit(now) {
            Some(pass) => Some(Self { attempt, owed: Owed { pass: Some((breaker.clone(), pass)), since: now } }),
            None => {
                attempt.withdraw();
                None
            }
        }
    }

    /// Returns whose slot it is.
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        self.attempt.endpoint()
    }

    /// Returns when it was granted.
    pub const fn since(&self) -> Tick {
        self.owed.since
    }

    /// Uses it: whoever has the pass owes the breaker its end.
    pub fn into_parts(mut self) -> (Attempt, Option<Pass>) {
        let pass = self.owed.pass.take();
        (self.attempt, pass.map(|(_, pass)| pass))
    }

    /// Gives both back unused.
    pub fn withdraw(self) {
        self.attempt.withdraw();
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if let Some((breaker, pass)) = self.pass.take() {
            breaker.end(pass, Verdict::Neither, self.since);
        }
    }
}
