//! The hash map of the route table.
//!
//! Its seed is fixed: keys come from the config alone, so a client can look up but never insert, and has nothing to gain from
//! colliding keys. That keeps the folder free of randomness, and the hash is several times cheaper than the standard one.

use std::collections::HashMap;

use rapidhash::fast::SeedableState;

/// A map whose keys come from the config.
pub(super) type Map<K, V> = HashMap<K, V, SeedableState<'static>>;

/// Returns an empty map; it allocates nothing until something is inserted.
pub(super) fn map<K, V>() -> Map<K, V> {
    Map::with_hasher(SeedableState::fixed())
}
