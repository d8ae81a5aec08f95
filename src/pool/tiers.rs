//! The pools of a route in the order in which they take over.

use std::rc::Rc;

use super::Local;
use crate::model::{HashKey, Route, Strategy};
use crate::resilience::failover::{MAX_TIERS, choose, shares};

/// A pool and those that take over from it; the first is the one that the route names.
#[derive(Debug)]
pub struct Tiers {
    pools: Box<[Rc<Local>]>,
    overprovisioning: f64,
}

impl Tiers {
    /// The tiers of `route`: `first`, and the pools that take over from it.
    pub fn new<'a>(route: &Route, first: &'a Rc<Local>, others: impl IntoIterator<Item = &'a Rc<Local>>) -> Self {
        let overprovisioning = route.policies.failover.as_ref().map_or(1.0, |failover| failover.overprovisioning);
        let pools = std::iter::once(first).chain(others).take(MAX_TIERS).cloned().collect();
        Self { pools, overprovisioning }
    }

    /// Returns where the key of a request comes from: what the first pool that asks for one says.
    pub fn hash_key(&self) -> Option<HashKey> {
        let asks = |pool: &Rc<Local>| {
            let model = pool.model();
            (model.strategy == Strategy::ConsistentHashing).then(|| model.hash.key.clone())
        };
        self.pools.iter().find_map(asks)
    }

    /// Returns the pools in the order in which a request tries them: the one that its share of the traffic belongs to, then the others.
    ///
    /// A request with a key always has the same point, so that its session moves only when the shares do.
    pub(super) fn order(&self, key: Option<u64>) -> impl Iterator<Item = &Rc<Local>> {
        let chosen = if self.pools.len() > 1 { self.chosen(key) } else { 0 };
        let others = (0..self.pools.len()).filter(move |&tier| tier != chosen);
        std::iter::once(chosen).chain(others).filter_map(|tier| self.pools.get(tier))
    }

    fn chosen(&self, key: Option<u64>) -> usize {
        let mut available = [0.0; MAX_TIERS];
        for (share, pool) in available.iter_mut().zip(&self.pools) {
            *share = pool.available_share();
        }
        let available = &available[..self.pools.len().min(MAX_TIERS)];
        let point = key.map_or_else(fastrand::f64, |key| (key >> 11) as f64 / (1_u64 << 53) as f64);
        choose(&shares(available, self.overprovisioning), point)
    }
}
