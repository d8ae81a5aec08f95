//! The endpoint behind the proxies: one thread, edge-triggered epoll, prebuilt replies.
//!
//! It must cost much less than any proxy, so that the proxy is the limit: one read and one write for a request, no copy of a
//! body over HTTP/1.1, no allocation once a connection is open. It deliberately is no web server: it knows four paths, of HTTP/2
//! (by prior knowledge, on the same ports) no more than one reply to whatever is asked, and nothing of TLS or `Expect`. It
//! prints its ports as one line and ends when its standard input closes, so that it never outlives the script that started it.

mod connection;
mod http2;
mod request;
mod ticker;

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use connection::{Connection, Progress};
use ticker::Ticker;

/// The proxies balance over this many endpoints.
const PORTS: usize = 4;

/// One read takes a whole 16 KiB upload with its head, and several pipelined requests.
const READ_BUFFER: usize = 64 * 1024;

/// The replies by path.
pub struct Replies {
    /// Answers `/1k`.
    pub small: Reply,
    /// Answers `/64k`.
    pub medium: Reply,
    /// Answers `/1m`.
    pub large: Reply,
    /// Answers `/stream`: a head, and then the ticker's events.
    pub stream: Reply,
    /// Answers every other path.
    pub missing: Reply,
}

/// A reply as it goes over the wire.
pub struct Reply {
    /// Head and body.
    pub bytes: Vec<u8>,
    /// Length of the head, all that a `HEAD` request gets.
    pub head: usize,
}

impl Reply {
    fn new(status: &str, body: usize) -> Self {
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nserver: bench-backend\r\ncontent-type: application/octet-stream\r\ncontent-length: {body}\r\n\r\n"
        )
        .into_bytes();
        let head = bytes.len();
        bytes.resize(head + body, b'x');
        Self { bytes, head }
    }

    /// The head of an endless stream. `X-Accel-Buffering` is how an agent asks nginx not to hold its events back.
    fn stream() -> Self {
        let bytes = b"HTTP/1.1 200 OK\r\nserver: bench-backend\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
            x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec();
        Self { head: bytes.len(), bytes }
    }
}

fn main() -> io::Result<()> {
    let replies = Replies {
        small: Reply::new("200 OK", 1 << 10),
        medium: Reply::new("200 OK", 64 << 10),
        large: Reply::new("200 OK", 1 << 20),
        stream: Reply::stream(),
        missing: Reply::new("404 Not Found", 0),
    };
    let mut poll = Poll::new()?;
    let mut listeners = listen(&poll)?;
    announce(&listeners)?;
    end_with_standard_input();
    serve(&mut poll, &mut listeners, &replies)
}

fn listen(poll: &Poll) -> io::Result<Vec<TcpListener>> {
    (0..PORTS)
        .map(|index| {
            let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
            poll.registry().register(&mut listener, Token(index), Interest::READABLE)?;
            Ok(listener)
        })
        .collect()
}

fn announce(listeners: &[TcpListener]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "ports")?;
    for listener in listeners {
        write!(out, " {}", listener.local_addr()?.port())?;
    }
    writeln!(out)?;
    out.flush()
}

fn end_with_standard_input() {
    std::thread::spawn(|| {
        let mut sink = [0; 64];
        while matches!(io::stdin().read(&mut sink), Ok(count) if count > 0) {}
        std::process::exit(0);
    });
}

fn serve(poll: &mut Poll, listeners: &mut [TcpListener], replies: &Replies) -> io::Result<()> {
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; READ_BUFFER];
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut ticker = Ticker::new();
    loop {
        if let Err(error) = poll.poll(&mut events, ticker.wait()) {
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        for event in &events {
            let token = event.token().0;
            if let Some(listener) = listeners.get(token) {
                accept(poll, listener, &mut connections, &mut free);
                continue;
            }
            let index = token - PORTS;
            let Some(connection) = connections.get_mut(index).and_then(Option::as_mut) else { continue };
            match connection.advance(replies, &mut scratch, event.is_read_closed()) {
                Progress::Waiting => {}
                Progress::Streaming => ticker.add(index),
                Progress::Closed => {
                    // Dropping the stream closes it, and with that takes it out of epoll.
                    connections[index] = None;
                    free.push(index);
                    ticker.remove(index);
                }
            }
        }
        ticker.tick(|index, event| {
            let taken = connections[index].as_mut().is_some_and(|connection| connection.send(event));
            if !taken {
                connections[index] = None;
                free.push(index);
            }
            taken
        });
    }
}

fn accept(poll: &Poll, listener: &TcpListener, connections: &mut Vec<Option<Connection>>, free: &mut Vec<usize>) {
    // Edge-triggered: until nothing is left. An error (a client that has gone, no file descriptor) ends this turn only.
    while let Ok((mut stream, _)) = listener.accept() {
        let index = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        let registered = stream
            .set_nodelay(true)
            .and_then(|()| poll.registry().register(&mut stream, Token(PORTS + index), Interest::READABLE | Interest::WRITABLE));
        match registered {
            Ok(()) => connections[index] = Some(Connection::new(stream)),
            Err(_) => free.push(index),
        }
    }
}
