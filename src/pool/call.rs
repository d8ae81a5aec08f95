//! What goes through a pool's layers, and what comes back.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use http::header::UPGRADE;
use http::{Request, Response};
use tokio::time::Instant;

use super::Member;
use super::download::Download;
use super::place::Place;
use crate::endpoint::Serial;
use crate::kit::clock::{self, Tick};
use crate::message::body::Upload;
use crate::message::present::Present;
use crate::model::{Failure, Reason};
use crate::resilience::retry::Skip;

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
    /// The present, as far as the call knows: when it came, or when it last waited for something.
    pub(super) at: Tick,
    /// The earliest end that a layer has set, and what it is called.
    pub(super) end: Option<(Instant, Reason)>,
    /// Where attempts are written down for a layer that must know of them while they run.
    pub(super) trying: Option<Trying>,
    /// Whether it is a second attempt beside another one of the same request.
    pub(super) is_hedge: bool,
    /// The endpoints of earlier attempts.
    pub(super) tried: Vec<Serial>,
    /// The place that was found for it.
    pub(super) place: Option<Place>,
}

/// The attempts of a call, as they are made.
pub(super) type Trying = Rc<Attempts>;

/// What is written down of attempts.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    count: Cell<u32>,
    last: RefCell<Option<Rc<Member>>>,
}

impl Attempts {
    /// An attempt is made on `member`.
    pub(super) fn note(&self, member: &Rc<Member>) {
        self.count.set(self.count.get() + 1);
        self.last.replace(Some(member.clone()));
    }

    /// Returns how many were made.
    pub(super) fn count(&self) -> u32 {
        self.count.get()
    }

    /// Returns on whom the last was made.
    pub(super) fn last(&self) -> Option<Rc<Member>> {
        self.last.borrow().clone()
    }
}

impl Call {
    /// A call that requires nothing and that nothing limits yet; boxed, because a request is large and goes
    /// through many hands.
    pub fn new(request: Request<Upload>, started: Tick) -> Box<Self> {
        Box::new(Self {
            request,
            required: Vec::new(),
            key: None,
            started,
            at: started,
            end: None,
            trying: None,
            is_hedge: false,
            tried: Vec::new(),
            place: None,
        })
    }

    /// Tells whether it asks for another protocol: what such a call begins cannot be begun twice.
    pub(super) fn switches(&self) -> bool {
        self.request.headers().contains_key(UPGRADE)
    }

    /// What another attempt needs of this call, but for the request itself.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            required: self.required.clone(),
            key: self.key,
            started: self.started,
            end: self.end,
            trying: self.trying.clone(),
            is_hedge: self.is_hedge,
            tried: self.tried.clone(),
        }
    }

    /// Returns where the member that is tried will stand.
    pub(super) fn watch(&mut self) -> Trying {
        self.trying.get_or_insert_default().clone()
    }

    /// Lets the call end at `end` at the latest, its response body included.
    pub(super) fn end_by(&mut self, end: Instant, reason: Reason) {
        if self.end.is_none_or(|(earlier, _)| end < earlier) {
            self.end = Some((end, reason));
        }
    }
}

/// A call without its request.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    required: Vec<Box<str>>,
    key: Option<u64>,
    started: Tick,
    pub(super) end: Option<(Instant, Reason)>,
    trying: Option<Trying>,
    is_hedge: bool,
    pub(super) tried: Vec<Serial>,
}

impl Terms {
    /// Makes another call of these terms.
    pub(super) fn call(&self, request: Request<Upload>) -> Box<Call> {
        let Self { required, key, started, end, trying, is_hedge, tried } = self.clone();
        Box::new(Call { request, required, key, started, at: clock::now(), end, trying, is_hedge, tried, place: None })
    }

    /// The terms of a second call beside this one.
    pub(super) fn beside(self) -> Self {
        Self { is_hedge: true, ..self }
    }

    /// The terms of a call that has nothing to do with this one but what it asks for.
    pub(super) fn alone(self) -> Self {
        Self { end: None, trying: None, tried: Vec::new(), ..self }
    }
}

/// How often a request was tried, and why not once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Attempts, hedges included.
    pub attempts: u32,
    /// Why there was no other one although the route wanted it.
    pub skipped: Option<Skip>,
}

impl Tries {
    /// The usual case.
    pub(super) const ONE: Self = Self { attempts: 1, skipped: None };

    /// No endpoint was found.
    pub(super) const NONE: Self = Self { attempts: 0, skipped: None };
}

/// A response on its way to the client.
#[derive(Debug)]
pub struct Reply {
    /// Which fields its head has.
    pub present: Present,
    /// The response as the endpoint sent it.
    pub response: Response<Box<Download>>,
    /// Who answered.
    pub member: Rc<Member>,
    /// From the request's arrival to the response's head.
    pub first_byte: Duration,
    /// How often it was tried.
    pub tries: Tries,
}

/// What becomes of a call; boxed, because every layer moves it.
pub type Answer = Result<Box<Reply>, Box<Denied>>;

/// A call on its way.
pub(super) type Answering = Pin<Box<dyn Future<Output = Answer>>>;

/// Why there is no response.
pub struct Denied {
    /// The reason, and how long to wait.
    pub failure: Failure,
    /// A sentence for the client and the log.
    pub detail: Cow<'static, str>,
    /// Who was tried last.
    pub member: Option<Rc<Member>>,
    /// How often it was tried.
    pub tries: Tries,
    /// Whether the client's connection, or stream, is reset instead of an answer.
    pub reset: bool,
    /// Whether an endpoint may have seen the request.
    pub(super) sent: bool,
    /// Whether the connection had been open before, and may have been closed as idle.
    pub(super) stale: bool,
}

impl Denied {
    /// No endpoint was tried.
    pub(super) fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self {
            failure: reason.into(),
            detail: detail.into(),
            member: None,
            tries: Tries::NONE,
            reset: false,
            sent: false,
            stale: false,
        })
    }

    /// Waiting so long may help.
    #[must_use]
    pub(super) fn after(mut self: Box<Self>, wait: Duration) -> Box<Self> {
        self.failure.retry_after = Some(wait);
        self
    }
}

impl fmt::Debug for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denied").field("failure", &self.failure).field("detail", &self.detail).finish_non_exhaustive()
    }
}
