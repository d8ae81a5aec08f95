use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, prop_assume, proptest};

use super::*;
use crate::balance::Ask;
use crate::balance::testing::{Bench, START, load, set, set_of, spec};
use crate::endpoint::{Attempt, Cause};
use crate::model::{EndpointSpec, Strategy, Weight};

fn bench() -> Bench {
    Bench::new(Strategy::WeightedRoundRobin)
}

/// nginx's own loop, endpoint by endpoint.
fn nginx(weights: &[i64], picks: usize) -> Vec<usize> {
    let total: i64 = weights.iter().sum();
    let mut credit = vec![0; weights.len()];
    let mut next = || {
        let mut best: Option<usize> = None;
        for (i, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
            credit[i] += weight;
            if best.is_none_or(|best| credit[i] > credit[best]) {
                best = Some(i);
            }
        }
        credit[best.unwrap()] -= total;
        best.unwrap()
    };
    (0..picks).map(|_| next()).collect()
}

#[test]
fn weights_five_one_one_give_the_sequence_of_nginx() {
    let (set, mut bench) = (set(&[("a", 5.0), ("b", 1.0), ("c", 1.0)]), bench());
    assert_eq!(bench.names(&set, 14).join(""), "aabacaaaabacaa");
}

#[test]
fn fractional_weights_are_exact() {
    let (set, mut bench) = (set(&[("a", 0.25), ("b", 0.5), ("c", 1.75)]), bench());
    let counts = bench.counts(&set, 1000);
    assert_eq!((counts["a"], counts["b"], counts["c"]), (100, 200, 700));
}

#[test]
fn a_tried_endpoint_is_passed_over_and_keeps_its_credit() {
    let (set, mut bench) = (set(&[("a", 5.0), ("b", 1.0), ("c", 1.0)]), bench());
    let tried = [set.endpoints()[0].serial()];
    assert_eq!(bench.ask(&set, &Ask { tried: &tried, ..Ask::default() }), Ok(1));
    assert_eq!(bench.names(&set, 6).join(""), "aaaca".to_owned() + "a");
}

