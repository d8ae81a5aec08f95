use crate::balance::Ask;
use crate::balance::testing::{Bench, equals, load, set, set_of, spec};
use crate::endpoint::{Cause, EndpointSet};
use crate::model::{EndpointSpec, Strategy};
use proptest::prelude::{prop_assert, proptest};

fn bench() -> Bench {
    Bench::new(Strategy::RoundRobin)
}

/// Picks until `name` was picked.
fn wind_to(bench: &mut Bench, set: &EndpointSet, name: &str) {
    assert!((0..=set.len()).any(|_| bench.pick(set) == name));
}

#[test]
fn each_endpoint_comes_in_turn_whatever_its_weight() {
    let (set, mut bench) = (set(&[("a", 1.0), ("b", 9.0), ("c", 0.1)]), bench());
    wind_to(&mut bench, &set, "c");
    assert_eq!(bench.names(&set, 6), ["a", "b", "c", "a", "b", "c"]);
}

#[test]
fn pickers_do_not_all_begin_with_the_first_endpoint() {
    let set = equals(4);
    let first = |seed| {
        let mut bench = bench();
        bench.rng = fastrand::Rng::with_seed(seed);
        bench.pick(&set).to_owned()
    };
    let firsts: std::collections::BTreeSet<_> = (0..50).map(first).collect();
    assert_eq!(firsts.len(), 4);
}

#[test]
fn rotation_goes_on_after_an_endpoint_has_left_and_returned() {
    let (set, mut bench) = (equals(4), bench());
    wind_to(&mut bench, &set, "e1");
    set.endpoints()[2].state.set(Cause::Down, true);
    assert_eq!(bench.names(&set, 2), ["e3", "e0"]);
    set.endpoints()[2].state.set(Cause::Down, false);
    assert_eq!(bench.names(&set, 4), ["e1", "e2", "e3", "e0"]);
}

#[test]
fn rotation_goes_on_over_a_reload() {
    let (old, mut bench) = (equals(4), bench());
    wind_to(&mut bench, &old, "e1");
    let new = set_of(["new", "e0", "e1", "e2", "e3"].map(|id| spec(id, 1.0, &[])), Some(&old));
    assert_eq!(bench.names(&new, 3), ["e2", "e3", "new"]);
    wind_to(&mut bench, &new, "e1");
    let shrunk = set_of(["e0", "e3"].map(|id| spec(id, 1.0, &[])), Some(&new));
    assert_eq!(bench.names(&shrunk, 2), ["e3", "e0"]);
}

#[test]
fn rotation_goes_on_when_the_last_pick_itself_has_gone() {
    let (old, mut bench) = (equals(4), bench());
    wind_to(&mut bench, &old, "e1");
    let new = set_of(["e0", "e2", "e3"].map(|id| spec(id, 1.0, &[])), Some(&old));
    assert_eq!(bench.names(&new, 3), ["e2", "e3", "e0"]);
}

#[test]
fn a_tried_endpoint_is_passed_over() {
    let (set, mut bench) = (equals(3), bench());
    wind_to(&mut bench, &set, "e0");
    let tried = [set.endpoints()[1].serial()];
    assert_eq!(bench.ask(&set, &Ask { tried: &tried, ..Ask::default() }), Ok(2));
    assert_eq!(bench.pick(&set), "e0");
}

#[test]
fn of_many_that_are_full_the_next_with_a_slot_comes() {
    let specs = (0..300).map(|n| EndpointSpec { max_connections: Some(1), ..spec(&format!("e{n}"), 1.0, &[]) });
    let (set, mut bench) = (set_of(specs, None), bench());
    let _running: Vec<_> =
        (0..300).filter(|n| ![5, 130, 131, 299].contains(n)).flat_map(|n| load(&set, &format!("e{n}"), 1)).collect();
    wind_to(&mut bench, &set, "e5");
    assert_eq!(bench.names(&set, 5), ["e130", "e131", "e299", "e5", "e130"]);
    let _more = load(&set, "e131", 1);
    assert_eq!(bench.names(&set, 3), ["e299", "e5", "e130"]);
}

proptest! {
    #[test]
    fn counts_differ_by_at_most_one(n in 1_usize..50, picks in 0_usize..300, seed: u64) {
        let (set, mut bench) = (equals(n), bench());
        bench.rng = fastrand::Rng::with_seed(seed);
        let counts = bench.counts(&set, picks);
        let most = counts.values().max().copied().unwrap_or(0);
        let least = if counts.len() < n { 0 } else { counts.values().min().copied().unwrap_or(0) };
        prop_assert!(most - least <= 1);
    }
}
