//! An attempt's place: the slot it has taken, the breaker's pass, and whom to tell how it ended.

use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::Member;
use crate::endpoint::Attempt;
use crate::kit::clock::{self, Tick};
use crate::message::body::Progress;
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
    pass: Option<Pass>,
    /// Whether the breaker was told how it ended; it is owed that.
    is_told: bool,
    status: Option<StatusCode>,
    /// An end that comes by itself, and when its call came.
    end: Option<(Instant, Reason, Tick)>,
    /// How the request's body moves, when there is one.
    upload: Option<Rc<Progress>>,
    /// How long the client was waited for before this attempt.
    before: Duration,
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
        Self {
            member: member.clone(),
            running: Some(attempt),
            pass,
            is_told: false,
            status: None,
            end: None,
            upload: None,
            before: Duration::ZERO,
        }
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

    /// The attempt begins, and sends the body that `upload` tells of.
    pub(super) fn sends(&mut self, upload: Option<Rc<Progress>>) {
        if let Some(progress) = &upload {
            let now = Instant::now();
            progress.begin(now);
            self.before = progress.waited(now);
        }
        self.upload = upload;
    }

    /// Returns how the request's body moves, when there is one.
    pub(super) const fn upload(&self) -> Option<&Rc<Progress>> {
        self.upload.as_ref()
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

    /// Nothing that is still to come of the answer changes what it says of the endpoint.
    pub(super) fn is_judged(&mut self) {
        self.tell_breaker(Outcome::Completed, clock::now());
    }

    /// It has ended so; only the first time counts.
    pub(super) fn ended(&mut self, outcome: Outcome) {
        self.ended_unread(outcome, Duration::ZERO);
    }

    /// It has ended so, and for so long the client did not ask for more of the answer; only the first time counts.
    pub(super) fn ended_unread(&mut self, outcome: Outcome, unread: Duration) {
        let Some(attempt) = self.running.take() else { return };
        let now = clock::now();
        let member = self.member.clone();
        member.counters.ended(outcome, now.since(attempt.started()));
        let told = if self.is_to_blame(outcome, attempt.started(), unread, now) { outcome } else { Outcome::Aborted };
        attempt.finish(told, now);
        match (self.pass, told) {
            (Some(probe), Outcome::Truncated(reason)) if self.is_told => member.breaker.disprove(probe, reason, now),
            _ => self.tell_breaker(told, now),
        }
        // Last: whoever waits shall find the slot free and the breaker's mind made up.
        member.queue.freed(&member.endpoint, now);
    }

    /// Time is over whoever has used it up: it speaks against the endpoint only when most of it was spent waiting for the endpoint, and not
    /// in a queue, for another endpoint, or for a client that sends or reads slowly.
    fn is_to_blame(&self, outcome: Outcome, started: Tick, unread: Duration, now: Tick) -> bool {
        let (Outcome::Failed(reason) | Outcome::Truncated(reason)) = outcome else { return true };
        let began = match (reason, self.end) {
            // An answer that began in time may be as long as it likes.
            (Reason::TotalTimeout, _) if self.status.is_some() => return false,
            (Reason::TotalTimeout, Some((.., came))) => came,
            (Reason::AttemptTimeout, _) => started,
            (Reason::IdleTimeout, _) => now,
            _ => return true,
        };
        let upload = self.upload.as_ref();
        if upload.is_some_and(|upload| upload.is_awaited()) {
            return false;
        }
        let clients = upload.map_or(Duration::ZERO, |upload| upload.waited(Instant::now()).saturating_sub(self.before)) + unread;
        now.since(started).saturating_sub(clients) * 2 >= now.since(began)
    }

    fn tell_breaker(&mut self, outcome: Outcome, now: Tick) {
        if let Some(pass) = self.pass.filter(|_| !self.is_told) {
            self.is_told = true;
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
