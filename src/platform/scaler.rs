//! What every platform can do, in one shape.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Address, Id};

/// A result that takes a while.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs the replicas of one pool.
///
/// Calls are not cancelled half-way by the platform: dropping one leaves open whether it was carried out, and `observe` tells.
pub trait Scaler: Send + Sync + fmt::Debug {
    /// Returns how many replicas are wanted, and which there are.
    fn observe(&self) -> Pending<'_, Result<Observed, ScaleError>>;

    /// Sets how many replicas are wanted. When they become fewer, `victims` are those to go, already drained; a platform that chooses by itself
    /// is asked as well as it can be asked. Replicas beyond `victims` are chosen by the platform.
    fn scale_to(&self, count: u32, victims: Vec<Id>) -> Pending<'_, Result<(), ScaleError>>;

    /// Ends a replica and puts a new one in its place; the wanted number stays.
    fn restart(&self, replica: Id) -> Pending<'_, Result<(), ScaleError>>;

    /// Waits until something has changed that `observe` would show, as soon as the platform knows; for ever when it cannot tell. Cancel safe.
    fn changed(&self) -> Pending<'_, ()>;
}

/// How a pool's replicas stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// How many are wanted, by whoever said so last.
    pub desired: u32,
    /// Those that there are, in the order of their names.
    pub replicas: Vec<Replica>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// Its name; the endpoint that it becomes has the same id.
    pub name: Id,
    /// Where it listens, when that is known.
    pub address: Option<Address>,
    /// How far it is.
    pub phase: Phase,
    /// How old it is.
    pub age: Duration,
    /// What it uses.
    pub usage: Usage,
}

/// How far a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// On its way: coming capacity.
    Starting,
    /// Serves.
    Ready,
    /// On its way out.
    Stopping,
    /// Has died and waits for its next start.
    Failed,
}

/// What a replica uses of what it may use, as ratios; `None` when the platform does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor.
    pub cpu: Option<f64>,
    /// Memory.
    pub memory: Option<f64>,
}

/// Why a platform did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// It cannot be reached, or does not answer in time: nothing is known.
    #[error("{platform} cannot be reached: {detail}")]
    Unreachable {
        /// The platform.
        platform: &'static str,
        /// What happened.
        detail: String,
    },
    /// It refuses; asking again without a change elsewhere will not help.
    #[error("{platform} refuses: {detail}")]
    Refused {
        /// The platform.
        platform: &'static str,
        /// What it says.
        detail: String,
    },
    /// Somebody else changed the same thing; look and decide again.
    #[error("{platform} says that somebody else has changed {what} meanwhile")]
    Conflict {
        /// The platform.
        platform: &'static str,
        /// What.
        what: String,
    },
    /// It asks to be left alone for a while.
    #[error("{platform} asks to wait for {wait:?}")]
    Busy {
        /// The platform.
        platform: &'static str,
        /// How long.
        wait: Duration,
    },
    /// What is to be scaled is not there.
    #[error("{platform} has no {what}")]
    Missing {
        /// The platform.
        platform: &'static str,
        /// What.
        what: String,
    },
}

impl ScaleError {
    /// Returns the word for metrics and the admin API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { .. } => "refused",
            Self::Conflict { .. } => "conflict",
            Self::Busy { .. } => "busy",
            Self::Missing { .. } => "missing",
        }
    }
}
