//! An attempt's place: what `pool/place.rs` does, and what is written down of it.

use std::rc::Rc;

use http::StatusCode;
use tidegate::endpoint::{Attempt, Cause, is_failure_status};
use tidegate::kit::clock::Tick;
use tidegate::model::{Outcome, Reason};
use tidegate::resilience::breaker::{Pass, State};
use tidegate::resilience::queue::Grant;

use super::books::{End, Opening};
use super::proxy::{Member, Proxy};
use super::seen::Seen;

/// An attempt's place on a member.
pub(super) struct Place {
    proxy: Rc<Proxy>,
    member: Member,
    /// Its number in the books.
    number: u64,
    running: Option<Attempt>,
    pass: Option<Pass>,
    status: Option<StatusCode>,
    /// An end that comes by itself, and when its request came.
    end: Option<(Tick, Reason, Tick)>,
}

impl Place {
    /// Takes a free slot of `member` as its breaker allows; `None` when there is none.
    pub(super) fn take(proxy: &Rc<Proxy>, member: Member) -> Option<Self> {
        let now = proxy.now();
        if !member.endpoint.is_eligible() {
            let causes: Vec<Cause> = member.endpoint.state.availability().causes().collect();
            proxy.books.borrow_mut().note::<()>(Err(format!("{} was picked: {causes:?}", member.endpoint.spec.id)));
        }
        let attempt = Attempt::try_begin(&member.endpoint, now)?;
        let is_open = member.breaker.opens_in(now).is_some_and(|wait| !wait.is_zero());
        let Some(pass) = member.breaker.admit(now) else {
            attempt.withdraw();
            proxy.books.borrow_mut().identity(member.endpoint.serial()).is_touched = true;
            proxy.queue.freed(&member.endpoint, now);
            return None;
        };
        if is_open {
            let id = &member.endpoint.spec.id;
            proxy.books.borrow_mut().note::<()>(Err(format!("the open breaker of {id} admitted {pass:?}")));
        }
        Some(Self::new(proxy, member, (attempt, Some(pass))))
    }

    /// Uses what the queue has granted, at the step `raised`, or just now.
    pub(super) fn granted(proxy: &Rc<Proxy>, member: Member, grant: Grant, raised: Option<u64>) -> Self {
        let (now, since) = (proxy.now(), grant.since());
        let (attempt, pass) = grant.into_parts();
        let mut books = proxy.books.borrow_mut();
        let opening = books.identity(member.endpoint.serial()).opening;
        let was_open = match raised {
            Some(step) => opening.is_some_and(|opening| opening.step < step && since < opening.until),
            None => member.breaker.opens_in(now).is_some_and(|wait| !wait.is_zero()),
        };
        let id = &member.endpoint.spec.id;
        if was_open {
            books.note::<()>(Err(format!("the queue granted a slot of {id} behind an open breaker, at {since:?}: {opening:?}")));
        }
        if pass.is_none() && member.breaker.report(now).is_some() {
            books.note::<()>(Err(format!("the queue granted a slot of {id} without a pass of its breaker")));
        }
        if pass.is_some_and(Pass::is_probe) {
            books.counts.note(Seen::QueueProbes);
        }
        drop(books);
        Self::new(proxy, member, (attempt, pass))
    }

    fn new(proxy: &Rc<Proxy>, member: Member, (attempt, pass): (Attempt, Option<Pass>)) -> Self {
        let now = proxy.now();
        let mut books = proxy.books.borrow_mut();
        let number = books.fresh();
        let identity = books.identity(member.endpoint.serial());
        identity.account.begin();
        identity.is_touched = true;
        // By what has begun, and not by what the breaker says that it has admitted.
        let is_since = identity.opening.is_some_and(|opening| attempt.started() >= opening.until);
        if is_since && member.breaker.report(now).is_some_and(|report| report.state == State::HalfOpen) {
            identity.probes.push(number);
            let probes = identity.probes.len();
            if probes > 1 {
                let id = &member.endpoint.spec.id;
                books.note::<()>(Err(format!("{probes} attempts at {id} since its breaker is half-open, the last with {pass:?}")));
            }
        }
        if pass.is_some_and(Pass::is_probe) {
            books.counts.note(Seen::Probes);
        }
        drop(books);
        Self { proxy: proxy.clone(), member, number, running: Some(attempt), pass, status: None, end: None }
    }

