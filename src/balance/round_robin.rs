//! Strict rotation.

use fastrand::Rng;

use crate::endpoint::EndpointSet;

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
        let endpoints = pick.set.endpoints();
        let free = |position: &usize| pick.has_slot(&endpoints[members.index(*position)]);
        let is_tried = |position: usize| pick.is_tried(&endpoints[members.index(position)]);
        let mut turns = (first..members.len()).chain(0..first).filter(free);
        // Passes over no more than were tried or are full.
        let untried = turns.clone().find(|&position| !is_tried(position));
        let position = untried.or_else(|| turns.next()).ok_or(NoPick::Full)?;
        rotation.turn = Some(if position + 1 < members.len() { position + 1 } else { 0 });
        rotation.last = Some(members.indexes[position]);
        Ok(members.index(position))
    }
}

#[cfg(test)]
mod tests;
