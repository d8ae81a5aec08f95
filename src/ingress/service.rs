//! A request, from its head to the head of its answer: checked, matched, edited, sent through its route's stack.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tower::Service;

use super::admit::{self, Fields, Turned};
use super::connection::Client;
use super::forward;
use super::heartbeat;
use super::leftover;
use super::limit;
use super::record::Record;
use super::reply::{self, ReplyBody};
use super::upgrade;
use super::view::{ActionView, Destination, RouteView, View};
use crate::kit::clock;
use crate::message::body::Upload;
use crate::message::mint::Fresh;
use crate::message::present::Present;
use crate::message::problem::{Kind, Problem};
use crate::message::{Refusal, hop, request_id};
use crate::model::{Failure, Outcome, Reason};
use crate::pool::{Call, Denied, Reply, Stack, Tries};
use crate::route::{Matched, Miss, Query};

/// How many attempts a request took, when it took more than one.
const X_TIDEGATE_ATTEMPTS: HeaderName = HeaderName::from_static("x-tidegate-attempts");

/// About as many fields as are added to a request on its way.
const ADDED_FIELDS: usize = 8;

/// Why a request is answered here.
struct Refused {
    failure: Failure,
    detail: std::borrow::Cow<'static, str>,
    tries: Tries,
    /// Further fields of the answer.
    fields: Fields,
}

/// How a request is answered here.
enum Here {
    /// With an answer.
    Refused(Refused),
    /// With a reset of the connection or stream.
    Reset,
}

/// Makes hyper end a connection or a stream without an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reset;

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reset by an injected fault")
    }
}

impl std::error::Error for Reset {}

impl<T: Into<Refused>> From<T> for Here {
    fn from(refused: T) -> Self {
        Self::Refused(refused.into())
    }
}

impl From<Turned> for Refused {
    fn from(turned: Turned) -> Self {
        let Turned { failure, detail, fields } = turned;
        Self { failure, detail: detail.into(), tries: Tries::default(), fields }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { failure: refusal.into(), detail: refusal.detail.into(), tries: Tries::default(), fields: Fields::new() }
    }
}

impl Refused {
    fn new(reason: Reason, detail: &'static str) -> Self {
        Refusal::new(reason, detail).into()
    }
}

/// What an answer made here needs to know of the request, which may be gone by then.
struct Asker {
    method: Method,
    kind: Kind,
    version: Version,
    request_id: Option<HeaderValue>,
}

/// A request on its way to its answer.
///
/// Everything up to the moment in which the request is handed over happens at once, so that what waits has no room for a request: a wait for an
/// endpoint is where a request spends its time, thousands of them side by side, and what each keeps is what leaves the processor's caches.
pub(super) enum Handling {
    /// Answered here.
    Here(Option<Box<Result<Response<ReplyBody>, Reset>>>),
    /// Its stack has it.
    Waits(Pin<Box<dyn Future<Output = Result<Response<ReplyBody>, Reset>>>>),
}

impl Future for Handling {
    type Output = Result<Response<ReplyBody>, Reset>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Here(answered) => answered.take().map_or(Poll::Pending, |answered| Poll::Ready(*answered)),
            Self::Waits(waiting) => waiting.as_mut().poll(cx),
        }
    }
}

/// Answers one request of a connection.
pub(super) fn handle(client: Rc<Client>, request: Request<Incoming>) -> Handling {
    let index = client.seat.watched.progress.begin();
    let view = client.slot.view();
    let offer = request.extensions().get::<OnUpgrade>().filter(|_| request.version() < Version::HTTP_2).cloned();
    let mut record = Record::new(client.clone(), view.clone(), clock::now());
    let call = Call::new(request.map(|body| Upload::new(body, view.limits.request_body)), record.started());
    let request = &call.request;
    let present = Present::of(request.headers());
    let kind = if present.has(Present::CONTENT_TYPE) { Kind::of(request.headers()) } else { Kind::Plain };
    let mut asker = Asker { method: request.method().clone(), kind, version: request.version(), request_id: None };
    let begun = if let Some(refusal) = client.seat.watched.progress.refusal_of(index) {
        // The request in hand is only a substitute: there is nothing to tell of it but that it was refused.
        let id = view.mint.fresh(fastrand::u128(..), 0).request_id();
        record.refused_head();
        record.request_id(&id);
        asker.request_id = Some(id);
        Err((record, refusal.into()))
    } else {
        record.head(request.method(), request.uri(), request.version(), request.headers());
        begin(&client, &view, call, present, record, &mut asker)
    };
    match begun {
        Ok(Begun::Sent(sent)) => Handling::Waits(Box::pin(wait(client, view, asker, offer, sent))),
        Ok(Begun::Answered(response)) => here(finish(&client, &view, &asker, offer, Ok(response))),
        Err(refused) => here(finish(&client, &view, &asker, offer, Err(refused))),
    }
}

