//! Bulkheads and neighbours: what fills up on one route is not felt on another.

use crate::agent::body_in_hand;
use crate::lab::{Lab, request};
use crate::stage::{Stage, answer, config, get, refused, retry_after, send, until_running};

/// Routes `/a` through a bulkhead and `/b` past it, to one pool.
async fn contained(stage: &Stage, bulkhead: &str) -> Lab {
    let routes = "{ name: a, match: { path: /a }, pool: agents, bulkhead: narrow }, { name: b, match: { path: /b }, pool: agents }";
    let yaml = config(routes, &format!("agents: {{ endpoints: {} }}", stage.list()));
    Lab::start(&format!("{yaml}bulkheads: {{ narrow: {{ {bulkhead} }} }}\n")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_bulkhead_refuses_its_own_and_delays_nobody_else() {
    let mut stage = Stage::start(&["x"]).await;
    let lab = contained(&stage, "max_concurrent: 2").await;
    let clients = [send(&lab, "/a/1"), send(&lab, "/a/2")];
    let held = [stage.next().await, stage.next().await];
    for _ in 0..3 {
        let full = get(&lab, "/a/3").await;
        refused(&full, 503, "bulkhead_full");
        assert!(retry_after(&full) >= 1, "{full:?}");
        let other = send(&lab, "/b");
        stage.next().await.answer(200);
        assert_eq!(answer(other).await.status(), 200);
    }
    held.into_iter().for_each(|asked| asked.answer(200));
    for client in clients {
        assert_eq!(answer(client).await.status(), 200);
    }
    let after = send(&lab, "/a/4");
    stage.next().await.answer(200);
    assert_eq!(answer(after).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_at_a_bulkhead_come_in_order_and_those_who_leave_make_room() {
    let mut stage = Stage::start(&["x"]).await;
    let lab = contained(&stage, "max_concurrent: 1, queue: 2").await;
    let first = send(&lab, "/a/1");
    let held = stage.next().await;
    let leaving = send(&lab, "/a/leaving");
    until_running(&lab, "a", 2).await;
    let second = send(&lab, "/a/2");
    until_running(&lab, "a", 3).await;
    refused(&get(&lab, "/a/full").await, 503, "bulkhead_full");
    leaving.abort();
    until_running(&lab, "a", 2).await;
    let third = send(&lab, "/a/3");
    until_running(&lab, "a", 3).await;
    assert!(stage.is_quiet(&lab).await);
    held.answer(200);
    for path in ["/a/2", "/a/3"] {
        let next = stage.next().await;
        assert_eq!((next.path(), stage.crowd("x").now()), (path, 1));
        next.answer(200);
    }
    for client in [first, second, third] {
        assert_eq!(answer(client).await.status(), 200);
    }
    assert_eq!(stage.crowd("x").most(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_at_a_bulkhead_is_told_so() {
    let mut stage = Stage::start(&["x"]).await;
    let lab = contained(&stage, "max_concurrent: 1, queue: { capacity: 1, timeout: 50ms }").await;
    let first = send(&lab, "/a");
    let held = stage.next().await;
    for _ in 0..2 {
        let late = get(&lab, "/a").await;
        refused(&late, 503, "bulkhead_timeout");
        assert!(retry_after(&late) >= 1, "{late:?}");
    }
    held.answer(200);
    assert_eq!(answer(first).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulkhead_is_held_to_the_last_byte_and_given_back_by_who_leaves() {
    let mut stage = Stage::start(&["x"]).await;
    let lab = contained(&stage, "max_concurrent: 1").await;
    let streaming = send(&lab, "/a");
    let (say, body) = body_in_hand();
    stage.next().await.respond(http::Response::new(body));
    say.send("begun").unwrap();
    refused(&get(&lab, "/a").await, 503, "bulkhead_full");
    drop(say);
    assert_eq!(answer(streaming).await.text, "begun");
    until_running(&lab, "a", 0).await;
    let leaving = send(&lab, "/a");
    let held = stage.next().await;
    leaving.abort();
    held.cancelled().await;
    until_running(&lab, "a", 0).await;
    let last = send(&lab, "/a");
    stage.next().await.answer(200);
    assert_eq!(answer(last).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_that_name_one_bulkhead_share_it_and_the_more_important_goes_first() {
    let mut stage = Stage::start(&["x"]).await;
    let routes = "{ name: low, match: { path: /low }, pool: agents, bulkhead: narrow, priority: -1 }, \
                  { name: high, match: { path: /high }, pool: agents, bulkhead: narrow, priority: 1 }";
    let yaml = config(routes, &format!("agents: {{ endpoints: {} }}", stage.list()));
    let lab = Lab::start(&format!("{yaml}bulkheads: {{ narrow: {{ max_concurrent: 1, queue: 5 }} }}\n")).await;
    let mut clients = vec![send(&lab, "/low/1")];
    let held = stage.next().await;
    clients.push(send(&lab, "/low/2"));
    until_running(&lab, "low", 2).await;
    clients.push(send(&lab, "/high"));
    until_running(&lab, "high", 1).await;
    held.answer(200);
    for path in ["/high", "/low/2"] {
        let next = stage.next().await;
        assert_eq!(next.path(), path);
        next.answer(200);
    }
    for client in clients {
        assert_eq!(answer(client).await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_noisy_neighbour_is_limited_alone() {
    let mut stage = Stage::start(&["x"]).await;
    let routes = "{ name: noisy, match: { path: /noisy }, pool: agents, rate_limit: { requests: 2, per: 1h } }, \
                  { name: quiet, match: { path: /quiet }, pool: agents }";
    let lab = Lab::start(&config(routes, &format!("agents: {{ endpoints: {} }}", stage.list()))).await;
    for _ in 0..2 {
        let client = send(&lab, "/noisy");
        stage.next().await.answer(200);
        assert_eq!(answer(client).await.status(), 200);
    }
    let mut neighbour = crate::lab::Http1::connect(lab.address()).await;
    for _ in 0..5 {
        refused(&neighbour.ask(request("/noisy")).await, 429, "rate_limited");
        let client = send(&lab, "/quiet");
        let asked = stage.next().await;
        assert_eq!(asked.path(), "/quiet");
        asked.answer(200);
        assert_eq!(answer(client).await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_time_is_over_has_failed_and_one_whose_client_left_was_aborted() {
    let mut stage = Stage::start(&["x"]).await;
    let route = "{ name: a, pool: agents, bulkhead: narrow, retry: off, timeouts: { total: 200ms } }";
    let yaml = config(route, &format!("agents: {{ endpoints: {} }}", stage.list()));
    let lab = Lab::start(&format!("{yaml}bulkheads: {{ narrow: {{ max_concurrent: 1, queue: 5 }} }}\n")).await;
    refused(&get(&lab, "/").await, 504, "total_timeout");
    stage.next().await.cancelled().await;
    let leaving = send(&lab, "/");
    let asked = stage.next().await;
    leaving.abort();
    asked.cancelled().await;
    until_running(&lab, "a", 0).await;
    let report = crate::client::admin(lab.admin(), http::Method::GET, "/api/v1/bulkheads/narrow", "").await.json();
    let counts = ["admitted_total", "completed_total", "failed_total", "aborted_total"].map(|name| report[name].as_u64());
    assert_eq!(counts, [Some(2), Some(0), Some(1), Some(1)], "{report}");
}
