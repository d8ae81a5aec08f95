//! Who leaves, and when: replicas run empty before they go, and come back when they are needed first. Pure.
//!
//! A replica that is chosen gets no new requests from then on. It is let go once nothing has been running on it for two looks in a row (a request
//! that was picked before the choice was known begins within that time), or when its time is over. What is taken back was never gone.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::Id;

/// A replica that could leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: Id,
    /// Requests that run on it.
    pub in_flight: u64,
    /// Whether it serves; one that does not is missed by nobody.
    pub serves: bool,
    /// When it last got a request, monotonic milliseconds; 0 if never.
    pub last_used_ms: u64,
    /// How old it is.
    pub age_ms: u64,
}

/// A replica that is leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Leaving {
    /// Since when, monotonic milliseconds.
    pub since_ms: u64,
    /// When it goes at the latest.
    pub until_ms: u64,
    /// Looks in a row that found it empty.
    pub empty_looks: u32,
    /// When the platform was told to end it.
    pub released_ms: Option<u64>,
    /// How old it was when it was last looked at, and when that was: another one may come under the same name.
    #[serde(skip)]
    pub seen: (u64, u64),
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// They get no new requests from now on.
    pub drain: Vec<Id>,
    /// They get requests again.
    pub undrain: Vec<Id>,
    /// They are empty, or out of time: the platform may end them.
    pub release: Vec<Id>,
}

/// The replicas of a pool that are leaving.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retreat {
    leaving: BTreeMap<Id, Leaving>,
}

/// A replica that was to go and serves on after this long stays: its platform has chosen another one.
const RELEASE_PATIENCE_MS: u64 = 30_000;

/// Looks that must find a replica empty.
const EMPTY_LOOKS: u32 = 2;

impl Retreat {
    /// Returns those that are leaving and could still be taken back.
    pub fn draining(&self) -> impl Iterator<Item = &Id> {
        self.leaving.iter().filter(|(_, leaving)| leaving.released_ms.is_none()).map(|(name, _)| name)
    }

    /// Returns those that the platform has been told to end.
    pub fn released(&self) -> impl Iterator<Item = &Id> {
        self.leaving.iter().filter(|(_, leaving)| leaving.released_ms.is_some()).map(|(name, _)| name)
    }

    /// Returns everybody who is leaving.
    pub const fn leaving(&self) -> &BTreeMap<Id, Leaving> {
        &self.leaving
    }

    /// Looks at `present`, all replicas of the platform that are not on their way out by its own account, when `wanted` of them should stay.
    ///
    /// Each chosen one has `patience_ms` to run empty.
    pub fn step(&mut self, present: &[Candidate], wanted: u32, patience_ms: u64, now_ms: u64) -> Moves {
        self.forget_absent(present, now_ms);
        let mut moves = Moves::default();
        self.give_back(present, now_ms, &mut moves);
        let staying = present.iter().filter(|candidate| !self.leaving.contains_key(&candidate.name)).count();
        let wanted = wanted as usize;
        if staying < wanted {
            self.take_back(present, wanted - staying, &mut moves);
        } else if staying > wanted {
            self.choose(present, staying - wanted, (now_ms, patience_ms), &mut moves);
        }
        self.release(present, now_ms, &mut moves);
        moves
    }

    /// Forgets those that are not there any more, also when another one has their name by now.
    pub fn forget_absent(&mut self, present: &[Candidate], now_ms: u64) {
        self.leaving.retain(|name, leaving| {
            let Some(candidate) = present.iter().find(|candidate| candidate.name == *name) else { return false };
            let (age_ms, looked_ms) = leaving.seen;
            // The same one has aged by the time that has passed; one that has come since then is at most so old. Clocks that differ do so both times.
            let is_same = candidate.age_ms >= (age_ms / 2).saturating_add(now_ms.saturating_sub(looked_ms));
            leaving.seen = (candidate.age_ms, now_ms);
            is_same
        });
    }

