//! The admin server of a running proxy: what it shows is true, and what it is told is done.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::{Method, Response};
use serde_json::{Value, json};

use crate::client::{admin, admin_with};
use crate::lab::{Answer, Endpoint, Http1, Lab, full, get, request, soon};
use crate::wire::{self, Bare, Plan, Wire, nobody};
use crate::written::Written;

/// One worker, so that a rotation is exact.
fn config(strategy: &str, endpoints: &[(&str, SocketAddr)]) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|(id, address)| format!("{{ id: {id}, address: \"{address}\" }}")).collect();
    format!(
        "workers: 1\n\
         listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}]\n\
         pools: {{ agents: {{ strategy: {strategy}, endpoints: [{}] }} }}\n",
        endpoints.join(", ")
    )
}

/// Sends requests one after the other and counts those that `name` answered.
async fn answered(lab: &Lab, name: &str, requests: usize) -> usize {
    let mut client = Http1::connect(lab.address()).await;
    let mut count = 0;
    for _ in 0..requests {
        count += usize::from(client.ask(request("/")).await.text == name);
    }
    count
}

async fn endpoint(lab: &Lab, id: &str) -> Value {
    get(lab.admin(), &format!("/api/v1/pools/agents/endpoints/{id}")).await.json()
}

/// Returns an endpoint once it has made so many attempts and none runs: figures follow the last byte, and may be a moment late.
async fn rested(lab: &Lab, id: &str, attempts: u64) -> Value {
    soon(async {
        loop {
            let page = endpoint(lab, id).await;
            if page["attempts"] == attempts && page["in_flight"] == 0 {
                return page;
            }
        }
    })
    .await
}

