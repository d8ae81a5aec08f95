//! What the file says about sizing, clusters and storage: every key arrives in the model, every mistake is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::tests::{errors, loaded, refused, warned, warnings};
use crate::model::{
    Aggregation, Autoscale, Container, Cost, Discovery, Fallback, Forecast, ForecastMode, KubernetesService, Meter, Panic, Pool,
    Program, Queue, ScaleDown, ScaleMode, ScalePolicy, ScaleRule, ScaleUp, Secret, Signal, Step, Target, Terms, Workload,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) const PROCESS: &str = "target: { process: { command: [agent, '{port}'] } }";

/// A file with one pool, which is `rest`.
pub(super) fn pool(rest: &str) -> String {
    format!("listeners: [{{ name: w, bind: ':1', pool: a }}]\npools: {{ a: {{ {rest} }} }}\n")
}

/// A file with one pool of processes, sized by one policy, that has `rest` in its `autoscale`.
pub(super) fn sized(rest: &str) -> String {
    pool(&format!("autoscale: {{ {PROCESS}, policies: [{{ name: p, signal: concurrency, target: 8 }}], {rest} }}"))
}

/// A file with one pool of processes that is sized by these policies.
fn by(policies: &str) -> String {
    pool(&format!("autoscale: {{ {PROCESS}, policies: [{policies}] }}, max_connections: 8"))
}

/// A file with one pool that scales this.
fn scaling(target: &str) -> String {
    pool(&format!("max_connections: 8, autoscale: {{ target: {{ {target} }} }}"))
}

pub(super) fn compiled(text: &str) -> Pool {
    Pool::clone(&loaded(text).snapshot.pools["a"])
}

fn autoscale(text: &str) -> Autoscale {
    compiled(text).autoscale.expect("the pool is sized")
}

fn terms(rest: &str) -> Terms {
    autoscale(&sized(rest)).terms
}

/// Returns the policies of such a pool.
fn policies(policies: &str) -> Vec<ScalePolicy> {
    autoscale(&by(policies)).terms.policies
}

fn target(target: &str) -> Target {
    autoscale(&scaling(target)).target
}

fn meter(signal: Signal, aggregation: Aggregation) -> Meter {
    Meter { signal, aggregation, window: 60 * SECOND }
}

fn policy(name: &str, priority: u32, rule: ScaleRule) -> ScalePolicy {
    ScalePolicy { name: name.parse().unwrap(), rule, priority }
}