    /// The platform was told to end those, and did not take it: they are still leaving.
    pub fn keep(&mut self, names: &[Id]) {
        for name in names {
            if let Some(leaving) = self.leaving.get_mut(name) {
                leaving.released_ms = None;
            }
        }
    }

    /// Lets everybody stay who has not been released, and returns them.
    pub fn cancel(&mut self) -> Vec<Id> {
        let back: Vec<Id> = self.draining().cloned().collect();
        self.leaving.retain(|_, leaving| leaving.released_ms.is_some());
        back
    }

    /// Those that the platform did not end, whatever it was told.
    fn give_back(&mut self, present: &[Candidate], now_ms: u64, moves: &mut Moves) {
        let is_left = |leaving: &Leaving| leaving.released_ms.is_some_and(|at| now_ms.saturating_sub(at) >= RELEASE_PATIENCE_MS);
        let serves = |name: &Id| present.iter().any(|candidate| candidate.name == *name && candidate.serves);
        let back = self.leaving.iter().filter(|(name, leaving)| is_left(leaving) && serves(name));
        moves.undrain.extend(back.map(|(name, _)| name.clone()));
        self.leaving.retain(|name, _| !moves.undrain.contains(name));
    }

    /// Those that are busiest come back first: their connections and caches are warm.
    fn take_back(&mut self, present: &[Candidate], count: usize, moves: &mut Moves) {
        let is_back =
            |candidate: &&Candidate| self.leaving.get(&candidate.name).is_some_and(|leaving| leaving.released_ms.is_none());
        let mut back: Vec<&Candidate> = present.iter().filter(is_back).collect();
        back.sort_by(|a, b| leaves_first(b, a));
        for candidate in back.into_iter().take(count) {
            self.leaving.remove(&candidate.name);
            moves.undrain.push(candidate.name.clone());
        }
    }

    fn choose(&mut self, present: &[Candidate], count: usize, (now_ms, patience_ms): (u64, u64), moves: &mut Moves) {
        let mut staying: Vec<&Candidate> = present.iter().filter(|candidate| !self.leaving.contains_key(&candidate.name)).collect();
        staying.sort_by(|a, b| leaves_first(a, b));
        for candidate in staying.into_iter().take(count) {
            let until_ms = now_ms.saturating_add(patience_ms);
            self.leaving.insert(
                candidate.name.clone(),
                Leaving { since_ms: now_ms, until_ms, empty_looks: 0, released_ms: None, seen: (candidate.age_ms, now_ms) },
            );
            moves.drain.push(candidate.name.clone());
        }
    }

    fn release(&mut self, present: &[Candidate], now_ms: u64, moves: &mut Moves) {
        for (name, leaving) in self.leaving.iter_mut().filter(|(_, leaving)| leaving.released_ms.is_none()) {
            let candidate = present.iter().find(|candidate| candidate.name == *name);
            let is_empty = candidate.is_none_or(|candidate| candidate.in_flight == 0);
            leaving.empty_looks = if is_empty { leaving.empty_looks + 1 } else { 0 };
            // One that never served has nothing to lose.
            let enough = if candidate.is_some_and(|candidate| candidate.serves) { EMPTY_LOOKS } else { 1 };
            if leaving.empty_looks >= enough || now_ms >= leaving.until_ms {
                leaving.released_ms = Some(now_ms);
                moves.release.push(name.clone());
            }
        }
    }
}

/// Orders by who is missed least: those that do not serve, then fewest running requests, then coldest, then youngest; then by name.
fn leaves_first(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    let key = |candidate: &Candidate| (candidate.serves, candidate.in_flight, candidate.last_used_ms, candidate.age_ms);
    // Of two equals the later name leaves: names are numbered, and the first ones have been there the longest.
    key(a).cmp(&key(b)).then_with(|| b.name.cmp(&a.name))
}

#[cfg(test)]
mod tests;
