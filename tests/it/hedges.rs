//! A second attempt beside a slow one: whoever answers first is heard, and the other one is told to stop.

use std::time::Duration;

use http::Response;

use crate::agent::body_in_hand;
use crate::lab::{Endpoint, Http1, Lab, full, request};
use crate::stage::{Stage, answer, config, get, post, send, until_metric};
use crate::wire::Canned;

/// A proxy that hedges after `after`.
async fn hedging(stage: &Stage, after: &str, more: &str) -> Lab {
    let route = format!("{{ name: all, pool: agents, hedge: {{ after: {after}, max_extra: 100% }}{more} }}");
    Lab::start(&config(&route, &format!("agents: {{ endpoints: {} }}", stage.list()))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_answer_counts_and_the_other_attempt_is_cancelled() {
    for winner in [0, 1] {
        let mut stage = Stage::start(&["a", "b", "c"]).await;
        let lab = hedging(&stage, "20ms", "").await;
        let client = send(&lab, "/");
        let mut both = vec![stage.next().await, stage.next().await];
        assert_ne!(both[0].endpoint, both[1].endpoint, "the second goes elsewhere");
        let won = both.remove(winner);
        let name = won.endpoint;
        won.answer(200);
        let answer = answer(client).await;
        assert_eq!((answer.status(), answer.field("x-name"), answer.field("x-tidegate-attempts")), (200, name, "2"));
        both.remove(0).cancelled().await;
        assert!(stage.is_quiet(&lab).await, "there is no third");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_quantile_nothing_is_hedged_before_it_is_measured_and_what_is_slow_is_afterwards() {
    let mut stage = Stage::start(&["a", "b"]).await;
    let lab = hedging(&stage, "p95", "").await;
    let early = send(&lab, "/early");
    let held = stage.next().await;
    let mut hedges_early = 0;
    let mut measured = 0;
    let delay = loop {
        let hedging = get_page(&lab).await["hedging"].clone();
        if let Some(delay) = hedging["delay_seconds"].as_f64() {
            break delay;
        }
        assert_eq!(hedging["samples"], measured, "{hedging}");
        // What is shown may be a tenth of a second old.
        assert!(measured < 5000, "{hedging}");
        let mut client = send(&lab, "/quick");
        let quick = loop {
            tokio::select! {
                asked = stage.recv() => {
                    hedges_early += usize::from(asked.path() == "/early");
                    asked.answer(200);
                }
                answer = &mut client => break answer.unwrap(),
            }
        };
        assert_eq!(quick.status(), 200);
        measured += 1;
    };
    assert!(measured >= 100 && delay > 0.0 && delay < 5.0, "{measured} {delay}");
    let slow = send(&lab, "/slow");
    let mut both = Vec::new();
    while both.len() < 2 {
        let asked = stage.next().await;
        if asked.path() == "/slow" {
            both.push(asked);
        }
    }
    assert_ne!(both[0].endpoint, both[1].endpoint, "the second goes elsewhere");
    both.pop().unwrap().answer(200);
    let slow = answer(slow).await;
    assert_eq!((slow.status(), slow.field("x-tidegate-attempts")), (200, "2"));
    both.pop().unwrap().cancelled().await;
    held.answer(200);
    let early = answer(early).await;
    assert_eq!((early.status(), early.field("x-tidegate-attempts"), hedges_early), (200, "", 0));
}

async fn get_page(lab: &Lab) -> serde_json::Value {
    crate::lab::get(lab.admin(), "/api/v1/routes/all").await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_attempt_that_fails_leaves_the_first_to_answer() {
    let mut stage = Stage::start(&["a"]).await;
    let closing = Canned::start("").await;
    let pools = format!(
        "agents: {{ strategy: weighted_round_robin, endpoints: \
         [{{ id: a, address: \"{}\", weight: 1000 }}, {{ id: b, address: \"{}\", weight: 0.01 }}] }}",
        stage.address("a"),
        closing.address
    );
    let route = "{ name: all, pool: agents, retry: off, hedge: { after: 20ms, max_extra: 100% } }";
    let lab = Lab::start(&config(route, &pools)).await;
    let client = send(&lab, "/");
    let first = stage.next().await;
    until_metric(&lab, "tidegate_attempts_total{pool=\"agents\",endpoint=\"b\",outcome=\"failed\"}", 1).await;
    first.answer(200);
    let answer = answer(client).await;
    assert_eq!((answer.status(), answer.field("x-name"), answer.field("x-tidegate-attempts")), (200, "a", "2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_streams_is_not_hedged_any_more() {
    let mut stage = Stage::start(&["a", "b"]).await;
    let lab = hedging(&stage, "50ms", "").await;
    let client = send(&lab, "/streams");
    let (say, body) = body_in_hand();
    stage.next().await.respond(Response::new(body));
    say.send("begun").unwrap();
    // A request that came later is hedged, so the first one would have been long ago.
    let other = send(&lab, "/other");
    let (one, two) = (stage.next().await, stage.next().await);
    assert_eq!((one.path(), two.path()), ("/other", "/other"));
    one.answer(200);
    assert_eq!(answer(other).await.status(), 200);
    drop(say);
    let answer = answer(client).await;
    assert_eq!((&*answer.text, answer.field("x-tidegate-attempts")), ("begun", ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_idempotent_requests_are_hedged() {
    let mut stage = Stage::start(&["a", "b"]).await;
    let lab = hedging(&stage, "20ms", "").await;
    let slow = post(&lab, "/post", &[], "hello");
    let held = stage.next().await;
    assert_eq!(held.path(), "/post");
    // A request that came later is hedged, so this one would have been long ago.
    let other = send(&lab, "/get");
    let (one, two) = (stage.next().await, stage.next().await);
    assert_eq!((one.path(), two.path()), ("/get", "/get"));
    two.answer(200);
    assert_eq!(answer(other).await.status(), 200);
    held.answer(200);
    let answer = answer(slow).await;
    assert_eq!((answer.status(), answer.field("x-tidegate-attempts")), (200, ""));
    assert!(stage.is_quiet(&lab).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_is_hedged_with_its_whole_body() {
    let mut stage = Stage::start(&["a", "b"]).await;
    let lab = hedging(&stage, "20ms", "").await;
    let put = crate::client::request_with(http::Method::PUT, "/", &[], "hello");
    let client = crate::stage::send_it(&lab, put);
    let (one, two) = (stage.next().await, stage.next().await);
    assert_eq!((&*one.body, &*two.body), ("hello", "hello"));
    two.answer(200);
    assert_eq!(answer(client).await.status(), 200);
    one.cancelled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_ends_both_attempts() {
    let mut stage = Stage::start(&["a", "b"]).await;
    let lab = hedging(&stage, "20ms", "").await;
    let client = send(&lab, "/");
    let (one, two) = (stage.next().await, stage.next().await);
    client.abort();
    one.cancelled().await;
    two.cancelled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extra_attempts_are_no_more_than_the_route_allows() {
    let slow = |_| async {
        // The time is the subject: every answer is slower than the hedge's delay.
        tokio::time::sleep(Duration::from_millis(30)).await;
        Response::new(full("slow"))
    };
    let [a, b] = [Endpoint::start(slow).await, Endpoint::start(slow).await];
    let listed = crate::stage::list([("a", a.address), ("b", b.address)]);
    let route = "{ name: all, pool: agents, retry: off, hedge: { after: 1ms, max_extra: 10% } }";
    let lab = Lab::start(&config(route, &format!("agents: {{ endpoints: {listed} }}"))).await;
    let address = lab.address();
    let client = || {
        tokio::spawn(async move {
            let (mut client, mut tries) = (Http1::connect(address).await, 0);
            for _ in 0..10 {
                let answer = client.ask(request("/")).await;
                assert_eq!(answer.status(), 200);
                tries += if answer.field("x-tidegate-attempts") == "2" { 2 } else { 1 };
            }
            tries
        })
    };
    let clients: Vec<_> = (0..10).map(|_| client()).collect();
    let mut tries = 0;
    for client in clients {
        tries += crate::lab::soon(client).await.unwrap();
    }
    assert!((101..=110).contains(&tries), "{tries} attempts of 100 requests");
    assert_eq!(get(&lab, "/").await.status(), 200);
}
