//! Listening sockets: one for each worker on the same TCP address (`SO_REUSEPORT`), or one Unix socket that all workers share.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use super::Stream;
use crate::model::Bind;

/// Connections that may wait to be accepted on one socket; the system's own limit (`net.core.somaxconn`) may be lower.
const BACKLOG: i32 = 4096;

/// Says in words why an address cannot be listened on.
pub fn why_not(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the address is in use by another program".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied; ports below 1024 need CAP_NET_BIND_SERVICE".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        _ => error.to_string(),
    }
}

/// A listening socket of one worker; non-blocking.
#[derive(Debug)]
pub enum Socket {
    /// On a TCP address.
    Tcp(TcpListener),
    /// On a path.
    Unix(UnixListener),
}

impl Socket {
    /// Takes the next connection of the backlog, not registered with any runtime.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, peer) = socket.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Stream::Tcp(stream), Some(peer)))
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Stream::Unix(stream), None))
            }
        }
    }

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

/// The sockets of a listener, one for each worker, until they are closed.
#[derive(Debug)]
pub(super) struct Sockets(Mutex<Vec<Socket>>);

impl Sockets {
    /// Makes another handle to the socket of `worker`; `None` when there is none.
    pub(super) fn handle(&self, worker: usize) -> Option<io::Result<Socket>> {
        self.lock().get(worker).map(Socket::try_clone)
    }

    /// Gives these handles up: the system refuses connections as soon as the workers have given theirs up, too.
    pub(super) fn close(&self) {
        let closed = std::mem::take(&mut *self.lock());
        drop(closed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Socket>> {
        // The list is read or taken as a whole: a holder that panicked left either.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sockets that listen.
#[derive(Debug)]
pub(super) struct Bound {
    /// Where they really listen: port 0 has become a real one.
    pub(super) address: Bind,
    /// One for each worker.
    pub(super) sockets: Sockets,
}

/// Binds `address` for `workers` workers; the addresses that listeners of this process `give_up` are not in the way.
pub(super) fn bind(address: &Bind, workers: usize, give_up: &[&Bind]) -> io::Result<Bound> {
    match address {
        Bind::Tcp(address) => bind_tcp(*address, workers, give_up),
        Bind::Unix(path) => bind_unix(path, workers),
    }
}

fn bind_tcp(address: SocketAddr, workers: usize, give_up: &[&Bind]) -> io::Result<Bound> {
    if !give_up.iter().any(|other| overlaps(address, other)) {
        refuse_taken(address)?;
    }
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
    Ok(Bound { address: Bind::Tcp(real), sockets: Sockets(Mutex::new(sockets)) })
}

/// Tells whether both take connections to the same address.
fn overlaps(address: SocketAddr, other: &Bind) -> bool {
    let Bind::Tcp(other) = other else { return false };
    let [ip, other_ip] = [address.ip(), other.ip()];
    address.port() == other.port() && (ip == other_ip || ip.is_unspecified() || other_ip.is_unspecified())
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
    Ok(Bound { address: Bind::Unix(path.to_owned()), sockets: Sockets(Mutex::new(sockets)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_one_port_and_strangers_do_not() {
        let any = "127.0.0.1:0".parse().unwrap();
        let bound = bind(&any, 3, &[]).unwrap();
        assert!(bound.sockets.handle(2).is_some_and(|handle| handle.is_ok()) && bound.sockets.handle(3).is_none());
        let error = bind(&bound.address, 1, &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        bound.sockets.close();
        assert!(bind(&bound.address, 1, &[]).is_ok());
    }

    #[test]
    fn an_address_that_is_given_up_is_not_in_the_way() {
        let old = bind(&"127.0.0.1:0".parse().unwrap(), 1, &[]).unwrap();
        let wide: Bind = old.address.to_string().replace("127.0.0.1", "0.0.0.0").parse().unwrap();
        assert_eq!(bind(&wide, 1, &[]).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(bind(&wide, 1, &[&old.address]).is_ok());
    }

    #[test]
    fn a_left_over_socket_file_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let address = Bind::Unix(path.clone());
        let bound = bind(&address, 2, &[]).unwrap();
        assert_eq!(bind(&address, 2, &[]).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(bound);
        assert!(bind(&address, 2, &[]).is_ok());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "text").unwrap();
        assert_eq!(bind(&address, 2, &[]).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
