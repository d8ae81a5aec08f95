//! A new connection: dialled by the request that needs it, or once for all that can share it.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use crate::model::{Reason, UpstreamProtocol};
use crate::upstream::clock::after;
use crate::upstream::dial;
use crate::upstream::failure::SendFailure;

use super::exchange::{Checkout, Connections, Open, SECOND_CHANCES};
use super::h1::H1;
use super::h2::H2;
use super::lease::Held;
use super::outgoing::RequestBody;

/// What is said when a connection that was just opened takes no request.
const CLOSED_AT_ONCE: &str = "the endpoint closes new connections at once";

/// What an endpoint was last found to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    H1,
    H2,
}

/// A dial that several requests wait for.
#[derive(Default)]
pub(super) struct Dialling {
    ended: Notify,
    outcome: RefCell<Option<Result<(), SendFailure>>>,
}

/// A connection that nobody uses yet.
enum Opened<B: RequestBody> {
    H1(H1<B>),
    H2(Rc<H2<B>>),
}

impl Dialling {
    /// Waits for the outcome.
    async fn wait(&self) -> Result<(), SendFailure> {
        let mut ended = std::pin::pin!(self.ended.notified());
        // Registered before the outcome is looked at, so that none is missed.
        ended.as_mut().enable();
        if let Some(outcome) = self.outcome.borrow().clone() {
            return outcome;
        }
        ended.await;
        let outcome = self.outcome.borrow().clone();
        outcome.unwrap_or_else(|| Err(SendFailure::unsent(Reason::Internal, "the dial ended without an outcome")))
    }

    fn end(&self, outcome: Result<(), SendFailure>) {
        *self.outcome.borrow_mut() = Some(outcome);
        self.ended.notify_waiters();
    }
}

/// Ends a dial also when its task is dropped or panics.
struct Ending<B: RequestBody> {
    connections: Rc<Connections<B>>,
    dialling: Rc<Dialling>,
    outcome: Result<(), SendFailure>,
}

impl<B: RequestBody> Ending<B> {
    fn is(&mut self, outcome: Result<(), SendFailure>) {
        self.outcome = outcome;
    }
}

impl<B: RequestBody> Drop for Ending<B> {
    fn drop(&mut self) {
        self.connections.dialling.borrow_mut().take();
        self.dialling.end(std::mem::replace(&mut self.outcome, Ok(())));
    }
}

impl<B: RequestBody> Connections<B> {
    /// Finds or opens a connection for one request.
    pub(super) async fn check_out(self: &Rc<Self>) -> Result<Checkout<B>, SendFailure> {
        match self.take_open() {
            Some(held) => Ok(Checkout { held, reused: true }),
            None if self.may_share() => Box::pin(self.open_shared()).await,
            None => Box::pin(self.open_own()).await,
        }
    }

    pub(super) fn take_open(&self) -> Option<Held<B>> {
        match self.spoken.get() {
            Some(Spoken::H2) => self.take_place().map(Held::H2).or_else(|| self.take_idle().map(Held::H1)),
            Some(Spoken::H1) => self.take_idle().map(Held::H1),
            None => None,
        }
    }

    /// Tells whether a new connection may turn out to be one that others can use at the same time.
    fn may_share(&self) -> bool {
        if self.retired.get() {
            return false;
        }
        match self.target.settings.protocol {
            UpstreamProtocol::Http1 => false,
            UpstreamProtocol::Http2 => true,
            UpstreamProtocol::Auto => self.target.tls.is_some() && self.spoken.get() != Some(Spoken::H1),
        }
    }

    async fn open_own(self: &Rc<Self>) -> Result<Checkout<B>, SendFailure> {
        let held = match self.open(after(self.target.settings.connect_timeout)).await? {
            Opened::H1(connection) => Held::H1(connection),
            Opened::H2(connection) => {
                let place = connection.place();
                self.share(connection);
                Held::H2(place.ok_or_else(|| SendFailure::unsent(Reason::EndpointReset, CLOSED_AT_ONCE))?)
            }
        };
        Ok(Checkout { held, reused: false })
    }

    /// Waits for a connection that others wait for too, at most for the connect timeout in all.
    async fn open_shared(self: &Rc<Self>) -> Result<Checkout<B>, SendFailure> {
        let deadline = after(self.target.settings.connect_timeout);
        let mut closed_at_once = 0;
        loop {
            let dialling = self.join_dial();
            let late = || SendFailure::unsent(Reason::ConnectTimeout, "no shared connection had room in time");
            timeout_at(deadline, dialling.wait()).await.unwrap_or_else(|_| Err(late()))?;
            if let Some(held) = self.take_open() {
                return Ok(Checkout { held, reused: false });
            }
            if Instant::now() >= deadline {
                return Err(late());
            }
            if !self.may_share() {
                return self.open_own().await;
            }
            if self.shared.borrow().is_empty() {
                closed_at_once += 1;
                if closed_at_once > SECOND_CHANCES {
                    return Err(SendFailure::unsent(Reason::EndpointReset, CLOSED_AT_ONCE));
                }
            }
        }
    }

    /// Joins the dial that runs, or starts one.
    ///
    /// Its task is owned by nobody, so that a client that leaves does not cancel it for the others; it ends with the connect timeout.
    fn join_dial(self: &Rc<Self>) -> Rc<Dialling> {
        if let Some(dialling) = self.dialling.borrow().as_ref() {
            return Rc::clone(dialling);
        }
        let dialling = Rc::new(Dialling::default());
        *self.dialling.borrow_mut() = Some(Rc::clone(&dialling));
        let mut ending = Ending {
            connections: Rc::clone(self),
            dialling: Rc::clone(&dialling),
            outcome: Err(SendFailure::unsent(Reason::Internal, "the dial was dropped")),
        };
        spawn_local(async move {
            let connections = Rc::clone(&ending.connections);
            let opened = connections.open(after(connections.target.settings.connect_timeout)).await;
            ending.is(match opened {
                Ok(Opened::H1(mut connection)) => {
                    // A new connection is ready as soon as its task has been polled.
                    if connection.ready().await {
                        connections.put_aside(connection);
                    }
                    Ok(())
                }
                Ok(Opened::H2(connection)) => {
                    connections.share(connection);
                    Ok(())
                }
                Err(failure) => Err(failure),
            });
        });
        dialling
    }

    fn share(self: &Rc<Self>, connection: Rc<H2<B>>) {
        if !self.retired.get() {
            self.shared.borrow_mut().push(connection);
            self.watch_idle();
        }
    }

    /// Opens a connection before `deadline`, and learns what the endpoint speaks.
    async fn open(&self, deadline: Instant) -> Result<Opened<B>, SendFailure> {
        let stream = dial::connect(&self.target, &self.lookup, deadline).await?;
        let spoken = match self.target.settings.protocol {
            UpstreamProtocol::Http1 => Spoken::H1,
            UpstreamProtocol::Http2 => Spoken::H2,
            UpstreamProtocol::Auto if stream.alpn() == Some(b"h2") => Spoken::H2,
            UpstreamProtocol::Auto => Spoken::H1,
        };
        let count = Open::new(Rc::clone(&self.counts));
        let opened = match spoken {
            Spoken::H1 => Opened::H1(H1::new(stream, count).await?),
            Spoken::H2 => {
                let late = |_| SendFailure::unsent(Reason::ConnectTimeout, "the HTTP/2 handshake did not end in time");
                Opened::H2(timeout_at(deadline, H2::new(stream, &self.target, count)).await.map_err(late)??)
            }
        };
        self.spoken.set(Some(spoken));
        Ok(opened)
    }
}
