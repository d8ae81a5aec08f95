mod lab;
mod limits;
mod memory;
mod properties;
mod zero;

use lab::{Lab, policy, secs, target, threshold};

use super::*;
use crate::autoscale::decide::Replicas;
use crate::autoscale::decide::{Clamp, Look, Outlook, Trigger, Vote};
use crate::model::{Fallback, Forecast, ForecastMode, Panic, Signal};

#[test]
fn sums_are_divided_by_the_target_and_rounded_up() {
    for (value, wanted) in [(8.5, 2), (41.0, 6), (40.0, 5), (48.000_001, 6), (48.1, 7), (16.000_000_1, 2), (0.0, 1), (4e12, 20)] {
        let mut lab = Lab::free();
        lab.terms.tolerance = 0.0;
        lab.read("busy", value);
        assert_eq!(lab.decide().to, wanted, "{value}");
    }
}

#[test]
fn means_are_multiplied_by_the_ready_replicas() {
    // Four replicas at 90% are 3.6 of work, for which 70% each needs 5.14 replicas.
    for (ready, value, wanted) in [(4, 0.9, 6), (4, 0.7, 4), (4, 0.35, 2), (2, 0.9, 3)] {
        let mut lab = Lab::with(vec![policy("cpu", target(Signal::CpuUtilization, 0.7))]);
        lab.input.replicas.ready = ready;
        lab.read("cpu", value);
        assert_eq!(lab.decide().to, wanted, "{ready} at {value}");
    }
}

#[test]
fn within_tolerance_nothing_changes_and_a_clamp_says_so() {
    for (value, to) in [(35.2, 4), (35.3, 5), (28.8, 4), (24.0, 3), (32.0, 4)] {
        let mut lab = Lab::free();
        lab.read("busy", value);
        assert_eq!(lab.decide().to, to, "{value}");
    }
    let mut lab = Lab::free();
    lab.read("busy", 35.0);
    let decision = lab.decide();
    assert_eq!(decision.limits, [Clamp { limit: Limit::Tolerance, from: 5, to: 4 }]);
    assert_eq!(decision.reason, "no policy wants a change; 4 now; within tolerance");
}

#[test]
fn thresholds_step_up_above_down_below_and_hold_between() {
    for (value, weight, to) in
        [(0.76, 1.0, 6), (0.75, 1.0, 4), (0.25, 1.0, 4), (0.24, 1.0, 3), (0.8, 0.5, 5), (0.8, 0.1, 5), (0.1, 2.0, 2)]
    {
        let mut lab = Lab::with(vec![policy("cpu", threshold(Signal::CpuUtilization, (Some(0.75), Some(0.25)), (2, 1), weight))]);
        lab.read("cpu", value);
        assert_eq!(lab.decide().to, to, "{value} with weight {weight}");
    }
}

#[test]
fn replicas_that_start_are_coming_capacity_and_a_surge_is_not_ordered_twice() {
    let mut lab = Lab::with(vec![policy("lag", threshold(Signal::QueueWait, (Some(0.5), None), (2, 1), 1.0))]);
    lab.read("lag", 3.0);
    assert_eq!(lab.decide().to, 6);
    lab.input.replicas = Replicas { desired: 6, ready: 4, starting: 2, draining: 0 };
    lab.pass(1);
    assert_eq!(lab.decide().to, 6, "two are on their way");
    lab.input.replicas = Replicas { desired: 6, ready: 5, starting: 1, draining: 0 };
    assert_eq!(lab.decide().to, 7, "one has come and it was not enough");
    lab.all_ready(7);
    assert_eq!(lab.decide().to, 9);
}

#[test]
fn a_threshold_does_not_take_back_what_starts() {
    let mut lab = Lab::with(vec![policy("lag", threshold(Signal::QueueWait, (Some(0.5), None), (2, 1), 1.0))]);
    lab.input.replicas = Replicas { desired: 9, ready: 2, starting: 7, draining: 0 };
    lab.read("lag", 3.0);
    assert_eq!(lab.decide().to, 9);
}

