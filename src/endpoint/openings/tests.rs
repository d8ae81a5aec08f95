use proptest::prelude::{any, prop, prop_assert_eq, proptest};

use super::*;
use crate::endpoint::{Attempt, Endpoint, EndpointSet};
use crate::kit::clock::Tick;
use crate::model::{Address, EndpointSpec, Weight};

const START: Tick = Tick::from_nanos(0);

/// A set with these limits, named by their places.
fn set(limits: impl IntoIterator<Item = Option<u32>>, previous: Option<&EndpointSet>) -> EndpointSet {
    let specs = limits.into_iter().enumerate().map(|(n, slots)| EndpointSpec {
        id: format!("e{n}").parse().unwrap(),
        address: Address::Ip("127.0.0.1:80".parse().unwrap()),
        weight: Weight::ONE,
        max_connections: slots,
        capabilities: std::collections::BTreeSet::new(),
        zone: None,
    });
    EndpointSet::new(&"pool".parse().unwrap(), specs, previous, START)
}

fn open(set: &EndpointSet) -> Vec<usize> {
    set.with_openings().map(|(place, _)| place).collect()
}

/// What [`open`] must be when nothing changes meanwhile.
fn free(set: &EndpointSet) -> Vec<usize> {
    (0..set.len()).filter(|&place| set.endpoints()[place].has_slot()).collect()
}

fn take(set: &EndpointSet, place: usize) -> Option<Attempt> {
    Attempt::try_begin(&set.endpoints()[place], START)
}

#[test]
fn bits_are_told_in_order() {
    for (word, expected) in [(0, vec![]), (1, vec![0]), (0b1010_0100, vec![2, 5, 7]), (1 << 63 | 1, vec![0, 63])] {
        assert_eq!(bits(word).collect::<Vec<_>>(), expected);
    }
    assert_eq!(bits(u64::MAX).collect::<Vec<_>>(), (0..64).collect::<Vec<_>>());
}

/// The places of these words.
fn places(openings: &Openings, numbers: std::ops::Range<usize>) -> Vec<usize> {
    openings.words(numbers).flat_map(|(n, word)| bits(word).map(move |bit| n * 64 + bit)).collect()
}

#[test]
fn every_place_is_open_at_first_and_none_beyond_the_last() {
    for len in [1, 63, 64, 65, 128, 200, 1023, 1024, 1025, 3000] {
        assert_eq!(places(&Openings::new(len), 0..usize::MAX), (0..len).collect::<Vec<_>>());
    }
    assert!(Openings::new(0).is_empty());
}

proptest! {
    #[test]
    fn words_are_told_by_number_whatever_was_set_and_cleared(
        changes in prop::collection::vec((0_usize..3000, any::<bool>()), 0..200), full: bool, from in 0_usize..50, to in 0_usize..50,
    ) {
        let openings = Openings::new(3000);
        let mut expected = vec![!full; 3000];
        if full {
            (0..3000).for_each(|place| openings.set(place, false));
        }
        for (place, is_open) in changes {
            if expected[place] != is_open {
                openings.set(place, is_open);
                expected[place] = is_open;
            }
        }
        let within = |place: &usize| expected[*place] && (from * 64..to * 64).contains(place);
        prop_assert_eq!(places(&openings, from..to), (0..3000).filter(within).collect::<Vec<_>>());
        prop_assert_eq!(openings.count(), expected.iter().filter(|&&is_open| is_open).count());
    }
}

#[test]
fn a_set_is_full_when_every_slot_is_taken() {
    let set = set([Some(1), Some(2)], None);
    let mut running = vec![take(&set, 0), take(&set, 1)];
    assert_eq!((set.is_full(), open(&set)), (false, vec![1]));
    running.push(take(&set, 1));
    assert_eq!((set.is_full(), open(&set)), (true, vec![]));
    running.remove(0);
    assert_eq!((set.is_full(), open(&set)), (false, vec![0]));
}

