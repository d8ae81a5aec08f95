//! What is remembered from decision to decision. Pure.
//!
//! All times are monotonic milliseconds, and no state of any origin may block for ever:
//!
//! - When the clock is behind the last decision (another process, another machine), it goes on as if no time had passed since: times move with
//!   the clock, so a cooldown still lasts as long as it would have.
//! - A time that would lie in the future counts as now.
//! - What was wanted, and for how long use was low, is forgotten when nobody has looked for a while: what was not watched was not low.
//!
//! Deliberately not here: what follows from it (`limit`, `wish`).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::input::Input;
use crate::model::Terms;

/// Without a decision for so long, and for three intervals, windows begin anew.
const GAP_MS: u64 = 60_000;

/// How long a platform may take to show what it was told, before another number that it was also told counts as somebody else's.
const SETTLE_MS: u64 = 30_000;

/// Panic ends when its condition has not held for so long: the stable window of Knative's autoscaler.
pub(super) const STABLE_MS: u64 = 60_000;

const HOUR_MS: u64 = 3_600_000;

/// What is remembered from decision to decision; its size is bounded by `max_replicas` and `max_events_per_hour`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// When it was decided last; `None` before the first decision.
    pub decided_ms: Option<u64>,
    /// What this autoscaler wanted last; `None` before its first decision.
    pub last: Option<u32>,
    /// What it has ordered and may still see carried out; `None` when its last decision changed nothing.
    pub pending: Option<u32>,
    /// What the platform may show by this autoscaler's own doing.
    pub ours: Option<Ours>,
    /// Whether short-term demand rules.
    pub panic: Option<Panicking>,
    /// When it scaled up last.
    pub up_ms: Option<u64>,
    /// When it scaled down last.
    pub down_ms: Option<u64>,
    /// When somebody else changed the number last.
    pub adopted_ms: Option<u64>,
    /// Since when use has been low without a break.
    pub low_ms: Option<u64>,
    /// What was wanted in the window of `scale_down.stabilization`, as far as it can still be the most: falling.
    pub most: VecDeque<Wanted>,
    /// What was wanted in the window of `scale_up.stabilization`, as far as it can still be the least: rising.
    pub least: VecDeque<Wanted>,
    /// When it scaled in the last hour, oldest first; at most `max_events_per_hour`.
    pub events: VecDeque<u64>,
}

/// The numbers that a platform may show because this autoscaler has ordered them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ours {
    /// The fewest.
    pub low: u32,
    /// The most.
    pub high: u32,
    /// When the last was ordered.
    pub at_ms: u64,
}

/// Short-term demand rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panicking {
    /// Since when.
    pub since_ms: u64,
    /// When its condition held last.
    pub last_ms: u64,
}

/// A number that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// When, last.
    pub at_ms: u64,
    /// How many.
    pub replicas: u32,
}

impl State {
    /// Returns the state as it is at `now_ms`.
    pub(super) fn resumed(&self, terms: &Terms, now_ms: u64) -> Self {
        let mut state = self.clone();
        let before = self.decided_ms.unwrap_or(now_ms);
        let back = before.saturating_sub(now_ms);
        state.each_time(|at| *at = at.saturating_sub(back).min(now_ms));
        let gap = millis(terms.interval).saturating_mul(3).max(GAP_MS);
        if back > 0 || now_ms.saturating_sub(before) > gap {
            state.low_ms = None;
            state.most.clear();
            state.least.clear();
        }
        state.events.retain(|&at| now_ms - at < HOUR_MS);
        state.decided_ms = Some(now_ms);
        state
    }

    fn each_time(&mut self, mut change: impl FnMut(&mut u64)) {
        let single = [&mut self.up_ms, &mut self.down_ms, &mut self.adopted_ms, &mut self.low_ms];
        single.into_iter().flatten().for_each(&mut change);
        self.ours.iter_mut().for_each(|ours| change(&mut ours.at_ms));
        self.panic.iter_mut().flat_map(|panic| [&mut panic.since_ms, &mut panic.last_ms]).for_each(&mut change);
        self.most.iter_mut().chain(&mut self.least).for_each(|wanted| change(&mut wanted.at_ms));
        self.events.iter_mut().for_each(change);
    }

