//! A listener and its routes as one worker sees them: everything a request needs, resolved beforehand.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::Notify;

use http::HeaderValue;

use crate::message::mint::Mint;
use crate::message::rate_limit;
use crate::message::via::Via;
use crate::model::{
    Action, Forwarding, HashKey, Id, Limits, Listener, ListenerProtocol, ListenerTimeouts, Redirect, Route, Snapshot,
};
use crate::pool::{self, RouteState, Stack, Tiers};
use crate::registry::{Gate, LiveListener};
use crate::resilience::shed::Pressure;
use crate::route::{Rewriter, Rotation, Table};
use crate::telemetry::access_log;
use crate::telemetry::metrics::{ListenerCounters, RequestCounters, Shard};

use super::reply::Fixed;

/// A listener of this worker. It stays while its address stays; its view is replaced by reloads.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: u64,
    pub(super) gate: Arc<Gate>,
    view: RefCell<Rc<View>>,
    stopping: Cell<bool>,
    stop: Notify,
    deaf: Cell<bool>,
}

impl Slot {
    pub(super) fn new(live: &LiveListener, view: Rc<View>) -> Self {
        Self {
            number: live.number,
            gate: live.gate.clone(),
            view: RefCell::new(view),
            stopping: Cell::new(false),
            stop: Notify::new(),
            deaf: Cell::new(false),
        }
    }

    pub(super) fn view(&self) -> Rc<View> {
        self.view.borrow().clone()
    }

    /// Takes the view of a new world, which goes on where the rotations of the old one are.
    pub(super) fn set_view(&self, view: Rc<View>) {
        view.carry_on(&self.view());
        *self.view.borrow_mut() = view;
    }

    /// Accept nothing more.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        self.stop.notify_waiters();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Nothing more is accepted here.
    pub(super) fn set_deaf(&self) {
        self.deaf.set(true);
    }

    /// Tells whether nothing more is accepted here; another worker may still have accepted something for this one.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf.get()
    }

    /// Waits until nothing more should be accepted. Cancel safe.
    pub(super) async fn stopped(&self) {
        let stop = self.stop.notified();
        if !self.stopping.get() {
            stop.await;
        }
    }
}

/// Everything that a request of a listener needs.
#[derive(Debug)]
pub(super) struct View {
    pub(super) name: Id,
    pub(super) protocol: ListenerProtocol,
    pub(super) proxy_protocol: bool,
    pub(super) limits: Limits,
    pub(super) timeouts: ListenerTimeouts,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) table: Arc<Table>,
    /// At the places that the table names.
    routes: Vec<Option<Rc<RouteView>>>,
    pub(super) counters: Arc<ListenerCounters>,
    /// For requests that no route took.
    pub(super) unrouted: Arc<RequestCounters>,
    pub(super) forwarding: Arc<Forwarding>,
    pub(super) via: Rc<Via>,
    pub(super) mint: Mint,
    /// The name in `Proxy-Status`.
    pub(super) proxy_name: Rc<str>,
    pub(super) access_log: Option<access_log::Handle>,
    pub(super) pressure: Arc<Pressure>,
}

/// Everything that a request of a route needs.
#[derive(Debug)]
pub(super) struct RouteView {
    pub(super) model: Arc<Route>,
    pub(super) rewriter: Rewriter,
    pub(super) action: ActionView,
    pub(super) counters: Arc<RequestCounters>,
    /// What is shared by all workers.
    pub(super) state: RouteState,
    /// The field that says what the limits are, when there are any.
    pub(super) rate_policy: Option<HeaderValue>,
}

/// What happens to a request.
#[derive(Debug)]
pub(super) enum ActionView {
    /// It goes to one of these pools.
    Forward { rotation: RefCell<Rotation>, pools: Vec<Destination> },
    /// It is sent elsewhere.
    Redirect(Redirect),
    /// It is answered here.
    Respond(Fixed),
}

/// A pool, and those that take over from it, with the route's policies around them.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) stack: Stack,
    /// Where the key of a request comes from, when a pool asks for one.
    pub(super) hash_key: Option<HashKey>,
}

