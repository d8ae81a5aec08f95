//! Bytes as they are: clients and endpoints that send exactly what a test says, and see exactly what comes.
//!
//! Nothing here knows HTTP but where a head and a chunk end, so that a test can be as wrong as a hostile peer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};

use bytes::{Buf, BytesMut};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::lab::{Body, Lab, soon};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed in order.
    Closed,
    /// The peer reset it.
    Reset,
}

/// One connection, byte by byte.
pub struct Wire<S = TcpStream> {
    pub stream: S,
    unread: BytesMut,
}

impl Wire {
    /// Connects. What is sent leaves at once, not when the proxy's system has confirmed what was sent before.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the proxy should accept");
        stream.set_nodelay(true).expect("the socket is open");
        Self::new(stream)
    }

    /// Connects, sends, and reads everything until the end.
    pub async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
        let mut wire = Self::connect(address).await;
        wire.send(bytes).await;
        wire.rest().await.0
    }

    /// Lets the connection end with a reset when it is dropped.
    pub fn reset_on_drop(&self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).expect("linger can be set");
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> Self {
        Self { stream, unread: BytesMut::new() }
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.stream.write_all(bytes.as_ref())).await.expect("the peer should read");
        soon(self.stream.flush()).await.expect("the peer should read");
    }

    /// Sends bytes to a peer that may be gone.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        soon(self.stream.write_all(bytes.as_ref())).await.is_ok() && soon(self.stream.flush()).await.is_ok()
    }

    /// Closes the sending side.
    pub async fn finish(&mut self) {
        soon(self.stream.shutdown()).await.expect("the peer should be there");
    }

    /// Reads more; `None` when something more has come.
    async fn more(&mut self) -> Option<End> {
        match soon(self.stream.read_buf(&mut self.unread)).await {
            Ok(0) => Some(End::Closed),
            Ok(_) => None,
            Err(_) => Some(End::Reset),
        }
    }

    /// Reads up to and with `mark`.
    pub async fn until(&mut self, mark: &str) -> String {
        let mark = mark.as_bytes();
        loop {
            if let Some(at) = self.unread.windows(mark.len()).position(|part| part == mark) {
                return text(&self.unread.split_to(at + mark.len()));
            }
            if let Some(end) = self.more().await {
                panic!("{end:?} before {:?}: {:?}", text(mark), text(&self.unread));
            }
        }
    }

    /// Reads the head of a message, with its empty line; header names come in lower case.
    pub async fn head(&mut self) -> String {
        let head = self.until("\r\n\r\n").await;
        let (first, fields) = head.split_once("\r\n").expect("a head has a first line");
        let lower = |line: &str| match line.split_once(':') {
            Some((name, value)) => format!("{}:{value}", name.to_ascii_lowercase()),
            None => line.to_owned(),
        };
        std::iter::once(first.to_owned()).chain(fields.split("\r\n").map(lower)).collect::<Vec<_>>().join("\r\n")
    }

    /// Reads `length` bytes.
    pub async fn exactly(&mut self, length: usize) -> String {
        while self.unread.len() < length {
            if let Some(end) = self.more().await {
                panic!("{end:?} before {length} bytes: {:?}", text(&self.unread));
            }
        }
        text(&self.unread.split_to(length))
    }

    /// Reads and throws away `length` bytes.
    pub async fn skip(&mut self, mut length: usize) {
        while length > 0 {
            if self.unread.is_empty()
                && let Some(end) = self.more().await
            {
                panic!("{end:?} with {length} bytes to come");
            }
            let part = length.min(self.unread.len());
            self.unread.advance(part);
            length -= part;
        }
    }

    /// Reads one chunk of a chunked body; the last one is empty.
    pub async fn chunk(&mut self) -> String {
        let size = self.until("\r\n").await;
        let size = usize::from_str_radix(size.trim_end(), 16).expect("a chunk size");
        let data = self.exactly(size).await;
        if size > 0 {
            self.until("\r\n").await;
        }
        data
    }

    /// Reads until the peer ends the connection.
    pub async fn rest(&mut self) -> (String, End) {
        loop {
            if let Some(end) = self.more().await {
                return (text(&self.unread.split()), end);
            }
        }
    }

    /// Waits until the peer ends the connection, and expects nothing before it.
    pub async fn ended(&mut self) -> End {
        let (rest, end) = self.rest().await;
        assert_eq!(rest, "", "nothing should come before the end");
        end
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An address where nobody listens, and which nobody gets while the tests run: what connects there is refused.
pub fn nobody() -> SocketAddr {
    static TAKEN: LazyLock<(socket2::Socket, SocketAddr)> = LazyLock::new(|| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        let address = socket.local_addr().expect("a bound socket has an address").as_socket().expect("an IP address");
        (socket, address)
    });
    TAKEN.1
}

