//! Accepts connections on one socket of one listener, as long as the listener has room, and gives them to the worker with room.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tracing::warn;

use super::stream::Socket;
use super::view::Slot;
use super::worker::Worker;
use crate::registry;

/// How long accepting rests when the system has no file descriptors or memory left: long enough not to spin, short enough to recover.
const REST: Duration = Duration::from_millis(50);

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    fn new(socket: registry::Socket) -> io::Result<Self> {
        match socket {
            registry::Socket::Tcp(socket) => TcpListener::from_std(socket).map(Self::Tcp),
            registry::Socket::Unix(socket) => UnixListener::from_std(socket).map(Self::Unix),
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Option<SocketAddr>)>> {
        match self {
            Self::Tcp(socket) => socket.poll_accept(cx).map_ok(|(stream, peer)| (Socket::Tcp(stream), Some(peer))),
            Self::Unix(socket) => socket.poll_accept(cx).map_ok(|(stream, _)| (Socket::Unix(stream), None)),
        }
    }

    async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Takes the socket out of the runtime, which may not have heard yet of a connection that is in the backlog.
    fn into_backlog(self) -> io::Result<registry::Socket> {
        match self {
            Self::Tcp(socket) => socket.into_std().map(registry::Socket::Tcp),
            Self::Unix(socket) => socket.into_std().map(registry::Socket::Unix),
        }
    }
}

/// Accepts until the slot is stopped; then takes what is already in the backlog, so that nobody who got through is turned away.
///
/// At the listener's limit the next connection is accepted and waits for its turn, and all behind it wait in the backlog.
pub(super) async fn run(worker: Rc<Worker>, slot: Rc<Slot>, socket: registry::Socket) {
    let listening = match Listening::new(socket) {
        Ok(listening) => listening,
        Err(error) => {
            warn!(listener = %slot.view().name, %error, "Cannot accept.");
            return;
        }
    };
    loop {
        // Cancel safe, both: nothing is accepted unless it is returned.
        let accepted = tokio::select! {
            accepted = listening.accept() => accepted,
            () = slot.stopped() => break,
        };
        match accepted {
            Ok((socket, peer)) => worker.place(&slot, socket, peer, slot.gate.enter().await),
            Err(error) => rest_after(&slot, &error).await,
        }
    }
    let backlog = listening.into_backlog();
    while let Some((socket, peer)) = backlog.as_ref().ok().and_then(next_in) {
        worker.place(&slot, socket, peer, slot.gate.enter().await);
    }
}

/// Takes the next connection of a backlog, without waiting.
fn next_in(backlog: &registry::Socket) -> Option<(Socket, Option<SocketAddr>)> {
    let (stream, peer) = backlog.accept().ok()?;
    Some((Socket::from_std(stream).ok()?, peer))
}

async fn rest_after(slot: &Slot, error: &io::Error) {
    // The client gave up while it waited: its own business.
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
        slot.view().counters.refused();
        warn!(listener = %slot.view().name, %error, "A connection could not be accepted.");
        tokio::time::sleep(REST).await;
    }
}
