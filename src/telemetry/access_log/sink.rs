//! Where lines go: a bounded channel, and a thread that writes what comes out of it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::warn;

use super::encode::{Record, line};
use crate::model::{LogFormat, LogTarget};

/// Lines that may wait for the writer: about 2 MiB, a third of a second at 25,000 requests a second.
const WAITING: usize = 8192;

/// Bytes that are written at once.
const BUFFER: usize = 64 * 1024;

/// How long a written line may stay in the buffer.
const FLUSH: Duration = Duration::from_millis(50);

enum Message {
    Line(String),
    Reopen,
    End,
}

/// An access log with its writer; ended and flushed on drop.
#[derive(Debug)]
pub struct AccessLog {
    handle: Handle,
    writer: Option<JoinHandle<()>>,
}

/// Offers lines to an access log. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Handle {
    lines: SyncSender<Message>,
    format: LogFormat,
    dropped: Arc<AtomicU64>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl AccessLog {
    /// Opens the log and starts its writer; dropped lines are added to `dropped`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(settings: &crate::model::AccessLog, dropped: Arc<AtomicU64>) -> io::Result<Self> {
        let (lines, inbox) = sync_channel(WAITING);
        let mut output = Output::open(settings.path.clone(), dropped.clone())?;
        let writer = thread::Builder::new().name("access-log".to_owned()).spawn(move || output.run(&inbox))?;
        Ok(Self { handle: Handle { lines, format: settings.format, dropped }, writer: Some(writer) })
    }

    /// Returns a way to write to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Opens the file again, after something has moved it away.
    pub fn reopen(&self) {
        // A writer that is behind opens it when it has caught up; one that is gone has said why.
        let _ = self.handle.lines.send(Message::Reopen);
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let _ = self.handle.lines.send(Message::End);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Handle {
    /// Writes a line; never waits.
    pub fn write(&self, record: &Record<'_>) {
        let mut text = String::with_capacity(512);
        line(record, self.format, Timestamp::now(), &mut text);
        if self.lines.try_send(Message::Line(text)).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

struct Output {
    target: LogTarget,
    out: BufWriter<Box<dyn Write + Send>>,
    /// Lines in the buffer: lost together when it cannot be written.
    buffered: u64,
    dropped: Arc<AtomicU64>,
    /// Said once for each time that it stops working.
    failed: bool,
}

fn sink(target: &LogTarget) -> io::Result<Box<dyn Write + Send>> {
    Ok(match target {
        LogTarget::Stdout => Box::new(io::stdout()),
        LogTarget::Stderr => Box::new(io::stderr()),
        LogTarget::File(path) => Box::new(open(path)?),
    })
}

fn open(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Output {
    fn open(target: LogTarget, dropped: Arc<AtomicU64>) -> io::Result<Self> {
        Ok(Self { out: BufWriter::with_capacity(BUFFER, sink(&target)?), target, buffered: 0, dropped, failed: false })
    }

    fn run(&mut self, inbox: &Receiver<Message>) {
        let mut next_flush = Instant::now() + FLUSH;
        loop {
            let message = inbox.recv_timeout(next_flush.saturating_duration_since(Instant::now()));
            let written = match message {
                Ok(Message::Line(line)) => self.add(&line),
                Ok(Message::Reopen) => self.reopen(),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => {
                    let flushed = self.flush();
                    self.note(flushed);
                    return;
                }
            };
            self.note(written);
            if next_flush <= Instant::now() {
                let flushed = self.flush();
                self.note(flushed);
                next_flush = Instant::now() + FLUSH;
            }
        }
    }

    fn add(&mut self, line: &str) -> io::Result<()> {
        // Here rather than inside the buffer, so that it is known which lines a failure costs.
        let made_room = if self.out.buffer().len() + line.len() > BUFFER { self.flush() } else { Ok(()) };
        self.buffered += 1;
        made_room?;
        self.out.write_all(line.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        // Without a line nothing was tried, and nothing is known to work again.
        if std::mem::take(&mut self.buffered) > 0 {
            self.failed = false;
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.flush()?;
        self.out = BufWriter::with_capacity(BUFFER, sink(&self.target)?);
        Ok(())
    }

    /// Says once that lines are lost, and counts each that is.
    fn note(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        if !self.failed {
            self.failed = true;
            warn!(%error, target = ?self.target, "Access log lines are lost.");
        }
        self.dropped.fetch_add(std::mem::take(&mut self.buffered), Relaxed);
        // What the buffer holds would be tried again with every line.
        if let Ok(sink) = sink(&self.target) {
            let old = std::mem::replace(&mut self.out, BufWriter::with_capacity(BUFFER, sink));
            drop(old.into_parts());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccessLog as Settings, Outcome};

    fn record(path: &str) -> Record<'_> {
        Record {
            listener: "l",
            route: None,
            pool: None,
            endpoint: None,
            client: None,
            method: "GET",
            host: None,
            path,
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

    #[test]
    fn lines_are_in_the_file_when_the_log_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let settings = Settings { format: LogFormat::Json, path: LogTarget::File(path.clone()) };
        let log = AccessLog::open(&settings, Arc::default()).unwrap();
        log.handle().write(&record("/first"));
        std::fs::rename(&path, folder.path().join("old.log")).unwrap();
        log.reopen();
        log.handle().write(&record("/second"));
        drop(log);
        assert!(std::fs::read_to_string(folder.path().join("old.log")).unwrap().contains("/first"));
        assert!(std::fs::read_to_string(&path).unwrap().contains("/second"));
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted() {
        let dropped = Arc::new(AtomicU64::new(0));
        let settings = Settings { format: LogFormat::Json, path: LogTarget::File("/dev/full".into()) };
        let log = AccessLog::open(&settings, dropped.clone()).unwrap();
        for _ in 0..1000 {
            log.handle().write(&record("/lost"));
        }
        drop(log);
        assert_eq!(dropped.load(Relaxed), 1000);
    }

    #[test]
    fn a_full_channel_drops_and_counts() {
        let (lines, _inbox) = sync_channel(1);
        let handle = Handle { lines, format: LogFormat::Text, dropped: Arc::default() };
        handle.write(&record("/kept"));
        handle.write(&record("/dropped"));
        assert_eq!(handle.dropped.load(Relaxed), 1);
    }
}
