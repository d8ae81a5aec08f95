//! The pools of a route in the order in which they take over.

use std::rc::Rc;

use futures_util::future::select_all;

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

    /// Tells whether there is more than one.
    pub(super) fn are_several(&self) -> bool {
        self.pools.len() > 1
    }

    /// Returns where between 0 and 1 a request stands, which with the shares decides on its tier.
    ///
    /// A request with a key always has the same point, so that its session moves only when the shares do.
    pub(super) fn point(&self, key: Option<u64>) -> f64 {
        match key {
            _ if !self.are_several() => 0.0,
            Some(key) => (key >> 11) as f64 / (1_u64 << 53) as f64,
            None => fastrand::f64(),
        }
    }

    /// Returns the tier that a request belongs to by the present shares.
    pub(super) fn chosen(&self, point: f64) -> usize {
        if !self.are_several() {
            return 0;
        }
        let mut available = [0.0; MAX_TIERS];
        for (share, pool) in available.iter_mut().zip(&self.pools) {
            *share = pool.available_share();
        }
        let available = &available[..self.pools.len().min(MAX_TIERS)];
        choose(&shares(available, self.overprovisioning), point)
    }

    /// Returns the pools and their numbers in the order in which a request tries them: the one that its share of the traffic belongs to, then
    /// the others.
    pub(super) fn order(&self, point: f64) -> impl Iterator<Item = (usize, &Rc<Local>)> {
        let chosen = self.chosen(point);
        let others = (0..self.pools.len()).filter(move |&tier| tier != chosen);
        std::iter::once(chosen).chain(others).filter_map(|tier| Some((tier, self.pools.get(tier)?)))
    }

    /// Returns the pools, the first one first.
    pub(super) fn pools(&self) -> &[Rc<Local>] {
        &self.pools
    }

    /// Waits until shares may have changed since this was called; for ever when there is one tier only.
    pub(super) fn shifted(&self) -> impl Future<Output = ()> {
        let several = if self.are_several() { &*self.pools } else { &[] };
        // Made here and not when polled: from now on they miss nothing.
        let shifts: Vec<_> = several.iter().map(|pool| Box::pin(pool.queue().shifted().notified())).collect();
        async {
            if shifts.is_empty() {
                return std::future::pending().await;
            }
            select_all(shifts).await;
        }
    }
}
