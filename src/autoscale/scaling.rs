//! How the sizing of one pool stands: written by its loop, read by the admin API and metrics; and what an operator has ordered.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;

use super::decide::{Decision, Order, Reading, Replicas};
use super::retreat::Leaving;
use crate::kit::clock::Tick;
use crate::model::{Id, ScaleMode};
use crate::platform::Replica;

/// The sizing of one pool; kept over reloads.
#[derive(Debug, Default)]
pub struct Scaling {
    standing: Mutex<Standing>,
    order: Mutex<Option<Ordered>>,
    /// Rung when the loop should look at once.
    pub(super) wake: Notify,
}

/// How the sizing of a pool stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Whether decisions are carried out.
    pub mode: Option<ScaleMode>,
    /// Whether this gateway is the one that acts.
    pub leads: bool,
    /// Who leads, when that is known and somebody else.
    pub leader: Option<String>,
    /// How the replicas stand.
    pub replicas: Replicas,
    /// The replicas that the platform shows.
    pub shown: Vec<Replica>,
    /// Those that are leaving.
    pub leaving: BTreeMap<Id, Leaving>,
    /// What the policies see.
    pub readings: Vec<Reading>,
    /// The last decision.
    pub decision: Option<Decision>,
    /// What the platform last refused, while it does.
    pub error: Option<Trouble>,
    /// What was counted since the start.
    pub counts: Counts,
    /// The measured time from an order to a serving replica.
    pub startup_ms: Option<u64>,
}

/// What the platform last refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The kind of failure.
    pub kind: &'static str,
    /// What it says.
    pub detail: String,
    /// How often in a row.
    pub times: u32,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Decisions, whether they changed something or not.
    pub decisions_total: u64,
    /// Calls to the platform that made replicas more.
    pub up_total: u64,
    /// Calls to the platform that made replicas fewer.
    pub down_total: u64,
    /// Scale-ups that a forecast asked for.
    pub predictive_total: u64,
    /// Calls to the platform that failed.
    pub failed_total: u64,
    /// Draining replicas that were taken back.
    pub taken_back_total: u64,
    /// Replicas that were restarted to heal them.
    pub restarts_total: u64,
}

/// An order and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// What is ordered.
    pub order: Order,
    /// When it ends; `None`: when it is taken back.
    pub until: Option<Tick>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Replaced as a whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scaling {
    /// Returns how it stands.
    pub fn standing(&self) -> Standing {
        lock(&self.standing).clone()
    }

    /// Returns the order that holds at `now`.
    pub fn order(&self, now: Tick) -> Option<Ordered> {
        let mut order = lock(&self.order);
        if order.is_some_and(|order| order.until.is_some_and(|until| until <= now)) {
            *order = None;
        }
        *order
    }

    /// Takes an operator's order, or takes it back, and lets the loop look at once.
    pub fn set_order(&self, order: Option<Ordered>) {
        *lock(&self.order) = order;
        self.wake.notify_one();
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut lock(&self.standing));
    }
}
