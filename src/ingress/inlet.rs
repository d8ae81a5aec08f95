//! The socket as hyper sees it: bytes that were already read come first, HTTP/1 framing is guarded, progress is noted.
//!
//! hyper accepts some requests that can be read in two ways. A head that the guard refuses never reaches it: a harmless request of our own
//! takes its place, and [`Progress`] tells the service which one that is and why. The answer then goes the way of every answer, with its
//! log line, its metrics and its place in the pipeline, and the connection closes behind it.
//!
//! hyper does not read while it has a request that must wait for the one before, so it would not see that such a client leaves. Whenever it
//! flushes, which it does each time that it runs, the socket is therefore read here: what comes is kept for its turn, an end is told at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::Stream;
use super::watch::Progress;
use crate::message::Refusal;
use crate::message::framing::{Guard, Scanned, Verdict};
use crate::model::Reason;

/// Takes the place of a refused head.
const SUBSTITUTE: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// How much is read at once while a head is incomplete.
const PART: usize = 4096;

/// What is read ahead of a request that waits for the one before: who sends more is not seen leaving until that one has ended.
const AHEAD_BYTES: usize = 64 * 1024;

/// What a client may still send after its refusal before it is cut off: enough to let an honest one finish writing and read the answer.
const LINGER_BYTES: usize = 1024 * 1024;

/// The client's socket as hyper sees it.
#[derive(Debug)]
pub(super) struct Inlet {
    stream: Stream,
    guard: Option<Guard>,
    /// Bytes that were read and not yet handed on; the first `ready` may be.
    held: BytesMut,
    ready: usize,
    /// Whether the guard has not yet seen all of `held`.
    unseen: bool,
    ended: Ended,
    lingered: usize,
    progress: Arc<Progress>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The client may send more.
    No,
    /// The client has closed its side.
    Eof,
    /// What the client sends is no longer looked at.
    Refused,
    /// A body was refused: reading fails.
    Broken,
}

impl Inlet {
    /// Wraps `stream`, of which `first` was already read. Without a guard everything passes.
    pub(super) fn new(stream: Stream, first: BytesMut, guard: Option<Guard>, progress: Arc<Progress>) -> Self {
        let ready = if guard.is_none() { first.len() } else { 0 };
        let mut inlet = Self { stream, guard, held: first, ready, unseen: false, ended: Ended::No, lingered: 0, progress };
        if !inlet.held.is_empty() && inlet.guard.is_some() {
            inlet.scan_held();
        }
        inlet
    }

    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.ready.min(buf.remaining());
        buf.put_slice(&self.held[..length]);
        self.held.advance(length);
        self.ready -= length;
        if self.held.is_empty() {
            // A connection that waits for its next request should not keep a buffer.
            self.held = BytesMut::new();
        }
    }

    fn scan_held(&mut self) {
        self.unseen = false;
        let Some(guard) = &mut self.guard else {
            self.ready = self.held.len();
            return;
        };
        let scanned = guard.scan(&self.held);
        if guard.tunnel_asked() {
            self.progress.set_tunnel();
        }
        self.ready = scanned.pass;
        self.judge(scanned);
    }

    fn judge(&mut self, scanned: Scanned) {
        match scanned.verdict {
            Verdict::AllPassed => self.progress.head_complete(),
            Verdict::NeedMore => {
                if scanned.pass > 0 {
                    // What is incomplete now is another head than before.
                    self.progress.head_complete();
                }
                self.progress.head_begun();
            }
            Verdict::RefuseHead(refusal) => self.refuse_head(refusal),
            Verdict::RefuseBody(refusal) => self.refuse_body(refusal),
        }
    }

    fn refuse_body(&mut self, refusal: Refusal) {
        self.progress.head_complete();
        self.progress.refuse(self.heads_passed(), refusal);
        self.held.truncate(self.ready);
        self.ended = Ended::Broken;
    }

    /// The incomplete head, or trailer section, took too long.
    fn expire(&mut self) {
        if self.guard.as_ref().is_some_and(Guard::in_trailers) {
            self.refuse_body(Refusal::new(Reason::RequestBodyTimeout, "the trailers did not arrive in time"));
        } else {
            self.refuse_head(Refusal::new(Reason::HeaderTimeout, "the request head did not arrive in time"));
        }
    }

    fn heads_passed(&self) -> u64 {
        self.guard.as_ref().map_or(0, Guard::heads_passed)
    }

    fn refuse_head(&mut self, refusal: Refusal) {
        self.progress.head_complete();
        self.progress.refuse(self.heads_passed() + 1, refusal);
        self.held.truncate(self.ready);
        self.held.extend_from_slice(SUBSTITUTE);
        self.ready = self.held.len();
        self.ended = Ended::Refused;
    }

    /// Reads straight into hyper's buffer: the usual case, in which nothing is copied.
    fn poll_straight(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let new = &buf.filled()[before..];
        if new.is_empty() {
            self.ended = Ended::Eof;
            return Poll::Ready(Ok(()));
        }
        if let Some(guard) = &mut self.guard {
            let scanned = guard.scan(new);
            if guard.tunnel_asked() {
                self.progress.set_tunnel();
            }
            if scanned.verdict == Verdict::AllPassed {
                return Poll::Ready(Ok(()));
            }
            self.held.extend_from_slice(&new[scanned.pass..]);
            buf.set_filled(before + scanned.pass);
            self.judge(scanned);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more of an incomplete head.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut part = [0; PART];
        let mut part = ReadBuf::new(&mut part);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        if part.filled().is_empty() {
            self.held.clear();
            self.ended = Ended::Eof;
        } else {
            self.held.extend_from_slice(part.filled());
            self.scan_held();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Inlet {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if this.unseen && this.ready == 0 && this.ended == Ended::No {
            this.scan_held();
        }
        // What was read ahead may complete the head that seems late.
        if !this.unseen && this.progress.take_head_expired() && !this.held.is_empty() && this.ended == Ended::No {
            this.expire();
        }
        loop {
            if this.ready > 0 {
                this.hand_on(buf);
                return Poll::Ready(Ok(()));
            }
            match this.ended {
                Ended::No => {}
                Ended::Eof => return Poll::Ready(Ok(())),
                // Nobody has to be woken: the answer to the refused request closes the connection.
                Ended::Refused => return Poll::Pending,
                Ended::Broken => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "refused message body"))),
            }
            if this.held.is_empty() {
                ready!(this.poll_straight(cx, buf))?;
                if buf.filled().len() > before {
                    return Poll::Ready(Ok(()));
                }
            } else {
                ready!(this.poll_part(cx))?;
            }
        }
    }
}

