//! Tries a call again when that is wanted, safe, and within the route's budget.
//!
//! The request's head is kept for another attempt, and its body while it passes ([`Spare`]); nothing is held back. Once an answer is passed on,
//! all of it is forgotten: after the first byte to the client there is no other attempt. A client that leaves drops the future, and whatever
//! ran or waited in it.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use http::HeaderMap;
use http::header::RETRY_AFTER;
use tokio::time::{Instant, Sleep};
use tower::{Layer, Service};

use super::call::{Answer, Call, Denied, Reply, Terms, Tries};
use super::route_state::RouteState;
use super::spare::Spare;
use crate::kit::clock;
use crate::model;
use crate::resilience::retry::{Budget, Delays, Event, Skip, Tally, honour, is_safe, matches};
use crate::resilience::shed::ReplayMemory;

/// Puts a [`Retry`] around a service.
#[derive(Clone, Debug)]
pub struct RetryLayer(Rc<Policy>);

#[derive(Debug)]
struct Policy {
    settings: model::Retry,
    budget: Arc<Budget>,
    tally: Arc<Tally>,
    memory: Arc<ReplayMemory>,
}

/// Tries calls again.
#[derive(Clone, Debug)]
pub struct Retry<S> {
    inner: S,
    policy: Rc<Policy>,
}

impl RetryLayer {
    /// Tries again as `settings` say, on the account of `budget`.
    pub(super) fn new(settings: model::Retry, budget: Arc<Budget>, state: &RouteState) -> Self {
        Self(Rc::new(Policy { settings, budget, tally: state.tally.clone(), memory: state.memory.clone() }))
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry { inner, policy: self.0.clone() }
    }
}

impl<S> Service<Box<Call>> for Retry<S>
where
    S: Service<Box<Call>, Response = Box<Reply>, Error = Box<Denied>, Future: Unpin> + Clone + Unpin,
{
    type Response = Box<Reply>;
    type Error = Box<Denied>;
    type Future = RetryFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Box<Denied>>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut call: Box<Call>) -> Self::Future {
        // A hedge is no request of its own.
        if !call.is_hedge {
            self.policy.budget.note_request(call.at);
        }
        let spare = Spare::of(&mut call, self.policy.settings.body_buffer, &self.policy.memory);
        let terms = call.terms();
        let running = Running { spare, terms, attempts: 1, delays: Delays::new(), stale: false, last: None };
        let stage = Stage::Trying(self.inner.call(call));
        RetryFuture { service: self.clone(), running: Some(Box::new(running)), stage }
    }
}

/// Resolves to the last answer or failure.
pub struct RetryFuture<S: Service<Box<Call>>> {
    service: Retry<S>,
    running: Option<Box<Running>>,
    stage: Stage<S::Future>,
}

/// What is known of a call that may be tried again.
struct Running {
    spare: Spare,
    terms: Terms,
    attempts: u32,
    delays: Delays,
    /// The attempt failed over a connection that had been idle.
    stale: bool,
    /// How the attempt before failed, when it was not answered.
    last: Option<Box<Denied>>,
}

enum Stage<F> {
    Trying(F),
    Resting(Pin<Box<Sleep>>),
}

impl Running {
    /// The attempt has ended so, and another one follows.
    fn go_on(&mut self, result: Answer) {
        let member = match result {
            Ok(reply) => {
                reply.response.into_body().discard();
                self.last = None;
                reply.member
            }
            Err(denied) => match &denied.member {
                Some(member) => {
                    let member = member.clone();
                    self.last = Some(denied);
                    member
                }
                None => return,
            },
        };
        self.terms.tried.push(member.endpoint.serial());
    }

