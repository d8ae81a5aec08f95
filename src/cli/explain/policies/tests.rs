use std::time::Duration;

use super::shown::{duration, size};
use super::*;

/// A config whose route `r` has `route` and whose pool `a` has `pool` beside what they need; the rest is `rest`.
fn told(route: &str, pool: &str, rest: &str) -> Vec<String> {
    let text = format!(
        "listeners: [{{ name: w, bind: ':1' }}]\nroutes: [{{ name: r, pool: a, {route} }}]\npools: {{ a: {{ endpoints: ['h:1'], {pool} }}, b: {{ endpoints: ['h:2'] }} }}\n{rest}"
    );
    let loaded = crate::config::read(&text, "t.yaml", std::path::Path::new("."), &|_| None);
    let snapshot = loaded.unwrap_or_else(|errors| panic!("{errors}")).snapshot;
    let route = &snapshot.routes[0];
    let mut policies = of_route(route, &snapshot);
    policies.extend(of_pool(&snapshot.pools["a"], &route.timeouts));
    policies.iter().map(|policy| format!("{} = {} ({})", policy.name, policy.value, policy.source.as_str())).collect()
}

/// Asserts that each of `lines` is told.
fn tells(told: &[String], lines: &[&str]) {
    for line in lines {
        assert!(told.iter().any(|other| other == line), "{line} is missing in {told:#?}");
    }
}

#[test]
fn values_are_shown_as_they_are_written() {
    let shown = [0, 1, 1500, 30_000, 300_000, 7_200_000].map(|ms| duration(&Duration::from_millis(ms)));
    assert_eq!(shown, ["0s", "1ms", "1500ms", "30s", "5m", "2h"]);
    assert_eq!([100, 8192, 64 << 20, 1 << 30, 1025].map(size), ["100", "8KiB", "64MiB", "1GiB", "1025"]);
    assert_eq!([1.0, 0.95, 1.0 / 3.0, 0.0].map(percent), ["100%", "95%", "33.33%", "0%"]);
}

#[test]
fn policies_are_told_in_the_order_in_which_a_request_meets_them() {
    let expected = "\
rate_limit = none (default)
priority = 0 (default)
overload.max_requests = none (default)
overload.max_memory = none (default)
heartbeat = off (default)
mirror = none (default)
timeouts.total = none (default)
bulkhead = none (default)
hedge = off (default)
retry.max_attempts = 3 (default)
retry.on = connect_failure, refused, reset, gateway_error (default)
retry.non_idempotent = false (default)
retry.backoff = exponential (default)
retry.base_delay = 100ms (default)
retry.max_delay = 5s (default)
retry.jitter = full (default)
retry.budget.ratio = 20% (default)
retry.budget.min_per_second = 10 (default)
retry.body_buffer = 1MiB (default)
overload.replay_memory = 64MiB (default)
failover = none (default)
slow_start = none (default)
max_connections = none (default)
queue = off (default)
circuit_breaker.failure_threshold = 5 (default)
circuit_breaker.success_rate = 50% (default)
circuit_breaker.window = 10s (default)
circuit_breaker.min_attempts = 20 (default)
circuit_breaker.recovery_timeout = 1m (default)
circuit_breaker.max_recovery_timeout = 10m (default)
circuit_breaker.success_threshold = 3 (default)
circuit_breaker.statuses = 500, 502, 503, 504 (default)
outlier = off (default)
health = off (default)
autoscale = off (default)
timeouts.attempt = none (default)
upstream.protocol = http1 (default)
upstream.tls = none (default)
upstream.host = client (default)
upstream.connect_timeout = 3s (default)
timeouts.first_byte = 2m (default)
timeouts.idle = 5m (default)
upstream.idle_timeout = 90s (default)";
    assert_eq!(told("", "", ""), expected.lines().collect::<Vec<_>>());
}

#[test]
fn what_a_route_says_is_told_from_defaults() {
    let told = told(
        "rate_limit: [{ requests: 9, per: 1m, burst: 3, key: 'header:x' }, { requests: 7, key: client_address }], priority: 5, heartbeat: 15s,
         timeouts: { total: 30s, attempt: 1m, idle: none }, hedge: { after: p99.9, max_extra: 5% },
         retry: { max_attempts: 2, on: [], jitter: none }, failover: [b], mirror: { pool: b, share: 10% }",
        "",
        "",
    );
    tells(
        &told,
        &[
            "rate_limit = header:x: 9 per 1m, burst 3, by header:x (route)",
            "rate_limit = client_address: 7 per 1s, burst 7, by client_address (route)",
            "priority = 5 (route)",
            "timeouts.total = 30s (route)",
            "heartbeat = 15s (route)",
            "timeouts.attempt = 1m (route)",
            "timeouts.first_byte = 2m (default)",
            "timeouts.idle = none (route)",
            "hedge.after = p99.9 (route)",
            "hedge.max_extra = 5% (default)",
            "retry.max_attempts = 2 (route)",
            "retry.on = none (route)",
            "retry.jitter = none (route)",
            "retry.backoff = exponential (default)",
            "failover.pools = b (route)",
            "failover.overprovisioning = 1.4 (default)",
            "mirror.pool = b (route)",
            "mirror.share = 10% (route)",
            "mirror.body_buffer = 64KiB (default)",
        ],
    );
    tells(&self::told("retry: off, hedge: { after: 200ms }", "", ""), &["retry = off (route)", "hedge.after = 200ms (route)"]);
}

