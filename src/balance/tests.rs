//! What holds for every strategy.

use std::time::Duration;

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};

use super::testing::{Bench, START, equals, load, pool, set, set_of, spec};
use super::*;
use crate::endpoint::{Cause, EndpointSet, Mask};
use crate::model::{EndpointSpec, Strategy, Weight};

fn any_strategy() -> impl proptest::strategy::Strategy<Value = Strategy> {
    prop::sample::select(&Strategy::ALL[..])
}

#[test]
fn an_empty_pool_says_so() {
    for strategy in Strategy::ALL {
        assert_eq!(Bench::new(strategy).ask(&equals(0), &Ask::default()), Err(NoPick::Empty));
    }
}

#[test]
fn a_pool_of_unavailable_endpoints_says_so_and_recovers() {
    for strategy in Strategy::ALL {
        let (set, mut bench) = (equals(3), Bench::new(strategy));
        assert!(bench.ask(&set, &Ask::default()).is_ok());
        for (endpoint, &cause) in set.endpoints().iter().zip(Cause::ALL) {
            endpoint.state.set(cause, true);
        }
        assert_eq!(bench.ask(&set, &Ask::default()), Err(NoPick::Unavailable));
        set.endpoints()[1].state.set(Cause::ALL[1], false);
        assert_eq!(bench.ask(&set, &Ask::default()), Ok(1));
    }
}

#[test]
fn a_capability_that_only_an_unavailable_endpoint_offers_is_unavailable_not_missing() {
    for strategy in Strategy::ALL {
        let set = set_of([spec("a", 1.0, &["python"]), spec("b", 1.0, &["gpu"])], None);
        let mut bench = Bench::new(strategy);
        let ask = |names: &[&str]| Ask { required: set.required_mask(names.iter().copied()).unwrap(), ..Ask::default() };
        assert_eq!(bench.ask(&set, &ask(&["python"])), Ok(0));
        assert_eq!(bench.ask(&set, &ask(&["gpu"])), Ok(1));
        assert_eq!(bench.ask(&set, &ask(&["gpu", "python"])), Err(NoPick::Capability));
        set.endpoints()[0].state.set(Cause::Down, true);
        assert_eq!(bench.ask(&set, &ask(&["python"])), Err(NoPick::Unavailable));
    }
}

#[test]
fn a_weight_of_zero_takes_nothing_until_an_operator_overrides_it() {
    for strategy in Strategy::ALL {
        let (set, mut bench) = (set(&[("a", 0.0), ("b", 1.0)]), Bench::new(strategy));
        let ask = |key| Ask { key: Some(key), ..Ask::default() };
        assert!((0..200).all(|key| bench.ask(&set, &ask(key)) == Ok(1)));
        set.endpoints()[0].state.override_weight(Some(Weight::ONE));
        assert!((0..200).any(|key| bench.ask(&set, &ask(key)) == Ok(0)), "{strategy:?}");
        set.endpoints()[1].state.override_weight(Some(Weight::from_hundredths(0)));
        assert!((0..200).all(|key| bench.ask(&set, &ask(key)) == Ok(0)));
        set.endpoints()[0].state.override_weight(None);
        assert_eq!(bench.ask(&set, &ask(0)), Err(NoPick::Unavailable));
    }
}

#[test]
fn more_requirements_than_views_still_get_what_they_ask() {
    for strategy in Strategy::ALL {
        let names: Vec<_> = (0..40).map(|n| format!("c{n}")).collect();
        let set = set_of(names.iter().map(|name| spec(name, 1.0, &[name])), None);
        let mut bench = Bench::new(strategy);
        for round in 0..3 {
            for (index, name) in names.iter().enumerate() {
                let required = set.required_mask([name.as_str()]).unwrap();
                assert_eq!(bench.ask(&set, &Ask { required, key: Some(round), tried: &[] }), Ok(index));
            }
        }
    }
}

