//! Whether those went that were chosen to go. Pure.
//!
//! A controller chooses which pods it removes; a deletion cost only asks for some, and only a ReplicaSet hears it.

use std::collections::BTreeSet;

use crate::model::Id;
use crate::platform::{Phase, Replica};

/// A scale-in that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retreat {
    /// How many were to stay.
    count: usize,
    /// Those that were to go.
    victims: BTreeSet<Id>,
}

impl Retreat {
    /// Begins with those that were to go; `None` when nobody was named.
    pub(super) fn new(count: u32, victims: &[Id]) -> Option<Self> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        (!victims.is_empty()).then(|| Self { count, victims: victims.iter().cloned().collect() })
    }

    /// Tells which of those that were to go have stayed; `None` until as many have gone as were to go.
    pub(super) fn spared(&self, replicas: &[Replica]) -> Option<Vec<Id>> {
        let staying = || replicas.iter().filter(|replica| replica.phase != Phase::Stopping);
        let spared = || staying().map(|replica| replica.name.clone()).filter(|name| self.victims.contains(name)).collect();
        (staying().count() <= self.count).then(spared)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::platform::Usage;

    fn id(name: &str) -> Id {
        name.parse().unwrap()
    }

    fn replicas(phases: &[(&str, Phase)]) -> Vec<Replica> {
        let replica = |(name, phase): &(&str, Phase)| Replica {
            name: id(name),
            address: None,
            phase: *phase,
            age: Duration::ZERO,
            usage: Usage::default(),
        };
        phases.iter().map(replica).collect()
    }

    #[test]
    fn nothing_is_said_before_as_many_have_gone_as_were_to_go() {
        let retreat = Retreat::new(1, &[id("a")]).unwrap();
        assert_eq!(retreat.spared(&replicas(&[("a", Phase::Ready), ("b", Phase::Ready)])), None);
        assert_eq!(retreat.spared(&replicas(&[("a", Phase::Stopping), ("b", Phase::Ready)])), Some(vec![]));
        assert_eq!(retreat.spared(&replicas(&[("b", Phase::Ready)])), Some(vec![]));
    }

    #[test]
    fn those_that_were_to_go_and_stayed_are_named() {
        let retreat = Retreat::new(1, &[id("a")]).unwrap();
        assert_eq!(retreat.spared(&replicas(&[("a", Phase::Ready), ("b", Phase::Stopping)])), Some(vec![id("a")]));
        assert_eq!(Retreat::new(1, &[]), None);
    }
}