/// What views are built from.
pub(super) struct Parts<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) pools: &'a HashMap<Id, Rc<pool::Local>>,
    pub(super) states: &'a BTreeMap<Id, RouteState>,
    pub(super) pressure: &'a Arc<Pressure>,
    pub(super) metrics: &'a Shard,
    pub(super) access_log: Option<access_log::Handle>,
    pub(super) via: Rc<Via>,
}

impl View {
    pub(super) fn new(live: &LiveListener, parts: &Parts<'_>) -> Self {
        let model = &*live.model;
        let takes = |route: &Route| route.matcher.listeners.is_empty() || route.matcher.listeners.contains(&model.name);
        let routes = parts.snapshot.routes.iter();
        Self {
            name: model.name.clone(),
            protocol: model.protocol,
            proxy_protocol: model.proxy_protocol,
            limits: model.limits.clone(),
            timeouts: model.timeouts.clone(),
            tls: live.tls.clone(),
            table: live.table.clone(),
            routes: routes.map(|route| takes(route).then(|| RouteView::new(route, model, parts).map(Rc::new)).flatten()).collect(),
            pressure: parts.pressure.clone(),
            counters: parts.metrics.listener(&model.name),
            unrouted: parts.metrics.request(&model.name, None),
            forwarding: parts.snapshot.forwarding.clone(),
            via: parts.via.clone(),
            mint: Mint::default(),
            proxy_name: parts.snapshot.forwarding.name.as_str().into(),
            access_log: parts.access_log.clone(),
        }
    }

    pub(super) fn route(&self, index: usize) -> Option<&Rc<RouteView>> {
        self.routes.get(index)?.as_ref()
    }

    /// Turns rotations on from where they are in `old`: begun anew by every reload, a small share would never have its turn.
    fn carry_on(&self, old: &Self) {
        let known: HashMap<&Id, &Rc<RouteView>> = old.routes.iter().flatten().map(|route| (&route.model.name, route)).collect();
        for route in self.routes.iter().flatten() {
            if let Some(old) = known.get(&route.model.name) {
                route.carry_on(old);
            }
        }
    }
}

impl RouteView {
    /// Returns `None` for a route without a state, which no world has.
    fn new(route: &Arc<Route>, listener: &Listener, parts: &Parts<'_>) -> Option<Self> {
        let state = parts.states.get(&route.name)?;
        let action = match &route.action {
            Action::Redirect(redirect) => ActionView::Redirect(redirect.clone()),
            Action::Respond(response) => ActionView::Respond(Fixed::new(response)),
            Action::Forward(splits) => {
                // Every pool that a route names exists: an invariant of the snapshot.
                let policies = &route.policies;
                let shadow = policies.mirror.as_ref().and_then(|mirror| parts.pools.get(&mirror.pool));
                let others = policies.failover.as_ref().map_or(&[][..], |failover| &failover.pools);
                let known = splits.iter().filter_map(|split| Some((split.weight, parts.pools.get(&split.pool)?)));
                let (weights, pools): (Vec<u32>, Vec<_>) = known
                    .map(|(weight, first)| {
                        let tiers = Tiers::new(route, first, others.iter().filter_map(|pool| parts.pools.get(pool)));
                        (weight, Destination { hash_key: tiers.hash_key(), stack: pool::build(route, tiers, shadow, state) })
                    })
                    .unzip();
                ActionView::Forward { rotation: RefCell::new(Rotation::new(&weights)), pools }
            }
        };
        Some(Self {
            model: route.clone(),
            rewriter: Rewriter::new(&route.rewrite),
            action,
            counters: parts.metrics.request(&listener.name, Some(&route.name)),
            state: state.clone(),
            rate_policy: rate_limit::policy(&route.policies.rate_limits),
        })
    }

    /// Takes the rotation of `old` when it turns over the same pools with the same weights.
    fn carry_on(&self, old: &Self) {
        if let (ActionView::Forward { rotation, .. }, ActionView::Forward { rotation: turned, .. }) = (&self.action, &old.action)
            && self.model.action == old.model.action
        {
            rotation.borrow_mut().clone_from(&turned.borrow());
        }
    }
}