#[test]
fn the_largest_of_all_is_taken_and_the_highest_priority_explains() {
    let mut lag = policy("lag", threshold(Signal::QueueWait, (Some(0.5), None), (1, 1), 1.0));
    lag.priority = 5;
    let mut lab = Lab::with(vec![policy("busy", target(Signal::Concurrency, 8.0)), lag]);
    lab.read("busy", 80.0);
    lab.read("lag", 0.75);
    let decision = lab.decide();
    assert_eq!((decision.to, &decision.trigger), (10, &Trigger::Policy("lag".parse().unwrap())));
    let recorded: Vec<_> = decision
        .verdicts
        .iter()
        .map(|verdict| (verdict.policy.as_str(), verdict.threshold, verdict.vote, verdict.desired))
        .collect();
    assert_eq!(recorded, [("busy", 8.0, Vote::Up, Some(10)), ("lag", 0.5, Vote::Up, Some(5))]);
    assert_eq!(decision.reason, "queue_wait is 0.750 s, above 0.5 s: 10 wanted; 4 now; so 10");
}

#[test]
fn of_equal_priorities_the_one_that_wants_most_explains_then_the_first() {
    let policies = ["a", "b", "c"].map(|name| policy(name, target(Signal::Custom(name.to_owned()), 1.0)));
    let mut lab = Lab::with(policies.to_vec());
    ["a", "b", "c"].into_iter().zip([6.0, 8.0, 8.0]).for_each(|(name, value)| lab.read(name, value));
    assert_eq!(lab.decide().trigger, Trigger::Policy("b".parse().unwrap()));
}

#[test]
fn fewer_are_wanted_only_when_every_policy_with_data_wants_fewer() {
    // What the second policy reads, and how many there are then.
    for (cpu, to) in [(0.2, 3), (0.5, 4), (0.9, 5)] {
        let mut lab = Lab::with(vec![
            policy("busy", target(Signal::Concurrency, 8.0)),
            policy("cpu", threshold(Signal::CpuUtilization, (Some(0.75), Some(0.25)), (1, 1), 1.0)),
        ]);
        lab.read("busy", 8.0);
        lab.read("cpu", cpu);
        assert_eq!(lab.decide().to, to, "cpu {cpu}");
    }
}

#[test]
fn a_policy_that_knows_no_lower_bound_or_is_idle_abstains() {
    let mut lab = Lab::with(vec![
        policy("busy", target(Signal::Concurrency, 8.0)),
        policy("lag", threshold(Signal::QueueWait, (Some(0.5), None), (1, 1), 1.0)),
        policy("slow", threshold(Signal::ResponseTime, (Some(2.0), Some(0.1)), (1, 1), 1.0)),
    ]);
    lab.read("busy", 8.0);
    lab.read("lag", 0.1);
    lab.reading("slow").is_idle = true;
    let decision = lab.decide();
    assert_eq!(decision.to, 1);
    let votes: Vec<_> = decision.verdicts.iter().map(|verdict| verdict.vote).collect();
    assert_eq!(votes, [Vote::Down, Vote::Abstain, Vote::Abstain]);
}

#[test]
fn where_all_abstain_a_pool_that_works_stays_and_one_that_does_nothing_shrinks() {
    for (in_flight, to) in [(1, 4), (0, 1)] {
        let mut lab = Lab::with(vec![policy("slow", threshold(Signal::ResponseTime, (Some(2.0), Some(0.1)), (1, 1), 1.0))]);
        lab.reading("slow").is_idle = true;
        lab.input.demand.in_flight = in_flight;
        assert_eq!(lab.decide().to, to);
    }
}

#[test]
fn nothing_scales_down_while_a_signal_is_missing() {
    let mut lab =
        Lab::with(vec![policy("busy", target(Signal::Concurrency, 8.0)), policy("cpu", target(Signal::CpuUtilization, 0.7))]);
    lab.read("busy", 8.0);
    lab.reading("cpu").missing_ms = 34_000;
    let decision = lab.decide();
    assert_eq!((decision.to, decision.wanted, decision.trigger), (4, 1, Trigger::Missing));
    assert_eq!(decision.limits, [Clamp { limit: Limit::Missing, from: 1, to: 4 }]);
    assert_eq!(decision.reason, "no data for cpu (for 34 s); 4 now; nothing scales down while signals are missing");
    lab.read("busy", 80.0);
    assert_eq!(lab.decide().to, 10, "upwards what is known is enough");
}

