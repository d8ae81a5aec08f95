//! One request over one connection, once.

use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;

use crate::model::Reason;
use crate::upstream::failure::{SendFailure, unprocessed};

use super::exchange::Connections;
use super::h1::{self, H1};
use super::h2::StreamPlace;
use super::lease::Held;
use super::outgoing::{Outgoing, Progress, RequestBody, within};

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

impl<B: RequestBody> Connections<B> {
    /// Sends `request` over an HTTP/1 connection, which is closed unless it comes back with the answer.
    pub(super) async fn send_h1(
        &self,
        mut connection: H1<B>,
        mut request: Request<Outgoing<B>>,
        first_byte: Option<Duration>,
    ) -> Result<Answer<B>, Unanswered<B>> {
        h1::prepare(&mut request, &self.target.address).map_err(Unanswered::Lost)?;
        let progress = watch(&mut request, || connection.progress());
        let answer = connection.send(request);
        match within(answer, first_byte, progress.as_deref(), &self.alarms).await {
            None => Err(Unanswered::Lost(late())),
            Some(Ok(response)) if !h1::is_framed_once(response.headers()) => Err(Unanswered::Lost(ambiguous())),
            Some(Ok(response)) => Ok((response, Held::H1(connection))),
            Some(Err(mut error)) => {
                let back = error.take_message();
                let failure = failed(error.error(), progress.as_deref());
                Err(match back {
                    Some(request) => Unanswered::Stale(request, SendFailure { sent: false, ..failure }),
                    None => Unanswered::Lost(failure),
                })
            }
        }
    }

    /// Sends `request` over a shared HTTP/2 connection.
    pub(super) async fn send_h2(
        &self,
        place: StreamPlace<B>,
        mut request: Request<Outgoing<B>>,
        first_byte: Option<Duration>,
    ) -> Result<Answer<B>, Unanswered<B>> {
        place.connection().prepare(&mut request).map_err(Unanswered::Lost)?;
        let progress = watch(&mut request, Rc::default);
        let spare = if progress.is_none() { self.spare_body.map(|empty| copy(&request, empty())) } else { None };
        let answer = place.send(request);
        match within(answer, first_byte, progress.as_deref(), &self.alarms).await {
            None => Err(Unanswered::Lost(late())),
            Some(Ok(response)) => Ok((response, Held::H2(place))),
            Some(Err(mut error)) => {
                let back = error.take_message();
                let failure = failed(error.error(), progress.as_deref());
                Err(match (back, spare) {
                    (Some(request), _) => Unanswered::Stale(request, SendFailure { sent: false, ..failure }),
                    (None, Some(request)) if unprocessed(error.error()) => Unanswered::Refused(request, failure),
                    (None, _) => Unanswered::Lost(failure),
                })
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

fn failed(error: &hyper::Error, progress: Option<&Progress>) -> SendFailure {
    SendFailure::of_exchange(error, progress.is_some_and(Progress::is_broken))
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
