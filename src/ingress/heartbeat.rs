//! Signs of life for a client of server-sent events whose request waits: in a queue, for a replica that starts, or for a slow endpoint.
//!
//! An answer that comes within one interval is passed on as it is. After that the client gets the head of a stream of events and a comment
//! each interval, and what the endpoint answers then has to be such a stream, which becomes the rest of this one. Anything else can only be told as an event,
//! since the status has been sent. The request itself is the same as ever and knows nothing of this; dropped, it ends at once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, DATE, EXPECT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};

use super::record::Record;
use super::reply::{ReplyBody, http_date};
use super::view::RouteView;
use crate::message::body::Cut;
use crate::message::events;
use crate::message::grpc::is_grpc;
use crate::message::problem::{Kind, Problem};
use crate::model::{Failure, Outcome, Reason};
use crate::pool::{Denied, Download, Reply};

/// What comes of a request in the end.
type Answered = Result<Box<Reply>, Box<Denied>>;

/// A request whose client has been told that it waits.
pub(super) struct Waiting {
    answer: Pin<Box<dyn Future<Output = Answered>>>,
    beats: Interval,
    /// The head comes with a comment: some clients see nothing before the first byte of a body.
    is_first: bool,
    request_id: Option<HeaderValue>,
    name: Box<str>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

/// What the client gets next.
pub(super) enum Next {
    /// More of the same.
    Beat(Bytes),
    /// The endpoint's events.
    Events(Box<Download>),
    /// The last event, which says what went wrong.
    Problem(Bytes),
    /// Nothing: the stream is cut.
    Cut(Cut),
}

/// What an error event needs to know of the request.
pub(super) struct Asker<'a> {
    pub(super) request_id: Option<&'a HeaderValue>,
    /// The name of this gateway.
    pub(super) name: &'a str,
}

/// Tells whether the client of this request understands heartbeats.
///
/// HTTP/1.0 has no body of unknown length that can be told from a broken one, and HEAD has none at all. A client that waits for `100 (Continue)` would
/// take the early head for the answer to what it has not sent. A switch of protocols is no answer that could follow.
pub(super) fn suits<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let is_ordinary = request.version() > Version::HTTP_10 && *request.method() != Method::HEAD;
    is_ordinary
        && events::are_accepted(headers)
        && !headers.contains_key(EXPECT)
        && !headers.contains_key(http::header::UPGRADE)
        && !is_grpc(headers)
}

/// Waits for the answer for one interval; if it does not come, returns what goes on waiting.
pub(super) async fn wait(
    answer: impl Future<Output = Answered> + 'static,
    every: Duration,
    asker: Asker<'_>,
) -> Result<Answered, Box<Waiting>> {
    let mut answer: Pin<Box<dyn Future<Output = Answered>>> = Box::pin(answer);
    // Cancel safe: the answer goes on from where it is. First, so that one that comes just in time is passed on.
    tokio::select! {
        biased;
        answered = &mut answer => return Ok(answered),
        () = sleep(every) => {}
    }
    let mut beats = interval_at(Instant::now() + every, every);
    // A client that takes nothing for a while is not owed the comments of that time.
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Err(Box::new(Waiting { answer, beats, is_first: true, request_id: asker.request_id.cloned(), name: asker.name.into() }))
}

/// Begins the answer to a client that waits.
pub(super) fn begin(waiting: Box<Waiting>, route: &RouteView, mut record: Box<Record>) -> Response<ReplyBody> {
    record.answered(StatusCode::OK, None);
    let mut response = Response::new(ReplyBody::waiting(waiting, record));
    fill(response.headers_mut());
    route.rewriter.response(response.headers_mut());
    response
}

fn fill(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, events::EVENT_STREAM);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(now) = http_date() {
        headers.insert(DATE, now);
    }
}

impl Waiting {
    /// Returns what the client gets next; not to be asked again after something else than a beat.
    pub(super) fn poll_next(&mut self, record: &mut Record, cx: &mut Context<'_>) -> Poll<Next> {
        match self.answer.as_mut().poll(cx) {
            Poll::Ready(Ok(reply)) => Poll::Ready(self.follow(*reply, record)),
            Poll::Ready(Err(denied)) => Poll::Ready(self.give_up(*denied, record)),
            Poll::Pending => {
                if !std::mem::take(&mut self.is_first) {
                    ready!(self.beats.poll_tick(cx));
                }
                Poll::Ready(Next::Beat(events::WAITING))
            }
        }
    }

