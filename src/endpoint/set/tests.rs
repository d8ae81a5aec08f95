use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::endpoint::{Attempt, Cause, MAX_CAPABILITIES};
use crate::model::{Address, Outcome, Weight};

const START: Tick = Tick::from_nanos(0);

fn id(name: &str) -> Id {
    name.parse().unwrap()
}

fn spec(name: &str) -> EndpointSpec {
    EndpointSpec {
        id: id(name),
        address: Address::Ip("127.0.0.1:80".parse().unwrap()),
        weight: Weight::ONE,
        max_connections: None,
        capabilities: BTreeSet::new(),
        zone: None,
    }
}

fn offering(name: &str, capabilities: &[&str]) -> EndpointSpec {
    EndpointSpec { capabilities: capabilities.iter().map(ToString::to_string).collect(), ..spec(name) }
}

fn set(specs: impl IntoIterator<Item = EndpointSpec>, previous: Option<&EndpointSet>) -> EndpointSet {
    EndpointSet::new(&id("pool"), specs, previous, START)
}

#[test]
fn endpoints_keep_their_order_and_are_found_by_id() {
    let set = set(["c", "a", "b"].map(spec), None);
    let names: Vec<_> = set.endpoints().iter().map(|endpoint| endpoint.spec.id.as_str()).collect();
    assert_eq!(names, ["c", "a", "b"]);
    assert_eq!((set.index_of(&id("c")), set.index_of(&id("b")), set.index_of(&id("x"))), (Some(0), Some(2), None));
    assert!(set.get(&id("a")).is_some_and(|endpoint| endpoint.spec.id == id("a")));
}

#[test]
fn of_two_specs_with_one_id_the_first_counts() {
    let second = EndpointSpec { weight: Weight::from_hundredths(900), ..spec("a") };
    let set = set([spec("a"), second, spec("b")], None);
    assert_eq!(set.len(), 2);
    assert_eq!(set.endpoints()[0].weight(), Weight::ONE);
}

#[test]
fn what_was_learned_stays_with_the_id() {
    let old = set([spec("a"), spec("b")], None);
    let a = old.get(&id("a")).unwrap();
    a.state.set(Cause::Admin, true);
    a.state.override_weight(Some(Weight::from_hundredths(50)));
    let running = Attempt::begin(a.clone(), START);
    let moved = EndpointSpec { address: Address::Ip("127.0.0.1:81".parse().unwrap()), ..spec("a") };
    let new = EndpointSet::new(&id("pool"), [spec("c"), moved, spec("b")], Some(&old), START + Duration::from_secs(9));
    let kept = new.get(&id("a")).unwrap();
    assert!(kept.state.availability().has(Cause::Admin));
    assert_eq!((kept.weight(), kept.vitals().in_flight(), kept.serial()), (Weight::from_hundredths(50), 1, a.serial()));
    assert_eq!(kept.state.healthy_since(), Some(START));
    assert_eq!(new.get(&id("c")).unwrap().state.healthy_since(), Some(START + Duration::from_secs(9)));
    drop(running);
    assert_eq!((kept.vitals().in_flight(), new.state().in_flight()), (0, 0));
}

#[test]
fn an_unchanged_spec_keeps_its_allocation() {
    let old = set([spec("a"), spec("b")], None);
    let new = set([offering("a", &["x"]), spec("b")], Some(&old));
    assert!(Arc::ptr_eq(&old.endpoints()[1], &new.endpoints()[1]));
    assert!(!Arc::ptr_eq(&old.endpoints()[0], &new.endpoints()[0]));
}

#[test]
fn a_change_of_bits_is_seen_when_the_description_stays() {
    let old = set([offering("a", &["x"])], None);
    let new = set([offering("a", &["x"]), offering("b", &["b"])], Some(&old));
    let required = new.required_mask(["x"]).unwrap();
    assert!(new.endpoints()[0].mask().offers(required) && !new.endpoints()[1].mask().offers(required));
}

#[test]
fn another_pool_with_the_same_ids_shares_nothing() {
    let old = set([spec("a")], None);
    let other = EndpointSet::new(&id("other"), [spec("a")], Some(&old), START);
    assert_ne!(old.endpoints()[0].serial(), other.endpoints()[0].serial());
}

