use super::lab::{Lab, START_MS, policy, secs, target};
use crate::autoscale::decide::{Clamp, Limit, Replicas, Trigger};
use crate::model::{Fallback, Forecast, ForecastMode, Signal};

fn sleepy() -> Lab {
    let mut lab = Lab::new();
    lab.terms.min_replicas = 0;
    lab.all_ready(1);
    lab.read("busy", 0.0);
    lab.input.demand.in_flight = 0;
    lab
}

#[test]
fn the_last_replica_goes_only_when_nobody_has_come_for_long_enough() {
    let mut lab = sleepy();
    lab.input.demand.idle_ms = 599_999;
    let decision = lab.decide();
    assert_eq!((decision.to, decision.limits), (1, vec![Clamp { limit: Limit::Idle, from: 0, to: 1 }]));
    lab.input.demand.idle_ms = 600_000;
    let decision = lab.decide();
    assert_eq!((decision.to, decision.trigger), (0, Trigger::Idle));
    assert_eq!(decision.reason, "idle for 600 s: 0 wanted; 1 now; so 0");
}

#[test]
fn the_last_replica_stays_where_one_is_the_least() {
    let mut lab = sleepy();
    lab.terms.min_replicas = 1;
    lab.input.demand.idle_ms = 6_000_000;
    assert_eq!(lab.decide().to, 1);
}

#[test]
fn idle_time_alone_takes_the_last_replica_against_policies_that_never_want_none() {
    let mut lab = sleepy();
    lab.terms.policies.push(policy("cpu", target(Signal::CpuUtilization, 0.7)));
    lab.read("cpu", 0.6);
    (lab.input.demand.idle_ms, lab.state.up_ms) = (600_000, Some(START_MS));
    assert_eq!(lab.decide().to, 0);
}

#[test]
fn a_policy_that_wants_more_or_a_forecast_keeps_the_last_replica() {
    let mut lab = sleepy();
    lab.terms.policies.push(policy("cpu", target(Signal::CpuUtilization, 0.7)));
    lab.input.demand.idle_ms = 600_000;
    lab.read("cpu", 1.0);
    assert_eq!(lab.decide().to, 2);
    let mut lab = sleepy();
    lab.input.demand.idle_ms = 600_000;
    lab.terms.forecast = Some(Forecast { mode: ForecastMode::Act, ..Forecast::default() });
    let outlook = crate::autoscale::decide::Outlook {
        replicas: 1,
        confidence: 0.9,
        peak_unix_ms: 0,
        model: "ets".to_owned(),
        is_demoted: false,
    };
    lab.input.outlook = Some(outlook);
    assert_eq!(lab.decide().to, 1);
}

#[test]
fn the_last_replica_stays_while_anything_is_missing() {
    let mut lab = sleepy();
    lab.input.demand.idle_ms = 600_000;
    lab.input.demand.is_complete = false;
    assert_eq!(lab.decide().to, 1);
    let mut lab = sleepy();
    lab.input.demand.idle_ms = 600_000;
    lab.reading("busy").value = None;
    assert_eq!(lab.decide().to, 1);
}

#[test]
fn several_idle_replicas_go_one_by_one_to_none() {
    let mut lab = Lab::free();
    lab.terms.min_replicas = 0;
    lab.read("busy", 0.0);
    lab.input.demand.in_flight = 0;
    assert_eq!(lab.live(3).to, 1, "not idle for long enough");
    lab.input.demand.idle_ms = 600_000;
    assert_eq!(lab.live(1).to, 0);
}

#[test]
fn a_request_wakes_a_pool_whatever_holds_it_back() {
    let mut lab = sleepy();
    lab.all_ready(0);
    lab.terms.max_events_per_hour = 0;
    (lab.state.up_ms, lab.state.down_ms, lab.state.adopted_ms) = (Some(START_MS), Some(START_MS), Some(START_MS));
    lab.terms.scale_up.stabilization = secs(600);
    lab.decide();
    lab.input.demand.queued = 3;
    lab.read("busy", 0.05);
    let decision = lab.decide();
    assert_eq!((decision.to, decision.trigger), (1, Trigger::FirstRequest));
    assert_eq!(decision.reason, "3 waiting and no replica: 1 wanted; 0 now; so 1");
}

#[test]
fn the_order_for_the_first_replica_is_given_again_until_the_platform_shows_it() {
    let mut lab = sleepy();
    lab.all_ready(0);
    lab.input.demand.queued = 1;
    lab.read("busy", 0.0);
    let first = lab.input.now_ms;
    for _ in 0..5 {
        assert_eq!(lab.decide().to, 1);
        lab.pass(1);
    }
    assert_eq!(lab.state.up_ms, Some(first), "as one scaling");
    lab.input.replicas = Replicas { desired: 1, ready: 0, starting: 1, draining: 0 };
    assert_eq!(lab.decide().to, 1);
}

#[test]
fn a_draining_last_replica_is_taken_back_for_a_request() {
    let mut lab = sleepy();
    lab.input.replicas = Replicas { desired: 1, ready: 0, starting: 0, draining: 1 };
    lab.input.demand.queued = 1;
    let decision = lab.decide();
    assert_eq!((decision.from, decision.to), (0, 1));
}

#[test]
fn what_a_pool_did_before_it_went_to_zero_does_not_wake_it() {
    let mut lab = sleepy();
    lab.all_ready(0);
    lab.terms.fallback = Fallback::Replicas(3);
    lab.terms.policies.push(policy("cpu", target(Signal::CpuUtilization, 0.7)));
    lab.read("busy", 5.0);
    lab.reading("cpu").missing_ms = 3_600_000;
    assert_eq!(lab.decide().to, 0, "neither an old load nor replicas that cannot say anything");
}

#[test]
fn a_schedule_may_switch_a_pool_off_and_on() {
    let mut lab = sleepy();
    lab.all_ready(3);
    lab.read("busy", 24.0);
    (lab.input.schedule.max_replicas, lab.input.schedule.names) = (Some(0), vec!["night".parse().unwrap()]);
    let decision = lab.decide();
    assert_eq!((decision.to, decision.trigger), (0, Trigger::Schedule("night".parse().unwrap())));
    lab.all_ready(0);
    (lab.input.schedule.min_replicas, lab.input.schedule.max_replicas) = (Some(2), None);
    assert_eq!(lab.decide().to, 2);
}
