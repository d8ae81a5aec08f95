use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::model::Reason;

use super::*;

const RESET_CAUSE: Cause = Cause::Reason(Reason::EndpointReset);

const RESET: Verdict = Verdict::Failure(RESET_CAUSE);

fn at(ms: u64) -> Tick {
    Tick::from_nanos(ms * 1_000_000)
}

fn rng() -> Rng {
    Rng::with_seed(7)
}

/// Opens on two failures for 1 s, at most 3 s; closes on two good probes.
fn settings() -> model::Breaker {
    model::Breaker {
        failure_threshold: 2,
        success_rate: 0.0,
        recovery_timeout: Duration::from_secs(1),
        max_recovery_timeout: Duration::from_secs(3),
        success_threshold: 2,
        ..model::Breaker::default()
    }
}

fn attempt(machine: &mut Machine, verdict: Verdict, now: Tick) -> bool {
    let Some(pass) = machine.admit(now) else { return false };
    machine.end(pass, verdict, now, &mut rng());
    true
}

/// A machine that opened at `now`, and when it will be half-open.
fn opened(now: Tick) -> (Machine, Tick) {
    let mut machine = Machine::new(&settings());
    attempt(&mut machine, RESET, now);
    attempt(&mut machine, RESET, now);
    let until = until(&machine);
    (machine, until)
}

fn until(machine: &Machine) -> Tick {
    match machine.state() {
        State::Open { until } => until,
        other => panic!("{other:?} is not open"),
    }
}

#[test]
fn changes_get_the_time_of_day_from_their_age() {
    let report = opened(at(1000)).0.report(at(61_500));
    assert_eq!(report.transitions[0].time, None);
    let dated = report.dated(at(61_500), "2026-01-01T00:01:00Z".parse().unwrap());
    assert_eq!(dated.transitions[0].time.as_deref(), Some("2025-12-31T23:59:59.500Z"));
}

#[test]
fn only_failures_in_a_row_open_it() {
    for (verdicts, opens) in [
        (vec![RESET], false),
        (vec![RESET, RESET], true),
        (vec![RESET, Verdict::Success, RESET], false),
        (vec![RESET, Verdict::Neither, RESET], true),
        (vec![RESET, Verdict::Success, RESET, RESET], true),
    ] {
        let mut machine = Machine::new(&settings());
        for &verdict in &verdicts {
            attempt(&mut machine, verdict, at(0));
        }
        assert_eq!(machine.is_blocked(), opens, "{verdicts:?}");
    }
}

/// A machine that has opened, and has let so many good probes pass, the last pass, and when.
fn proven(probes: u32) -> (Machine, Pass, Tick) {
    let (mut machine, now) = opened(at(0));
    let pass = (0..probes).map(|_| {
        let pass = machine.admit(now).unwrap();
        machine.end(pass, Verdict::Success, now, &mut rng());
        pass
    });
    let last = pass.last().unwrap();
    (machine, last, now)
}

#[test]
fn a_good_probe_whose_answer_breaks_off_opens_it_again_for_longer() {
    let truncated = Cause::Reason(Reason::EndpointTruncated);
    for (probes, before) in [(1, State::HalfOpen), (2, State::Closed)] {
        let (mut machine, pass, now) = proven(probes);
        assert_eq!(machine.state(), before);
        machine.disprove(pass, truncated, now, &mut rng());
        let State::Open { until } = machine.state() else { panic!("{:?}", machine.state()) };
        assert!(until.since(now) > Duration::from_millis(1_700), "doubled: {:?}", until.since(now));
        // Only once, and not when another period has begun.
        let open = machine.clone();
        machine.disprove(pass, truncated, now, &mut rng());
        assert_eq!(machine.state(), open.state());
        machine.wake(until);
        machine.disprove(pass, truncated, until, &mut rng());
        assert_eq!(machine.state(), State::HalfOpen);
    }
}

#[test]
fn a_probe_that_breaks_off_long_after_it_closed_is_a_failure_like_others() {
    let (mut machine, pass, now) = proven(2);
    let late = now + settings().window;
    machine.disprove(pass, RESET_CAUSE, late, &mut rng());
    assert_eq!((machine.state(), machine.report(late).consecutive_failures), (State::Closed, 1));
    machine.close(late);
    machine.disprove(pass, RESET_CAUSE, late, &mut rng());
    assert_eq!((machine.state(), machine.report(late).consecutive_failures), (State::Closed, 0), "an operator knows better");
}

#[test]
fn a_low_success_rate_opens_it_once_there_are_enough_attempts() {
    let settings = model::Breaker { failure_threshold: 100, success_rate: 0.5, min_attempts: 5, ..settings() };
    let mut machine = Machine::new(&settings);
    for verdict in [RESET, Verdict::Success, RESET, RESET] {
        attempt(&mut machine, verdict, at(0));
    }
    assert_eq!(machine.state(), State::Closed);
    let mut later = machine.clone();
    attempt(&mut machine, RESET, at(1));
    assert_eq!(machine.report(at(1)).transitions[0].reason, "success rate 0.200 over 5 attempts, the last failure: reset");
    attempt(&mut later, RESET, at(10_000));
    assert_eq!(later.state(), State::Closed, "the others have left the window");
}

