//! Opens a byte stream to an endpoint: name, socket, TLS.
//!
//! A name with several addresses is tried the way of RFC 8305 (happy eyeballs): families take turns, a new attempt starts when the
//! one before has failed or had 250 ms, the first that connects wins and the others are dropped. What is deliberately not here: the
//! look-up itself, which must not run on a worker.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;

use crate::model::{Address, Reason};

use super::failure::{SendFailure, chain, connect_reason, handshake_reason};
use super::stream::{Socket, Stream};
use super::target::{Target, TargetTls};

/// RFC 8305 section 5, the recommended "Connection Attempt Delay".
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// How long a connection is silent before the kernel asks whether the peer is alive: finds dead hosts, and keeps the entries
/// of address translators (commonly forgotten after 5 minutes) fresh.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));

/// Finds the addresses of a name; the error is one line for the log.
///
/// The future must be ready for any runtime: the work itself happens elsewhere.
pub type Lookup = Arc<dyn Fn(&str) -> Pin<Box<dyn Future<Output = Result<Arc<[IpAddr]>, Box<str>>> + Send>> + Send + Sync>;

/// Opens a stream to `target` before `deadline`, which covers the look-up, the socket and the TLS handshake.
///
/// # Errors
/// `NameUnresolved`, `ConnectRefusedByEndpoint`, `ConnectFailed`, `ConnectTimeout`, `TlsFailed` or `TlsCertificate`.
///
/// Cancel safe: dropping the future drops every attempt.
pub async fn connect(target: &Target, lookup: &Lookup, deadline: Instant) -> Result<Stream, SendFailure> {
    let open = async {
        let socket = open_socket(&target.address, lookup).await?;
        match &target.tls {
            None => Ok(Stream::Plain(socket)),
            Some(tls) => handshake(socket, tls).await,
        }
    };
    timeout_at(deadline, open)
        .await
        .unwrap_or_else(|_| Err(SendFailure::unsent(Reason::ConnectTimeout, "the connection was not open in time")))
}

async fn open_socket(address: &Address, lookup: &Lookup) -> Result<Socket, SendFailure> {
    match address {
        Address::Ip(address) => open_tcp(*address).await,
        Address::Name { host, port } => {
            let found = lookup(host).await.map_err(|error| SendFailure::unsent(Reason::NameUnresolved, error.into_string()))?;
            race(interleave(&found).into_iter().map(|ip| SocketAddr::new(ip, *port))).await
        }
        Address::Unix(path) => match UnixStream::connect(path).await {
            Ok(stream) => Ok(Socket::Unix(stream)),
            Err(error) => Err(SendFailure::unsent(connect_reason(&error), error.to_string())),
        },
    }
}

async fn open_tcp(address: SocketAddr) -> Result<Socket, SendFailure> {
    let stream =
        TcpStream::connect(address).await.map_err(|error| SendFailure::unsent(connect_reason(&error), error.to_string()))?;
    // Neither can fail on a connected TCP socket but for a peer that has already reset it, which the first write will show.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE);
    Ok(Socket::Tcp(stream))
}

/// Orders addresses so that families take turns, IPv6 first (RFC 8305 section 4).
fn interleave(found: &[IpAddr]) -> Vec<IpAddr> {
    let (mut sixes, mut fours): (Vec<IpAddr>, Vec<IpAddr>) = found.iter().rev().copied().partition(|address| address.is_ipv6());
    let mut ordered = Vec::with_capacity(found.len());
    while !(sixes.is_empty() && fours.is_empty()) {
        ordered.extend(sixes.pop());
        ordered.extend(fours.pop());
    }
    ordered
}

async fn race(mut addresses: impl ExactSizeIterator<Item = SocketAddr>) -> Result<Socket, SendFailure> {
    let mut running = FuturesUnordered::new();
    let mut last = SendFailure::unsent(Reason::NameUnresolved, "the name has no address");
    loop {
        match addresses.next() {
            Some(address) => running.push(open_tcp(address)),
            None if running.is_empty() => return Err(last),
            None => {}
        }
        let ended = if addresses.len() == 0 {
            running.next().await
        } else {
            // Both branches are cancel-safe: an attempt that is not ready stays in `running`, and the delay starts anew with
            // the next attempt.
            tokio::select! {
                ended = running.next() => ended,
                () = sleep(ATTEMPT_DELAY) => None,
            }
        };
        match ended {
            Some(Ok(socket)) => return Ok(socket),
            Some(Err(failure)) => last = failure,
            None => {}
        }
    }
}

async fn handshake(socket: Socket, tls: &TargetTls) -> Result<Stream, SendFailure> {
    match TlsConnector::from(Arc::clone(&tls.config)).connect(tls.name.clone(), socket).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => Err(SendFailure::unsent(handshake_reason(&error), chain(&error))),
    }
}

#[cfg(test)]
mod tests;
