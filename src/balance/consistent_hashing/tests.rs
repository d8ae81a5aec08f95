use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::balance::testing::{Bench, equals, load, pool, set, set_of, spec};
use crate::balance::{Ask, hash_key};
use crate::endpoint::{Attempt, Cause, EndpointSet};
use crate::model::{EndpointSpec, Hash, HashKey, Pool, Strategy};

fn bench() -> Bench {
    Bench::new(Strategy::ConsistentHashing)
}

fn named(names: &[String], previous: Option<&EndpointSet>) -> EndpointSet {
    set_of(names.iter().map(|name| spec(name, 1.0, &[])), previous)
}

fn owner<'a>(bench: &mut Bench, set: &'a EndpointSet, key: u64) -> &'a str {
    let index = bench.ask(set, &Ask { key: Some(key), ..Ask::default() }).unwrap();
    set.endpoints()[index].spec.id.as_str()
}

fn owners(set: &EndpointSet, keys: std::ops::Range<u64>) -> Vec<String> {
    let mut bench = bench();
    keys.map(|key| owner(&mut bench, set, key).to_owned()).collect()
}

#[test]
fn keys_are_the_same_in_every_process_and_release() {
    assert_eq!(hash_key(b""), 232_177_599_295_442_350);
    assert_eq!(hash_key(b"session-1"), 5_990_124_020_638_713_559);
    assert_eq!(hash_key(b"a session id that is longer than sixteen bytes"), 8_052_228_820_980_947_841);
}

#[test]
fn an_endpoint_down_moves_only_its_own_keys_and_gets_them_back() {
    let set = equals(8);
    let before = owners(&set, 0..4000);
    set.endpoints()[3].state.set(Cause::Down, true);
    let during = owners(&set, 0..4000);
    set.endpoints()[3].state.set(Cause::Down, false);
    assert!(before.iter().zip(&during).all(|(before, during)| if before == "e3" { during != "e3" } else { before == during }));
    assert_eq!(owners(&set, 0..4000), before);
}

#[test]
fn an_endpoint_down_spills_as_if_it_had_been_removed() {
    let (set, names) = (equals(6), ["e0", "e1", "e3", "e4", "e5"].map(str::to_owned));
    set.endpoints()[2].state.set(Cause::Ejected, true);
    assert_eq!(owners(&set, 0..2000), owners(&named(&names, None), 0..2000));
}

#[test]
fn two_pickers_spill_a_key_to_the_same_endpoints_in_the_same_order() {
    let set = equals(10);
    let order = |seed| {
        let mut bench = bench();
        bench.rng = fastrand::Rng::with_seed(seed);
        let mut tried = Vec::new();
        let mut order = Vec::new();
        while order.len() < 10 {
            let index = bench.ask(&set, &Ask { key: Some(42), tried: &tried, ..Ask::default() }).unwrap();
            tried.push(set.endpoints()[index].serial());
            order.push(index);
        }
        order
    };
    let first = order(1);
    assert_eq!(first, order(2));
    let distinct: std::collections::BTreeSet<_> = first.iter().collect();
    assert_eq!(distinct.len(), 10);
}

#[test]
fn one_hot_key_fills_no_endpoint_above_the_bound() {
    let (set, mut bench) = (equals(10), bench());
    let mut running = Vec::new();
    for n in 0..1000_u32 {
        let index = bench.ask(&set, &Ask { key: Some(1), ..Ask::default() }).unwrap();
        running.push(Attempt::begin(set.endpoints()[index].clone(), bench.now));
        let bound = (1.25 * f64::from(n + 1) / 10.0).ceil();
        let most = set.endpoints().iter().map(|endpoint| endpoint.vitals().in_flight()).max().unwrap();
        assert!(f64::from(most) <= bound, "{most} of {n}");
    }
}

#[test]
fn the_bound_goes_by_weight() {
    let (set, mut bench) = (set(&[("a", 1.0), ("b", 3.0)]), bench());
    let running: Vec<_> = (0..400)
        .map(|_| {
            let index = bench.ask(&set, &Ask { key: Some(5), ..Ask::default() }).unwrap();
            Attempt::begin(set.endpoints()[index].clone(), bench.now)
        })
        .collect();
    let in_flight = |index: usize| set.endpoints()[index].vitals().in_flight();
    assert_eq!(running.len(), 400);
    assert!(in_flight(0) <= 125 && in_flight(1) <= 375, "{} {}", in_flight(0), in_flight(1));
}