/// An endpoint whose connections a test serves itself.
pub struct Bare {
    pub address: SocketAddr,
    listener: TcpListener,
}

impl Bare {
    /// Listens.
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self { address: listener.local_addr().expect("a bound socket has an address"), listener }
    }

    /// Takes the next connection.
    pub async fn accept(&self) -> Wire {
        Wire::new(soon(self.listener.accept()).await.expect("a connection").0)
    }

    /// Tells whether nobody has connected.
    pub async fn is_untouched(&self) -> bool {
        let mut accept = std::pin::pin!(self.listener.accept());
        std::future::poll_fn(|cx| std::task::Poll::Ready(accept.as_mut().poll(cx).is_pending())).await
    }
}

/// An endpoint that sends the same bytes on every connection once the head of a request has come, and then closes.
pub struct Canned {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Canned {
    /// Listens.
    pub async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let bare = Bare::listen().await;
        let (answer, connections) = (answer.into(), Arc::new(AtomicUsize::new(0)));
        let (address, count) = (bare.address, connections.clone());
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = bare.listener.accept().await else { return };
                count.fetch_add(1, SeqCst);
                let (mut wire, answer) = (Wire::new(stream), answer.clone());
                tokio::spawn(async move {
                    wire.head().await;
                    wire.try_send(&answer).await;
                });
            }
        });
        Self { address, connections, task }
    }

    /// Returns how many connections came.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A proxy with one worker, one listener, one route, one pool and one endpoint; each may have further keys.
#[derive(Default)]
pub struct Plan {
    endpoint: String,
    listener: String,
    route: String,
    pool: String,
}

impl Plan {
    /// A proxy before `endpoint`.
    pub fn before(endpoint: impl ToString) -> Self {
        Self { endpoint: endpoint.to_string(), ..Self::default() }
    }

    /// Adds keys to the listener.
    pub fn listener(mut self, keys: &str) -> Self {
        self.listener = format!(", {keys}");
        self
    }

    /// Adds keys to the route.
    pub fn route(mut self, keys: &str) -> Self {
        self.route = format!(", {keys}");
        self
    }

    /// Adds keys to the pool.
    pub fn pool(mut self, keys: &str) -> Self {
        self.pool = format!(", {keys}");
        self
    }

    /// Returns the config.
    pub fn yaml(&self) -> String {
        let Self { endpoint, listener, route, pool } = self;
        let bind = if listener.contains("bind:") { "" } else { ", bind: \"127.0.0.1:0\"" };
        format!(
            "workers: 1\n\
             listeners: [{{ name: public{bind}{listener} }}]\n\
             routes: [{{ name: all, pool: agents{route} }}]\n\
             pools: {{ agents: {{ endpoints: [{{ id: a, address: \"{endpoint}\" }}]{pool} }} }}\n"
        )
    }

    /// Starts the proxy.
    pub async fn start(self) -> Lab {
        Lab::start(&self.yaml()).await
    }
}

/// Starts a proxy before `endpoint` that tries once and never opens a breaker, so that the first failure is the one that is told.
pub async fn once(endpoint: impl ToString) -> Lab {
    Plan::before(endpoint).route("retry: off").pool("circuit_breaker: off").start().await
}

/// Starts a proxy before `endpoint`, with defaults.
pub async fn lab(endpoint: impl ToString) -> Lab {
    Plan::before(endpoint).start().await
}

/// Answers with the body of the request, as it comes.
pub async fn echo(request: Request<Incoming>) -> Response<Body> {
    Response::new(request.into_body().map_err(std::io::Error::other).boxed())
}
