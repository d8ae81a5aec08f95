//! A pool as one worker sees it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use fastrand::Rng;

use super::Member;
use crate::balance::{Ask, NoPick, Picker};
use crate::endpoint::{Endpoint, EndpointSet, Mask};
use crate::kit::clock::Tick;
use crate::message::body::Upload;
use crate::model::{Id, Pool};
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

    /// Picks a member for a request that requires `route` and `request` capabilities.
    pub(super) fn pick(&self, route: &[Box<str>], request: &[Box<str>], key: Option<u64>, now: Tick) -> Result<Rc<Member>, NoPick> {
        let members = self.members.borrow();
        let required = if route.is_empty() && request.is_empty() {
            Mask::default()
        } else {
            let names = route.iter().chain(request).map(AsRef::as_ref);
            members.set.required_mask(names).ok_or(if members.set.is_empty() { NoPick::Empty } else { NoPick::Capability })?
        };
        let ask = Ask { required, key, tried: &[] };
        let index = self.picker.borrow_mut().pick(&members.set, &ask, now, &mut self.rng.borrow_mut())?;
        members.list.get(index).cloned().ok_or(NoPick::Unavailable)
    }
}

fn members(shared: &Shared<'_>, previous: Option<&Members>, metrics: &Shard) -> Members {
    let known: HashMap<&Id, &Rc<Member>> =
        previous.into_iter().flat_map(|members| &members.list).map(|member| (&member.endpoint.spec.id, member)).collect();
    let build = |(endpoint, target): (&Arc<Endpoint>, &Target)| {
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
        Rc::new(Member { pool: shared.model.name.clone(), endpoint: endpoint.clone(), connections, counters, host })
    };
    let list = shared.set.endpoints().iter().zip(shared.targets).map(build).collect();
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
