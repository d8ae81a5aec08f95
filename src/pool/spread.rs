//! Which pools the attempts of a route go to, where one may take over from another.
//!
//! Counts only. The shares that they should have are `resilience::failover`'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::kit::sharded::Sharded;
use crate::model::{Action, Id, Route};

/// Attempts of a route by pool; shared by workers.
#[derive(Debug, Default)]
pub struct Spread(Box<[(Id, Arc<Sharded<AtomicU64>>)]>);

impl Spread {
    /// Takes the pools of `route`, first those that it names and then those that take over; known ones go on with the counts of `previous`.
    ///
    /// `None` for a route without failover.
    pub fn new(route: &Route, previous: Option<&Self>) -> Option<Self> {
        let (Action::Forward(splits), Some(failover)) = (&route.action, &route.policies.failover) else { return None };
        let mut pools: Vec<&Id> = Vec::new();
        for pool in splits.iter().map(|split| &split.pool).chain(&failover.pools) {
            if !pools.contains(&pool) {
                pools.push(pool);
            }
        }
        let known = |pool: &Id| previous.and_then(|previous| previous.of(pool)).cloned();
        Some(Self(pools.into_iter().map(|pool| (pool.clone(), known(pool).unwrap_or_default())).collect()))
    }

    /// An attempt has a place in `pool`.
    pub(super) fn count(&self, pool: &Id) {
        if let Some(count) = self.of(pool) {
            count.own().fetch_add(1, Relaxed);
        }
    }

    /// Returns the attempts of each pool, in the order of the config.
    pub fn counts(&self) -> impl Iterator<Item = (&Id, u64)> {
        self.0.iter().map(|(pool, count)| (pool, count.sum(|count| count.load(Relaxed))))
    }

    /// There are few pools, and a look at each is faster than a map.
    fn of(&self, pool: &Id) -> Option<&Arc<Sharded<AtomicU64>>> {
        self.0.iter().find(|(known, _)| known == pool).map(|(_, count)| count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::model::{Failover, Policies, Split};

    fn id(name: &str) -> Id {
        name.parse().unwrap()
    }

    fn route(pools: &[&str], others: Option<&[&str]>) -> Route {
        let failover = others.map(|others| Failover { pools: others.iter().map(|name| id(name)).collect(), overprovisioning: 1.4 });
        let mut route = testing::route(Policies { failover, ..Policies::default() });
        route.action = Action::Forward(pools.iter().map(|name| Split { pool: id(name), weight: 1 }).collect());
        route
    }

    fn counts(spread: &Spread) -> Vec<(&str, u64)> {
        spread.counts().map(|(pool, count)| (pool.as_str(), count)).collect()
    }

    #[test]
    fn attempts_are_counted_by_pool_and_others_not_at_all() {
        let spread = Spread::new(&route(&["a", "b"], Some(&["b", "c"])), None).unwrap();
        for pool in ["a", "c", "c", "unknown"] {
            spread.count(&id(pool));
        }
        assert_eq!(counts(&spread), [("a", 1), ("b", 0), ("c", 2)]);
        assert!(Spread::new(&route(&["a"], None), None).is_none());
    }

    #[test]
    fn a_reload_keeps_the_counts_of_pools_that_stay() {
        let old = Spread::new(&route(&["a"], Some(&["b"])), None).unwrap();
        old.count(&id("b"));
        let new = Spread::new(&route(&["c"], Some(&["b"])), Some(&old)).unwrap();
        old.count(&id("b"));
        assert_eq!(counts(&new), [("c", 0), ("b", 2)]);
    }
}
