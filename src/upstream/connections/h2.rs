//! One HTTP/2 connection, shared by as many requests as the peer allows.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version, header, uri};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::spawn_local;
use tokio::time::Instant;
use tracing::debug;

use crate::model::{Address, Reason};
use crate::upstream::failure::SendFailure;
use crate::upstream::stream::Stream;
use crate::upstream::target::Target;

use super::exchange::Open;
use super::outgoing::{Outgoing, RequestBody};

/// What one stream may have under way to us: enough for 5 MB/s over a 50 ms way, little enough that a slow client of a long
/// answer holds no more than this.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What a connection may have under way: 256 full streams, so that streams whose clients are slow never starve the others.
const CONNECTION_WINDOW: u32 = 256 * STREAM_WINDOW;
/// Bytes of a response's header fields; as for HTTP/1.
const HEAD_BYTES: u32 = 64 * 1024;
/// How often a connection with running requests is asked whether it is alive, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

type Driver<B> = Rc<RefCell<Option<Connection<TokioIo<Stream>, Outgoing<B>, LocalExecutor>>>>;

/// An HTTP/2 connection.
pub(super) struct H2<B: RequestBody> {
    sender: RefCell<SendRequest<Outgoing<B>>>,
    driver: Driver<B>,
    running: Cell<usize>,
    since: Cell<Instant>,
    scheme: Scheme,
    /// The last `Host` and what it was read as: clients of one route mostly send the same.
    authority: RefCell<Option<(HeaderValue, Authority)>>,
    fallback: Option<Authority>,
}

/// The place of one request on a connection.
pub(super) struct StreamPlace<B: RequestBody>(Rc<H2<B>>);

/// Runs hyper's tasks on this worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

impl<B: RequestBody> H2<B> {
    /// Speaks HTTP/2 over `stream`; the connection's task owns `open` and ends with the connection.
    pub(super) async fn new(stream: Stream, target: &Target, open: Open) -> Result<Rc<Self>, SendFailure> {
        let scheme = if target.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let (sender, connection) = Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| SendFailure { sent: false, ..SendFailure::of_exchange(&error, false) })?;
        let driver: Driver<B> = Rc::new(RefCell::new(Some(connection)));
        let driven = Rc::clone(&driver);
        spawn_local(async move {
            let _open = open;
            let ended = poll_fn(|cx| match driven.borrow_mut().as_mut() {
                Some(connection) => Pin::new(connection).poll(cx),
                None => std::task::Poll::Ready(Ok(())),
            });
            if let Err(error) = ended.await {
                debug!(%error, "Endpoint connection ended.");
            }
            // Requests that hyper has not begun are given back only when their queue is dropped.
            let connection = driven.borrow_mut().take();
            drop(connection);
        });
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            driver,
            running: Cell::new(0),
            since: Cell::new(Instant::now()),
            scheme,
            authority: RefCell::new(None),
            fallback: address_authority(&target.address),
        }))
    }

    /// Tells whether it will never take a request again.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.borrow().is_closed()
    }

    /// Tells since when no request has been running; `None` while one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.running.get() == 0).then(|| self.since.get())
    }

    /// Takes a place on `self` when the peer allows one more.
    ///
    /// A peer that allows none at all is treated as allowing one: the request waits there for its timeout, rather than in a storm
    /// of new connections.
    pub(super) fn place(self: &Rc<Self>) -> Option<StreamPlace<B>> {
        (self.running.get() < self.max_streams().max(1)).then(|| {
            self.running.set(self.running.get() + 1);
            StreamPlace(Rc::clone(self))
        })
    }

    fn max_streams(&self) -> usize {
        // It is borrowed only while it is polled, and nothing that is polled there asks for a place.
        self.driver.try_borrow().ok().and_then(|driver| driver.as_ref().map(Connection::current_max_send_streams)).unwrap_or(0)
    }

    /// Gives the request the form of HTTP/2 (RFC 9113 section 8.3.1): scheme and authority in the target, no `Host`.
    pub(super) fn prepare<T>(&self, request: &mut Request<T>) -> Result<(), SendFailure> {
        *request.version_mut() = Version::HTTP_2;
        let host = request.headers_mut().remove(header::HOST);
        let authority = match (host, request.uri().authority()) {
            (Some(host), _) => self.read_authority(host)?,
            (None, Some(_)) => return Ok(()),
            (None, None) => {
                self.fallback.clone().ok_or_else(|| SendFailure::unsent(Reason::InvalidHost, "the request has no host"))?
            }
        };
        let mut parts = uri::Parts::default();
        parts.path_and_query = Some(request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(authority);
        *request.uri_mut() =
            Uri::from_parts(parts).map_err(|_| SendFailure::unsent(Reason::InvalidTarget, "the target has no HTTP/2 form"))?;
        Ok(())
    }

    fn read_authority(&self, host: HeaderValue) -> Result<Authority, SendFailure> {
        let mut known = self.authority.borrow_mut();
        if let Some((value, authority)) = known.as_ref()
            && value == host
        {
            return Ok(authority.clone());
        }
        let authority = Authority::try_from(host.as_bytes())
            .map_err(|_| SendFailure::unsent(Reason::InvalidHost, "the host is not an authority"))?;
        *known = Some((host, authority.clone()));
        Ok(authority)
    }
}

/// Returns `address` as an authority, for requests that name no host.
fn address_authority(address: &Address) -> Option<Authority> {
    match address {
        Address::Unix(_) => Some(Authority::from_static("localhost")),
        address => address.to_string().parse().ok(),
    }
}

impl<B: RequestBody> StreamPlace<B> {
    /// Returns the connection.
    pub(super) fn connection(&self) -> &Rc<H2<B>> {
        &self.0
    }

    /// Hands over `request`; an error that carries it back says that nothing of it was sent.
    pub(super) fn send(
        &self,
        request: Request<Outgoing<B>>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Outgoing<B>>>>> + use<B> {
        self.0.sender.borrow_mut().try_send_request(request)
    }
}

impl<B: RequestBody> Drop for StreamPlace<B> {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get().saturating_sub(1));
        self.0.since.set(Instant::now());
    }
}
