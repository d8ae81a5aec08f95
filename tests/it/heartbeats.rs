//! Heartbeats: a client of server-sent events hears that it waits, and gets what comes of it on the same stream.

use http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use crate::agent::{body_in_hand, piece};
use crate::client::{ask, request_with};
use crate::http2::Http2;
use crate::lab::{Answer, Body, Http1, Lab, full, soon};
use crate::stage::{Client, Logged, Stage, answer, config, refused, send, send_it, signed, until_metric, until_running};
use crate::wire::Wire;

const WAITING: &str = ": waiting\n\n";
const ACCEPT: (&str, &str) = ("accept", "text/event-stream");

fn yaml(stage: &Stage, route: &str, pool: &str) -> String {
    let routes = format!("{{ name: all, pool: agents, retry: off, heartbeat: 1s{route} }}");
    config(&routes, &format!("agents: {{ endpoints: {}{pool} }}", stage.list()))
}

async fn proxy(stage: &Stage, route: &str, pool: &str) -> Lab {
    Lab::start(&yaml(stage, route, pool)).await
}

/// Sends a request for events, byte by byte.
async fn wire(lab: &Lab) -> Wire {
    let mut client = Wire::connect(lab.address()).await;
    client.send("GET /events HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\r\n").await;
    client
}

/// Sends a request for events and waits for all that comes of it.
fn listen(lab: &Lab) -> Client {
    send_it(lab, request_with(Method::GET, "/events", &[ACCEPT], ""))
}

fn events(body: Body) -> Response<Body> {
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}

