//! What the file says about retries, limits, health and their like: every key arrives in the model, every mistake is told.

use std::time::Duration;

use super::tests::{BASE, errors, loaded, read_text, refused, warned, warnings};
use crate::model::{
    Backoff, Breaker, Budget, Bulkhead, Condition, Failover, Heal, Health, Hedge, HedgeDelay, HttpProbe, Jitter, JsonField, Mirror,
    Outlier, Overload, Policies, Pool, Probe, Protection, Queue, RateKey, RateLimit, Retry, Secret,
};

/// A file with the pools `a`, `b` and `c`, and a route to `a` that has `rest` as well.
fn route(rest: &str) -> String {
    let pools = ["a", "b", "c"].map(|name| format!("{name}: {{ endpoints: ['h:1'] }}")).join(", ");
    format!(
        "listeners: [{{ name: web, bind: ':8080' }}]\npools: {{ {pools} }}\nroutes: [{{ name: r, match: {{ path: /x }}, pool: a, {rest} }}, {{ name: o, split: [{{ pool: b }}, {{ pool: c }}] }}]\n"
    )
}

fn policies(rest: &str) -> Policies {
    loaded(&route(rest)).snapshot.routes[0].policies.clone()
}

#[test]
fn every_policy_of_a_route_arrives_in_the_model() {
    let text = route(
        "timeouts: { queue: 7s },
        retry: { max_attempts: 4, on: [timeout, server_error, retriable_4xx, timeout], non_idempotent: true, backoff: decorrelated,
          base_delay: 50ms, max_delay: 2s, jitter: equal, budget: { ratio: 10%, min_per_second: 3 }, body_buffer: 2MiB },
        hedge: { after: p99, max_extra: 2% },
        priority: -5,
        rate_limit: { requests: 100, per: 1m, burst: 20, key: 'header:x-user', name: users },
        failover: { pools: [c, b], overprovisioning: 2 },
        mirror: { pool: b, share: 10%, body_buffer: 1KiB }",
    );
    let route = loaded(&text).snapshot.routes[0].clone();
    assert_eq!(route.timeouts.queue, Some(Duration::from_secs(7)));
    let expected = Policies {
        retry: Some(Retry {
            max_attempts: 4,
            on: vec![Condition::Timeout, Condition::ServerError, Condition::Retriable4xx],
            non_idempotent: true,
            backoff: Backoff::Decorrelated,
            base_delay: Duration::from_millis(50),
            max_delay: Duration::from_secs(2),
            jitter: Jitter::Equal,
            budget: Budget { ratio: 0.1, min_per_second: 3 },
            body_buffer: 2 << 20,
        }),
        hedge: Some(Hedge { after: HedgeDelay::Quantile(0.99), max_extra: 0.02 }),
        bulkhead: None,
        priority: -5,
        rate_limits: vec![RateLimit {
            name: "users".parse().unwrap(),
            requests: 100,
            per: Duration::from_secs(60),
            burst: 20,
            key: RateKey::Header("x-user".parse().unwrap()),
        }],
        failover: Some(Failover { pools: vec!["c".parse().unwrap(), "b".parse().unwrap()], overprovisioning: 2.0 }),
        mirror: Some(Mirror { pool: "b".parse().unwrap(), share: 0.1, body_buffer: 1024 }),
    };
    assert_eq!(route.policies, expected);
}

#[test]
fn a_route_that_says_nothing_retries_and_has_no_other_policy() {
    let snapshot = loaded("listeners: [{ name: w, bind: ':1', pool: a }]\nroutes: [{ name: r, match: { path: /x }, pool: a, timeouts: { total: 1s } }]\npools: { a: { endpoints: ['h:1'] } }").snapshot;
    let expected = Policies { retry: Some(Retry::default()), ..Policies::default() };
    assert_eq!(snapshot.routes.iter().map(|route| &route.policies).collect::<Vec<_>>(), [&expected, &expected]);
    assert_eq!(snapshot.routes[0].timeouts.queue, None);
    assert_eq!(policies("retry: {}, priority: 0"), expected);
}

