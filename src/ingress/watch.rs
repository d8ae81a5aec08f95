//! What is known of each open client connection, and the sweep that ends those that take too long.
//!
//! One sweep for each worker looks at all of its connections a few times a second, instead of a timer for each connection or
//! request: the request path only stores numbers. Deadlines are therefore kept to within [`sweep_interval`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use super::stall::Turn;
use crate::kit::clock::{self, Tick};
use crate::kit::gcra::{Decision, Gcra, Rate};
use crate::message::Refusal;
use crate::model::{ListenerTimeouts, Reason};
use crate::telemetry::metrics::Guard;

/// How long an answered connection may still be read from, so that the client can read the answer before a reset (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// How long a connection that should end stays open unused: a client that is about to send its next request on it must not lose that.
const LAST_CALL: Duration = Duration::from_millis(250);

/// How many requests a client may give up in each second, after a burst: what nghttp2 takes by default.
const CANCELS_PER_SECOND: u32 = 33;

/// Sweeps happen at least this often, whatever the timeouts are.
const SLOWEST_SWEEP: Duration = Duration::from_millis(500);

/// Sweeps happen at most this often.
const FASTEST_SWEEP: Duration = Duration::from_millis(20);

/// How often a worker with listeners of these timeouts sweeps: an eighth of the shortest, from 20 to 500 ms.
pub(super) fn sweep_interval<'a>(timeouts: impl Iterator<Item = &'a ListenerTimeouts>) -> Duration {
    timeouts
        .flat_map(|t| [t.handshake, t.header, t.keep_alive, t.write])
        .min()
        .map_or(SLOWEST_SWEEP, |shortest| (shortest / 8).clamp(FASTEST_SWEEP, SLOWEST_SWEEP))
}

/// Progress of one connection, stored by its socket wrapper and its requests.
///
/// Atomics only because hyper wants an upgradable socket to be `Send`; everything runs on one worker.
#[derive(Debug)]
pub(super) struct Progress {
    opened: Tick,
    handshaking: AtomicBool,
    busy: AtomicU32,
    served: AtomicU64,
    last_end: AtomicU64,
    head_since: AtomicU64,
    stalled_since: AtomicU64,
    linger_since: AtomicU64,
    ending_since: AtomicU64,
    head_expired: AtomicBool,
    tunnel: AtomicBool,
    switched: AtomicBool,
    refusal: OnceLock<(u64, Refusal)>,
    given_up: Gcra,
    /// The first guard that has ended it.
    cut: OnceLock<Guard>,
}

impl Progress {
    pub(super) fn new(now: Tick) -> Self {
        Self {
            opened: now,
            handshaking: AtomicBool::new(true),
            busy: AtomicU32::new(0),
            served: AtomicU64::new(0),
            last_end: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            stalled_since: AtomicU64::new(0),
            linger_since: AtomicU64::new(0),
            ending_since: AtomicU64::new(0),
            head_expired: AtomicBool::new(false),
            tunnel: AtomicBool::new(false),
            switched: AtomicBool::new(false),
            refusal: OnceLock::new(),
            given_up: Gcra::default(),
            cut: OnceLock::new(),
        }
    }

    /// The PROXY header and the TLS handshake are done.
    pub(super) fn established(&self) {
        self.handshaking.store(false, Relaxed);
    }

    /// A request began; returns which one it is, from 1.
    pub(super) fn begin(&self) -> u64 {
        self.busy.store(self.busy.load(Relaxed) + 1, Relaxed);
        let served = self.served.load(Relaxed) + 1;
        self.served.store(served, Relaxed);
        served
    }

