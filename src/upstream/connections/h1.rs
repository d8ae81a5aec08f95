//! One HTTP/1 connection: one request at a time.
//!
//! Informational answers (1xx) but for 101 are taken by hyper and not passed on, unless the request carries
//! `hyper::ext::on_informational`. After a 101 the caller takes the stream by `hyper::upgrade::on`; the connection's task has ended then.

use std::rc::Rc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::Instant;
use tracing::debug;

use crate::model::{Address, Reason};
use crate::upstream::failure::SendFailure;
use crate::upstream::stream::Stream;

use super::exchange::Open;
use super::outgoing::{Outgoing, Progress, RequestBody};

/// Bytes of a response's head: twice what a listener takes of a request's, as tokens and cookies come back in it.
const HEAD_BYTES: usize = 64 * 1024;

/// An HTTP/1 connection; dropped while it is busy it is closed at once, so that the endpoint sees the abort, else it ends in order.
pub(super) struct H1<B> {
    sender: SendRequest<Outgoing<B>>,
    task: AbortHandle,
    progress: Rc<Progress>,
    /// When it was last put aside.
    pub(super) since: Instant,
    busy: bool,
}

impl<B: RequestBody> H1<B> {
    /// Speaks HTTP/1 over `stream`; the connection's task owns `open` and ends with the connection.
    pub(super) async fn new(stream: Stream, open: Open) -> Result<Self, SendFailure> {
        let (sender, connection) = Builder::new()
            .max_header_size(HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| SendFailure { sent: false, ..SendFailure::of_exchange(&error, false) })?;
        let task = spawn_local(async move {
            let _open = open;
            if let Err(error) = connection.with_upgrades().await {
                debug!(%error, "Endpoint connection ended.");
            }
        });
        Ok(Self { sender, task: task.abort_handle(), progress: Rc::default(), since: Instant::now(), busy: true })
    }

    /// Tells whether it can take a request now.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Tells whether it will never take a request again.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until it can take a request; false when it never will.
    pub(super) async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Takes it for a request: dropped from now on, it is closed at once.
    pub(super) fn take(&mut self) {
        self.busy = true;
    }

    /// Gives it back: dropped from now on, it ends in order.
    pub(super) fn rest(&mut self) {
        self.busy = false;
    }

    /// Returns where the body of the request reports to.
    pub(super) fn progress(&self) -> Rc<Progress> {
        self.progress.reset();
        Rc::clone(&self.progress)
    }

    /// Hands over `request`; an error that carries it back says that nothing of it was sent.
    pub(super) fn send(
        &mut self,
        mut request: Request<Outgoing<B>>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Outgoing<B>>>>> + use<B> {
        *request.version_mut() = Version::HTTP_11;
        self.sender.try_send_request(request)
    }
}

impl<B> Drop for H1<B> {
    fn drop(&mut self) {
        if self.busy {
            self.task.abort();
        }
    }
}

/// Gives the request the form of HTTP/1 (RFC 9112 section 3.2.1): `Host`, and a target without authority.
///
/// A request that names no host, which only HTTP/1.0 allows, is for the endpoint at `address`. A body of unknown length becomes a chunked one.
pub(super) fn prepare<T: Body>(request: &mut Request<T>, address: &Address) -> Result<(), SendFailure> {
    // hyper does so by itself but for GET and HEAD, whose body it would lose without a word (RFC 9110 section 9.3.1 allows one).
    if !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let Some(authority) = request.uri().authority() else {
        if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, host_of(address));
        }
        return Ok(());
    };
    if !request.headers().contains_key(header::HOST) {
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| SendFailure::unsent(Reason::InvalidHost, "the authority is not a header value"))?;
        request.headers_mut().insert(header::HOST, host);
    }
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    Ok(())
}

/// Tells whether a response says only once where its body ends.
///
/// hyper would read by `Transfer-Encoding` and let `Content-Length` stay, and the client would read by that (RFC 9112 section 6.3).
/// Other codings are never asked for, and would be lost with the field.
pub(super) fn is_framed_once(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked") && !headers.contains_key(header::CONTENT_LENGTH),
        (Some(_), Some(_)) => false,
    }
}

fn host_of(address: &Address) -> HeaderValue {
    match address {
        Address::Ip(_) | Address::Name { .. } => HeaderValue::try_from(address.to_string()),
        Address::Unix(_) => Ok(HeaderValue::from_static("localhost")),
    }
    // RFC 9112 section 3.2: empty when there is none.
    .unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{Empty, Full};

    use super::*;

    fn address() -> Address {
        "10.0.0.1:8080".parse().unwrap()
    }

    #[test]
    fn a_request_without_host_is_for_the_endpoint() {
        let mut request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
        prepare(&mut request, &address()).unwrap();
        assert_eq!(request.headers()[header::HOST], "10.0.0.1:8080");
    }

    #[test]
    fn an_absolute_target_becomes_host_and_path() {
        let mut request = Request::get("http://agents.example:81/a?b=c").body(Empty::<Bytes>::new()).unwrap();
        prepare(&mut request, &address()).unwrap();
        assert_eq!(request.uri(), "/a?b=c");
        assert_eq!(request.headers()[header::HOST], "agents.example:81");
    }

    #[test]
    fn a_given_host_stays() {
        let mut request = Request::get("http://agents.example").header(header::HOST, "other").body(Empty::<Bytes>::new()).unwrap();
        prepare(&mut request, &address()).unwrap();
        assert_eq!(request.uri(), "/");
        assert_eq!(request.headers()[header::HOST], "other");
    }

    #[test]
    fn a_body_of_known_length_is_not_chunked() {
        let mut request = Request::get("/").body(Full::new(Bytes::from_static(b"x"))).unwrap();
        prepare(&mut request, &address()).unwrap();
        assert!(!request.headers().contains_key(header::TRANSFER_ENCODING));
        let mut request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
        prepare(&mut request, &address()).unwrap();
        assert!(!request.headers().contains_key(header::TRANSFER_ENCODING));
    }
}
