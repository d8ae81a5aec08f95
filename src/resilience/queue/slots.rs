//! The queue of a pool: requests that wait for a slot of any endpoint that suits them.
//!
//! A slot is a place in an endpoint's in-flight count; an endpoint without a limit has as many as are asked for, but one while its breaker probes. A request
//! that comes while others wait joins them, and is served at once only by an endpoint that suits none of those before it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::endpoint::{Endpoint, EndpointSet, Serial};
use crate::kit::clock::Tick;
use crate::model::{Priority, Queue};
use crate::resilience::breaker::Breaker;

use super::desk::{Desk, Entry, Figures, Issuer, Offer, Refusal, Wait, Waits};
use super::grant::Grant;

/// What a waiting request needs of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Capabilities that it must offer: names, because a mask would be of one membership only, and memberships change while one waits.
    pub required: Box<[Box<str>]>,
    /// How important the request is.
    pub priority: Priority,
    /// When it came: orders equals.
    pub arrived: Tick,
    /// Endpoints whose slots it was granted although its worker does not know them any more: the queue hears of a reload after all workers. One
    /// who comes back for that needs no free place to stand here again.
    pub strangers: Vec<Serial>,
}

/// The queue of a pool; shared by workers, kept over reloads.
#[derive(Debug)]
pub struct SlotQueue {
    desk: Desk<Want, Grant>,
    capacity: AtomicU32,
    timeout_ms: AtomicU32,
    members: Mutex<Arc<Members>>,
    shifted: Notify,
}

/// The endpoints of the pool, and their breakers in the same order; those without one admit all.
#[derive(Debug)]
struct Members {
    set: Arc<EndpointSet>,
    breakers: Vec<Arc<Breaker>>,
}

impl Members {
    fn take(&self, index: usize, now: Tick) -> Option<Grant> {
        Grant::take(self.set.endpoints().get(index)?, self.breakers.get(index), now)
    }
}

impl Want {
    fn suits(&self, endpoint: &Endpoint) -> bool {
        self.required.iter().all(|name| endpoint.spec.capabilities.contains(&**name))
            && !self.strangers.contains(&endpoint.serial())
    }
}

impl SlotQueue {
    /// A queue for the endpoints of `set`; without settings nobody may wait.
    pub fn new(settings: Option<&Queue>, set: Arc<EndpointSet>) -> Self {
        let members = Mutex::new(Arc::new(Members { set, breakers: Vec::new() }));
        let queue = Self {
            desk: Desk::default(),
            capacity: AtomicU32::new(0),
            timeout_ms: AtomicU32::new(0),
            members,
            shifted: Notify::new(),
        };
        queue.configure(settings);
        queue
    }

