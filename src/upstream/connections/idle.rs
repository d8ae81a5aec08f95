//! Connections between two requests: put aside, taken again, closed when they have waited too long.

use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until, timeout};

use crate::upstream::clock::since;

use super::exchange::Connections;
use super::h1::H1;
use super::h2::StreamPlace;
use super::outgoing::RequestBody;

/// How long a connection may take to become ready after its response has ended: it is then still sending the request's body.
const SETTLE: Duration = Duration::from_secs(1);
/// The shortest pause between two looks, so that an idle timeout of zero does not spin.
const PAUSE: Duration = Duration::from_millis(10);

impl<B: RequestBody> Connections<B> {
    /// Takes the HTTP/1 connection that was put aside last and is still open.
    pub(super) fn take_idle(&self) -> Option<H1<B>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(mut connection) = idle.pop_back() {
            if connection.is_ready() && !connection.is_closed() {
                connection.take();
                return Some(connection);
            }
        }
        None
    }

    /// Takes a place on a shared connection that has one.
    ///
    /// The first that fits, not the emptiest: so that connections that a peak has opened fall idle after it.
    pub(super) fn take_place(&self) -> Option<StreamPlace<B>> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| !connection.is_closed());
        shared.iter().find_map(|connection| connection.place())
    }

    /// Puts a connection aside whose response has ended.
    pub(super) fn put_back(self: &Rc<Self>, mut connection: H1<B>) {
        if connection.is_closed() {
            // It ends by itself, with its last bytes written.
            connection.rest();
        } else if connection.is_ready() {
            self.put_aside(connection);
        } else {
            // Owned by nobody: ends when the connection is ready or closed, or after `SETTLE`, and closes it then.
            let connections = Rc::downgrade(self);
            spawn_local(async move {
                if timeout(SETTLE, connection.ready()).await == Ok(true)
                    && let Some(connections) = connections.upgrade()
                {
                    connections.put_aside(connection);
                }
            });
        }
    }

    /// Puts an HTTP/1 connection aside that is ready for a request.
    pub(super) fn put_aside(self: &Rc<Self>, mut connection: H1<B>) {
        connection.rest();
        let room = self.target.settings.max_idle as usize;
        if self.retired.get() || room == 0 {
            return;
        }
        connection.since = Instant::now();
        let oldest = {
            let mut idle = self.idle.borrow_mut();
            let oldest = if idle.len() >= room { idle.pop_front() } else { None };
            idle.push_back(connection);
            oldest
        };
        drop(oldest);
        self.watch_idle();
    }

    /// Makes sure that the reaper runs.
    pub(super) fn watch_idle(self: &Rc<Self>) {
        if !self.reaping.replace(true) {
            // Ends when nothing is left to watch, and starts again with the next connection that is put aside.
            spawn_local(reap(Rc::downgrade(self), self.target.settings.idle_timeout));
        }
    }

    /// Closes what has been idle for `timeout`; returns when to look again, `None` when nothing is left.
    fn close_idle(&self, timeout: Duration) -> Option<Instant> {
        let now = Instant::now();
        let end = |from: Instant| since(from, timeout);
        self.idle.borrow_mut().retain(|connection| !connection.is_closed() && end(connection.since) > now);
        self.shared
            .borrow_mut()
            .retain(|connection| !connection.is_closed() && connection.idle_since().is_none_or(|from| end(from) > now));
        let idle = self.idle.borrow();
        let shared = self.shared.borrow();
        // A busy shared connection cannot be idle for long enough before a whole timeout has passed.
        let oldest = shared.iter().map(|connection| connection.idle_since().unwrap_or(now));
        idle.front().map(|connection| connection.since).into_iter().chain(oldest).min().map(end)
    }
}

async fn reap<B: RequestBody>(connections: Weak<Connections<B>>, timeout: Duration) {
    loop {
        let next = {
            let Some(connections) = connections.upgrade() else { return };
            let next = connections.close_idle(timeout);
            if next.is_none() {
                connections.reaping.set(false);
            }
            next
        };
        match next {
            Some(next) => sleep_until(next.max(Instant::now() + PAUSE)).await,
            None => return,
        }
    }
}
