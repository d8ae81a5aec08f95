//! One client connection, from accept to close.
//!
//! PROXY header, TLS handshake, choice of protocol, then hyper drives the requests. A connection's task ends with its connection; a panic
//! in it ends that connection and nothing else.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::forward::KnownHost;
use super::inlet::Inlet;
use super::service;
use super::stall::StreamExec;
use super::stream::{Rewound, Socket, Stream};
use super::view::{Slot, View};
use super::watch::{Order, Seat, Watched};
use crate::message::forwarded::{self, Peer, Scheme};
use crate::message::framing::Guard;
use crate::message::proxy_protocol::{self, Parsed};
use crate::model::{Limits, ListenerProtocol};
use crate::registry::Pass;
use crate::telemetry::metrics;

/// What an HTTP/2 client with prior knowledge sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// HTTP/2 receive window of one stream: a large upload at 10 ms of distance still moves 100 MB a second.
const STREAM_WINDOW: u32 = 1024 * 1024;

/// HTTP/2 receive window of a connection: several such streams.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// HTTP/2 pings an idle peer this often, so that one that vanished is noticed.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Bytes of responses that are kept for one HTTP/2 stream whose client takes none: backpressure reaches the endpoint early.
const SEND_BUFFER: usize = 256 * 1024;

/// Fields that hyper parses without allocating.
const HYPER_HEADERS: usize = 100;

/// Bytes of a head that fit hyper's buffer as it is.
const HYPER_BUFFER: usize = 400 * 1024;

/// What every request of a connection shares.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) slot: Rc<Slot>,
    pub(super) seat: Rc<Seat>,
    /// Who connected; after a PROXY header, who it names.
    pub(super) peer: Option<SocketAddr>,
    pub(super) forwarded: forwarded::Client,
    pub(super) host: RefCell<Option<KnownHost>>,
    _pass: Pass,
}

/// A connection as it was accepted.
pub(super) struct Accepted {
    pub(super) socket: Socket,
    pub(super) peer: Option<SocketAddr>,
    pub(super) pass: Pass,
}

/// Serves one connection until it ends.
pub(super) async fn serve(slot: Rc<Slot>, seat: Rc<Seat>, accepted: Accepted) {
    let view = slot.view();
    let _open = view.counters.accepted();
    // Boxed, as what follows lasts longer: the room of a handshake is given back.
    let setup = Box::pin(establish(&view, accepted.socket, accepted.peer));
    let established = match until_ordered(&seat.watched, setup).await {
        Some(Ok(established)) => established,
        Some(Err(failure)) => {
            view.counters.handshake_failed(failure.kind);
            debug!(listener = %view.name, peer = ?accepted.peer, kind = failure.kind, error = %failure.error, "Connection not established.");
            return;
        }
        None => {
            view.counters.handshake_failed("timeout");
            return;
        }
    };
    seat.watched.progress.established();
    if slot.is_stopping() {
        seat.watched.progress.last_call();
    }
    let Established { stream, first, http2, peer, tls } = established;
    let client = Rc::new(Client {
        forwarded: forwarded::Client::new(
            peer.map_or(Peer::Unix, |peer| Peer::Ip(peer.ip())),
            if tls { Scheme::Https } else { Scheme::Http },
            &view.forwarding,
        ),
        host: RefCell::default(),
        slot,
        seat,
        peer,
        _pass: accepted.pass,
    });
    view.counters.speaks(http2);
    let result = if http2 {
        Box::pin(serve_http2(&client, &view, stream, first)).await
    } else {
        serve_http1(&client, &view, stream, first).await
    };
    if let Some(guard) = client.seat.watched.progress.cut().or_else(|| result.as_ref().err().and_then(guard_of)) {
        view.counters.cut(guard);
    }
    if let Err(error) = result {
        debug!(listener = %view.name, ?peer, %error, "Connection ended early.");
    }
}

/// Tells which guard of HTTP/2 has ended a connection with this error.
fn guard_of(error: &hyper::Error) -> Option<metrics::Guard> {
    if error.is_timeout() {
        return Some(metrics::Guard::Ping);
    }
    let error = error.source()?.downcast_ref::<h2::Error>()?;
    let is_calming = error.is_go_away() && error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
    is_calming.then_some(metrics::Guard::Flood)
}

/// A connection that is ready for HTTP.
struct Established {
    stream: Stream,
    /// Read while the protocol was found out.
    first: BytesMut,
    http2: bool,
    peer: Option<SocketAddr>,
    tls: bool,
}

/// Why a connection never got to HTTP.
struct SetupFailure {
    kind: &'static str,
    error: io::Error,
}

impl SetupFailure {
    fn of(kind: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self { kind, error }
    }
}

