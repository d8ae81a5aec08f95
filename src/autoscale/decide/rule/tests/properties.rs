use std::fmt::Debug;

use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::lab::{Lab, policy, secs, target, threshold};
use crate::autoscale::decide::{Decision, Demand, Input, Limit, Look, Order, Outlook, Reading, Replicas, State, Vote, decide};
use crate::model::{Fallback, Forecast, ForecastMode, Panic, ScaleDown, ScaleUp, Signal, Step, Terms};

const NAMES: [&str; 4] = ["busy", "cpu", "lag", "slow"];

fn max_step() -> impl Strategy<Value = Option<Step>> {
    prop_oneof![Just(None), (1..5_u32).prop_map(|n| Some(Step::Replicas(n))), (0.0..2.0).prop_map(|n| Some(Step::Share(n)))]
}

fn terms() -> impl Strategy<Value = Terms> {
    let bounds = (0..4_u32, 1..25_u32, 0..30_u64);
    let up = (0..40_u64, max_step(), 0..20_u64);
    let down = (0..40_u64, max_step(), 0..20_u64, 0..20_u64);
    let fallback = prop_oneof![Just(Fallback::Hold), Just(Fallback::Min), (0..30_u32).prop_map(Fallback::Replicas)];
    let rest = (0.0..0.3_f64, 0..20_u32, any::<bool>(), any::<bool>(), fallback);
    let policies = prop::sample::subsequence(vec![0, 1, 2, 3], 0..=4);
    (bounds, up, down, rest, policies).prop_map(|(bounds, up, down, rest, policies)| {
        let rules = [
            target(Signal::Concurrency, 8.0),
            target(Signal::CpuUtilization, 0.7),
            threshold(Signal::QueueWait, (Some(0.5), None), (3, 1), 1.5),
            threshold(Signal::ResponseTime, (Some(5.0), Some(1.0)), (2, 1), 1.0),
        ];
        let lab = Lab::new();
        Terms {
            min_replicas: bounds.0,
            max_replicas: bounds.0.max(bounds.1),
            idle_after: secs(bounds.2),
            scale_up: ScaleUp { cooldown: secs(up.0), max_step: up.1, stabilization: secs(up.2) },
            scale_down: ScaleDown {
                cooldown: secs(down.0),
                max_step: down.1,
                stabilization: secs(down.2),
                sustained: secs(down.3),
            },
            tolerance: rest.0,
            max_events_per_hour: rest.1,
            panic: rest.2.then(Panic::default),
            forecast: rest.3.then(|| Forecast { mode: ForecastMode::Act, ..Forecast::default() }),
            fallback: rest.4,
            missing_after: secs(3),
            policies: policies.into_iter().map(|index| policy(NAMES[index], rules[index].clone())).collect(),
            ..lab.terms
        }
    })
}

fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let value = || prop_oneof![1 => Just(None), 9 => (0.0..1.0_f64).prop_map(Some)];
    let one = (value(), value(), 0..8_000_u64, prop::bool::weighted(0.2));
    // Concurrency, processor, queue wait and response time have scales of their own.
    prop::collection::vec(one, 4).prop_map(|all| {
        let scaled = all.into_iter().zip(NAMES).zip([200.0, 1.2, 1.0, 8.0]);
        scaled
            .map(|(((value, fast, missing_ms, is_idle), name), scale)| Reading {
                policy: name.parse().unwrap(),
                value: value.map(|value| value * scale),
                fast: fast.map(|value| value * scale),
                missing_ms,
                is_idle: is_idle && value.is_none(),
            })
            .collect()
    })
}

fn input() -> impl Strategy<Value = Input> {
    let replicas = (0..30_u32, 0..30_u32, 0..10_u32, 0..4_u32);
    let demand = (0..3_u64, 0..3_u64, prop::bool::weighted(0.1), 0..60_000_u64, prop::bool::weighted(0.9));
    let schedule = (prop::option::weighted(0.1, 0..30_u32), prop::option::weighted(0.1, 0..30_u32));
    let outlook = prop::option::weighted(0.3, (0..30_u32, 0.0..1.0_f64, any::<bool>()));
    let order = prop::option::weighted(0.05, prop_oneof![Just(Order::Pause), (0..40_u32).prop_map(Order::Replicas)]);
    (replicas, demand, readings(), schedule, outlook, order).prop_map(|(replicas, demand, readings, schedule, outlook, order)| {
        let (desired, ready, starting, draining) = replicas;
        let (in_flight, queued, queue_full, idle_ms, is_complete) = demand;
        let (min_replicas, max_replicas) = schedule;
        Input {
            now_ms: 0,
            unix_ms: 0,
            replicas: Replicas { desired, ready, starting, draining },
            demand: Demand { in_flight, queued, queue_full, idle_ms, flow: None, is_complete },
            readings,
            schedule: Look { min_replicas, max_replicas, names: Vec::new() },
            outlook: outlook.map(|(replicas, confidence, is_demoted)| Outlook {
                replicas,
                confidence,
                is_demoted,
                peak_unix_ms: 0,
                model: "ets".to_owned(),
            }),
            order,
        }
    })
}

