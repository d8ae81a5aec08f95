//! What is believed of one endpoint, from the results of its checks. Pure.
//!
//! Three standings: healthy, degraded, unhealthy. Bad checks take an endpoint down after `unhealthy_threshold` in a row, good ones bring it up
//! after `healthy_threshold`; it is degraded with the first degraded check, because that costs it half of its weight and not its
//! traffic, and no longer after `healthy_threshold` checks in a row without complaint. Deliberately not here: when checks run
//! (`schedule`), what they ask (`active`), and what follows from a change (`monitor`).

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::kit::clock::Tick;
use crate::model::Health;

/// How many results are kept of each endpoint.
pub const HISTORY: usize = 100;

/// The longest message that is kept: enough for a certificate's complaint, little enough for 100 results of 10,000 endpoints.
const MAX_MESSAGE: usize = 160;

/// How an endpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is well.
    Healthy,
    /// It answers, but is slow or says that it is not well: it gets half of its share.
    Degraded,
    /// It gets nothing.
    Unhealthy,
}

/// What one check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Good, without complaint.
    Ok,
    /// Good, but slow, or the endpoint says that it is degraded.
    Degraded,
    /// Not good, or no answer.
    Bad,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What was found.
    pub finding: Finding,
    /// Why, in a few words.
    pub message: Box<str>,
    /// How long the check took.
    pub took: Duration,
}

/// Whether a new endpoint is used before it has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum First {
    /// It is: somebody wrote it into the file.
    UseAtOnce,
    /// It is not: it has been discovered or started, and may not be ready; one good check is enough.
    AfterGoodCheck,
}

/// A standing that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it was.
    pub from: Standing,
    /// What it is.
    pub to: Standing,
}

/// A result and when it was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Tick,
    /// What.
    pub checked: Checked,
}

/// What is believed of one endpoint.
#[derive(Clone, Debug)]
pub struct Verdict {
    thresholds: Thresholds,
    standing: Standing,
    since: Tick,
    /// Has never been up: one good check is enough.
    waiting: bool,
    /// Results in a row that are ok or degraded.
    good: u32,
    /// Results in a row that are ok.
    ok: u32,
    /// Results in a row that are bad.
    bad: u32,
    history: VecDeque<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Thresholds {
    up: u32,
    down: u32,
}

impl Thresholds {
    fn of(health: &Health) -> Self {
        Self { up: health.healthy_threshold.max(1), down: health.unhealthy_threshold.max(1) }
    }
}

impl Standing {
    /// Returns the word for the admin API and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Checked {
    /// A result; a message that is too long is cut.
    pub fn new(finding: Finding, message: impl Into<String>, took: Duration) -> Self {
        let mut message: String = message.into();
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        Self { finding, message: message.into_boxed_str(), took }
    }
}

impl Verdict {
    /// Nothing is known yet.
    pub fn new(health: &Health, first: First, now: Tick) -> Self {
        let (standing, waiting) = match first {
            First::UseAtOnce => (Standing::Healthy, false),
            First::AfterGoodCheck => (Standing::Unhealthy, true),
        };
        let thresholds = Thresholds::of(health);
        Self { thresholds, standing, since: now, waiting, good: 0, ok: 0, bad: 0, history: VecDeque::new() }
    }

    /// Takes other thresholds, which count from the next result on; what is believed stays.
    pub fn configure(&mut self, health: &Health) {
        self.thresholds = Thresholds::of(health);
    }

    /// Takes in a result, and returns what it changed.
    pub fn on_result(&mut self, checked: Checked, now: Tick) -> Option<Change> {
        self.count(checked.finding);
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(Entry { at: now, checked });
        let to = self.next();
        self.waiting &= to == Standing::Unhealthy;
        if to == self.standing {
            return None;
        }
        let from = std::mem::replace(&mut self.standing, to);
        self.since = now;
        Some(Change { from, to })
    }

    fn count(&mut self, finding: Finding) {
        let raised = |count: u32, holds| if holds { count.saturating_add(1) } else { 0 };
        self.good = raised(self.good, finding != Finding::Bad);
        self.ok = raised(self.ok, finding == Finding::Ok);
        self.bad = raised(self.bad, finding == Finding::Bad);
    }

    fn next(&self) -> Standing {
        let Thresholds { up, down } = self.thresholds;
        match self.standing {
            Standing::Unhealthy if self.good >= up || self.waiting && self.good > 0 => self.by_last(),
            Standing::Healthy | Standing::Degraded if self.bad >= down => Standing::Unhealthy,
            Standing::Healthy if self.good > 0 => self.by_last(),
            Standing::Degraded if self.ok >= up => Standing::Healthy,
            unchanged => unchanged,
        }
    }

    /// Returns how an endpoint that is up stands after its last, good result.
    const fn by_last(&self) -> Standing {
        if self.ok > 0 { Standing::Healthy } else { Standing::Degraded }
    }

    /// Returns how the endpoint stands.
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// Returns since when it stands so.
    pub const fn since(&self) -> Tick {
        self.since
    }

    /// Tells whether it has been checked, so that the standing is more than an assumption.
    pub fn is_known(&self) -> bool {
        !self.history.is_empty()
    }

    /// Returns how many of the last results in a row were good, or else bad.
    pub fn in_a_row(&self) -> u32 {
        self.good.max(self.bad)
    }

    /// Returns the last results, the latest first, at most [`HISTORY`].
    pub fn history(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.history.iter().rev()
    }
}

#[cfg(test)]
mod tests;
