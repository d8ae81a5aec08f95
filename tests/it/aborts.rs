//! Clients that leave: whatever is done for them ends at once, in every phase.

use http::Response;

use crate::agent::body_in_hand;
use crate::client::{Http2, request_http2};
use crate::lab::{Endpoint, Http1, Lab, request, soon};
use crate::stage::{Stage, config, list, send, signed, until_metric, until_running};
use crate::wire::{Bare, Plan, Wire, lab};

fn attempts(outcome: &str) -> String {
    format!("tidegate_attempts_total{{pool=\"agents\",endpoint=\"a\",outcome=\"{outcome}\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_learns_at_once_that_nobody_waits_for_its_answer() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = Lab::start(&config("{ name: all, pool: agents }", &format!("agents: {{ endpoints: {} }}", stage.list()))).await;
    for n in 1..=5 {
        let client = send(&lab, "/");
        let asked = stage.next().await;
        client.abort();
        asked.cancelled().await;
        until_running(&lab, "all", 0).await;
        until_metric(&lab, &attempts("aborted"), n).await;
    }
    assert_eq!(stage.crowd("a").total(), 5, "who left is not tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_learns_at_once_that_a_stream_of_http2_was_cancelled() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = Lab::start(&config("{ name: all, pool: agents }", &format!("agents: {{ endpoints: {} }}", stage.list()))).await;
    let address = lab.address();
    let client = tokio::spawn(async move {
        let mut client = Http2::connect(address).await;
        let _ = client.send(request_http2("/")).await;
    });
    let asked = stage.next().await;
    client.abort();
    asked.cancelled().await;
    until_running(&lab, "all", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_learns_in_the_middle_of_its_answer() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = Lab::start(&config("{ name: all, pool: agents }", &format!("agents: {{ endpoints: {} }}", stage.list()))).await;
    let mut client = Http1::connect(lab.address()).await;
    let sending = tokio::spawn(async move {
        let response = client.send(request("/")).await.expect("a response");
        (response, client)
    });
    let (say, body) = body_in_hand();
    stage.next().await.respond(Response::new(body));
    say.send("begun").unwrap();
    let (response, client) = soon(sending).await.unwrap();
    drop((response, client));
    soon(say.closed()).await;
    until_running(&lab, "all", 0).await;
    until_metric(&lab, &attempts("aborted"), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_learns_in_the_middle_of_the_request() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    assert_eq!(inside.exactly(5).await, "hello");
    drop(client);
    inside.ended().await;
    until_running(&lab, "all", 0).await;
    assert!(endpoint.is_untouched().await, "who left is not tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_the_queue_is_never_sent() {
    let mut stage = Stage::start(&["a"]).await;
    let pools = format!("agents: {{ endpoints: {}, max_connections: 1 }}", stage.list());
    let lab = Lab::start(&config("{ name: all, pool: agents }", &pools)).await;
    let first = send(&lab, "/first");
    let held = stage.next().await;
    let waiting: Vec<_> = (0..10).map(|_| send(&lab, "/waiting")).collect();
    until_running(&lab, "all", 11).await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    until_running(&lab, "all", 1).await;
    held.answer(200);
    assert_eq!(soon(first).await.unwrap().status(), 200);
    let last = send(&lab, "/last");
    let asked = stage.next().await;
    assert_eq!(asked.path(), "/last");
    asked.answer(200);
    assert_eq!(soon(last).await.unwrap().status(), 200);
    assert_eq!(stage.crowd("a").total(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_in_the_rest_before_a_retry_is_not_tried_again() {
    let mut stage = Stage::start(&["a"]).await;
    let route = "{ name: all, pool: agents, retry: { base_delay: 200ms, jitter: none } }";
    let lab = Lab::start(&config(route, &format!("agents: {{ endpoints: {} }}", stage.list()))).await;
    let leaving = send(&lab, "/leaving");
    stage.next().await.answer(503);
    until_metric(&lab, &attempts("completed"), 1).await;
    leaving.abort();
    until_running(&lab, "all", 0).await;
    // Rests as long as the other one would have, after it.
    let staying = send(&lab, "/staying");
    for status in [503, 200] {
        let asked = stage.next().await;
        assert_eq!(asked.path(), "/staying");
        asked.answer(status);
    }
    assert_eq!(soon(staying).await.unwrap().status(), 200);
    assert!(stage.is_quiet());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_while_a_connection_opens_frees_the_slot() {
    // With its backlog of one place taken, the system answers no further connection.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _waiting = Wire::connect(address).await;
    let lab = Plan::before(address).pool("max_connections: 1, queue: 1, upstream: { connect_timeout: 15s }").start().await;
    for n in 1..=3 {
        let client = send(&lab, "/");
        until_metric(&lab, "tidegate_endpoint_in_flight{pool=\"agents\",endpoint=\"a\"}", 1).await;
        client.abort();
        until_metric(&lab, "tidegate_endpoint_in_flight{pool=\"agents\",endpoint=\"a\"}", 0).await;
        until_metric(&lab, &attempts("aborted"), n).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_add_up_when_many_leave_at_any_moment() {
    let endpoint = Endpoint::start(|_| async {
        tokio::task::yield_now().await;
        signed("a", 200)
    })
    .await;
    let pools = format!("agents: {{ endpoints: {}, max_connections: 2, queue: 5 }}", list([("a", endpoint.address)]));
    let lab = Lab::start(&config("{ name: all, pool: agents }", &pools)).await;
    for _ in 0..30 {
        let clients: Vec<_> = (0..10).map(|_| send(&lab, "/")).collect();
        for client in &clients {
            if fastrand::bool() {
                tokio::task::yield_now().await;
            } else {
                client.abort();
            }
        }
        for client in clients {
            // Left, served, or refused because the queue was full.
            let _ = soon(client).await;
        }
    }
    until_running(&lab, "all", 0).await;
    until_metric(&lab, "tidegate_endpoint_in_flight{pool=\"agents\",endpoint=\"a\"}", 0).await;
    let page = crate::client::admin(lab.admin(), http::Method::GET, "/api/v1/pools/agents/endpoints/a", "").await.json();
    let count = |name: &str| page[name].as_u64().expect("a number");
    assert_eq!(count("attempts"), count("completed") + count("failed") + count("aborted"), "{page}");
    assert_eq!(soon(send(&lab, "/")).await.unwrap().status(), 200);
}
