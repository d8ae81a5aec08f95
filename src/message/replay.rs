//! A request body that can be sent again: its frames are kept while they pass, up to a limit.
//!
//! Nothing is held back for it: a frame goes on as soon as it has come, and what another attempt has to send again it finds here, before it
//! reads on where the last one stopped. One attempt reads at a time.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::body::{ClientBody, Cut, Progress, Upload};

/// Where the bytes that are kept are accounted for; on drop, all are given back.
pub trait Room: fmt::Debug {
    /// Takes so many bytes more, all or none, and tells whether they were there.
    fn take(&mut self, bytes: u64) -> bool;
    /// Gives back all that was taken.
    fn give_back(&mut self);
}

/// What a kept body can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All that has passed.
    SoFar,
    /// All of it: nothing more will come from the client.
    Whole,
    /// Not all: it was larger than the limit.
    TooLarge,
    /// Not all: there was no memory left for it.
    NoMemory,
}

/// A body that is kept while it passes, as long as one of these is there.
#[derive(Debug)]
pub struct Replay(Rc<RefCell<Store>>);

/// Reads a kept body from its beginning.
#[derive(Debug)]
pub(super) struct Reader {
    store: Rc<RefCell<Store>>,
    /// The next frame, counted from the first of the body.
    next: usize,
    bytes: u64,
}

#[derive(Debug)]
struct Store {
    body: ClientBody,
    frames: Vec<Piece>,
    kept: Kept,
    /// Frames that the present reading has taken.
    read: usize,
    /// How many may want it again; none: nothing more is kept.
    keepers: usize,
    limit: u64,
    bytes: u64,
    room: Box<dyn Room>,
    total: Option<u64>,
}

#[derive(Clone, Debug)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Piece {
    fn of(frame: &Frame<Bytes>) -> Option<Self> {
        frame.data_ref().cloned().map(Self::Data).or_else(|| frame.trailers_ref().cloned().map(Self::Trailers))
    }

    fn frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Trailers(_) => 0,
        }
    }
}

impl Replay {
    pub(super) fn new(body: ClientBody, limit: u64, room: Box<dyn Room>) -> (Self, Reader) {
        let total = body.size_hint().exact();
        // A body that says it is too large is not kept at all.
        let kept = if total.is_some_and(|total| total > limit) { Kept::TooLarge } else { Kept::SoFar };
        let store = Store { body, frames: Vec::new(), kept, read: 0, keepers: 1, limit, bytes: 0, room, total };
        let store = Rc::new(RefCell::new(store));
        (Self(store.clone()), Reader { store, next: 0, bytes: 0 })
    }

    /// Returns what it can give.
    pub fn kept(&self) -> Kept {
        self.0.borrow().kept
    }

    /// Begins another reading; whoever read before must have stopped.
    pub fn again(&self) -> Upload {
        self.0.borrow_mut().read = 0;
        Upload::kept(Reader { store: self.0.clone(), next: 0, bytes: 0 })
    }

    /// Returns how many bytes are kept.
    pub fn bytes(&self) -> u64 {
        self.0.borrow().bytes
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let mut store = self.0.borrow_mut();
        store.keepers -= 1;
        store.tidy();
    }
}

impl Reader {
    /// One more may want the body again, and keeps up to `limit` bytes of it.
    pub(super) fn replay(&self, limit: u64) -> Replay {
        let mut store = self.store.borrow_mut();
        store.keepers += 1;
        store.limit = store.limit.max(limit);
        let is_untouched = store.read == 0;
        if is_untouched && store.kept == Kept::TooLarge && store.total.is_some_and(|total| total <= store.limit) {
            store.kept = Kept::SoFar;
        }
        Replay(self.store.clone())
    }

    pub(super) fn progress(&self) -> Rc<Progress> {
        self.store.borrow().body.progress()
    }

    pub(super) fn is_over(&self) -> bool {
        let store = self.store.borrow();
        self.next >= store.frames.len() && store.body.is_over() && store.body.progress().cut().is_none()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.store.borrow().total {
            Some(total) => SizeHint::with_exact(total.saturating_sub(self.bytes)),
            None => SizeHint::default(),
        }
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let mut store = self.store.borrow_mut();
        let kept = store.frames.get(self.next).cloned();
        let frame = match kept {
            Some(piece) => piece.frame(),
            None => match std::task::ready!(store.body.poll_frame(cx)) {
                Some(Ok(frame)) => {
                    store.keep(&frame);
                    frame
                }
                None => {
                    store.end();
                    return Poll::Ready(None);
                }
                Some(Err(cut)) => return Poll::Ready(Some(Err(cut))),
            },
        };
        self.next += 1;
        self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        store.read = self.next;
        store.tidy();
        if store.body.is_over() {
            store.end();
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Store {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.keepers == 0 || self.kept != Kept::SoFar {
            return;
        }
        let Some(piece) = Piece::of(frame) else { return };
        let length = piece.len();
        if self.bytes + length > self.limit {
            self.give_up(Kept::TooLarge);
        } else if !self.room.take(length) {
            self.give_up(Kept::NoMemory);
        } else {
            self.bytes += length;
            self.frames.push(piece);
        }
    }

    fn end(&mut self) {
        if self.kept == Kept::SoFar && self.keepers > 0 && self.body.progress().cut().is_none() {
            self.kept = Kept::Whole;
        }
    }

    fn give_up(&mut self, why: Kept) {
        self.kept = why;
        self.frames = Vec::new();
        self.room.give_back();
    }

    /// Lets go of what has been read and will not be read again.
    fn tidy(&mut self) {
        if self.keepers == 0 && self.read >= self.frames.len() {
            self.frames = Vec::new();
            self.room.give_back();
        }
    }
}

#[cfg(test)]
mod tests;