fn here(answered: Result<Response<ReplyBody>, Reset>) -> Handling {
    Handling::Here(Some(Box::new(answered)))
}

/// Waits for what the stack makes of the request.
#[expect(clippy::manual_async_fn, reason = "an `async fn` keeps each argument twice")]
fn wait(
    client: Rc<Client>,
    view: Rc<View>,
    asker: Asker,
    offer: Option<OnUpgrade>,
    mut sent: Sent,
) -> impl Future<Output = Result<Response<ReplyBody>, Reset>> {
    async move {
        let answered = match sent.heartbeat {
            // By reference, as an awaited future would be kept twice as well.
            None => poll_fn(|cx| Pin::new(&mut sent.answering).poll(cx)).await,
            Some(every) => {
                let asked = heartbeat::Asker { request_id: asker.request_id.as_ref(), name: &view.proxy_name };
                match Box::pin(heartbeat::wait(sent.answering, every, asked)).await {
                    Ok(answered) => answered,
                    Err(waiting) => {
                        let mut response = heartbeat::begin(waiting, &sent.route, sent.record);
                        response.headers_mut().extend(sent.standing);
                        return finish(&client, &view, &asker, offer, Ok(response));
                    }
                }
            }
        };
        let mut answered = conclude(&view, &sent.route, answered, sent.client_side, sent.record);
        match &mut answered {
            Ok(response) => response.headers_mut().extend(sent.standing),
            Err((_, Here::Refused(refused))) => refused.fields.extend(sent.standing),
            Err((_, Here::Reset)) => {}
        }
        finish(&client, &view, &asker, offer, answered)
    }
}

/// Makes the answer, or the refusal, what the client gets.
fn finish(
    client: &Rc<Client>,
    view: &View,
    asker: &Asker,
    offer: Option<OnUpgrade>,
    answered: Answered,
) -> Result<Response<ReplyBody>, Reset> {
    let mut response = match answered {
        Ok(response) => response,
        Err((record, Here::Refused(refused))) => refuse(view, asker, refused, record),
        Err((mut record, Here::Reset)) => {
            record.failed(Reason::FaultInjected);
            record.finish(Outcome::Failed(Reason::FaultInjected));
            return Err(Reset);
        }
    };
    last_words(client, asker, &mut response);
    if let Some(offer) = offer.filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS) {
        leftover::close(client.clone(), offer);
    }
    Ok(response)
}

