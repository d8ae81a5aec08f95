//! Ports of this machine that are promised to replicas.
//!
//! The system finds a free one; the list here keeps two replicas of this process from being promised the same one before the first of them listens.
//! Another program can still take it between the promise and the replica's start: the replica then fails, and its next start gets another.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::{Domain, Socket, Type};

/// How often the system is asked: it draws from thousands, so more than one wrong answer in a row is rare.
const TRIES: usize = 64;

/// The ports that are promised. For all fleets of this process: ports are the machine's.
static PROMISED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that is promised to nobody else until this is dropped.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    /// Keeps the system from offering it to others until the replica starts.
    socket: Option<Socket>,
}

impl Port {
    /// Finds a free port on 127.0.0.1, and keeps the system from offering it until [`Self::release`].
    ///
    /// # Errors
    /// When the system has none.
    pub(super) fn find() -> io::Result<Self> {
        for _ in 0..TRIES {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            // A child that is just being started has the socket open too, until its program runs: so it must not keep the replica from the port, and it
            // must never listen, or the replica would seem to.
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
            let Some(address) = socket.local_addr()?.as_socket() else { continue };
            let number = address.port();
            if promised().insert(number) {
                return Ok(Self { number, socket: Some(socket) });
            }
        }
        Err(io::Error::other("every port that the system offers is promised to a replica"))
    }

    /// Takes the port of a replica that listens already; `None` when it is promised to another.
    pub(super) fn of(number: u16) -> Option<Self> {
        // Not built before it is sure: dropping it would take the other's promise away.
        let is_free = promised().insert(number);
        is_free.then(|| Self { number, socket: None })
    }

    /// Makes room for the replica; the promise stays.
    pub(super) fn release(&mut self) {
        self.socket = None;
    }

    /// Returns the number.
    pub(super) const fn number(&self) -> u16 {
        self.number
    }

    /// Returns where the replica is reached.
    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        promised().remove(&self.number);
    }
}

fn promised() -> MutexGuard<'static, BTreeSet<u16>> {
    // Numbers are put in and taken out whole.
    PROMISED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_port_is_promised_once_even_when_nobody_listens() {
        let mut port = Port::find().unwrap();
        port.release();
        assert!(Port::of(port.number()).is_none());
        let others: Vec<Port> = (0..50).map(|_| Port::find().unwrap()).collect();
        assert!(others.iter().all(|other| other.number() != port.number()));
    }

    #[test]
    fn nobody_listens_on_a_port_before_the_replica_does() {
        let mut port = Port::find().unwrap();
        assert!(TcpStream::connect(port.address()).is_err());
        // As it is while the socket is still open in another child.
        let listener = TcpListener::bind(port.address()).unwrap();
        port.release();
        assert!(TcpStream::connect(port.address()).is_ok());
        drop(listener);
    }
}
