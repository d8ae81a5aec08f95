//! A request and its response: finds a connection, sends, and tries again where that is certainly safe.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use crate::upstream::dial::Lookup;
use crate::upstream::failure::SendFailure;
use crate::upstream::target::Target;

use super::alarm::Alarms;
use super::h1::H1;
use super::h2::H2;
use super::lease::{Held, Lease};
use super::open::{Dialling, Spoken};
use super::outgoing::{Outgoing, RequestBody};
use super::send::{Answer, Unanswered};

/// How often a request is sent again that a *live* endpoint did not take: a connection that closed as it was opened, a refused stream.
///
/// Stale connections do not count: each of them is found out only once.
pub(super) const SECOND_CHANCES: u32 = 1;

/// The connections of one worker to one endpoint.
pub struct Connections<B: RequestBody> {
    pub(super) target: Target,
    pub(super) lookup: Lookup,
    /// HTTP/1 connections between two requests; the back was put aside last.
    pub(super) idle: RefCell<VecDeque<H1<B>>>,
    /// HTTP/2 connections that take requests.
    pub(super) shared: RefCell<Vec<Rc<H2<B>>>>,
    pub(super) dialling: RefCell<Option<Rc<Dialling>>>,
    pub(super) spoken: Cell<Option<Spoken>>,
    pub(super) retired: Cell<bool>,
    pub(super) reaping: Cell<bool>,
    pub(super) alarms: Rc<Alarms>,
    pub(super) counts: Rc<Counts>,
    pub(super) spare_body: Option<fn() -> B>,
}

/// A response's head, its body to come, and the hold on its connection.
#[derive(Debug)]
pub struct Exchange<B: RequestBody> {
    /// The response; its body must be read to the end or dropped.
    pub response: Response<Incoming>,
    /// To be released when the body has ended as it should, and dropped otherwise.
    pub lease: Lease<B>,
    /// Whether the connection had been open before.
    pub reused: bool,
}

/// What is known of the connections of one worker to one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Open connections that carry no request.
    pub idle: usize,
    /// Open connections, idle ones included.
    pub open: usize,
    /// Connections opened so far.
    pub opened_total: u64,
    /// Requests that found a connection open.
    pub reused_total: u64,
}

/// Counters that outlive neither the connections nor their tasks.
#[derive(Debug, Default)]
pub(super) struct Counts {
    open: Cell<usize>,
    opened_total: Cell<u64>,
    reused_total: Cell<u64>,
}

/// Counts a connection as open for as long as its task runs.
#[derive(Debug)]
pub(super) struct Open(Rc<Counts>);

/// A connection for one request.
pub(super) struct Checkout<B: RequestBody> {
    pub(super) held: Held<B>,
    /// Whether it was open before.
    pub(super) reused: bool,
}

impl Open {
    pub(super) fn new(counts: Rc<Counts>) -> Self {
        counts.open.set(counts.open.get() + 1);
        counts.opened_total.set(counts.opened_total.get() + 1);
        Self(counts)
    }
}

impl Counts {
    fn reused(&self) {
        self.reused_total.set(self.reused_total.get() + 1);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}

impl<B: RequestBody> fmt::Debug for Connections<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("target", &self.target).finish_non_exhaustive()
    }
}

impl<B: RequestBody> Connections<B> {
    /// No connection yet; `lookup` is asked for the addresses of a name.
    ///
    /// Must be used inside a `LocalSet` or `LocalRuntime`.
    pub fn new(target: Target, lookup: Lookup) -> Self {
        Self {
            target,
            lookup,
            idle: RefCell::default(),
            shared: RefCell::default(),
            dialling: RefCell::default(),
            spoken: Cell::new(None),
            retired: Cell::new(false),
            reaping: Cell::new(false),
            alarms: Rc::default(),
            counts: Rc::default(),
            spare_body: None,
        }
    }

    /// Lets a request *without body* be sent again that an HTTP/2 endpoint refused unseen; `empty` makes its second empty body.
    ///
    /// It costs a copy of the head of every such request over HTTP/2. Without it, such a refusal is a failure with `sent: false`.
    #[must_use]
    pub fn with_spare_body(mut self, empty: fn() -> B) -> Self {
        self.spare_body = Some(empty);
        self
    }

