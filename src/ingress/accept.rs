//! Accepts connections on one socket of one listener, as long as the listener has room, and gives them to the worker with room.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::warn;

use super::view::Slot;
use super::worker::Worker;
use crate::registry::{Adopted, Socket, Stream};

/// How long accepting rests when the system has no file descriptors or memory left: long enough not to spin, short enough to recover.
const REST: Duration = Duration::from_millis(50);

struct Listening(Socket);

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

impl std::os::fd::AsRawFd for Listening {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Listening {
    /// One system call: the new socket comes non-blocking and closed on exec.
    fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (socket, peer) = acceptfrom_with(self, flags)?;
        Ok(match self.0 {
            Socket::Tcp(_) => (Stream::Tcp(socket.into()), peer.and_then(address)),
            Socket::Unix(_) => (Stream::Unix(OwnedFd::into(socket)), None),
        })
    }
}

fn address(peer: SocketAddrAny) -> Option<SocketAddr> {
    SocketAddr::try_from(peer).ok()
}

/// Accepts until the slot is stopped; then takes what is already in the backlog, so that nobody who got through is turned away.
pub(super) async fn run(worker: Rc<Worker>, slot: Rc<Slot>, socket: Socket) {
    let listening = match AsyncFd::with_interest(Listening(socket), Interest::READABLE) {
        Ok(listening) => listening,
        Err(error) => {
            warn!(listener = %slot.view().name, %error, "Cannot accept.");
            return;
        }
    };
    loop {
        // Cancel safe, both: a readiness that nobody took stays, a pass is given back on drop.
        let ready = tokio::select! {
            ready = listening.readable() => ready,
            () = slot.stopped() => break,
        };
        let Ok(mut ready) = ready else { return };
        let pass = tokio::select! {
            pass = slot.gate.enter() => pass,
            () = slot.stopped() => break,
        };
        match ready.try_io(|listening| listening.get_ref().accept()) {
            Ok(Ok((stream, peer))) => worker.place(Adopted { listener: slot.number, stream, peer, pass }),
            Ok(Err(error)) => rest_after(&slot, &error).await,
            Err(_another_took_it) => {}
        }
    }
    while let Ok((stream, peer)) = listening.get_ref().accept() {
        let pass = slot.gate.enter().await;
        worker.place(Adopted { listener: slot.number, stream, peer, pass });
    }
}

async fn rest_after(slot: &Slot, error: &io::Error) {
    // The client gave up while it waited: its own business.
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
        slot.view().counters.refused();
        warn!(listener = %slot.view().name, %error, "A connection could not be accepted.");
        tokio::time::sleep(REST).await;
    }
}
