//! What the policies, short-term demand, the forecast and the queue want together, before any limit. Pure.
//!
//! The most that anybody wants counts. Fewer replicas are wanted only when every policy with data wants fewer.

use std::cmp::Reverse;

use super::decision::{Clamp, Limit, Trigger, Vote};
use super::input::Outlook;
use super::opinion::{Opinion, View};
use super::state::{State, millis};
use crate::model::{ForecastMode, Id};

/// How many replicas are wanted, and who wants them.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// So many.
    pub(super) wanted: u32,
    /// Who.
    pub(super) trigger: Trigger,
    /// What tolerance held back.
    pub(super) tolerated: Option<Clamp>,
    /// Whether a signal is missing.
    pub(super) is_missing: bool,
    /// Whether it is the last replica that is not needed, as nobody has asked for anything for `idle_after`.
    pub(super) is_last: bool,
    /// Whether requests wait for the first replica.
    pub(super) is_first: bool,
}

/// Returns what is wanted.
pub(super) fn of(opinions: &[Opinion<'_>], view: View<'_>, state: &State) -> Wish {
    let mut wish = agreed(opinions, view);
    if state.panic.is_some()
        && let Some((policy, need)) = surge(opinions)
    {
        wish.lift(need, Trigger::Panic(policy.clone()));
    }
    if let Some(outlook) = trusted_outlook(view) {
        wish.lift(outlook.replicas, Trigger::Forecast);
    }
    wish.look_at_queue(view, state);
    wish.look_at_zero(opinions, view);
    wish
}

/// Returns who needs the most over the panic window, and how many.
pub(super) fn surge<'a>(opinions: &[Opinion<'a>]) -> Option<(&'a Id, u32)> {
    let needs = opinions.iter().filter_map(|opinion| Some((opinion, opinion.fast?.1)));
    // `max_by_key` returns the last of equals, and the first of the file shall explain.
    needs.rev().max_by_key(|(opinion, need)| (*need, opinion.policy.priority)).map(|(opinion, need)| (&opinion.policy.name, need))
}

/// Returns the forecast that decisions follow.
pub(super) fn trusted_outlook(view: View<'_>) -> Option<&Outlook> {
    let forecast = view.terms.forecast.as_ref().filter(|forecast| forecast.mode == ForecastMode::Act)?;
    view.input.outlook.as_ref().filter(|outlook| outlook.confidence >= forecast.confidence && !outlook.is_demoted)
}

/// Tells whether the pool has nothing to do.
fn is_quiet(view: View<'_>) -> bool {
    view.input.demand.queued == 0 && view.input.demand.in_flight == 0
}

/// The common will of the policies.
fn agreed(opinions: &[Opinion<'_>], view: View<'_>) -> Wish {
    let from = view.from;
    let count = |vote| opinions.iter().filter(move |opinion| opinion.verdict.vote == vote).count();
    let is_missing = count(Vote::Missing) > 0;
    let wish = |wanted, trigger| Wish { wanted, trigger, tolerated: None, is_missing, is_last: false, is_first: false };
    let most = opinions.iter().filter_map(|opinion| opinion.verdict.desired).max();
    if let Some(most) = most.filter(|&most| most > from) {
        return wish(most, explained(opinions, Vote::Up).unwrap_or(Trigger::Missing));
    }
    let calm = if is_missing { Trigger::Missing } else { Trigger::Steady };
    if count(Vote::Hold) > 0 {
        return Wish { tolerated: tolerated(opinions, from), ..wish(from, calm) };
    }
    match opinions.iter().filter(|opinion| opinion.verdict.vote == Vote::Down).filter_map(|opinion| opinion.verdict.desired).max() {
        Some(fewer) => wish(fewer, explained(opinions, Vote::Down).unwrap_or(Trigger::Steady)),
        // Without a policy that measures, the bounds alone size the pool.
        None if opinions.is_empty() => wish(0, Trigger::Bounds),
        None if !is_missing && is_quiet(view) => wish(0, Trigger::Idle),
        None => wish(from, calm),
    }
}

/// The policy of the highest priority that votes so; of equals the one that wants most, then the first of the file.
fn explained(opinions: &[Opinion<'_>], vote: Vote) -> Option<Trigger> {
    let voters = opinions.iter().filter(|opinion| opinion.verdict.vote == vote);
    let best = voters.min_by_key(|opinion| Reverse((opinion.policy.priority, opinion.verdict.desired)));
    best.map(|opinion| Trigger::Policy(opinion.policy.name.clone()))
}

/// What would be wanted without tolerance, when that is what holds.
fn tolerated(opinions: &[Opinion<'_>], from: u32) -> Option<Clamp> {
    let speaking = opinions.iter().filter(|opinion| matches!(opinion.verdict.vote, Vote::Up | Vote::Down | Vote::Hold));
    let exact = speaking.filter_map(|opinion| opinion.exact).max()?;
    (exact != from).then_some(Clamp { limit: Limit::Tolerance, from: exact, to: from })
}

impl Wish {
    /// Wants at least so many.
    fn lift(&mut self, replicas: u32, trigger: Trigger) {
        if replicas > self.wanted {
            *self = Self { wanted: replicas, trigger, tolerated: None, ..self.clone() };
        }
    }

    /// The request that finds no place even in the queue is a signal of its own: one more than there are, whatever policies look at.
    fn look_at_queue(&mut self, view: View<'_>, state: &State) {
        if !view.input.demand.queue_full {
            return;
        }
        let replicas = view.input.replicas;
        let cooldown = millis(view.terms.scale_up.cooldown);
        let is_long_ago = state.up_ms.is_none_or(|at| view.input.now_ms - at >= cooldown);
        // One after the other: what is on its way may be enough. What has been ordered and is not even on its way is waited for no longer than a
        // cooldown, so that a replica which never comes does not hold the others back.
        let is_answered = replicas.starting > 0 || replicas.ready < view.from && !is_long_ago;
        self.lift(view.from.saturating_add(u32::from(!is_answered)), Trigger::QueueFull);
    }

    fn look_at_zero(&mut self, opinions: &[Opinion<'_>], view: View<'_>) {
        if view.from == 0 && view.input.demand.queued > 0 {
            *self = Self { wanted: self.wanted.max(1), trigger: Trigger::FirstRequest, is_first: true, ..self.clone() };
        }
        let is_forecast = trusted_outlook(view).is_some_and(|outlook| outlook.replicas > 0);
        let is_wanted = opinions.iter().any(|opinion| opinion.verdict.vote == Vote::Up) || is_forecast;
        if view.from == 1 && is_idle(view) && self.wanted <= 1 && !is_wanted && !view.input.demand.queue_full {
            *self = Self { wanted: 0, trigger: Trigger::Idle, tolerated: None, is_last: true, ..self.clone() };
        }
    }
}

/// Tells whether the pool has had nothing to do for so long that its last replica may go.
pub(super) fn is_idle(view: View<'_>) -> bool {
    is_quiet(view) && view.input.demand.idle_ms >= millis(view.terms.idle_after)
}