    /// Follows a reload; those who wait stay, also when they are more than may wait from now on.
    pub fn configure(&self, settings: Option<&Queue>) {
        let timeout = settings.map_or(Duration::ZERO, |queue| queue.timeout);
        self.timeout_ms.store(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX), Relaxed);
        self.capacity.store(settings.map_or(0, |queue| queue.capacity), Relaxed);
    }

    /// Follows a change of membership, and serves those whom the new endpoints suit.
    pub fn follow(&self, set: Arc<EndpointSet>, breakers: Vec<Arc<Breaker>>, now: Tick) {
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Members { set, breakers });
        self.opened(now);
    }

    /// Tells whether requests may wait at all.
    pub fn is_on(&self) -> bool {
        self.capacity.load(Relaxed) > 0
    }

    /// Returns how long a request may wait, unless its route says otherwise.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.load(Relaxed).into())
    }

    /// Tells whether somebody waits; one load.
    pub fn is_busy(&self) -> bool {
        self.desk.waiting() > 0
    }

    /// Lets a request wait for a slot.
    ///
    /// # Errors
    /// When every place is taken by requests at least as important.
    pub fn wait(self: &Arc<Self>, want: Want, now: Tick) -> Result<Wait<Self>, Refusal> {
        let capacity = if want.strangers.is_empty() { self.capacity.load(Relaxed) as usize } else { usize::MAX };
        let entry = Entry { priority: want.priority, arrived: want.arrived, capacity, now, want };
        let mut look = self.look(now);
        Wait::new(self, entry, |want| self.has_slot(want), |want| look(want))
    }

    /// A slot of `endpoint` may be free: to be called after every end of an attempt. One load when nobody waits.
    pub fn freed(&self, endpoint: &Endpoint, now: Tick) {
        if !self.is_busy() {
            return;
        }
        // As it is described now: one that has left has no slot to give, and one that has changed may have fewer than when the attempt began.
        let members = self.members();
        let Some(index) = members.set.index_of(&endpoint.spec.id) else { return };
        let is_current = |known: &&Arc<Endpoint>| known.serial() == endpoint.serial() && known.is_eligible();
        let Some(known) = members.set.endpoints().get(index).filter(is_current) else { return };
        self.desk.serve(now, |want| {
            if !want.suits(known) {
                return Offer::Pass;
            }
            members.take(index, now).map_or(Offer::Stop, Offer::Grant)
        });
    }

    /// Endpoints may have become available, or not: serves whom they suit. Two loads when nobody waits.
    pub fn opened(&self, now: Tick) {
        // Between the change and the look at who waits, as in `Desk::join` between the announcement and the look at what is free.
        fence(SeqCst);
        if self.is_busy() {
            self.desk.serve(now, self.look(now));
        }
        // Last: who could be served here need not look elsewhere.
        self.shifted.notify_waiters();
    }

    /// Returns how long one who was refused should stay away: depth over the measured rate, the queue's timeout while nothing is measured.
    pub fn advice(&self, now: Tick) -> Duration {
        self.desk.advice(self.timeout(), now)
    }

    /// Returns what is notified whenever a request comes to wait, whether there is a place or not; for one listener.
    pub const fn begun(&self) -> &Arc<Notify> {
        self.desk.begun()
    }

    /// Returns what is notified, to all who wait for that, whenever the pool's endpoints may have become available or not.
    pub const fn shifted(&self) -> &Notify {
        &self.shifted
    }

    /// Returns how many may wait.
    pub fn capacity(&self) -> u32 {
        self.capacity.load(Relaxed)
    }

    /// Returns how long was waited, and is.
    pub fn waits(&self, now: Tick) -> Waits {
        self.desk.waits(now)
    }

    /// Returns what has been counted.
    pub fn figures(&self) -> Figures {
        self.desk.figures()
    }

    fn members(&self) -> Arc<Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has_slot(&self, want: &Want) -> bool {
        let suits = |endpoint: &Endpoint| endpoint.has_slot() && endpoint.is_eligible() && want.suits(endpoint);
        self.members().set.with_openings().any(|(_, endpoint)| suits(endpoint))
    }

    /// Returns what offers each in turn the first free slot that suits.
    fn look(&self, now: Tick) -> impl FnMut(&Want) -> Offer<Grant> + use<> {
        let members = self.members();
        // Who wants the same as somebody before who found nothing need not look.
        let mut in_vain: Option<Box<[Box<str>]>> = None;
        move |want| {
            if in_vain.as_ref() == Some(&want.required) {
                return Offer::Pass;
            }
            let suits = |(_, endpoint): &(usize, &Arc<Endpoint>)| endpoint.is_eligible() && want.suits(endpoint);
            // Whoever frees a slot says so before looking at who waits: what is not among these now will be brought.
            let mut suited = members.set.with_openings().filter(suits);
            match suited.find_map(|(index, _)| members.take(index, now)) {
                Some(grant) => Offer::Grant(grant),
                None if !want.strangers.is_empty() => Offer::Pass,
                // Who takes anything finds nothing: nobody behind will.
                None if want.required.is_empty() => Offer::Stop,
                None => {
                    in_vain = Some(want.required.clone());
                    Offer::Pass
                }
            }
        }
    }
}

impl Issuer for SlotQueue {
    type Want = Want;
    type Grant = Grant;

    fn desk(&self) -> &Desk<Want, Grant> {
        &self.desk
    }

    fn take_back(&self, grant: Grant) {
        let (endpoint, now) = (grant.endpoint().clone(), grant.since());
        // Nothing was sent: to the endpoint it is as if nobody had come.
        grant.withdraw();
        self.freed(&endpoint, now);
    }
}

#[cfg(test)]
mod tests;
