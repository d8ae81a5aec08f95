//! Whole simulations of generated traces.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config;

/// Settings of a pool with eight slots whose replicas are for six requests, with further keys of `autoscale`; one key a line.
pub(super) fn settings(further: &str) -> Settings {
    let mut text = "\
listeners: [{ name: a, bind: 127.0.0.1:0 }]
routes: [{ name: all, match: { path: { prefix: / } }, pool: agents }]
pools:
  agents:
    max_connections: 8
    queue: { capacity: 1000, timeout: 30s }
    autoscale:
      target: { process: { command: [agent, --port, \"{port}\"] } }
      max_replicas: 100
      policies: [{ name: busy, signal: concurrency, target: 6 }]
"
    .to_owned();
    further.lines().for_each(|line| text.push_str(&format!("      {line}\n")));
    let loaded = config::read(&text, "test", Path::new("."), &|_| None).unwrap();
    let pool = loaded.snapshot.pools.values().next().unwrap();
    Settings::new(pool, conditions()).unwrap()
}

fn conditions() -> Conditions {
    let second = Duration::from_secs(1);
    Conditions { startup: 30 * second, slo: second, slots: None, metric_lag: 30 * second, seed: 1 }
}

fn load(rate: f64, minutes: u64, mean_seconds: u64) -> Load {
    let service = Service { mean: Duration::from_secs(mean_seconds), law: Law::Exponential };
    Load { rate, duration: Duration::from_mins(minutes), service }
}

const SHAPES: [Shape; 5] = [Shape::Step, Shape::Ramp, Shape::Sawtooth, Shape::FlashCrowd, Shape::OnOff];

const ALL: [Contender; 8] = [
    Contender::Tidegate,
    Contender::Hpa,
    Contender::HpaBusy,
    Contender::Knative,
    Contender::FixedMean,
    Contender::FixedPeak,
    Contender::Fixed(2),
    Contender::Oracle,
];

fn only(settings: &Settings, trace: &Trace, contender: Contender) -> Figures {
    compare(settings, trace, &[contender], None).unwrap().policies.remove(0)
}

#[test]
fn the_same_seed_gives_the_same_result() {
    let settings = settings("");
    let trace = generate(Shape::FlashCrowd, &load(2.0, 30, 5), 0, 3);
    let every = Some(Duration::from_secs(10));
    let [first, second] = [(); 2].map(|()| compare(&settings, &trace, &ALL, every).unwrap());
    assert_eq!(first.policies, second.policies);
    assert_eq!(first.timelines, second.timelines);
    let other = Settings { conditions: Conditions { seed: 2, ..conditions() }, ..settings };
    assert_ne!(first.policies, compare(&other, &trace, &ALL, every).unwrap().policies);
}

#[test]
fn every_request_that_comes_is_served_refused_expired_or_cut() {
    // A small queue, impatient requests and a short drain, so that each of these happens.
    let mut settings = settings("drain: { timeout: 5s }");
    settings.queue = Some(crate::model::Queue { capacity: 20, timeout: Duration::from_secs(5) });
    let mut seen = [0; 4];
    for shape in SHAPES {
        let trace = generate(shape, &load(6.0, 30, 8), 0, 1);
        for figures in compare(&settings, &trace, &ALL, None).unwrap().policies {
            let Figures { requests, served, refused, expired, cut, .. } = figures;
            assert_eq!(requests as usize, trace.requests.len());
            assert_eq!(requests, served + refused + expired + cut, "{shape:?}: {}", figures.policy);
            seen = [seen[0] + served, seen[1] + refused, seen[2] + expired, seen[3] + cut];
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn nobody_is_better_than_the_oracle() {
    let mut settings = settings("");
    for startup in [2, 30, 120] {
        settings.conditions.startup = Duration::from_secs(startup);
        for shape in SHAPES {
            let trace = generate(shape, &load(4.0, 30, 5), 0, 2);
            let figures = compare(&settings, &trace, &ALL, None).unwrap().policies;
            let oracle = figures.last().unwrap();
            assert_eq!((oracle.bad_seconds, oracle.served), (0.0, oracle.requests), "{shape:?} {startup}");
            for other in figures.iter().filter(|other| other.bad_seconds == 0.0) {
                assert!(other.replica_hours >= oracle.replica_hours, "{shape:?} {startup}: {other:?} is better than {oracle:?}");
            }
        }
    }
}

/// The mean wait in a queue with Poisson arrivals, exponential service and `c` servers that are offered `a` Erlang (Erlang's C formula; Kleinrock,
/// "Queueing Systems" volume 1, section 3.5), in seconds.
fn erlang_c_wait(c: u32, a: f64, service: f64) -> f64 {
    // By Erlang's B formula, whose recursion is stable.
    let b = (1..=c).fold(1.0, |b, servers| a * b / (f64::from(servers) + a * b));
    let c = f64::from(c);
    let waits = c * b / (c - a * (1.0 - b));
    waits * service / (c - a)
}

#[test]
fn waits_of_a_fixed_number_are_those_of_queueing_theory() {
    let settings = Settings {
        slots: 1,
        queue: Some(crate::model::Queue { capacity: 100_000, timeout: Duration::from_hours(9) }),
        ..settings("")
    };
    let seconds = 100_000;
    for (replicas, rate) in [(1, 0.35), (4, 1.6)] {
        let service = Service { mean: Duration::from_secs(2), law: Law::Exponential };
        // Base rate all along: the first third of a step three times as long.
        let load = Load { rate, duration: Duration::from_secs(3 * seconds), service };
        let mut trace = generate(Shape::Step, &load, 0, 5);
        trace.requests.retain(|request| request.at_us < seconds * 1_000_000);
        let trace = Trace::new(trace.requests, 0, 0);
        let wait = only(&settings, &trace, Contender::Fixed(replicas)).wait_mean_seconds;
        let theory = erlang_c_wait(replicas, rate * 2.0, 2.0);
        assert!((wait / theory - 1.0).abs() < 0.08, "{replicas}: {wait} instead of {theory}");
    }
}

#[test]
fn a_fixed_peak_lets_nobody_wait_and_a_fixed_mean_does() {
    let trace = generate(Shape::Step, &load(5.0, 60, 5), 0, 1);
    let report = compare(&settings(""), &trace, &[Contender::FixedPeak, Contender::FixedMean], None).unwrap();
    assert_eq!((report.policies[0].bad_seconds, report.policies[0].events), (0.0, 0));
    assert!(report.policies[1].bad_seconds > 10_000.0);
    assert_eq!(f64::from(report.policies[0].max_replicas), (f64::from(report.peak_in_flight) / 8.0).ceil());
}

#[test]
fn the_hpa_goes_up_as_its_steps_allow() {
    // 60 requests a second of one second each from the beginning: ten replicas of six. It begins with what the first minute needs.
    let mut settings = settings("");
    settings.conditions.metric_lag = Duration::ZERO;
    let second = |at: u64| Request { at_us: at * 1_000_000, service_us: 1_000_000 };
    let requests = (0..600).flat_map(|at| std::iter::repeat_n(second(at), if at < 120 { 6 } else { 60 }));
    let trace = Trace::new(requests.collect(), 0, 0);
    let report = compare(&settings, &trace, &[Contender::Hpa], Some(Duration::from_secs(15))).unwrap();
    let ordered: Vec<_> = report.timelines[0].iter().map(|sample| sample.starting + sample.ready).collect();
    // One; then the surge with its queue asks for more than the step allows: four more, then twice as many.
    assert_eq!(ordered[..10], [1; 10], "{ordered:?}");
    assert_eq!(ordered[10..13], [5, 10, 20], "{ordered:?}");
}

#[test]
fn policies_that_a_trace_tells_nothing_about_are_left_out_by_name() {
    let settings = settings("fallback: min");
    assert_eq!((settings.slots, settings.target, settings.notes.len()), (8, 6.0, 0));
    let text = "policies: [{ name: memory, signal: memory_utilization, up: 80 }, { name: busy, signal: concurrency, target: 2.5 }]";
    let settings = with_policies(text);
    assert_eq!((settings.slots, settings.target, settings.terms.policies.len()), (3, 2.5, 1));
    assert!(settings.notes[0].contains("\"memory\"") && settings.notes[1].contains("3 slots"), "{:?}", settings.notes);
}

fn with_policies(policies: &str) -> Settings {
    let text = format!(
        "\
listeners: [{{ name: a, bind: 127.0.0.1:0 }}]
routes: [{{ name: all, match: {{ path: {{ prefix: / }} }}, pool: agents }}]
pools:
  agents:
    autoscale:
      target: {{ process: {{ command: [agent, --port, \"{{port}}\"] }} }}
      {policies}
"
    );
    let loaded = config::read(&text, "test", Path::new("."), &|_| None).unwrap();
    Settings::new(loaded.snapshot.pools.values().next().unwrap(), conditions()).unwrap()
}