#[test]
fn capabilities_are_matched_as_masks() {
    let set = set([offering("a", &["python", "gpu"]), offering("b", &["python"])], None);
    let fits = |names: &[&str]| -> Option<Vec<bool>> {
        let required = set.required_mask(names.iter().copied())?;
        Some(set.endpoints().iter().map(|endpoint| endpoint.mask().offers(required)).collect())
    };
    assert_eq!(fits(&[]), Some(vec![true, true]));
    assert_eq!(fits(&["python"]), Some(vec![true, true]));
    assert_eq!(fits(&["python", "gpu"]), Some(vec![true, false]));
    assert_eq!(fits(&["rust"]), None);
}

#[test]
fn capabilities_beyond_the_limit_are_offered_by_nobody() {
    let names: Vec<_> = (0..=MAX_CAPABILITIES).map(|n| format!("c{n:03}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let set = set([offering("a", &names)], None);
    assert!(set.required_mask([names[MAX_CAPABILITIES - 1]]).is_some_and(|mask| set.endpoints()[0].mask().offers(mask)));
    assert_eq!(set.required_mask([names[MAX_CAPABILITIES]]), None);
}

#[test]
fn the_stamp_changes_with_availability_weight_and_set_and_with_nothing_else() {
    let set_a = set([spec("a"), spec("b")], None);
    let endpoint = &set_a.endpoints()[0];
    let first = set_a.stamp();
    assert!(endpoint.state.set(Cause::Down, true));
    let second = set_a.stamp();
    assert_ne!(first, second);
    assert!(!endpoint.state.set(Cause::Down, true));
    assert_eq!(second, set_a.stamp());
    endpoint.state.override_weight(Some(Weight::ONE));
    let third = set_a.stamp();
    assert_ne!(second, third);
    endpoint.state.override_weight(Some(Weight::ONE));
    Attempt::begin(endpoint.clone(), START).finish(Outcome::Completed, START);
    assert_eq!(third, set_a.stamp());
    assert_ne!(third, set([spec("a"), spec("b")], Some(&set_a)).stamp());
}

#[test]
fn slow_start_is_linear_from_a_tenth() {
    let set = EndpointSet::new(&id("pool"), [spec("a")], None, START + Duration::from_secs(5));
    let state = &set.endpoints()[0].state;
    let percent = |secs| state.ramp_percent(Some(Duration::from_secs(90)), START + Duration::from_secs(secs));
    assert_eq!([0, 5, 6, 50, 94, 95, 1000].map(percent), [10, 10, 11, 55, 99, 100, 100]);
    assert_eq!(state.ramp_percent(None, START), 100);
    assert_eq!(state.ramp_percent(Some(Duration::ZERO), START), 100);
    state.mark_healthy(START + Duration::from_secs(70));
    assert_eq!(state.healthy_since(), Some(START + Duration::from_secs(5)));
}

#[test]
fn a_degraded_endpoint_counts_for_half_and_never_for_nothing() {
    let full = |hundredths| EndpointSpec { weight: Weight::from_hundredths(hundredths), ..spec("a") };
    for (weight, half) in [(100, 50), (101, 51), (1, 1), (0, 0)] {
        let set = set([full(weight)], None);
        let (endpoint, before) = (&set.endpoints()[0], set.stamp());
        assert!(endpoint.state.set_degraded(true));
        assert!(!endpoint.state.set_degraded(true));
        assert_eq!(endpoint.weight(), Weight::from_hundredths(half));
        let during = set.stamp();
        assert_ne!(before, during);
        assert!(endpoint.state.set_degraded(false));
        assert_eq!(endpoint.weight(), Weight::from_hundredths(weight));
        assert_ne!(during, set.stamp());
    }
}

#[test]
fn an_operators_weight_is_halved_too() {
    let set = set([spec("a")], None);
    let endpoint = &set.endpoints()[0];
    endpoint.state.override_weight(Some(Weight::from_hundredths(400)));
    endpoint.state.set_degraded(true);
    assert_eq!((endpoint.weight(), endpoint.state.is_degraded()), (Weight::from_hundredths(200), true));
}

#[test]
fn an_unproven_endpoint_starts_slowly_from_the_moment_it_is_marked() {
    let old = set([spec("a")], None);
    let new = EndpointSet::unproven(&id("pool"), [spec("a"), spec("b")], Some(&old));
    let [a, b] = [0, 1].map(|index| &new.endpoints()[index].state);
    assert_eq!((a.healthy_since(), b.healthy_since()), (Some(START), None));
    let late = START + Duration::from_secs(100);
    assert_eq!(b.ramp_percent(Some(Duration::from_secs(10)), late), 10);
    b.mark_healthy(late);
    assert_eq!(b.ramp_percent(Some(Duration::from_secs(10)), late + Duration::from_secs(10)), 100);
}
