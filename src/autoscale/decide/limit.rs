//! What holds a wish back, in the order in which it does. Pure.
//!
//! Bounds always hold, and nothing holds back what they ask for. Within them, limits of time and of step come one after the other, each
//! with a note for people when it changes something. Deliberately not here: what is wanted (`wish`).

use super::decision::{Clamp, Limit};
use super::opinion::View;
use super::reason::time;
use super::state::{State, millis};
use super::wish::{Wish, is_idle};
use crate::model::{Step, Terms};

const HOUR_MS: u64 = 3_600_000;

/// The fewest and the most replicas that there may be now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// The fewest.
    pub(super) low: u32,
    /// The most; never below the fewest.
    pub(super) high: u32,
}

impl Range {
    /// Returns the bounds of the pool, narrowed by those of schedules. The pool's own hold against a schedule, the fewest against the most.
    pub(super) fn of(view: View<'_>) -> Self {
        let (terms, schedule) = (view.terms, &view.input.schedule);
        let low = schedule.min_replicas.map_or(terms.min_replicas, |min| min.min(terms.max_replicas).max(terms.min_replicas));
        let high = schedule.max_replicas.map_or(terms.max_replicas, |max| max.min(terms.max_replicas));
        Self { low, high: high.max(low) }
    }
}

/// A number of replicas on its way through the limits.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// The number so far.
    pub(super) to: u32,
    /// What changed it.
    pub(super) clamps: Vec<Clamp>,
    /// The same for people.
    pub(super) notes: Vec<String>,
    /// Whether an outside change that is respected is what holds it.
    pub(super) is_adopted: bool,
}

/// What limits look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// Terms and input.
    pub(super) view: View<'a>,
    /// What was before, with what is wanted now.
    pub(super) state: &'a State,
    /// What is wanted.
    pub(super) wish: &'a Wish,
    /// The bounds.
    pub(super) range: Range,
}

impl Held {
    /// A number that nothing has held yet.
    pub(super) fn new(to: u32) -> Self {
        Self { to, clamps: Vec::new(), notes: Vec::new(), is_adopted: false }
    }

    /// Changes the number, and writes down what does.
    pub(super) fn set(&mut self, limit: Limit, to: u32, note: impl FnOnce() -> String) {
        if to != self.to {
            self.clamps.push(Clamp { limit, from: self.to, to });
            self.notes.push(note());
            self.to = to;
        }
    }

    fn bound(&mut self, range: Range) {
        self.set(Limit::MinReplicas, self.to.max(range.low), || format!("at least {}", range.low));
        self.set(Limit::MaxReplicas, self.to.min(range.high), || format!("at most {}", range.high));
    }
}

/// Holds a wish back.
pub(super) fn hold(case: Case<'_>) -> Held {
    let mut held = Held::new(case.wish.wanted);
    held.clamps.extend(case.wish.tolerated);
    if case.wish.tolerated.is_some() {
        held.notes.push("within tolerance".to_owned());
    }
    case.keep_last(&mut held);
    held.bound(case.range);
    if held.to > case.view.from {
        case.up(&mut held);
    } else if held.to < case.view.from {
        case.down(&mut held);
    }
    held
}

/// Returns the most replicas that a step from `from` may be.
fn steps(step: Option<Step>, from: u32) -> u32 {
    match step {
        None => u32::MAX,
        Some(Step::Replicas(replicas)) => replicas.max(1),
        // From a float, `as` clamps; the epsilon is for shares such as 0.1 of 30.
        Some(Step::Share(share)) => ((f64::from(from) * share - 1e-6).ceil() as u32).max(1),
    }
}

