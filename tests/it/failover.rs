//! Pools that take over, and pools that only watch.

use std::collections::BTreeMap;

use crate::agent::body_in_hand;
use crate::health::{How, Patient};
use crate::lab::{Endpoint, Http1, Lab, request, soon};
use crate::stage::{Stage, answer, config, get, list, post, refused, send, until_metric, until_running};
use crate::wire::nobody;

const CHECK: &str = "health: { http: {}, interval: 20ms, unhealthy_interval: 20ms }";

fn available(name: &str) -> String {
    format!("tidegate_endpoint_available{{pool=\"first\",endpoint=\"{name}\"}}")
}

async fn who(lab: &Lab, requests: usize) -> BTreeMap<String, usize> {
    let (mut client, mut counts) = (Http1::connect(lab.address()).await, BTreeMap::new());
    for _ in 0..requests {
        let answer = client.ask(request("/")).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        *counts.entry(answer.text).or_default() += 1;
    }
    counts
}

async fn tiers(a: &Patient, b: &Patient, spare: &Patient) -> Lab {
    let first = list([("a", a.endpoint.address), ("b", b.endpoint.address)]);
    let second = list([("spare", spare.endpoint.address)]);
    let pools = format!("first: {{ endpoints: {first}, {CHECK} }}, second: {{ endpoints: {second}, {CHECK} }}");
    Lab::start(&config("{ name: all, pool: first, failover: [second] }", &pools)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fallback_serves_while_the_first_pool_is_ill_and_by_degrees() {
    let (a, b, spare) = (Patient::start("a").await, Patient::start("b").await, Patient::start("spare").await);
    let lab = tiers(&a, &b, &spare).await;
    assert!(!who(&lab, 100).await.contains_key("spare"));
    a.is(How::Ill);
    until_metric(&lab, &available("a"), 0).await;
    // Half of the pool times 1.4 carries 70%: of 400 requests 120 go on, give or take six deviations.
    let shares = who(&lab, 400).await;
    assert!((65..=175).contains(&shares["spare"]) && !shares.contains_key("a"), "{shares:?}");
    b.is(How::Ill);
    until_metric(&lab, &available("b"), 0).await;
    assert_eq!(who(&lab, 50).await, BTreeMap::from([("spare".to_owned(), 50)]));
    spare.is(How::Ill);
    until_metric(&lab, "tidegate_endpoint_available{pool=\"second\",endpoint=\"spare\"}", 0).await;
    refused(&get(&lab, "/").await, 503, "no_available_endpoint");
    for (name, patient) in [("a", &a), ("b", &b)] {
        patient.is(How::Well);
        until_metric(&lab, &available(name), 1).await;
    }
    assert!(!who(&lab, 100).await.contains_key("spare"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fallback_serves_while_the_breakers_of_the_first_pool_are_open() {
    let mut stage = Stage::start(&["a", "b"]).await;
    let spare = Endpoint::named("spare").await;
    let pools = format!(
        "first: {{ strategy: round_robin, endpoints: {}, circuit_breaker: {{ failure_threshold: 2, recovery_timeout: 100ms }} }}, \
         second: {{ endpoints: [\"{}\"] }}",
        stage.list(),
        spare.address
    );
    let lab = Lab::start(&config("{ name: all, pool: first, failover: [second], retry: off }", &pools)).await;
    // By degrees: with one breaker open already, the fallback has a share.
    let mut failures = 0;
    soon(async {
        while failures < 4 {
            let mut client = send(&lab, "/");
            tokio::select! {
                asked = stage.recv() => {
                    asked.answer(503);
                    assert_eq!(soon(client).await.unwrap().status(), 503);
                    failures += 1;
                }
                answer = &mut client => assert_eq!(answer.unwrap().text, "spare"),
            }
        }
    })
    .await;
    // Every probe fails: the client that brought it hears so, all others are served by the fallback.
    let mut probes = 0;
    let mut served = 0;
    soon(async {
        while probes < 2 || served < 20 {
            let mut client = send(&lab, "/");
            tokio::select! {
                asked = stage.recv() => {
                    asked.answer(503);
                    assert_eq!(soon(client).await.unwrap().status(), 503);
                    probes += 1;
                }
                answer = &mut client => {
                    let answer = answer.unwrap();
                    assert_eq!((answer.status(), &*answer.text), (200, "spare"));
                    served += 1;
                }
            }
        }
    })
    .await;
    // Well again, it takes its traffic back.
    let address = lab.address();
    let clients = tokio::spawn(async move {
        let (mut client, mut in_a_row) = (Http1::connect(address).await, 0);
        while in_a_row < 30 {
            let answer = client.ask(request("/")).await;
            assert_eq!(answer.status(), 200);
            in_a_row = if answer.text == "spare" { 0 } else { in_a_row + 1 };
        }
    });
    let serving = tokio::spawn(async move {
        loop {
            stage.recv().await.answer(200);
        }
    });
    soon(clients).await.unwrap();
    serving.abort();
}

/// A proxy that copies all requests.
async fn mirrored(stage: &Stage, shadow: &str, keys: &str) -> Lab {
    let route = format!("{{ name: all, pool: agents, mirror: {{ pool: shadow{keys} }} }}");
    let pools = format!("agents: {{ endpoints: {} }}, shadow: {{ endpoints: {shadow} }}", stage.list());
    Lab::start(&config(&route, &pools)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_gets_copies_once_the_client_has_its_answer() {
    let (mut stage, mut shadow) = (Stage::start(&["a"]).await, Stage::start(&["shadow"]).await);
    let lab = mirrored(&stage, &shadow.list(), "").await;
    for (method, body) in [("GET", ""), ("POST", "hello")] {
        let client = match method {
            "GET" => send(&lab, "/path?query"),
            _ => post(&lab, "/path?query", &[("x-own", "1")], body),
        };
        let asked = stage.next().await;
        assert!(shadow.is_quiet(&lab).await, "not before the answer");
        asked.answer(200);
        assert_eq!(answer(client).await.text, "a");
        let copy = shadow.next().await;
        assert_eq!((copy.head.method.as_str(), &*copy.body), (method, body));
        assert_eq!(copy.head.uri.to_string(), "/path?query");
        assert_eq!(copy.head.headers.contains_key("x-own"), method == "POST");
        // What it answers is nobody's business.
        copy.answer(500);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_is_not_copied() {
    let (mut stage, mut shadow) = (Stage::start(&["a"]).await, Stage::start(&["shadow"]).await);
    let lab = mirrored(&stage, &shadow.list(), ", body_buffer: 10B").await;
    for (path, body) in [("/large", "x".repeat(11)), ("/small", "x".repeat(10))] {
        let client = post(&lab, path, &[], &body);
        let asked = stage.next().await;
        assert_eq!(asked.body, body);
        asked.answer(200);
        assert_eq!(answer(client).await.status(), 200);
    }
    assert_eq!(shadow.next().await.path(), "/small");
    assert_eq!(shadow.crowd("shadow").total(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_that_is_dead_or_hangs_disturbs_nobody() {
    let hanging = Stage::start(&["shadow"]).await;
    for shadow in [hanging.list(), list([("shadow", nobody())])] {
        let stage = Patient::start("a").await;
        let route = "{ name: all, pool: agents, mirror: { pool: shadow } }";
        let agents = list([("a", stage.endpoint.address)]);
        let pools = format!("agents: {{ endpoints: {agents} }}, shadow: {{ endpoints: {shadow} }}");
        let lab = Lab::start(&config(route, &pools)).await;
        assert_eq!(who(&lab, 200).await, BTreeMap::from([("a".to_owned(), 200)]));
    }
    assert!(hanging.crowd("shadow").total() > 0);
    assert!(hanging.crowd("shadow").most() <= 128, "copies that hang do not gather without end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_streams_to_the_client_whatever_becomes_of_the_copy() {
    let (mut stage, mut shadow) = (Stage::start(&["a"]).await, Stage::start(&["shadow"]).await);
    let lab = mirrored(&stage, &shadow.list(), "").await;
    let client = send(&lab, "/");
    let (say, body) = body_in_hand();
    stage.next().await.respond(http::Response::new(body));
    say.send("one ").unwrap();
    let copy = shadow.next().await;
    copy.answer(503);
    say.send("two").unwrap();
    drop(say);
    assert_eq!(answer(client).await.text, "one two");
    until_running(&lab, "all", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_takes_nothing_from_retries_and_hedges() {
    let (mut stage, mut shadow) = (Stage::start(&["a", "b"]).await, Stage::start(&["shadow"]).await);
    let route = "{ name: all, pool: agents, retry: { base_delay: 1ms }, hedge: { after: 20ms, max_extra: 100% }, \
                 mirror: { pool: shadow, body_buffer: 10B } }";
    let pools = format!("agents: {{ endpoints: {} }}, shadow: {{ endpoints: {} }}", stage.list(), shadow.list());
    let lab = Lab::start(&config(route, &pools)).await;
    for (path, body) in [("/large", "x".repeat(100_000)), ("/small", "x".repeat(10))] {
        let put = crate::client::request_with(http::Method::PUT, path, &[], &body);
        let client = crate::stage::send_it(&lab, put);
        stage.next().await.answer(503);
        let again = stage.next().await;
        assert_eq!(again.body, body);
        again.answer(200);
        assert_eq!(answer(client).await.status(), 200);
    }
    let copy = shadow.next().await;
    assert_eq!((copy.path(), copy.body.len(), shadow.crowd("shadow").total()), ("/small", 10, 1));
}

/// A proxy before two tiers of one slot each, both with a queue.
async fn one_slot_each(first: &Stage, second: &Stage, route: &str, pool: &str) -> Lab {
    let keys = format!("max_connections: 1, queue: 2, circuit_breaker: {{ failure_threshold: 1 }}{pool}");
    let pools = format!("first: {{ endpoints: {}, {keys} }}, second: {{ endpoints: {}, {keys} }}", first.list(), second.list());
    Lab::start(&config(&format!("{{ name: all, pool: first, failover: [second], retry: off{route} }}"), &pools)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_for_a_tier_that_is_gone_move_to_the_next_in_their_order() {
    let (mut first, mut second) = (Stage::start(&["a"]).await, Stage::start(&["b"]).await);
    let lab = one_slot_each(&first, &second, "", "").await;
    let running = send(&lab, "/");
    let held = first.next().await;
    let mut waiting = Vec::new();
    for n in 0..2 {
        waiting.push(send(&lab, &format!("/{n}")));
        until_running(&lab, "all", n + 2).await;
    }
    assert!(second.is_quiet(&lab).await, "a tier that is only full keeps its requests");
    held.answer(500);
    assert_eq!(answer(running).await.status(), 500);
    for n in 0..2 {
        let asked = second.next().await;
        assert_eq!(asked.path(), format!("/{n}"));
        asked.answer(200);
    }
    for client in waiting {
        assert_eq!(answer(client).await.text, "b");
    }
    assert!(first.is_quiet(&lab).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_for_any_tier_follow_the_one_that_comes_back() {
    let (a, spare) = (Patient::start("a").await, Patient::start("spare").await);
    let pool = |address| format!("{{ endpoints: {}, queue: 5, {CHECK} }}", list([("one", address)]));
    let pools = format!("first: {}, second: {}", pool(a.endpoint.address), pool(spare.endpoint.address));
    let lab = Lab::start(&config("{ name: all, pool: first, failover: [second] }", &pools)).await;
    let is_available = |pool| format!("tidegate_endpoint_available{{pool=\"{pool}\",endpoint=\"one\"}}");
    a.is(How::Ill);
    spare.is(How::Ill);
    for pool in ["first", "second"] {
        until_metric(&lab, &is_available(pool), 0).await;
    }
    let waiting: Vec<_> = (0..3).map(|_| send(&lab, "/")).collect();
    until_running(&lab, "all", 3).await;
    spare.is(How::Well);
    for client in waiting {
        assert_eq!(answer(client).await.text, "spare");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_spills_into_the_next_tier_before_anybody_is_refused() {
    let (mut first, mut second) = (Stage::start(&["a"]).await, Stage::start(&["b"]).await);
    let lab = one_slot_each(&first, &second, "", "").await;
    let mut clients = Vec::new();
    let mut come = async |path: &str, running: usize| {
        clients.push(send(&lab, path));
        until_running(&lab, "all", running).await;
    };
    come("/1", 1).await;
    let held = first.next().await;
    come("/2", 2).await;
    come("/3", 3).await;
    come("/spilt", 4).await;
    let spilt = second.next().await;
    assert_eq!(spilt.path(), "/spilt");
    come("/5", 5).await;
    come("/6", 6).await;
    let full = get(&lab, "/full").await;
    refused(&full, 503, "queue_full");
    assert!(crate::stage::retry_after(&full) >= 1, "{full:?}");
    held.answer(200);
    spilt.answer(200);
    for _ in 0..2 {
        first.next().await.answer(200);
        second.next().await.answer(200);
    }
    for client in clients {
        assert_eq!(answer(client).await.status(), 200);
    }
}
