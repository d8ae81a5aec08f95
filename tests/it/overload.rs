//! The limits of the whole process on memory.

use serde_json::Value;

use crate::client::request_with;
use crate::lab::{Lab, get, soon};
use crate::stage::{Logged, Stage, answer, config, refused, retry_after, send_it, until_metric, until_running};
use crate::wire::{Bare, Plan};

async fn overload(lab: &Lab) -> Value {
    get(lab.admin(), "/api/v1/overload").await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_too_much_memory_refuses_and_says_when_to_come_back() {
    let mut stage = Stage::start(&["a"]).await;
    let address = stage.address("a");
    // This process has far more than the one, and far less than the other.
    let yaml = |most: &str| format!("{}overload: {{ max_memory: {most} }}\n", Plan::before(address).yaml());
    let low = Lab::start(&yaml("16MiB")).await;
    soon(async { while overload(&low).await["memory_bytes"].as_u64().is_none_or(|bytes| bytes < 16 << 20) {} }).await;
    for _ in 0..3 {
        let answer = get(low.address(), "/").await;
        refused(&answer, 503, "overloaded");
        assert!((1..=10).contains(&retry_after(&answer)), "{answer:?}");
    }
    assert_eq!(stage.crowd("a").total(), 0);

    let high = Lab::start(&yaml("1024GiB")).await;
    soon(async { while overload(&high).await["memory_bytes"].as_u64().is_none_or(|bytes| bytes < 16 << 20) {} }).await;
    let client = crate::stage::send(&high, "/");
    stage.next().await.answer(200);
    assert_eq!(answer(client).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_the_rest_of_the_memory_cannot_keep_is_sent_once() {
    let (mut holder, mut good) = (Stage::start(&["holder"]).await, Stage::start(&["good"]).await);
    let bad = Bare::listen().await;
    let address = bad.address;
    let dying = tokio::spawn(async move {
        loop {
            let mut wire = bad.accept().await;
            wire.head().await;
            wire.skip(40_000).await;
        }
    });
    let pools = format!(
        "holders: {{ endpoints: {} }}, agents: {{ strategy: weighted_round_robin, circuit_breaker: off, endpoints: \
         [{{ id: bad, address: \"{address}\", weight: 1000 }}, {{ id: good, address: \"{}\", weight: 0.01 }}] }}",
        holder.list(),
        good.address("good"),
    );
    let routes = "{ name: hold, match: { path: /hold }, pool: holders }, { name: all, pool: agents, retry: { base_delay: 1ms } }";
    let logged = Logged::start(&format!("{}overload: {{ replay_memory: 64KiB }}\n", config(routes, &pools))).await;
    let body = "x".repeat(40_000);
    let put = |path: &str| send_it(&logged.lab, request_with(http::Method::PUT, path, &[], &body));

    let first = put("/hold");
    let held = holder.next().await;
    let kept = overload(&logged.lab).await["replay_memory_used_bytes"].as_u64().unwrap();
    assert!((40_000..=64 << 10).contains(&kept), "{kept}");
    let second = answer(put("/")).await;
    refused(&second, 502, "reset");
    assert_eq!(good.crowd("good").total(), 0, "what was not kept cannot be sent again");
    held.answer(200);
    assert_eq!(answer(first).await.status(), 200);
    until_running(&logged.lab, "all", 0).await;
    until_metric(&logged.lab, "tidegate_replay_memory_bytes", 0).await;

    let third = put("/");
    let asked = good.next().await;
    assert_eq!(asked.body, body);
    asked.answer(200);
    let third = answer(third).await;
    assert_eq!((third.status(), third.field("x-tidegate-attempts")), (200, "2"));
    let lines = logged.lines().await;
    let skipped: Vec<_> = lines.iter().map(|line| line["retry_skipped"].as_str()).collect();
    assert_eq!(skipped, [Some("replay_memory"), None, None], "{lines:?}");
    dying.abort();
}
