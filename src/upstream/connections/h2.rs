//! One HTTP/2 connection, shared by as many requests as the peer allows.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version, header, uri};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Notify, oneshot};
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
/// Stands for "not told yet": what the peer allows before its settings have come. No peer can say this number.
const UNTOLD: usize = usize::MAX - 1;
/// How often a connection with running requests is asked whether it is alive, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What is said of a connection that ends before the peer's settings.
const UNSETTLED: &str = "the endpoint closed the connection before its HTTP/2 settings";

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

/// What is known of the first task: its connection is open, and it has had a turn.
type Watched = (Open, Rc<Notify>);

/// Closes a connection for further requests when its task ends, also by a panic in a request's body.
///
/// Requests that hyper has not begun are given back only when their queue is dropped.
struct Closing<B: RequestBody>(Driver<B>);

/// Runs hyper's tasks on this worker, and watches the first: that is the one which reads and writes.
#[derive(Clone, Debug, Default)]
pub(super) struct LocalExecutor {
    watch: Rc<RefCell<Option<Watched>>>,
}

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        match self.watch.borrow_mut().take() {
            Some((open, turned)) => spawn_local(watched(future, open, turned)),
            None => spawn_local(async { drop(future.await) }),
        };
    }
}

impl<B: RequestBody> Drop for Closing<B> {
    fn drop(&mut self) {
        let connection = self.0.try_borrow_mut().ok().and_then(|mut driver| driver.take());
        drop(connection);
    }
}

/// Runs `future`, tells after each of its turns, and counts its connection as open until it ends.
async fn watched<F: Future>(future: F, open: Open, turned: Rc<Notify>) {
    let _open = open;
    let mut future = pin!(future);
    poll_fn(|cx| {
        let turn = future.as_mut().poll(cx);
        turned.notify_waiters();
        turn
    })
    .await;
}

impl<B: RequestBody> H2<B> {
    /// Speaks HTTP/2 over `stream`; `open` ends with the connection.
    ///
    /// Waits for the peer's settings: before them nobody knows how many requests it takes, and too many would wait behind each
    /// other while a second connection had room. A peer that does not speak HTTP/2 is found out here, with nothing sent.
    pub(super) async fn new(stream: Stream, target: &Target, open: Open) -> Result<Rc<Self>, SendFailure> {
        let scheme = if target.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let turned = Rc::new(Notify::new());
        let executor = LocalExecutor { watch: Rc::new(RefCell::new(Some((open, Rc::clone(&turned))))) };
        let (sender, connection) = Builder::new(executor)
            .timer(TokioTimer::new())
            .initial_max_send_streams(UNTOLD)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| SendFailure { sent: false, ..SendFailure::of_exchange(&error, false) })?;
        let driver: Driver<B> = Rc::new(RefCell::new(Some(connection)));
        let mut end = drive(&driver);
        let this = Self {
            sender: RefCell::new(sender),
            driver,
            running: Cell::new(0),
            since: Cell::new(Instant::now()),
            scheme,
            authority: RefCell::new(None),
            fallback: address_authority(&target.address),
        };
        loop {
            let mut turn = pin!(turned.notified());
            // Registered before the settings are looked at, so that no turn is missed.
            turn.as_mut().enable();
            if this.max_streams().is_some_and(|max| max != UNTOLD) {
                return Ok(Rc::new(this));
            }
            // Both branches are cancel-safe: a turn is only a reason to look again, and an end is final.
            tokio::select! {
                () = turn => {}
                ended = &mut end => return Err(ended.unwrap_or_else(|_| SendFailure::unsent(Reason::EndpointReset, UNSETTLED))),
            }
        }
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
        (self.running.get() < self.max_streams()?.max(1)).then(|| {
            self.running.set(self.running.get() + 1);
            StreamPlace(Rc::clone(self))
        })
    }

    /// Returns how many requests the peer takes at a time; `None` when it takes no more at all.
    fn max_streams(&self) -> Option<usize> {
        // It is borrowed only while it is polled, and nothing that is polled there asks for a place.
        self.driver.try_borrow().ok()?.as_ref().map(Connection::current_max_send_streams)
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

/// Runs the task that hands requests over; tells how it ended to whoever waits for the peer's settings.
///
/// Owned by the connection: ends when that is dropped, or when the peer takes no more requests.
fn drive<B: RequestBody>(driver: &Driver<B>) -> oneshot::Receiver<SendFailure> {
    let (sender, receiver) = oneshot::channel();
    let closing = Closing(Rc::clone(driver));
    spawn_local(async move {
        let ended = poll_fn(|cx| match closing.0.borrow_mut().as_mut() {
            Some(connection) => Pin::new(connection).poll(cx),
            None => Poll::Ready(Ok(())),
        });
        let failure = match ended.await {
            Ok(()) => SendFailure::unsent(Reason::EndpointReset, UNSETTLED),
            Err(error) => {
                debug!(%error, "Endpoint connection ended.");
                SendFailure { sent: false, ..SendFailure::of_exchange(&error, false) }
            }
        };
        drop(closing);
        // Nobody waits any more once the settings have come.
        let _ = sender.send(failure);
    });
    receiver
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
