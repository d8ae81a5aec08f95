use super::lab::{Lab, START_MS, secs};
use crate::autoscale::decide::{Clamp, Limit, Ours, Panicking, Replicas, State, Trigger, Wanted};
use crate::model::Panic;

#[test]
fn somebody_elses_number_is_adopted_and_respected_for_one_cooldown() {
    let mut lab = Lab::free();
    (lab.terms.scale_up.cooldown, lab.terms.scale_down.cooldown) = (secs(30), secs(40));
    lab.read("busy", 32.0);
    lab.decide();
    lab.all_ready(9);
    let decision = lab.decide();
    assert_eq!((decision.from, decision.to, decision.trigger), (9, 9, Trigger::Adopted));
    assert_eq!(decision.limits, [Clamp { limit: Limit::Cooldown, from: 4, to: 9 }]);
    assert_eq!(decision.reason, "somebody else has set 9; 9 now; somebody else's change is respected for 40 s, still 40 s");
    lab.pass(39);
    assert_eq!(lab.decide().trigger, Trigger::Adopted);
    lab.pass(1);
    assert_eq!(lab.decide().to, 4);
}

#[test]
fn fewer_by_somebody_else_are_respected_too_but_not_against_a_full_queue_or_the_bounds() {
    type Change = fn(&mut Lab);
    let cases: [(Change, u32); 3] =
        [(|_| (), 2), (|lab| lab.input.demand.queue_full = true, 8), (|lab| lab.terms.min_replicas = 3, 3)];
    for (change, to) in cases {
        let mut lab = Lab::free();
        lab.terms.scale_up.cooldown = secs(30);
        lab.read("busy", 32.0);
        lab.decide();
        lab.all_ready(2);
        lab.read("busy", 64.0);
        change(&mut lab);
        assert_eq!(lab.decide().to, to);
    }
}

#[test]
fn the_own_number_on_its_way_is_not_somebody_elses() {
    let mut lab = Lab::new();
    lab.read("busy", 64.0);
    assert_eq!(lab.decide().to, 8);
    // The platform does not show it yet, then half of it, then all.
    for (desired, to) in [(4, 8), (6, 8), (8, 8)] {
        lab.input.replicas.desired = desired;
        lab.pass(1);
        let decision = lab.decide();
        assert_eq!((decision.to, lab.state.adopted_ms), (to, None), "{desired}: {}", decision.reason);
    }
    assert_eq!(lab.state.up_ms, Some(START_MS), "the same order again is no new scaling");
}

#[test]
fn a_drain_that_ends_is_not_somebody_elses_change() {
    let mut lab = Lab::free();
    lab.read("busy", 16.0);
    assert_eq!(lab.decide().to, 2);
    for second in 0..600 {
        let draining = 2 - u32::from(second > 200) - u32::from(second > 400);
        lab.input.replicas = Replicas { desired: 2 + draining, ready: 2, starting: 0, draining };
        lab.pass(1);
        assert_eq!(lab.decide().to, 2);
    }
    assert_eq!(lab.state.adopted_ms, None);
    assert_eq!(lab.state.ours.map(|ours| (ours.low, ours.high)), Some((2, 2)));
}

#[test]
fn a_drain_from_before_a_restart_is_not_somebody_elses_change() {
    let mut lab = Lab::new();
    lab.input.replicas = Replicas { desired: 5, ready: 4, starting: 0, draining: 1 };
    lab.read("busy", 32.0);
    lab.decide();
    lab.all_ready(4);
    lab.pass(1);
    assert_eq!(lab.decide().trigger, Trigger::Steady);
}

#[test]
fn a_number_that_was_ours_long_ago_is_somebody_elses_now() {
    let mut lab = Lab::new();
    lab.read("busy", 64.0);
    lab.live(31);
    lab.all_ready(6);
    assert_eq!(lab.decide().trigger, Trigger::Adopted);
}

#[test]
fn a_clock_that_is_behind_keeps_cooldowns_as_long_as_they_were() {
    let mut lab = Lab::new();
    lab.read("busy", 40.0);
    lab.decide();
    lab.all_ready(5);
    lab.read("busy", 80.0);
    lab.pass(10);
    lab.decide();
    lab.input.now_ms = 50_000;
    assert!(lab.decide().reason.ends_with("ends in 20 s"));
    lab.pass(20);
    assert_eq!(lab.decide().to, 10);
}

#[test]
fn a_clock_that_began_anew_holds_for_one_cooldown_at_most() {
    let mut lab = Lab::new();
    lab.read("busy", 40.0);
    lab.decide();
    lab.all_ready(5);
    lab.read("busy", 80.0);
    lab.pass(10);
    lab.decide();
    lab.input.now_ms = 0;
    lab.decide();
    lab.pass(30);
    assert_eq!(lab.decide().to, 10);
}

#[test]
fn times_from_the_future_count_as_now() {
    let far = u64::MAX - 7;
    let mut lab = Lab::new();
    lab.terms.panic = Some(Panic::default());
    lab.read("busy", 80.0);
    lab.state = State {
        decided_ms: Some(5),
        up_ms: Some(far),
        down_ms: Some(far),
        adopted_ms: Some(far),
        low_ms: Some(far),
        panic: Some(Panicking { since_ms: far, last_ms: far }),
        ours: Some(Ours { low: 9, high: 3, at_ms: far }),
        most: [Wanted { at_ms: far, replicas: 3 }].into(),
        least: [Wanted { at_ms: far, replicas: 3 }].into(),
        events: vec![far; 100].into(),
        ..State::default()
    };
    lab.decide();
    assert_eq!(lab.state.events.len(), 60, "the newest are enough");
    lab.pass(3600);
    assert_eq!(lab.decide().to, 10);
}

#[test]
fn use_that_nobody_watched_was_not_low() {
    let mut lab = Lab::free();
    lab.terms.scale_down.sustained = secs(600);
    lab.read("busy", 8.0);
    lab.decide();
    lab.pass(600);
    assert_eq!(lab.decide().to, 4, "nothing was decided for ten minutes");
    for _ in 0..600 {
        lab.pass(1);
        lab.decide();
    }
    assert_eq!(lab.decide().to, 1);
}

#[test]
fn windows_keep_only_what_can_still_count() {
    let mut lab = Lab::new();
    (lab.terms.max_replicas, lab.terms.scale_up.stabilization) = (50, secs(100_000));
    lab.terms.scale_down.stabilization = secs(100_000);
    for second in 0..5_000_u32 {
        lab.read("busy", f64::from(second.wrapping_mul(7919) % 997));
        lab.pass(1);
        lab.decide();
    }
    assert!(lab.state.most.len() <= 51 && lab.state.least.len() <= 51, "{:?}", lab.state);
}

#[test]
fn a_clock_that_is_behind_begins_windows_anew() {
    let mut lab = Lab::free();
    lab.terms.scale_down.sustained = secs(30);
    lab.read("busy", 8.0);
    lab.decide();
    lab.pass(29);
    lab.decide();
    lab.input.now_ms = 50_000;
    lab.decide();
    lab.pass(29);
    assert_eq!(lab.decide().to, 4, "nobody knows how long nobody watched");
    lab.pass(1);
    assert_eq!(lab.decide().to, 1);
}
