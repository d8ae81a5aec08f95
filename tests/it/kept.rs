//! Reloads while requests wait, rest or are refused: what was learned stays, and nobody is forgotten.

use std::net::TcpListener;

use crate::lab::Endpoint;
use crate::stage::{Client, Stage, answer, config, get, refused, send, signed, until_metric, until_running};
use crate::written::Written;

const ROUTE: &str = "{ name: all, pool: agents, retry: off }";

fn agents(list: &str, keys: &str) -> String {
    config(ROUTE, &format!("agents: {{ endpoints: {list}{keys} }}"))
}

/// Sends one request to be held and further ones that wait.
async fn crowded(written: &Written, held: usize, waiting: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for n in 1..=held + waiting {
        clients.push(send(&written.lab, &format!("/{n}")));
        until_running(&written.lab, "all", n).await;
    }
    clients
}

async fn all_served(clients: Vec<Client>) {
    for client in clients {
        let answer = answer(client).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_go_to_endpoints_and_slots_that_a_reload_brings() {
    let mut stage = Stage::start(&["a", "b"]).await;
    let only_a = crate::stage::list([("a", stage.address("a"))]);
    let written = Written::start(&agents(&only_a, ", max_connections: 1")).await;
    let clients = crowded(&written, 1, 3).await;
    let first = stage.next().await;
    written.reload(&agents(&stage.list(), ", max_connections: 1")).await.unwrap();
    let second = stage.next().await;
    assert_eq!((second.endpoint, second.path()), ("b", "/2"));
    written.reload(&agents(&stage.list(), ", max_connections: 2")).await.unwrap();
    let (third, fourth) = (stage.next().await, stage.next().await);
    let mut paths = [third.path(), fourth.path()];
    paths.sort_unstable();
    assert_eq!(paths, ["/3", "/4"]);
    [first, second, third, fourth].into_iter().for_each(|asked| asked.answer(200));
    all_served(clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_of_an_endpoint_that_has_left_is_not_given_to_those_who_wait() {
    let mut stage = Stage::start(&["a", "b"]).await;
    let [only_a, only_b] = ["a", "b"].map(|name| crate::stage::list([(name, stage.address(name))]));
    let written = Written::start(&agents(&only_a, ", max_connections: 1, queue: 3")).await;
    let clients = crowded(&written, 1, 3).await;
    let old = stage.next().await;
    written.reload(&agents(&only_b, ", max_connections: 1, queue: 3")).await.unwrap();
    let mut next = stage.next().await;
    assert_eq!((next.endpoint, next.path()), ("b", "/2"));
    old.answer(200);
    let metric = "tidegate_request_duration_seconds_count{listener=\"public\",route=\"all\"}";
    until_metric(&written.lab, metric, 1).await;
    for path in ["/3", "/4"] {
        next.answer(200);
        next = stage.next().await;
        assert_eq!((next.endpoint, next.path()), ("b", path), "in order, and to who is there");
    }
    next.answer(200);
    all_served(clients).await;
    assert_eq!((stage.crowd("a").total(), stage.crowd("b").most()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fewer_slots_count_from_the_reload_on() {
    let mut stage = Stage::start(&["a"]).await;
    let written = Written::start(&agents(&stage.list(), ", max_connections: 2")).await;
    let clients = crowded(&written, 2, 2).await;
    let (first, second) = (stage.next().await, stage.next().await);
    written.reload(&agents(&stage.list(), ", max_connections: 1")).await.unwrap();
    first.answer(200);
    until_running(&written.lab, "all", 3).await;
    assert!(stage.is_quiet(&written.lab).await, "one still runs, and one may");
    second.answer(200);
    for path in ["/3", "/4"] {
        let next = stage.next().await;
        assert_eq!((next.path(), stage.crowd("a").now()), (path, 1));
        next.answer(200);
    }
    all_served(clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_in_the_queue_of_a_pool_that_leaves_are_served_in_order() {
    let mut stage = Stage::start(&["a", "b"]).await;
    let [only_a, only_b] = ["a", "b"].map(|name| crate::stage::list([(name, stage.address(name))]));
    let written = Written::start(&agents(&only_a, ", max_connections: 1")).await;
    let clients = crowded(&written, 1, 3).await;
    let mut held = stage.next().await;
    written
        .reload(&config("{ name: all, pool: others, retry: off }", &format!("others: {{ endpoints: {only_b} }}")))
        .await
        .unwrap();
    let new = send(&written.lab, "/new");
    let asked = stage.next().await;
    assert_eq!((asked.endpoint, asked.path()), ("b", "/new"));
    asked.answer(200);
    for path in ["/2", "/3", "/4"] {
        held.answer(200);
        held = stage.next().await;
        assert_eq!((held.endpoint, held.path()), ("a", path));
    }
    held.answer(200);
    all_served(clients).await;
    all_served(vec![new]).await;
    assert_eq!(stage.crowd("a").most(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_for_a_breaker_of_a_pool_that_leaves_get_an_answer() {
    let mut stage = Stage::start(&["a"]).await;
    let route = "{ name: all, pool: agents, retry: off, timeouts: { queue: 2s } }";
    // Shorter than the wait, or nobody would wait for it.
    let breaker = "failure_threshold: 1, recovery_timeout: 1900ms";
    let pool = format!("agents: {{ endpoints: {}, queue: 5, circuit_breaker: {{ {breaker} }} }}", stage.list());
    let written = Written::start(&config(route, &pool)).await;
    let failed = send(&written.lab, "/");
    stage.next().await.answer(500);
    assert_eq!(answer(failed).await.status(), 500);
    let waiting = [send(&written.lab, "/"), send(&written.lab, "/")];
    until_running(&written.lab, "all", 2).await;
    let other = format!("others: {{ endpoints: {} }}", stage.list());
    written.reload(&config("{ name: all, pool: others, retry: off }", &other)).await.unwrap();
    for client in waiting {
        let late = answer(client).await;
        refused(&late, 503, "breaker_open");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_breaker_stays_open_over_reloads_until_it_is_switched_off() {
    let mut stage = Stage::start(&["a"]).await;
    let written = Written::start(&agents(&stage.list(), "")).await;
    for _ in 0..5 {
        let client = send(&written.lab, "/");
        stage.next().await.answer(500);
        assert_eq!(answer(client).await.status(), 500);
    }
    refused(&get(&written.lab, "/").await, 503, "breaker_open");
    for keys in ["", ", strategy: round_robin", ", circuit_breaker: { failure_threshold: 9 }"] {
        written.reload(&agents(&stage.list(), keys)).await.unwrap();
        refused(&get(&written.lab, "/").await, 503, "breaker_open");
    }
    written.reload(&agents(&stage.list(), ", circuit_breaker: off")).await.unwrap();
    let client = send(&written.lab, "/");
    stage.next().await.answer(200);
    assert_eq!(answer(client).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_fails_leaves_breakers_as_they_were() {
    let mut stage = Stage::start(&["a"]).await;
    let written = Written::start(&agents(&stage.list(), "")).await;
    for _ in 0..5 {
        let client = send(&written.lab, "/");
        stage.next().await.answer(500);
        assert_eq!(answer(client).await.status(), 500);
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bad = agents(&stage.list(), ", circuit_breaker: off").replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    written.reload(&bad).await.unwrap_err();
    refused(&get(&written.lab, "/").await, 503, "breaker_open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_tried_again_finds_the_endpoints_of_the_present() {
    let bad = Endpoint::start(|_| async { signed("bad", 503) }).await;
    let good = Endpoint::start(|_| async { signed("good", 200) }).await;
    let pools = |name, address| {
        let list = crate::stage::list([(name, address)]);
        let retry = "retry: { max_attempts: 10, base_delay: 100ms, jitter: none, backoff: fixed }";
        config(
            &format!("{{ name: all, pool: agents, {retry} }}"),
            &format!("agents: {{ endpoints: {list}, circuit_breaker: off }}"),
        )
    };
    let written = Written::start(&pools("bad", bad.address)).await;
    let client = send(&written.lab, "/");
    until_metric(&written.lab, "tidegate_attempt_duration_seconds_count{pool=\"agents\",endpoint=\"bad\"}", 1).await;
    written.reload(&pools("good", good.address)).await.unwrap();
    let answer = answer(client).await;
    assert_eq!((answer.status(), answer.field("x-name")), (200, "good"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulkheads_and_rate_limits_remember_over_reloads() {
    let mut stage = Stage::start(&["a"]).await;
    let with = |slots: u32, requests: u32| {
        let limits = format!("bulkhead: narrow, rate_limit: {{ requests: {requests}, per: 1h }}");
        let yaml =
            config(&format!("{{ name: all, pool: agents, {limits} }}"), &format!("agents: {{ endpoints: {} }}", stage.list()));
        format!("{yaml}bulkheads: {{ narrow: {{ max_concurrent: {slots}, queue: 1 }} }}\n")
    };
    let (small, wide, large) = (with(1, 4), with(2, 4), with(2, 40));
    let written = Written::start(&small).await;
    let clients = crowded(&written, 1, 1).await;
    let first = stage.next().await;
    refused(&get(&written.lab, "/").await, 503, "bulkhead_full");
    written.reload(&wide).await.unwrap();
    let second = stage.next().await;
    assert_eq!(second.path(), "/2", "who waited has the new slot");
    // One more waits: it is the fourth.
    let third = send(&written.lab, "/3");
    until_running(&written.lab, "all", 3).await;
    refused(&get(&written.lab, "/").await, 429, "rate_limited");
    written.reload(&large).await.unwrap();
    refused(&get(&written.lab, "/").await, 503, "bulkhead_full");
    first.answer(200);
    second.answer(200);
    stage.next().await.answer(200);
    all_served(clients).await;
    all_served(vec![third]).await;
}