async fn establish(view: &View, mut socket: Socket, mut peer: Option<SocketAddr>) -> Result<Established, SetupFailure> {
    socket.set_nodelay().map_err(SetupFailure::of("socket"))?;
    let mut first = BytesMut::new();
    if view.proxy_protocol {
        let named = read_proxy_header(&mut socket, &mut first).await.map_err(SetupFailure::of("proxy_protocol"))?;
        peer = named.or(peer);
    }
    let Some(config) = &view.tls else {
        let mut stream = Stream::Plain(socket);
        let http2 = sniff(view.protocol, &mut stream, &mut first).await.map_err(SetupFailure::of("closed"))?;
        return Ok(Established { stream, first, http2, peer, tls: false });
    };
    let accepted = TlsAcceptor::from(config.clone())
        .accept(Rewound::new(socket, std::mem::take(&mut first)))
        .await
        .map_err(SetupFailure::of("tls"))?;
    let http2 = match accepted.get_ref().1.alpn_protocol() {
        Some(protocol) => protocol == b"h2",
        // A client without ALPN speaks HTTP/1.1, but where nothing else is spoken.
        None => view.protocol == ListenerProtocol::Http2,
    };
    Ok(Established { stream: Stream::Tls(Box::new(accepted)), first, http2, peer, tls: true })
}

/// Reads the PROXY header into `first`, takes it out, and leaves there what came behind it.
async fn read_proxy_header(socket: &mut Socket, first: &mut BytesMut) -> io::Result<Option<SocketAddr>> {
    loop {
        match proxy_protocol::parse(first) {
            Parsed::Header { source, len } => {
                first.advance(len);
                return Ok(source);
            }
            Parsed::Incomplete => {
                if socket.read_buf(first).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Parsed::Invalid(detail) => return Err(io::Error::new(io::ErrorKind::InvalidData, detail)),
        }
    }
}

/// Finds out whether a plain connection speaks HTTP/2: by its preface, where both versions are spoken.
async fn sniff(protocol: ListenerProtocol, stream: &mut Stream, first: &mut BytesMut) -> io::Result<bool> {
    match protocol {
        ListenerProtocol::Http1 => return Ok(false),
        ListenerProtocol::Http2 => return Ok(true),
        ListenerProtocol::Auto => {}
    }
    loop {
        let looked = first.len().min(PREFACE.len());
        if first[..looked] != PREFACE[..looked] {
            return Ok(false);
        }
        if looked == PREFACE.len() {
            return Ok(true);
        }
        if stream.read_buf(first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn serve_http1(client: &Rc<Client>, view: &View, stream: Stream, first: BytesMut) -> Result<(), hyper::Error> {
    let guard = Guard::new((&view.limits).into());
    let inlet = Inlet::new(stream, first, Some(guard), client.seat.watched.progress.clone());
    let handler = client.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| service::handle(handler.clone(), request));
    let connection = http1_builder(&view.limits).serve_connection(TokioIo::new(inlet), service).with_upgrades();
    let graceful = |connection: Pin<&mut http1::UpgradeableConnection<_, _>>, order| {
        if order == Order::Close {
            connection.graceful_shutdown();
        }
    };
    drive(&client.seat.watched, connection, graceful).await
}

async fn serve_http2(client: &Rc<Client>, view: &View, stream: Stream, first: BytesMut) -> Result<(), hyper::Error> {
    let inlet = Inlet::new(stream, first, None, client.seat.watched.progress.clone());
    let handler = client.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| service::handle(handler.clone(), request));
    let connection = http2_builder(&view.limits, StreamExec::new(client.seat.watched.clone(), view.counters.clone()))
        .serve_connection(TokioIo::new(inlet), service);
    let told = Cell::new(false);
    let graceful = |connection: Pin<&mut http2::Connection<_, _, _>>, order| {
        if matches!(order, Order::Close | Order::LastCall) && !told.replace(true) {
            connection.graceful_shutdown();
        }
    };
    drive(&client.seat.watched, connection, graceful).await
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The guard has refused what is over the limits; hyper's own must not be lower. Where its defaults are enough they stay: more than 100
    // fields cost every request two allocations.
    if usize::from(limits.headers) > HYPER_HEADERS {
        builder.max_headers(usize::from(limits.headers));
    }
    if limits.header_bytes as usize >= HYPER_BUFFER {
        builder.max_buf_size(limits.header_bytes as usize + 1);
    }
    // The endpoint's `Date` goes through; answers of our own bring theirs.
    builder.auto_date_header(false);
    // Timeouts are the sweep's.
    builder.header_read_timeout(None);
    builder
}

fn http2_builder(limits: &Limits, streams: StreamExec) -> http2::Builder<StreamExec> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(limits.resets as usize)
        .max_local_error_reset_streams(Some(limits.resets as usize))
        .max_header_list_size(limits.header_bytes)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .auto_date_header(false);
    builder
}

/// Runs `connection` to its end, or until the sweep says so; `graceful` carries out the gentler orders.
async fn drive<C>(watched: &Watched, connection: C, mut graceful: impl FnMut(Pin<&mut C>, Order)) -> C::Output
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut connection = pin!(connection);
    poll_fn(|cx| {
        match watched.take_order(cx) {
            Order::None | Order::Look => {}
            Order::End => return Poll::Ready(Ok(())),
            order => graceful(connection.as_mut(), order),
        }
        connection.as_mut().poll(cx)
    })
    .await
}

/// Runs `setup` to its end; `None` when the connection should not begin any more.
async fn until_ordered<F: Future>(watched: &Watched, setup: F) -> Option<F::Output> {
    let mut setup = pin!(setup);
    poll_fn(|cx| match watched.take_order(cx) {
        Order::End | Order::Close => Poll::Ready(None),
        Order::None | Order::Look | Order::LastCall => setup.as_mut().poll(cx).map(Some),
    })
    .await
}