    /// An end that comes by itself makes it a failure for that reason; `came` is when its request came.
    pub(super) fn end_by(&mut self, end: Option<(Tick, Reason)>, came: Tick) {
        self.end = end.map(|(end, reason)| (end, reason, came));
    }

    pub(super) fn end(&self) -> Option<(Tick, Reason)> {
        self.end.map(|(end, reason, _)| (end, reason))
    }

    pub(super) const fn member(&self) -> &Member {
        &self.member
    }

    pub(super) const fn attempt(&self) -> Option<&Attempt> {
        self.running.as_ref()
    }

    pub(super) fn is_failure(&self) -> bool {
        self.status.is_some_and(|status| status.is_server_error())
    }

    /// The head of an answer is here.
    pub(super) fn answered(&mut self, status: StatusCode) {
        let now = self.proxy.now();
        self.status = Some(status);
        if let Some(attempt) = &mut self.running {
            attempt.response(status, now);
        }
        if !self.member.breaker.is_failure(status.as_u16()) {
            if self.pass.is_some_and(Pass::is_probe) {
                self.tell_breaker(Outcome::Completed, now);
            }
            self.probe_is_over();
        }
    }

    /// It has ended so; only the first time counts.
    pub(super) fn ended(&mut self, outcome: Outcome) {
        let Some(attempt) = self.running.take() else { return };
        let now = self.proxy.now();
        let told = if self.is_to_blame(outcome, attempt.started(), now) { outcome } else { Outcome::Aborted };
        let end = End::of(told, self.status.is_some_and(is_failure_status));
        let mut books = self.proxy.books.borrow_mut();
        let identity = books.identity(self.member.endpoint.serial());
        identity.account.end(end);
        identity.is_touched = true;
        if let Some(seen) = Seen::of_end(outcome) {
            books.counts.note(seen);
        }
        drop(books);
        attempt.finish(told, now);
        self.tell_breaker(told, now);
        self.probe_is_over();
        self.proxy.queue.freed(&self.member.endpoint, now);
    }

    fn is_to_blame(&self, outcome: Outcome, started: Tick, now: Tick) -> bool {
        match (outcome, self.end) {
            (Outcome::Failed(Reason::TotalTimeout) | Outcome::Truncated(Reason::TotalTimeout), Some((.., came))) => {
                self.status.is_none() && now.since(started) * 2 >= now.since(came)
            }
            _ => true,
        }
    }

    fn tell_breaker(&mut self, outcome: Outcome, now: Tick) {
        let Some(pass) = self.pass.take() else { return };
        let breaker = &self.member.breaker;
        let open_for = || breaker.opens_in(now).filter(|wait| !wait.is_zero());
        let (before, step) = (open_for(), self.proxy.lab.steps.next());
        breaker.end(pass, breaker.verdict(outcome, self.status.map(|status| status.as_u16())), now);
        if let (None, Some(wait)) = (before, open_for()) {
            let mut books = self.proxy.books.borrow_mut();
            books.identity(self.member.endpoint.serial()).opening = Some(Opening { step, until: now + wait });
        }
    }

    fn probe_is_over(&self) {
        let mut books = self.proxy.books.borrow_mut();
        books.identity(self.member.endpoint.serial()).probes.retain(|&number| number != self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.running.is_some() {
            let now = self.proxy.now();
            self.ended(match self.end {
                Some((end, reason, _)) if end <= now => Outcome::Failed(reason),
                _ => Outcome::Aborted,
            });
        }
    }
}