    /// Goes on with an endpoint's answer, if it is one that can go on.
    fn follow(&self, reply: Reply, record: &mut Record) -> Next {
        let Reply { response, member, first_byte, tries, .. } = reply;
        record.tried(Some(member), tries);
        record.answered(StatusCode::OK, Some(first_byte));
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            response.into_body().finish_switched(Outcome::Failed(Reason::UpgradeFailed));
            return self.problem(Reason::UpgradeFailed.into(), "the endpoint switched protocols unasked", record);
        }
        if response.status().is_success() && events::are_plain(response.headers()) {
            return Next::Events(response.into_body());
        }
        let (head, body) = response.into_parts();
        body.discard();
        let is_error = head.status.is_client_error() || head.status.is_server_error();
        let failure = Failure { status: is_error.then_some(head.status), ..Failure::new(Reason::NotEvents) };
        self.problem(failure, &described(head.status, &head.headers), record)
    }

    fn give_up(&self, denied: Denied, record: &mut Record) -> Next {
        let Denied { failure, detail, member, tries, reset, .. } = denied;
        record.tried(member, tries);
        if reset {
            record.failed(failure.reason);
            return Next::Cut(Cut(failure.reason));
        }
        match record.refusal().filter(|_| failure.reason == Reason::RequestBodyBroken) {
            Some(refusal) => self.problem(refusal.into(), refusal.detail, record),
            None => self.problem(failure, &detail, record),
        }
    }

    fn problem(&self, failure: Failure, detail: &str, record: &mut Record) -> Next {
        record.failed(failure.reason);
        let problem = Problem { failure, detail, request_id: self.request_id.as_ref(), kind: Kind::Plain, name: &self.name };
        Next::Problem(events::error(problem.respond().body()))
    }
}

/// Says what an endpoint answered that cannot follow.
fn described(status: StatusCode, headers: &HeaderMap) -> String {
    let status = status.as_u16();
    let shown = |value: &HeaderValue| value.to_str().map_or_else(|_| "something unreadable".to_owned(), str::to_owned);
    match (headers.get(CONTENT_TYPE), events::coding(headers)) {
        (_, Some(coding)) if events::is_stream(headers) => {
            format!("the endpoint answered {status} with events in the coding {}, which cannot follow plain ones", shown(coding))
        }
        (Some(name), _) => format!("the endpoint answered {status} with {}, which cannot follow as an event", shown(name)),
        (None, _) => format!("the endpoint answered {status}, which cannot follow as an event"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&str, &str)]) -> Request<()> {
        let request = Request::get("/").header("accept", "text/event-stream");
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
    }

    #[test]
    fn heartbeats_are_for_those_who_can_read_them() {
        assert!(suits(&request(&[])));
        assert!(!suits(&request(&[("expect", "100-continue")])));
        assert!(!suits(&request(&[("upgrade", "websocket")])));
        assert!(!suits(&request(&[("content-type", "application/grpc")])));
        let mut old = request(&[]);
        *old.version_mut() = Version::HTTP_10;
        let mut head = request(&[]);
        *head.method_mut() = Method::HEAD;
        let mut two = request(&[]);
        *two.version_mut() = Version::HTTP_2;
        assert_eq!([old, head, two].map(|request| suits(&request)), [false, false, true]);
    }

    #[test]
    fn what_cannot_follow_is_described() {
        let fields = |fields: &[(&'static str, &'static str)]| {
            fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect::<HeaderMap>()
        };
        for (status, headers, expected) in [
            (500, fields(&[("content-type", "text/plain")]), "answered 500 with text/plain,"),
            (204, fields(&[]), "answered 204, which"),
            (200, fields(&[("content-type", "text/event-stream"), ("content-encoding", "br")]), "events in the coding br,"),
        ] {
            let text = described(StatusCode::from_u16(status).unwrap(), &headers);
            assert!(text.contains(expected), "{text}");
        }
    }
}
