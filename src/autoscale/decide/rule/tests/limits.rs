use super::lab::{Lab, START_MS, policy, secs, target};
use crate::autoscale::decide::{Clamp, Decision, Limit, Replicas, Trigger};
use crate::model::{Signal, Step};

fn limits(decision: &Decision) -> Vec<Limit> {
    decision.limits.iter().map(|clamp| clamp.limit).collect()
}

#[test]
fn the_next_scale_up_waits_for_the_cooldown_and_says_how_long() {
    let mut lab = Lab::new();
    lab.read("busy", 41.0);
    let decision = lab.decide();
    assert_eq!((decision.from, decision.to), (4, 6));
    assert_eq!(decision.reason, "concurrency is 41.0, 8 for each replica: 6 wanted; 4 now; so 6");
    lab.all_ready(6);
    lab.read("busy", 80.0);
    lab.pass(18);
    let decision = lab.decide();
    assert_eq!(decision.limits, [Clamp { limit: Limit::Cooldown, from: 10, to: 6 }]);
    assert_eq!(decision.reason, "concurrency is 80.0, 8 for each replica: 10 wanted; 6 now; cooldown of 30 s ends in 12 s");
    lab.pass(12);
    assert_eq!(lab.decide().to, 10);
}

#[test]
fn a_full_queue_waits_for_no_cooldown() {
    let mut lab = Lab::new();
    lab.state.up_ms = Some(START_MS);
    lab.read("busy", 80.0);
    assert_eq!(lab.decide().to, 4);
    lab.input.demand.queue_full = true;
    assert_eq!(lab.decide().to, 10);
}

#[test]
fn a_full_queue_asks_for_one_more_at_a_time_whatever_policies_look_at() {
    let mut lab = Lab::with(vec![policy("cpu", target(Signal::CpuUtilization, 0.7))]);
    lab.terms.scale_up.cooldown = secs(30);
    lab.read("cpu", 0.05);
    lab.input.demand.queue_full = true;
    let decision = lab.decide();
    assert_eq!((decision.to, decision.trigger), (5, Trigger::QueueFull));
    assert_eq!(decision.reason, "the queue is full: 5 wanted; 4 now; so 5");
    lab.input.replicas = Replicas { desired: 5, ready: 4, starting: 1, draining: 0 };
    lab.pass(60);
    assert_eq!(lab.decide().to, 5, "one is on its way");
    lab.all_ready(5);
    assert_eq!(lab.decide().to, 6);
    lab.input.replicas = Replicas { desired: 6, ready: 5, starting: 0, draining: 0 };
    lab.pass(29);
    assert_eq!(lab.decide().to, 6, "the platform may need a moment to begin");
    lab.pass(1);
    assert_eq!(lab.decide().to, 7, "what never comes does not hold the others back");
}

#[test]
fn steps_up_are_limited_in_number_or_share() {
    for (step, to) in
        [(Step::Replicas(3), 7), (Step::Share(0.5), 6), (Step::Share(0.3), 6), (Step::Share(0.01), 5), (Step::Replicas(0), 5)]
    {
        let mut lab = Lab::free();
        lab.terms.scale_up.max_step = Some(step);
        lab.read("busy", 160.0);
        let decision = lab.decide();
        assert_eq!((decision.to, limits(&decision)), (to, vec![Limit::MaxStep]), "{step:?}");
    }
}

#[test]
fn steps_down_are_limited_in_number_or_share() {
    for (step, to) in [(Step::Replicas(3), 7), (Step::Share(0.5), 5), (Step::Share(0.01), 9)] {
        let mut lab = Lab::free();
        lab.terms.scale_down.max_step = Some(step);
        lab.all_ready(10);
        lab.read("busy", 8.0);
        let decision = lab.decide();
        assert_eq!((decision.to, limits(&decision)), (to, vec![Limit::MaxStep]), "{step:?}");
    }
}

#[test]
fn the_least_that_was_wanted_counts_upwards() {
    let mut lab = Lab::free();
    lab.terms.scale_up.stabilization = secs(10);
    for (second, load, to) in [(0, 32.0, 4), (5, 80.0, 4), (10, 48.0, 4), (11, 80.0, 6)] {
        lab.input.now_ms = START_MS + second * 1000;
        lab.read("busy", load);
        assert_eq!(lab.decide().to, to, "second {second}");
    }
}

