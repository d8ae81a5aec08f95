use std::collections::BTreeSet;

use futures_util::FutureExt;
use proptest::prelude::{prop, prop_assert_eq, proptest};

use crate::endpoint::{Cause as Unavailable, EndpointSet};
use crate::model::{Address, EndpointSpec, Reason, Weight};

use super::*;

const RESET: Verdict = Verdict::Failure(Cause::Reason(Reason::EndpointReset));

fn at(ms: u64) -> Tick {
    Tick::from_nanos(ms * 1_000_000)
}

fn settings() -> model::Breaker {
    model::Breaker {
        failure_threshold: 2,
        success_threshold: 1,
        recovery_timeout: Duration::from_secs(1),
        ..model::Breaker::default()
    }
}

struct Rig {
    breaker: Breaker,
    endpoint: Arc<endpoint::State>,
    wake: Arc<Notify>,
}

fn rig(settings: &model::Breaker) -> Rig {
    let spec = EndpointSpec {
        id: "a".parse().unwrap(),
        address: Address::Ip("127.0.0.1:80".parse().unwrap()),
        weight: Weight::ONE,
        max_connections: None,
        capabilities: BTreeSet::new(),
        zone: None,
    };
    let set = EndpointSet::new(&"pool".parse().unwrap(), [spec], None, at(0));
    let (endpoint, wake) = (set.endpoints()[0].state.clone(), Arc::new(Notify::new()));
    Rig { breaker: Breaker::new(settings, endpoint.clone(), wake.clone()), endpoint, wake }
}

impl Rig {
    fn attempt(&self, verdict: Verdict, now: Tick) -> bool {
        let pass = self.breaker.admit(now);
        pass.inspect(|&pass| self.breaker.end(pass, verdict, now)).is_some()
    }

    fn opened() -> Self {
        let rig = rig(&settings());
        rig.attempt(RESET, at(0));
        rig.attempt(RESET, at(0));
        rig
    }

    fn is_blocked(&self) -> bool {
        self.endpoint.availability().has(Unavailable::Breaker)
    }
}

#[test]
fn an_operator_closes_it_and_what_ran_then_says_nothing() {
    let rig = Rig::opened();
    assert!(rig.is_blocked());
    rig.breaker.close(at(10));
    assert!(!rig.is_blocked());
    let report = rig.breaker.report(at(20)).unwrap();
    assert_eq!((report.state, report.consecutive_failures, report.opened_total), (State::Closed, 0, 1));
    assert_eq!(report.transitions.last().map(|last| last.reason.as_str()), Some("closed by an operator"));
    let running = rig.breaker.admit(at(25)).unwrap();
    rig.breaker.close(at(30));
    rig.breaker.end(running, RESET, at(31));
    let again = rig.breaker.report(at(40)).unwrap();
    assert_eq!((again.consecutive_failures, again.transitions.len()), (0, report.transitions.len()));
}

#[test]
fn the_bit_is_set_while_open_and_while_a_probe_runs() {
    let rig = Rig::opened();
    let epoch = rig.endpoint.pool().epoch();
    assert!(rig.is_blocked());
    let until = rig.breaker.wake(at(0)).unwrap();
    assert_eq!(rig.breaker.opens_in(at(500)), Some(until.since(at(500))));
    assert_eq!(rig.endpoint.pool().epoch(), epoch, "nothing has changed for pickers");
    assert_eq!(rig.breaker.wake(until), None);
    assert!(!rig.is_blocked());
    assert_eq!(rig.breaker.opens_in(until), None);
    let probe = rig.breaker.admit(until).unwrap();
    assert!(rig.is_blocked());
    assert_eq!(rig.breaker.opens_in(until), Some(Duration::ZERO));
    rig.breaker.end(probe, Verdict::Neither, until);
    assert!(!rig.is_blocked());
    let probe = rig.breaker.admit(until).unwrap();
    rig.breaker.end(probe, Verdict::Success, until);
    assert!(!rig.is_blocked());
    assert_eq!(rig.breaker.report(until).map(|report| report.state), Some(State::Closed));
}

#[test]
fn it_rings_when_it_opens_and_only_then() {
    let rig = Rig::opened();
    assert!(rig.wake.notified().now_or_never().is_some());
    let until = rig.breaker.wake(at(0)).unwrap();
    rig.breaker.wake(until);
    let probe = rig.breaker.admit(until).unwrap();
    assert!(rig.wake.notified().now_or_never().is_none());
    rig.breaker.end(probe, RESET, until);
    assert!(rig.wake.notified().now_or_never().is_some());
}