#[test]
fn what_is_left_out_of_a_policy_has_its_default() {
    let policies = policies("hedge: { after: 200ms }, rate_limit: { requests: 9 }, failover: [b], mirror: { pool: b }");
    assert_eq!(policies.hedge, Some(Hedge { after: HedgeDelay::Fixed(Duration::from_millis(200)), max_extra: 0.05 }));
    let limit =
        RateLimit { name: "default".parse().unwrap(), requests: 9, per: Duration::from_secs(1), burst: 9, key: RateKey::Route };
    assert_eq!(policies.rate_limits, [limit]);
    assert_eq!(policies.failover, Some(Failover { pools: vec!["b".parse().unwrap()], overprovisioning: 1.4 }));
    assert_eq!(policies.mirror, Some(Mirror { pool: "b".parse().unwrap(), share: 1.0, body_buffer: 65_536 }));
}

#[test]
fn none_off_and_false_switch_things_off_wherever_that_is_possible() {
    for word in ["none", "off", "false", "'off'"] {
        let policies = policies(&format!("timeouts: {{ idle: {word} }}, retry: {word}, hedge: {word}"));
        assert_eq!((policies.retry, policies.hedge), (None, None), "{word}");
    }
    refused(&route("retry: no"), "routes[0].retry", "expected a mapping with the keys max_attempts");
    refused(&route("retry: true"), "routes[0].retry", "expected a mapping");
    refused(&route("timeouts: { queue: none }"), "timeouts.queue", "expected a duration");
}

#[test]
fn retries_are_sane() {
    refused(&route("retry: { max_attempts: 11 }"), "retry.max_attempts", "from 1 to 10");
    refused(&route("retry: { on: [conect_failure] }"), "retry.on[0]", "did you mean \"connect_failure\"?");
    refused(&route("retry: { backoff: exponentiel }"), "retry.backoff", "did you mean \"exponential\"?");
    refused(&route("retry: { base_delay: 2s, max_delay: 1s }"), "retry.base_delay", "longer than `max_delay`");
    refused(&route("retry: { body_buffer: 65MiB }"), "retry.body_buffer", "from 0 to 64MiB");
    refused(&route("retry: { budget: { ratio: 120% } }"), "retry.budget.ratio", "from 0 to 1");
    refused(&route("hedge: {}"), "routes[0].hedge", "`after` is missing");
    refused(&route("hedge: { after: p5 }"), "hedge.after", "from `p50` to `p99.9`");
    warned(&route("retry: { max_attempts: 1, jitter: none }"), "has no effect: the only attempt");
    assert!(warnings(&route("retry: { max_attempts: 1 }")).is_empty());
    let delays = |rest: &str| policies(&format!("retry: {{ {rest} }}")).retry.map(|retry| (retry.base_delay, retry.max_delay));
    assert_eq!(delays("base_delay: 10s"), Some((Duration::from_secs(10), Duration::from_secs(10))));
    assert_eq!(delays("max_delay: 50ms"), Some((Duration::from_millis(50), Duration::from_millis(50))));
}

#[test]
fn timeouts_that_the_total_overtakes_are_warnings() {
    warned(&route("timeouts: { total: 5s, queue: 5s }"), "timeouts.queue: has no effect: `total` is not longer");
    warned(&route("timeouts: { total: 5s, attempt: 5s }"), "timeouts.attempt: has no effect");
    assert!(warnings(&route("timeouts: { total: 5s, attempt: 4s, queue: 4s }")).is_empty());
}

