//! What runs on replicas, also on those that are no endpoints at the moment.
//!
//! An endpoint that goes and comes again, because its pod was not ready for a moment or was moved from one slice to another, begins anew: it knows
//! nothing of what was begun before. Those requests run on all the same, and the replica is not empty before they have ended. So whoever was seen
//! is remembered for as long as something runs on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::endpoint::{Endpoint, EndpointSet};
use crate::model::Id;

/// The endpoints that there are, and those that there were and on which something still runs.
#[derive(Debug, Default)]
pub(super) struct Running(Vec<Arc<Endpoint>>);

impl Running {
    /// Looks at who is there now.
    pub(super) fn look(&mut self, set: &EndpointSet) {
        let is_there = |endpoint: &Arc<Endpoint>| set.endpoints().iter().any(|known| Arc::ptr_eq(known, endpoint));
        self.0.retain(|endpoint| !is_there(endpoint) && endpoint.vitals().in_flight() > 0);
        self.0.extend(set.endpoints().iter().cloned());
    }

    /// Returns how many requests run on a replica.
    pub(super) fn on(&self, name: &Id) -> u64 {
        self.0.iter().filter(|endpoint| endpoint.spec.id == *name).map(|endpoint| u64::from(endpoint.vitals().in_flight())).sum()
    }

    /// Returns how many requests run on each replica that has any.
    pub(super) fn all(&self) -> BTreeMap<Id, u64> {
        let mut all = BTreeMap::new();
        for endpoint in &self.0 {
            *all.entry(endpoint.spec.id.clone()).or_insert(0) += u64::from(endpoint.vitals().in_flight());
        }
        all.retain(|_, running| *running > 0);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::endpoint::Attempt;
    use crate::kit::clock::Tick;
    use crate::model::{EndpointSpec, Weight};

    fn set(names: &[&str]) -> EndpointSet {
        let spec = |name: &&str| EndpointSpec {
            id: name.parse().unwrap(),
            address: "10.0.0.1:80".parse().unwrap(),
            weight: Weight::default(),
            max_connections: None,
            capabilities: BTreeSet::new(),
            zone: None,
        };
        EndpointSet::new(&"coders".parse().unwrap(), names.iter().map(spec), None, Tick::default())
    }

    #[test]
    fn what_was_begun_before_an_endpoint_came_again_counts_until_it_ends() {
        let (mut running, a) = (Running::default(), "a".parse().unwrap());
        let first = set(&["a", "b"]);
        running.look(&first);
        let old = Attempt::begin(first.endpoints()[0].clone(), Tick::default());
        running.look(&set(&["b"]));
        assert_eq!(running.on(&a), 1, "it is no endpoint, and not empty");
        let second = set(&["a", "b"]);
        running.look(&second);
        let new = Attempt::begin(second.endpoints()[0].clone(), Tick::default());
        for _ in 0..3 {
            running.look(&second);
            assert_eq!(running.all(), [(a.clone(), 2)].into());
        }
        drop(old);
        assert_eq!(running.on(&a), 1);
        drop(new);
        running.look(&second);
        assert_eq!((running.all().len(), running.0.len()), (0, 2), "nobody is remembered for nothing");
    }
}
