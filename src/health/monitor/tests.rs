use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use fastrand::Rng;
use http::StatusCode;

use super::ledger::{Healed, Job, Ledger, Recorded};
use super::report::{Present, report};
use super::*;
use crate::endpoint::{Cause, Endpoint, EndpointSet};
use crate::health::testing::{health, outside, serve, soon, spec, text};
use crate::health::verdict::{Checked, Finding, First, Standing};
use crate::kit::clock::Tick;
use crate::model::{Heal, Health, HttpProbe, Id, Probe, Upstream, UpstreamProtocol, Weight};
use crate::upstream::Target;

use Finding::{Bad, Degraded as Slow, Ok as Good};

fn at(secs: u64) -> Tick {
    Tick::from_nanos(secs * 1_000_000_000)
}

fn id(name: &str) -> Id {
    name.parse().unwrap()
}

fn set(names: &[&str], previous: Option<&EndpointSet>) -> EndpointSet {
    EndpointSet::unproven(&id("pool"), names.iter().map(|name| spec(name, "10.0.0.1:80")), previous)
}

fn members(set: &EndpointSet, first: First) -> Vec<Watched> {
    let settings = Arc::new(Upstream::default());
    let target = |endpoint: &Endpoint| Target::new(endpoint.spec.address.clone(), None, Arc::clone(&settings)).unwrap();
    set.endpoints().iter().map(|e| Watched { endpoint: Arc::clone(e), target: target(e), first }).collect()
}

fn plan(health: Health) -> Plan {
    Plan::new(health).unwrap()
}

/// Books with a clock and dice of their own.
struct Desk {
    ledger: Ledger,
    rng: Rng,
    now: Tick,
}

impl Desk {
    fn new(health: Health) -> Self {
        Self { ledger: Ledger::new(plan(health)), rng: Rng::with_seed(7), now: at(100) }
    }

    fn with(health: Health, set: &EndpointSet, first: First) -> Self {
        let mut desk = Self::new(health);
        desk.update(set, first);
        desk
    }

    fn update(&mut self, set: &EndpointSet, first: First) {
        self.ledger.update(members(set, first), self.now, &mut self.rng);
    }

    /// Lets time pass until a check is due, and takes it.
    fn next(&mut self) -> Job {
        self.now = self.now.max(self.ledger.next_due().unwrap());
        self.ledger.take_due(self.now).unwrap()
    }

    fn end(&mut self, job: &Job, finding: Finding) -> Option<Recorded> {
        self.ledger.record(job.ticket, Checked::new(finding, "said", Duration::from_millis(3)), self.now, &mut self.rng)
    }

    fn check(&mut self, finding: Finding) -> Recorded {
        let job = self.next();
        self.end(&job, finding).unwrap()
    }

    fn checks(&mut self, findings: &[Finding]) {
        for &finding in findings {
            self.check(finding);
        }
    }

    fn standing(&self, endpoint: &Endpoint) -> Standing {
        self.ledger.slots[&endpoint.serial()].verdict.standing()
    }
}

fn is_down(endpoint: &Endpoint) -> bool {
    endpoint.state.availability().has(Cause::Down)
}

#[test]
fn an_endpoint_goes_down_after_three_bad_checks_and_up_after_two_good_ones() {
    let set = set(&["a"], None);
    let endpoint = &set.endpoints()[0];
    let mut desk = Desk::with(health(), &set, First::UseAtOnce);
    let seen: Vec<_> = [Bad, Bad, Bad, Good, Good].map(|finding| (desk.check(finding).change.is_some(), is_down(endpoint))).into();
    assert_eq!(seen, [(false, false), (false, false), (true, true), (false, true), (true, false)]);
}

#[test]
fn flapping_below_the_thresholds_changes_nothing_for_pickers() {
    let set = set(&["a"], None);
    let mut desk = Desk::with(health(), &set, First::UseAtOnce);
    desk.check(Good);
    let stamp = set.stamp();
    for finding in [Bad, Bad, Good].repeat(20) {
        assert_eq!(desk.check(finding).change, None);
    }
    assert_eq!(set.stamp(), stamp);
}

#[test]
fn a_degraded_endpoint_is_used_at_half_weight() {
    let set = set(&["a"], None);
    let endpoint = &set.endpoints()[0];
    let mut desk = Desk::with(health(), &set, First::UseAtOnce);
    desk.check(Slow);
    assert!(!is_down(endpoint) && endpoint.weight() == Weight::from_hundredths(50));
    desk.checks(&[Bad; 3]);
    assert!(is_down(endpoint) && !endpoint.state.is_degraded());
    desk.checks(&[Good; 2]);
    assert!(!is_down(endpoint) && endpoint.weight() == Weight::ONE);
}