#[test]
fn every_key_of_autoscale_arrives_in_the_model() {
    let text = pool(
        "discovery: { kubernetes: { service: coders, namespace: agents, port: http } },
        autoscale: {
          target: { kubernetes: { kind: Deployment, name: coders, namespace: agents } },
          mode: recommend, min_replicas: 2, max_replicas: 20, interval: 5s,
          policies: [
            { name: busy, signal: concurrency, target: 8 },
            { name: cpu, signal: cpu_utilization, up: 75, down: 25%, window: 2m, step_up: 2, step_down: 3, weight: 1.5 },
            { name: lag, signal: queue_wait, percentile: p99, up: 500ms, priority: 9 },
            { name: office, schedule: '0 8 * * mon-fri', time_zone: Europe/Berlin, for: 10h, min_replicas: 5, max_replicas: 9 } ],
          behavior: {
            scale_up: { cooldown: 10s, max_step: 100%, stabilization: 3s },
            scale_down: { cooldown: 20s, max_step: 2, stabilization: 30s, sustained: 40s },
            tolerance: 5%, max_events_per_hour: 11 },
          panic: { threshold: 300%, window: 12s },
          forecast: { mode: act, horizon: 30m, season: [weekly], confidence: 0.8, quantile: p95 },
          missing_after: 3m, fallback: 4, drain: { timeout: 15m }, cold_start_timeout: 6m,
          cost: { replica_hour: 0.42, currency: EUR } }, max_connections: 8",
    );
    let expected = Autoscale {
        target: Target::Kubernetes(Workload {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            kind: "Deployment".to_owned(),
            plural: "deployments".to_owned(),
            name: "coders".to_owned(),
            namespace: Some("agents".to_owned()),
        }),
        mode: ScaleMode::Recommend,
        terms: Terms {
            min_replicas: 2,
            max_replicas: 20,
            idle_after: 600 * SECOND,
            interval: 5 * SECOND,
            policies: vec![
                policy("busy", 1, ScaleRule::Target { meter: meter(Signal::Concurrency, Aggregation::Average), target: 8.0 }),
                policy(
                    "cpu",
                    3,
                    ScaleRule::Threshold {
                        meter: Meter { window: 120 * SECOND, ..meter(Signal::CpuUtilization, Aggregation::Average) },
                        up: Some(0.75),
                        down: Some(0.25),
                        step_up: 2,
                        step_down: 3,
                        weight: 1.5,
                    },
                ),
                policy(
                    "lag",
                    9,
                    ScaleRule::Threshold {
                        meter: meter(Signal::QueueWait, Aggregation::P99),
                        up: Some(0.5),
                        down: None,
                        step_up: 1,
                        step_down: 1,
                        weight: 1.0,
                    },
                ),
                policy(
                    "office",
                    1,
                    ScaleRule::Schedule {
                        cron: "0 8 * * mon-fri".to_owned(),
                        time_zone: "Europe/Berlin".to_owned(),
                        lasts: 36_000 * SECOND,
                        min_replicas: Some(5),
                        max_replicas: Some(9),
                    },
                ),
            ],
            scale_up: ScaleUp { cooldown: 10 * SECOND, max_step: Some(Step::Share(1.0)), stabilization: 3 * SECOND },
            scale_down: ScaleDown {
                cooldown: 20 * SECOND,
                max_step: Some(Step::Replicas(2)),
                stabilization: 30 * SECOND,
                sustained: 40 * SECOND,
            },
            tolerance: 0.05,
            max_events_per_hour: 11,
            panic: Some(Panic { threshold: 3.0, window: 12 * SECOND }),
            forecast: Some(Forecast {
                mode: ForecastMode::Act,
                horizon: 1800 * SECOND,
                daily: false,
                weekly: true,
                confidence: 0.8,
                quantile: 0.95,
            }),
            missing_after: 180 * SECOND,
            fallback: Fallback::Replicas(4),
        },
        drain_timeout: 900 * SECOND,
        cold_start_timeout: 360 * SECOND,
        cost: Some(Cost { replica_hour: 0.42, currency: "EUR".to_owned() }),
    };
    assert_eq!(warnings(&text), Vec::<String>::new());
    let pool = compiled(&text);
    assert_eq!(pool.autoscale, Some(expected));
    let service =
        KubernetesService { service: "coders".to_owned(), namespace: Some("agents".to_owned()), port: Some("http".to_owned()) };
    assert_eq!(pool.discovery, Some(Discovery::Kubernetes(service)));
}

#[test]
fn what_is_left_out_of_autoscale_has_its_default() {
    let expected = Autoscale {
        target: Target::Process(Program {
            command: vec!["agent".to_owned(), "{port}".to_owned()],
            env: BTreeMap::new(),
            folder: None,
            ready_timeout: 30 * SECOND,
            grace: 10 * SECOND,
        }),
        mode: ScaleMode::Act,
        terms: Terms {
            min_replicas: 1,
            max_replicas: 10,
            idle_after: 600 * SECOND,
            interval: SECOND,
            policies: vec![policy(
                "concurrency",
                1,
                ScaleRule::Target { meter: meter(Signal::Concurrency, Aggregation::Average), target: 4.0 },
            )],
            scale_up: ScaleUp::default(),
            scale_down: ScaleDown::default(),
            tolerance: 0.1,
            max_events_per_hour: 60,
            panic: Some(Panic::default()),
            forecast: Some(Forecast::default()),
            missing_after: 120 * SECOND,
            fallback: Fallback::Hold,
        },
        drain_timeout: 600 * SECOND,
        cold_start_timeout: 300 * SECOND,
        cost: None,
    };
    let written = "behavior: { scale_up: {}, scale_down: {} }, panic: {}, forecast: {}, drain: {}, policies: []";
    for rest in ["", written] {
        let text = pool(&format!("max_connections: 4, autoscale: {{ {PROCESS}, {rest} }}"));
        assert_eq!(warnings(&text), Vec::<String>::new());
        assert_eq!(autoscale(&text), expected);
    }
    assert_eq!(autoscale(&sized("cost: { replica_hour: 1 }")).cost, Some(Cost { replica_hour: 1.0, currency: "USD".to_owned() }));
}

#[test]
fn a_pool_that_says_nothing_is_not_sized() {
    for rest in ["endpoints: ['h:1']", "endpoints: ['h:1'], autoscale: off"] {
        let pool = compiled(&pool(rest));
        assert_eq!((pool.autoscale, pool.protection.queue, pool.discovery), (None, None, None));
    }
    refused(&pool("autoscale: off"), "pools.a", "neither `endpoints` nor `discovery`");
}