/// Returns the problem of the error event that ends a stream of heartbeats.
fn told(answer: &Answer) -> serde_json::Value {
    assert_eq!((answer.status(), answer.field("content-type")), (200, "text/event-stream"), "{answer:?}");
    let last = answer.text.strip_prefix(WAITING).unwrap_or_else(|| panic!("no heartbeat: {answer:?}"));
    let last = last.trim_start_matches(WAITING);
    let data = last.strip_prefix("event: error\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
    let problem: serde_json::Value = serde_json::from_str(data.unwrap_or_else(|| panic!("no error: {answer:?}"))).unwrap();
    assert_eq!(problem["request_id"], answer.field("x-request-id"));
    problem
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_slow_endpoint_hears_of_it_and_then_gets_its_events() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = proxy(&stage, ", rewrite: { set_response_headers: { access-control-allow-origin: '*' } }", "").await;
    let mut client = wire(&lab).await;
    let asked = stage.next().await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for field in
        ["content-type: text/event-stream", "cache-control: no-store", "access-control-allow-origin: *", "x-request-id: ", "date: "]
    {
        assert!(head.contains(&format!("\r\n{field}")), "{field} in {head}");
    }
    for _ in 0..2 {
        assert_eq!(client.chunk().await, WAITING);
    }
    let (say, body) = body_in_hand();
    asked.respond(events(body));
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        say.send(event).unwrap();
        assert_eq!(client.chunk().await, event);
    }
    drop(say);
    assert_eq!(client.chunk().await, "");
    until_metric(&lab, "tidegate_requests_total{listener=\"public\",route=\"all\",status_class=\"2xx\"}", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_the_queue_over_http2_hears_of_it_too() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = proxy(&stage, "", ", max_connections: 1").await;
    let first = send(&lab, "/first");
    let running = stage.next().await;
    let wanted = request_with(Method::GET, "/", &[ACCEPT, ("te", "trailers")], "");
    let mut body = Http2::connect(lab.address()).await.send(wanted).await.unwrap().into_body();
    assert_eq!(piece(&mut body).await.unwrap(), WAITING);
    running.answer(200);
    assert_eq!(answer(first).await.status(), 200);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-late", "1".parse().unwrap());
    let frames = [Ok(Frame::data("data: 1\n\n".into())), Ok(Frame::trailers(trailers))];
    let mut told = events(Body::new(StreamBody::new(futures_util::stream::iter(frames))));
    told.headers_mut().insert("trailer", "x-late".parse().unwrap());
    stage.next().await.respond(told);
    let rest = soon(body.collect()).await.unwrap();
    assert!(rest.trailers().is_none(), "the head did not announce any");
    assert_eq!(rest.to_bytes(), "data: 1\n\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_vain_gets_the_reason_as_an_event() {
    let mut stage = Stage::start(&["a"]).await;
    let logged = Logged::start(&yaml(&stage, ", timeouts: { queue: 1200ms }", ", max_connections: 1")).await;
    let first = send(&logged.lab, "/first");
    let running = stage.next().await;
    let late = answer(listen(&logged.lab)).await;
    let problem = told(&late);
    assert_eq!((&problem["reason"], &problem["status"]), (&"queue_timeout".into(), &503.into()));
    running.answer(200);
    assert_eq!(answer(first).await.status(), 200);
    let lines = logged.lines().await;
    let line = lines.iter().find(|line| line["path"] == "/events").unwrap();
    assert_eq!((&line["status"], &line["reason"]), (&200.into(), &"queue_timeout".into()), "{line}");
    assert_eq!(line["bytes_out"], late.text.len(), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_total_timeout_holds_for_those_who_hear_heartbeats() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = proxy(&stage, ", timeouts: { total: 1200ms }", "").await;
    let client = listen(&lab);
    let asked = stage.next().await;
    assert_eq!(told(&answer(client).await)["reason"], "total_timeout");
    asked.cancelled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_follow_is_told_as_an_event() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = proxy(&stage, "", "").await;
    let answers = [
        (Response::builder().status(429).header("content-type", "application/json"), 429, "429 with application/json"),
        (Response::builder().status(200).header("content-type", "text/plain"), 502, "200 with text/plain"),
        (Response::builder().status(302), 502, "302"),
        (
            Response::builder().status(200).header("content-type", "text/event-stream").header("content-encoding", "gzip"),
            502,
            "coding gzip",
        ),
    ];
    let mut waiting = Vec::new();
    for (response, status, detail) in answers {
        let mut client = Http1::connect(lab.address()).await;
        let head = tokio::spawn(async move { client.send(request_with(Method::GET, "/", &[ACCEPT], "")).await.unwrap() });
        waiting.push((head, stage.next().await, response, status, detail));
    }
    for (head, asked, response, status, detail) in waiting {
        // Not before the head is there.
        let head = soon(head).await.unwrap();
        asked.respond(response.body(full("no events")).unwrap());
        let problem = told(&crate::lab::read(head).await);
        assert_eq!((&problem["reason"], &problem["status"]), (&"not_events".into(), &status.into()), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
    }
    let ended = "tidegate_attempts_total{pool=\"agents\",endpoint=\"a\",outcome=\"aborted\"}";
    until_metric(&lab, ended, 0).await;
    until_running(&lab, "all", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quick_answer_is_passed_on_as_it_is() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = proxy(&stage, "", ", max_connections: 1, queue: off").await;
    let client = listen(&lab);
    let asked = stage.next().await;
    let refusal = answer(listen(&lab)).await;
    refused(&refusal, 503, "queue_full");
    assert_eq!(refusal.field("content-type"), "application/problem+json");
    asked.answer(418);
    let quick = answer(client).await;
    assert_eq!((quick.status(), quick.field("x-name"), quick.text.as_str()), (418, "a", "a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_those_who_can_read_heartbeats_get_them() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = proxy(&stage, "", "").await;
    let others = [
        request_with(Method::GET, "/", &[], ""),
        request_with(Method::GET, "/", &[("accept", "*/*")], ""),
        request_with(Method::GET, "/", &[("accept", "application/json, text/event-stream;q=0")], ""),
        request_with(Method::HEAD, "/", &[ACCEPT], ""),
    ];
    let mut clients = Vec::new();
    for request in others {
        let client = send_it(&lab, request);
        clients.push((client, stage.next().await));
    }
    let mut old = Wire::connect(lab.address()).await;
    old.send("GET / HTTP/1.0\r\naccept: text/event-stream\r\nhost: a\r\n\r\n").await;
    let old_asked = stage.next().await;
    // One that began after all of them has heard two.
    let mut last = wire(&lab).await;
    last.head().await;
    for _ in 0..2 {
        assert_eq!(last.chunk().await, WAITING);
    }
    for (client, asked) in clients {
        asked.answer(418);
        assert_eq!(answer(client).await.status(), 418);
    }
    old_asked.answer(418);
    assert!(old.head().await.contains(" 418 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_between_heartbeats_leaves_queue_and_endpoint() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = proxy(&stage, "", ", max_connections: 1").await;
    let mut first = wire(&lab).await;
    let asked = stage.next().await;
    let mut second = wire(&lab).await;
    for client in [&mut first, &mut second] {
        client.head().await;
        assert_eq!(client.chunk().await, WAITING);
    }
    drop(second);
    until_running(&lab, "all", 1).await;
    drop(first);
    asked.cancelled().await;
    until_running(&lab, "all", 0).await;
    assert_eq!(stage.crowd("a").total(), 1, "who left the queue was not sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_of_a_request_arrives_although_its_answer_has_begun() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = proxy(&stage, "", ", max_connections: 1").await;
    let first = send(&lab, "/first");
    let running = stage.next().await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await;
    client.head().await;
    assert_eq!(client.chunk().await, WAITING);
    running.answer(200);
    assert_eq!(answer(first).await.status(), 200);
    client.send("3\r\ntwo\r\n0\r\n\r\n").await;
    let asked = stage.next().await;
    assert_eq!(asked.body, "onetwo");
    asked.respond(events(full("data: 1\n\n")));
    let mut chunk = client.chunk().await;
    // It may have become time for another one.
    while chunk == WAITING {
        chunk = client.chunk().await;
    }
    assert_eq!(chunk, "data: 1\n\n");
    assert_eq!(client.chunk().await, "");
    // The connection serves on.
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    stage.next().await.respond(signed("a", 200));
    assert!(client.head().await.contains("x-name: a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_break_off_behind_heartbeats_do_not_look_complete() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = proxy(&stage, "", "").await;
    let mut client = wire(&lab).await;
    let asked = stage.next().await;
    client.head().await;
    assert_eq!(client.chunk().await, WAITING);
    let (say, mut said) = tokio::sync::mpsc::unbounded_channel();
    asked.respond(events(Body::new(StreamBody::new(futures_util::stream::poll_fn(move |cx| said.poll_recv(cx))))));
    say.send(Ok(Frame::data("data: 1\n\n".into()))).unwrap();
    assert_eq!(client.chunk().await, "data: 1\n\n");
    say.send(Err(std::io::Error::other("broken"))).unwrap();
    let (rest, _) = client.rest().await;
    assert_eq!(rest, "", "not even the last chunk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_without_heartbeat_says_nothing_before_the_answer() {
    let mut stage = Stage::start(&["a"]).await;
    let routes = "{ name: quiet, match: { path: /quiet }, pool: agents }, { name: all, pool: agents, heartbeat: 1s }";
    let lab = Lab::start(&config(routes, &format!("agents: {{ endpoints: {} }}", stage.list()))).await;
    let quiet = tokio::spawn(ask(lab.address(), request_with(Method::GET, "/quiet", &[ACCEPT], "")));
    let asked = stage.next().await;
    let mut other = wire(&lab).await;
    other.head().await;
    asked.answer(418);
    assert_eq!(answer(quiet).await.status(), 418);
}