impl Case<'_> {
    fn terms(&self) -> &Terms {
        self.view.terms
    }

    fn since(&self, at_ms: u64) -> u64 {
        self.view.input.now_ms.saturating_sub(at_ms)
    }

    /// The last replica stays until nobody has wanted anything for `idle_after`.
    fn keep_last(&self, held: &mut Held) {
        let may_be_none = self.range.low == 0 && self.range.high > 0;
        if held.to == 0 && self.view.from > 0 && may_be_none && !is_idle(self.view) {
            let (idle, after) = (self.view.input.demand.idle_ms, millis(self.terms().idle_after));
            held.set(Limit::Idle, 1, || {
                format!("the last one stays until it has been idle for {}, now {}", time(after), time(idle))
            });
        }
    }

    fn up(&self, held: &mut Held) {
        let Self { view, state, wish, range } = *self;
        let is_full = view.input.demand.queue_full;
        // What no limit touches: what there is, what must be, and the one that those who wait in a pool without replicas need.
        let floor = view.from.max(range.low).max(u32::from(wish.is_first).min(range.high));
        let is_urgent = state.panic.is_some() || is_full;
        if !is_urgent && let Some(least) = state.least() {
            let window = millis(self.terms().scale_up.stabilization);
            held.set(Limit::Stabilization, held.to.min(least.max(floor)), || {
                format!("not more was wanted throughout the last {}", time(window))
            });
        }
        let most = view.from.saturating_add(steps(self.terms().scale_up.max_step, view.from));
        held.set(Limit::MaxStep, held.to.min(most.max(floor)), || format!("{} at once at most", most - view.from));
        // An order that the platform does not show yet is given again, and may be by the same reasons.
        let ordered = state.pending.unwrap_or(0).max(floor);
        let cooldown = millis(self.terms().scale_up.cooldown);
        if !is_urgent {
            self.wait(held, Wait { at_ms: state.up_ms, cooldown, stays: held.to.min(ordered), is_adopted: false });
        }
        if !is_full {
            self.wait(held, Wait { at_ms: state.adopted_ms, cooldown, stays: held.to.min(floor), is_adopted: true });
        }
        if !is_urgent {
            self.count(held, held.to.min(ordered));
        }
    }

    fn down(&self, held: &mut Held) {
        let Self { view, state, wish, range } = *self;
        // What no limit keeps: more than may be.
        let ceiling = view.from.min(range.high);
        let stays = |least: u32, held: &Held| held.to.max(least.min(ceiling));
        if wish.is_missing {
            held.set(Limit::Missing, stays(ceiling, held), || "nothing scales down while signals are missing".to_owned());
        } else if !view.input.demand.is_complete {
            held.set(Limit::Missing, stays(ceiling, held), || {
                "nothing scales down while figures of other gateways are missing".to_owned()
            });
        }
        if let Some(panic) = state.panic {
            let since = self.since(panic.since_ms);
            held.set(Limit::Panic, stays(ceiling, held), || format!("nothing scales down in panic, since {}", time(since)));
        }
        let scale_down = &self.terms().scale_down;
        let (sustained, cooldown) = (millis(scale_down.sustained), millis(scale_down.cooldown));
        let low = state.low_ms.map_or(0, |at| self.since(at));
        // An idle time of `idle_after` says more about the last replica than any window.
        if !wish.is_last && low < sustained {
            held.set(Limit::Sustained, stays(ceiling, held), || {
                format!("use must be low for {}, now {}", time(sustained), time(low))
            });
        }
        if !wish.is_last
            && let Some(most) = state.most()
        {
            let window = millis(scale_down.stabilization);
            held.set(Limit::Stabilization, stays(most, held), || format!("{most} were wanted in the last {}", time(window)));
        }
        let ordered = state.pending.unwrap_or(u32::MAX).min(ceiling);
        if !wish.is_last {
            let at_ms = state.up_ms.max(state.down_ms);
            self.wait(held, Wait { at_ms, cooldown, stays: stays(ordered, held), is_adopted: false });
        }
        self.wait(held, Wait { at_ms: state.adopted_ms, cooldown, stays: stays(ceiling, held), is_adopted: true });
        let step = steps(scale_down.max_step, view.from);
        held.set(Limit::MaxStep, stays(view.from.saturating_sub(step), held), || format!("{step} at once at most"));
        self.count(held, stays(ordered, held));
    }

    fn wait(&self, held: &mut Held, wait: Wait) {
        let Wait { at_ms, cooldown, stays, is_adopted } = wait;
        let Some(left) = at_ms.and_then(|at| cooldown.checked_sub(self.since(at))).filter(|&left| left > 0) else { return };
        let (cooldown, left) = (time(cooldown), time(left));
        held.is_adopted |= is_adopted && stays != held.to;
        held.set(Limit::Cooldown, stays, || match is_adopted {
            true => format!("somebody else's change is respected for {cooldown}, still {left}"),
            false => format!("cooldown of {cooldown} ends in {left}"),
        });
    }

    fn count(&self, held: &mut Held, stays: u32) {
        let allowed = self.terms().max_events_per_hour;
        let is_spent = self.state.events.len() >= usize::try_from(allowed).unwrap_or(usize::MAX);
        if is_spent {
            let oldest = self.state.events.front().map_or(0, |&at| HOUR_MS.saturating_sub(self.since(at)));
            held.set(Limit::EventsPerHour, stays, || format!("{allowed} scalings an hour at most, the next in {}", time(oldest)));
        }
    }
}

/// A time that must pass.
struct Wait {
    at_ms: Option<u64>,
    cooldown: u64,
    /// How many there are until then.
    stays: u32,
    is_adopted: bool,
}
