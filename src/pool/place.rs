//! An attempt's place: the slot it has taken, the breaker's pass, and whom to tell how it ended.

use std::rc::Rc;

use http::StatusCode;
use tokio::time::Instant;

use super::Member;
use crate::endpoint::Attempt;
use crate::kit::clock::{self, Tick};
use crate::model::{Outcome, Reason};
use crate::resilience::breaker::{Pass, Verdict};
use crate::resilience::queue::Grant;

/// An attempt's place on a member, from the pick to the last byte of the answer.
///
/// Ended exactly once: dropped, it counts as aborted, or as failed when its time is over.
#[derive(Debug)]
pub(super) struct Place {
    member: Rc<Member>,
    running: Option<Attempt>,
    /// Owed to the breaker until it has been told.
    pass: Option<Pass>,
    status: Option<StatusCode>,
    /// An end that comes by itself, and when its call came.
    end: Option<(Instant, Reason, Tick)>,
}

impl Place {
    /// Takes a free slot of `member` as its breaker allows; `None` when there is none.
    pub(super) fn take(member: &Rc<Member>, now: Tick) -> Option<Self> {
        let attempt = Attempt::try_begin(&member.endpoint, now)?;
        match member.breaker.admit(now) {
            Some(pass) => Some(Self::new(member, attempt, Some(pass))),
            None => {
                attempt.withdraw();
                member.queue.freed(&member.endpoint, now);
                None
            }
        }
    }

    /// Gives it back before anything was done with it.
    pub(super) fn withdraw(mut self) {
        if let Some(attempt) = self.running.take() {
            let now = attempt.started();
            attempt.withdraw();
            if let Some(pass) = self.pass.take() {
                self.member.breaker.end(pass, Verdict::Neither, now);
            }
            self.member.queue.freed(&self.member.endpoint, now);
        }
    }

    /// Uses what the queue has granted.
    pub(super) fn granted(member: &Rc<Member>, grant: Grant) -> Self {
        let (attempt, pass) = grant.into_parts();
        Self::new(member, attempt, pass)
    }

    fn new(member: &Rc<Member>, attempt: Attempt, pass: Option<Pass>) -> Self {
        Self { member: member.clone(), running: Some(attempt), pass, status: None, end: None }
    }

    pub(super) const fn member(&self) -> &Rc<Member> {
        &self.member
    }

    /// Returns the attempt while it runs.
    pub(super) fn attempt(&self) -> Option<&Attempt> {
        self.running.as_ref()
    }

    /// An end that comes by itself makes it a failure for that reason; `came` is when its call came.
    pub(super) fn end_by(&mut self, end: Option<(Instant, Reason)>, came: Tick) {
        self.end = end.map(|(end, reason)| (end, reason, came));
    }

    /// The head of an answer is here.
    pub(super) fn answered(&mut self, status: StatusCode, reused: bool, now: Tick) {
        self.status = Some(status);
        if let Some(attempt) = &mut self.running {
            attempt.response(status, now);
            self.member.counters.answered(now.since(attempt.started()), reused);
        }
        // A probe has done its work with a good head: the answer may stream for an hour, and nobody else is let in before.
        if self.pass.is_some_and(Pass::is_probe) && !self.member.breaker.is_failure(status.as_u16()) {
            self.tell_breaker(Outcome::Completed, now);
        }
    }

    /// Tells whether the answer says that the endpoint failed.
    pub(super) fn is_failure(&self) -> bool {
        self.status.is_some_and(|status| status.is_server_error())
    }

    /// It has ended so; only the first time counts.
    pub(super) fn ended(&mut self, outcome: Outcome) {
        let Some(attempt) = self.running.take() else { return };
        let now = clock::now();
        let member = self.member.clone();
        member.counters.ended(outcome, now.since(attempt.started()));
        let told = if self.is_to_blame(outcome, attempt.started(), now) { outcome } else { Outcome::Aborted };
        attempt.finish(told, now);
        self.tell_breaker(told, now);
        // Last: whoever waits shall find the slot free and the breaker's mind made up.
        member.queue.freed(&member.endpoint, now);
    }

    /// The total time of a request is over whoever has used it up: it speaks against the endpoint only when most of it was spent waiting for
    /// its answer, and not in a queue, for another endpoint, or for a client that reads slowly.
    fn is_to_blame(&self, outcome: Outcome, started: Tick, now: Tick) -> bool {
        match (outcome, self.end) {
            (Outcome::Failed(Reason::TotalTimeout) | Outcome::Truncated(Reason::TotalTimeout), Some((.., came))) => {
                self.status.is_none() && now.since(started) * 2 >= now.since(came)
            }
            _ => true,
        }
    }

    fn tell_breaker(&mut self, outcome: Outcome, now: Tick) {
        if let Some(pass) = self.pass.take() {
            let breaker = &self.member.breaker;
            breaker.end(pass, breaker.verdict(outcome, self.status.map(|status| status.as_u16())), now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.ended(match self.end {
                Some((end, reason, _)) if end <= Instant::now() => Outcome::Failed(reason),
                _ => Outcome::Aborted,
            });
        }
    }
}
