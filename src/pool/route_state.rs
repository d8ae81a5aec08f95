//! What the policies of a route share over all workers, and keep over reloads.

use std::sync::Arc;

use crate::model::Route;
use crate::resilience::retry::{Budget, Tally};
use crate::resilience::shed::ReplayMemory;

/// What the policies of a route share over all workers; all of it atomics or short mutexes.
#[derive(Clone, Debug)]
pub struct RouteState {
    /// How much of the traffic may be retries; `None` when nothing is tried again.
    pub budget: Option<Arc<Budget>>,
    /// Counts retries.
    pub tally: Arc<Tally>,
    /// What is kept of request bodies is taken from here.
    pub memory: Arc<ReplayMemory>,
}

impl RouteState {
    /// What `route` needs, keeping what `previous` has learned; bodies are kept in `memory`.
    pub fn new(route: &Route, previous: Option<&Self>, memory: &Arc<ReplayMemory>) -> Self {
        let budget = route.policies.retry.as_ref().map(|retry| match previous.and_then(|state| state.budget.clone()) {
            Some(budget) => {
                budget.configure(&retry.budget);
                budget
            }
            None => Arc::new(Budget::new(&retry.budget)),
        });
        let tally = previous.map(|state| state.tally.clone()).unwrap_or_default();
        Self { budget, tally, memory: memory.clone() }
    }
}