#[test]
fn an_endpoint_that_returns_gets_its_share_and_no_more() {
    let (set, mut bench) = (set(&[("a", 1.0), ("b", 1.0), ("c", 1.0)]), bench());
    bench.names(&set, 100);
    set.endpoints()[1].state.set(Cause::Down, true);
    bench.names(&set, 1001);
    set.endpoints()[1].state.set(Cause::Down, false);
    let names = bench.names(&set, 9);
    assert_eq!(names.iter().filter(|name| *name == "b").count(), 3, "{names:?}");
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[test]
fn rotation_goes_on_over_a_reload() {
    let (old, mut bench) = (set(&[("a", 5.0), ("b", 1.0), ("c", 1.0)]), bench());
    assert_eq!(bench.names(&old, 3).join(""), "aab");
    let new = set_of([spec("c", 1.0, &[]), spec("b", 1.0, &[]), spec("a", 5.0, &[])], Some(&old));
    assert_eq!(bench.names(&new, 4).join(""), "acaa");
}

#[test]
fn settling_does_not_change_the_sequence() {
    let mut schedule = Schedule::default();
    let set = set(&[("a", 5.0), ("b", 1.0), ("c", 1.0)]);
    let members = Members { indexes: vec![0, 1, 2], weights: vec![5, 1, 1], ..Members::default() };
    schedule.follow(&set, &members);
    let picks: Vec<_> = (0..14)
        .filter_map(|turn| {
            if turn % 3 == 0 {
                schedule.settle();
                schedule.start();
            }
            schedule.next(&Pick { set: &set, ask: &Ask::default(), now: START })
        })
        .collect();
    assert_eq!(picks, nginx(&[5, 1, 1], 14));
}

#[test]
fn picks_that_found_every_slot_taken_leave_no_credit() {
    let slots = |id, weight| EndpointSpec { max_connections: Some(1), ..spec(id, weight, &[]) };
    let (set, mut bench) = (set_of([slots("a", 5.0), slots("b", 1.0)], None), bench());
    let running = [load(&set, "a", 1), load(&set, "b", 1)];
    for _ in 0..100 {
        assert_eq!(bench.ask(&set, &Ask::default()), Err(crate::balance::NoPick::Full));
    }
    drop(running);
    assert_eq!(bench.counts(&set, 12), [("a".to_owned(), 10), ("b".to_owned(), 2)].into());
}

proptest! {
    #[test]
    fn the_sequence_is_that_of_nginx(weights in prop::collection::vec(0_u32..12, 1..12)) {
        prop_assume!(weights.iter().any(|&weight| weight > 0));
        let specs = weights.iter().enumerate().map(|(n, &weight)| spec(&format!("e{n}"), f64::from(weight), &[]));
        let (set, mut bench) = (set_of(specs, None), bench());
        let picks: Vec<_> = (0..200).map(|_| bench.ask(&set, &Ask::default()).unwrap()).collect();
        prop_assert_eq!(picks, nginx(&weights.iter().map(|&weight| i64::from(weight)).collect::<Vec<_>>(), 200));
    }

    #[test]
    fn the_sequence_is_that_of_nginx_with_many_weights(weights in prop::collection::vec(1_u32..500, 1..150)) {
        let specs = weights.iter().enumerate().map(|(n, &weight)| spec(&format!("e{n}"), f64::from(weight), &[]));
        let (set, mut bench) = (set_of(specs, None), bench());
        let picks: Vec<_> = (0..400).map(|_| bench.ask(&set, &Ask::default()).unwrap()).collect();
        prop_assert_eq!(picks, nginx(&weights.iter().map(|&weight| i64::from(weight)).collect::<Vec<_>>(), 400));
    }

    #[test]
    fn of_those_with_a_slot_the_richest_pays_and_the_others_gain(
        weights in prop::collection::vec(1_u32..6, 1..100), calls in prop::collection::vec((0_u8..4, any::<prop::sample::Index>()), 1..200),
    ) {
        let slots = |n: usize| Some(1 + n as u32 % 2);
        let specs = weights.iter().enumerate();
        let specs = specs.map(|(n, &weight)| EndpointSpec { max_connections: slots(n), ..spec(&format!("e{n}"), f64::from(weight), &[]) });
        let (set, mut bench) = (set_of(specs, None), bench());
        let weights: Vec<_> = weights.into_iter().map(i64::from).collect();
        let (mut credit, mut running) = (vec![0; weights.len()], Vec::new());
        for (call, which) in calls {
            let free: Vec<_> = (0..set.len()).filter(|&n| set.endpoints()[n].has_slot()).collect();
            match call {
                0 if !running.is_empty() => drop(running.swap_remove(which.index(running.len()))),
                // Another worker's.
                1 => running.extend(Attempt::try_begin(&set.endpoints()[which.index(set.len())], START)),
                _ => {
                    let tried = [set.endpoints()[which.index(set.len())].serial()];
                    let untried = free.iter().copied().filter(|&n| set.endpoints()[n].serial() != tried[0]);
                    let grown = |n: usize| credit[n] + weights[n];
                    let richest = untried.max_by_key(|&n| (grown(n), Reverse(n))).or(free.first().copied());
                    prop_assert_eq!(bench.ask(&set, &Ask { tried: &tried, ..Ask::default() }).ok(), richest);
                    if let Some(richest) = richest {
                        (0..weights.len()).for_each(|n| credit[n] += weights[n]);
                        credit[richest] -= weights.iter().sum::<i64>();
                        running.extend(Attempt::try_begin(&set.endpoints()[richest], START));
                    }
                }
            }
        }
    }

    #[test]
    fn any_cycle_gives_each_exactly_its_weight(weights in prop::collection::vec(1_u32..20, 1..20), skip in 0_usize..100) {
        let specs = weights.iter().enumerate().map(|(n, &weight)| spec(&format!("e{n}"), f64::from(weight), &[]));
        let (set, mut bench) = (set_of(specs, None), bench());
        bench.names(&set, skip);
        let cycle = weights.iter().sum::<u32>() as usize;
        let counts = bench.counts(&set, cycle);
        for (n, &weight) in weights.iter().enumerate() {
            prop_assert_eq!(counts[&format!("e{n}")], weight as usize);
        }
    }

    #[test]
    fn changing_weights_never_cause_a_burst(
        changes in prop::collection::vec((0_usize..6, 1_u32..20, 0_usize..30), 1..30),
    ) {
        let specs = (0..6).map(|n| spec(&format!("e{n}"), 1.0, &[]));
        let (set, mut bench) = (set_of(specs, None), bench());
        for (endpoint, weight, picks) in changes {
            set.endpoints()[endpoint].state.override_weight(Weight::new(f64::from(weight)).ok());
            let weights: Vec<_> = set.endpoints().iter().map(|endpoint| endpoint.weight().as_f64()).collect();
            let total: f64 = weights.iter().sum();
            let counts = bench.counts(&set, picks);
            for (n, weight) in weights.iter().enumerate() {
                let count = counts.get(&format!("e{n}")).copied().unwrap_or(0) as f64;
                prop_assert!(count <= picks as f64 * weight / total + 3.0, "{} of {}", count, picks);
            }
        }
    }
}
