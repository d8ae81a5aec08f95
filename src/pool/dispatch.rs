//! The bottom of the stack: picks an endpoint, sends the request, and ties the response to what it uses.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{HOST, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use tokio::time::Instant;
use tower::Service;

use super::call::{Call, Denied, Reply};
use super::download::{Download, Held};
use super::local::Local;
use super::member::{Member, Tally};
use crate::balance::NoPick;
use crate::endpoint::{Attempt, LoadReport};
use crate::kit::clock::{self, Tick};
use crate::message::body::{Progress, Upload};
use crate::message::load_report::{self, LOAD_REPORT};
use crate::model::{Failure, Outcome, Reason, Route, RouteTimeouts};
use crate::upstream::Exchange;

/// Picks an endpoint and sends.
#[derive(Clone, Debug)]
pub struct Dispatch {
    pool: Rc<Local>,
    route: Rc<Policy>,
}

#[derive(Debug)]
struct Policy {
    require: Box<[Box<str>]>,
    timeouts: RouteTimeouts,
}

impl Dispatch {
    pub(super) fn new(pool: &Rc<Local>, route: &Route) -> Self {
        let require = route.require.iter().map(|name| name.as_str().into()).collect();
        Self { pool: pool.clone(), route: Rc::new(Policy { require, timeouts: route.timeouts.clone() }) }
    }
}

impl Service<Call> for Dispatch {
    type Response = Reply;
    type Error = Denied;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, Denied>>>>;

    /// Always ready: a pick needs the request, so there is nothing to wait for before it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Denied>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let now = clock::now();
        let member = match self.pool.pick(&self.route.require, &call.required, call.key, now) {
            Ok(member) => member,
            Err(reason) => return Box::pin(std::future::ready(Err(no_pick(&self.pool, &self.route, &call, reason)))),
        };
        if let Some(tried) = &call.tried {
            tried.replace(Some(member.clone()));
        }
        // Before the first await: the attempt counts as in flight from the pick, so that a slow connect is seen.
        let attempt = Attempt::begin(member.endpoint.clone(), now);
        let timeouts = self.route.clone();
        Box::pin(send(member, attempt, call, timeouts))
    }
}

async fn send(member: Rc<Member>, attempt: Attempt, mut call: Call, route: Rc<Policy>) -> Result<Reply, Denied> {
    if let Some(host) = &member.host {
        call.request.headers_mut().insert(HOST, host.clone());
    }
    let progress = call.request.body().progress();
    let tally = Tally(member.counters.clone());
    let mut running = Running { parts: Some((attempt, tally)), upload: progress.clone(), end: call.end };
    match member.connections.exchange(call.request, route.timeouts.first_byte).await {
        Ok(exchange) => {
            let idle = route.timeouts.idle;
            running.answered(exchange, idle).map(|(response, now)| Reply { response, first_byte: now.since(call.started), member })
        }
        Err(failure) => {
            // A broken upload looks like a failing endpoint from here: the body knows better.
            let reason = progress.and_then(|progress| progress.cut()).unwrap_or(failure.reason);
            running.ended(Outcome::Failed(reason));
            let detail = Cow::Owned(format!("endpoint {}: {}", member.endpoint.spec.id, failure.detail));
            Err(Denied { failure: Failure::new(reason), detail, member: Some(member) })
        }
    }
}

/// An attempt before its response; dropped early when a deadline ends it or the client leaves.
struct Running {
    parts: Option<(Attempt, Tally)>,
    upload: Option<Rc<Progress>>,
    end: Option<(Instant, Reason)>,
}

impl Running {
    fn ended(&mut self, outcome: Outcome) {
        if let Some((attempt, tally)) = self.parts.take() {
            let now = clock::now();
            tally.ended(outcome, attempt.started(), now);
            attempt.finish(outcome, now);
        }
    }

    fn answered(&mut self, exchange: Exchange<Upload>, idle: Option<Duration>) -> Result<(Response<Download>, Tick), Denied> {
        let now = clock::now();
        let Some((mut attempt, tally)) = self.parts.take() else {
            return Err(Denied::new(Reason::Internal, "an attempt ended twice"));
        };
        let (head, incoming) = exchange.response.into_parts();
        attempt.response(head.status, now);
        tally.answered(attempt.started(), now, exchange.reused);
        learn(&attempt, head.status, &head.headers, now);
        let held = Held { lease: exchange.lease, attempt, tally, upload: self.upload.take() };
        let body = if head.status == StatusCode::SWITCHING_PROTOCOLS {
            Download::switched(incoming, held)
        } else {
            Download::new(incoming, held, idle, self.end)
        };
        Ok((Response::from_parts(head, body), now))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.parts.is_some() {
            let outcome = match self.end {
                Some((end, reason)) if end <= Instant::now() => Outcome::Failed(reason),
                _ => Outcome::Aborted,
            };
            self.ended(outcome);
        }
    }
}

/// Takes in what the endpoint says of itself.
fn learn(attempt: &Attempt, status: StatusCode, headers: &HeaderMap, now: Tick) {
    if let Some(figures) = headers.get(LOAD_REPORT).and_then(|value| load_report::parse(value.as_bytes())) {
        let ratio = |figure: Option<f64>| figure.unwrap_or(0.0);
        let report = LoadReport {
            cpu: ratio(figures.cpu),
            memory: ratio(figures.memory),
            application: ratio(figures.application),
            queue: ratio(figures.queue) as u32,
        };
        attempt.report(report, now);
    }
    if status == StatusCode::TOO_MANY_REQUESTS
        && let Some(wait) = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok())
    {
        attempt.park(Duration::from_secs(wait), now);
    }
}

fn no_pick(pool: &Local, route: &Policy, call: &Call, reason: NoPick) -> Denied {
    let name = pool.model().name.clone();
    match reason {
        NoPick::Empty => Denied::new(Reason::NoEndpoint, format!("pool {name} has no endpoint")),
        NoPick::Unavailable => {
            Denied::new(Reason::NoAvailableEndpoint, format!("every endpoint of pool {name} is unavailable or has weight 0"))
        }
        NoPick::Full => Denied::new(Reason::QueueFull, format!("every slot of pool {name} is taken")),
        NoPick::Capability => {
            let wanted: Vec<&str> = route.require.iter().chain(&call.required).map(AsRef::as_ref).collect();
            let detail = format!("no endpoint of pool {name} offers all of: {}", wanted.join(", "));
            Denied::new(Reason::CapabilityUnavailable, detail)
        }
    }
}
