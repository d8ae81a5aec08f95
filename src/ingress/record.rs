//! What is written down of a request when it is over: counters, and a line in the access log.

use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};

use super::connection::Client;
use super::view::{RouteView, View};
use crate::kit::clock::{self, Tick};
use crate::message::{Refusal, body};
use crate::model::{Outcome, Reason};
use crate::pool::{Member, Tries};
use crate::resilience::retry::Skip;
use crate::resilience::shed::Permit;
use crate::telemetry::access_log;
use crate::telemetry::metrics::Ended;

/// The status of a request whose client left before it was answered, as nginx has it.
const CLIENT_LEFT: u16 = 499;

/// What is known of a request so far; written down when it is finished, or dropped because the client left.
#[derive(Debug)]
pub(super) struct Record {
    client: Rc<Client>,
    view: Rc<View>,
    route: Option<Rc<RouteView>>,
    member: Option<Rc<Member>>,
    tries: Tries,
    /// Its place among the requests of the process.
    permit: Option<Permit>,
    upload: Option<Rc<body::Progress>>,
    started: Tick,
    first_byte: Option<Duration>,
    status: u16,
    reason: Option<Reason>,
    received: u64,
    sent: u64,
    finished: bool,
    /// Only kept when there is an access log.
    line: Option<Box<Line>>,
}

/// What only the access log tells.
#[derive(Debug)]
struct Line {
    /// `None` for a head that was refused.
    target: Option<(Method, Uri)>,
    host: Option<HeaderValue>,
    version: Version,
    request_id: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

impl Record {
    /// Boxed, because it travels through every step to the last byte, and moving it costs more than one allocation.
    pub(super) fn new(client: Rc<Client>, view: Rc<View>, started: Tick) -> Box<Self> {
        Box::new(Self {
            client,
            view,
            route: None,
            member: None,
            tries: Tries::default(),
            permit: None,
            upload: None,
            started,
            first_byte: None,
            status: CLIENT_LEFT,
            reason: None,
            received: 0,
            sent: 0,
            finished: false,
            line: None,
        })
    }

    /// Keeps what the access log tells of the request's head, when there is an access log.
    pub(super) fn head(&mut self, method: &Method, uri: &Uri, version: Version, headers: &HeaderMap) {
        if self.view.access_log.is_some() {
            self.line = Some(Box::new(Line {
                target: Some((method.clone(), uri.clone())),
                host: headers.get(HOST).cloned(),
                version,
                request_id: None,
                user_agent: headers.get(http::header::USER_AGENT).cloned(),
            }));
        }
    }

    /// The head was refused: only that much is known of it.
    pub(super) fn refused_head(&mut self) {
        if self.view.access_log.is_some() {
            let version = Version::HTTP_11;
            self.line = Some(Box::new(Line { target: None, host: None, version, request_id: None, user_agent: None }));
        }
    }

    /// The protocol was switched: the socket belongs to the tunnel.
    pub(super) fn switched(&self) {
        self.client.seat.watched.progress.set_switched();
    }

    /// The body of the response was asked for a frame.
    pub(super) fn body_asked<T>(&self, frame: &Poll<T>) {
        self.client.seat.watched.turn.asked(frame);
    }

    /// Tells whether the stream is just being ended because its client takes nothing.
    pub(super) fn is_cut(&self) -> bool {
        self.client.seat.watched.turn.is_cut()
    }

    /// What the framing guard has refused of this connection.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.client.seat.watched.progress.refusal()
    }

    pub(super) fn request_id(&mut self, id: &HeaderValue) {
        if let Some(line) = &mut self.line {
            line.request_id = Some(id.clone());
        }
    }

    /// The route that took it; counted in flight there from now on.
    pub(super) fn routed(&mut self, route: &Rc<RouteView>) {
        route.counters.begin();
        self.route = Some(route.clone());
    }

    pub(super) fn uploads(&mut self, progress: Option<Rc<body::Progress>>) {
        self.upload = progress;
    }

    /// It was let in, and leaves when it is written down.
    pub(super) fn admitted(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// Who was tried last, or answered, and how often it was tried.
    pub(super) fn tried(&mut self, member: Option<Rc<Member>>, tries: Tries) {
        self.member = member;
        self.tries = tries;
    }

    pub(super) const fn started(&self) -> Tick {
        self.started
    }

    pub(super) const fn failed(&mut self, reason: Reason) {
        self.reason = Some(reason);
    }

    pub(super) fn answered(&mut self, status: StatusCode, first_byte: Option<Duration>) {
        self.status = status.as_u16();
        self.first_byte = first_byte;
    }

    pub(super) const fn received(&mut self, bytes: u64) {
        self.received += bytes;
    }

    pub(super) const fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Writes everything down; only the first time counts.
    pub(super) fn finish(&mut self, outcome: Outcome) {
        if !self.finished {
            self.write(outcome);
        }
    }

    fn write(&mut self, outcome: Outcome) {
        self.finished = true;
        self.permit = None;
        let now = clock::now();
        self.client.seat.watched.progress.end(now);
        if outcome == Outcome::Aborted && self.status == CLIENT_LEFT {
            self.client.seat.watched.gave_up(now, self.view.limits.cancels);
        }
        let outcome = match (outcome, self.reason) {
            (Outcome::Completed, Some(reason)) => Outcome::Failed(reason),
            (outcome, _) => outcome,
        };
        let duration = now.since(self.started);
        let received = self.received + self.upload.as_ref().map_or(0, |upload| upload.bytes());
        let counters = match &self.route {
            Some(route) => {
                route.counters.end();
                &route.counters
            }
            None => &self.view.unrouted,
        };
        counters.ended(&Ended { status: self.status, outcome, duration, first_byte: self.first_byte, received, sent: self.sent });
        if let (Some(log), Some(line)) = (&self.view.access_log, &self.line) {
            let endpoint = self.member.as_ref().map(|member| &member.endpoint.spec.id);
            log.write(&access_log::Record {
                listener: self.view.name.as_str(),
                route: self.route.as_ref().map(|route| route.model.name.as_str()),
                pool: self.member.as_ref().map(|member| member.pool.as_str()),
                endpoint: endpoint.map(|id| id.as_str()),
                client: self.client.peer,
                method: line.target.as_ref().map_or("-", |(method, _)| method.as_str()),
                host: line.host.as_ref().map(HeaderValue::as_bytes),
                path: line.target.as_ref().map_or("-", |(_, uri)| uri.path()),
                protocol: line.version,
                status: self.status,
                outcome,
                request_id: line.request_id.as_ref().map(HeaderValue::as_bytes),
                user_agent: line.user_agent.as_ref().map(HeaderValue::as_bytes),
                bytes_in: received,
                bytes_out: self.sent,
                duration,
                first_byte: self.first_byte,
                attempts: self.tries.attempts,
                retry_skipped: self.tries.skipped.map(Skip::as_str),
            });
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.finish(Outcome::Aborted);
    }
}