#[test]
fn a_success_rate_at_the_limit_is_good_enough() {
    let settings = model::Breaker { failure_threshold: 100, success_rate: 0.5, min_attempts: 4, ..settings() };
    let mut machine = Machine::new(&settings);
    for verdict in [Verdict::Success, RESET, Verdict::Success, RESET] {
        attempt(&mut machine, verdict, at(0));
    }
    assert_eq!(machine.state(), State::Closed);
}

#[test]
fn an_open_breaker_admits_one_probe_when_its_time_has_come() {
    let (mut machine, until) = opened(at(0));
    assert_eq!(machine.wake(at(1)), Some(until));
    assert_eq!(machine.admit(at(1)), None);
    assert!(machine.is_blocked());
    assert_eq!(machine.wake(until), None);
    assert!(!machine.is_blocked());
    assert!(machine.admit(until).is_some_and(Pass::is_probe));
    assert!(machine.is_blocked());
    assert_eq!(machine.admit(until), None);
}

#[test]
fn a_late_alarm_does_not_keep_it_open() {
    let (mut machine, until) = opened(at(0));
    assert!(machine.admit(until).is_some_and(Pass::is_probe));
}

#[test]
fn good_probes_in_a_row_close_it() {
    let (mut machine, until) = opened(at(0));
    assert!(attempt(&mut machine, Verdict::Success, until));
    assert_eq!(machine.state(), State::HalfOpen);
    assert!(attempt(&mut machine, Verdict::Neither, until));
    assert_eq!(machine.state(), State::HalfOpen);
    assert!(attempt(&mut machine, Verdict::Success, until));
    assert_eq!(machine.state(), State::Closed);
    attempt(&mut machine, RESET, until);
    assert_eq!(machine.state(), State::Closed, "what was counted before is forgotten");
}

#[test]
fn the_open_time_doubles_up_to_its_cap_and_begins_anew_after_a_close() {
    let (mut machine, mut now) = opened(at(0));
    let mut times = vec![now.since(at(0))];
    for _ in 0..3 {
        assert!(attempt(&mut machine, RESET, now));
        times.push(until(&machine).since(now));
        now = until(&machine);
    }
    for (time, whole) in times.iter().zip([1.0, 2.0, 3.0, 3.0]) {
        assert!((whole * 0.9..=whole).contains(&time.as_secs_f64()), "{times:?}");
    }
    attempt(&mut machine, Verdict::Success, now);
    attempt(&mut machine, Verdict::Success, now);
    attempt(&mut machine, RESET, now);
    attempt(&mut machine, RESET, now);
    assert!(until(&machine).since(now) <= Duration::from_secs(1));
}

#[test]
fn open_times_are_spread_over_a_tenth() {
    let settings = model::Breaker { failure_threshold: 1, ..settings() };
    let mut rng = rng();
    let times = (0..1000).map(|_| {
        let mut machine = Machine::new(&settings);
        let pass = machine.admit(at(0)).unwrap();
        machine.end(pass, RESET, at(0), &mut rng);
        until(&machine).since(at(0)).as_secs_f64()
    });
    let (least, most) = times.fold((f64::MAX, 0.0_f64), |(least, most), time| (least.min(time), most.max(time)));
    assert!((0.9..0.905).contains(&least) && (0.995..=1.0).contains(&most), "{least} {most}");
}

#[test]
fn an_endless_open_time_does_not_overflow() {
    let settings =
        model::Breaker { recovery_timeout: Duration::MAX, max_recovery_timeout: Duration::MAX, failure_threshold: 1, ..settings() };
    let mut machine = Machine::new(&settings);
    attempt(&mut machine, RESET, at(5));
    assert_eq!(until(&machine), Tick::from_nanos(u64::MAX));
}

#[test]
fn what_was_admitted_before_the_outage_says_nothing_after_it() {
    let mut machine = Machine::new(&settings());
    let old = machine.admit(at(0)).unwrap();
    attempt(&mut machine, RESET, at(0));
    attempt(&mut machine, RESET, at(0));
    let until = until(&machine);
    for verdict in [Verdict::Success, RESET, Verdict::Neither] {
        machine.end(old, verdict, at(1), &mut rng());
        assert_eq!(machine.state(), State::Open { until });
    }
    let probe = machine.admit(until).unwrap();
    machine.end(old, Verdict::Success, until, &mut rng());
    machine.end(old, RESET, until, &mut rng());
    assert!(machine.is_blocked(), "the probe still runs");
    machine.end(probe, Verdict::Success, until, &mut rng());
    attempt(&mut machine, Verdict::Success, until);
    for _ in 0..5 {
        machine.end(old, RESET, until, &mut rng());
        machine.end(probe, RESET, until, &mut rng());
    }
    assert_eq!(machine.state(), State::Closed);
    assert_eq!(machine.report(until).attempts, 0);
}