#[test]
fn a_pool_that_is_sized_has_a_queue_and_its_replicas_are_its_endpoints() {
    let pool = compiled(&sized(""));
    assert_eq!(pool.protection.queue, Some(Queue::default()));
    assert_eq!(pool.discovery, Some(Discovery::Replicas));
    assert!(pool.endpoints.is_empty());
    let container = compiled(&scaling("docker: { image: 'a:1', port: 80 }"));
    assert_eq!(container.discovery, Some(Discovery::Replicas));
    let off = compiled(&self::pool(&format!("queue: off, max_connections: 2, autoscale: {{ {PROCESS} }}")));
    assert_eq!(off.protection.queue, None);
    let kubernetes = "max_connections: 2, discovery: { dns: { host: h, port: 1 } }, autoscale: { target: { kubernetes: { kind: Deployment, name: d } } }";
    assert!(matches!(compiled(&self::pool(kubernetes)).discovery, Some(Discovery::Dns(_))));
}

#[test]
fn words_that_switch_off_do_so_and_bounds_move_each_other() {
    let off = autoscale(&sized(
        "mode: off, panic: off, forecast: off, behavior: { scale_up: { max_step: none }, scale_down: { max_step: off } }",
    ));
    assert_eq!(off.mode, ScaleMode::Off);
    assert_eq!((&off.terms.panic, &off.terms.forecast), (&None, &None));
    assert_eq!((off.terms.scale_up.max_step, off.terms.scale_down.max_step), (None, None));
    assert_eq!(autoscale(&sized("mode: false")).mode, ScaleMode::Off);
    assert_eq!(terms("forecast: { mode: off, horizon: 1h }").forecast, None);
    let seasons = terms("forecast: { season: [] }").forecast.map(|forecast| (forecast.daily, forecast.weekly));
    assert_eq!(seasons, Some((false, false)));
    assert_eq!(terms("min_replicas: 30").max_replicas, 30);
    assert_eq!(terms("max_replicas: 1").min_replicas, 1);
    assert_eq!(terms("interval: 30s").panic, Some(Panic { threshold: 2.0, window: 30 * SECOND }));
    assert_eq!(terms("fallback: min").fallback, Fallback::Min);
    assert_eq!(terms("min_replicas: 0, idle_after: 5m").idle_after, 300 * SECOND);
}

#[test]
fn every_target_arrives_in_the_model() {
    let container = target(
        "docker: { image: 'registry:5000/coder:1.4', port: 8080, memory: 512MiB, cpus: 0.5, env: { A: b, KEY: '${SECRET}' }, network: agents,
          command: [serve, 7, '{name}'], pull: true, host: 'tcp://engine:2375', ready_timeout: 90s, grace: 0s }",
    );
    let secret = |text: &str| Secret::new(text.to_owned());
    let expected = Container {
        image: "registry:5000/coder:1.4".to_owned(),
        port: 8080,
        command: ["serve", "7", "{name}"].map(str::to_owned).to_vec(),
        memory: Some(512 << 20),
        cpus: Some(0.5),
        env: BTreeMap::from([("A".to_owned(), secret("b")), ("KEY".to_owned(), secret("hunter two"))]),
        network: Some("agents".to_owned()),
        pull: true,
        host: Some("http://engine:2375".to_owned()),
        ready_timeout: 90 * SECOND,
        grace: Duration::ZERO,
    };
    assert_eq!(container, Target::Docker(expected));
    let program = target(
        "process: { command: [python, agent.py], env: { ADDRESS: 'localhost:{port}' }, folder: agents, ready_timeout: 5s, grace: 3s }",
    );
    let expected = Program {
        command: ["python", "agent.py"].map(str::to_owned).to_vec(),
        env: BTreeMap::from([("ADDRESS".to_owned(), secret("localhost:{port}"))]),
        folder: Some(PathBuf::from("/base/agents")),
        ready_timeout: 5 * SECOND,
        grace: 3 * SECOND,
    };
    assert_eq!(program, Target::Process(expected));
    let Target::Docker(small) = target("docker: { image: a, port: 1 }") else { panic!("no container") };
    assert_eq!((small.ready_timeout, small.grace, small.pull), (60 * SECOND, 10 * SECOND, false));
    assert_eq!((small.memory, small.cpus, small.network, small.host), (None, None, None, None));
}