#[test]
fn rate_limits_of_a_route_have_names_of_their_own() {
    let limits = policies(
        "rate_limit: [{ requests: 5 }, { requests: 1, key: client_address }, { requests: 2, key: 'header:x*y' }, { requests: 3, name: z }]",
    );
    let names: Vec<_> = limits.rate_limits.iter().map(|limit| limit.name.as_str()).collect();
    assert_eq!(names, ["route", "client_address", "header:x-y", "z"]);
    refused(&route("rate_limit: [{ requests: 5 }, { requests: 50, per: 1m }]"), "rate_limit[1]", "give each a `name`");
    refused(
        &route("rate_limit: [{ requests: 5, name: z }, { requests: 1, name: z }]"),
        "rate_limit[1].name",
        "a rate limit \"z\" is there already, in line 3",
    );
    let long = format!("header:{}", "x".repeat(250));
    refused(
        &route(&format!("rate_limit: [{{ requests: 5, key: '{long}' }}, {{ requests: 1 }}]")),
        "rate_limit[0]",
        "too long to serve as `name`",
    );
    refused(&route("rate_limit: { requests: 5, burst: 0 }"), "rate_limit.burst", "from 1 to 1000000000");
    refused(&route("rate_limit: { per: 1s }"), "rate_limit", "`requests` is missing");
    refused(&route("rate_limit: { requests: 1, key: client_adress }"), "rate_limit.key", "did you mean \"client_address\"?");
    assert_eq!(errors(&route("rate_limit: [{ requests: 0 }, { requests: 1, pre: 1s }]")).len(), 2);
    assert!(policies("rate_limit: []").rate_limits.is_empty());
}

#[test]
fn failover_names_other_pools_each_once() {
    refused(&route("failover: [b, a]"), "failover[1]", "sends to the pool \"a\" already");
    refused(&route("failover: { pools: [b, c, b] }"), "failover.pools[2]", "the pool \"b\" is there already");
    refused(&route("failover: [bb]"), "failover[0]", "there is no pool \"bb\"; did you mean \"b\"?");
    refused(&route("mirror: { pool: d }"), "mirror.pool", "there is no pool \"d\"");
    refused(&route("failover: []"), "failover", "names no pool");
    refused(&route("failover: { pools: [] }"), "failover", "names no pool");
    refused(&route("failover: { overprovisioning: 2 }"), "failover", "`pools` is missing");
    refused(&route("failover: ['!']"), "failover[0]", "a name is made of");
    refused(&route("failover: { pools: ['!'] }"), "failover.pools[0]", "a name is made of");
    refused(&route("failover: { pools: [b], overprovisioning: 0.5 }"), "overprovisioning", "from 1 to 100");
    let names: Vec<_> = (0..9).map(|index| format!("p{index}")).collect();
    let pools = names.iter().map(|name| format!("{name}: {{ endpoints: ['h:1'] }}")).collect::<Vec<_>>().join(", ");
    let with = |count: usize| {
        let tiers = names[1..=count].join(", ");
        let rest = names[count + 1..].iter().map(|name| format!(", {{ name: {name}, match: {{ path: /{name} }}, pool: {name} }}"));
        let rest: String = rest.collect();
        format!(
            "listeners: [{{ name: w, bind: ':1' }}]\npools: {{ {pools} }}\nroutes: [{{ name: r, pool: p0, failover: [{tiers}] }}{rest}]"
        )
    };
    assert!(warnings(&with(7)).is_empty());
    refused(&with(8), "failover[7]", "at most 7 pools");
}

#[test]
fn a_pool_that_only_takes_over_or_gets_copies_is_used() {
    let with = |rest: &str| {
        format!("{BASE}routes: [{{ name: r, pool: a, {rest} }}]").replace("pools: { a:", "pools: { b: { endpoints: ['h:1'] }, a:")
    };
    warned(&with("priority: 1"), "no route uses the pool \"b\"");
    assert!(warnings(&with("failover: [b]")).is_empty());
    assert!(warnings(&with("mirror: { pool: b }")).is_empty());
}