async fn tell(lab: &Lab, method: Method, page: &str, body: &str) -> Value {
    let answer = admin(lab.admin(), method, &format!("/api/v1/pools/agents/endpoints/{page}"), body).await;
    assert_eq!(answer.status(), 200, "{}", answer.text);
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_page_shows_the_whole_in_short() {
    let a = Endpoint::named("a").await;
    let lab = Lab::start(&config("round_robin", &[("a", a.address), ("b", a.address)])).await;
    tell(&lab, Method::POST, "b/drain", "").await;
    let mut client = Http1::connect(lab.address()).await;
    client.ask(request("/")).await;
    let page = get(lab.admin(), "/api/v1/status").await.json();
    assert_eq!(page["version"], env!("CARGO_PKG_VERSION"));
    assert!(page["uptime_seconds"].as_f64().is_some_and(|uptime| uptime > 0.0), "{page}");
    assert_eq!(page["readiness"], json!({ "ready": true, "reasons": [] }));
    assert_eq!(["generation", "workers", "worker_restarts", "connections"].map(|name| page[name].as_u64()), [1, 1, 0, 1].map(Some));
    let address = lab.address().to_string();
    let guards = ["header", "no_request", "keep_alive", "write", "stream_write", "flood", "ping"];
    let cuts: BTreeMap<_, _> = guards.into_iter().map(|guard| (guard, 0)).collect();
    assert_eq!(
        page["listeners"],
        json!([{
            "name": "public", "address": address, "tls": false, "connections": 1, "max_connections": 20_000, "waiting": 0, "cut_total": cuts,
        }])
    );
    assert_eq!(page["pools"][0]["name"], "agents");
    assert_eq!(["endpoints", "available"].map(|name| page["pools"][0][name].as_u64()), [2, 1].map(Some));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pools_page_shows_every_endpoint() {
    let a = Endpoint::named("a").await;
    let lab = Lab::start(&config("least_response_time", &[("a", a.address), ("b", a.address)])).await;
    let pools = get(lab.admin(), "/api/v1/pools").await.json();
    let pool = get(lab.admin(), "/api/v1/pools/agents").await.json();
    assert_eq!(pools, json!([pool]));
    assert_eq!((&pool["strategy"], &pool["available"]), (&json!("least_response_time"), &json!(2)));
    let ids: Vec<_> = pool["endpoints"].as_array().into_iter().flatten().map(|endpoint| &endpoint["id"]).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(pool["endpoints"][0], endpoint(&lab, "a").await);
    assert_eq!(pool["endpoints"][0]["address"], a.address.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_figures_of_an_endpoint_follow_its_traffic() {
    let a = Endpoint::named("a").await;
    let yaml = config("round_robin", &[("a", a.address), ("gone", nobody())]);
    // One attempt for each request, whatever becomes of it.
    let yaml = yaml.replace("0, pool: agents }]", "0 }]\nroutes: [{ name: all, pool: agents, retry: off }]");
    let lab = Lab::start(&yaml.replace("{ agents: {", "{ agents: { circuit_breaker: off,")).await;
    let fresh = endpoint(&lab, "a").await;
    assert_eq!((&fresh["success_rate"], &fresh["response_time"]["p50"]), (&Value::Null, &Value::Null));

    assert_eq!(answered(&lab, "a", 20).await, 10);
    let good = rested(&lab, "a", 10).await;
    assert_eq!(["completed", "failed", "aborted"].map(|name| good[name].as_u64()), [10, 0, 0].map(Some));
    assert_eq!(good["success_rate"], 1.0);
    for kind in ["response_time", "first_byte"] {
        let quantiles =
            ["p50", "p95", "p99"].map(|name| good[kind][name].as_f64().unwrap_or_else(|| panic!("{kind} {name}: {good}")));
        assert!(quantiles[0] > 0.0 && quantiles.is_sorted() && quantiles[2] < 20.0, "{kind}: {quantiles:?}");
        assert!(good[kind]["mean"].as_f64().is_some_and(|mean| mean > 0.0), "{good}");
    }
    assert!(good["load_score"].as_f64().is_some_and(|score| score > 0.0), "{good}");

    let bad = rested(&lab, "gone", 10).await;
    assert_eq!(["completed", "failed", "aborted"].map(|name| bad[name].as_u64()), [0, 10, 0].map(Some));
    assert_eq!((&bad["success_rate"], &bad["first_byte"]["p50"]), (&json!(0.0), &Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_endpoint_gets_no_traffic_until_it_is_undrained() {
    let (a, b) = (Endpoint::named("a").await, Endpoint::named("b").await);
    let lab = Lab::start(&config("round_robin", &[("a", a.address), ("b", b.address)])).await;
    assert_eq!(answered(&lab, "a", 10).await, 5);

    let drained = tell(&lab, Method::POST, "a/drain", "").await;
    assert_eq!((&drained["state"], &drained["causes"]), (&json!("unavailable"), &json!(["admin"])));
    assert_eq!(answered(&lab, "b", 10).await, 10);
    assert!(lab.metrics().await.contains("tidegate_endpoint_available{pool=\"agents\",endpoint=\"a\"} 0"));

    tell(&lab, Method::POST, "b/drain", "").await;
    let refused = get(lab.address(), "/").await;
    assert_eq!((refused.status(), &refused.json()["reason"]), (503, &json!("no_available_endpoint")));

    for id in ["a", "b"] {
        let back = tell(&lab, Method::POST, &format!("{id}/undrain"), "").await;
        assert_eq!((&back["state"], &back["causes"]), (&json!("available"), &json!([])));
    }
    assert_eq!(answered(&lab, "a", 10).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_weight_that_is_set_changes_the_shares_until_it_is_taken_away() {
    let (a, b) = (Endpoint::named("a").await, Endpoint::named("b").await);
    let lab = Lab::start(&config("weighted_round_robin", &[("a", a.address), ("b", b.address)])).await;
    assert_eq!(answered(&lab, "a", 8).await, 4);

    let heavy = tell(&lab, Method::PATCH, "a", r#"{"weight": 3}"#).await;
    assert_eq!((&heavy["weight"], &heavy["effective_weight"]), (&json!(1.0), &json!(3.0)));
    assert_eq!(answered(&lab, "a", 8).await, 6);

    tell(&lab, Method::PATCH, "a", r#"{"weight": 0}"#).await;
    assert_eq!(answered(&lab, "a", 8).await, 0);

    assert_eq!(tell(&lab, Method::PATCH, "a", r#"{"weight": null}"#).await["effective_weight"], 1.0);
    assert_eq!(answered(&lab, "a", 8).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_effective_config_hides_the_token_and_writes_durations_as_a_file_does() {
    let a = Endpoint::named("a").await;
    let yaml = config("round_robin", &[("a", a.address)]);
    let lab = Lab::start(&format!("{yaml}drain: {{ delay: 1.5s }}\nadmin: {{ bind: 127.0.0.1:0, token: s3cret }}\n")).await;
    let answer = get(lab.admin(), "/api/v1/config").await;
    assert!(!answer.text.contains("s3cret"), "{}", answer.text);
    let effective = &answer.json()["effective"];
    assert_eq!(effective["admin"]["token"], "***");
    assert_eq!(effective["drain"], json!({ "delay": "1500ms", "timeout": "30s" }));
    assert_eq!(effective["listeners"][0]["timeouts"]["header"], "10s");
    assert_eq!(effective["pools"]["agents"]["upstream"]["connect_timeout"], "3s");
    let timeouts = &effective["routes"][0]["timeouts"];
    assert_eq!(*timeouts, json!({ "total": null, "queue": null, "attempt": null, "first_byte": "120s", "idle": "300s" }));

    let page = "/api/v1/pools/agents/endpoints/a/drain";
    assert_eq!(admin(lab.admin(), Method::POST, page, "").await.status(), 401);
    let shown = [("authorization", "Bearer s3cret")];
    assert_eq!(admin_with(lab.admin(), Method::POST, page, &shown, "").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_foreign_host_reads_no_config() {
    let a = Endpoint::named("a").await;
    let lab = Lab::start(&config("round_robin", &[("a", a.address)])).await;
    let foreign = [("host", "evil.example")];
    let answer = admin_with(lab.admin(), Method::GET, "/api/v1/config", &foreign, "").await;
    assert_eq!((answer.status(), answer.field("content-type")), (403, "application/problem+json"));
    assert_eq!(admin_with(lab.admin(), Method::GET, "/readyz", &foreign, "").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_over_the_api_is_done_or_explained() {
    let a = Endpoint::named("a").await;
    let yaml = config("round_robin", &[("a", a.address)]);
    let written = Written::start(&yaml).await;
    let lab = &written.lab;
    written.write(&yaml.replace("round_robin", "round_robbin"));
    let refused = admin(lab.admin(), Method::POST, "/api/v1/config/reload", "").await;
    assert_eq!((refused.status(), refused.field("content-type")), (422, "application/problem+json"));
    let problems = refused.json()["problems"].to_string();
    assert!(problems.contains("tidegate.yaml:3:") && problems.contains("round_robbin"), "{problems}");
    let page = get(lab.admin(), "/api/v1/config").await.json();
    assert!(page["last_error"]["problems"].to_string().contains("round_robbin"), "{page}");
    assert!(page["last_error"]["at"].is_string(), "{page}");
    assert_eq!(page["effective"]["pools"]["agents"]["strategy"], "round_robin");
    assert!(lab.metrics().await.contains("tidegate_config_reloads_total{result=\"invalid\"} 1"));

    written.write(&yaml.replace("round_robin", "least_connections"));
    let done = admin(lab.admin(), Method::POST, "/api/v1/config/reload", "").await;
    assert_eq!((done.status(), &done.json()["pools"]["changed"]), (200, &json!(["agents"])));
    let page = get(lab.admin(), "/api/v1/config").await.json();
    assert_eq!(
        (&page["last_error"], &page["effective"]["pools"]["agents"]["strategy"]),
        (&Value::Null, &json!("least_connections"))
    );
}

const FAULT: &str = "/api/v1/routes/all/fault";

/// Switches a fault on and returns what its route's page says.
async fn put_fault(lab: &Lab, order: &str) -> Value {
    let answer = admin(lab.admin(), Method::PUT, FAULT, order).await;
    assert_eq!(answer.status(), 200, "{}", answer.text);
    answer.json()
}

/// Reads a page until it says what it should, for figures follow the last byte and may be a moment late.
async fn until(lab: &Lab, page: &str, is_so: impl Fn(&Answer) -> bool) -> Answer {
    soon(async {
        loop {
            let answer = get(lab.admin(), page).await;
            if is_so(&answer) {
                return answer;
            }
        }
    })
    .await
}

/// Reads a page until a place of it has a value.
async fn shows(lab: &Lab, page: &str, pointer: &str, expected: impl Into<Value>) -> Value {
    let expected = expected.into();
    until(lab, page, |answer| answer.json().pointer(pointer) == Some(&expected)).await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_aborts_requests_and_ends_by_itself() {
    let a = Endpoint::named("a").await;
    let lab = wire::lab(a.address).await;
    let on = put_fault(&lab, r#"{"abort": 529, "for": "2s"}"#).await;
    assert_eq!((&on["fault"]["share"], &on["fault"]["abort"]), (&json!(1.0), &json!(529)));
    assert!(on["fault"]["remaining_seconds"].as_f64().is_some_and(|left| left > 0.0 && left <= 2.0), "{on}");
    let aborted = get(lab.address(), "/").await;
    assert_eq!((aborted.status(), &aborted.json()["reason"]), (529, &json!("fault_injected")));
    soon(async { while get(lab.address(), "/").await.text != "a" {} }).await;
    let off = get(lab.admin(), "/api/v1/routes/all").await.json();
    assert_eq!(off["fault"], Value::Null);
    let injected = off["faults_injected_total"].as_u64().unwrap();
    assert!(lab.metrics().await.contains(&format!("tidegate_faults_injected_total{{route=\"all\"}} {injected}\n")));
    assert!(injected >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_delays_resets_and_slows_until_it_is_deleted() {
    let a = Endpoint::start(|_| async { Response::new(full("x".repeat(100))) }).await;
    let lab = wire::lab(a.address).await;
    let timed = async || {
        let begun = Instant::now();
        (get(lab.address(), "/").await.text.len(), begun.elapsed())
    };
    for order in [r#"{"delay": "300ms", "for": "1h"}"#, r#"{"slow_body": 250, "for": "1h"}"#] {
        put_fault(&lab, order).await;
        let (length, time) = timed().await;
        assert!(length == 100 && time >= Duration::from_millis(300), "{order}: {length} in {time:?}");
    }
    put_fault(&lab, r#"{"reset": true, "for": "1h"}"#).await;
    assert!(Http1::connect(lab.address()).await.send(request("/")).await.is_err());
    assert!(lab.metrics().await.contains("tidegate_fault_active{route=\"all\"} 1\n"));

    let off = admin(lab.admin(), Method::DELETE, FAULT, "").await.json();
    assert_eq!((&off["fault"], &off["faults_injected_total"]), (&Value::Null, &json!(3)));
    assert_eq!(timed().await.0, 100);
    assert!(lab.metrics().await.contains("tidegate_fault_active{route=\"all\"} 0\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_needs_the_token_a_known_route_and_one_that_sends() {
    let yaml = "listeners: [{ name: public, bind: 127.0.0.1:0 }]\nroutes: [{ name: here, respond: {} }]\n";
    let lab = Lab::start(&format!("{yaml}admin: {{ bind: 127.0.0.1:0, token: s3cret }}\n")).await;
    let order = r#"{"abort": 503, "for": "1s"}"#;
    let shown = [("authorization", "Bearer s3cret")];
    for (route, fields, status) in [("here", &[][..], 401), ("here", &shown, 409), ("gone", &shown, 404)] {
        let answer = admin_with(lab.admin(), Method::PUT, &format!("/api/v1/routes/{route}/fault"), fields, order).await;
        assert_eq!((answer.status(), answer.field("content-type")), (status, "application/problem+json"), "{route}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breaker_that_has_opened_is_shown_with_its_reason_and_closed_by_hand() {
    let lab = Plan::before(nobody()).route("retry: off").start().await;
    for _ in 0..5 {
        assert_eq!(get(lab.address(), "/").await.status(), 502);
    }
    let pool = shows(&lab, "/api/v1/pools/agents", "/endpoints/0/breaker/state", "open").await;
    let page = &pool["endpoints"][0];
    assert_eq!((&page["state"], &page["causes"]), (&json!("unavailable"), &json!(["breaker"])));
    let breaker = &page["breaker"];
    assert!(breaker["open_for_seconds"].as_f64().is_some_and(|left| left > 0.0 && left <= 60.0), "{breaker}");
    let change = &breaker["transitions"][0];
    assert_eq!((&change["from"], &change["to"]), (&json!("closed"), &json!("open")));
    assert_eq!(change["reason"], "5 consecutive failures, the last: connection_refused");
    let refused = get(lab.address(), "/").await;
    assert_eq!((refused.status(), &refused.json()["reason"]), (503, &json!("breaker_open")));
    let metrics = lab.metrics().await;
    for line in [
        "tidegate_breaker_state{pool=\"agents\",endpoint=\"a\"} 2",
        "tidegate_breaker_opened_total{pool=\"agents\",endpoint=\"a\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}");
    }

    let closed = tell(&lab, Method::POST, "a/breaker/close", "").await;
    assert_eq!((&closed["state"], &closed["breaker"]["state"]), (&json!("available"), &json!("closed")));
    assert_eq!(closed["breaker"]["transitions"][1]["reason"], "closed by an operator");
    assert_eq!(get(lab.address(), "/").await.json()["reason"], "connection_refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_seen_in_the_metrics_and_on_the_pages() {
    let endpoint = Bare::listen().await;
    let plan = Plan::before(endpoint.address).pool("max_connections: 1, queue: { capacity: 1 }").route("bulkhead: all");
    let lab =
        Lab::start(&format!("{}bulkheads: {{ all: {{ max_concurrent: 9 }} }}\noverload: {{ max_requests: 9 }}\n", plan.yaml()))
            .await;
    let (mut first, mut second) = (Wire::connect(lab.address()).await, Wire::connect(lab.address()).await);
    let asked = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    first.send(asked).await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    second.send(asked).await;
    let pool = shows(&lab, "/api/v1/pools/agents", "/queue/waiting", 1).await;
    assert_eq!((&pool["queue"]["capacity"], &pool["queue"]["timeout"]), (&json!(1), &json!("30s")));
    assert_eq!(pool["endpoints"][0]["max_connections"], 1);
    let refused = get(lab.address(), "/").await;
    assert_eq!((refused.status(), &refused.json()["reason"]), (503, &json!("queue_full")));

    let bulkhead = shows(&lab, "/api/v1/bulkheads/all", "/active", 2).await;
    assert_eq!((&bulkhead["routes"], &bulkhead["failed_total"]), (&json!(["all"]), &json!(1)));
    shows(&lab, "/api/v1/overload", "/running", 2).await;
    let full = lab.metrics().await;
    for line in [
        "tidegate_queue_waiting{pool=\"agents\"} 1",
        "tidegate_queue_capacity{pool=\"agents\"} 1",
        "tidegate_queue_queued_total{pool=\"agents\"} 1",
        "tidegate_queue_rejected_total{pool=\"agents\"} 1",
        "tidegate_endpoint_slots{pool=\"agents\",endpoint=\"a\"} 1",
        "tidegate_bulkhead_active{bulkhead=\"all\"} 2",
        "tidegate_bulkhead_admitted_total{bulkhead=\"all\"} 3",
        "tidegate_bulkhead_requests_total{bulkhead=\"all\",outcome=\"failed\"} 1",
        "tidegate_overload_requests 2",
    ] {
        assert!(full.contains(&format!("\n{line}\n")), "{line}: {full}");
    }

    for client in [&mut first, &mut second] {
        inside.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    }
    let done = "\ntidegate_bulkhead_requests_total{bulkhead=\"all\",outcome=\"completed\"} 2\n";
    let empty = until(&lab, "/metrics", |page| page.text.contains(done)).await.text;
    for line in ["tidegate_queue_waiting{pool=\"agents\"} 0", "tidegate_queue_granted_total{pool=\"agents\"} 1"] {
        assert!(empty.contains(&format!("\n{line}\n")), "{line}: {empty}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_and_copies_are_counted_for_their_route() {
    let (a, shadow) = (Endpoint::named("a").await, Endpoint::named("shadow").await);
    let lab = Lab::start(&format!(
        "workers: 1\n\
         listeners: [{{ name: public, bind: 127.0.0.1:0 }}]\n\
         routes: [{{ name: all, pool: agents, retry: {{ base_delay: 1ms }}, mirror: {{ pool: shadow }} }}]\n\
         pools:\n\
         \x20 agents: {{ strategy: round_robin, endpoints: [{{ id: gone, address: \"{}\" }}, {{ id: a, address: \"{}\" }}] }}\n\
         \x20 shadow: {{ endpoints: [\"{}\"] }}\n",
        nobody(),
        a.address,
        shadow.address
    ))
    .await;
    assert_eq!(answered(&lab, "a", 4).await, 4);
    let page = shows(&lab, "/api/v1/routes/all", "/mirroring/sent_total", 4).await;
    let retries = &page["retries"];
    let total = retries["retries_total"].as_u64().unwrap();
    assert!((1..=4).contains(&total), "{page}");
    assert_eq!((&retries["recovered_total"], &retries["budget"]["spent_total"]), (&json!(total), &json!(total)));
    assert_eq!((&page["pools"], &page["policies"]["retry"]["base_delay"]), (&json!(["agents"]), &json!("1ms")));
    let metrics = lab.metrics().await;
    for line in [
        format!("tidegate_retries_total{{route=\"all\"}} {total}"),
        format!("tidegate_retries_recovered_total{{route=\"all\"}} {total}"),
        "tidegate_retries_skipped_total{route=\"all\",reason=\"budget_exhausted\"} 0".to_owned(),
        "tidegate_mirrored_total{route=\"all\",result=\"sent\"} 4".to_owned(),
    ] {
        assert!(metrics.contains(&format!("\n{line}\n")), "{line}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_checks_of_an_endpoint_are_shown_as_many_as_are_asked_for() {
    let lab = Plan::before(nobody()).pool("health: { tcp: {}, interval: 10ms, unhealthy_threshold: 1 }").start().await;
    let page = "/api/v1/pools/agents/endpoints/a";
    let all =
        until(&lab, page, |answer| answer.json()["health"]["checks"].as_array().is_some_and(|all| all.len() > 2)).await.json();
    assert_eq!((&all["health"]["state"], &all["causes"]), (&json!("unhealthy"), &json!(["down"])));
    let check = &all["health"]["checks"][0];
    assert_eq!((&check["result"], &check["message"]), (&json!("bad"), &json!("connection refused")));
    for (asked, shown) in [("0", 0), ("2", 2)] {
        let some = get(lab.admin(), &format!("{page}?checks={asked}")).await.json();
        assert_eq!(some["health"]["checks"].as_array().map(Vec::len), Some(shown), "{asked}");
    }
    let pool = get(lab.admin(), "/api/v1/pools/agents?checks=1").await.json();
    assert_eq!(pool["health"], json!({ "healthy": 0, "degraded": 0, "unhealthy": 1, "unknown": 0 }));
    assert_eq!(pool["endpoints"][0]["health"]["checks"].as_array().map(Vec::len), Some(1));
    assert!(lab.metrics().await.contains("tidegate_endpoint_health{pool=\"agents\",endpoint=\"a\"} 0\n"));
}