#[test]
fn other_settings_keep_the_state_and_a_running_probe() {
    let (mut machine, until) = opened(at(0));
    let settings = model::Breaker { success_threshold: 1, window: Duration::from_secs(3), ..settings() };
    machine.configure(&settings);
    assert_eq!(machine.state(), State::Open { until });
    let probe = machine.admit(until).unwrap();
    machine.configure(&settings);
    assert_eq!(machine.admit(until), None);
    machine.end(probe, Verdict::Success, until, &mut rng());
    assert_eq!(machine.state(), State::Closed);
}

#[test]
fn a_reset_closes_and_forgets_passes() {
    let (mut machine, until) = opened(at(0));
    let probe = machine.admit(until).unwrap();
    machine.reset();
    assert_eq!(machine.state(), State::Closed);
    machine.end(probe, RESET, until, &mut rng());
    machine.end(probe, RESET, until, &mut rng());
    assert_eq!(machine.state(), State::Closed);
    assert_eq!(machine.report(until).opened_total, 1);
}

#[test]
fn the_report_tells_the_last_twenty_changes_and_why() {
    let (mut machine, mut now) = opened(at(0));
    let report = machine.report(at(500));
    assert_eq!((report.state.as_str(), report.opened_total, report.consecutive_failures), ("open", 1, 2));
    assert_eq!((report.success_rate, report.attempts), (Some(0.0), 2));
    let first = &report.transitions[0];
    assert_eq!((first.from.as_str(), first.to.as_str(), first.age_seconds), ("closed", "open", 0.5));
    assert_eq!(first.reason, "2 consecutive failures, the last: reset");
    for _ in 0..15 {
        attempt(&mut machine, Verdict::Failure(Cause::Status(503)), now);
        now = until(&machine);
    }
    let report = machine.report(now);
    assert_eq!((report.transitions.len(), report.opened_total, report.probes_total), (20, 16, 15));
    assert_eq!(report.transitions[18].reason, "the recovery time has passed");
    assert_eq!(report.transitions[19].reason, "a probe failed: status 503");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["state"], "open");
    assert_eq!(json["transitions"][19]["from"], "half_open");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit,
    End(prop::sample::Index, Verdict),
    Wake,
    Pause(u64),
    Configure(u32),
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let verdict = prop_oneof![2 => Just(Verdict::Success), 2 => Just(RESET), 1 => Just(Verdict::Neither)];
    let step = prop_oneof![
        8 => Just(Step::Admit),
        8 => (any::<prop::sample::Index>(), verdict).prop_map(|(which, verdict)| Step::End(which, verdict)),
        2 => Just(Step::Wake),
        3 => (0_u64..1500).prop_map(Step::Pause),
        1 => (1_u32..4).prop_map(Step::Configure),
        1 => Just(Step::Reset),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn there_is_one_probe_at_most_and_never_a_block_without_one(steps in steps(), seed: u64) {
        let mut machine = Machine::new(&settings());
        let mut rng = Rng::with_seed(seed);
        let (mut now, mut running) = (at(0), Vec::<Pass>::new());
        let (mut opened, mut probes) = (0, 0);
        for step in steps {
            let was_open = matches!(machine.state(), State::Open { .. });
            match step {
                Step::Admit => {
                    let expected = !machine.is_blocked() || matches!(machine.state(), State::Open { until } if until <= now);
                    let pass = machine.admit(now);
                    prop_assert_eq!(pass.is_some(), expected);
                    probes += u64::from(pass.is_some_and(Pass::is_probe));
                    running.extend(pass);
                }
                Step::End(which, verdict) if !running.is_empty() => {
                    let pass = running.swap_remove(which.index(running.len()));
                    machine.end(pass, verdict, now, &mut rng);
                }
                Step::End(..) => {}
                Step::Wake => {
                    let next = machine.wake(now);
                    prop_assert_eq!(next.is_some(), matches!(machine.state(), State::Open { .. }));
                    prop_assert!(next.is_none_or(|next| next > now));
                }
                Step::Pause(ms) => now = now + Duration::from_millis(ms),
                Step::Configure(threshold) => {
                    machine.configure(&model::Breaker { failure_threshold: threshold, success_threshold: threshold, ..settings() });
                }
                Step::Reset => machine.reset(),
            }
            opened += u64::from(!was_open && matches!(machine.state(), State::Open { .. }));
            let probing = running.iter().filter(|pass| pass.is_probe() && pass.period() == machine.period()).count();
            prop_assert!(probing <= 1);
            if machine.state() == State::HalfOpen {
                prop_assert_eq!(machine.is_blocked(), probing == 1);
            }
            prop_assert_eq!(machine.report(now).opened_total, opened);
            prop_assert_eq!(machine.report(now).probes_total, probes);
        }
    }
}