#[test]
fn a_discovered_endpoint_waits_for_its_first_good_check_and_begins_its_slow_start_there() {
    let set = set(&["a"], None);
    let endpoint = &set.endpoints()[0];
    let mut desk = Desk::with(health(), &set, First::AfterGoodCheck);
    assert!(is_down(endpoint));
    assert_eq!(desk.ledger.next_due(), Some(desk.now));
    desk.check(Bad);
    let pause = desk.ledger.next_due().unwrap().since(desk.now);
    assert!(pause < Duration::from_secs(6), "it is asked again after the shorter interval, not after {pause:?}");
    assert_eq!(endpoint.state.healthy_since(), None);
    desk.check(Good);
    assert_eq!((is_down(endpoint), endpoint.state.healthy_since()), (false, Some(desk.now)));
}

#[test]
fn a_static_endpoint_is_used_at_once_and_healthy_from_its_first_good_check() {
    let set = set(&["a"], None);
    let endpoint = &set.endpoints()[0];
    let mut desk = Desk::with(health(), &set, First::UseAtOnce);
    assert_eq!((is_down(endpoint), endpoint.state.healthy_since()), (false, None));
    desk.check(Bad);
    assert_eq!((is_down(endpoint), endpoint.state.healthy_since()), (false, None));
    desk.check(Slow);
    assert_eq!(endpoint.state.healthy_since(), Some(desk.now));
}

#[test]
fn checks_that_begin_take_nobody_out_who_is_in_use() {
    let set = EndpointSet::new(&id("pool"), [spec("a", "10.0.0.1:80")], None, at(1));
    let mut desk = Desk::with(health(), &set, First::AfterGoodCheck);
    assert!(!is_down(&set.endpoints()[0]));
    desk.check(Bad);
    assert!(!is_down(&set.endpoints()[0]));
}

#[test]
fn an_update_keeps_the_verdicts_and_times_of_those_that_stay() {
    let old = set(&["a", "b"], None);
    let mut desk = Desk::with(health(), &old, First::UseAtOnce);
    (0..40).for_each(|_| {
        let job = desk.next();
        let is_a = job.ticket.serial == old.endpoints()[0].serial();
        desk.end(&job, if is_a { Bad } else { Good });
    });
    assert_eq!(desk.standing(&old.endpoints()[0]), Standing::Unhealthy);
    let running = desk.next();
    let due = desk.ledger.next_due();
    let new = set(&["c", "b", "a"], Some(&old));
    desk.update(&new, First::UseAtOnce);
    assert_eq!(desk.standing(&new.endpoints()[2]), Standing::Unhealthy);
    assert!(is_down(&new.endpoints()[2]));
    let newcomer = desk.ledger.slots[&new.endpoints()[0].serial()].verdict.is_known();
    assert!(!newcomer);
    assert!(due.is_some_and(|due| desk.ledger.next_due().is_some_and(|next| next <= due)));
    assert!(desk.end(&running, Good).is_some(), "a check that runs over an update counts");
}

#[test]
fn a_result_for_an_endpoint_that_has_left_or_moved_is_dropped() {
    let old = set(&["a", "b"], None);
    let mut desk = Desk::with(health(), &old, First::UseAtOnce);
    let jobs = [desk.next(), desk.next()];
    let moved = EndpointSet::unproven(&id("pool"), [spec("a", "10.0.0.2:80")], Some(&old));
    desk.update(&moved, First::UseAtOnce);
    assert!(jobs.iter().all(|job| desk.end(job, Bad).is_none()));
    let job = desk.next();
    assert_eq!(job.target.address.to_string(), "10.0.0.2:80");
    assert!(desk.end(&job, Bad).is_some());
}

#[test]
fn other_settings_are_asked_soon_and_the_same_ones_are_no_reason() {
    let set = set(&["a"], None);
    let mut desk = Desk::with(health(), &set, First::UseAtOnce);
    desk.checks(&[Bad; 3]);
    let due = desk.ledger.next_due();
    desk.ledger.configure(plan(health()), desk.now, &mut desk.rng);
    assert_eq!(desk.ledger.next_due(), due);
    desk.ledger.configure(plan(Health { healthy_threshold: 1, ..health() }), desk.now, &mut desk.rng);
    assert_eq!((desk.ledger.next_due(), is_down(&set.endpoints()[0])), (Some(desk.now), true));
    assert!(desk.check(Good).change.is_some());
}

