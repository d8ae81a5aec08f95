//! After a protocol switch: bytes both ways, until both sides have closed or nothing moves for too long.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep};

use super::record::Record;
use crate::model::{Outcome, Reason};
use crate::pool::Download;

/// How much moves at once in one direction.
const CHUNK: usize = 16 * 1024;

/// Connects the two sides once both have switched; owned by neither connection, it ends with them.
///
/// `held` is the empty body of the 101 response, which keeps the endpoint's place in flight.
pub(super) fn tunnel(client: OnUpgrade, endpoint: OnUpgrade, held: Box<Download>, idle: Option<Duration>, record: Box<Record>) {
    drop(tokio::task::spawn_local(run(client, endpoint, held, idle, record)));
}

async fn run(client: OnUpgrade, endpoint: OnUpgrade, held: Box<Download>, idle: Option<Duration>, mut record: Box<Record>) {
    let (client, endpoint) = match tokio::try_join!(client, endpoint) {
        Ok(sides) => sides,
        Err(_) => return record.finish(Outcome::Aborted),
    };
    let moved = relay(client, endpoint, idle).await;
    record.sent(usize::try_from(moved.to_client).unwrap_or(usize::MAX));
    record.received(moved.to_endpoint);
    held.finish_switched(moved.outcome);
    record.finish(moved.outcome);
}

struct Moved {
    to_endpoint: u64,
    to_client: u64,
    outcome: Outcome,
}

async fn relay(client: Upgraded, endpoint: Upgraded, idle: Option<Duration>) -> Moved {
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_endpoint, to_endpoint) = tokio::io::split(TokioIo::new(endpoint));
    let last = Cell::new(Instant::now());
    let (up, down) = (Cell::new(0), Cell::new(0));
    let both = async {
        // Each direction closes by itself, as one side may still speak after the other has closed; an error ends both.
        let upwards = copy(from_client, to_endpoint, &last, &up);
        let downwards = copy(from_endpoint, to_client, &last, &down);
        tokio::try_join!(upwards, downwards)
    };
    let outcome = tokio::select! {
        ended = both => ended.map_or_else(|broken| broken, |_| Outcome::Completed),
        () = unused(&last, idle) => Outcome::Truncated(Reason::IdleTimeout),
    };
    Moved { to_endpoint: up.get(), to_client: down.get(), outcome }
}

/// Ends when nothing has moved for `idle`.
async fn unused(last: &Cell<Instant>, idle: Option<Duration>) {
    let Some(idle) = idle else { return std::future::pending().await };
    let mut sleep: Pin<Box<Sleep>> = Box::pin(tokio::time::sleep_until(last.get() + idle));
    loop {
        sleep.as_mut().await;
        let end = last.get() + idle;
        if end <= Instant::now() {
            return;
        }
        sleep.as_mut().reset(end);
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    last: &Cell<Instant>,
    moved: &Cell<u64>,
) -> Result<(), Outcome> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = from.read(&mut chunk).await.map_err(broken)?;
        last.set(Instant::now());
        if length == 0 {
            return to.shutdown().await.map_err(broken);
        }
        to.write_all(&chunk[..length]).await.map_err(broken)?;
        to.flush().await.map_err(broken)?;
        last.set(Instant::now());
        moved.set(moved.get() + length as u64);
    }
}

/// Whoever reset a tunnel, its other end cannot tell the client's wish from the endpoint's.
fn broken(_: io::Error) -> Outcome {
    Outcome::Aborted
}
