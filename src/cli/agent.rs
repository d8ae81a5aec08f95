//! The sample agent: a small HTTP/1.1 server that behaves like an agent, for the demo and for trying a config.
//!
//! It answers slowly on purpose, streams token by token, and ends with its parent: when its standard input is a pipe and closes,
//! which the kernel sees to even when the parent was killed. It is no benchmark backend, and ends without draining.

mod answer;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;
use std::time::Duration;
use std::{future, thread};

use anyhow::Context;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time;

use super::args;
use super::output;
use answer::Answers;

/// What comes before the address in the line that tells where the agent listens; the demo reads it.
pub(super) const LISTENING: &str = "listening on ";

/// How long a client may take for a request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long nothing is accepted after `accept` failed, most likely for want of file descriptors: trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Runs the agent until its standard input closes, SIGTERM or SIGINT.
///
/// # Errors
/// When the port is taken.
pub(super) fn run(arguments: &args::Agent) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port))
            .await
            .with_context(|| format!("agent {:?} cannot listen on 127.0.0.1:{}", arguments.name, arguments.port))?;
        let stop = stop()?;
        output::show(format_args!("{LISTENING}{}", listener.local_addr()?))?;
        serve(listener, Answers::new(arguments), stop).await;
        Ok(())
    })
}

/// Answers on `listener` until `stop` is ready; then every connection is closed.
async fn serve(listener: TcpListener, answers: Answers, stop: impl Future<Output = ()>) {
    let answers = Arc::new(answers);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        // Cancel-safe: `accept` and `join_next` lose nothing when they are dropped, `stop` is kept.
        tokio::select! {
            () = &mut stop => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, answers.clone()))),
                Err(_) => time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, answers: Arc<Answers>) {
    // Only speed is lost when it fails.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let answers = answers.clone();
        async move { answers.answer(request).await }
    });
    // A connection that breaks is its client's business.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Returns what is ready when the agent should end.
fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let closed = stdin_closed()?;
    Ok(async move {
        let closed = async {
            match closed {
                // The sender goes when the thread ends, which is what is waited for.
                Some(closed) => drop(closed.await),
                None => future::pending().await,
            }
        };
        // Cancel-safe: the agent ends with the first.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = closed => {}
        }
    })
}

/// Watches standard input, when it is a pipe: a terminal would stop an agent in the background, and `/dev/null` is always at its
/// end.
fn stdin_closed() -> anyhow::Result<Option<oneshot::Receiver<()>>> {
    let is_pipe = fs::metadata("/dev/stdin").is_ok_and(|stdin| stdin.file_type().is_fifo() || stdin.file_type().is_socket());
    if !is_pipe {
        return Ok(None);
    }
    let (sender, receiver) = oneshot::channel();
    // A thread, as a blocking read cannot be cancelled; it ends with the process.
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut ignored = [0; 256];
        while matches!(stdin.read(&mut ignored), Ok(1..)) {}
        drop(sender);
    })?;
    Ok(Some(receiver))
}