#[test]
fn a_set_without_limits_or_with_one_that_has_none_is_never_full() {
    let unlimited = set([None, None], None);
    let _running = [take(&unlimited, 0), take(&unlimited, 1)];
    assert_eq!((unlimited.is_full(), open(&unlimited)), (false, vec![0, 1]));
    let mixed = set([Some(1), None], None);
    let _running = [take(&mixed, 0), take(&mixed, 1)];
    assert_eq!((mixed.is_full(), open(&mixed)), (false, vec![1]));
    assert!(!set([], None).is_full());
}

#[test]
fn each_membership_goes_by_its_own_limits_as_long_as_it_lives() {
    let old = set([Some(2)], None);
    let one = take(&old, 0);
    let less = set([Some(1)], Some(&old));
    let more = set([Some(3)], Some(&less));
    assert_eq!((open(&old), open(&less), open(&more)), (vec![0], vec![], vec![0]));
    let two = take(&more, 0);
    assert_eq!((open(&old), open(&less), open(&more)), (vec![], vec![], vec![0]));
    drop((old, one));
    assert_eq!((open(&less), open(&more)), (vec![], vec![0]));
    drop(two);
    assert_eq!((open(&less), open(&more)), (vec![0], vec![0]));
}

#[test]
fn a_set_that_is_dropped_is_forgotten() {
    let old = set([Some(1)], None);
    let new = set([Some(1)], Some(&old));
    let watched = |endpoint: &Endpoint| endpoint.state.watchers().list.lock().unwrap().len();
    assert_eq!(watched(&new.endpoints()[0]), 2);
    drop(old);
    assert_eq!(watched(&new.endpoints()[0]), 1);
}

#[test]
fn when_threads_have_gone_the_openings_are_what_is_free() {
    for round in 0..50 {
        let first = set([Some(1), Some(2), Some(1)], None);
        let kept: Vec<_> = std::thread::scope(|scope| {
            let worker = |seed: u64| {
                let (mut rng, mut running, first) = (fastrand::Rng::with_seed(seed), Vec::new(), &first);
                move || {
                    for _ in 0..300 {
                        match rng.u8(..3) {
                            0 if !running.is_empty() => drop(running.swap_remove(rng.usize(..running.len()))),
                            // Sets that come and go while counts change.
                            1 if rng.u8(..20) == 0 => drop(set([Some(2), Some(1), None], Some(first))),
                            _ => running.extend(take(first, rng.usize(..3))),
                        }
                    }
                    running
                }
            };
            let threads: Vec<_> = (0..3).map(|n| scope.spawn(worker(round * 3 + n))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let second = set([Some(2), Some(1), None], Some(&first));
        assert_eq!((open(&first), open(&second)), (free(&first), free(&second)));
        drop(kept);
        assert_eq!((open(&first), first.openings().unwrap().count.load(SeqCst)), (vec![0, 1, 2], 3));
    }
}

proptest! {
    #[test]
    fn in_every_living_set_the_openings_are_what_is_free(
        calls in prop::collection::vec((0_u8..8, any::<prop::sample::Index>(), prop::option::of(0_u32..4)), 1..120),
    ) {
        let mut sets = vec![set((0..70).map(|n| Some(n % 3)), None)];
        let mut running = Vec::new();
        for (call, which, slots) in calls {
            let known = &sets[which.index(sets.len())];
            let place = which.index(known.len());
            match call {
                0..=3 => running.extend(take(known, place)),
                // Beyond the limit, as one may who has begun by an older one.
                4 => running.push(Attempt::begin(known.endpoints()[place].clone(), START)),
                5 if !running.is_empty() => drop(running.swap_remove(which.index(running.len()))),
                6 => {
                    let limits: Vec<_> = (0..60 + place % 20).map(|n| if n % 7 == place % 7 { slots } else { Some(1) }).collect();
                    let next = set(limits, sets.last());
                    sets.push(next);
                }
                7 if sets.len() > 1 => drop(sets.remove(0)),
                _ => {}
            }
            for set in &sets {
                prop_assert_eq!(open(set), free(set));
                let count = set.openings().map_or(set.len(), |openings| openings.count.load(SeqCst));
                prop_assert_eq!((count, set.is_full()), (free(set).len(), count == 0));
            }
        }
    }
}