    /// A request ended.
    pub(super) fn end(&self, now: Tick) {
        self.busy.store(self.busy.load(Relaxed).saturating_sub(1), Relaxed);
        self.last_end.store(now.as_nanos(), Relaxed);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Relaxed) > 0
    }

    /// Returns how many requests have begun.
    pub(super) fn served(&self) -> u64 {
        self.served.load(Relaxed)
    }

    /// A part of a request's head is here.
    pub(super) fn head_begun(&self) {
        mark(&self.head_since);
    }

    /// The whole head is here.
    pub(super) fn head_complete(&self) {
        clear(&self.head_since);
        // An expiry that nobody has acted on was about this head, not the next.
        if self.head_expired.load(Relaxed) {
            self.head_expired.store(false, Relaxed);
        }
    }

    /// The client takes no bytes.
    pub(super) fn write_stalled(&self) {
        mark(&self.stalled_since);
    }

    /// The client took bytes.
    pub(super) fn write_moved(&self) {
        clear(&self.stalled_since);
    }

    /// Everything is written, and what the client still sends is thrown away.
    pub(super) fn lingering(&self) {
        mark(&self.linger_since);
    }

    /// The connection should end with the request that is next or running.
    pub(super) fn last_call(&self) {
        mark(&self.ending_since);
    }

    /// Tells whether the next response should be the last.
    pub(super) fn is_ending(&self) -> bool {
        self.ending_since.load(Relaxed) != 0
    }

    /// Tells once that the head took too long.
    pub(super) fn take_head_expired(&self) -> bool {
        self.head_expired.load(Relaxed) && self.head_expired.swap(false, Relaxed)
    }

    /// Request number `index` of the connection, its head or its body, is refused; nothing is read after it.
    pub(super) fn refuse(&self, index: u64, refusal: Refusal) {
        // Only the first refusal counts, and nothing can be refused after it.
        let _ = self.refusal.set((index, refusal));
        if matches!(refusal.reason, Reason::HeaderTimeout | Reason::RequestBodyTimeout) {
            self.note_cut(Guard::Header);
        }
    }

    /// Returns the guard that has ended the connection.
    pub(super) fn cut(&self) -> Option<Guard> {
        self.cut.get().copied()
    }

    fn note_cut(&self, guard: Guard) {
        // Only the first one counts: what ends a connection may be followed by what ends it harder.
        let _ = self.cut.set(guard);
    }

    /// Returns why the rest of the connection is refused.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal.get().map(|(_, refusal)| *refusal)
    }

    /// The last head asked for a protocol switch; what follows is not looked at.
    pub(super) fn set_tunnel(&self) {
        self.tunnel.store(true, Relaxed);
    }

    /// Tells whether the last head asked for a protocol switch.
    pub(super) fn is_tunnel(&self) -> bool {
        self.tunnel.load(Relaxed)
    }

    /// The protocol was switched: what comes belongs to the tunnel.
    pub(super) fn set_switched(&self) {
        self.switched.store(true, Relaxed);
    }

    /// Tells whether the protocol was switched.
    pub(super) fn is_switched(&self) -> bool {
        self.switched.load(Relaxed)
    }

    /// Returns why request number `index` is refused.
    pub(super) fn refusal_of(&self, index: u64) -> Option<Refusal> {
        self.refusal.get().filter(|(refused, _)| *refused == index).map(|(_, refusal)| *refusal)
    }

    fn judge(&self, timeouts: &ListenerTimeouts, now: Tick) -> Order {
        let over = |since: &AtomicU64, limit: Duration| {
            let since = since.load(Relaxed);
            since != 0 && now.since(Tick::from_nanos(since)) >= limit
        };
        if self.handshaking.load(Relaxed) {
            return if now.since(self.opened) >= timeouts.handshake { Order::End } else { Order::None };
        }
        if over(&self.linger_since, LINGER) {
            return Order::End;
        }
        if over(&self.stalled_since, timeouts.write) {
            self.note_cut(Guard::Write);
            return Order::End;
        }
        if over(&self.head_since, timeouts.header) {
            clear(&self.head_since);
            self.head_expired.store(true, Relaxed);
            return Order::Look;
        }
        if self.is_busy() || self.head_since.load(Relaxed) != 0 || self.linger_since.load(Relaxed) != 0 {
            return Order::None;
        }
        let ending = Tick::from_nanos(self.ending_since.load(Relaxed));
        let last_used = ending.max(Tick::from_nanos(self.last_end.load(Relaxed)));
        let (unused, limit, guard) = if self.is_ending() {
            (now.since(last_used), LAST_CALL, None)
        } else if self.served.load(Relaxed) == 0 {
            (now.since(self.opened), timeouts.header, Some(Guard::NoRequest))
        } else {
            (now.since(Tick::from_nanos(self.last_end.load(Relaxed))), timeouts.keep_alive, Some(Guard::KeepAlive))
        };
        let Some(late) = unused.checked_sub(limit) else { return Order::None };
        // HTTP/2 closes when its last bytes are taken, which a client can put off for ever.
        let is_too_late = late >= timeouts.write;
        if let Some(guard) = guard.or(is_too_late.then_some(Guard::Write)) {
            self.note_cut(guard);
        }
        if is_too_late { Order::End } else { Order::Close }
    }
}