#[test]
fn a_wider_bound_keeps_more_with_the_owner() {
    let hash = Hash { key: HashKey::Path, bounded_load: 3.0 };
    let (set, mut wide) = (equals(4), Bench::of(&Pool { hash, ..pool(Strategy::ConsistentHashing) }));
    let id = owner(&mut wide, &set, 9).to_owned();
    let _others: Vec<_> = set.endpoints().iter().map(|endpoint| load(&set, endpoint.spec.id.as_str(), 4)).collect();
    let _more = load(&set, &id, 6);
    assert_eq!(owner(&mut wide, &set, 9), id);
    assert_ne!(owner(&mut bench(), &set, 9), id);
}

#[test]
fn the_bound_for_a_capability_goes_by_those_that_offer_it() {
    let specs = (0..40).map(|n| spec(&format!("e{n}"), 1.0, if n < 4 { &["gpu"] } else { &[] }));
    let (set, mut bench) = (set_of(specs, None), bench());
    let required = set.required_mask(["gpu"]).unwrap();
    let _elsewhere = load(&set, "e39", 100);
    let mut running = Vec::new();
    for _ in 0..400 {
        let index = bench.ask(&set, &Ask { required, key: Some(3), tried: &[] }).unwrap();
        running.push(Attempt::begin(set.endpoints()[index].clone(), bench.now));
    }
    let most = set.endpoints().iter().map(|endpoint| endpoint.vitals().in_flight()).max().unwrap();
    assert_eq!(most, 125);
}

/// 43 endpoints (the count of their load, every five picks, falls beside full rounds) that offer `gpu` and one that does not, and a bound without any slack.
fn tight() -> (EndpointSet, Bench) {
    let specs = (0..44).map(|n| spec(&format!("e{n}"), 1.0, if n < 43 { &["gpu"] } else { &[] }));
    let hash = Hash { key: HashKey::Path, bounded_load: 1.0 };
    (set_of(specs, None), Bench::of(&Pool { hash, ..pool(Strategy::ConsistentHashing) }))
}

#[test]
fn picks_between_two_counts_of_a_capability_are_not_forgotten() {
    let (set, mut bench) = tight();
    let required = set.required_mask(["gpu"]).unwrap();
    let mut running = Vec::new();
    for n in 0..430 {
        let index = bench.ask(&set, &Ask { required, key: Some(3), tried: &[] }).unwrap();
        running.push(Attempt::begin(set.endpoints()[index].clone(), bench.now));
        assert!(set.endpoints()[index].vitals().in_flight() <= n / 43 + 1);
    }
}

#[test]
fn a_change_of_members_counts_their_load_anew() {
    let (set, mut bench) = tight();
    let ask = Ask { required: set.required_mask(["gpu"]).unwrap(), key: Some(3), tried: &[] };
    let owner = bench.ask(&set, &ask).unwrap();
    let _running: Vec<_> = (0..43).map(|n| load(&set, &format!("e{n}"), 10)).collect();
    let _more = load(&set, set.endpoints()[owner].spec.id.as_str(), 1);
    set.endpoints()[(owner + 1) % 43].state.set(Cause::Down, true);
    let next = bench.ask(&set, &ask).unwrap();
    assert!(next != owner && next != (owner + 1) % 43);
}

#[test]
fn when_the_last_one_not_tried_is_above_its_bound_it_is_picked_and_nobody_who_is_down() {
    let (set, mut bench) = (equals(8), bench());
    set.endpoints()[2..].iter().for_each(|endpoint| assert!(endpoint.state.set(Cause::Down, true)));
    let _running = load(&set, "e1", 10);
    let tried = [set.endpoints()[0].serial()];
    assert!((0..50).all(|key| bench.ask(&set, &Ask { key: Some(key), tried: &tried, ..Ask::default() }) == Ok(1)));
}

#[test]
fn without_a_key_the_least_in_flight_is_picked() {
    let (set, mut bench) = (equals(3), bench());
    let _running = (load(&set, "e0", 1), load(&set, "e2", 1));
    assert_eq!(bench.counts(&set, 30)["e1"], 30);
}

#[test]
fn the_last_endpoint_left_of_many_is_found() {
    let (set, mut bench) = (equals(1000), bench());
    set.endpoints()[1..].iter().for_each(|endpoint| assert!(endpoint.state.set(Cause::Breaker, true)));
    assert!((0..50).all(|key| owner(&mut bench, &set, key) == "e0"));
}

