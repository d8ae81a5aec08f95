use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

use super::*;

fn id(name: &str) -> Id {
    name.parse().unwrap()
}

fn replica(name: &str, in_flight: u64) -> Candidate {
    Candidate { name: id(name), in_flight, serves: true, last_used_ms: 10, age_ms: 1_000_000_000 }
}

fn names(ids: &[Id]) -> Vec<&str> {
    ids.iter().map(Id::as_str).collect()
}

#[test]
fn the_one_with_the_fewest_running_requests_leaves_then_the_coldest_then_the_youngest() {
    let mut present = [replica("a", 3), replica("b", 1), replica("c", 1), replica("d", 1)];
    present[2].last_used_ms = 5;
    present[3].age_ms = 900_000_000;
    let mut retreat = Retreat::default();
    assert_eq!(names(&retreat.step(&present, 3, 1000, 0).drain), ["c"]);
    assert_eq!(names(&retreat.step(&present, 2, 1000, 0).drain), ["d"]);
    assert_eq!(names(&retreat.step(&present, 1, 1000, 0).drain), ["b"]);
}

#[test]
fn one_that_does_not_serve_leaves_first_and_at_once() {
    let starting = Candidate { serves: false, last_used_ms: 0, ..replica("b", 0) };
    let moves = Retreat::default().step(&[replica("a", 0), starting], 1, 1000, 0);
    assert_eq!((names(&moves.drain), names(&moves.release)), (vec!["b"], vec!["b"]));
}

#[test]
fn a_replica_goes_when_it_was_found_empty_twice_in_a_row() {
    let mut retreat = Retreat::default();
    let look =
        |retreat: &mut Retreat, in_flight, now| retreat.step(&[replica("a", 9), replica("b", in_flight)], 1, 60_000, now).release;
    assert_eq!(look(&mut retreat, 0, 0), []);
    assert_eq!(look(&mut retreat, 1, 1), []);
    assert_eq!(look(&mut retreat, 0, 2), []);
    assert_eq!(look(&mut retreat, 0, 3), [id("b")]);
    assert_eq!(look(&mut retreat, 0, 4), [], "it is let go once");
}

#[test]
fn a_replica_goes_when_its_time_is_over() {
    let mut retreat = Retreat::default();
    let present = [replica("a", 9), replica("b", 5)];
    assert_eq!(retreat.step(&present, 1, 100, 0).release, []);
    assert_eq!(retreat.step(&present, 1, 100, 99).release, []);
    assert_eq!(retreat.step(&present, 1, 100, 100).release, [id("b")]);
}

#[test]
fn returning_load_takes_the_busiest_back_first() {
    let mut retreat = Retreat::default();
    let present = [replica("a", 9), replica("b", 2), replica("c", 1)];
    assert_eq!(retreat.step(&present, 1, 1000, 0).drain.len(), 2);
    assert_eq!(names(&retreat.step(&present, 2, 1000, 1).undrain), ["b"]);
    assert_eq!(retreat.draining().collect::<Vec<_>>(), [&id("c")]);
    assert_eq!(names(&retreat.step(&present, 5, 1000, 2).undrain), ["c"]);
}

#[test]
fn what_was_released_does_not_come_back_unless_the_platform_kept_it() {
    let mut retreat = Retreat::default();
    let present = [replica("a", 9), replica("b", 0)];
    retreat.step(&present, 1, 1000, 0);
    assert_eq!(retreat.step(&present, 1, 1000, 1).release, [id("b")]);
    assert_eq!(retreat.step(&present, 2, 1000, 2), Moves::default());
    retreat.keep(&[id("b")]);
    assert_eq!(names(&retreat.step(&present, 2, 1000, 3).undrain), ["b"]);
}

#[test]
fn a_replica_that_the_platform_spared_serves_again() {
    let mut retreat = Retreat::default();
    let present = [replica("a", 9), replica("b", 0)];
    retreat.step(&present, 1, 1000, 0);
    retreat.step(&present, 1, 1000, 1);
    // The platform ended `a` instead.
    let left = [replica("b", 0)];
    assert_eq!(retreat.step(&left, 1, 1000, 30_000), Moves::default());
    assert_eq!(names(&retreat.step(&left, 1, 1000, 30_001).undrain), ["b"]);
    assert!(retreat.leaving().is_empty());
}

#[test]
fn another_replica_of_the_same_name_has_nothing_to_leave_for() {
    let mut retreat = Retreat::default();
    let aged = |age_ms| Candidate { age_ms, ..replica("b", 0) };
    retreat.step(&[replica("a", 9), aged(1000)], 1, 1000, 0);
    assert_eq!(retreat.step(&[replica("a", 9), aged(1100)], 1, 1000, 100).release, [id("b")]);
    assert_eq!(retreat.step(&[replica("a", 9), aged(1200)], 2, 1000, 200), Moves::default(), "it is the same one");
    retreat.step(&[replica("a", 9), aged(90)], 2, 1000, 300);
    assert!(retreat.leaving().is_empty(), "it has come since the last look");
}

#[test]
fn a_replica_that_is_gone_is_forgotten() {
    let mut retreat = Retreat::default();
    retreat.step(&[replica("a", 9), replica("b", 0)], 1, 1000, 0);
    assert_eq!(retreat.step(&[replica("a", 9)], 1, 1000, 1), Moves::default());
    assert!(retreat.leaving().is_empty());
}

proptest! {
    #[test]
    fn as_many_stay_as_are_wanted_and_nobody_busy_is_let_go_early(
        loads in prop::collection::vec(0..4_u64, 1..8),
        wanted in prop::collection::vec(0..10_u32, 1..40),
    ) {
        let mut retreat = Retreat::default();
        let mut released = Vec::new();
        for (now, wanted) in wanted.into_iter().enumerate() {
            let present: Vec<_> = loads.iter().enumerate().map(|(n, load)| replica(&format!("r{n}"), *load)).collect();
            let moves = retreat.step(&present, wanted, 1_000_000, now as u64);
            for name in &moves.release {
                let load = present.iter().find(|candidate| candidate.name == *name).map(|candidate| candidate.in_flight);
                prop_assert_eq!(load, Some(0));
                prop_assert!(!released.contains(name), "released twice");
            }
            released.extend(moves.release);
            let gone = retreat.released().count();
            let staying = present.len() - retreat.leaving().len();
            prop_assert_eq!(staying, (wanted as usize).min(present.len() - gone));
        }
    }
}
