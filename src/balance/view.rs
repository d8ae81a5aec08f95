//! What a picker derives from a set: the endpoints that may take a request, by what the request requires.
//!
//! Derived in O(n) when the set's stamp has changed, and step by step while weights grow in slow start; otherwise a pick finds it ready.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use crate::endpoint::{Endpoint, EndpointSet, Mask, Serial, Stamp};
use crate::kit::clock::Tick;

use super::picker::{NoPick, Pick};

/// Views kept by a picker; a request whose requirements are not among them takes the place of the one unused for longest.
const MAX_VIEWS: usize = 16;

/// Slow start moves by one percent of the weight at a time, from 10 to 100.
const RAMP_STEPS: u32 = 90;

/// Views are not derived again for slow start more often than this.
const MIN_RAMP_STEP: Duration = Duration::from_millis(10);

/// What a strategy keeps beside the members of a view.
pub(super) trait Follow: Default + Debug {
    /// Takes in new members.
    fn follow(&mut self, set: &EndpointSet, members: &Members);
}

impl Follow for () {
    fn follow(&mut self, _: &EndpointSet, _: &Members) {}
}

/// The endpoints that may take a request, in the order of the set.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Places in the set, rising.
    pub(super) indexes: Vec<u32>,
    /// The weight of each, in hundredths of a hundredth: slow start takes whole percents of a weight. Never 0.
    pub(super) weights: Vec<u32>,
    /// A bit for each place in the set; empty when no endpoint has a limited number of slots.
    pub(super) bits: Vec<u64>,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.indexes.len()
    }

    /// Returns the place in the set of the member at `position`, which is below `len`.
    pub(super) fn index(&self, position: usize) -> usize {
        self.indexes[position] as usize
    }

    /// Returns the position of the member at `place` in the set; O(log n).
    pub(super) fn position(&self, place: usize) -> Option<usize> {
        self.indexes.binary_search_by(|&index| (index as usize).cmp(&place)).ok()
    }

    /// Begins anew, for `set`.
    pub(super) fn clear(&mut self, set: &EndpointSet) {
        self.indexes.clear();
        self.weights.clear();
        self.bits.clear();
        self.bits.resize(if set.is_limited() { set.len().div_ceil(64) } else { 0 }, 0);
    }

    /// Adds who comes after all others in the set.
    pub(super) fn push(&mut self, index: u32, weight: u32) {
        self.indexes.push(index);
        self.weights.push(weight);
        if let Some(word) = self.bits.get_mut(index as usize / 64) {
            *word |= 1 << (index % 64);
        }
    }
}

/// The members for one mask, and what the strategy keeps beside them.
#[derive(Debug)]
pub(super) struct View<S> {
    required: Mask,
    stamp: Stamp,
    /// When a weight in slow start has grown enough to matter.
    ramp_at: Option<Tick>,
    used: u64,
    pub(super) members: Members,
    pub(super) state: S,
}

/// The views of one picker.
#[derive(Debug)]
pub(super) struct Views<S> {
    slow_start: Option<Duration>,
    views: Vec<View<S>>,
    uses: u64,
}

impl<S: Follow> Views<S> {
    pub(super) fn new(slow_start: Option<Duration>) -> Self {
        Self { slow_start, views: Vec::new(), uses: 0 }
    }

    /// Returns the view for `pick`, with at least one member, unless every slot of the pool is taken.
    pub(super) fn get(&mut self, pick: &Pick<'_>) -> Result<&mut View<S>, NoPick> {
        self.uses += 1;
        let required = pick.ask.required;
        let known = self.views.iter().position(|view| view.required == required);
        let place = known.unwrap_or_else(|| self.add(pick));
        let view = &mut self.views[place];
        view.used = self.uses;
        let due = view.ramp_at.is_some_and(|at| pick.now >= at);
        if known.is_none() || due || view.stamp != pick.set.stamp() {
            view.derive(pick, self.slow_start);
        }
        if view.members.len() == 0 {
            Err(refusal(pick))
        } else if pick.set.is_full() {
            Err(NoPick::Full)
        } else {
            Ok(view)
        }
    }

    fn add(&mut self, pick: &Pick<'_>) -> usize {
        let view = View {
            required: pick.ask.required,
            stamp: pick.set.stamp(),
            ramp_at: None,
            used: 0,
            members: Members::default(),
            state: S::default(),
        };
        let oldest = (0..self.views.len()).min_by_key(|&place| self.views[place].used);
        match oldest {
            Some(place) if self.views.len() >= MAX_VIEWS => self.views[place] = view,
            _ => self.views.push(view),
        }
        self.views.iter().position(|view| view.required == pick.ask.required).unwrap_or_default()
    }
}

impl<S: Follow> View<S> {
    fn derive(&mut self, pick: &Pick<'_>, slow_start: Option<Duration>) {
        // Before the endpoints are read, so that a change meanwhile makes the stamp stale.
        self.stamp = pick.set.stamp();
        self.members.clear(pick.set);
        let mut ramping = false;
        for (index, endpoint) in (0..).zip(pick.set.endpoints()) {
            if !endpoint.mask().offers(self.required) || !endpoint.is_eligible() {
                continue;
            }
            let percent = endpoint.state.ramp_percent(slow_start, pick.now);
            ramping |= percent < 100 && endpoint.state.healthy_since().is_some();
            // The weight may have become 0 since it was asked; the next pick will see that.
            self.members.push(index, (endpoint.weight().hundredths() * percent).max(1));
        }
        self.ramp_at = slow_start.filter(|_| ramping).map(|window| pick.now + (window / RAMP_STEPS).max(MIN_RAMP_STEP));
        self.state.follow(pick.set, &self.members);
    }
}

/// Says why nobody may take the request.
fn refusal(pick: &Pick<'_>) -> NoPick {
    let offers = |endpoint: &std::sync::Arc<Endpoint>| endpoint.mask().offers(pick.ask.required);
    if pick.set.is_empty() {
        NoPick::Empty
    } else if pick.set.endpoints().iter().any(offers) {
        NoPick::Unavailable
    } else {
        NoPick::Capability
    }
}

/// Who was at which place of the last set, so that what was kept by place can move to the next set.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<Serial>);

impl Places {
    /// Takes in `set`, and returns for each old place the new one, `None` for who is gone.
    pub(super) fn follow(&mut self, set: &EndpointSet) -> Vec<Option<u32>> {
        let serials = || set.endpoints().iter().map(|endpoint| endpoint.serial());
        if serials().eq(self.0.iter().copied()) {
            return (0..self.0.len() as u32).map(Some).collect();
        }
        let new: HashMap<Serial, u32> = serials().zip(0..).collect();
        let moves = self.0.iter().map(|serial| new.get(serial).copied()).collect();
        self.0.clear();
        self.0.extend(serials());
        moves
    }
}