#[test]
fn switched_off_checks_leave_no_trace() {
    let set = set(&["a", "b", "c"], None);
    let mut desk = Desk::with(health(), &set, First::AfterGoodCheck);
    let running = [desk.next(), desk.next(), desk.next()];
    desk.end(&running[0], Slow);
    desk.ledger.switch_off(desk.now);
    for endpoint in set.endpoints() {
        assert!(!is_down(endpoint) && !endpoint.state.is_degraded() && endpoint.state.healthy_since() == Some(desk.now));
    }
    assert!(desk.end(&running[1], Bad).is_none());
    assert_eq!(desk.ledger.next_due(), None);
}

#[test]
fn an_endpoint_that_stays_down_is_healed_once_per_cooldown() {
    let heal = Heal {
        after: Duration::from_secs(60),
        cooldown: Duration::from_secs(300),
        restart: false,
        webhook: Some("http://a.test".into()),
        token: None,
    };
    let set = set(&["a"], None);
    let mut desk = Desk::with(Health { heal: Some(heal), ..health() }, &set, First::UseAtOnce);
    let mut fired = Vec::new();
    let mut down = None;
    while fired.len() < 3 {
        let job = desk.next();
        let changed = desk.end(&job, Bad).unwrap().change.is_some();
        down = down.or(changed.then_some(desk.now));
        if let Some(since) = desk.ledger.take_heal(job.ticket, desk.now) {
            assert_eq!(Some(since), down.map(|down| desk.now.since(down)));
            fired.push(desk.now);
        }
    }
    // A check is due every 5.5 s at most.
    let pauses = [fired[0].since(down.unwrap()), fired[1].since(fired[0]), fired[2].since(fired[1])];
    for (pause, least) in pauses.into_iter().zip([60.0, 300.0, 300.0]) {
        assert!((least..least + 6.0).contains(&pause.as_secs_f64()), "{pause:?}");
    }
    desk.checks(&[Good, Good]);
    let job = desk.next();
    assert_eq!(desk.ledger.take_heal(job.ticket, desk.now + Duration::from_secs(10_000)), None);
}

#[test]
fn what_was_last_done_about_an_endpoint_is_kept_while_it_is_known() {
    let endpoints = set(&["a", "b"], None);
    let mut desk = Desk::with(health(), &endpoints, First::UseAtOnce);
    let serial = endpoints.endpoints()[0].serial();
    let shown = |desk: &Desk| {
        let present = Present { tick: desk.now, time: "2026-01-01T00:00:00Z".parse().unwrap() };
        report(&desk.ledger, 0, present).endpoints.into_iter().map(|endpoint| endpoint.heal).collect::<Vec<_>>()
    };
    assert_eq!(shown(&desk), [None, None]);
    let at = desk.now;
    desk.ledger.healed(serial, Healed { at, action: "webhook", result: Ok(()) });
    desk.now = at + Duration::from_secs(90);
    let heal = |time: &str, action, result, error: Option<&str>| {
        Some(HealReport { time: time.to_owned(), action, result, error: error.map(str::to_owned) })
    };
    assert_eq!(shown(&desk), [heal("2025-12-31T23:58:30.000Z", "webhook", "taken", None), None]);
    desk.update(&set(&["a", "b"], Some(&endpoints)), First::UseAtOnce);
    desk.ledger.healed(serial, Healed { at: desk.now, action: "restart", result: Err("no".to_owned()) });
    assert_eq!(shown(&desk), [heal("2026-01-01T00:00:00.000Z", "restart", "failed", Some("no")), None]);
    // Who has left is not brought back by it.
    desk.update(&set(&["b"], None), First::UseAtOnce);
    desk.ledger.healed(serial, Healed { at: desk.now, action: "restart", result: Ok(()) });
    assert_eq!(shown(&desk), [None]);
}

