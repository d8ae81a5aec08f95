//! The books of one pool: who is due, who is being checked, and what each result does. Pure, but for the bits that it sets.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::plan::{Plan, Watched};
use crate::endpoint::{Cause, Endpoint, Serial};
use crate::health::heal::Healer;
use crate::health::schedule;
use crate::health::verdict::{Change, Checked, Finding, First, Standing, Verdict};
use crate::kit::clock::Tick;
use crate::model::Health;
use crate::upstream::Target;

/// The books of one pool.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) plan: Plan,
    /// In the order of the pool.
    pub(super) order: Vec<Serial>,
    pub(super) slots: HashMap<Serial, Slot>,
    due: BTreeSet<(Tick, Serial)>,
    is_off: bool,
}

/// What is kept of one endpoint.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) verdict: Verdict,
    target: Target,
    healer: Healer,
    pub(super) healed: Option<Healed>,
    /// `None` while a check runs.
    due: Option<Tick>,
    /// Grows when what is asked changes: a result of an earlier round says nothing any more.
    round: u64,
}

/// What was last done about an endpoint that stayed down.
#[derive(Clone, Debug)]
pub(super) struct Healed {
    pub(super) at: Tick,
    /// `webhook` or `restart`.
    pub(super) action: &'static str,
    pub(super) result: Result<(), String>,
}

/// Which check it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) serial: Serial,
    round: u64,
}

/// A check that is to run.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) ticket: Ticket,
    pub(super) health: Arc<Health>,
    pub(super) target: Target,
}

/// What a result did.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) change: Option<Change>,
}

impl Ledger {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, order: Vec::new(), slots: HashMap::new(), due: BTreeSet::new(), is_off: false }
    }

    /// Takes the pool's present endpoints; what is believed of those that stay is kept.
    pub(super) fn update(&mut self, members: Vec<Watched>, now: Tick, rng: &mut Rng) {
        self.order = members.iter().map(|member| member.endpoint.serial()).collect();
        let mut before = std::mem::take(&mut self.slots);
        self.due.clear();
        for Watched { endpoint, target, first } in members {
            let serial = endpoint.serial();
            let mut slot = match before.remove(&serial) {
                Some(known) => Slot { endpoint, ..known },
                None => Slot::new(endpoint, target.clone(), first, &self.plan.health, now, rng),
            };
            if !slot.target.is_same(&target) {
                slot.target = target;
                slot.begin_round(&self.plan.health, now, rng);
            }
            self.due.extend(slot.due.map(|due| (due, serial)));
            self.slots.insert(serial, slot);
        }
    }

    /// Takes other settings; what is believed stays, and everybody is asked soon when the settings differ.
    pub(super) fn configure(&mut self, plan: Plan, now: Tick, rng: &mut Rng) {
        let before = std::mem::replace(&mut self.plan, plan);
        if before.health == self.plan.health {
            return;
        }
        self.due.clear();
        for (&serial, slot) in &mut self.slots {
            slot.verdict.configure(&self.plan.health);
            slot.begin_round(&self.plan.health, now, rng);
            self.due.extend(slot.due.map(|due| (due, serial)));
        }
    }

    /// Ends the checks for good, and takes back what they said.
    pub(super) fn switch_off(&mut self, now: Tick) {
        self.is_off = true;
        self.due.clear();
        for slot in self.slots.values() {
            let state = &slot.endpoint.state;
            state.mark_healthy(now);
            state.set_degraded(false);
            state.set(Cause::Down, false);
        }
    }

    /// Returns when the next check is due.
    pub(super) fn next_due(&self) -> Option<Tick> {
        self.due.first().map(|&(due, _)| due)
    }

    /// Takes a check that is due.
    pub(super) fn take_due(&mut self, now: Tick) -> Option<Job> {
        let &(due, serial) = self.due.first().filter(|(due, _)| *due <= now)?;
        self.due.remove(&(due, serial));
        let slot = self.slots.get_mut(&serial)?;
        slot.due = None;
        let ticket = Ticket { serial, round: slot.round };
        Some(Job { ticket, health: Arc::clone(&self.plan.health), target: slot.target.clone() })
    }

    /// Takes in the result of a check; `None` when nobody is interested in it any more.
    pub(super) fn record(&mut self, ticket: Ticket, checked: Checked, now: Tick, rng: &mut Rng) -> Option<Recorded> {
        let slot = self.slots.get_mut(&ticket.serial).filter(|slot| slot.round == ticket.round && !self.is_off)?;
        let finding = checked.finding;
        let change = slot.verdict.on_result(checked, now);
        let standing = slot.verdict.standing();
        slot.tell(finding, now);
        let due = schedule::next(&self.plan.health, standing, now, rng);
        slot.due = Some(due);
        self.due.insert((due, ticket.serial));
        Some(Recorded { endpoint: Arc::clone(&slot.endpoint), change })
    }

    /// Returns how long an endpoint has been down when something is to be done about it now, and remembers that it was.
    ///
    /// Asked after a bad result, so that what is done about an endpoint rests on news and not on memory.
    pub(super) fn take_heal(&mut self, ticket: Ticket, now: Tick) -> Option<Duration> {
        let heal = self.plan.health.heal.as_ref()?;
        let slot = self.slots.get_mut(&ticket.serial).filter(|slot| slot.verdict.standing() == Standing::Unhealthy)?;
        let since = slot.verdict.since();
        slot.healer.due(heal.after, heal.cooldown, since, now).then(|| now.since(since))
    }

    /// Takes in what was done about an endpoint; one that is gone does not care.
    pub(super) fn healed(&mut self, serial: Serial, healed: Healed) {
        if let Some(slot) = self.slots.get_mut(&serial) {
            slot.healed = Some(healed);
        }
    }
}

impl Slot {
    fn new(endpoint: Arc<Endpoint>, target: Target, first: First, health: &Health, now: Tick, rng: &mut Rng) -> Self {
        // Who has been in use must not be taken out because checks begin.
        let first = if endpoint.state.healthy_since().is_some() { First::UseAtOnce } else { first };
        if first == First::AfterGoodCheck {
            endpoint.state.set(Cause::Down, true);
        }
        let due = Some(schedule::first(health, first, now, rng));
        Self { endpoint, verdict: Verdict::new(health, first, now), target, healer: Healer::default(), healed: None, due, round: 0 }
    }

    /// Lets a check with the present settings run soon, and forgets the one that runs.
    fn begin_round(&mut self, health: &Health, now: Tick, rng: &mut Rng) {
        let first = if self.verdict.standing() == Standing::Unhealthy { First::AfterGoodCheck } else { First::UseAtOnce };
        self.round += 1;
        self.due = Some(schedule::first(health, first, now, rng));
    }

    /// Tells pickers how the endpoint stands.
    fn tell(&self, finding: Finding, now: Tick) {
        let standing = self.verdict.standing();
        let state = &self.endpoint.state;
        // Before it becomes available, so that its first request already finds it in slow start, and at half weight.
        if standing != Standing::Unhealthy && finding != Finding::Bad {
            state.mark_healthy(now);
        }
        state.set_degraded(standing == Standing::Degraded);
        state.set(Cause::Down, standing == Standing::Unhealthy);
    }
}
