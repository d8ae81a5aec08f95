//! What the checks of a pool need from elsewhere.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::model::Id;
use crate::upstream::Lookup;

/// Replaces the replica behind an endpoint of a pool; the error is one line.
pub type Repair = Arc<dyn Fn(&Id, &Id) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// What the checks of a pool need from elsewhere.
#[derive(Clone)]
pub struct Outside {
    /// Finds the addresses of names.
    pub lookup: Lookup,
    /// Replaces replicas.
    pub repair: Repair,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}
