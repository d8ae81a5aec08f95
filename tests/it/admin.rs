//! The admin server of a running proxy: what it shows is true, and what it is told is done.

use std::net::SocketAddr;

use http::Method;
use serde_json::{Value, json};

use crate::client::{admin, admin_with};
use crate::lab::{Endpoint, Http1, Lab, get, request, soon};
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

/// An address where nobody listens any more.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port")
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
    assert_eq!(page["listeners"], json!([{ "name": "public", "address": address, "tls": false, "connections": 1 }]));
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
