//! The pools of a route in the order in which they take over, each with the route's policies around it.

use std::rc::Rc;

use super::Local;
use super::route_state::RouteState;
use super::stack::{self, Stack};
use crate::model::{HashKey, Route, Strategy};
use crate::resilience::failover::{MAX_TIERS, choose, shares};

/// A pool and those that take over from it; the first is the one that the route names.
#[derive(Debug)]
pub struct Tiers {
    tiers: Box<[Tier]>,
    overprovisioning: f64,
}

/// One pool of them.
#[derive(Debug)]
pub struct Tier {
    pool: Rc<Local>,
    /// The route's policies around it.
    pub stack: Stack,
    /// Where the key of a request comes from, when the pool asks for one.
    pub hash_key: Option<HashKey>,
}

impl Tiers {
    /// The tiers of `route`, from `pools`, of which the first is the one that it names; `shadow` is the pool that gets copies.
    pub fn new<'a>(
        route: &Route,
        pools: impl IntoIterator<Item = &'a Rc<Local>>,
        shadow: Option<&Rc<Local>>,
        state: &RouteState,
    ) -> Self {
        let tier = |pool: &Rc<Local>| {
            let model = pool.model();
            let hashes = model.strategy == Strategy::ConsistentHashing;
            let stack = stack::build(route, pool, shadow, state);
            Tier { pool: pool.clone(), stack, hash_key: hashes.then(|| model.hash.key.clone()) }
        };
        let overprovisioning = route.policies.failover.as_ref().map_or(1.0, |failover| failover.overprovisioning);
        Self { tiers: pools.into_iter().map(tier).collect(), overprovisioning }
    }

    /// Chooses the tier for a request; `None` when there is none at all.
    ///
    /// `point` (from 0 to below 1) is random, or made from the key of the request, so that a session moves only when its share of the traffic does.
    pub fn choose(&self, point: impl FnOnce(&Tier) -> f64) -> Option<&Tier> {
        let first = self.tiers.first()?;
        if self.tiers.len() == 1 {
            return Some(first);
        }
        let mut available = [0.0; MAX_TIERS];
        for (share, tier) in available.iter_mut().zip(&self.tiers) {
            *share = tier.pool.available_share();
        }
        let available = &available[..self.tiers.len().min(MAX_TIERS)];
        self.tiers.get(choose(&shares(available, self.overprovisioning), point(first)))
    }
}