#[test]
fn the_report_says_who_stands_how_and_why() {
    let set = set(&["a", "b", "c", "d"], None);
    let mut desk = Desk::with(health(), &set, First::UseAtOnce);
    let place = |job: &Job| set.endpoints().iter().position(|e| job.ticket.serial == e.serial()).unwrap();
    for _ in 0..400 {
        let job = desk.next();
        match place(&job) {
            0 => desk.end(&job, Good),
            1 => desk.end(&job, Bad),
            2 => desk.end(&job, Slow),
            _ => None,
        };
    }
    let present = Present { tick: desk.now, time: "2026-01-01T00:00:00Z".parse().unwrap() };
    let report = report(&desk.ledger, 2, present);
    assert_eq!(report.summary, Summary { healthy: 1, degraded: 1, unhealthy: 1, unknown: 1 });
    let words: Vec<_> = report.endpoints.iter().map(|e| (e.id.as_str(), e.state, e.checks.len())).collect();
    assert_eq!(words, [("a", "healthy", 2), ("b", "unhealthy", 2), ("c", "degraded", 2), ("d", "unknown", 0)]);
    let latest = report.endpoints.iter().filter_map(|e| e.checks.first()).map(|check| check.time.as_str()).max();
    assert_eq!(latest, Some("2026-01-01T00:00:00.000Z"));
    let since = report.endpoints[3].since.as_str();
    assert!(since < "2026-01-01" && since.len() == "2026-01-01T00:00:00.000Z".len(), "{since}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["endpoints"][1]["checks"][0]["result"], "bad");
    assert_eq!(json["endpoints"][1]["checks"][0]["duration_ms"], 3.0);
}

fn hasty(heal: Option<Heal>) -> Health {
    let expect = vec![(200, 200)];
    let probe =
        HttpProbe { method: http::Method::GET, path: "/".into(), host: None, headers: vec![], expect, body: None, json: None };
    let interval = Duration::from_millis(1);
    Health { probe: Probe::Http(probe), interval, unhealthy_interval: interval, heal, ..health() }
}

/// Waits until `condition` holds, giving way to the other tasks.
async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// An endpoint that is well as long as the switch is on, and how often it was asked.
async fn switched() -> (Target, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (well, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let seen = (Arc::clone(&well), Arc::clone(&asked));
    let target = serve(UpstreamProtocol::Http1, move |_| {
        seen.1.fetch_add(1, SeqCst);
        let mut response = text("");
        *response.status_mut() = if seen.0.load(SeqCst) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        response
    })
    .await;
    (target, well, asked)
}

#[tokio::test]
async fn a_monitor_follows_a_real_endpoint_and_tells_the_webhook() {
    let (target, well, asked) = switched().await;
    let (hook, _, called) = switched().await;
    let webhook = format!("http://{}/", hook.address);
    let heal =
        Heal { after: Duration::ZERO, cooldown: Duration::from_secs(3600), restart: false, webhook: Some(webhook), token: None };
    let set = EndpointSet::unproven(&id("pool"), [spec("a", &target.address.to_string())], None);
    let endpoint = &set.endpoints()[0];
    let watched = || vec![Watched { endpoint: Arc::clone(endpoint), target: target.clone(), first: First::AfterGoodCheck }];
    let pool = id("pool");
    let monitor = Monitor::start(Watch { pool, plan: plan(hasty(Some(heal))), members: watched(), outside: outside() });
    assert!(is_down(endpoint));
    until(|| endpoint.is_eligible()).await;
    well.store(false, SeqCst);
    until(|| is_down(endpoint)).await;
    let counters = Arc::clone(monitor.counters());
    until(|| counters.heals() == 1).await;
    let bad = counters.checks(Bad);
    until(|| counters.checks(Bad) > bad + 5).await;
    assert_eq!((called.load(SeqCst), counters.heals(), counters.failed_heals()), (1, 1, 0));
    let report = monitor.report(1);
    assert_eq!((report.summary.unhealthy, &*report.endpoints[0].checks[0].message), (1, "status 503, expected 200"));
    well.store(true, SeqCst);
    monitor.update(watched());
    until(|| !is_down(endpoint)).await;
    assert!(counters.transitions() >= 3);
    monitor.update(Vec::new());
    assert_eq!(monitor.report(1).summary, Summary::default());
    monitor.configure(plan(hasty(None)), watched());
    let before = asked.load(SeqCst);
    until(|| asked.load(SeqCst) > before).await;
    monitor.switch_off();
    assert!(endpoint.is_eligible());
}

#[tokio::test]
async fn at_most_64_checks_run_at_once() {
    let (listener, address) = crate::health::testing::listen().await;
    let address = address.to_string();
    let set = EndpointSet::unproven(&id("pool"), (0..100).map(|n| spec(&format!("e{n}"), &address)), None);
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    let server = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            kept.push(listener.accept().await.unwrap());
            count.fetch_add(1, SeqCst);
        }
    });
    let members = members(&set, First::AfterGoodCheck);
    // Longer than the test waits, so that no check ends and makes room.
    let health = Health { timeout: Duration::from_secs(60), ..hasty(None) };
    let monitor = Monitor::start(Watch { pool: id("pool"), plan: plan(health), members, outside: outside() });
    until(|| open.load(SeqCst) == 64).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(open.load(SeqCst), 64);
    drop(monitor);
    server.abort();
}
