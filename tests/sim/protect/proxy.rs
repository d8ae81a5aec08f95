//! The proxy that is simulated: its machines, its workers, and the replicas behind it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use fastrand::Rng;
use tidegate::balance::{Ask, NoPick, Picker};
use tidegate::endpoint::{Endpoint, EndpointSet, Mask, Serial};
use tidegate::health::{Ejection, Sampler, Verdict};
use tidegate::kit::clock::Tick;
use tidegate::resilience::breaker::Breaker;
use tidegate::resilience::bulkhead::Bulkhead;
use tidegate::resilience::hedge::Hedging;
use tidegate::resilience::queue::SlotQueue;
use tidegate::resilience::retry::Budget;

use super::books::Books;
use super::lab::Lab;
use super::replica::Replica;
use super::request::Call;
use super::scenario::{Scenario, Settings, bits};
use crate::world::Ticket;

/// One membership, as workers know it.
pub(super) struct Members {
    pub(super) set: Arc<EndpointSet>,
    /// Of each endpoint.
    pub(super) breakers: Vec<Arc<Breaker>>,
}

/// An endpoint as a worker knows it.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) breaker: Arc<Breaker>,
}

/// A worker: what it knows of the pool.
pub(super) struct Worker {
    pub(super) members: RefCell<Rc<Members>>,
    pub(super) picker: RefCell<Picker>,
    rng: RefCell<Rng>,
}

/// The control side.
pub(super) struct Control {
    pub(super) rng: Rng,
    pub(super) sampler: Sampler,
    pub(super) next_judgement: Option<Tick>,
    pub(super) timer: Option<Ticket>,
    pub(super) verdicts: BTreeMap<usize, (Serial, Verdict)>,
    /// The first number that no endpoint has had.
    pub(super) fresh: usize,
    /// A reload that not everybody has heard of.
    pub(super) is_reloading: bool,
}

/// The proxy, its clients and its replicas.
pub(super) struct Proxy {
    pub(super) lab: Rc<Lab>,
    pub(super) scenario: Scenario,
    pub(super) settings: RefCell<Rc<Settings>>,
    pub(super) books: RefCell<Books>,
    pub(super) queue: Arc<SlotQueue>,
    pub(super) bulkhead: Option<Arc<Bulkhead>>,
    pub(super) budget: Option<Arc<Budget>>,
    pub(super) hedging: Option<Arc<Hedging>>,
    pub(super) ejection: Ejection,
    pub(super) workers: Vec<Worker>,
    /// The newest membership.
    pub(super) members: RefCell<Rc<Members>>,
    /// The queue's.
    pub(super) queue_set: RefCell<Arc<EndpointSet>>,
    /// How many may wait in it.
    pub(super) queue_capacity: Cell<u32>,
    /// How many were ejected after the last judgement or reload.
    pub(super) ejected: Cell<usize>,
    pub(super) replicas: RefCell<Vec<Replica>>,
    pub(super) control: RefCell<Control>,
    /// The guard was rung and has not come yet.
    pub(super) is_guard_owed: Cell<bool>,
    /// For clients and their requests.
    pub(super) draws: RefCell<Rng>,
}

impl Members {
    /// Returns the mask of `required`, as `pool/local.rs` does.
    pub(super) fn required(&self, required: &[Box<str>]) -> Result<Mask, NoPick> {
        if required.is_empty() {
            return Ok(Mask::default());
        }
        let refusal = if self.set.is_empty() { NoPick::Empty } else { NoPick::Capability };
        self.set.required_mask(required.iter().map(AsRef::as_ref)).ok_or(refusal)
    }

    fn member(&self, index: usize) -> Member {
        Member { endpoint: self.set.endpoints()[index].clone(), breaker: self.breakers[index].clone() }
    }
}