#[test]
fn the_most_that_was_wanted_counts_downwards() {
    let mut lab = Lab::free();
    lab.terms.scale_down.stabilization = secs(30);
    lab.all_ready(10);
    // What is wanted: 8, then 3, then 6.
    for (second, load, to) in [(0, 64.0, 8), (5, 24.0, 8), (20, 48.0, 8), (30, 24.0, 8), (31, 24.0, 6), (51, 24.0, 3)] {
        lab.input.now_ms = START_MS + second * 1000;
        lab.read("busy", load);
        let decision = lab.decide();
        assert_eq!(decision.to, to, "second {second}: {}", decision.reason);
        lab.all_ready(to);
    }
}

#[test]
fn use_must_be_low_without_a_break() {
    let mut lab = Lab::free();
    lab.terms.scale_down.sustained = secs(50);
    lab.read("busy", 8.0);
    lab.decide();
    lab.pass(49);
    let decision = lab.decide();
    assert_eq!(limits(&decision), [Limit::Sustained]);
    assert!(decision.reason.ends_with("4 now; use must be low for 50 s, now 49 s"), "{}", decision.reason);
    lab.read("busy", 32.0);
    lab.decide();
    lab.read("busy", 8.0);
    lab.pass(1);
    assert_eq!(limits(&lab.decide()), [Limit::Sustained]);
    lab.pass(50);
    assert_eq!(lab.decide().to, 1);
}

#[test]
fn a_scale_down_waits_for_the_cooldown_after_any_scaling() {
    for is_up in [true, false] {
        let mut lab = Lab::free();
        lab.terms.scale_down.cooldown = secs(40);
        let last = if is_up { &mut lab.state.up_ms } else { &mut lab.state.down_ms };
        *last = Some(START_MS);
        lab.state.decided_ms = Some(START_MS);
        lab.read("busy", 8.0);
        lab.pass(39);
        assert_eq!(limits(&lab.decide()), [Limit::Cooldown]);
        lab.pass(1);
        assert_eq!(lab.decide().to, 1);
    }
}

#[test]
fn by_default_all_that_are_too_many_go_after_ten_minutes_of_low_use() {
    let mut lab = Lab::new();
    lab.read("busy", 8.0);
    assert_eq!(lab.live(599).to, 4);
    assert_eq!(lab.live(1).to, 1);
}

#[test]
fn scalings_in_an_hour_are_limited_and_those_for_a_full_queue_are_not() {
    let mut lab = Lab::free();
    lab.terms.max_events_per_hour = 3;
    for (load, to) in [(40.0, 5), (32.0, 4), (40.0, 5)] {
        lab.read("busy", load);
        lab.pass(1);
        assert_eq!(lab.decide().to, to);
        lab.all_ready(to);
    }
    lab.read("busy", 80.0);
    let decision = lab.decide();
    assert_eq!(decision.limits, [Clamp { limit: Limit::EventsPerHour, from: 10, to: 5 }]);
    assert!(decision.reason.ends_with("3 scalings an hour at most, the next in 3598 s"), "{}", decision.reason);
    lab.input.demand.queue_full = true;
    assert_eq!(lab.decide().to, 10);
    assert_eq!(lab.state.events.len(), 3, "it is not counted");
    lab.all_ready(10);
    lab.input.demand.queue_full = false;
    lab.read("busy", 8.0);
    assert_eq!(limits(&lab.decide()), [Limit::EventsPerHour], "both directions count");
    lab.pass(3598);
    assert_eq!(lab.decide().to, 1);
}

#[test]
fn bounds_wait_for_nothing() {
    let mut lab = Lab::new();
    (lab.state.up_ms, lab.state.down_ms, lab.terms.max_events_per_hour) = (Some(START_MS), Some(START_MS), 0);
    lab.read("busy", 8.0);
    lab.terms.min_replicas = 6;
    assert_eq!(lab.decide().to, 6);
    lab.all_ready(19);
    lab.terms.max_replicas = 7;
    assert_eq!(lab.decide().to, 7);
}

#[test]
fn what_is_wanted_is_kept_beside_what_limits_make_of_it() {
    let mut lab = Lab::new();
    lab.terms.scale_up.max_step = Some(Step::Replicas(5));
    lab.read("busy", 400.0);
    let decision = lab.decide();
    assert_eq!((decision.wanted, decision.to), (50, 9));
    let clamps = [Clamp { limit: Limit::MaxReplicas, from: 50, to: 20 }, Clamp { limit: Limit::MaxStep, from: 20, to: 9 }];
    assert_eq!(decision.limits, clamps);
    assert_eq!(decision.reason, "concurrency is 400.0, 8 for each replica: 50 wanted; 4 now; at most 20; 5 at once at most; so 9");
}
