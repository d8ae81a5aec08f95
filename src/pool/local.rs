//! A pool as one worker sees it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::Member;
use super::call::Call;
use crate::balance::{Ask, NoPick, Picker};
use crate::endpoint::{Cause, Endpoint, EndpointSet, Mask, Stamp};
use crate::kit::clock::Tick;
use crate::message::body::Upload;
use crate::model::{Id, Pool};
use crate::resilience::breaker::Breaker;
use crate::resilience::queue::SlotQueue;
use crate::telemetry::metrics::Shard;
use crate::upstream::{Connections, Lookup, Target};

/// What a worker needs to build its view of a pool.
pub struct Shared<'a> {
    /// The pool's section of the config.
    pub model: &'a Arc<Pool>,
    /// Its endpoints.
    pub set: &'a Arc<EndpointSet>,
    /// How each is reached, in the same order.
    pub targets: &'a [Target],
    /// The breaker of each, in the same order.
    pub breakers: &'a [Arc<Breaker>],
    /// Where requests wait for a slot.
    pub queue: &'a Arc<SlotQueue>,
    /// Resolves names.
    pub lookup: &'a Lookup,
}

/// A pool as one worker sees it.
#[derive(Debug)]
pub struct Local {
    model: RefCell<Arc<Pool>>,
    picker: RefCell<Picker>,
    rng: RefCell<Rng>,
    members: RefCell<Rc<Members>>,
    queue: Arc<SlotQueue>,
    share: Cell<Option<(Stamp, f64)>>,
}

#[derive(Debug)]
struct Members {
    set: Arc<EndpointSet>,
    list: Vec<Rc<Member>>,
}

impl Local {
    /// Builds the view of `shared`.
    pub fn new(shared: &Shared<'_>, metrics: &Shard) -> Self {
        Self {
            picker: RefCell::new(Picker::new(shared.model)),
            rng: RefCell::new(Rng::new()),
            members: RefCell::new(Rc::new(members(shared, None, metrics))),
            queue: shared.queue.clone(),
            share: Cell::new(None),
            model: RefCell::new(shared.model.clone()),
        }
    }

    /// Takes a changed pool, keeping the rotation, and the connections of endpoints that are reached as before.
    pub fn update(&self, shared: &Shared<'_>, metrics: &Shard) {
        self.picker.borrow_mut().reconfigure(shared.model);
        let old = self.members.borrow().clone();
        let new = members(shared, Some(&*old), metrics);
        retire_others(&old, &new);
        *self.members.borrow_mut() = Rc::new(new);
        *self.model.borrow_mut() = shared.model.clone();
    }

    /// Ends this worker's idle connections to the pool; running requests end in peace.
    pub fn retire(&self) {
        for member in &self.members.borrow().list {
            member.connections.retire();
        }
    }

    /// Returns the pool's section of the config.
    pub fn model(&self) -> Arc<Pool> {
        self.model.borrow().clone()
    }

    /// Returns where requests wait for a slot.
    pub(super) const fn queue(&self) -> &Arc<SlotQueue> {
        &self.queue
    }

    /// Returns how long a request may wait for a slot: longer while the pool is cold, for a replica that must start first.
    pub(super) fn patience(&self) -> Duration {
        let usual = self.queue.timeout();
        match &self.model.borrow().autoscale {
            Some(autoscale) if self.is_cold() => usual.max(autoscale.cold_start_timeout),
            _ => usual,
        }
    }

    /// Tells whether no endpoint is there that stays.
    fn is_cold(&self) -> bool {
        let leaves = |cause| matches!(cause, Cause::Draining | Cause::Leaving);
        self.members.borrow().list.iter().all(|member| member.endpoint.state.availability().causes().any(leaves))
    }

    /// Picks a member for `call` on a route that requires `route` capabilities.
    pub(super) fn pick(&self, route: &[Box<str>], call: &Call, now: Tick) -> Result<Rc<Member>, NoPick> {
        let members = self.members.borrow();
        let required = members.required(route, &call.required)?;
        let ask = Ask { required, key: call.key, tried: &call.tried };
        let index = self.picker.borrow_mut().pick(&members.set, &ask, now, &mut self.rng.borrow_mut())?;
        members.list.get(index).cloned().ok_or(NoPick::Unavailable)
    }

    /// Returns why a call has to wait while others wait already.
    pub(super) fn crowded(&self, route: &[Box<str>], call: &Call) -> NoPick {
        let serves = self.members.borrow().required(route, &call.required).map(|required| self.serves(required));
        serves.map_or_else(|reason| reason, |serves| if serves { NoPick::Full } else { NoPick::Unavailable })
    }

    /// Returns why no endpoint is available that suits a call, free or not; `None` when there is one.
    pub(super) fn lack(&self, route: &[Box<str>], call: &Call) -> Option<NoPick> {
        let members = self.members.borrow();
        if members.list.is_empty() {
            return Some(NoPick::Empty);
        }
        match members.required(route, &call.required) {
            Ok(required) => (!self.serves(required)).then_some(NoPick::Unavailable),
            Err(reason) => Some(reason),
        }
    }

    /// Tells whether an endpoint that offers what is required is available, free or not.
    fn serves(&self, required: Mask) -> bool {
        if required.is_empty() {
            return self.available_share() > 0.0;
        }
        self.members.borrow().list.iter().any(|member| member.suits(required) && member.endpoint.is_eligible())
    }

