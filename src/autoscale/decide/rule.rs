//! From what is known to how many. Pure.
//!
//! Deliberately not here: the parts of it, see the module above.

use super::decision::{Decision, Limit, Trigger};
use super::input::{Input, Order};
use super::limit::{self, Case, Held, Range};
use super::opinion::{self, View};
use super::reason::{self, Story};
use super::state::{Scaling, State};
use super::wish::{self, Wish};
use crate::model::{Id, ScaleRule, Terms};

/// Decides; the same arguments always yield the same.
pub fn decide(terms: &Terms, input: &Input, state: &State) -> (Decision, State) {
    let from = input.replicas.desired.saturating_sub(input.replicas.draining);
    let view = View { terms, input, from };
    let mut next = state.resumed(terms, input.now_ms);
    let is_adopted = next.adopt(input);
    let opinions = opinion::all(view);
    next.look_at_surge(is_surge(view, &opinions), input.now_ms);
    let wish = wish::of(&opinions, view, &next);
    let range = Range::of(view);
    next.record(wish.wanted.min(terms.max_replicas.max(from)), terms, input.now_ms);
    next.look_at_use(wish.wanted < from && !wish.is_missing, input.now_ms);
    let mut held = limit::hold(Case { view, state: &next, wish: &wish, range });
    let mut trigger = moved_by(&wish, view, range);
    if held.clamps.iter().any(|clamp| clamp.limit == Limit::Missing) && wish.is_missing {
        trigger = Trigger::Missing;
    }
    if is_adopted && held.to == from || held.is_adopted {
        trigger = Trigger::Adopted;
    }
    obey(view, &mut held, &mut trigger);
    let is_urgent = input.demand.queue_full || next.panic.is_some();
    let is_exempt = is_urgent && held.to > from || matches!(trigger, Trigger::FirstRequest | Trigger::Operator);
    next.order(Scaling { from, to: held.to, is_counted: !is_exempt }, terms, input);
    let reason = reason::of(&Story { view, opinions: &opinions, trigger: &trigger, wanted: wish.wanted, held: &held, range });
    let verdicts = opinions.into_iter().map(|opinion| opinion.verdict).collect();
    (Decision { from, to: held.to, trigger, verdicts, wanted: wish.wanted, limits: held.clamps, reason }, next)
}

/// Tells whether the short window needs so many more than are ready that it counts (Knative's autoscaler, panic threshold).
fn is_surge(view: View<'_>, opinions: &[opinion::Opinion<'_>]) -> bool {
    let Some(panic) = &view.terms.panic else { return false };
    let ready = f64::from(view.input.replicas.ready.max(1));
    wish::surge(opinions).is_some_and(|(_, need)| f64::from(need) >= panic.threshold * ready)
}

/// Who explains the decision: bounds, when they ask for more or fewer than was wanted and there is.
fn moved_by(wish: &Wish, view: View<'_>, range: Range) -> Trigger {
    let Range { low, high } = range;
    if wish.wanted < low && view.from < low {
        return bounds(view, |min, _| min == Some(low), low > view.terms.min_replicas);
    }
    if high < view.from && high <= wish.wanted {
        return bounds(view, |_, max| max == Some(high), high < view.terms.max_replicas);
    }
    wish.trigger.clone()
}

/// Names the first schedule of the terms that sets a bound, or else the pool's own.
fn bounds(view: View<'_>, sets: impl Fn(Option<u32>, Option<u32>) -> bool, is_of_schedule: bool) -> Trigger {
    let names = &view.input.schedule.names;
    let own = view.terms.policies.iter().filter(|policy| names.contains(&policy.name));
    let name: Option<&Id> = own
        .filter(|policy| {
            matches!(&policy.rule, ScaleRule::Schedule { min_replicas, max_replicas, .. } if sets(*min_replicas, *max_replicas))
        })
        .map(|policy| &policy.name)
        .next();
    name.or(names.first()).filter(|_| is_of_schedule).map_or(Trigger::Bounds, |name| Trigger::Schedule(name.clone()))
}

/// An operator has the last word.
fn obey(view: View<'_>, held: &mut Held, trigger: &mut Trigger) {
    let View { terms, input, from } = view;
    match input.order {
        None => return,
        Some(Order::Pause) => held.set(Limit::Paused, from, || "paused".to_owned()),
        Some(Order::Replicas(replicas)) => {
            let to = replicas.min(terms.max_replicas);
            *held = Held::new(replicas);
            held.set(Limit::MaxReplicas, to, || format!("at most {to}"));
        }
    }
    *trigger = Trigger::Operator;
}

#[cfg(test)]
mod tests;
