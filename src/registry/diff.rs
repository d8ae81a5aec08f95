//! What a new snapshot changes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::model::{Id, Snapshot};

/// Names that came, changed or went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Only in the new snapshot.
    pub added: Vec<Id>,
    /// In both, and not alike.
    pub changed: Vec<Id>,
    /// Only in the old one.
    pub removed: Vec<Id>,
}

/// What a new snapshot changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which world it became.
    pub generation: u64,
    /// Listeners.
    pub listeners: Changes,
    /// Routes.
    pub routes: Changes,
    /// Pools, their endpoints included.
    pub pools: Changes,
}

impl Changes {
    fn between<T: PartialEq>(old: &BTreeMap<&Id, &Arc<T>>, new: &BTreeMap<&Id, &Arc<T>>) -> Self {
        let mut changes = Self::default();
        for (&name, value) in new {
            match old.get(name) {
                None => changes.added.push(name.clone()),
                Some(before) if before != value => changes.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        changes.removed = old.keys().filter(|name| !new.contains_key(*name)).map(|&name| name.clone()).collect();
        changes
    }

    fn counts(&self) -> [usize; 3] {
        [self.added.len(), self.changed.len(), self.removed.len()]
    }
}

impl Report {
    /// Compares two snapshots; start is the comparison with none.
    pub(super) fn between(old: Option<&Snapshot>, new: &Snapshot, generation: u64) -> Self {
        macro_rules! named {
            ($snapshot:expr, $kind:ident) => {
                $snapshot.into_iter().flat_map(|snapshot: &Snapshot| snapshot.$kind.iter()).map(|item| (&item.name, item)).collect()
            };
        }
        let pools = |snapshot: Option<&Snapshot>| -> Vec<_> { snapshot.into_iter().flat_map(|s| s.pools.clone()).collect() };
        let (old_pools, new_pools) = (pools(old), pools(Some(new)));
        Self {
            generation,
            listeners: Changes::between(&named!(old, listeners), &named!(Some(new), listeners)),
            routes: Changes::between(&named!(old, routes), &named!(Some(new), routes)),
            pools: Changes::between(
                &old_pools.iter().map(|(name, pool)| (name, pool)).collect(),
                &new_pools.iter().map(|(name, pool)| (name, pool)).collect(),
            ),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (kind, changes) in [("listeners", &self.listeners), ("routes", &self.routes), ("pools", &self.pools)] {
            let [added, changed, removed] = changes.counts();
            if added + changed + removed > 0 {
                let comma = if first { "" } else { ", " };
                first = false;
                write!(f, "{comma}{kind} +{added} ~{changed} -{removed}")?;
            }
        }
        if first { f.write_str("nothing changed") } else { Ok(()) }
    }
}