#[test]
fn low_use_must_be_sustained_anew_after_a_signal_was_missing() {
    let mut lab = Lab::free();
    lab.terms.scale_down.sustained = secs(600);
    lab.read("busy", 8.0);
    lab.decide();
    lab.pass(599);
    lab.state.decided_ms = Some(lab.input.now_ms - 1);
    lab.reading("busy").value = None;
    lab.decide();
    lab.pass(1);
    lab.read("busy", 8.0);
    assert_eq!(lab.decide().limits.last().unwrap().limit, Limit::Sustained);
}

#[test]
fn after_a_while_without_data_the_fallback_counts_and_never_means_fewer() {
    let cases = [(Fallback::Hold, 119, 4), (Fallback::Hold, 120, 4), (Fallback::Min, 120, 4), (Fallback::Replicas(7), 119, 4)];
    for (fallback, missing, to) in cases.into_iter().chain([(Fallback::Replicas(7), 120, 7), (Fallback::Replicas(2), 120, 4)]) {
        let mut lab = Lab::free();
        lab.terms.fallback = fallback;
        lab.reading("busy").missing_ms = missing * 1000;
        let decision = lab.decide();
        assert_eq!((decision.to, decision.trigger), (to, Trigger::Missing), "{fallback:?} after {missing} s");
        assert_eq!(decision.verdicts[0].vote, Vote::Missing);
    }
}

#[test]
fn what_cannot_be_computed_with_is_missing() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut lab = Lab::free();
        lab.read("busy", value);
        let decision = lab.decide();
        assert_eq!((decision.to, decision.verdicts[0].value, decision.verdicts[0].vote), (4, None, Vote::Missing));
    }
    let mut lab = Lab::with(vec![policy("cpu", target(Signal::CpuUtilization, 0.7))]);
    lab.input.replicas = Replicas { desired: 4, ready: 0, starting: 4, draining: 0 };
    lab.read("cpu", 0.1);
    assert_eq!(lab.decide().to, 4, "a mean over no replicas is none");
}

#[test]
fn nothing_scales_down_while_figures_of_other_gateways_are_missing() {
    let mut lab = Lab::free();
    lab.read("busy", 8.0);
    lab.input.demand.is_complete = false;
    assert_eq!(lab.decide().limits, [Clamp { limit: Limit::Missing, from: 1, to: 4 }]);
    lab.read("busy", 80.0);
    assert_eq!(lab.decide().to, 10);
}

#[test]
fn without_a_policy_that_measures_the_bounds_size_the_pool() {
    let mut lab = Lab::with(Vec::new());
    lab.terms.min_replicas = 2;
    let decision = lab.decide();
    assert_eq!((decision.to, decision.trigger), (2, Trigger::Bounds));
}

#[test]
fn schedules_bound_within_the_bounds_of_the_pool() {
    // Bounds of schedules, replicas there are, load, and how many there are then.
    let table = [
        ((Some(5), None), 4, 8.0, 5),
        ((Some(99), None), 4, 8.0, 20),
        ((None, Some(3)), 4, 80.0, 3),
        ((None, Some(3)), 2, 80.0, 3),
        ((Some(6), Some(3)), 4, 80.0, 6),
        ((None, Some(1)), 4, 8.0, 2),
        ((Some(1), None), 4, 8.0, 2),
    ];
    for ((min_replicas, max_replicas), ready, load, to) in table {
        let mut lab = Lab::free();
        lab.terms.min_replicas = 2;
        lab.all_ready(ready);
        lab.read("busy", load);
        lab.input.schedule = Look { min_replicas, max_replicas, names: vec!["office".parse().unwrap()] };
        assert_eq!(lab.decide().to, to, "{min_replicas:?} {max_replicas:?} {ready} {load}");
    }
}

#[test]
fn the_schedule_or_the_bound_that_moves_a_pool_explains() {
    let office = ScaleRule::Schedule {
        cron: "0 8 * * *".to_owned(),
        time_zone: "UTC".to_owned(),
        lasts: secs(3600),
        min_replicas: Some(5),
        max_replicas: None,
    };
    let mut lab = Lab::with(vec![policy("busy", target(Signal::Concurrency, 8.0)), policy("office", office)]);
    lab.read("busy", 32.0);
    lab.input.schedule =
        Look { min_replicas: Some(5), max_replicas: None, names: vec!["other".parse().unwrap(), "office".parse().unwrap()] };
    let decision = lab.decide();
    assert_eq!((decision.to, decision.trigger), (5, Trigger::Schedule("office".parse().unwrap())));
    assert_eq!(decision.reason, "schedule office asks for at least 5; 4 now; at least 5; so 5");

    let mut lab = Lab::free();
    lab.terms.max_replicas = 3;
    lab.read("busy", 32.0);
    let decision = lab.decide();
    assert_eq!((decision.to, decision.trigger), (3, Trigger::Bounds));
    assert_eq!(decision.reason, "max_replicas is 3; 4 now; at most 3; so 3");
}