/// What every answer carries, whoever made it.
fn last_words(client: &Client, asker: &Asker, response: &mut Response<ReplyBody>) {
    if let Some(id) = &asker.request_id {
        response.headers_mut().insert(request_id::X_REQUEST_ID, id.clone());
    }
    if asker.version == Version::HTTP_2 {
        response.body_mut().in_parts();
    }
    let progress = &client.seat.watched.progress;
    // After a refused switch the client may have sent bytes that nobody has checked.
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let closes = !switched && (progress.is_tunnel() || progress.is_ending());
    if asker.version < Version::HTTP_2 && closes {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn refuse(view: &View, asker: &Asker, refused: Refused, mut record: Box<Record>) -> Response<ReplyBody> {
    record.failed(refused.failure.reason);
    let problem = Problem {
        failure: refused.failure,
        detail: &refused.detail,
        request_id: asker.request_id.as_ref(),
        kind: asker.kind,
        name: &view.proxy_name,
    };
    let mut made = problem.respond();
    tell_attempts(made.headers_mut(), refused.tries);
    for (name, value) in refused.fields {
        made.headers_mut().insert(name, value);
    }
    if asker.version < Version::HTTP_2 && must_close(refused.failure.reason) {
        made.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    reply::send_made(made, &asker.method, record)
}

/// Tells whether the rest of the connection cannot be trusted or should not be waited for.
const fn must_close(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::AmbiguousFraming
            | Reason::MalformedRequest
            | Reason::InvalidHost
            | Reason::TargetTooLong
            | Reason::HeaderTooLarge
            | Reason::TooManyHeaders
            | Reason::BodyTooLarge
            | Reason::UnknownTransferCoding
            | Reason::HeaderTimeout
            | Reason::RequestBodyTimeout
            | Reason::RequestBodyBroken
            | Reason::ConnectRefused
    )
}

type Answered = Result<Response<ReplyBody>, (Box<Record>, Here)>;

/// What has become of a request that was not refused at once.
#[expect(clippy::large_enum_variant, reason = "it is looked at where it is made, and a box would cost every request an allocation")]
enum Begun {
    Answered(Response<ReplyBody>),
    Sent(Sent),
}

/// A request that its route's stack has.
struct Sent {
    answering: <Stack as Service<Box<Call>>>::Future,
    route: Rc<RouteView>,
    record: Box<Record>,
    heartbeat: Option<Duration>,
    /// The client's side of a switch of protocols that it asked for.
    client_side: Option<OnUpgrade>,
    /// What the limits say to the client.
    standing: Fields,
}

/// Checks and matches a request, and begins what its route says.
fn begin(
    client: &Client,
    view: &View,
    mut call: Box<Call>,
    present: Present,
    mut record: Box<Record>,
    asker: &mut Asker,
) -> Result<Begun, (Box<Record>, Here)> {
    let request = &mut call.request;
    // Before anything is added to the head.
    let within = limit::check(&view.limits, request);
    let fresh = view.mint.fresh(fastrand::u128(..), fastrand::u64(..));
    // Without room the map grows as fields are added, and twice: nothing is lost but time.
    let _ = request.headers_mut().try_reserve(ADDED_FIELDS);
    let id = request_id::ensure(request.headers_mut(), present, &fresh);
    record.request_id(&id);
    asker.request_id = Some(id);
    if let Err(refusal) = within {
        return Err((record, refusal.into()));
    }
    if let Err(refusal) = forward::straighten(request) {
        return Err((record, refusal.into()));
    }
    if view.via.is_loop(request.headers(), present) {
        return Err((record, Refused::new(Reason::LoopDetected, "the request has passed this proxy before").into()));
    }
    let (matched, route) = match find(client, view, request) {
        Ok(found) => found,
        Err(refused) => return Err((record, refused.into())),
    };
    record.routed(&route);
    match &route.action {
        ActionView::Respond(fixed) => Ok(Begun::Answered(reply::send_made(fixed.response(), &asker.method, record))),
        ActionView::Redirect(redirect) => {
            match forward::redirect(
                redirect,
                client.forwarded.scheme().as_str(),
                request.headers(),
                request.uri(),
                matched.prefix_len,
            ) {
                Some(made) => Ok(Begun::Answered(reply::send_made(made, &asker.method, record))),
                None => Err((record, Refused::new(Reason::InvalidTarget, "the redirect does not make a valid location").into())),
            }
        }
        ActionView::Forward { rotation, pools } => {
            let Some(destination) = pools.get(rotation.borrow_mut().next()) else {
                return Err((record, Refused::new(Reason::Internal, "the route has no pool").into()));
            };
            let standing = match admit::rate(client, view, &route, request, record.started()) {
                Ok(standing) => standing,
                Err(turned) => return Err((record, turned.into())),
            };
            let prepared = Prepared { route: &route, destination, matched, present, fresh: &fresh };
            match pass(client, view, call, &prepared, record) {
                Ok(sent) => Ok(Begun::Sent(Sent { standing, ..sent })),
                Err((record, mut refused)) => {
                    refused.fields.extend(standing);
                    Err((record, Here::Refused(refused)))
                }
            }
        }
    }
}

fn find(client: &Client, view: &View, request: &Request<Upload>) -> Result<(Matched, Rc<RouteView>), Refused> {
    let host = forward::host(&client.host, request)?;
    let query = Query {
        host: &host,
        path: request.uri().path(),
        method: request.method(),
        headers: request.headers(),
        query: request.uri().query(),
    };
    match view.table.find(&query) {
        Ok(matched) => match view.route(matched.route) {
            Some(route) => Ok((matched, route.clone())),
            None => Err(Refused::new(Reason::Internal, "the route is not known to this worker")),
        },
        Err(Miss::NoRoute) => Err(Refused::new(Reason::NoRoute, "no route takes this host, path, headers and query")),
        Err(Miss::Method(allowed)) => {
            let mut refused = Refused::new(Reason::MethodNotAllowed, "a route takes this request with another method only");
            let list = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            refused.fields.extend(HeaderValue::try_from(list).ok().map(|list| (http::header::ALLOW, list)));
            Err(refused)
        }
    }
}

/// What was decided about a request before it is sent.
struct Prepared<'a> {
    route: &'a Rc<RouteView>,
    destination: &'a Destination,
    matched: Matched,
    present: Present,
    fresh: &'a Fresh<'a>,
}

/// Sends a request through its route's stack.
fn pass(
    client: &Client,
    view: &View,
    mut call: Box<Call>,
    prepared: &Prepared<'_>,
    mut record: Box<Record>,
) -> Result<Sent, (Box<Record>, Refused)> {
    let present = prepared.present;
    let request = &mut call.request;
    let declared = || request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if view.limits.request_body.is_some_and(|limit| declared().is_some_and(|declared| declared > limit)) {
        return Err((record, Refused::new(Reason::BodyTooLarge, "the request body is larger than the listener's limit")));
    }
    match admit::pressure(view, prepared.route) {
        Ok(permit) => record.admitted(permit),
        Err(turned) => return Err((record, turned.into())),
    }
    call.key = prepared.destination.hash_key.as_ref().and_then(|source| forward::hash_key(source, client, view, request));
    call.required = match forward::required(request.headers(), present) {
        Ok(required) => required,
        Err(refusal) => return Err((record, refusal.into())),
    };
    let heartbeat = prepared.route.model.heartbeat.filter(|_| heartbeat::suits(request));
    let may_switch = present.has(Present::UPGRADE) && request.version() == Version::HTTP_11;
    let wanted = if may_switch { hop::upgrade_wanted(request.headers()) } else { None };
    let client_side = wanted.as_ref().map(|_| hyper::upgrade::on(&mut *request));
    forward::edit_request(client, view, prepared.route, prepared.matched.prefix_len, (present, prepared.fresh), request);
    if let Some(protocol) = wanted {
        hop::restore_upgrade(request.headers_mut(), protocol);
    }
    request.body_mut().limit_silence(prepared.route.model.timeouts.idle);
    record.uploads(request.body().progress());
    let answering = prepared.destination.stack.clone().call(call);
    Ok(Sent { answering, route: prepared.route.clone(), record, heartbeat, client_side, standing: Fields::new() })
}

/// Makes of what the stack says the answer, or the refusal.
fn conclude(
    view: &View,
    route: &RouteView,
    answered: Result<Box<Reply>, Box<Denied>>,
    client_side: Option<OnUpgrade>,
    mut record: Box<Record>,
) -> Answered {
    match answered {
        Ok(reply) if switches(&reply) && (client_side.is_none() || hop::upgrade_wanted(reply.response.headers()).is_none()) => {
            let (record, refused) = bad_switch(*reply, record);
            Err((record, refused.into()))
        }
        Ok(reply) => Ok(hand_over(view, route, *reply, client_side, record)),
        Err(denied) => {
            let Denied { failure, detail, member, tries, reset, .. } = *denied;
            record.tried(member, tries);
            if reset {
                return Err((record, Here::Reset));
            }
            let broken = record.refusal().filter(|_| failure.reason == Reason::RequestBodyBroken);
            Err((record, broken.map_or_else(|| Refused { failure, detail, tries, fields: Fields::new() }, Refused::from).into()))
        }
    }
}

/// One attempt is the usual case, and says nothing.
fn tell_attempts(headers: &mut HeaderMap, tries: Tries) {
    if tries.attempts > 1 {
        headers.insert(X_TIDEGATE_ATTEMPTS, HeaderValue::from(tries.attempts));
    }
}

fn switches(reply: &Reply) -> bool {
    reply.response.status() == StatusCode::SWITCHING_PROTOCOLS
}

/// An endpoint that switches unasked, or to nothing, has left HTTP: what it sends from now on is no answer.
fn bad_switch(reply: Reply, mut record: Box<Record>) -> (Box<Record>, Refused) {
    record.tried(Some(reply.member), reply.tries);
    reply.response.into_body().finish_switched(Outcome::Failed(Reason::UpgradeFailed));
    (record, Refused::new(Reason::UpgradeFailed, "the endpoint switched protocols, but not as it was asked"))
}

fn hand_over(
    view: &View,
    route: &RouteView,
    reply: Reply,
    client_side: Option<OnUpgrade>,
    mut record: Box<Record>,
) -> Response<ReplyBody> {
    let Reply { mut response, present, member, first_byte, tries } = reply;
    record.tried(Some(member), tries);
    record.answered(response.status(), Some(first_byte));
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let protocol = if switched { hop::upgrade_wanted(response.headers()) } else { None };
    forward::edit_response(view, route, present, &mut response);
    tell_attempts(response.headers_mut(), tries);
    match (protocol, client_side) {
        (Some(protocol), Some(client_side)) => {
            hop::restore_upgrade(response.headers_mut(), protocol);
            let endpoint_side = hyper::upgrade::on(&mut response);
            let (head, body) = response.into_parts();
            record.switched();
            upgrade::tunnel(client_side, endpoint_side, body, route.model.timeouts.idle, record);
            Response::from_parts(head, ReplyBody::switched())
        }
        _ => response.map(|body| ReplyBody::passed(body, record)),
    }
}