impl Inlet {
    fn note_write<T>(&self, written: Poll<T>) -> Poll<T> {
        match written {
            Poll::Pending => self.progress.write_stalled(),
            Poll::Ready(_) => self.progress.write_moved(),
        }
        written
    }

    /// Tells whether a request waits for the one that runs.
    fn is_ahead(&self) -> bool {
        let passed = self.heads_passed() + u64::from(self.ended == Ended::Refused);
        passed > self.progress.served() && self.progress.is_busy() && self.ended != Ended::Eof
    }

    /// Reads on while hyper does not; an end of the client is an error, which ends the request that runs.
    fn look_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.held.len() < AHEAD_BYTES {
            let mut part = [0; PART];
            let mut part = ReadBuf::new(&mut part);
            match Pin::new(&mut self.stream).poll_read(cx, &mut part) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) if part.filled().is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                // Behind a refusal it only fills the room, so that no client can keep us reading.
                Poll::Ready(Ok(())) => {
                    self.held.extend_from_slice(part.filled());
                    self.unseen = true;
                }
            }
        }
        Ok(())
    }

    /// Tells whether the client may still be sending a request that will never be read.
    fn must_linger(&self) -> bool {
        if self.progress.is_switched() {
            return false;
        }
        let unread = self.guard.as_ref().is_some_and(Guard::in_request);
        matches!(self.ended, Ended::Refused | Ended::Broken) || (unread && self.ended == Ended::No)
    }
}

impl AsyncWrite for Inlet {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.note_write(written)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.note_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_ahead() {
            this.look_ahead(cx)?;
        }
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.note_write(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingered == 0 {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.must_linger() {
                return Poll::Ready(Ok(()));
            }
            this.progress.lingering();
        }
        // Closing with unread bytes would reset the connection and take the answer with it (RFC 9112 section 9.6).
        let mut part = [0; PART];
        while this.lingered < LINGER_BYTES {
            let mut part = ReadBuf::new(&mut part);
            this.lingered = this.lingered.max(1);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part)) {
                Ok(()) if !part.filled().is_empty() => this.lingered += part.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