#[test]
fn a_forecast_that_can_be_trusted_only_ever_adds() {
    let outlook = |replicas, confidence, is_demoted| {
        Some(Outlook { replicas, confidence, peak_unix_ms: 0, model: "ets".to_owned(), is_demoted })
    };
    // What is expected, the load, and how many there are then.
    let table = [
        (outlook(9, 0.8, false), 32.0, 9, true),
        (outlook(9, 0.69, false), 32.0, 4, false),
        (outlook(9, f64::NAN, false), 32.0, 4, false),
        (outlook(9, 0.8, true), 32.0, 4, false),
        (outlook(1, 0.8, false), 32.0, 4, false),
        (outlook(3, 0.8, false), 8.0, 3, true),
        (outlook(9, 0.8, false), 96.0, 12, false),
        (None, 8.0, 1, false),
    ];
    for (outlook, load, to, is_forecast) in table {
        let mut lab = Lab::free();
        lab.terms.forecast = Some(Forecast { mode: ForecastMode::Act, ..Forecast::default() });
        lab.input.outlook = outlook;
        lab.read("busy", load);
        let shown = format!("{:?} with {load}", lab.input.outlook);
        let decision = lab.decide();
        assert_eq!((decision.to, decision.trigger == Trigger::Forecast), (to, is_forecast), "{shown}");
    }
    let mut lab = Lab::free();
    lab.terms.forecast = Some(Forecast { mode: ForecastMode::Watch, ..Forecast::default() });
    lab.input.outlook = outlook(9, 0.9, false);
    lab.read("busy", 32.0);
    assert_eq!(lab.decide().to, 4, "watched only");
}

#[test]
fn panic_takes_the_short_window_and_keeps_everything_for_a_minute_after() {
    let mut lab = Lab::free();
    lab.terms.panic = Some(Panic::default());
    lab.terms.scale_up.cooldown = secs(3600);
    lab.state.up_ms = Some(lab.input.now_ms);
    lab.read("busy", 32.0);
    lab.reading("busy").fast = Some(55.0);
    assert_eq!(lab.decide().to, 4, "seven are not twice as many as four");
    lab.reading("busy").fast = Some(60.0);
    let decision = lab.decide();
    assert_eq!((decision.to, decision.trigger), (8, Trigger::Panic("busy".parse().unwrap())));
    assert_eq!(decision.reason, "panic, in the last 6 s concurrency is 60.0, 8 for each replica: 8 wanted; 4 now; so 8");
    lab.all_ready(8);
    lab.read("busy", 8.0);
    lab.reading("busy").fast = Some(8.0);
    lab.pass(59);
    assert_eq!(lab.decide().limits, [Clamp { limit: Limit::Panic, from: 1, to: 8 }]);
    lab.pass(1);
    assert_eq!(lab.decide().to, 1);
    assert_eq!(lab.state.panic, None);
}

#[test]
fn an_operator_has_the_last_word_but_for_the_most_replicas() {
    for (order, to) in [(Order::Pause, 4), (Order::Replicas(0), 0), (Order::Replicas(9), 9), (Order::Replicas(99), 20)] {
        let mut lab = Lab::new();
        lab.read("busy", 80.0);
        lab.input.schedule.min_replicas = Some(6);
        lab.input.order = Some(order);
        let decision = lab.decide();
        assert_eq!((decision.to, decision.trigger), (to, Trigger::Operator), "{order:?}");
    }
    let mut lab = Lab::free();
    lab.read("busy", 80.0);
    lab.input.order = Some(Order::Pause);
    assert_eq!(lab.decide().limits, [Clamp { limit: Limit::Paused, from: 10, to: 4 }]);
}

#[test]
fn draining_replicas_are_not_there_and_are_counted_back() {
    let mut lab = Lab::free();
    lab.input.replicas = Replicas { desired: 6, ready: 4, starting: 0, draining: 2 };
    lab.read("busy", 40.0);
    let decision = lab.decide();
    assert_eq!((decision.from, decision.to), (4, 5));
}