#[test]
fn objects_of_kubernetes_are_known_by_kind_or_by_api() {
    let workload = |rest: &str| {
        let text = format!(
            "max_connections: 1, discovery: {{ dns: {{ host: h, port: 1 }} }}, autoscale: {{ target: {{ kubernetes: {{ name: d, {rest} }} }} }}"
        );
        match autoscale(&pool(&text)).target {
            Target::Kubernetes(workload) => [workload.group, workload.version, workload.plural],
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(workload("kind: StatefulSet"), ["apps", "v1", "statefulsets"]);
    assert_eq!(workload("kind: ReplicationController"), ["", "v1", "replicationcontrollers"]);
    assert_eq!(workload("kind: InferencePolicy, api: x.example.com/v1beta1"), ["x.example.com", "v1beta1", "inferencepolicies"]);
    assert_eq!(workload("kind: Sheep, api: v1, plural: sheep"), ["", "v1", "sheep"]);
    let unknown = "max_connections: 1, discovery: { dns: { host: h, port: 1 } }, autoscale: { target: { kubernetes: { name: d, kind: Sheep } } }";
    refused(&pool(unknown), "kubernetes.kind", "its `api` is needed; write for example `api: example.com/v1`");
}

#[test]
fn exactly_one_thing_is_scaled() {
    refused(&scaling(""), "autoscale.target", "nothing is scaled: one of `kubernetes`, `docker`, `process`");
    refused(
        &scaling("docker: { image: a, port: 1 }, process: { command: [a, '{port}'] }"),
        "autoscale.target",
        "only one of `docker`, `process`",
    );
    refused(&pool("max_connections: 1, autoscale: {}"), "pools.a.autoscale", "`target` is missing");
    refused(&scaling("docker: { port: 80 }"), "target.docker", "`image` is missing");
    refused(&scaling("docker: { image: a }"), "target.docker", "`port` is missing");
    refused(&scaling("docker: { image: 'a b', port: 80 }"), "docker.image", "an image such as");
    refused(&scaling("docker: { image: a, port: 80, network: 'a/b' }"), "docker.network", "the name of a network");
    refused(&scaling("docker: { image: a, port: 80, memory: 1MiB }"), "docker.memory", "from 6MiB");
    refused(&scaling("docker: { image: a, port: 80, cpus: 0 }"), "docker.cpus", "from 0.01 to 1024");
    refused(&scaling("docker: { image: a, port: 80, host: engine }"), "docker.host", "unix:///path");
    refused(&scaling("docker: { image: a, port: 80, env: { 'A=B': c } }"), "docker.env", "the name of a variable");
    refused(&scaling("docker: { image: a, port: 80, imag: b }"), "docker.imag", "did you mean `image`?");
    refused(&scaling("process: {}"), "target.process", "`command` is missing");
    refused(&scaling("process: { command: [] }"), "process.command", "the command is empty");
    refused(&scaling("process: { command: [''] }"), "process.command[0]", "the program has no name");
    let pods =
        |target: &str| format!("endpoints: ['h:1'], max_connections: 1, autoscale: {{ target: {{ kubernetes: {{ {target} }} }} }}");
    refused(&pool(&pods("kind: deployment, name: d")), "kubernetes.kind", "a kind such as `Deployment`");
    refused(&pool(&pods("kind: Deployment, name: D")), "kubernetes.name", "lower case");
    refused(&pool(&pods("kind: Deployment")), "target.kubernetes", "`name` is missing");
}

#[test]
fn a_process_is_told_its_port() {
    warned(&scaling("process: { command: [a] }"), "process.command: nothing names `{port}`");
    assert_eq!(warnings(&scaling("process: { command: [a, '--port={port}'] }")), Vec::<String>::new());
    assert_eq!(warnings(&scaling("process: { command: [a], env: { BIND: ':{port}' } }")), Vec::<String>::new());
}

#[test]
fn replicas_of_this_machine_are_all_endpoints_of_their_pool() {
    let with = |rest: &str| pool(&format!("{rest}, max_connections: 1, autoscale: {{ {PROCESS} }}"));
    refused(&with("endpoints: ['h:1']"), "pools.a.endpoints", "leave `endpoints` out");
    refused(&with("discovery: { dns: { host: h, port: 1 } }"), "pools.a.discovery", "leave `discovery` out");
    let kubernetes = |rest: &str| {
        pool(&format!("{rest}, max_connections: 1, autoscale: {{ target: {{ kubernetes: {{ kind: Deployment, name: d }} }} }}"))
    };
    warned(&kubernetes("endpoints: ['h:1']"), "autoscale.target: new pods do not become endpoints");
    refused(&kubernetes("strategy: round_robin"), "pools.a", "neither `endpoints` nor `discovery`");
    assert_eq!(warnings(&kubernetes("discovery: { kubernetes: { service: d } }")), Vec::<String>::new());
}

#[test]
fn kubernetes_discovery_has_defaults_and_excludes_dns() {
    let with = |rest: &str| pool(&format!("discovery: {{ {rest} }}"));
    let expected = KubernetesService { service: "d".to_owned(), namespace: None, port: None };
    assert_eq!(compiled(&with("kubernetes: { service: d }")).discovery, Some(Discovery::Kubernetes(expected)));
    refused(&with("kubernetes: { service: d }, dns: { host: h, port: 1 }"), "pools.a.discovery", "only one of `dns`, `kubernetes`");
    refused(&with(""), "pools.a.discovery", "one of `dns`, `kubernetes` is needed");
    refused(&with("kubernetes: {}"), "discovery.kubernetes", "`service` is missing");
    refused(&with("kubernetes: { service: d, port: 0 }"), "kubernetes.port", "name or number of a port");
}

#[test]
fn numbers_of_autoscale_are_held_to_their_range() {
    for (rest, place, words) in [
        ("min_replicas: 1001", "min_replicas", "from 0 to 1000"),
        ("max_replicas: 0", "max_replicas", "from 1 to 1000"),
        ("min_replicas: 5, max_replicas: 4", "min_replicas", "`min_replicas` is more than `max_replicas`"),
        ("interval: 50ms", "interval", "from 100ms to 1m"),
        ("idle_after: 0s", "idle_after", "longer than 0"),
        ("mode: akt", "mode", "did you mean \"act\"?"),
        ("behavior: { tolerance: 100% }", "behavior.tolerance", "nothing would ever scale down"),
        ("behavior: { max_events_per_hour: 0 }", "max_events_per_hour", "from 1 to 3600"),
        ("behavior: { scale_up: { max_step: 0 } }", "scale_up.max_step", "from 1 to 1000"),
        ("behavior: { scale_up: { sustained: 1s } }", "scale_up.sustained", "unknown key"),
        ("panic: { threshold: 100% }", "panic.threshold", "from 110% to 1000%"),
        ("interval: 10s, panic: { window: 6s }", "panic.window", "shorter than `interval`"),
        ("forecast: { horizon: 5m }", "forecast.horizon", "from 10m to 24h"),
        ("forecast: { season: [yearly] }", "forecast.season[0]", "known words are daily, weekly"),
        ("forecast: { quantile: 90 }", "forecast.quantile", "from `p50` to `p99.9`"),
        ("forecast: { confidence: 2 }", "forecast.confidence", "from 0 to 1"),
        ("missing_after: 0s", "missing_after", "longer than 0"),
        ("fallback: max", "fallback", "`hold`, `min` or a number of replicas"),
        ("fallback: 11", "fallback", "is more than `max_replicas`, which is 10"),
        ("drain: { timeout: 5 }", "drain.timeout", "a unit is missing"),
        ("cold_start_timeout: 0s", "cold_start_timeout", "longer than 0"),
        ("cost: {}", "cost", "`replica_hour` is missing"),
        ("cost: { replica_hour: 1, currency: '$' }", "cost.currency", "letters such as `USD`"),
    ] {
        refused(&sized(rest), place, words);
    }
}

#[test]
fn an_unreadable_bound_is_not_told_again_by_what_depends_on_it() {
    assert_eq!(errors(&sized("max_replicas: many, fallback: 30")).len(), 1);
    assert_eq!(errors(&sized("fallback: 30, min_replicas: few")).len(), 1);
    assert_eq!(
        errors(&pool(&format!("autoscale: {{ {PROCESS}, policies: [{{ name: '!', signal: concurrency, target: 1 }}] }}"))).len(),
        1
    );
    assert_eq!(errors(&pool(&format!("max_connections: x, autoscale: {{ {PROCESS} }}"))).len(), 1);
    assert_eq!(errors(&pool("autoscale: 5")).len(), 1);
    assert_eq!(errors(&by("{ name: p, signal: first_byte, aggregation: meen, up: 5 }")).len(), 1);
}

#[test]
fn something_says_when_to_scale() {
    refused(
        &pool(&format!("autoscale: {{ {PROCESS} }}")),
        "pools.a.autoscale",
        "nothing says when to scale; give one of `policies`, or `max_connections`",
    );
    refused(&pool(&format!("autoscale: {{ {PROCESS}, policies: [] }}")), "pools.a.autoscale", "nothing says when to scale");
}

#[test]
fn scale_to_zero_needs_a_queue() {
    let with = |rest: &str| pool(&format!("max_connections: 1, {rest}, autoscale: {{ {PROCESS}, min_replicas: 0 }}"));
    refused(&with("queue: off"), "autoscale.min_replicas", "scale to zero needs the `queue`");
    refused(&with("queue: 0"), "autoscale.min_replicas", "scale to zero needs the `queue`");
    assert_eq!(terms("min_replicas: 0").min_replicas, 0);
    assert_eq!(warnings(&with("queue: 5")), Vec::<String>::new());
    assert_eq!(errors(&with("queue: { capacity: x }")).len(), 1);
    warned(&sized("idle_after: 5m"), "idle_after: has no effect: `min_replicas` is not 0");
}

#[test]
fn every_signal_has_its_unit_its_aggregation_and_its_priority() {
    for (signal, written, target, aggregation, priority) in [
        ("concurrency", "8", 8.0, Aggregation::Average, 1),
        ("request_rate", "2.5", 2.5, Aggregation::Average, 4),
        ("response_time", "2s", 2.0, Aggregation::P95, 4),
        ("first_byte", "500ms", 0.5, Aggregation::P95, 4),
        ("queue_depth", "3", 3.0, Aggregation::Average, 5),
        ("queue_wait", "250ms", 0.25, Aggregation::P95, 5),
        ("error_rate", "5%", 0.05, Aggregation::Average, 4),
        ("cpu_utilization", "70", 0.7, Aggregation::Average, 3),
        ("memory_utilization", "80%", 0.8, Aggregation::Average, 3),
        ("custom, metric: jobs", "7", 7.0, Aggregation::Average, 1),
        ("promql, promql: { server: 'http://p:9090', query: 'sum(up)' }", "9", 9.0, Aggregation::Average, 1),
    ] {
        let found = policies(&format!("{{ name: p, signal: {signal}, target: {written} }}")).remove(0);
        let ScaleRule::Target { meter, target: value } = found.rule else { panic!("{signal}") };
        assert_eq!((value, meter.aggregation, found.priority), (target, aggregation, priority), "{signal}");
        assert_eq!(meter.window, 60 * SECOND);
        assert!(signal.starts_with(meter.signal.as_str()), "{signal}");
    }
    let found = policies("{ name: p, signal: promql, promql: { server: 'http://p:9090', query: 'sum(up)' }, up: 1 }").remove(0);
    let ScaleRule::Threshold { meter, .. } = found.rule else { panic!("no threshold") };
    assert_eq!(meter.signal, Signal::Promql { server: "http://p:9090".to_owned(), query: "sum(up)".to_owned() });
}

#[test]
fn every_aggregation_can_be_asked_of_a_time_and_a_count_has_no_unit() {
    for (word, aggregation, up, value) in [
        ("aggregation: average", Aggregation::Average, "1s", 1.0),
        ("aggregation: sum", Aggregation::Sum, "90s", 90.0),
        ("aggregation: min", Aggregation::Min, "1s", 1.0),
        ("aggregation: max", Aggregation::Max, "1s", 1.0),
        ("aggregation: count", Aggregation::Count, "500", 500.0),
        ("aggregation: p50", Aggregation::P50, "1s", 1.0),
        ("percentile: p95", Aggregation::P95, "1s", 1.0),
        ("percentile: p99", Aggregation::P99, "1s", 1.0),
    ] {
        let found = policies(&format!("{{ name: p, signal: response_time, {word}, up: {up} }}")).remove(0);
        let ScaleRule::Threshold { meter, up, .. } = found.rule else { panic!("{word}") };
        assert_eq!((meter.aggregation, up), (aggregation, Some(value)), "{word}");
    }
}

#[test]
fn amounts_are_in_the_unit_of_their_signal() {
    for (policy, place, words) in [
        ("signal: response_time, up: 500", "up", "a duration such as `500ms` is needed; a unit is missing; did you mean \"500s\"?"),
        ("signal: response_time, up: 5%", "up", "the signal is a time"),
        ("signal: cpu_utilization, up: 0.75", "up", "`0.75` could be a ratio or a percentage; write \"75%\" or \"0.75%\""),
        ("signal: cpu_utilization, up: 1", "up", "write \"100%\" or \"1%\""),
        ("signal: error_rate, up: 5s", "up", "the signal is a share"),
        ("signal: concurrency, target: 8s", "target", "a plain number, without unit"),
        ("signal: concurrency, target: 80%", "target", "a plain number, without unit"),
        ("signal: concurrency, target: many", "target", "a number such as `8`"),
        ("signal: first_byte, aggregation: count, up: 5s", "up", "a plain number"),
    ] {
        refused(&by(&format!("{{ name: p, {policy} }}")), place, words);
    }
}

#[test]
fn a_policy_that_can_never_fire_is_refused_with_the_reason() {
    for (policy, place, words) in [
        ("signal: concurrency", "policies[0]", "can never fire: `target`, `up` or `down` is needed"),
        ("signal: concurrency, target: 0", "target", "a replica is for more than 0"),
        ("signal: cpu_utilization, up: 101", "up", "can never fire: `cpu_utilization` is at most 100%"),
        ("signal: cpu_utilization, target: 150%", "target", "can never fire: `cpu_utilization` is at most 100%"),
        ("signal: memory_utilization, up: 100", "up", "can never fire: `memory_utilization` is never above 100%"),
        ("signal: error_rate, up: 100%", "up", "can never fire: `error_rate` is never above 100%"),
        ("signal: error_rate, down: 101%", "down", "`error_rate` is always below: it is at most 100%"),
        ("signal: cpu_utilization, down: 0", "down", "can never fire: nothing is below 0"),
        ("signal: queue_wait, down: 0s", "down", "can never fire: nothing is below 0"),
        ("signal: cpu_utilization, up: 50, down: 50", "down", "`down` is not below `up`"),
        ("signal: queue_depth, up: 1000", "up", "can never fire: at most 1000 requests wait (`queue.capacity`)"),
        ("signal: concurrency, target: 1, window: 1ms", "window", "from 1s to 10m"),
        ("signal: concurrency, target: 1, window: 11m", "window", "from 1s to 10m"),
        ("schedule: '0 0 30 2 *', for: 1h, min_replicas: 5", "schedule", "can never begin"),
    ] {
        refused(&by(&format!("{{ name: p, {policy} }}")), place, words);
    }
    let slow = pool(&format!(
        "autoscale: {{ {PROCESS}, interval: 20s, policies: [{{ name: p, signal: concurrency, target: 1, window: 10s }}] }}"
    ));
    refused(&slow, "policies[0].window", "shorter than `interval`");
    let queue = |queue: &str, policy: &str| {
        pool(&format!("{queue}, max_connections: 1, autoscale: {{ {PROCESS}, policies: [{{ name: p, {policy} }}] }}"))
    };
    refused(&queue("queue: off", "signal: queue_depth, up: 5"), "policies[0].signal", "can never fire: the pool has no `queue`");
    refused(&queue("queue: 5", "signal: queue_depth, target: 5"), "target", "at most 5 requests wait");
    assert_eq!(warnings(&queue("queue: 5", "signal: queue_depth, up: 4")), Vec::<String>::new());
    assert_eq!(warnings(&by("{ name: p, signal: cpu_utilization, up: 100 }")), Vec::<String>::new());
    assert_eq!(warnings(&by("{ name: p, signal: error_rate, aggregation: sum, up: 300% }")), Vec::<String>::new());
}

#[test]
fn a_policy_says_one_thing() {
    for (policy, place, words) in [
        ("target: 5", "policies[0]", "says nothing: a `signal` or a `schedule` is needed"),
        ("signal: concurrency, target: 5, up: 5", "policies[0]", "a `target` or bounds, not both: `up`"),
        ("signal: concurrency, target: 5, step_up: 2", "step_up", "a policy with a `target` has no `step_up`"),
        ("signal: concurrency, target: 5, weight: 2", "weight", "a policy with a `target` has no `weight`"),
        ("signal: concurrency, target: 5, for: 1h", "for", "`for` goes with a `schedule` only"),
        ("signal: concurrency, target: 5, min_replicas: 2", "min_replicas", "goes with a `schedule` only"),
        ("signal: concurrency, schedule: '0 8 * * *', for: 1h, min_replicas: 5", "policies[0]", "not both"),
        ("signal: concurency, target: 5", "signal", "did you mean \"concurrency\"?"),
        ("signal: custom, target: 5", "signal", "the signal `custom` needs `metric`"),
        ("signal: promql, target: 5", "signal", "the signal `promql` needs `promql`"),
        ("signal: concurrency, metric: jobs, target: 5", "metric", "goes with the signal `custom` only"),
        ("signal: custom, metric: 'a b', target: 5", "metric", "the name of a metric"),
        ("signal: promql, promql: { server: p, query: up }, target: 5", "promql.server", "the `http` or `https` address"),
        ("signal: promql, promql: { server: 'http://p' }, target: 5", "promql", "`query` is missing"),
        ("signal: first_byte, percentile: p90, up: 1s", "percentile", "unknown word \"p90\""),
        (
            "signal: first_byte, percentile: p95, aggregation: max, up: 1s",
            "aggregation",
            "only one of `percentile` and `aggregation`",
        ),
        ("signal: cpu_utilization, percentile: p95, up: 75", "percentile", "`cpu_utilization` has no percentiles"),
        ("signal: concurrency, aggregation: p99, target: 5", "aggregation", "`concurrency` has no percentiles"),
        ("signal: concurrency, up: 5, weight: 0", "weight", "from 0.1 to 100"),
        ("signal: concurrency, up: 5, step_up: 0", "step_up", "from 1 to 1000"),
        ("signal: concurrency, up: 5, priority: 101", "priority", "from 0 to 100"),
    ] {
        refused(&by(&format!("{{ name: p, {policy} }}")), place, words);
    }
    refused(
        &by("{ name: p, signal: concurrency, target: 5 }, { name: p, signal: cpu_utilization, up: 75 }"),
        "policies[1].name",
        "a policy \"p\" is there already, in line 2",
    );
    warned(&by("{ name: p, signal: concurrency, up: 5, step_down: 2 }"), "step_down: has no effect: the policy has no `down`");
    let no_slots = pool(&format!("autoscale: {{ {PROCESS}, policies: [{{ name: p, signal: queue_wait, up: 1s }}] }}"));
    warned(&no_slots, "signal: nobody waits while an endpoint is up: the pool has no `max_connections`");
}

#[test]
fn schedules_hold_for_a_time_within_the_bounds_of_their_pool() {
    for (policy, place, words) in [
        ("min_replicas: 5", "policies[0]", "does not end: `for` is needed"),
        ("for: 1h", "policies[0]", "no effect: `min_replicas` or `max_replicas` is needed"),
        ("for: 1h, min_replicas: 7, max_replicas: 6", "min_replicas", "`min_replicas` is more than `max_replicas`"),
        ("for: 1h, min_replicas: 11", "min_replicas", "more than `max_replicas` of the pool, which is 10"),
        ("for: 1h, max_replicas: 0", "max_replicas", "less than `min_replicas` of the pool, which is 1"),
        ("for: 30s, min_replicas: 5", "for", "from 1m to 8784h"),
        ("for: 1h, min_replicas: 5, time_zone: Europe/Belrin", "time_zone", "the IANA name of a time zone"),
        ("for: 1h, min_replicas: 5, target: 5", "target", "`target` goes with a `signal` only"),
        ("for: 1h, min_replicas: 5, window: 60s", "window", "`window` goes with a `signal` only"),
    ] {
        refused(&by(&format!("{{ name: p, schedule: '0 8 * * mon-fri', {policy} }}")), place, words);
    }
    refused(&by("{ name: p, schedule: '0 8 * *', for: 1h, min_replicas: 5 }"), "schedule", "such as `0 8 * * mon-fri`");
    refused(&by("{ name: p, time_zone: UTC, for: 1h, min_replicas: 5 }"), "policies[0]", "says nothing");
    let schedule = |rest: &str| by(&format!("{{ name: p, schedule: '0 8 * * *', for: 1h, {rest} }}"));
    warned(&schedule("min_replicas: 1"), "min_replicas: has no effect: `min_replicas` of the pool is 1");
    warned(&schedule("max_replicas: 10"), "max_replicas: has no effect: `max_replicas` of the pool is 10");
    let found = autoscale(&schedule("max_replicas: 2")).terms.policies.remove(0);
    let ScaleRule::Schedule { time_zone, min_replicas, max_replicas, .. } = found.rule else { panic!("no schedule") };
    assert_eq!((time_zone.as_str(), min_replicas, max_replicas), ("UTC", None, Some(2)));
}

#[test]
fn panic_and_forecast_without_what_they_look_at_are_warnings() {
    let thresholds = |rest: &str| {
        pool(&format!("autoscale: {{ {PROCESS}, policies: [{{ name: p, signal: cpu_utilization, up: 75 }}], {rest} }}"))
    };
    assert_eq!(warnings(&thresholds("")), Vec::<String>::new());
    warned(&thresholds("panic: {}"), "panic: has no effect: no policy has a `target`");
    warned(&thresholds("forecast: { mode: act }"), "forecast.mode: has no effect: no policy has a `target` for `concurrency`");
    warned(&sized("panic: { window: 60s }"), "panic.window: has no effect: the window of a policy with a `target` is not longer");
    assert_eq!(warnings(&sized("panic: { window: 59s }, forecast: { mode: act }")), Vec::<String>::new());
    let by_default = pool(&format!("max_connections: 1, autoscale: {{ {PROCESS}, panic: {{}}, forecast: {{ mode: act }} }}"));
    assert_eq!(warnings(&by_default), Vec::<String>::new());
    let cpu = pool(&format!(
        "autoscale: {{ {PROCESS}, policies: [{{ name: p, signal: cpu_utilization, target: 70 }}], panic: {{}}, forecast: {{ mode: act }} }}"
    ));
    assert_eq!(warnings(&cpu).len(), 1, "{:?}", warnings(&cpu));
}
