//! The bottom of the stack: sends the request to the member whose place it has, and ties the response to what it uses.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use http::header::HOST;
use http::{HeaderMap, Response, StatusCode};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::Service;

use super::Member;
use super::call::{Answer, Answering, Call, Denied, Reply, Tries};
use super::download::{Download, Held};
use super::place::Place;
use super::retry::asked;
use crate::endpoint::{Attempt, LoadReport};
use crate::kit::clock::{self, Tick};
use crate::message::body::Upload;
use crate::message::load_report::{self, LOAD_REPORT};
use crate::message::present::Present;
use crate::model::{Outcome, Reason, Route, RouteTimeouts};
use crate::upstream::{Exchange, SendFailure};

/// Sends a call to the member whose place it has.
#[derive(Clone, Debug)]
pub struct Dispatch {
    timeouts: Rc<RouteTimeouts>,
}

impl Dispatch {
    pub(super) fn new(route: &Route) -> Self {
        Self { timeouts: Rc::new(route.timeouts.clone()) }
    }
}

impl Service<Box<Call>> for Dispatch {
    type Response = Box<Reply>;
    type Error = Box<Denied>;
    type Future = Answering;

    /// Always ready: the place has been found.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Box<Denied>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut call: Box<Call>) -> Self::Future {
        let Some(mut place) = call.place.take() else {
            return Box::pin(std::future::ready(Err(Denied::new(Reason::Internal, "a call without a place"))));
        };
        if let Some(trying) = &call.trying {
            trying.note(place.member());
        }
        place.end_by(call.end, call.started);
        let Call { mut request, started, end, .. } = *call;
        let member = place.member().clone();
        if let Some(host) = &member.host {
            request.headers_mut().insert(HOST, host.clone());
        }
        place.sends(request.body().progress());
        let exchange = member.connections.exchange(request, self.timeouts.first_byte);
        let sent = Sent { place, member, started, end, idle: self.timeouts.idle };
        Box::pin(Attempted { exchange, sent: Some(sent) })
    }
}

pin_project! {
    /// An attempt that waits for its answer; a type of its own, as an `async` block would keep the exchange twice.
    struct Attempted<F> {
        #[pin]
        exchange: F,
        sent: Option<Sent>,
    }
}

/// What an answer needs to know of its attempt.
struct Sent {
    place: Place,
    member: Rc<Member>,
    started: Tick,
    end: Option<(Instant, Reason)>,
    idle: Option<Duration>,
}

impl<F: Future<Output = Exchanged>> Future for Attempted<F> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let this = self.project();
        let exchanged = ready!(this.exchange.poll(cx));
        this.sent.take().map_or(Poll::Pending, |sent| Poll::Ready(sent.end(exchanged)))
    }
}

type Exchanged = Result<Exchange<Upload>, SendFailure>;

impl Sent {
    fn end(self, exchanged: Exchanged) -> Answer {
        let Self { mut place, member, started, end, idle } = self;
        match exchanged {
            Ok(exchange) => {
                let now = clock::now();
                let (head, incoming) = exchange.response.into_parts();
                place.answered(head.status, exchange.reused, now);
                let present = Present::of(&head.headers);
                if let Some(attempt) = place.attempt() {
                    learn(attempt, head.status, &head.headers, present, now);
                }
                let held = Held { lease: exchange.lease, place, slot: None };
                let body = if head.status == StatusCode::SWITCHING_PROTOCOLS {
                    Download::switched(incoming, held)
                } else {
                    Download::new(incoming, held, idle, end)
                };
                let first_byte = now.since(started);
                Ok(Box::new(Reply { response: Response::from_parts(head, body), present, first_byte, member, tries: Tries::ONE }))
            }
            Err(failure) => {
                // A broken upload looks like a failing endpoint from here: the body knows better.
                let reason = place.upload().and_then(|progress| progress.cut()).unwrap_or(failure.reason);
                place.ended(Outcome::Failed(reason));
                let detail = Cow::Owned(format!("endpoint {}: {}", member.endpoint.spec.id, failure.detail));
                Err(Box::new(Denied {
                    member: Some(member),
                    tries: Tries::ONE,
                    sent: failure.sent,
                    stale: failure.reused && failure.reason == Reason::EndpointReset,
                    ..*Denied::new(reason, detail)
                }))
            }
        }
    }
}

/// Takes in what the endpoint says of itself.
fn learn(attempt: &Attempt, status: StatusCode, headers: &HeaderMap, present: Present, now: Tick) {
    if present.has(Present::LOAD_REPORT)
        && let Some(figures) = headers.get(LOAD_REPORT).and_then(|value| load_report::parse(value.as_bytes()))
    {
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
        && let Some(wait) = asked(headers, SystemTime::now)
    {
        attempt.park(wait, now);
    }
}