    /// Decides about another attempt after `event`: how long to rest before it, or why there is none.
    fn next(&mut self, event: Event, asked: impl FnOnce() -> Option<Duration>, policy: &Policy) -> Result<Duration, Option<Skip>> {
        let settings = &policy.settings;
        matches(&settings.on, event).ok_or(None)?;
        if self.attempts >= settings.max_attempts {
            // A route that allows a single attempt does not want another one.
            return Err((settings.max_attempts > 1).then_some(Skip::AttemptsUsed));
        }
        if !is_safe(event, self.spare.method(), &self.spare.headers(), settings) {
            return Err(Some(Skip::NotIdempotent));
        }
        if let Some(obstacle) = self.spare.obstacle() {
            return Err(Some(obstacle));
        }
        let delay = match event {
            // The endpoint closed an idle connection in the moment in which it was used: nobody is overloaded.
            Event::Failed { .. } if self.stale && self.attempts == 1 => Duration::ZERO,
            _ => honour(asked(), self.delays.next(settings, &mut Rng::new()), settings.max_delay),
        };
        if self.terms.end.is_some_and(|(end, _)| Instant::now() + delay >= end) {
            return Err(Some(Skip::Deadline));
        }
        if !policy.budget.spend(clock::now()) {
            return Err(Some(Skip::BudgetExhausted));
        }
        Ok(delay)
    }
}

impl<S> Future for RetryFuture<S>
where
    S: Service<Box<Call>, Response = Box<Reply>, Error = Box<Denied>, Future: Unpin> + Clone + Unpin,
{
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(running) = &mut this.running else { return Poll::Pending };
        loop {
            match &mut this.stage {
                Stage::Trying(inner) => {
                    let result = std::task::ready!(Pin::new(inner).poll(cx));
                    let event = event_of(&result);
                    running.stale = result.as_ref().is_err_and(|denied| denied.stale);
                    let asked = || result.as_ref().ok().and_then(|reply| asked(reply.response.headers(), SystemTime::now));
                    let next = running.next(event, asked, &this.service.policy);
                    match next {
                        Ok(delay) => {
                            running.go_on(result);
                            this.stage = Stage::Resting(Box::pin(tokio::time::sleep(delay)));
                        }
                        Err(skipped) => {
                            let attempts = running.attempts;
                            let is_good = result.as_ref().is_ok_and(|reply| !reply.response.status().is_server_error());
                            this.service.policy.tally.note(attempts, is_good, skipped);
                            let Some(running) = this.running.take() else { return Poll::Pending };
                            let result = tell_the_attempt(result, running.last);
                            return Poll::Ready(with_tries(result, attempts, skipped));
                        }
                    }
                }
                Stage::Resting(sleep) => {
                    std::task::ready!(sleep.as_mut().poll(cx));
                    running.attempts += 1;
                    this.service.policy.tally.retried();
                    let call = running.terms.call(running.spare.request());
                    this.stage = Stage::Trying(this.service.inner.call(call));
                }
            }
        }
    }
}

/// When no endpoint was left for another attempt, what the one before said tells more.
fn tell_the_attempt(result: Answer, last: Option<Box<Denied>>) -> Answer {
    match (result, last) {
        (Err(denied), Some(mut last)) if denied.member.is_none() => {
            last.tries = denied.tries;
            Err(last)
        }
        (result, _) => result,
    }
}

fn event_of(result: &Answer) -> Event {
    match result {
        Ok(reply) => Event::Answered(reply.response.status()),
        Err(denied) => Event::Failed { reason: denied.failure.reason, sent: denied.sent },
    }
}

fn with_tries(result: Answer, attempts: u32, skipped: Option<Skip>) -> Answer {
    match result {
        Ok(mut reply) => {
            reply.tries = Tries { attempts, skipped };
            Ok(reply)
        }
        // The last attempt may have found no endpoint.
        Err(mut denied) => {
            let attempts = attempts - 1 + denied.tries.attempts.min(1);
            denied.tries = Tries { attempts, skipped };
            Err(denied)
        }
    }
}

/// Reads `Retry-After`, in seconds or as a date (RFC 9110 section 10.2.3); for a date, `now` is asked for the time. A date that has passed asks
/// for no wait.
pub(super) fn asked(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    let field = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match field.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(field).ok()?.duration_since(now()).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