#[test]
fn what_bulkheads_and_the_process_say_is_told_from_defaults() {
    let rest = "bulkheads: { llm: { max_concurrent: 50, queue: { capacity: 200 } } }\noverload: { max_requests: 500, reserve: 10%, replay_memory: 1MiB }";
    tells(
        &told("bulkhead: llm", "", rest),
        &[
            "bulkhead = llm (route)",
            "bulkheads.llm.max_concurrent = 50 (bulkhead)",
            "bulkheads.llm.queue.capacity = 200 (bulkhead)",
            "bulkheads.llm.queue.timeout = 30s (default)",
            "overload.max_requests = 500 (overload)",
            "overload.max_memory = none (default)",
            "overload.reserve = 10% (overload)",
            "overload.replay_memory = 1MiB (overload)",
        ],
    );
}

#[test]
fn what_a_pool_says_is_told_from_defaults() {
    let told = told(
        "",
        "max_connections: 1, circuit_breaker: { success_rate: off, statuses: [500-502] },
         outlier: { latency: off, success_rate: { deviations: 2 } },
         health: { http: { expect: [200, 300-302], json: { pointer: /status, equals: ok } }, interval: 10s, heal: { webhook: 'http://ops' } }",
        "",
    );
    tells(
        &told,
        &[
            "max_connections = 1 (pool)",
            "queue.capacity = 1000 (default)",
            "queue.timeout = 30s (default)",
            "circuit_breaker.success_rate = off (pool)",
            "circuit_breaker.statuses = 500, 501, 502 (pool)",
            "outlier.consecutive_failures = 5 (default)",
            "outlier.success_rate = 2 deviations below the mean of 5 endpoints with 100 attempts (pool)",
            "outlier.latency = off (pool)",
            "outlier.max_ejected = 50% (default)",
            "health.http = GET /health expects 200, 300-302, /status equal to \"ok\" (pool)",
            "health.interval = 10s (pool)",
            "health.unhealthy_interval = 5s (default)",
            "health.heal.after = 5m (default)",
            "health.heal.webhook = http://ops (pool)",
        ],
    );
    assert!(!told.iter().any(|line| line.starts_with("circuit_breaker.window")), "{told:#?}");
    let off = self::told("", "circuit_breaker: off, max_connections: 1, queue: off, health: { grpc: { service: a.B } }", "");
    tells(&off, &["circuit_breaker = off (pool)", "queue = off (pool)", "health.grpc = a.B (pool)"]);
}

/// A config with the pool `a` alone, which is `pool`.
fn sized(pool: &str) -> Vec<String> {
    let text = format!("listeners: [{{ name: w, bind: ':1', pool: a }}]\npools: {{ a: {{ {pool} }} }}\n");
    let loaded = crate::config::read(&text, "t.yaml", std::path::Path::new("/base"), &|_| None);
    let snapshot = loaded.unwrap_or_else(|errors| panic!("{errors}")).snapshot;
    let policies = of_pool(&snapshot.pools["a"], &snapshot.routes[0].timeouts);
    policies.iter().map(|policy| format!("{} = {} ({})", policy.name, policy.value, policy.source.as_str())).collect()
}

#[test]
fn how_a_pool_is_sized_is_told_with_its_defaults() {
    let told =
        sized("max_connections: 4, autoscale: { target: { process: { command: [agent, '{port}'], env: { KEY: hidden } } } }");
    let scaling: Vec<&str> = told.iter().filter(|line| line.starts_with("autoscale")).map(String::as_str).collect();
    let expected = "\
autoscale.target = process: agent {port} (pool)
autoscale.mode = act (default)
autoscale.min_replicas = 1 (default)
autoscale.max_replicas = 10 (default)
autoscale.interval = 1s (default)
autoscale.policies.concurrency = 4 concurrency for each replica, average of 1m, priority 1 (default)
autoscale.behavior.scale_up.cooldown = 30s (default)
autoscale.behavior.scale_up.max_step = none (default)
autoscale.behavior.scale_up.stabilization = 0s (default)
autoscale.behavior.scale_down.cooldown = 1m (default)
autoscale.behavior.scale_down.max_step = none (default)
autoscale.behavior.scale_down.stabilization = 10m (default)
autoscale.behavior.scale_down.sustained = 10m (default)
autoscale.behavior.tolerance = 10% (default)
autoscale.behavior.max_events_per_hour = 60 (default)
autoscale.panic = from 200% of what the ready replicas are for, over 6s (default)
autoscale.forecast.mode = watch (default)
autoscale.forecast.horizon = 1h (default)
autoscale.forecast.season = daily, weekly (default)
autoscale.forecast.confidence = 70% (default)
autoscale.forecast.quantile = p90 (default)
autoscale.missing_after = 2m (default)
autoscale.fallback = hold (default)
autoscale.drain.timeout = 10m (default)
autoscale.cold_start_timeout = 5m (default)
autoscale.cost = not known (default)";
    assert_eq!(scaling, expected.lines().collect::<Vec<_>>());
    tells(&told, &["queue.capacity = 1000 (default)"]);
}