#[test]
fn policies_of_a_route_that_sends_nothing_are_warnings() {
    for (key, policy) in [
        ("retry", "retry: off"),
        ("hedge", "hedge: { after: p95 }"),
        ("priority", "priority: 1"),
        ("rate_limit", "rate_limit: { requests: 1 }"),
        ("failover", "failover: [a]"),
        ("mirror", "mirror: { pool: a }"),
    ] {
        let text = format!("{BASE}routes: [{{ name: r, respond: {{}}, {policy} }}]");
        warned(&text, &format!("routes[0].{key}: has no effect: the route sends nothing to a pool"));
    }
    assert!(read_text(&route("priority: 101")).is_err());
}

/// A file with one pool that has `rest` beside its endpoint.
fn pool(rest: &str) -> String {
    format!("listeners: [{{ name: w, bind: ':1', pool: a }}]\npools: {{ a: {{ endpoints: ['h:1'], {rest} }} }}\n")
}

fn compiled(rest: &str) -> Pool {
    Pool::clone(&loaded(&pool(rest)).snapshot.pools["a"])
}

fn health(rest: &str) -> Health {
    compiled(&format!("health: {{ {rest} }}")).protection.health.unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn every_protection_of_a_pool_arrives_in_the_model() {
    let pool = compiled(
        "max_connections: 3,
        circuit_breaker: { failure_threshold: 2, success_rate: 80%, window: 20s, min_attempts: 7, recovery_timeout: 4s,
          max_recovery_timeout: 9s, success_threshold: 1, statuses: [502-504, 429, 503] },
        outlier: { interval: 2s, consecutive_failures: 4, success_rate: { deviations: 2.5, endpoints: 6, attempts: 50 },
          latency: { factor: 4, endpoints: 5, attempts: 30 }, base_ejection: 6s, max_ejection: 8s, max_ejected: 25% },
        health: { http: { path: '/ready?full', method: POST, host: 'agent:80', headers: { x-probe: 1 }, expect: [200, 300-302], body: ok,
          json: { pointer: /status, equals: true } }, interval: 11s, unhealthy_interval: 3s, timeout: 2s, healthy_threshold: 4,
          unhealthy_threshold: 5, degraded_above: 1s, heal: { after: 1m, cooldown: 2m, webhook: 'https://ops/heal', token: t0ken } },
        queue: { capacity: 12, timeout: 13s }",
    );
    assert_eq!(pool.max_connections, Some(3));
    let expected = Protection {
        circuit_breaker: Some(Breaker {
            failure_threshold: 2,
            success_rate: 0.8,
            window: 20 * SECOND,
            min_attempts: 7,
            recovery_timeout: 4 * SECOND,
            max_recovery_timeout: 9 * SECOND,
            success_threshold: 1,
            statuses: vec![429, 502, 503, 504],
        }),
        outlier: Some(Outlier {
            interval: 2 * SECOND,
            consecutive_failures: 4,
            success_rate_deviations: 2.5,
            success_rate_endpoints: 6,
            success_rate_attempts: 50,
            latency_factor: 4.0,
            latency_endpoints: 5,
            latency_attempts: 30,
            base_ejection: 6 * SECOND,
            max_ejection: 8 * SECOND,
            max_ejected: 0.25,
        }),
        health: Some(Health {
            probe: Probe::Http(HttpProbe {
                method: http::Method::POST,
                path: "/ready?full".to_owned(),
                host: Some("agent:80".to_owned()),
                headers: vec![("x-probe".parse().unwrap(), "1".parse().unwrap())],
                expect: vec![(200, 200), (300, 302)],
                body: Some("ok".to_owned()),
                json: Some(JsonField { pointer: "/status".to_owned(), equals: "true".to_owned() }),
            }),
            interval: 11 * SECOND,
            unhealthy_interval: 3 * SECOND,
            timeout: 2 * SECOND,
            healthy_threshold: 4,
            unhealthy_threshold: 5,
            degraded_above: Some(SECOND),
            heal: Some(Heal {
                after: 60 * SECOND,
                cooldown: 120 * SECOND,
                restart: false,
                webhook: Some("https://ops/heal".to_owned()),
                token: Some(Secret::new("t0ken".to_owned())),
            }),
        }),
        queue: Some(Queue { capacity: 12, timeout: 13 * SECOND }),
    };
    assert_eq!(pool.protection, expected);
}

#[test]
fn a_pool_that_says_nothing_has_breakers_and_no_other_protection() {
    let expected = Protection { circuit_breaker: Some(Breaker::default()), ..Protection::default() };
    let pool = compiled("");
    assert_eq!((pool.max_connections, &pool.protection), (None, &expected));
    assert_eq!(compiled("circuit_breaker: {}, outlier: off, health: none, queue: off").protection, expected);
    assert_eq!(compiled("circuit_breaker: off").protection, Protection::default());
}

#[test]
fn what_is_left_out_of_a_protection_has_its_default() {
    let protection = compiled("outlier: {}, queue: {}").protection;
    assert_eq!(protection.outlier, Some(Outlier::default()));
    assert_eq!(protection.queue, Some(Queue::default()));
    let http = HttpProbe {
        method: http::Method::GET,
        path: "/health".to_owned(),
        host: None,
        headers: Vec::new(),
        expect: vec![(200, 299)],
        body: None,
        json: None,
    };
    let expected = Health {
        probe: Probe::Http(http),
        interval: 30 * SECOND,
        unhealthy_interval: 5 * SECOND,
        timeout: 5 * SECOND,
        healthy_threshold: 2,
        unhealthy_threshold: 3,
        degraded_above: None,
        heal: None,
    };
    assert_eq!(health("http: {}"), expected);
    assert_eq!(health("tcp: {}").probe, Probe::Tcp);
    assert_eq!(health("grpc: {}").probe, Probe::Grpc { service: String::new() });
    assert_eq!(health("grpc: { service: a.B }").probe, Probe::Grpc { service: "a.B".to_owned() });
    let heal = health("tcp: {}, heal: { webhook: 'http://ops' }").heal.unwrap();
    assert_eq!((heal.after, heal.cooldown, heal.token), (300 * SECOND, 600 * SECOND, None));
    assert_eq!(health("tcp: {}, interval: 2s").unhealthy_interval, 2 * SECOND);
}

#[test]
fn parts_of_a_protection_can_be_switched_off() {
    let protection = compiled(
        "circuit_breaker: { success_rate: off, statuses: [] }, outlier: { consecutive_failures: off, success_rate: off, latency: none }",
    )
    .protection;
    let breaker = protection.circuit_breaker.unwrap();
    assert_eq!((breaker.success_rate, breaker.statuses), (0.0, Vec::new()));
    let outlier = protection.outlier.unwrap();
    assert_eq!((outlier.consecutive_failures, outlier.success_rate_deviations, outlier.latency_factor), (0, 0.0, 0.0));
    let health = health("tcp: {}, degraded_above: none, heal: off");
    assert_eq!((health.degraded_above, health.heal), (None, None));
}

#[test]
fn requests_wait_for_slots_wherever_there_are_any() {
    let queue = |rest: &str| compiled(rest).protection.queue;
    assert_eq!(queue("max_connections: 1"), Some(Queue::default()));
    let slots = "listeners: [{ name: w, bind: ':1', pool: a }]\npools: { a: { endpoints: ['h:1', { address: 'h:2', max_connections: 1 }] } }";
    assert_eq!(loaded(slots).snapshot.pools["a"].protection.queue, Some(Queue::default()));
    assert_eq!(queue("max_connections: 1, queue: off"), None);
    assert_eq!(queue("queue: 7"), Some(Queue { capacity: 7, timeout: 30 * SECOND }));
    refused(&pool("queue: many"), "queue", "expected a whole number from 0 to 1000000");
    refused(&pool("max_connections: 0"), "max_connections", "from 1 to 1000000");
}

#[test]
fn breakers_and_ejections_are_sane() {
    let breaker = |rest: &str| pool(&format!("circuit_breaker: {{ {rest} }}"));
    refused(&breaker("recovery_timeout: 2m, max_recovery_timeout: 1m"), "recovery_timeout", "longer than `max_recovery_timeout`");
    refused(&breaker("failure_threshold: 0"), "failure_threshold", "from 1 to 1000000");
    refused(&breaker("statuses: [500, 600]"), "statuses[1]", "from 100 to 599");
    refused(&breaker("success_rate: 101%"), "success_rate", "from 0 to 1");
    refused(&breaker("recovery_time: 1s"), "recovery_time", "did you mean `recovery_timeout`?");
    let outlier = |rest: &str| pool(&format!("outlier: {{ {rest} }}"));
    refused(&outlier("base_ejection: 2m, max_ejection: 1m"), "base_ejection", "longer than `max_ejection`");
    refused(&outlier("success_rate: { deviations: 0 }"), "success_rate.deviations", "from 0.1 to 10");
    refused(&outlier("latency: { endpoints: 1 }"), "latency.endpoints", "from 2 to 10000");
    let ejection = |rest: &str| compiled(&format!("outlier: {{ {rest} }}")).protection.outlier.unwrap();
    assert_eq!(ejection("base_ejection: 10m").max_ejection, 600 * SECOND);
    let open = |rest: &str| compiled(&format!("circuit_breaker: {{ {rest} }}")).protection.circuit_breaker.unwrap();
    assert_eq!(open("max_recovery_timeout: 10s").recovery_timeout, 10 * SECOND);
}

#[test]
fn a_health_check_asks_exactly_one_thing() {
    let with = |rest: &str| pool(&format!("health: {{ {rest} }}"));
    refused(&with(""), "pools.a.health", "asks nothing: one of `http`, `tcp`, `grpc`");
    refused(&with("interval: 5s, tcp:"), "pools.a.health", "asks nothing");
    refused(&with("http: {}, tcp: {}"), "pools.a.health", "only one of `http`, `tcp`");
    refused(&with("http: { path: health }"), "http.path", "begins with `/`");
    refused(&with("tcp: { port: 5 }"), "health.tcp.port", "it has no keys");
    refused(&with("tcp: true"), "health.tcp", "expected `{}`, found \"true\"");
    refused(&with("grpc: { servise: a }"), "grpc.servise", "did you mean `service`?");
}

#[test]
fn health_checks_are_sane() {
    let with = |rest: &str| pool(&format!("health: {{ tcp: {{}}, {rest} }}"));
    refused(&with("degraded_above: 5s"), "degraded_above", "failed already: `timeout` is 5s");
    refused(&with("degraded_above: 2s, timeout: 1s"), "degraded_above", "`timeout` is 1s");
    refused(&with("degraded_above: 20s, timeout: 30"), "health.timeout", "a unit is missing");
    refused(&with("timeout: 0s"), "health.timeout", "longer than 0");
    refused(&with("healthy_threshold: 0"), "healthy_threshold", "from 1 to 100");
    refused(&with("unhealthy_threshold: 101"), "unhealthy_threshold", "from 1 to 100");
    refused(&with("heal: {}"), "health.heal", "does nothing: `restart: true` or a `webhook` is needed");
    refused(&with("heal: { webhook: ops/heal }"), "heal.webhook", "an address such as");
    assert_eq!(health("tcp: {}, degraded_above: 4999ms").degraded_above, Some(Duration::from_millis(4999)));
    let http = |rest: &str| pool(&format!("health: {{ http: {{ {rest} }} }}"));
    refused(&http("expect: [299-200]"), "http.expect[0]", "begins with its lower end");
    refused(&http("expect: [20x]"), "http.expect[0]", "from 100 to 599");
    refused(&http("expect: []"), "http.expect", "no answer is good");
    refused(&http("headers: { 'a b': c }"), "http.headers", "not the name of a header field");
    refused(&http("headers: { Host: c }"), "http.headers.Host", "write `host: ..`");
    refused(&http("headers: { te: trailers }"), "http.headers.te", "belongs to one connection");
    refused(&http("method: HEAD, body: ok"), "http.body", "HEAD has no body");
    refused(&http("method: HEAD, json: { pointer: /a, equals: b }"), "http.json", "HEAD has no body");
    refused(&http("json: { pointer: status, equals: ok }"), "json.pointer", "did you mean \"/status\"?");
    refused(&http("json: { pointer: /status }"), "http.json", "`equals` is missing");
}

/// A file with these bulkheads, and a route that needs the one called `llm`.
fn bulkheads(bulkheads: &str) -> String {
    format!("{BASE}routes: [{{ name: r, pool: a, bulkhead: llm }}]\nbulkheads: {{ {bulkheads} }}\n")
}

#[test]
fn bulkheads_arrive_in_the_model() {
    let bulkhead = |rest: &str| {
        let snapshot = loaded(&bulkheads(&format!("llm: {{ max_concurrent: 50, {rest} }}"))).snapshot;
        assert_eq!(snapshot.routes[0].policies.bulkhead, Some("llm".parse().unwrap()));
        Bulkhead::clone(&snapshot.bulkheads["llm"])
    };
    let expected = |capacity, timeout| Bulkhead {
        name: "llm".parse().unwrap(),
        max_concurrent: 50,
        queue: Queue { capacity, timeout: timeout * SECOND },
    };
    assert_eq!(bulkhead(""), expected(0, 30));
    assert_eq!(bulkhead("queue: off"), expected(0, 30));
    assert_eq!(bulkhead("queue: 200"), expected(200, 30));
    assert_eq!(bulkhead("queue: { capacity: 7, timeout: 9s }"), expected(7, 9));
}

#[test]
fn bulkheads_are_there_and_used() {
    refused(&bulkheads("lmm: { max_concurrent: 1 }"), "routes[0].bulkhead", "no bulkhead \"llm\"; did you mean \"lmm\"?");
    refused(&bulkheads("llm: { queue: 5 }"), "bulkheads.llm", "`max_concurrent` is missing");
    refused(&bulkheads("llm: { max_concurrent: 0 }"), "bulkheads.llm.max_concurrent", "from 1 to 1000000");
    refused(&bulkheads("llm: { max_concurrent: 1, queue: -1 }"), "bulkheads.llm.queue", "from 0 to 1000000");
    warned(&bulkheads("llm: { max_concurrent: 1 }, x: { max_concurrent: 1 }"), "no route uses the bulkhead \"x\"");
    assert!(warnings(&bulkheads("llm: { max_concurrent: 1 }")).is_empty());
    let idle =
        format!("{BASE}routes: [{{ name: r, respond: {{}}, bulkhead: llm }}]\nbulkheads: {{ llm: {{ max_concurrent: 1 }} }}");
    warned(&idle, "routes[0].bulkhead: has no effect");
}

#[test]
fn limits_of_the_process_arrive_in_the_model() {
    let overload = |rest: &str| loaded(&format!("{BASE}overload: {{ {rest} }}")).snapshot.overload;
    assert_eq!(overload(""), Overload::default());
    assert_eq!(overload("max_requests: none, max_memory: off"), Overload::default());
    let expected = Overload { max_requests: Some(500), max_memory: Some(2 << 30), reserve: 0.1, replay_memory: 1 << 20 };
    assert_eq!(overload("max_requests: 500, max_memory: 2GiB, reserve: 10%, replay_memory: 1MiB"), expected);
    refused(&format!("{BASE}overload: {{ max_memory: 1MiB }}"), "overload.max_memory", "from 16MiB");
    refused(&format!("{BASE}overload: {{ max_requests: 0 }}"), "overload.max_requests", "from 1 to 10000000");
    refused(&format!("{BASE}overload: {{ reserve: 2 }}"), "overload.reserve", "from 0 to 1");
}
