//! What goes through a pool's layers, and what comes back.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use tokio::time::Instant;

use super::Member;
use super::download::Download;
use crate::kit::clock::Tick;
use crate::message::body::Upload;
use crate::model::{Failure, Reason};

/// A request on its way to a pool.
#[derive(Debug)]
pub struct Call {
    /// The request as the endpoint shall see it.
    pub request: Request<Upload>,
    /// Capabilities that the request itself requires, beside those of its route.
    pub required: Vec<Box<str>>,
    /// The hashed key for `consistent_hashing`.
    pub key: Option<u64>,
    /// When the request came.
    pub started: Tick,
    /// The earliest end that a layer has set, and what it is called.
    pub(super) end: Option<(Instant, Reason)>,
    /// Where the member that is tried is left for a layer that gives up on the call.
    pub(super) tried: Option<Tried>,
}

/// The member that a call was last sent to; empty before its first pick.
pub(super) type Tried = Rc<RefCell<Option<Rc<Member>>>>;

impl Call {
    /// A call that nothing limits yet.
    pub const fn new(request: Request<Upload>, required: Vec<Box<str>>, key: Option<u64>, started: Tick) -> Self {
        Self { request, required, key, started, end: None, tried: None }
    }

    /// Returns where the member that is tried will stand.
    pub(super) fn watch(&mut self) -> Tried {
        self.tried.get_or_insert_default().clone()
    }

    /// Lets the call end at `end` at the latest, its response body included.
    pub(super) fn end_by(&mut self, end: Instant, reason: Reason) {
        if self.end.is_none_or(|(earlier, _)| end < earlier) {
            self.end = Some((end, reason));
        }
    }
}

/// A response on its way to the client.
#[derive(Debug)]
pub struct Reply {
    /// The response as the endpoint sent it.
    pub response: Response<Download>,
    /// Who answered.
    pub member: Rc<Member>,
    /// From the request's arrival to the response's head.
    pub first_byte: Duration,
}

/// Why there is no response.
pub struct Denied {
    /// The reason, and how long to wait.
    pub failure: Failure,
    /// A sentence for the client and the log.
    pub detail: Cow<'static, str>,
    /// Who was tried last.
    pub member: Option<Rc<Member>>,
}

impl Denied {
    pub(super) fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { failure: reason.into(), detail: detail.into(), member: None }
    }
}

impl fmt::Debug for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denied").field("failure", &self.failure).field("detail", &self.detail).finish_non_exhaustive()
    }
}
