//! Whose fault it is when a timer ends an attempt: a slow client's never counts against the endpoint, a stalling endpoint's does.

use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;

use crate::agent::body_in_hand;
use crate::client::admin;
use crate::lab::{Endpoint, Lab, full, soon};
use crate::stage::{get, refused, signed};
use crate::wire::{Bare, Plan, Wire};

/// More than all buffers on the way hold.
const LARGE: usize = 32 * 1024 * 1024;

/// How often a slow client does something.
const DRIP: Duration = Duration::from_millis(10);

const TOTAL: &str = "retry: off, timeouts: { total: 150ms }";
const ATTEMPT: &str = "retry: off, timeouts: { attempt: 150ms }";

/// A proxy whose breaker opens with the second failure in a row.
async fn guarded(endpoint: &Endpoint, route: &str) -> Lab {
    Plan::before(endpoint.address).route(route).pool("circuit_breaker: { failure_threshold: 2 }").start().await
}

/// Reads the whole request before it answers.
async fn reader() -> Endpoint {
    Endpoint::start(|request| async {
        // A body that breaks off is the proxy's business.
        let _ = request.into_body().collect().await;
        signed("a", 200)
    })
    .await
}

/// Sends the body byte by byte until an answer comes, and returns that.
async fn drip(lab: &Lab) -> String {
    let mut wire = Wire::connect(lab.address()).await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n").await;
    loop {
        tokio::select! {
            head = wire.head() => return head + &wire.rest().await.0,
            // The time is the subject.
            () = tokio::time::sleep(DRIP) => { wire.try_send("x").await; }
        }
    }
}

/// Returns what the pool's only endpoint has counted as its failures, and the state of its breaker.
async fn failures(lab: &Lab) -> (u64, String) {
    let page = admin(lab.admin(), http::Method::GET, "/api/v1/pools/agents/endpoints/a", "").await.json();
    let state = page["breaker"]["state"].as_str().expect("a state").to_owned();
    (page["failed"].as_u64().expect("a number"), state)
}

async fn is_blameless(lab: &Lab) {
    assert_eq!(failures(lab).await, (0, "closed".to_owned()));
    assert_eq!(get(lab, "/").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_drips_speaks_against_nobody() {
    for (route, reason) in [(TOTAL, "total_timeout"), (ATTEMPT, "attempt_timeout")] {
        let endpoint = reader().await;
        let lab = guarded(&endpoint, route).await;
        for _ in 0..3 {
            let head = soon(drip(&lab)).await;
            assert!(head.starts_with("HTTP/1.1 504 ") && head.contains(reason), "{head}");
        }
        is_blameless(&lab).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_slowly_speaks_against_nobody() {
    let endpoint = Endpoint::start(|request| async move {
        Response::new(full(if request.uri().path() == "/large" { vec![b'x'; LARGE] } else { Vec::new() }))
    })
    .await;
    let lab = guarded(&endpoint, "retry: off, timeouts: { attempt: 1s }").await;
    let all = Duration::from_secs(3);
    let read = async |pause| {
        let mut wire = Wire::connect(lab.address()).await;
        wire.send("GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let head = wire.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < all {
            tokio::time::sleep(pause).await;
            wire.skip(1000).await;
        }
        assert!(wire.rest().await.0.len() < LARGE - 100_000, "it should be cut");
    };
    tokio::join!(read(all), read(all), read(DRIP), read(DRIP));
    is_blameless(&lab).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_stalls_is_to_blame_by_the_same_timers() {
    for route in [TOTAL, ATTEMPT] {
        let endpoint = Endpoint::start(|_| std::future::pending()).await;
        let lab = guarded(&endpoint, route).await;
        for _ in 0..2 {
            assert_eq!(get(&lab, "/").await.status(), 504);
        }
        refused(&get(&lab, "/").await, 503, "breaker_open");
        assert_eq!(failures(&lab).await, (2, "open".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_takes_no_upload_is_to_blame_by_the_same_timers() {
    // Longer than it takes to fill all buffers.
    for timer in ["total", "attempt"] {
        let route = format!("retry: off, timeouts: {{ {timer}: 2s }}");
        let endpoint = Bare::listen().await;
        let lab = Plan::before(endpoint.address).route(&route).pool("circuit_breaker: { failure_threshold: 2 }").start().await;
        let mut connections = Vec::new();
        for _ in 0..2 {
            let mut wire = Wire::connect(lab.address()).await;
            let send = async {
                wire.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE}\r\n\r\n")).await;
                // The proxy answers and closes.
                while wire.try_send(vec![b'x'; 64 * 1024]).await {}
            };
            let ((), connection) = tokio::join!(send, endpoint.accept());
            connections.push(connection);
        }
        assert_eq!(failures(&lab).await, (2, "open".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_stalls_in_its_answer_is_to_blame() {
    let endpoint = Endpoint::start(|_| async {
        let (say, body) = body_in_hand();
        say.send("begun").expect("the body is here");
        tokio::spawn(async move { say.closed().await });
        Response::new(body)
    })
    .await;
    let lab = guarded(&endpoint, ATTEMPT).await;
    for _ in 0..2 {
        let mut wire = Wire::connect(lab.address()).await;
        wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        wire.head().await;
        assert!(!wire.rest().await.0.ends_with("0\r\n\r\n"), "it should be cut");
    }
    refused(&get(&lab, "/").await, 503, "breaker_open");
    assert_eq!(failures(&lab).await, (2, "open".to_owned()));
}
