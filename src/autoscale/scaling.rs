//! How the sizing of one pool stands: written by its loop, read by the admin API and metrics; and what an operator has ordered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;

use super::decide::{Decision, Order, Reading, Replicas};
use super::foresight::Foresight;
use super::peers::PoolReport;
use super::retreat::Leaving;
use crate::kit::clock::Tick;
use crate::model::{Id, ScaleMode};
use crate::platform::Replica;

/// How long a leader's word counts: it asks every second, and one that is gone must not keep replicas idle.
const WORD: Duration = Duration::from_secs(15);

/// The sizing of one pool; kept over reloads.
#[derive(Debug, Default)]
pub struct Scaling {
    standing: Mutex<Standing>,
    order: Mutex<Option<Ordered>>,
    /// What this gateway sees, for the leader.
    report: Mutex<PoolReport>,
    /// Who is leaving, by the leader's word, and until when that counts.
    told: Mutex<Option<(BTreeSet<Id>, Tick)>>,
    /// What pages and queries say, and until when that counts.
    custom: Mutex<BTreeMap<String, (f64, Tick)>>,
    foresight: OnceLock<Arc<Foresight>>,
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

    /// Returns the forecasts, once the loop has begun.
    pub fn foresight(&self) -> Option<&Arc<Foresight>> {
        self.foresight.get()
    }

    pub(super) fn set_foresight(&self, foresight: Arc<Foresight>) {
        // A loop begins once.
        let _ = self.foresight.set(foresight);
    }

    pub(super) fn report(&self, report: PoolReport) {
        *lock(&self.report) = report;
    }

    /// Returns what this gateway sees of the pool.
    pub(super) fn reported(&self) -> PoolReport {
        lock(&self.report).clone()
    }

    /// Takes the leader's word of who is leaving.
    pub(super) fn tell(&self, leaving: BTreeSet<Id>, now: Tick) {
        let before = lock(&self.told).replace((leaving.clone(), now + WORD));
        // The same word again is no news, and a look costs the platform an answer.
        if before.is_none_or(|(before, _)| before != leaving) {
            self.wake.notify_one();
        }
    }

    /// Returns who is leaving by the leader's word, while that counts.
    pub(super) fn told(&self, now: Tick) -> BTreeSet<Id> {
        let told = lock(&self.told);
        told.as_ref().filter(|(_, until)| *until > now).map(|(leaving, _)| leaving.clone()).unwrap_or_default()
    }

    /// Takes a named figure, which counts until then.
    pub(super) fn set_custom(&self, key: String, value: f64, until: Tick) {
        lock(&self.custom).insert(key, (value, until));
    }

    /// Returns the named figures that count.
    pub(super) fn custom(&self, now: Tick) -> BTreeMap<String, f64> {
        let mut custom = lock(&self.custom);
        custom.retain(|_, (_, until)| *until > now);
        custom.iter().map(|(key, (value, _))| (key.clone(), *value)).collect()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut lock(&self.standing));
    }
}
