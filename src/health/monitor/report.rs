//! What the admin API shows of the checks of a pool.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::ledger::{Healed, Ledger, Slot};
use crate::health::verdict::{Entry, Finding, Standing};
use crate::kit::clock::Tick;
use crate::model::Id;

/// What the checks of a pool say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How many endpoints stand how.
    pub summary: Summary,
    /// Each endpoint, in the order of the pool.
    pub endpoints: Vec<EndpointReport>,
}

/// How many endpoints stand how; each is in one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Well.
    pub healthy: usize,
    /// Slow, or not well by their own word.
    pub degraded: usize,
    /// Down.
    pub unhealthy: usize,
    /// Not yet checked.
    pub unknown: usize,
}

/// What the checks of one endpoint say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointReport {
    /// The endpoint.
    pub id: Id,
    /// `healthy`, `degraded`, `unhealthy`, or `unknown` before the first check.
    pub state: &'static str,
    /// Since when, as RFC 3339.
    pub since: String,
    /// How many of the last checks in a row were good (degraded among them), or else bad.
    pub consecutive: u32,
    /// What was last done about it while it stayed down; `None` when nothing was.
    pub heal: Option<HealReport>,
    /// The last results, the latest first.
    pub checks: Vec<CheckReport>,
}

/// What was done about an endpoint that stayed down.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HealReport {
    /// When it was done, or had failed, as RFC 3339.
    pub time: String,
    /// `webhook`, a call to it, or `restart`, of its replica.
    pub action: &'static str,
    /// `taken` or `failed`.
    pub result: &'static str,
    /// Why it failed.
    pub error: Option<String>,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// When it ended, as RFC 3339.
    pub time: String,
    /// What was found.
    pub result: Finding,
    /// Why, in a few words.
    pub message: Box<str>,
    /// How long it took.
    pub duration_ms: f64,
}

/// The present, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    pub(super) tick: Tick,
    pub(super) time: Timestamp,
}

impl Present {
    /// Returns the time of day at `tick`, as it would be if the clock had not been set since.
    fn at(self, tick: Tick) -> String {
        let age = SignedDuration::try_from(self.tick.since(tick)).unwrap_or(SignedDuration::MAX);
        format!("{:.3}", self.time.checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

/// Reports all endpoints, each with its last `results` results.
pub(super) fn report(ledger: &Ledger, results: usize, present: Present) -> Report {
    let slots = || ledger.order.iter().filter_map(|serial| ledger.slots.get(serial));
    let mut summary = Summary::default();
    for slot in slots() {
        match standing(slot) {
            Some(Standing::Healthy) => summary.healthy += 1,
            Some(Standing::Degraded) => summary.degraded += 1,
            Some(Standing::Unhealthy) => summary.unhealthy += 1,
            None => summary.unknown += 1,
        }
    }
    Report { summary, endpoints: slots().map(|slot| endpoint(slot, results, present)).collect() }
}

fn standing(slot: &Slot) -> Option<Standing> {
    slot.verdict.is_known().then(|| slot.verdict.standing())
}

fn endpoint(slot: &Slot, results: usize, present: Present) -> EndpointReport {
    EndpointReport {
        id: slot.endpoint.spec.id.clone(),
        state: standing(slot).map_or("unknown", Standing::as_str),
        since: present.at(slot.verdict.since()),
        consecutive: slot.verdict.in_a_row(),
        heal: slot.healed.as_ref().map(|healed| heal(healed, present)),
        checks: slot.verdict.history().take(results).map(|entry| check(entry, present)).collect(),
    }
}

fn heal(healed: &Healed, present: Present) -> HealReport {
    HealReport {
        time: present.at(healed.at),
        action: healed.action,
        result: if healed.result.is_ok() { "taken" } else { "failed" },
        error: healed.result.clone().err(),
    }
}

fn check(entry: &Entry, present: Present) -> CheckReport {
    CheckReport {
        time: present.at(entry.at),
        result: entry.checked.finding,
        message: entry.checked.message.clone(),
        duration_ms: entry.checked.took.as_secs_f64() * 1e3,
    }
}