    /// Returns where and how the endpoint is reached.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Returns what is known of the connections.
    pub fn stats(&self) -> Stats {
        let free = self.idle.borrow().iter().filter(|connection| !connection.is_closed()).count();
        let shared = self.shared.borrow();
        let unused = shared.iter().filter(|connection| !connection.is_closed() && connection.idle_since().is_some()).count();
        Stats {
            idle: free + unused,
            open: self.counts.open.get(),
            opened_total: self.counts.opened_total.get(),
            reused_total: self.counts.reused_total.get(),
        }
    }

    /// Closes idle connections now, and running ones when their requests have ended; for an endpoint that is gone or has moved.
    pub fn retire(&self) {
        self.retired.set(true);
        let idle = self.idle.take();
        let shared = self.shared.take();
        drop((idle, shared));
    }

    /// Sends `request` and waits for the head of its response, at most for `first_byte` after the request has been sent.
    ///
    /// HTTP/1 needs a target in origin form and `Host`; `Host` becomes `:authority` in HTTP/2. Hop-by-hop fields are the caller's.
    /// A request that certainly was not sent is sent again over another connection.
    ///
    /// Cancel safe: dropping the future closes the HTTP/1 connection at once, or resets the HTTP/2 stream.
    ///
    /// # Errors
    /// When there is no connection, or no response over it; `sent` tells whether the endpoint may have seen the request.
    pub fn exchange(
        self: &Rc<Self>,
        request: Request<B>,
        first_byte: Option<Duration>,
    ) -> impl Future<Output = Result<Exchange<B>, SendFailure>> + use<B> {
        let request = request.map(Outgoing::new);
        let stage = match self.take_open() {
            Some(held) => {
                self.counts.reused();
                Stage::Sent { sending: self.send(held, request, first_byte) }
            }
            None => Stage::searching(Rc::clone(self).search(request, first_byte, SECOND_CHANCES)),
        };
        Exchanging { connections: Rc::clone(self), first_byte, stage }
    }

    /// Finds a connection for `request` and sends it, more than once where that is safe.
    async fn search(
        self: Rc<Self>,
        mut request: Request<Outgoing<B>>,
        first_byte: Option<Duration>,
        mut chances: u32,
    ) -> Result<Exchange<B>, SendFailure> {
        loop {
            let Checkout { held, reused } = self.check_out().await?;
            if reused {
                self.counts.reused();
            }
            match self.send(held, request, first_byte).await {
                Ok((response, held)) => return Ok(Exchange { response, lease: Lease::new(self, held), reused }),
                Err(unanswered) => request = unanswered.again(reused, &mut chances)?,
            }
        }
    }
}

/// A search for a connection.
type Searching<B> = Pin<Box<dyn Future<Output = Result<Exchange<B>, SendFailure>>>>;

pin_project! {
    /// A request and its response. The usual case, an open connection that takes the request, has no room for more than the wait.
    struct Exchanging<B: RequestBody, S> {
        connections: Rc<Connections<B>>,
        first_byte: Option<Duration>,
        #[pin]
        stage: Stage<B, S>,
    }
}

pin_project! {
    #[project = StageKind]
    enum Stage<B: RequestBody, S> {
        Sent { #[pin] sending: S },
        Searching { search: Searching<B> },
    }
}

impl<B: RequestBody, S> Stage<B, S> {
    fn searching(search: impl Future<Output = Result<Exchange<B>, SendFailure>> + 'static) -> Self {
        Self::Searching { search: Box::pin(search) }
    }
}

impl<B, S> Future for Exchanging<B, S>
where
    B: RequestBody,
    S: Future<Output = Result<Answer<B>, Unanswered<B>>>,
{
    type Output = Result<Exchange<B>, SendFailure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let sent = match this.stage.as_mut().project() {
                StageKind::Sent { sending } => ready!(sending.poll(cx)),
                StageKind::Searching { search } => return search.as_mut().poll(cx),
            };
            let mut chances = SECOND_CHANCES;
            let connections = Rc::clone(this.connections);
            match sent {
                Ok((response, held)) => {
                    return Poll::Ready(Ok(Exchange { response, lease: Lease::new(connections, held), reused: true }));
                }
                Err(unanswered) => {
                    let request = match unanswered.again(true, &mut chances) {
                        Ok(request) => request,
                        Err(failure) => return Poll::Ready(Err(failure)),
                    };
                    this.stage.set(Stage::searching(connections.search(request, *this.first_byte, chances)));
                }
            }
        }
    }
}