fn mark(slot: &AtomicU64) {
    if slot.load(Relaxed) == 0 {
        // Zero means "not since", so the first nanosecond counts as the second.
        slot.store(clock::now().as_nanos().max(1), Relaxed);
    }
}

fn clear(slot: &AtomicU64) {
    if slot.load(Relaxed) != 0 {
        slot.store(0, Relaxed);
    }
}

/// What a connection's task should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing special.
    None,
    /// Look at its progress: something expired that it can answer.
    Look,
    /// Announce the end where the protocol can (GOAWAY).
    LastCall,
    /// Close when the running requests have ended.
    Close,
    /// End at once.
    End,
}

/// One open connection, as its worker sees it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) progress: Arc<Progress>,
    pub(super) turn: Turn,
    timeouts: RefCell<ListenerTimeouts>,
    listener: u64,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
}

impl Watched {
    /// Remembers whom to wake, and takes the order.
    pub(super) fn take_order(&self, cx: &Context<'_>) -> Order {
        let mut waker = self.waker.borrow_mut();
        if waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.order.replace(Order::None)
    }

    /// Returns how long the client may take none of the bytes that wait for it.
    pub(super) fn write_timeout(&self) -> Duration {
        self.timeouts.borrow().write
    }

    /// The client gave a request up that was not answered yet: `most` of them at once are taken from one connection, after that a few in each second.
    pub(super) fn gave_up(&self, now: Tick, most: u32) {
        let rate = Rate::new(CANCELS_PER_SECOND, Duration::from_secs(1), most);
        if matches!(self.progress.given_up.take(now, rate), Decision::Refused { .. }) {
            self.progress.note_cut(Guard::Flood);
            self.give(Order::End);
        }
    }

    fn give(&self, order: Order) {
        self.order.set(order);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// All open connections of a worker.
pub(super) struct Connections {
    slots: RefCell<Vec<Option<Rc<Watched>>>>,
    free: RefCell<Vec<usize>>,
    open: Cell<usize>,
    left: Notify,
    changed: Box<dyn Fn(usize)>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("open", &self.open).finish_non_exhaustive()
    }
}

/// A place among the open connections; given back on drop.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) watched: Rc<Watched>,
    all: Rc<Connections>,
    index: usize,
}

impl Connections {
    /// No connections yet; `changed` is told how many there are whenever that changes.
    pub(super) fn new(changed: impl Fn(usize) + 'static) -> Self {
        Self {
            slots: RefCell::default(),
            free: RefCell::default(),
            open: Cell::new(0),
            left: Notify::new(),
            changed: Box::new(changed),
        }
    }

    fn set_open(&self, open: usize) {
        self.open.set(open);
        (self.changed)(open);
    }

