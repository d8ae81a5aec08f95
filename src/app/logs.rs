//! The access log of the config in force.
//!
//! A log that goes into a pipe which nobody reads stands still for ever. So each log is owned by a thread of its own, its keeper: whatever
//! may wait for the writer waits there, never a reload, a signal or the drain.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

use crate::model::AccessLog as Settings;
use crate::telemetry::access_log::{AccessLog, Handle};

/// How long the last lines of a log are waited for: what fits into its channel is written in far less.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The access log of the config in force.
#[derive(Debug, Default)]
pub(super) struct AccessLogs {
    open: Mutex<Option<Kept>>,
    dropped: Arc<AtomicU64>,
}

/// An access log that was opened for a config which is not in force yet.
#[derive(Debug)]
pub(super) enum Next {
    /// The one that is open already.
    Same,
    /// Another one, or none.
    Other(Option<Kept>),
}

/// A log and its keeper, who ends the log when this is dropped.
#[derive(Debug)]
pub(super) struct Kept {
    settings: Settings,
    handle: Handle,
    reopen: SyncSender<()>,
    /// Hears that the last line is written.
    ended: oneshot::Receiver<()>,
}

impl AccessLogs {
    /// Opens what `settings` ask for, beside what is open.
    pub(super) fn prepare(&self, settings: Option<&Settings>) -> anyhow::Result<Next> {
        let same = self.lock().as_ref().map(|kept| &kept.settings) == settings;
        if same {
            return Ok(Next::Same);
        }
        let open = |settings: &Settings| {
            let opened = Kept::open(settings, self.dropped.clone());
            opened.with_context(|| format!("the access log {} cannot be opened", settings.path))
        };
        settings.map(open).transpose().map(Next::Other)
    }

    /// Returns the handle that workers write to once `next` is in force.
    pub(super) fn handle(&self, next: &Next) -> Option<Handle> {
        match next {
            Next::Same => self.lock().as_ref().map(|kept| kept.handle.clone()),
            Next::Other(other) => other.as_ref().map(|kept| kept.handle.clone()),
        }
    }

    /// Closes what was open before `next`, and waits a moment for its last line.
    pub(super) async fn keep(&self, next: Next) {
        if let Next::Other(other) = next {
            let old = std::mem::replace(&mut *self.lock(), other);
            end(old).await;
        }
    }

    /// Opens the file again; never waits.
    pub(super) fn reopen(&self) {
        if let Some(kept) = &*self.lock() {
            // A full channel holds the same order, not yet obeyed.
            let _ = kept.reopen.try_send(());
        }
    }

    /// Writes out what waits, for a moment at most, and closes.
    pub(super) async fn close(&self) {
        let old = self.lock().take();
        end(old).await;
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Kept>> {
        // A log is replaced as a whole: a holder that panicked left either.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn open(settings: &Settings, dropped: Arc<AtomicU64>) -> std::io::Result<Self> {
        let log = AccessLog::open(settings, dropped)?;
        let handle = log.handle();
        let (reopen, orders) = sync_channel(1);
        let (done, ended) = oneshot::channel();
        // Ends when its `Kept` is dropped, or with the process when the log stands still.
        thread::Builder::new().name("log-keeper".to_owned()).spawn(move || keep(log, &orders, done))?;
        Ok(Self { settings: settings.clone(), handle, reopen, ended })
    }
}

fn keep(log: AccessLog, orders: &Receiver<()>, done: oneshot::Sender<()>) {
    while orders.recv().is_ok() {
        log.reopen();
    }
    drop(log);
    // Nobody waits for a log that never came into force.
    let _ = done.send(());
}

async fn end(old: Option<Kept>) {
    let Some(Kept { settings, handle, reopen, ended }) = old else { return };
    drop((handle, reopen));
    if timeout(LAST_LINES, ended).await.is_err() {
        warn!(target = %settings.path, "The access log stands still, its last lines are lost.");
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;
    use crate::model::{LogFormat, LogTarget, Outcome};
    use crate::telemetry::access_log::Record;

    fn record() -> Record<'static> {
        Record {
            listener: "l",
            route: None,
            pool: None,
            endpoint: None,
            client: None,
            method: "GET",
            host: None,
            path: "/",
            protocol: http::Version::HTTP_11,
            status: 200,
            outcome: Outcome::Completed,
            request_id: None,
            user_agent: None,
            bytes_in: 0,
            bytes_out: 0,
            duration: Duration::ZERO,
            first_byte: None,
            attempts: 0,
            retry_skipped: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_stands_still_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // Open for reading too, so that opening it for writing does not wait; nobody reads.
        let _stalled = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let logs = AccessLogs::default();
        let settings = Settings { format: LogFormat::Text, path: LogTarget::File(pipe) };
        logs.keep(logs.prepare(Some(&settings)).unwrap()).await;
        let handle = logs.handle(&Next::Same).unwrap();
        while logs.dropped() == 0 {
            handle.write(&record());
        }
        logs.reopen();
        logs.reopen();
        logs.close().await;
        assert!(logs.handle(&Next::Same).is_none());
    }
}
