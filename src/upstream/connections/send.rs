//! One request over one connection, once.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use pin_project_lite::pin_project;

use crate::model::Reason;
use crate::upstream::failure::{SendFailure, unprocessed};

use super::exchange::Connections;
use super::h1;
use super::lease::Held;
use super::outgoing::{Outgoing, Progress, RequestBody, Within};

/// The head of a response, and what must be held until its body has ended.
pub(super) type Answer<B> = (Response<Incoming>, Held<B>);

/// How a request was sent in vain.
pub(super) enum Unanswered<B> {
    /// The connection had closed; nothing was sent.
    Stale(Request<Outgoing<B>>, SendFailure),
    /// The endpoint said that it did not look at the request.
    Refused(Request<Outgoing<B>>, SendFailure),
    /// The request is gone.
    Lost(SendFailure),
}

impl<B: RequestBody> Unanswered<B> {
    /// Returns the request when it may be sent again: over a connection that was `reused` always, else by one of `chances`.
    pub(super) fn again(self, reused: bool, chances: &mut u32) -> Result<Request<Outgoing<B>>, SendFailure> {
        match self {
            Self::Lost(failure) => Err(SendFailure { reused, ..failure }),
            Self::Stale(request, _) if reused => Ok(request),
            Self::Stale(request, failure) | Self::Refused(request, failure) => {
                *chances = chances.checked_sub(1).ok_or(SendFailure { reused, ..failure })?;
                Ok(request)
            }
        }
    }
}

pin_project! {
    /// A request that a connection has, until the head of its response.
    pub(super) struct Sent<B: RequestBody, F> {
        #[pin]
        answer: Within<F>,
        held: Option<Held<B>>,
        spare: Option<Box<Request<Outgoing<B>>>>,
    }
}

pin_project! {
    /// A request that was handed over, or could not be.
    #[project = SendingKind]
    pub(super) enum Sending<B: RequestBody, F, G> {
        /// Over HTTP/1.
        H1 { #[pin] sent: Sent<B, F> },
        /// Over HTTP/2.
        H2 { #[pin] sent: Sent<B, G> },
        /// It has no form in the connection's protocol.
        Unfit { failure: Option<SendFailure> },
    }
}

/// What hyper says of a request.
type Said<B> = Result<Response<Incoming>, TrySendError<Request<Outgoing<B>>>>;

impl<B, F, G> Future for Sending<B, F, G>
where
    B: RequestBody,
    F: Future<Output = Said<B>>,
    G: Future<Output = Said<B>>,
{
    type Output = Result<Answer<B>, Unanswered<B>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            SendingKind::H1 { sent } => sent.poll(cx),
            SendingKind::H2 { sent } => sent.poll(cx),
            SendingKind::Unfit { failure } => {
                failure.take().map_or(Poll::Pending, |failure| Poll::Ready(Err(Unanswered::Lost(failure))))
            }
        }
    }
}

impl<B: RequestBody, F: Future<Output = Said<B>>> Future for Sent<B, F> {
    type Output = Result<Answer<B>, Unanswered<B>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let said = ready!(this.answer.as_mut().poll(cx));
        let Some(held) = this.held.take() else { return Poll::Pending };
        Poll::Ready(match said {
            None => Err(Unanswered::Lost(late())),
            Some(Ok(response)) if matches!(held, Held::H1(_)) && !h1::is_framed_once(response.headers()) => {
                Err(Unanswered::Lost(ambiguous()))
            }
            Some(Ok(response)) => Ok((response, held)),
            Some(Err(mut error)) => {
                let back = error.take_message();
                let failure = SendFailure::of_exchange(error.error(), this.answer.is_broken());
                Err(match (back, this.spare.take()) {
                    (Some(request), _) => Unanswered::Stale(request, SendFailure { sent: false, ..failure }),
                    (None, Some(request)) if unprocessed(error.error()) => Unanswered::Refused(*request, failure),
                    (None, _) => Unanswered::Lost(failure),
                })
            }
        })
    }
}

impl<B: RequestBody> Connections<B> {
    /// Hands `request` over to a connection; what is returned has no room for it.
    pub(super) fn send(
        &self,
        held: Held<B>,
        mut request: Request<Outgoing<B>>,
        first_byte: Option<Duration>,
    ) -> Sending<B, impl Future<Output = Said<B>> + use<B>, impl Future<Output = Said<B>> + use<B>> {
        match held {
            Held::H1(mut connection) => {
                if let Err(failure) = h1::prepare(&mut request, &self.target.address) {
                    return Sending::Unfit { failure: Some(failure) };
                }
                let progress = watch(&mut request, || connection.progress());
                let answer = Within::new(connection.send(request), first_byte, progress, &self.alarms);
                Sending::H1 { sent: Sent { answer, held: Some(Held::H1(connection)), spare: None } }
            }
            Held::H2(place) => {
                if let Err(failure) = place.connection().prepare(&mut request) {
                    return Sending::Unfit { failure: Some(failure) };
                }
                let progress = watch(&mut request, Rc::default);
                let spare = self.spare_body.filter(|_| progress.is_none()).map(|empty| Box::new(copy(&request, empty())));
                let answer = Within::new(place.send(request), first_byte, progress, &self.alarms);
                Sending::H2 { sent: Sent { answer, held: Some(Held::H2(place)), spare } }
            }
        }
    }
}

/// Watches the body when there is one.
fn watch<B: RequestBody>(request: &mut Request<Outgoing<B>>, progress: impl FnOnce() -> Rc<Progress>) -> Option<Rc<Progress>> {
    (!request.body().is_end_stream()).then(|| {
        let progress = progress();
        request.body_mut().watch(Rc::clone(&progress));
        progress
    })
}

fn copy<B>(request: &Request<Outgoing<B>>, body: B) -> Request<Outgoing<B>> {
    let mut copy = Request::new(Outgoing::new(body));
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy.extensions_mut().clone_from(request.extensions());
    copy
}

fn ambiguous() -> SendFailure {
    SendFailure {
        reason: Reason::EndpointProtocol,
        sent: true,
        reused: false,
        detail: "the response can be read in two ways, or has a transfer coding that was not asked for".into(),
    }
}

fn late() -> SendFailure {
    SendFailure {
        reason: Reason::FirstByteTimeout,
        sent: true,
        reused: false,
        detail: "the endpoint sent no response in time".into(),
    }
}
