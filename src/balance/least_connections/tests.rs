use proptest::prelude::{prop, prop_assert, proptest};

use crate::balance::Ask;
use crate::balance::testing::{Bench, equals, load, set, set_of, spec};
use crate::endpoint::Attempt;
use crate::model::{EndpointSpec, Strategy};

fn bench() -> Bench {
    Bench::new(Strategy::LeastConnections)
}

#[test]
fn the_least_in_flight_for_its_weight_is_picked() {
    let (set, mut bench) = (set(&[("a", 1.0), ("b", 4.0), ("c", 1.0)]), bench());
    let _running = (load(&set, "a", 2), load(&set, "b", 7), load(&set, "c", 2));
    assert_eq!(bench.counts(&set, 50)["b"], 50);
    let _more = load(&set, "b", 2);
    assert!(!bench.counts(&set, 50).contains_key("b"));
}

#[test]
fn ties_go_to_each_at_random() {
    let (set, mut bench) = (equals(4), bench());
    let _running = load(&set, "e3", 1);
    let counts = bench.counts(&set, 9000);
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|count| (2800..3200).contains(count)), "{counts:?}");
}

#[test]
fn up_to_thirty_two_endpoints_all_are_compared() {
    let (set, mut bench) = (equals(32), bench());
    let _running: Vec<_> = (0..32).filter(|&n| n != 17).map(|n| load(&set, &format!("e{n}"), 1)).collect();
    assert_eq!(bench.counts(&set, 200)["e17"], 200);
}

#[test]
fn of_more_two_at_random_are_compared() {
    let (set, mut bench) = (equals(40), bench());
    let _running: Vec<_> = (0..40).filter(|&n| n != 17).map(|n| load(&set, &format!("e{n}"), 1)).collect();
    let counts = bench.counts(&set, 40_000);
    // Two different ones of forty hold a certain one in 2 of 40 cases.
    assert!((1800..2200).contains(&counts["e17"]), "{}", counts["e17"]);
    assert_eq!(counts.len(), 40);
}

#[test]
fn the_most_loaded_of_many_is_never_picked() {
    let (set, mut bench) = (equals(40), bench());
    let _running = load(&set, "e5", 3);
    assert!(!bench.counts(&set, 20_000).contains_key("e5"));
}

#[test]
fn all_but_one_of_many_tried_leaves_that_one() {
    let (set, mut bench) = (equals(40), bench());
    let tried: Vec<_> =
        set.endpoints().iter().map(|endpoint| endpoint.serial()).filter(|&s| s != set.endpoints()[9].serial()).collect();
    for _ in 0..100 {
        assert_eq!(bench.ask(&set, &Ask { tried: &tried, ..Ask::default() }), Ok(9));
    }
}

#[test]
fn of_few_free_ones_each_is_picked_as_often_wherever_it_stands() {
    let specs = (0..500).map(|n| EndpointSpec { max_connections: Some(1), ..spec(&format!("e{n}"), 1.0, &[]) });
    let (set, mut bench) = (set_of(specs, None), bench());
    let free = [3, 4, 5, 6, 200, 499];
    let _running: Vec<_> = (0..500).filter(|n| !free.contains(n)).flat_map(|n| load(&set, &format!("e{n}"), 1)).collect();
    let counts = bench.counts(&set, 12_000);
    assert_eq!(counts.len(), free.len());
    assert!(counts.values().all(|count| (1700..2300).contains(count)), "{counts:?}");
}

proptest! {
    #[test]
    fn requests_that_stay_spread_by_weight(weights in prop::collection::vec(1_u32..5, 1..32), seed: u64) {
        let specs = weights.iter().enumerate().map(|(n, &weight)| spec(&format!("e{n}"), f64::from(weight), &[]));
        let (set, mut bench) = (set_of(specs, None), bench());
        bench.rng = fastrand::Rng::with_seed(seed);
        let mut running = Vec::new();
        for _ in 0..200 {
            let index = bench.ask(&set, &Ask::default()).unwrap();
            let lowest = set.endpoints().iter().map(|e| f64::from(e.vitals().in_flight()) / e.weight().as_f64()).fold(f64::MAX, f64::min);
            let picked = &set.endpoints()[index];
            prop_assert!(f64::from(picked.vitals().in_flight()) / picked.weight().as_f64() <= lowest + 1e-9);
            running.push(Attempt::begin(picked.clone(), bench.now));
        }
    }
}
