//! What the policies of a route share over all workers, and keep over reloads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::spread::Spread;
use crate::kit::clock::Tick;
use crate::model::{Id, Policies, Route};
use crate::resilience::bulkhead::Bulkhead;
use crate::resilience::fault::Switch;
use crate::resilience::hedge::Hedging;
use crate::resilience::rate_limit::RateLimits;
use crate::resilience::retry::{Budget, Tally};
use crate::resilience::shadow::Shadow;
use crate::resilience::shed::ReplayMemory;

/// What the policies of a route share over all workers; all of it atomics or short mutexes.
#[derive(Clone, Debug)]
pub struct RouteState {
    /// How much of the traffic may be retries; `None` when nothing is tried again.
    pub budget: Option<Arc<Budget>>,
    /// Counts retries.
    pub tally: Arc<Tally>,
    /// Figures and budget of hedges; `None` when nothing is hedged.
    pub hedging: Option<Arc<Hedging>>,
    /// Whose slots its requests need.
    pub bulkhead: Option<Arc<Bulkhead>>,
    /// The limits of its rate; `None` without any.
    pub limits: Option<Arc<RateLimits>>,
    /// Which pools its attempts go to; `None` without failover.
    pub spread: Option<Arc<Spread>>,
    /// The fault that an operator has switched on.
    pub fault: Arc<Switch>,
    /// Counts copies.
    pub shadow: Arc<Shadow>,
    /// What is kept of request bodies is taken from here.
    pub memory: Arc<ReplayMemory>,
}

impl RouteState {
    /// What `route` needs, with what `previous` has learned; changes nothing that `previous` uses.
    pub fn new(
        route: &Route,
        previous: Option<&Self>,
        bulkheads: &BTreeMap<Id, Arc<Bulkhead>>,
        memory: &Arc<ReplayMemory>,
    ) -> Self {
        let Policies { retry, hedge, bulkhead, rate_limits, .. } = &route.policies;
        let known = |learned: fn(&Self) -> Option<Arc<Budget>>| previous.and_then(learned);
        let budget = |settings| known(|state| state.budget.clone()).unwrap_or_else(|| Arc::new(Budget::new(settings)));
        let hedging =
            |settings| previous.and_then(|state| state.hedging.clone()).unwrap_or_else(|| Arc::new(Hedging::new(settings)));
        let limits = || Arc::new(RateLimits::new(rate_limits, previous.and_then(|state| state.limits.as_deref())));
        Self {
            budget: retry.as_ref().map(|retry| budget(&retry.budget)),
            tally: previous.map(|state| state.tally.clone()).unwrap_or_default(),
            hedging: hedge.as_ref().map(hedging),
            bulkhead: bulkhead.as_ref().and_then(|name| bulkheads.get(name)).cloned(),
            limits: (!rate_limits.is_empty()).then(limits),
            spread: Spread::new(route, previous.and_then(|state| state.spread.as_deref())).map(Arc::new),
            fault: previous.map(|state| state.fault.clone()).unwrap_or_default(),
            shadow: previous.map(|state| state.shadow.clone()).unwrap_or_default(),
            memory: memory.clone(),
        }
    }

    /// Lets the settings of `route` take effect, once its world is the one that counts.
    pub fn configure(&self, route: &Route, previous: Option<&Self>, now: Tick) {
        let Policies { retry, hedge, .. } = &route.policies;
        if let (Some(budget), Some(retry)) = (&self.budget, retry) {
            budget.configure(&retry.budget);
        }
        if let (Some(hedging), Some(hedge)) = (&self.hedging, hedge) {
            hedging.configure(hedge);
        }
        if let (Some(limits), Some(previous)) = (&self.limits, previous.and_then(|state| state.limits.as_deref())) {
            limits.configure(previous, now);
        }
    }
}
