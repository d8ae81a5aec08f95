//! Members of a view that may have a free slot: the bits of the set's [`Openings`] that are members'.
//!
//! For pools where few slots are free: 64 endpoints are asked by one load. Whoever is found is still to be asked whether a slot is free.

use std::ops::Range;

use fastrand::Rng;

use crate::endpoint::{EndpointSet, Openings, bits};

use super::view::Members;

/// Places in one word.
const WORD: usize = u64::BITS as usize;

/// The openings of a set, and who is a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open<'a> {
    openings: &'a Openings,
    /// A bit for each place in the set.
    members: &'a [u64],
}

impl<'a> Open<'a> {
    /// Returns those of `members` in `set`, `None` when no endpoint has a limited number of slots.
    pub(super) fn new(members: &'a Members, set: &'a EndpointSet) -> Option<Self> {
        set.openings().map(|openings| Self { openings, members: &members.bits })
    }

    /// Tells whether there is none.
    pub(super) fn is_empty(self) -> bool {
        self.openings.is_empty() || self.words(0..usize::MAX).next().is_none()
    }

    /// Returns how many there are at most; one load.
    pub(super) fn count(self) -> usize {
        self.openings.count()
    }

    /// Returns the places in the set, each once, from `place` on and around.
    pub(super) fn from(self, place: usize) -> impl Iterator<Item = usize> + Clone + use<'a> {
        let (first, behind) = (place / WORD, u64::MAX << (place % WORD));
        // The first word is seen twice: its end first, and its beginning last.
        let ahead = self.words(first..usize::MAX).map(move |(n, word)| (n, if n == first { word & behind } else { word }));
        let around = self.words(0..first + 1).map(move |(n, word)| (n, if n == first { word & !behind } else { word }));
        ahead.chain(around).flat_map(|(n, word)| bits(word).map(move |bit| n * WORD + bit))
    }

    /// Draws a place in the set, each with the same chance; `None` when there is none.
    pub(super) fn draw(self, rng: &mut Rng) -> Option<usize> {
        // Of all words so far, one is kept with the chance of its bits.
        let (mut seen, mut kept) = (0, None);
        for (n, word) in self.words(0..usize::MAX) {
            let ones = word.count_ones();
            seen += ones;
            if rng.u32(..seen) < ones {
                kept = Some((n, word));
            }
        }
        let (n, word) = kept?;
        let bit = bits(word).nth(rng.usize(..word.count_ones() as usize))?;
        Some(n * WORD + bit)
    }

    /// Returns the words of `numbers` that are not 0, with their numbers.
    fn words(self, numbers: Range<usize>) -> impl Iterator<Item = (usize, u64)> + Clone + use<'a> {
        let members = move |(n, word)| Some((n, word & self.members.get(n)?)).filter(|&(_, word)| word != 0);
        self.openings.words(numbers).filter_map(members)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::balance::testing::{load, set_of, spec};
    use crate::model::EndpointSpec;

    proptest! {
        #[test]
        fn free_members_come_once_in_turn_and_each_is_drawn_as_often(
            places in prop::collection::vec((any::<bool>(), any::<bool>()), 1..200), start: prop::sample::Index, seed: u64,
        ) {
            let specs = (0..places.len()).map(|n| EndpointSpec { max_connections: Some(1), ..spec(&format!("e{n}"), 1.0, &[]) });
            let set = set_of(specs, None);
            let full = |n: &usize| places[*n].1;
            let _running: Vec<_> = (0..places.len()).filter(full).flat_map(|n| load(&set, &format!("e{n}"), 1)).collect();
            let mut members = Members::default();
            members.clear(&set);
            (0..places.len()).filter(|&n| places[n].0).for_each(|n| members.push(n as u32, 1));
            let open = Open::new(&members, &set).unwrap();
            let start = start.index(places.len());
            let expected: Vec<_> = (start..places.len()).chain(0..start).filter(|&n| places[n] == (true, false)).collect();
            prop_assert_eq!(open.from(start).collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(open.is_empty(), expected.is_empty());
            let mut rng = Rng::with_seed(seed);
            let mut counts = vec![0; places.len()];
            let draws = expected.len() * 400;
            (0..draws).filter_map(|_| open.draw(&mut rng)).for_each(|place| counts[place] += 1);
            prop_assert!(open.draw(&mut rng).is_some() != expected.is_empty());
            // Seven standard deviations of 20.
            prop_assert!(expected.iter().all(|&place| (260..540).contains(&counts[place])), "{:?}", counts);
            prop_assert_eq!(counts.iter().sum::<usize>(), draws);
            prop_assert!((0..places.len()).all(|place| counts[place] == 0 || expected.contains(&place)));
        }
    }
}