    /// Notices a number that nobody here has ordered, and takes it for its own; tells whether there is one.
    pub(super) fn adopt(&mut self, input: &Input) -> bool {
        let desired = input.replicas.desired;
        let new = Ours { low: desired, high: desired, at_ms: input.now_ms };
        let Some(ours) = &mut self.ours else {
            self.ours = Some(new);
            return false;
        };
        if (ours.low..=ours.high).contains(&desired) {
            if self.last == Some(desired) && input.now_ms - ours.at_ms >= SETTLE_MS {
                (ours.low, ours.high) = (desired, desired);
            }
            return false;
        }
        self.ours = Some(new);
        self.pending = None;
        self.adopted_ms = Some(input.now_ms);
        self.low_ms = None;
        true
    }

    /// Takes in whether demand is so much more than the ready replicas are for that only the short window counts.
    pub(super) fn look_at_surge(&mut self, is_surge: bool, now_ms: u64) {
        if is_surge {
            let since_ms = self.panic.map_or(now_ms, |panic| panic.since_ms);
            self.panic = Some(Panicking { since_ms, last_ms: now_ms });
        } else if self.panic.is_some_and(|panic| now_ms - panic.last_ms >= STABLE_MS) {
            self.panic = None;
        }
    }

    /// Takes in what is wanted now.
    pub(super) fn record(&mut self, wanted: u32, terms: &Terms, now_ms: u64) {
        let new = Wanted { at_ms: now_ms, replicas: wanted };
        // What was wanted earlier and is exceeded now can never be the most again: this keeps the windows short.
        slide(&mut self.most, new, millis(terms.scale_down.stabilization), |old| old.replicas <= wanted);
        slide(&mut self.least, new, millis(terms.scale_up.stabilization), |old| old.replicas >= wanted);
    }

    /// Takes in whether less is wanted than there is, beyond doubt.
    pub(super) fn look_at_use(&mut self, is_low: bool, now_ms: u64) {
        self.low_ms = is_low.then(|| self.low_ms.unwrap_or(now_ms));
    }

    /// Takes in what was decided.
    pub(super) fn order(&mut self, scaling: Scaling, terms: &Terms, input: &Input) {
        let Scaling { from, to, is_counted } = scaling;
        let now_ms = input.now_ms;
        // The same order once more, until the platform shows it, is no new one.
        let is_more = to > self.pending.unwrap_or(from).max(from);
        let is_less = to < self.pending.unwrap_or(from).min(from);
        if is_more {
            self.up_ms = Some(now_ms);
        }
        if is_less {
            self.down_ms = Some(now_ms);
        }
        if (is_more || is_less) && is_counted {
            self.events.push_back(now_ms);
        }
        let kept = usize::try_from(terms.max_events_per_hour).unwrap_or(usize::MAX);
        self.events.drain(..self.events.len().saturating_sub(kept));
        // What drains will leave the platform's number by and by.
        let seen = input.replicas.desired;
        if to != seen {
            let ours = self.ours.unwrap_or(Ours { low: seen, high: seen, at_ms: now_ms });
            let at_ms = if is_more || is_less { now_ms } else { ours.at_ms };
            self.ours = Some(Ours { low: ours.low.min(to).min(seen), high: ours.high.max(to).max(seen), at_ms });
        }
        self.pending = (to != from).then_some(to);
        self.last = Some(to);
    }

    /// Returns the most that was wanted in the window.
    pub(super) fn most(&self) -> Option<u32> {
        self.most.front().map(|wanted| wanted.replicas)
    }

    /// Returns the least that was wanted in the window.
    pub(super) fn least(&self) -> Option<u32> {
        self.least.front().map(|wanted| wanted.replicas)
    }
}

/// What was decided, as far as it is remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scaling {
    pub(super) from: u32,
    pub(super) to: u32,
    /// Whether it counts for `max_events_per_hour`.
    pub(super) is_counted: bool,
}

fn slide(window: &mut VecDeque<Wanted>, new: Wanted, span_ms: u64, is_surpassed: impl Fn(&Wanted) -> bool) {
    while window.back().is_some_and(&is_surpassed) {
        window.pop_back();
    }
    window.push_back(new);
    while window.front().is_some_and(|old| new.at_ms.saturating_sub(old.at_ms) > span_ms) {
        window.pop_front();
    }
}

/// Returns a duration in milliseconds.
pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
