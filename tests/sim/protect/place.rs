//! An attempt's place: what `pool/place.rs` does, and what is written down of it.

use std::rc::Rc;

use http::StatusCode;
use tidegate::endpoint::{Attempt, Cause, is_failure_status};
use tidegate::kit::clock::Tick;
use tidegate::model::{Outcome, Reason};
use tidegate::resilience::breaker::Pass;
use tidegate::resilience::queue::Grant;

use super::books::{End, Seen};
use super::proxy::{Member, Proxy};

/// An attempt's place on a member.
pub(super) struct Place {
    proxy: Rc<Proxy>,
    member: Member,
    request: u64,
    running: Option<Attempt>,
    pass: Option<Pass>,
    status: Option<StatusCode>,
    pub(super) end: Option<(Tick, Reason)>,
}

impl Place {
    /// Takes a free slot of `member` as its breaker allows; `None` when there is none.
    pub(super) fn take(proxy: &Rc<Proxy>, member: Member, request: u64) -> Option<Self> {
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
        Some(Self::new(proxy, member, (attempt, Some(pass)), request))
    }

    /// Uses what the queue has granted.
    pub(super) fn granted(proxy: &Rc<Proxy>, member: Member, grant: Grant, request: u64) -> Self {
        Self::new(proxy, member, grant.into_parts(), request)
    }

    fn new(proxy: &Rc<Proxy>, member: Member, (attempt, pass): (Attempt, Option<Pass>), request: u64) -> Self {
        let mut books = proxy.books.borrow_mut();
        let identity = books.identity(member.endpoint.serial());
        identity.account.begin();
        identity.is_touched = true;
        if let Some(probe) = pass.filter(|pass| pass.is_probe()) {
            let is_probed = !identity.probes.is_empty();
            identity.probes.push((request, probe));
            books.counts.note(Seen::Probes);
            if is_probed {
                let id = &member.endpoint.spec.id;
                books.note::<()>(Err(format!("the breaker of {id} admitted {probe:?} beside another probe")));
            }
        }
        drop(books);
        Self { proxy: proxy.clone(), member, request, running: Some(attempt), pass, status: None, end: None }
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
        if self.pass.is_some_and(Pass::is_probe) && !self.member.breaker.is_failure(status.as_u16()) {
            self.tell_breaker(Outcome::Completed, now);
        }
    }

    /// It has ended so; only the first time counts.
    pub(super) fn ended(&mut self, outcome: Outcome) {
        let Some(attempt) = self.running.take() else { return };
        let now = self.proxy.now();
        let end = End::of(outcome, self.status.is_some_and(is_failure_status));
        let mut books = self.proxy.books.borrow_mut();
        let identity = books.identity(self.member.endpoint.serial());
        identity.account.end(end);
        identity.is_touched = true;
        drop(books);
        attempt.finish(outcome, now);
        self.tell_breaker(outcome, now);
        self.proxy.queue.freed(&self.member.endpoint, now);
    }

    fn tell_breaker(&mut self, outcome: Outcome, now: Tick) {
        let Some(pass) = self.pass.take() else { return };
        let breaker = &self.member.breaker;
        breaker.end(pass, breaker.verdict(outcome, self.status.map(|status| status.as_u16())), now);
        let mut books = self.proxy.books.borrow_mut();
        books.identity(self.member.endpoint.serial()).probes.retain(|&(request, known)| (request, known) != (self.request, pass));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.running.is_some() {
            let now = self.proxy.now();
            self.ended(match self.end {
                Some((end, reason)) if end <= now => Outcome::Failed(reason),
                _ => Outcome::Aborted,
            });
        }
    }
}