#[test]
fn switched_off_it_admits_all_and_clears_the_bit() {
    let rig = Rig::opened();
    let until = rig.breaker.wake(at(0)).unwrap();
    let probe = rig.breaker.admit(until).unwrap();
    rig.breaker.configure(None);
    assert!(!rig.is_blocked());
    assert!((0..10).all(|_| rig.attempt(RESET, until)));
    assert!(!rig.breaker.is_failure(503));
    assert_eq!(rig.breaker.report(until), None);
    rig.breaker.configure(Some(&settings()));
    rig.breaker.end(probe, RESET, until);
    rig.breaker.end(probe, RESET, until);
    assert!(!rig.is_blocked());
    rig.attempt(RESET, until);
    rig.attempt(RESET, until);
    assert!(rig.is_blocked());
}

#[test]
fn a_reload_of_other_settings_keeps_it_open() {
    let rig = Rig::opened();
    rig.breaker.configure(Some(&model::Breaker { window: Duration::from_secs(1), ..settings() }));
    assert!(rig.is_blocked() && !rig.attempt(Verdict::Success, at(1)));
}

#[test]
fn the_verdict_follows_status_and_side() {
    let breaker = rig(&model::Breaker { statuses: vec![99, 100, 429, 503, 611, 612, 999], ..settings() }).breaker;
    assert!([100, 429, 503, 611].into_iter().all(|status| breaker.is_failure(status)));
    assert!([0, 99, 101, 200, 500, 612, 999].into_iter().all(|status| !breaker.is_failure(status)));
    let [failed, truncated] = [Outcome::Failed, Outcome::Truncated];
    for (outcome, status, verdict) in [
        (Outcome::Completed, Some(200), Verdict::Success),
        (Outcome::Completed, Some(404), Verdict::Success),
        (Outcome::Completed, None, Verdict::Success),
        (Outcome::Completed, Some(503), Verdict::Failure(Cause::Status(503))),
        (failed(Reason::FirstByteTimeout), None, Verdict::Failure(Cause::Reason(Reason::FirstByteTimeout))),
        (truncated(Reason::IdleTimeout), Some(200), Verdict::Failure(Cause::Reason(Reason::IdleTimeout))),
        (failed(Reason::RequestBodyBroken), None, Verdict::Neither),
        (failed(Reason::FaultInjected), None, Verdict::Neither),
        (Outcome::Aborted, Some(503), Verdict::Neither),
    ] {
        assert_eq!(breaker.verdict(outcome, status), verdict, "{outcome:?} {status:?}");
    }
}

proptest! {
    #[test]
    fn gathered_successes_count_as_if_the_machine_had_seen_each(
        attempts in prop::collection::vec((0_u64..800, 0_u8..5), 1..150),
    ) {
        let settings = model::Breaker { failure_threshold: 4, min_attempts: 10, ..settings() };
        let rig = rig(&settings);
        let mut machine = Machine::new(&settings);
        let mut now = at(0);
        for (pause, kind) in attempts {
            now = now + Duration::from_millis(pause);
            let verdict = if kind < 2 { RESET } else { Verdict::Success };
            rig.attempt(verdict, now);
            let pass = machine.admit(now).unwrap();
            // The time that it stays open is the only thing that chance decides.
            machine.end(pass, verdict, now, &mut Rng::with_seed(1));
            prop_assert_eq!(rig.is_blocked(), machine.is_blocked());
            if machine.is_blocked() {
                break;
            }
            if kind == 4 {
                let (shared, alone) = (rig.breaker.report(now).unwrap(), machine.report(now));
                prop_assert_eq!(shared, alone);
            }
        }
    }
}

#[test]
fn no_success_is_lost_when_threads_race() {
    let settings = model::Breaker { window: Duration::from_secs(1000), ..settings() };
    let rig = rig(&settings);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50_000).for_each(|n| assert!(rig.attempt(Verdict::Success, at(n % 200_000)))));
        }
    });
    assert_eq!(rig.breaker.report(at(50_000)).map(|report| report.attempts), Some(200_000));
}

#[test]
fn racing_threads_get_one_probe() {
    let rig = Rig::opened();
    let until = rig.breaker.wake(at(0)).unwrap();
    rig.breaker.wake(until);
    let probes = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                if rig.breaker.admit(until).is_some() {
                    probes.fetch_add(1, Relaxed);
                }
            });
        }
    });
    assert_eq!(probes.into_inner(), 1);
    assert!(rig.is_blocked());
}
