//! Strict rotation.

use fastrand::Rng;

use crate::endpoint::EndpointSet;

use super::open::Open;
use super::picker::{NoPick, Pick};
use super::view::{Follow, Members, Places, Views};

/// Each available endpoint in turn, whatever its weight and slow start (weight 0 takes nothing).
///
/// Begins at a random endpoint, so that many workers and replicas of the proxy do not all begin with the first one of the file.
#[derive(Debug)]
pub(super) struct RoundRobin {
    views: Views<Rotation>,
}

#[derive(Debug, Default)]
struct Rotation {
    /// The position among the members whose turn it is, `None` before the first.
    turn: Option<usize>,
    /// The place in the set of the last pick.
    last: Option<u32>,
    places: Places,
}

impl Follow for Rotation {
    fn follow(&mut self, set: &EndpointSet, members: &Members) {
        let moves = self.places.follow(set);
        let Some(last) = self.last.map(|last| last as usize) else { return };
        // The one after the last pick goes on: after it in the new set or, when it has gone, at the first that followed it and has stayed.
        let resume = match moves.get(last) {
            Some(&Some(place)) => Some(place + 1),
            _ => moves.iter().skip(last).chain(moves.iter().take(last)).find_map(|&place| place),
        };
        let turn = members.indexes.partition_point(|&index| index < resume.unwrap_or(0));
        self.turn = Some(if turn < members.len() { turn } else { 0 });
        self.last = resume.map(|place| place.checked_sub(1).unwrap_or(set.len().saturating_sub(1) as u32));
    }
}

impl RoundRobin {
    pub(super) fn new() -> Self {
        Self { views: Views::new(None) }
    }

    pub(super) fn pick(&mut self, pick: &Pick<'_>, rng: &mut Rng) -> Result<usize, NoPick> {
        let view = self.views.get(pick)?;
        let (members, rotation) = (&view.members, &mut view.state);
        let first = rotation.turn.unwrap_or_else(|| rng.usize(..members.len()));
        let position = match Open::new(members, pick.set) {
            Some(open) => next(open.from(members.index(first)).filter_map(|place| members.position(place)), members, pick),
            None => next((first..members.len()).chain(0..first), members, pick),
        };
        let position = position.ok_or(NoPick::Full)?;
        rotation.turn = Some(if position + 1 < members.len() { position + 1 } else { 0 });
        rotation.last = Some(members.indexes[position]);
        Ok(members.index(position))
    }
}

/// Returns the first of `turns` with a free slot that was not tried, or else the first with one.
fn next(turns: impl Iterator<Item = usize> + Clone, members: &Members, pick: &Pick<'_>) -> Option<usize> {
    let endpoint = |position: usize| &pick.set.endpoints()[members.index(position)];
    let mut free = turns.filter(|&position| pick.has_slot(endpoint(position)));
    // Passes over no more than were tried.
    let untried = free.clone().find(|&position| !pick.is_tried(endpoint(position)));
    untried.or_else(|| free.next())
}

#[cfg(test)]
mod tests;
