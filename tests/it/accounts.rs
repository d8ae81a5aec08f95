//! What is counted of attempts, what of an answer is heeded, and what a refused client is told.

use std::time::{Duration, SystemTime};

use http::Response;

use crate::agent::body_in_hand;
use crate::client::admin;
use crate::lab::{Lab, full};
use crate::stage::{Stage, answer, config, get, refused, retry_after, send, signed, until_metric, until_running};

async fn retrying(stage: &Stage, retry: &str, keys: &str) -> Lab {
    let route = format!("{{ name: all, pool: agents, retry: {{ base_delay: 1ms, jitter: none{retry} }} }}");
    Lab::start(&config(&route, &format!("agents: {{ endpoints: {}{keys} }}", stage.list()))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_good_answer_has_recovered_a_request() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = retrying(&stage, "", ", circuit_breaker: off").await;
    for (last, recovered) in [(500, 0), (200, 1), (404, 2)] {
        let client = send(&lab, "/");
        stage.next().await.answer(503);
        stage.next().await.answer(last);
        assert_eq!(answer(client).await.status(), last);
        until_metric(&lab, "tidegate_retries_recovered_total{route=\"all\"}", recovered).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_attempts_of_a_hedge_and_its_retries_are_all_counted() {
    let mut stage = Stage::start(&["a", "b", "c"]).await;
    let route = "{ name: all, pool: agents, retry: { base_delay: 1ms, jitter: none }, hedge: { after: 20ms, max_extra: 100% } }";
    let lab = Lab::start(&config(route, &format!("agents: {{ endpoints: {}, circuit_breaker: off }}", stage.list()))).await;
    let client = send(&lab, "/");
    let first = stage.next().await;
    // The hedge fails twice, and its third attempt is still under way when the first one is answered.
    stage.next().await.answer(503);
    stage.next().await.answer(503);
    let third = stage.next().await;
    first.answer(200);
    let answer = answer(client).await;
    assert_eq!((answer.status(), answer.field("x-tidegate-attempts")), (200, "4"));
    third.cancelled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_answers_are_no_measure_for_hedges() {
    let mut stage = Stage::start(&["a"]).await;
    let route = "{ name: all, pool: agents, retry: off, hedge: { after: p95 } }";
    let lab = Lab::start(&config(route, &format!("agents: {{ endpoints: {}, circuit_breaker: off }}", stage.list()))).await;
    for status in [503, 500, 200, 404, 502] {
        let client = send(&lab, "/");
        stage.next().await.answer(status);
        assert_eq!(answer(client).await.status(), status);
    }
    let page = admin(lab.admin(), http::Method::GET, "/api/v1/routes/all", "").await.json();
    assert_eq!(page["hedging"]["samples"], 2, "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_date_to_come_again_is_heeded() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = retrying(&stage, ", max_delay: 2500ms", "").await;
    let client = send(&lab, "/");
    let asked = stage.next().await;
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
    let begun = std::time::Instant::now();
    asked.respond(Response::builder().status(503).header("retry-after", date).body(full("")).unwrap());
    stage.next().await.answer(200);
    assert!(begun.elapsed() >= Duration::from_millis(2400), "{:?}", begun.elapsed());
    assert_eq!(answer(client).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_queue_the_advice_is_what_was_measured() {
    let mut stage = Stage::start(&["a"]).await;
    let pools = format!("agents: {{ endpoints: {}, max_connections: 1, queue: off }}", stage.list());
    let lab = Lab::start(&config("{ name: all, pool: agents }", &pools)).await;
    let client = send(&lab, "/");
    let asked = stage.next().await;
    // The time is the subject.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    asked.answer(200);
    assert_eq!(answer(client).await.status(), 200);
    let client = send(&lab, "/");
    let asked = stage.next().await;
    let full = get(&lab, "/").await;
    refused(&full, 503, "queue_full");
    assert!((3..=4).contains(&retry_after(&full)), "{full:?}");
    asked.answer(200);
    assert_eq!(answer(client).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_thrown_away_keeps_its_slot_to_the_end() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = retrying(&stage, "", ", max_connections: 1, queue: 5").await;
    let client = send(&lab, "/");
    let asked = stage.next().await;
    let (say, body) = body_in_hand();
    say.send("wait").unwrap();
    asked.respond(Response::builder().status(503).body(body).unwrap());
    until_metric(&lab, "tidegate_queue_queued_total{pool=\"agents\"}", 1).await;
    assert!(stage.is_quiet(&lab).await, "it has one slot");
    drop(say);
    stage.next().await.respond(signed("a", 200));
    assert_eq!(answer(client).await.status(), 200);
    until_running(&lab, "all", 0).await;
}