/// Inputs of a few seconds after each other; in most of them the platform shows what was decided.
fn history() -> BoxedStrategy<Vec<(Input, u64, bool)>> {
    prop::collection::vec((input(), prop_oneof![9 => 0..3_000_u64, 1 => 0..200_000_u64], prop::bool::weighted(0.8)), 1..40).boxed()
}

/// Decides about all of a history, and hands each decision with the states before and after it to `look`.
fn replay(
    terms: &Terms,
    history: Vec<(Input, u64, bool)>,
    mut look: impl FnMut(&Input, &State, &Decision, &State) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let (mut state, mut now_ms, mut last) = (State::default(), 1_000_000, None);
    for (mut input, passed, is_obeyed) in history {
        now_ms += passed;
        input.now_ms = now_ms;
        if let Some(to) = last.filter(|_| is_obeyed) {
            input.replicas = Replicas { desired: to, ready: to, starting: 0, draining: 0 };
        }
        let (decision, next) = decide(terms, &input, &state);
        look(&input, &state, &decision, &next)?;
        last = Some(decision.to);
        state = next;
    }
    Ok(())
}

fn range(terms: &Terms, input: &Input) -> (u32, u32) {
    let low = terms.min_replicas.max(input.schedule.min_replicas.unwrap_or(0).min(terms.max_replicas));
    (low, terms.max_replicas.min(input.schedule.max_replicas.unwrap_or(u32::MAX)).max(low))
}

fn again<T: Serialize + DeserializeOwned + Debug>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn allowed(step: Option<Step>, from: u32) -> u32 {
    match step {
        None => u32::MAX,
        Some(Step::Replicas(replicas)) => replicas,
        Some(Step::Share(share)) => ((f64::from(from) * share).ceil() as u32).max(1),
    }
}

