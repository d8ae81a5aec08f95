//! What is kept of a request so that it can be sent again: its head, and what has passed of its body.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Uri};

use super::call::Call;
use crate::message::body::Upload;
use crate::message::copy::HeadCopy;
use crate::message::replay::{Kept, Replay, Room};
use crate::resilience::retry::Skip;
use crate::resilience::shed::{Hold, ReplayMemory};

/// What is kept of a request; dropped, nothing more of its body is kept for it.
#[derive(Debug)]
pub(super) struct Spare {
    method: Method,
    uri: Uri,
    headers: HeadCopy,
    body: Option<Replay>,
}

/// What the body of one request takes of the memory for all.
#[derive(Debug)]
struct Account {
    memory: Arc<ReplayMemory>,
    hold: Option<Hold>,
}

impl Room for Account {
    fn take(&mut self, bytes: u64) -> bool {
        match &mut self.hold {
            Some(hold) => hold.grow(bytes),
            None => {
                self.hold = self.memory.reserve(bytes);
                self.hold.is_some()
            }
        }
    }

    fn give_back(&mut self) {
        self.hold = None;
    }
}

impl Spare {
    /// Keeps what is needed of `call`; at most `limit` bytes of its body, taken from `memory`.
    pub(super) fn of(call: &mut Call, limit: u64, memory: &Arc<ReplayMemory>) -> Self {
        let body = call.request.body_mut().keep(limit, || Box::new(Account { memory: memory.clone(), hold: None }));
        Self {
            method: call.request.method().clone(),
            uri: call.request.uri().clone(),
            headers: HeadCopy::of(call.request.headers()),
            body,
        }
    }

    pub(super) const fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the fields of its head; they are made anew.
    pub(super) fn headers(&self) -> HeaderMap {
        self.headers.headers()
    }

    /// Tells why the request could not be sent again.
    pub(super) fn obstacle(&self) -> Option<Skip> {
        let body = self.body.as_ref()?;
        match body.kept() {
            Kept::SoFar | Kept::Whole => None,
            Kept::TooLarge | Kept::NoMemory if body.is_untouched() => None,
            Kept::TooLarge => Some(Skip::BodyTooLarge),
            Kept::NoMemory => Some(Skip::Memory),
        }
    }

    /// Tells whether all of the request is here, so that it can be sent beside an attempt that still runs.
    pub(super) fn is_whole(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.kept() == Kept::Whole)
    }

    /// Makes the request once more; a reading of its body that came before must have ended, unless all of it is here.
    pub(super) fn request(&self) -> Request<Upload> {
        let mut request = Request::new(self.body.as_ref().map_or_else(Upload::empty, Replay::again));
        request.method_mut().clone_from(&self.method);
        request.uri_mut().clone_from(&self.uri);
        *request.headers_mut() = self.headers();
        request
    }
}