#[test]
fn in_a_nearly_full_pool_keys_stay_with_an_owner_that_is_left_or_go_by_weight_and_name_alone() {
    let full = |name: &str| EndpointSpec { max_connections: Some(1), ..spec(name, 1.0, &[]) };
    let wide = |name: &str, weight| EndpointSpec { max_connections: Some(100), ..spec(name, weight, &[]) };
    let names: Vec<_> = (0..2000).map(|n| format!("e{n}")).collect();
    let specs = || names.iter().map(|name| full(name)).chain([wide("left", 1.0), wide("right", 3.0)]);
    let reversed: Vec<_> = specs().collect::<Vec<_>>().into_iter().rev().collect();
    let [one, other] = [set_of(specs(), None), set_of(reversed, None)];
    let _running: Vec<_> = [&one, &other].into_iter().flat_map(|set| names.iter().flat_map(|name| load(set, name, 1))).collect();
    let picked = owners(&one, 0..4000);
    assert_eq!(picked, owners(&other, 0..4000));
    let calm = owners(&set_of(specs(), None), 0..4000);
    let own: Vec<_> = calm.iter().zip(&picked).filter(|(calm, _)| !names.contains(calm)).collect();
    assert!(!own.is_empty() && own.iter().all(|(calm, picked)| calm == picked), "{own:?}");
    // Seven standard deviations of 27.
    let lefts = picked.iter().filter(|name| *name == "left").count();
    assert!((810..1190).contains(&lefts) && picked.iter().all(|name| name == "left" || name == "right"), "{lefts} of 4000");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn removing_one_of_n_moves_few_keys_and_adding_it_back_restores_them(n in 2_usize..30, gone: prop::sample::Index, salt: u16) {
        let names: Vec<_> = (0..n).map(|i| format!("agent-{salt}-{i}")).collect();
        let gone = gone.index(n);
        let mut fewer = names.clone();
        fewer.remove(gone);
        let all = named(&names, None);
        let rest = named(&fewer, Some(&all));
        let again = named(&names, Some(&rest));
        let (before, during, after) = (owners(&all, 0..3000), owners(&rest, 0..3000), owners(&again, 0..3000));
        prop_assert_eq!(&before, &after);
        let moved = before.iter().zip(&during).filter(|(before, during)| before != during).count();
        prop_assert!(moved as f64 <= 3000.0 * (1.0 / n as f64 + 0.05), "{} of 3000 moved, n = {}", moved, n);
        prop_assert!(before.iter().zip(&during).all(|(before, during)| before == during || *before == names[gone]));
    }

    #[test]
    fn shares_follow_the_weights(weights in prop::collection::vec(1_u32..6, 2..8)) {
        let specs = weights.iter().enumerate().map(|(n, &weight)| spec(&format!("e{n}"), f64::from(weight), &[]));
        let set = set_of(specs, None);
        let owners = owners(&set, 0..20_000);
        let total = f64::from(weights.iter().sum::<u32>());
        for (n, &weight) in weights.iter().enumerate() {
            let share = owners.iter().filter(|owner| **owner == format!("e{n}")).count() as f64 / 20_000.0;
            let ideal = f64::from(weight) / total;
            // Five standard deviations: 128 points for each unit of weight, evened out 17 times by eight probes.
            let deviation = 1.0 / (128.0 * 17.0 * f64::from(weight)).sqrt() + (1.0 / (20_000.0 * ideal)).sqrt();
            prop_assert!((share / ideal - 1.0).abs() < 5.0 * deviation, "{} {}", share, ideal);
        }
    }
}

proptest! {
    #[test]
    fn the_nearest_of_many_is_found_without_a_close_look_at_all(
        candidates in prop::collection::vec((1_u32..1000, prop::option::of(0_usize..3)), 1..60), key: u64,
    ) {
        let set = set_of((0..candidates.len()).map(|n| spec(&format!("e{n}"), 1.0, &[])), None);
        let owners = Owners { weights: candidates.iter().map(|&(weight, _)| weight).collect(), ..Owners::default() };
        let standings = [Standing::Within, Standing::Above, Standing::Tried];
        let judge = |index: usize| candidates[index].1.map(|standing| standings[standing]);
        let rank = |index: usize| Some((judge(index)?, set.ring().distance(key, index) / f64::from(candidates[index].0), index));
        let expected = (0..candidates.len()).filter_map(rank).min_by(|a, b| a.partial_cmp(b).unwrap());
        let found = nearest(&owners, set.ring(), key, &mut (0..candidates.len()), judge);
        prop_assert_eq!(found, expected.map(|(.., index)| index));
    }
}