#[test]
fn slow_start_begins_at_a_tenth_and_ends_at_the_whole_weight() {
    // Strategies that go by weight alone or break ties by it; equal loads otherwise.
    for strategy in [Strategy::LeastConnections, Strategy::WeightedRoundRobin, Strategy::ResourceBased] {
        let mut bench = Bench::of(&crate::model::Pool { slow_start: Some(Duration::from_secs(30)), ..pool(strategy) });
        let old = set(&[("a", 1.0)]);
        let specs = [spec("a", 1.0, &[]), spec("b", 1.0, &[])];
        let set = EndpointSet::new(old.pool(), specs, Some(&old), START + Duration::from_secs(100));
        for (secs, share) in [(100, 0.1 / 1.1), (115, 0.55 / 1.55), (130, 0.5), (500, 0.5)] {
            bench.now = START + Duration::from_secs(secs);
            let share_of_b = bench.counts(&set, 20_000)["b"] as f64 / 20_000.0;
            assert!((share_of_b - share).abs() < 0.02, "{strategy:?} after {secs} s: {share_of_b}");
        }
    }
}

#[test]
fn a_reload_of_the_same_terms_keeps_the_rotation() {
    let (set, mut bench) = (set(&[("a", 5.0), ("b", 1.0), ("c", 1.0)]), Bench::new(Strategy::WeightedRoundRobin));
    assert_eq!(bench.names(&set, 2), ["a", "a"]);
    bench.picker.reconfigure(&pool(Strategy::WeightedRoundRobin));
    assert_eq!(bench.names(&set, 3), ["b", "a", "c"]);
    bench.picker.reconfigure(&pool(Strategy::LeastConnections));
    assert_eq!(bench.picker.strategy(), Strategy::LeastConnections);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_picked_is_available_has_weight_and_a_slot_and_was_not_tried_if_another_is_left(
        strategy in any_strategy(),
        endpoints in prop::collection::vec((0_u32..4, 0_usize..8, any::<bool>(), prop::option::of(any::<bool>())), 1..60),
        tried in prop::collection::vec(0_usize..60, 0..5),
        required: bool,
        key: Option<u64>,
        flips in prop::collection::vec(0_usize..60, 0..20),
    ) {
        let specs = endpoints.iter().enumerate().map(|(n, &(weight, _, offers, full))| {
            let capabilities: &[&str] = if offers { &["x"] } else { &[] };
            EndpointSpec { max_connections: full.map(|_| 1), ..spec(&format!("e{n}"), f64::from(weight), capabilities) }
        });
        let set = set_of(specs, None);
        let mut running = Vec::new();
        for (endpoint, &(_, cause, _, full)) in set.endpoints().iter().zip(&endpoints) {
            Cause::ALL.get(cause).map(|&cause| endpoint.state.set(cause, true));
            if full == Some(true) {
                running.extend(load(&set, endpoint.spec.id.as_str(), 1));
            }
        }
        let required = if required { set.required_mask(["x"]) } else { Some(Mask::NONE) };
        let tried: Vec<_> = tried.iter().filter_map(|&n| set.endpoints().get(n)).map(|endpoint| endpoint.serial()).collect();
        let mut bench = Bench::new(strategy);
        for flip in std::iter::once(None).chain(flips.into_iter().map(Some)) {
            if let Some(endpoint) = flip.and_then(|n| set.endpoints().get(n)) {
                let down = endpoint.state.availability().has(Cause::Down);
                endpoint.state.set(Cause::Down, !down);
            }
            let Some(required) = required else { return Ok(()) };
            let fits: Vec<_> = (0..set.len())
                .filter(|&n| set.endpoints()[n].is_eligible() && set.endpoints()[n].mask().offers(required))
                .collect();
            let free: Vec<_> = fits.iter().copied().filter(|&n| set.endpoints()[n].has_slot()).collect();
            let fresh: Vec<_> = free.iter().copied().filter(|&n| !tried.contains(&set.endpoints()[n].serial())).collect();
            match bench.ask(&set, &Ask { required, key, tried: &tried }) {
                Ok(index) => {
                    let allowed = if fresh.is_empty() { &free } else { &fresh };
                    prop_assert!(allowed.contains(&index));
                }
                Err(NoPick::Full) => prop_assert!(free.is_empty() && !fits.is_empty()),
                Err(_) => prop_assert!(fits.is_empty()),
            }
        }
    }
}
