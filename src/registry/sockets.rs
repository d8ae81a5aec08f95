//! Listening sockets: one for each worker on the same TCP address (`SO_REUSEPORT`), or one Unix socket that all workers share.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use crate::model::Bind;

/// Connections that may wait to be accepted on one socket; the system's own limit (`net.core.somaxconn`) may be lower.
const BACKLOG: i32 = 4096;

/// A listening socket of one worker; non-blocking.
#[derive(Debug)]
pub enum Socket {
    /// On a TCP address.
    Tcp(TcpListener),
    /// On a path.
    Unix(UnixListener),
}

impl Socket {
    /// Makes another handle to the same socket.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }
}

/// The sockets of a listener, one for each worker.
#[derive(Debug)]
pub(super) struct Bound {
    /// Where they really listen: port 0 has become a real one.
    pub(super) address: Bind,
    /// One for each worker.
    pub(super) sockets: Vec<Socket>,
}

/// The sockets of a listener, kept so that a worker that dies does not lose its backlog.
#[derive(Debug)]
pub(super) struct Sockets(Mutex<Vec<Socket>>);

impl Sockets {
    pub(super) const fn new(sockets: Vec<Socket>) -> Self {
        Self(Mutex::new(sockets))
    }

    pub(super) fn of(&self, worker: usize) -> Option<io::Result<Socket>> {
        self.lock().get(worker).map(Socket::try_clone)
    }

    /// Closes these handles: a socket that nobody accepts on must not go on taking connections.
    pub(super) fn release(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Socket>> {
        // The list is whole at every step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Binds `address` for `workers` workers.
pub(super) fn bind(address: &Bind, workers: usize) -> io::Result<Bound> {
    match address {
        Bind::Tcp(address) => bind_tcp(*address, workers),
        Bind::Unix(path) => bind_unix(path, workers),
    }
}

fn bind_tcp(address: SocketAddr, workers: usize) -> io::Result<Bound> {
    refuse_taken(address)?;
    let mut sockets = Vec::with_capacity(workers);
    let mut real = address;
    for _ in 0..workers.max(1) {
        let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        if address.is_ipv6() {
            // `[::]` means every address of both families.
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&real.into())?;
        socket.listen(BACKLOG)?;
        let socket: TcpListener = socket.into();
        real = socket.local_addr()?;
        sockets.push(Socket::Tcp(socket));
    }
    Ok(Bound { address: Bind::Tcp(real), sockets })
}

/// With `SO_REUSEPORT` a second process of the same user would share the port in silence; a trial bind without it says "in use".
fn refuse_taken(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let probe = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    probe.set_reuse_address(true)?;
    if address.is_ipv6() {
        probe.set_only_v6(!address.ip().is_unspecified())?;
    }
    probe.bind(&address.into())
}

fn bind_unix(path: &Path, workers: usize) -> io::Result<Bound> {
    // A socket file outlives its process: it may go when it is a socket and nobody answers on it.
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is not a socket"));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        fs::remove_file(path)?;
    }
    let first = UnixListener::bind(path)?;
    first.set_nonblocking(true)?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers {
        sockets.push(Socket::Unix(first.try_clone()?));
    }
    sockets.push(Socket::Unix(first));
    Ok(Bound { address: Bind::Unix(path.to_owned()), sockets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_one_port_and_strangers_do_not() {
        let any = "127.0.0.1:0".parse().unwrap();
        let bound = bind(&any, 3).unwrap();
        assert_eq!(bound.sockets.len(), 3);
        let error = bind(&bound.address, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_left_over_socket_file_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let address = Bind::Unix(path.clone());
        let bound = bind(&address, 2).unwrap();
        assert_eq!(bind(&address, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(bound);
        assert!(bind(&address, 2).is_ok());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "text").unwrap();
        assert_eq!(bind(&address, 2).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
