//! Bodies as streams: backpressure from one end to the other, and what is left when one of them goes.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::lab::{Endpoint, Lab, soon};
use crate::wire::{Bare, End, Plan, Wire, echo, lab};

/// More than all buffers of all sockets on the way hold together.
const LARGE: usize = 64 * 1024 * 1024;

/// What the sockets on the way may hold: a receive and a send buffer for each of three hops, as large as Linux makes them by itself.
const BUFFERS: usize = 40 * 1024 * 1024;

/// No byte is taken for this long: the way is full.
const STALL: Duration = Duration::from_millis(300);

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Writes until the peer takes no more, or `LARGE` bytes are written; returns how many were.
async fn fill(wire: &mut Wire) -> usize {
    let (part, mut written) = (vec![b'x'; 64 * 1024], 0);
    while written < LARGE {
        let next = &part[..part.len().min(LARGE - written)];
        match tokio::time::timeout(STALL, wire.stream.write(next)).await {
            Ok(length) => written += length.expect("the peer should be there"),
            Err(_) => break,
        }
    }
    written
}

/// Writes the rest of `LARGE` bytes to `to`, and reads all of them from `from`.
async fn flow(to: &mut Wire, from: &mut Wire, written: usize) {
    let write = async {
        let (part, mut left) = (vec![b'x'; 64 * 1024], LARGE - written);
        while left > 0 {
            let next = part.len().min(left);
            soon(to.stream.write_all(&part[..next])).await.expect("the peer should read");
            left -= next;
        }
    };
    tokio::join!(write, from.skip(LARGE));
}

/// Waits until nothing is in flight on the endpoint, and returns the metrics then.
async fn quiet(lab: &Lab) -> String {
    soon(async {
        loop {
            let metrics = lab.metrics().await;
            if metrics.contains("tidegate_endpoint_in_flight{pool=\"agents\",endpoint=\"a\"} 0") {
                return metrics;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_slowly_slows_the_endpoint_down() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(GET).await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    inside.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n")).await;
    client.head().await;
    let written = fill(&mut inside).await;
    assert!(written < BUFFERS, "{written} bytes went nowhere but into memory");
    flow(&mut inside, &mut client, written).await;
    client.send(GET).await;
    inside.head().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_reads_slowly_slows_the_client_down() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE}\r\n\r\n")).await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    let written = fill(&mut client).await;
    assert!(written < BUFFERS, "{written} bytes went nowhere but into memory");
    flow(&mut client, &mut inside, written).await;
    inside.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_comes_back_as_it_went() {
    let endpoint = Endpoint::start(echo).await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    let body: Vec<u8> = (0..8 * 1024 * 1024_u32).map(|n| b'a' + (n.wrapping_mul(2_654_435_761) >> 28) as u8).collect();
    let (mut reader, mut writer) = {
        let (read, write) = client.stream.into_split();
        (read, write)
    };
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let send = async {
        writer.write_all(head.as_bytes()).await.expect("the proxy should read");
        writer.write_all(&body).await.expect("the proxy should read");
    };
    let mut all = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut all);
    let (_, length) = soon(async { tokio::join!(send, read) }).await;
    assert!(length.expect("a whole response") > body.len());
    assert!(all.ends_with(&body), "the body changed on its way");
    client = Wire::connect(lab.address()).await;
    client.send(GET).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_in_the_middle_of_a_response_frees_the_endpoint() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    for reset in [false, true] {
        let mut client = Wire::connect(lab.address()).await;
        client.send(GET).await;
        let mut inside = endpoint.accept().await;
        inside.head().await;
        inside.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
        client.head().await;
        assert_eq!(client.chunk().await, "hello");
        if reset {
            client.reset_on_drop();
        }
        drop(client);
        inside.ended().await;
    }
    let metrics = quiet(&lab).await;
    assert!(metrics.contains("tidegate_attempts_total{pool=\"agents\",endpoint=\"a\",outcome=\"aborted\"} 2"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_before_the_response_frees_the_endpoint() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    for reset in [false, true] {
        let mut client = Wire::connect(lab.address()).await;
        client.send(GET).await;
        let mut inside = endpoint.accept().await;
        inside.head().await;
        if reset {
            client.reset_on_drop();
        }
        drop(client);
        inside.ended().await;
    }
    let metrics = quiet(&lab).await;
    assert!(metrics.contains("tidegate_attempts_total{pool=\"agents\",endpoint=\"a\",outcome=\"aborted\"} 2"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_in_the_middle_of_its_upload_makes_no_whole_request() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    for head in ["content-length: 10\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let mut client = Wire::connect(lab.address()).await;
        client.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{head}")).await;
        let mut inside = endpoint.accept().await;
        inside.head().await;
        inside.until("hello").await;
        drop(client);
        let (rest, _) = inside.rest().await;
        assert!(rest.is_empty() || rest == "\r\n", "{rest:?}");
    }
    quiet(&lab).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_closes_its_side_with_a_request_running_counts_as_gone() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(GET).await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    client.finish().await;
    inside.ended().await;
    client.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_closes_its_side_between_requests_is_closed_in_order() {
    let endpoint = Endpoint::named("a").await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(GET).await;
    client.head().await;
    assert_eq!(client.exactly(1).await, "a");
    client.finish().await;
    assert_eq!(client.ended().await, End::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_is_let_go() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { write: 200ms }").start().await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(GET).await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    inside.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n")).await;
    let part = vec![b'x'; 64 * 1024];
    while inside.try_send(&part).await {}
    inside.rest().await;
    quiet(&lab).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_with_trailers_completes_and_keeps_its_connection() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    let get = "GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n";
    client.send(get).await;
    let mut inside = endpoint.accept().await;
    for _ in 0..2 {
        inside.head().await;
        inside
            .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n")
            .await;
        client.until("x-sum: 7\r\n\r\n").await;
        client.send(get).await;
    }
    inside.head().await;
    let metrics = lab.metrics().await;
    assert!(metrics.contains("tidegate_attempts_total{pool=\"agents\",endpoint=\"a\",outcome=\"completed\"} 2"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_not_idle_while_one_side_speaks() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).route("timeouts: { idle: 400ms }").start().await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    assert_eq!(inside.chunk().await, "hi");
    inside.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.head().await;
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..14 {
        pace.tick().await;
        inside.send("1\r\nx\r\n").await;
        assert_eq!(client.chunk().await, "x");
    }
    for _ in 0..14 {
        pace.tick().await;
        client.send("1\r\ny\r\n").await;
        assert_eq!(inside.chunk().await, "y");
    }
    inside.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_under_a_running_response_is_not_the_endpoints_fault() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).listener("limits: { request_body: 4 }").start().await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    assert_eq!(inside.chunk().await, "hi");
    inside.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n").await;
    client.head().await;
    assert_eq!(client.chunk().await, "x");
    client.send("5\r\nlarge\r\n").await;
    inside.rest().await;
    let metrics = quiet(&lab).await;
    let failure = "tidegate_attempt_failures_total{pool=\"agents\",endpoint=\"a\",reason=";
    assert!(metrics.contains(&format!("{failure}\"body_too_large\"}} 1")), "{metrics}");
    assert!(!metrics.contains(&format!("{failure}\"endpoint_truncated\"")), "{metrics}");
}