    /// Watches one more connection of the listener with number `listener`.
    pub(super) fn seat(self: &Rc<Self>, listener: u64, timeouts: &ListenerTimeouts) -> Seat {
        let watched = Rc::new(Watched {
            progress: Arc::new(Progress::new(clock::now())),
            turn: Turn::default(),
            timeouts: RefCell::new(timeouts.clone()),
            listener,
            order: Cell::new(Order::None),
            waker: RefCell::new(None),
        });
        let mut slots = self.slots.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        slots[index] = Some(watched.clone());
        self.set_open(self.open.get() + 1);
        Seat { watched, all: self.clone(), index }
    }

    /// Waits until no connection is open.
    pub(super) async fn empty(&self) {
        while self.open.get() > 0 {
            self.left.notified().await;
        }
    }

    fn for_each(&self, mut visit: impl FnMut(&Watched)) {
        for watched in self.slots.borrow().iter().flatten() {
            visit(watched);
        }
    }

    /// Gives orders to the connections that took too long.
    pub(super) fn sweep(&self, now: Tick) {
        self.for_each(|watched| match watched.progress.judge(&watched.timeouts.borrow(), now) {
            Order::None => {}
            order => watched.give(order),
        });
    }

    /// Lets every connection of a listener, or of all, end: with the next response, or soon when there is none.
    pub(super) fn last_call(&self, listener: Option<u64>) {
        self.for_each(|watched| {
            if listener.is_none_or(|number| number == watched.listener) {
                watched.progress.last_call();
                watched.give(Order::LastCall);
            }
        });
    }