    /// Returns how many slots in a second become free for a call, by Little's law: what is in flight over the mean response time ("A Proof for the
    /// Queuing Formula: L = λW", Little, Operations Research 1961); `None` while nothing is measured.
    pub(super) fn pace(&self, route: &[Box<str>], call: &Call) -> Option<f64> {
        let members = self.members.borrow();
        let required = members.required(route, &call.required).ok()?;
        let suited = members.list.iter().filter(|member| member.suits(required) && member.endpoint.is_eligible());
        let ends = suited.filter_map(|member| {
            let vitals = member.endpoint.vitals();
            vitals.mean_response_time().map(|time| f64::from(vitals.in_flight()) / time.max(1e-6))
        });
        Some(ends.sum()).filter(|&ends: &f64| ends > 0.0)
    }

    /// Tells whether an autoscaler sizes the pool: replicas may come at any time.
    pub(super) fn is_sized(&self) -> bool {
        self.model.borrow().autoscale.is_some()
    }

    /// Returns the member of an endpoint, unless this worker has not heard of it yet.
    pub(super) fn member_of(&self, endpoint: &Endpoint) -> Option<Rc<Member>> {
        let members = self.members.borrow();
        let index = members.set.index_of(&endpoint.spec.id)?;
        members.list.get(index).filter(|member| member.endpoint.serial() == endpoint.serial()).cloned()
    }

    /// Returns when the first breaker that alone keeps an endpoint away from a call lets a probe through; `None` when there is none.
    pub(super) fn breakers_open_for(&self, route: &[Box<str>], call: &Call, now: Tick) -> Option<Duration> {
        let members = self.members.borrow();
        let required = members.required(route, &call.required).ok()?;
        let only_breaker = |member: &Rc<Member>| member.endpoint.state.availability().causes().eq([Cause::Breaker]);
        let waits = members.list.iter().filter(|member| member.suits(required) && only_breaker(member));
        waits.filter_map(|member| member.breaker.opens_in(now)).min()
    }

    /// Returns for how long open breakers certainly keep everybody away from a call; `None` when somebody may come back at any time.
    pub(super) fn surely_open_for(&self, route: &[Box<str>], call: &Call, now: Tick) -> Option<Duration> {
        if self.is_sized() {
            return None;
        }
        let members = self.members.borrow();
        let required = members.required(route, &call.required).ok()?;
        let mut soonest = None;
        for member in members.list.iter().filter(|member| member.suits(required)) {
            let has = |cause| member.endpoint.state.availability().has(cause);
            if has(Cause::Admin) || has(Cause::Leaving) || member.endpoint.weight().is_zero() {
                continue;
            }
            // Whatever else keeps it away may end at any time, but not before its breaker.
            let wait = member.breaker.opens_in(now)?;
            soonest = Some(soonest.map_or(wait, |known: Duration| known.min(wait)));
        }
        soonest
    }

    /// Returns the share of the pool's weight that is available, from 0 to 1.
    pub fn available_share(&self) -> f64 {
        let members = self.members.borrow();
        let stamp = members.set.stamp();
        if let Some((known, share)) = self.share.get()
            && known == stamp
        {
            return share;
        }
        let share = available_share(&members.set);
        self.share.set(Some((stamp, share)));
        share
    }
}

impl Members {
    fn required(&self, route: &[Box<str>], request: &[Box<str>]) -> Result<Mask, NoPick> {
        if route.is_empty() && request.is_empty() {
            return Ok(Mask::default());
        }
        let names = route.iter().chain(request).map(AsRef::as_ref);
        self.set.required_mask(names).ok_or(if self.set.is_empty() { NoPick::Empty } else { NoPick::Capability })
    }
}

/// Returns the share of the weight of `set` that is available, from 0 to 1.
pub fn available_share(set: &EndpointSet) -> f64 {
    let weight = |endpoint: &Arc<Endpoint>| f64::from(endpoint.weight().hundredths());
    let all: f64 = set.endpoints().iter().map(weight).sum();
    let available: f64 = set.endpoints().iter().filter(|endpoint| endpoint.is_eligible()).map(weight).sum();
    if all > 0.0 { available / all } else { 0.0 }
}

fn members(shared: &Shared<'_>, previous: Option<&Members>, metrics: &Shard) -> Members {
    let known: HashMap<&Id, &Rc<Member>> =
        previous.into_iter().flat_map(|members| &members.list).map(|member| (&member.endpoint.spec.id, member)).collect();
    let build = |((endpoint, target), breaker): ((&Arc<Endpoint>, &Target), &Arc<Breaker>)| {
        let known = known.get(&endpoint.spec.id);
        let connections = match known.filter(|member| member.connections.target().is_same(target)) {
            Some(member) => member.connections.clone(),
            None => Rc::new(Connections::new(target.clone(), shared.lookup.clone()).with_spare_body(Upload::empty)),
        };
        let counters = match known {
            Some(member) => member.counters.clone(),
            None => metrics.endpoint(&shared.model.name, &endpoint.spec.id),
        };
        let host = Member::host_for(endpoint, &shared.model.upstream.host);
        let (pool, endpoint) = (shared.model.name.clone(), endpoint.clone());
        let (breaker, queue) = (breaker.clone(), shared.queue.clone());
        Rc::new(Member { pool, endpoint, connections, counters, breaker, queue, host })
    };
    let list = shared.set.endpoints().iter().zip(shared.targets).zip(shared.breakers).map(build).collect();
    Members { set: shared.set.clone(), list }
}

fn retire_others(old: &Members, new: &Members) {
    let kept: Vec<*const Connections<Upload>> = new.list.iter().map(|member| Rc::as_ptr(&member.connections)).collect();
    let kept: std::collections::HashSet<_> = kept.into_iter().collect();
    for member in &old.list {
        if !kept.contains(&Rc::as_ptr(&member.connections)) {
            member.connections.retire();
        }
    }
}