proptest! {
    #[test]
    fn bounds_always_hold_and_an_order_wins(terms in terms(), history in history()) {
        replay(&terms, history, |input, _, decision, _| {
            let (low, high) = range(&terms, input);
            match input.order {
                None => prop_assert!((low..=high).contains(&decision.to), "{low}..={high}: {decision:?}"),
                Some(Order::Pause) => prop_assert_eq!(decision.to, decision.from),
                Some(Order::Replicas(replicas)) => prop_assert_eq!(decision.to, replicas.min(terms.max_replicas)),
            }
            Ok(())
        })?;
    }

    #[test]
    fn nothing_goes_on_missing_data_in_panic_or_with_an_objection(terms in terms(), history in history()) {
        replay(&terms, history, |input, _, decision, next| {
            let (_, high) = range(&terms, input);
            if input.order.is_some() || decision.to >= decision.from || decision.from > high {
                return Ok(());
            }
            let votes: Vec<_> = decision.verdicts.iter().map(|verdict| verdict.vote).collect();
            prop_assert!(!votes.contains(&Vote::Missing) && !votes.contains(&Vote::Up), "{decision:?}");
            prop_assert!(input.demand.is_complete && next.panic.is_none() && !input.demand.queue_full, "{decision:?}");
            prop_assert!(decision.to == 0 || !votes.contains(&Vote::Hold), "{decision:?}");
            Ok(())
        })?;
    }

    #[test]
    fn only_idle_pools_go_to_zero(terms in terms(), history in history()) {
        replay(&terms, history, |input, _, decision, _| {
            let (_, high) = range(&terms, input);
            if input.order.is_none() && high > 0 && decision.from > 0 && decision.to == 0 {
                let demand = &input.demand;
                prop_assert!(demand.in_flight == 0 && demand.queued == 0, "{decision:?}");
                prop_assert!(u128::from(demand.idle_ms) >= terms.idle_after.as_millis(), "{decision:?}");
            }
            Ok(())
        })?;
    }

    #[test]
    fn steps_are_no_larger_than_allowed(terms in terms(), history in history()) {
        replay(&terms, history, |input, _, decision, _| {
            let ((low, high), from, to) = (range(&terms, input), decision.from, decision.to);
            if input.order.is_none() && from >= low && from <= high {
                prop_assert!(to <= from.saturating_add(allowed(terms.scale_up.max_step, from)), "{decision:?}");
                prop_assert!(to >= from.saturating_sub(allowed(terms.scale_down.max_step, from)), "{decision:?}");
            }
            Ok(())
        })?;
    }

    #[test]
    fn what_was_written_down_is_decided_again_to_the_bit(terms in terms(), history in history()) {
        replay(&terms, history, |input, before, decision, next| {
            let (other, other_next) = decide(&again(&terms), &again(input), &again(before));
            prop_assert_eq!(&other, decision);
            prop_assert_eq!(&other_next, next);
            prop_assert_eq!(&again(decision), decision);
            prop_assert_eq!(serde_json::to_string(&other).unwrap(), serde_json::to_string(decision).unwrap());
            Ok(())
        })?;
    }

    #[test]
    fn more_load_never_means_fewer_replicas(terms in terms(), history in history(), which in 0..4_usize, more in 0.0..100.0_f64) {
        replay(&terms, history, |input, before, decision, _| {
            let mut heavier = input.clone();
            let reading = &mut heavier.readings[which];
            (reading.value, reading.fast) = (reading.value.map(|value| value + more), reading.fast.map(|value| value + more));
            let (other, _) = decide(&terms, &heavier, before);
            prop_assert!(other.to >= decision.to, "{} became {}", decision.reason, other.reason);
            Ok(())
        })?;
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_story_is_whole(terms in terms(), history in history()) {
        replay(&terms, history, |input, _, decision, next| {
            let most = terms.max_replicas.max(30) as usize + 1;
            prop_assert!(next.most.len() <= most && next.least.len() <= most);
            prop_assert!(next.events.len() <= terms.max_events_per_hour as usize);
            // Each clamp begins where the one before ended, and the last ends at the decision.
            let clamps: Vec<_> = decision.limits.iter().filter(|clamp| clamp.limit != Limit::Tolerance).collect();
            prop_assert!(clamps.windows(2).all(|pair| pair[0].to == pair[1].from), "{:?}", decision);
            prop_assert!(clamps.last().is_none_or(|clamp| clamp.to == decision.to), "{:?}", decision);
            prop_assert!(clamps.iter().all(|clamp| clamp.from != clamp.to));
            if clamps.is_empty() && input.order.is_none() {
                prop_assert_eq!(decision.to, decision.wanted);
            }
            Ok(())
        })?;
    }

    #[test]
    fn no_state_is_too_strange(terms in terms(), input in input(), times in prop::collection::vec(any::<u64>(), 9), numbers in prop::collection::vec(any::<u32>(), 5)) {
        use crate::autoscale::decide::{Ours, Panicking, Wanted};
        let wanted = Wanted { at_ms: times[0], replicas: numbers[0] };
        let state = State {
            decided_ms: Some(times[1]),
            last: Some(numbers[1]),
            pending: Some(numbers[2]),
            ours: Some(Ours { low: numbers[3], high: numbers[4], at_ms: times[2] }),
            panic: Some(Panicking { since_ms: times[3], last_ms: times[4] }),
            up_ms: Some(times[5]),
            down_ms: Some(times[6]),
            adopted_ms: Some(times[7]),
            low_ms: Some(times[8]),
            most: [wanted].into(),
            least: [wanted].into(),
            events: times.into(),
        };
        let now_ms = state.events[0];
        let (decision, _) = decide(&terms, &Input { now_ms, ..input }, &state);
        prop_assert!(!decision.reason.is_empty());
    }

    #[test]
    fn constant_load_is_reached_in_one_direction_and_kept(
        load in 0.0..150.0_f64,
        first in 1..20_u32,
        startup in 0..60_u64,
        is_cpu in any::<bool>(),
        is_nervous in any::<bool>(),
    ) {
        let mut lab = if is_nervous { Lab::free() } else { Lab::new() };
        // Ten minutes of patience would only make the test slow.
        lab.terms.scale_down = ScaleDown { cooldown: secs(20), sustained: secs(30), stabilization: secs(15), ..lab.terms.scale_down };
        lab.terms.panic = Some(Panic::default());
        if is_cpu {
            lab.terms.policies = vec![policy("busy", target(Signal::CpuUtilization, 0.7))];
        }
        // With processors, a replica does one second of work in a second: load in eighths of a replica, to be comparable.
        let work = load / 8.0;
        let mut arrivals: Vec<u64> = Vec::new();
        let (mut ready, mut sizes) = (first, vec![first]);
        for second in 0..900 {
            ready += u32::try_from(arrivals.iter().filter(|&&at| at <= second).count()).unwrap();
            arrivals.retain(|&at| at > second);
            let starting = u32::try_from(arrivals.len()).unwrap();
            lab.input.replicas = Replicas { desired: ready + starting, ready, starting, draining: 0 };
            let value = if is_cpu { (work / f64::from(ready)).min(1.0) } else { load };
            lab.read("busy", value);
            lab.reading("busy").fast = Some(value);
            let to = lab.decide().to;
            let more = to.saturating_sub(ready + starting);
            arrivals.extend((0..more).map(|_| second + startup));
            let fewer = (ready + starting).saturating_sub(to);
            ready -= fewer.min(ready);
            sizes.push(to);
            lab.pass(1);
        }
        let ups = sizes.windows(2).filter(|pair| pair[1] > pair[0]).count();
        let downs = sizes.windows(2).filter(|pair| pair[1] < pair[0]).count();
        prop_assert!(ups == 0 || downs == 0, "{sizes:?}");
        let need = if is_cpu { work / 0.7 } else { load / 8.0 };
        let end = f64::from(*sizes.last().unwrap());
        let enough = (end * 1.1 + 1e-3 >= need || end >= 20.0) && (end - 1.0 < need / 0.9 + 1e-3 || end <= 1.0);
        prop_assert!(enough, "{end} for {need}");
    }
}
