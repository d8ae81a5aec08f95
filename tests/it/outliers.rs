//! Endpoints that do worse than their peers, from outside: who is taken out, where it is shown, and that it returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::lab::{Endpoint, Http1, Lab, get, request};
use crate::stage::{config, list, signed, until_metric};

/// Asks on one connection, and returns who answered.
async fn who(lab: &Lab, requests: usize) -> Vec<String> {
    let (mut client, mut names) = (Http1::connect(lab.address()).await, Vec::new());
    for _ in 0..requests {
        names.push(client.ask(request("/")).await.text);
    }
    names
}

async fn page(lab: &Lab, endpoint: &str) -> Value {
    get(lab.admin(), &format!("/api/v1/pools/agents/endpoints/{endpoint}")).await.json()
}

/// A proxy before an endpoint that answers with `status`, and one that is good; who is taken out returns after `base_ejection`.
async fn pair(status: &Arc<AtomicU16>, base_ejection: &str) -> (Lab, [Endpoint; 2]) {
    let told = status.clone();
    let bad = Endpoint::start(move |_| {
        let status = told.load(SeqCst);
        async move { signed("bad", status) }
    })
    .await;
    let good = Endpoint::start(|_| async { signed("good", 200) }).await;
    let outlier = format!("interval: 50ms, base_ejection: {base_ejection}, success_rate: off, latency: off");
    let pools = format!(
        "agents: {{ strategy: round_robin, circuit_breaker: off, outlier: {{ {outlier} }}, endpoints: {} }}",
        list([("bad", bad.address), ("good", good.address)])
    );
    (Lab::start(&config("{ name: all, pool: agents, retry: off }", &pools)).await, [bad, good])
}

fn bad(names: &[String]) -> usize {
    names.iter().filter(|name| *name == "bad").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_five_times_in_a_row_is_taken_out() {
    let (lab, _endpoints) = pair(&Arc::new(AtomicU16::new(503)), "5m").await;
    // Four are not enough, however often the pool is looked at.
    assert_eq!(bad(&who(&lab, 8).await), 4);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(200) {
        assert_eq!(page(&lab, "bad").await["causes"], json!([]));
    }
    assert_eq!(bad(&who(&lab, 2).await), 1);
    until_metric(&lab, "tidegate_endpoints_ejected{pool=\"agents\"}", 1).await;
    let shown = page(&lab, "bad").await;
    assert_eq!(shown["causes"], json!(["ejected"]), "{shown}");
    assert_eq!((&shown["ejection"]["ejected"], &shown["ejection"]["times_ejected"]), (&json!(true), &json!(1)), "{shown}");
    assert!(shown["ejection"]["reason"].as_str().is_some_and(|reason| reason.contains('5')), "{shown}");
    assert_eq!(get(lab.admin(), "/api/v1/pools/agents").await.json()["ejected"], 1);
    until_metric(&lab, "tidegate_ejections_total{pool=\"agents\"}", 1).await;
    assert_eq!(bad(&who(&lab, 20).await), 0, "who is out gets nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_was_taken_out_returns_and_gets_its_share() {
    let status = Arc::new(AtomicU16::new(503));
    let (lab, _endpoints) = pair(&status, "300ms").await;
    assert_eq!(bad(&who(&lab, 10).await), 5);
    status.store(200, SeqCst);
    until_metric(&lab, "tidegate_ejections_total{pool=\"agents\"}", 1).await;
    until_metric(&lab, "tidegate_endpoints_ejected{pool=\"agents\"}", 0).await;
    assert_eq!(bad(&who(&lab, 20).await), 10);
    assert_eq!(page(&lab, "bad").await["causes"], json!([]));
}
