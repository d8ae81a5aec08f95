//! A request body that can be sent again: its frames are kept while they pass, up to a limit.
//!
//! Nothing is held back for it: a frame goes on as soon as it has come, and what another attempt has to send again it finds here, before it
//! reads on where the last one stopped. One attempt reads at a time, until all of it is here.
//!
//! Several may want it kept, each with a limit of its own: it is kept up to the largest, and for as long as one of them may send it again.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::body::{ClientBody, Cut, Progress, Upload};
use crate::model::Reason;

/// Where the bytes that are kept are accounted for; on drop, all are given back.
pub trait Room: fmt::Debug {
    /// Takes so many bytes more, all or none, and tells whether they were there.
    fn take(&mut self, bytes: u64) -> bool;
    /// Gives back all that was taken.
    fn give_back(&mut self);
}

/// What keeping a frame costs beside its bytes: a body in frames of one byte must not take a hundred times its account.
const PIECE: u64 = size_of::<Piece>() as u64;

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

/// A body that is kept while it passes; on drop, one fewer may send it again.
#[derive(Debug)]
pub struct Replay {
    store: Rc<RefCell<Store>>,
    limit: u64,
}

/// Reads a kept body from its beginning.
#[derive(Debug)]
pub(super) struct Reader {
    store: Rc<RefCell<Store>>,
    /// Which reading it is.
    number: u64,
    /// The next frame, counted from the first of the body.
    next: usize,
    bytes: u64,
}

#[derive(Debug)]
struct Store {
    body: ClientBody,
    frames: Vec<Piece>,
    kept: Kept,
    /// Frames that the present reading has taken; 0 while that is not known.
    read: usize,
    /// The reading that may ask the client for more: the last one.
    current: u64,
    /// Readings that go on.
    readers: usize,
    /// Those who may read it again.
    owners: usize,
    /// The largest of theirs.
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
            Self::Trailers(trailers) => trailers.iter().map(|(name, value)| (name.as_str().len() + value.len()) as u64).sum(),
        }
    }
}

impl Replay {
    pub(super) fn new(body: ClientBody, limit: u64, room: Box<dyn Room>) -> (Self, Reader) {
        let total = body.size_hint().exact();
        let store = Store {
            body,
            frames: Vec::new(),
            kept: Kept::SoFar,
            read: 0,
            current: 0,
            readers: 0,
            owners: 0,
            limit: 0,
            bytes: 0,
            room,
            total,
        };
        let store = Rc::new(RefCell::new(store));
        let reader = Reader::new(&store);
        (reader.replay(limit), reader)
    }

    /// Returns what it can give.
    pub fn kept(&self) -> Kept {
        let store = self.store.borrow();
        match store.kept {
            Kept::SoFar | Kept::Whole if store.bytes.max(store.total.unwrap_or(0)) > self.limit => Kept::TooLarge,
            kept => kept,
        }
    }

    /// Begins another reading; one that goes on is broken off, unless all of the body is here.
    pub fn again(&self) -> Upload {
        Upload::kept(Reader::new(&self.store))
    }

    /// Tells whether nothing has been read yet, so that even a body which is not kept can be sent again.
    pub fn is_untouched(&self) -> bool {
        self.store.borrow().body.progress().bytes() == 0
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let mut store = self.store.borrow_mut();
        store.owners -= 1;
        store.tidy();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut store = self.store.borrow_mut();
        store.readers -= 1;
        // Whatever else is being read says so with its next frame.
        store.read = 0;
        store.tidy();
    }
}

impl Reader {
    fn new(store: &Rc<RefCell<Store>>) -> Self {
        let mut inner = store.borrow_mut();
        inner.readers += 1;
        inner.read = 0;
        inner.current += 1;
        Self { store: store.clone(), number: inner.current, next: 0, bytes: 0 }
    }

    /// Lets one more send it again, up to a limit.
    pub(super) fn replay(&self, limit: u64) -> Replay {
        let mut store = self.store.borrow_mut();
        store.owners += 1;
        store.limit = store.limit.max(limit);
        // A body that says it is too large is not kept at all; nothing of it has passed when the largest limit comes to be known.
        if store.body.progress().bytes() == 0 && matches!(store.kept, Kept::SoFar | Kept::TooLarge) {
            store.kept = if store.total.is_some_and(|total| total > store.limit) { Kept::TooLarge } else { Kept::SoFar };
        }
        Replay { store: self.store.clone(), limit }
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
        // An attempt that was given up may go on polling for a while: it must not take what belongs to the next one, nor its wake-ups.
        if self.number != store.current && store.kept != Kept::Whole {
            return Poll::Ready(Some(Err(Cut(Reason::RequestBodyBroken))));
        }
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
        if self.owners == 0 || self.kept != Kept::SoFar {
            return;
        }
        let Some(piece) = Piece::of(frame) else { return };
        let length = piece.len();
        if self.bytes + length > self.limit {
            self.give_up(Kept::TooLarge);
        } else if !self.room.take(length + PIECE) {
            self.give_up(Kept::NoMemory);
        } else {
            self.bytes += length;
            self.frames.push(piece);
        }
    }

    fn end(&mut self) {
        if self.kept == Kept::SoFar && self.owners > 0 && self.body.progress().cut().is_none() {
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
        if self.owners == 0 && (self.readers == 0 || self.readers == 1 && self.read >= self.frames.len()) {
            self.frames = Vec::new();
            self.room.give_back();
        }
    }
}

#[cfg(test)]
mod tests;