impl Worker {
    /// Picks a member for `call`.
    pub(super) fn pick(&self, call: &Call, now: Tick) -> Result<Member, NoPick> {
        let members = self.members.borrow().clone();
        let required = members.required(&call.required)?;
        let ask = Ask { required, key: call.key, tried: &call.tried };
        let index = self.picker.borrow_mut().pick(&members.set, &ask, now, &mut self.rng.borrow_mut())?;
        Ok(members.member(index))
    }

    /// Returns the member of an endpoint, unless this worker has not heard of it yet.
    pub(super) fn member_of(&self, endpoint: &Endpoint) -> Option<Member> {
        let members = self.members.borrow().clone();
        let index = members.set.index_of(&endpoint.spec.id)?;
        Some(members.member(index)).filter(|member| member.endpoint.serial() == endpoint.serial())
    }
}

impl Proxy {
    pub(super) fn new(scenario: Scenario) -> Rc<Self> {
        let lab = Rc::new(Lab::new(scenario.seed));
        let settings = Rc::new(scenario.settings.clone());
        let pool = &settings.pool;
        let members = Rc::new(super::control::members(pool, None, lab.now()));
        let worker = |_| Worker {
            members: RefCell::new(members.clone()),
            picker: RefCell::new(Picker::new(pool)),
            rng: RefCell::new(lab.randomness()),
        };
        let workers = (0..scenario.workers).map(worker).collect();
        let replicas = (0..pool.endpoints.len()).map(|_| Replica::new(scenario.service, lab.randomness())).collect();
        let control = Control {
            rng: lab.randomness(),
            sampler: Sampler::default(),
            next_judgement: None,
            timer: None,
            verdicts: BTreeMap::new(),
            fresh: pool.endpoints.len(),
            is_reloading: false,
        };
        Rc::new(Self {
            queue: Arc::new(SlotQueue::new(None, members.set.clone())),
            bulkhead: settings.bulkhead.as_ref().map(|settings| Arc::new(Bulkhead::new(settings))),
            budget: settings.retry.as_ref().map(|retry| Arc::new(Budget::new(&retry.budget))),
            hedging: settings.hedge.as_ref().map(|hedge| Arc::new(Hedging::new(hedge))),
            ejection: Ejection::new(pool.name.clone()),
            workers,
            queue_set: RefCell::new(members.set.clone()),
            members: RefCell::new(members),
            queue_capacity: Cell::new(0),
            ejected: Cell::new(0),
            replicas: RefCell::new(replicas),
            control: RefCell::new(control),
            is_guard_owed: Cell::new(false),
            books: RefCell::default(),
            draws: RefCell::new(lab.randomness()),
            settings: RefCell::new(settings),
            scenario,
            lab,
        })
    }

    pub(super) fn now(&self) -> Tick {
        self.lab.now()
    }

    /// Returns when the last requests come: the time that leaps leave out is not the clients'.
    pub(super) fn evening(&self) -> Tick {
        Tick::default() + self.scenario.day + self.lab.slept()
    }

    /// Tells whether the newest membership has an endpoint: workers may not know one any more that has left.
    pub(super) fn is_member(&self, endpoint: &Endpoint) -> bool {
        self.members.borrow().set.get(&endpoint.spec.id).is_some_and(|known| known.serial() == endpoint.serial())
    }

    /// Tells whether an endpoint that the queue knows, takes requests and offers `required`, has a free slot.
    pub(super) fn has_slot_for(&self, required: u8) -> Option<Arc<Endpoint>> {
        let set = self.queue_set.borrow();
        let suits = |endpoint: &&Arc<Endpoint>| self.is_member(endpoint) && has_slot_for(endpoint, required);
        set.endpoints().iter().find(suits).cloned()
    }
}

/// Tells whether an endpoint takes requests, offers `required`, and has a free slot.
pub(super) fn has_slot_for(endpoint: &Endpoint, required: u8) -> bool {
    endpoint.is_eligible() && endpoint.has_slot() && required & !offers(endpoint) == 0
}

/// Returns what an endpoint offers.
pub(super) fn offers(endpoint: &Endpoint) -> u8 {
    bits(endpoint.spec.capabilities.iter().map(String::as_str))
}
