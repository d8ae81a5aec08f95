//! Whether a container listens yet.
//!
//! A connection that succeeds is the sign. Engines publish ports through a forwarder of their own that takes connections before the container does,
//! and closes them at once: there, a connection must also stay open for a moment.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::engine::Engine;
use crate::model::Address;
use crate::platform::ScaleError;

/// The first wait between two tries; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Fine enough for a cold start, coarse enough for an engine with many.
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection may take on this machine or beside it.
const CONNECT: Duration = Duration::from_secs(1);

/// How soon a forwarder finds that nobody listens behind it.
const SETTLE: Duration = Duration::from_millis(100);

/// Waits until the container listens, at most as long as the settings allow, and returns where; or why it does not.
pub(super) async fn until_it_listens(engine: &Engine, container: &str) -> Result<Address, String> {
    let settings = engine.settings();
    let is_forwarded = settings.network.is_none();
    let mut seen = "it has no address".to_owned();
    let listening = async {
        let mut pause = FIRST_PAUSE;
        loop {
            match engine.address(container).await {
                Ok(Some(address)) if listens(&address, is_forwarded).await => return Ok(address),
                Ok(Some(address)) => seen = format!("it does not listen on {address}"),
                Err(ScaleError::Missing { .. }) => return Err("it ended before it listened".to_owned()),
                Ok(None) | Err(_) => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    };
    let in_time = timeout(settings.ready_timeout, listening).await;
    in_time.unwrap_or_else(|_| Err(format!("{seen}, and its time of {:?} is over", settings.ready_timeout)))
}

async fn listens(address: &Address, is_forwarded: bool) -> bool {
    let connected = match address {
        Address::Ip(address) => timeout(CONNECT, TcpStream::connect(address)).await,
        Address::Name { host, port } => timeout(CONNECT, TcpStream::connect((host.as_str(), *port))).await,
        // Containers listen on ports.
        Address::Unix(_) => return false,
    };
    let Ok(Ok(stream)) = connected else { return false };
    if !is_forwarded {
        return true;
    }
    match timeout(SETTLE, stream.peek(&mut [0])).await {
        Ok(read) => read.is_ok_and(|bytes| bytes > 0),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_forwarder_with_nobody_behind_it_is_not_taken_for_a_replica() {
        let forwarder = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Ip(forwarder.local_addr().unwrap());
        let closes = tokio::spawn(async move {
            loop {
                drop(forwarder.accept().await.unwrap());
            }
        });
        assert!(!listens(&address, true).await);
        assert!(listens(&address, false).await, "without a forwarder, a connection is enough");
        closes.abort();
    }

    #[tokio::test]
    async fn who_takes_a_connection_and_keeps_it_listens() {
        let replica = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Ip(replica.local_addr().unwrap());
        assert!(listens(&address, true).await);
        drop(replica);
        assert!(!listens(&address, true).await);
    }
}