#[test]
fn what_a_pool_says_about_its_size_is_told_from_defaults() {
    let told = sized(
        "endpoints: ['h:1'], discovery: { dns: { host: h, port: 1 } }, health: { tcp: {}, heal: { restart: true } }, autoscale: {
           target: { kubernetes: { kind: Deployment, name: coders, namespace: agents } }, mode: off, min_replicas: 0, max_replicas: 20,
           policies: [
             { name: rate, signal: request_rate, target: 2.5, priority: 9 },
             { name: cpu, signal: cpu_utilization, up: 75, down: 25, step_up: 2, weight: 2 },
             { name: lag, signal: queue_wait, percentile: p99, up: 500ms, window: 2m },
             { name: jobs, signal: custom, metric: jobs_open, down: 3 },
             { name: office, schedule: '0 8 * * mon-fri', time_zone: Europe/Berlin, for: 10h, min_replicas: 5 } ],
           behavior: { scale_up: { max_step: 50% }, scale_down: { max_step: 2 } },
           panic: off, forecast: off, fallback: 3, cost: { replica_hour: 0.42, currency: EUR } }, max_connections: 1",
    );
    tells(
        &told,
        &[
            "health.heal.restart = true (pool)",
            "autoscale.target = kubernetes: Deployment coders in agents (pool)",
            "autoscale.mode = off (pool)",
            "autoscale.min_replicas = 0 (pool)",
            "autoscale.idle_after = 10m (default)",
            "autoscale.max_replicas = 20 (pool)",
            "autoscale.policies.rate = 2.5 request_rate for each replica, average of 1m, priority 9 (pool)",
            "autoscale.policies.cpu = cpu_utilization above 75% adds 4, below 25% takes 2, average of 1m, priority 3 (pool)",
            "autoscale.policies.lag = queue_wait above 500ms adds 1, p99 of 2m, priority 5 (pool)",
            "autoscale.policies.jobs = custom jobs_open below 3 takes 1, average of 1m, priority 1 (pool)",
            "autoscale.policies.office = 0 8 * * mon-fri in Europe/Berlin for 10h, at least 5 replicas (pool)",
            "autoscale.behavior.scale_up.max_step = 50% (pool)",
            "autoscale.behavior.scale_down.max_step = 2 (pool)",
            "autoscale.panic = off (pool)",
            "autoscale.forecast = off (pool)",
            "autoscale.fallback = 3 (pool)",
            "autoscale.cost = 0.42 EUR an hour for each replica (pool)",
        ],
    );
    let docker = sized(
        "autoscale: { target: { docker: { image: 'a:1', port: 80 } }, policies: [{ name: q, signal: promql, promql: { server: 'http://p', query: 'sum(x)' }, up: 1 }] }",
    );
    tells(
        &docker,
        &[
            "autoscale.target = docker: a:1 on port 80 (pool)",
            "autoscale.policies.q = sum(x) above 1 adds 1, average of 1m, priority 1 (pool)",
        ],
    );
}

#[test]
fn a_wait_of_the_route_goes_before_that_of_the_pool() {
    let queue = |route: &str| told(route, "queue: { capacity: 5, timeout: 30s }", "");
    tells(&queue(""), &["queue.capacity = 5 (pool)", "queue.timeout = 30s (pool)"]);
    let overridden = queue("timeouts: { queue: 10s }");
    tells(&overridden, &["timeouts.queue = 10s (route)"]);
    assert!(!overridden.iter().any(|line| line.starts_with("queue.timeout")), "{overridden:#?}");
}

#[test]
fn slots_of_endpoints_are_told_beside_those_of_the_pool() {
    let text = "listeners: [{ name: w, bind: ':1', pool: a }]\npools: { a: { endpoints: ['h:1', { address: 'h:2', max_connections: 1 }], max_connections: 8 } }";
    let snapshot = crate::config::read(text, "t.yaml", std::path::Path::new("."), &|_| None).unwrap().snapshot;
    let policies = of_pool(&snapshot.pools["a"], &snapshot.routes[0].timeouts);
    let slots = policies.iter().find(|policy| policy.name == "max_connections").unwrap();
    assert_eq!((slots.value.as_str(), slots.source), ("8; 1 of 2 endpoints have their own", Source::Pool));
}

#[test]
fn a_route_that_is_answered_here_has_no_policies() {
    let text = "listeners: [{ name: w, bind: ':1' }]\nroutes: [{ name: r, respond: {} }]";
    let snapshot = crate::config::read(text, "t.yaml", std::path::Path::new("."), &|_| None).unwrap().snapshot;
    assert_eq!(of_route(&snapshot.routes[0], &snapshot), []);
}
