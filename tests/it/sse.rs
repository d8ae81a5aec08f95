//! Server-sent events: each reaches the client before the next is made, and as the endpoint cut it.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;

use crate::http2::Http2;
use crate::lab::{Body, Endpoint, Http1, Lab, request, soon};
use crate::wire::{Plan, Wire, lab};

/// An endpoint that sends an event for each permission of the test, and nothing in between.
async fn storyteller(http2: bool) -> (Endpoint, mpsc::UnboundedSender<String>) {
    let (tell, told) = mpsc::unbounded_channel::<String>();
    let told = std::sync::Arc::new(std::sync::Mutex::new(Some(told)));
    let answer = move |_: Request<Incoming>| {
        let told = told.lock().expect("no test panics with it").take();
        async move {
            let events = futures_util::stream::unfold(told, |told| async move {
                let mut told = told?;
                let event = told.recv().await?;
                Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from(event))), Some(told)))
            });
            let mut response = Response::new(Body::new(StreamBody::new(events)));
            response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/event-stream"));
            response
        }
    };
    let endpoint = if http2 { Endpoint::start_http2(answer).await } else { Endpoint::start(answer).await };
    (endpoint, tell)
}

async fn next(body: &mut Incoming) -> Bytes {
    soon(body.frame()).await.expect("an event").expect("a whole body").into_data().expect("no trailers")
}

/// Every event arrives before the next is allowed, and alone.
async fn follow(mut body: Incoming, tell: mpsc::UnboundedSender<String>) {
    for n in 0..50 {
        let event = format!("id: {n}\ndata: {}\n\n", "x".repeat(n * 40));
        tell.send(event.clone()).expect("the endpoint should listen");
        assert_eq!(next(&mut body).await, event);
    }
    drop(tell);
    assert_eq!(soon(body.collect()).await.expect("a whole body").to_bytes(), "");
}

async fn before(endpoint: &Endpoint, http2: bool) -> Lab {
    Plan::before(endpoint.address).pool(if http2 { "upstream: { protocol: http2 }" } else { "strategy: round_robin" }).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_arrives_before_the_next_is_made() {
    for http2 in [false, true] {
        let (endpoint, tell) = storyteller(http2).await;
        let lab = before(&endpoint, http2).await;
        let response = Http1::connect(lab.address()).await.send(request("/events")).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        follow(response.into_body(), tell).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_arrives_before_the_next_is_made_over_http2() {
    for http2 in [false, true] {
        let (endpoint, tell) = storyteller(http2).await;
        let lab = before(&endpoint, http2).await;
        let response = Http2::connect(lab.address()).await.send(request("/events")).await.unwrap();
        follow(response.into_body(), tell).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_of_a_stream_arrives_before_its_first_event() {
    let (endpoint, tell) = storyteller(false).await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(client.head().await.contains("content-type: text/event-stream"));
    tell.send("data: 1\n\n".to_owned()).unwrap();
    assert_eq!(client.chunk().await, "data: 1\n\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_stream_outlives_every_timeout_that_is_meant_for_short_calls() {
    let (endpoint, tell) = storyteller(false).await;
    let lab = Plan::before(endpoint.address)
        .listener("timeouts: { header: 100ms, keep_alive: 100ms, write: 100ms }")
        .route("timeouts: { first_byte: 100ms }")
        .start()
        .await;
    let mut body = Http1::connect(lab.address()).await.send(request("/events")).await.unwrap().into_body();
    assert!(tokio::time::timeout(Duration::from_millis(400), body.frame()).await.is_err(), "the stream should be quiet, and open");
    follow(body, tell).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_a_quiet_stream_stops_the_endpoint() {
    let (endpoint, tell) = storyteller(false).await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.head().await;
    drop(client);
    soon(tell.closed()).await;
}