    /// Gives the connections of a listener new timeouts.
    pub(super) fn set_timeouts(&self, listener: u64, timeouts: &ListenerTimeouts) {
        self.for_each(|watched| {
            if watched.listener == listener {
                watched.timeouts.borrow_mut().clone_from(timeouts);
            }
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.all.slots.borrow_mut()[self.index] = None;
        self.all.free.borrow_mut().push(self.index);
        self.all.set_open(self.all.open.get() - 1);
        self.all.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Tick {
        Tick::from_nanos(seconds * 1_000_000_000)
    }

    fn established() -> Progress {
        let progress = Progress::new(seconds(0));
        progress.established();
        progress
    }

    #[test]
    fn each_guard_is_told_and_what_is_no_guard_is_not() {
        let timeouts = ListenerTimeouts::default();
        let silent = established();
        silent.judge(&timeouts, seconds(9));
        assert_eq!(silent.cut(), None);
        silent.judge(&timeouts, seconds(10));
        assert_eq!(silent.cut(), Some(Guard::NoRequest));
        silent.judge(&timeouts, seconds(70));
        assert_eq!(silent.cut(), Some(Guard::NoRequest), "what came first counts");
        let idle = established();
        idle.begin();
        idle.end(seconds(100));
        idle.judge(&timeouts, seconds(175));
        assert_eq!(idle.cut(), Some(Guard::KeepAlive));
        let stalled = established();
        stalled.begin();
        stalled.write_stalled();
        stalled.judge(&timeouts, clock::now() + Duration::from_secs(61));
        assert_eq!(stalled.cut(), Some(Guard::Write));
        let dripping = established();
        dripping.refuse(1, Refusal::new(Reason::MalformedRequest, "x"));
        assert_eq!(dripping.cut(), None);
        let dripping = established();
        dripping.refuse(1, Refusal::new(Reason::HeaderTimeout, "x"));
        assert_eq!(dripping.cut(), Some(Guard::Header));
        // One that is asked to end does so by the proxy's will, unless its client does not let it.
        let ending = established();
        ending.last_call();
        let closed = clock::now() + LAST_CALL;
        assert_eq!((ending.judge(&timeouts, closed), ending.cut()), (Order::Close, None));
        assert_eq!((ending.judge(&timeouts, closed + timeouts.write), ending.cut()), (Order::End, Some(Guard::Write)));
    }

    #[test]
    fn a_slow_handshake_is_ended() {
        let progress = Progress::new(seconds(0));
        let timeouts = ListenerTimeouts::default();
        assert_eq!(progress.judge(&timeouts, seconds(4)), Order::None);
        assert_eq!(progress.judge(&timeouts, seconds(5)), Order::End);
    }

    #[test]
    fn a_connection_without_a_request_is_closed_after_the_header_timeout() {
        let progress = established();
        assert_eq!(progress.judge(&ListenerTimeouts::default(), seconds(9)), Order::None);
        assert_eq!(progress.judge(&ListenerTimeouts::default(), seconds(10)), Order::Close);
    }

    #[test]
    fn an_idle_connection_is_closed_after_keep_alive_and_a_busy_one_never() {
        let progress = established();
        assert_eq!(progress.begin(), 1);
        assert_eq!(progress.judge(&ListenerTimeouts::default(), seconds(10_000)), Order::None);
        progress.end(seconds(100));
        assert_eq!(progress.judge(&ListenerTimeouts::default(), seconds(174)), Order::None);
        assert_eq!(progress.judge(&ListenerTimeouts::default(), seconds(175)), Order::Close);
    }

    #[test]
    fn a_connection_that_does_not_close_when_it_should_is_ended_after_the_write_timeout() {
        let timeouts = ListenerTimeouts::default();
        let progress = established();
        assert_eq!(progress.judge(&timeouts, seconds(69)), Order::Close);
        assert_eq!(progress.judge(&timeouts, seconds(70)), Order::End);
        progress.begin();
        assert_eq!(progress.judge(&timeouts, seconds(10_000)), Order::None);
        progress.end(seconds(100));
        assert_eq!(progress.judge(&timeouts, seconds(234)), Order::Close);
        assert_eq!(progress.judge(&timeouts, seconds(235)), Order::End);
        progress.last_call();
        let late = clock::now().max(seconds(100)) + LAST_CALL + timeouts.write;
        assert_eq!(progress.judge(&timeouts, late), Order::End);
    }

    #[test]
    fn a_slow_head_is_looked_at_once() {
        let progress = established();
        progress.head_begun();
        let late = clock::now() + Duration::from_secs(11);
        assert_eq!(progress.judge(&ListenerTimeouts::default(), late), Order::Look);
        assert!(progress.take_head_expired());
        assert!(!progress.take_head_expired());
    }

    #[test]
    fn a_client_that_takes_nothing_is_ended() {
        let progress = established();
        progress.begin();
        progress.write_stalled();
        let late = clock::now() + Duration::from_secs(61);
        assert_eq!(progress.judge(&ListenerTimeouts::default(), late), Order::End);
        progress.write_moved();
        assert_eq!(progress.judge(&ListenerTimeouts::default(), late), Order::None);
    }

    #[test]
    fn an_ending_connection_is_closed_once_it_is_unused_for_the_last_call() {
        let progress = established();
        progress.begin();
        progress.last_call();
        let end = clock::now();
        assert_eq!(progress.judge(&ListenerTimeouts::default(), end + Duration::from_secs(100)), Order::None);
        progress.end(end);
        assert_eq!(progress.judge(&ListenerTimeouts::default(), end + Duration::from_millis(100)), Order::None);
        assert_eq!(progress.judge(&ListenerTimeouts::default(), end + Duration::from_millis(300)), Order::Close);
    }

    #[test]
    fn seats_are_used_again() {
        let all = Rc::new(Connections::new(|_| {}));
        let first = all.seat(1, &ListenerTimeouts::default());
        let second = all.seat(1, &ListenerTimeouts::default());
        assert_eq!((first.index, second.index, all.open.get()), (0, 1, 2));
        drop(first);
        assert_eq!(all.seat(1, &ListenerTimeouts::default()).index, 0);
        assert_eq!(all.open.get(), 1);
    }

    #[test]
    fn sweeps_follow_the_shortest_timeout() {
        let short = ListenerTimeouts { header: Duration::from_millis(400), ..ListenerTimeouts::default() };
        assert_eq!(sweep_interval([&short].into_iter()), Duration::from_millis(50));
        assert_eq!(sweep_interval([].into_iter()), SLOWEST_SWEEP);
    }
}
