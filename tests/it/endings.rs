//! Endpoints that answer wrongly, late, partly or not at all: the client hears why, and never gets a part for the whole.

use crate::lab::{Answer, Http1, Lab, get, request, soon};
use crate::wire::{Bare, Canned, End, Plan, Wire, lab, nobody, once};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn expect(answer: &Answer, status: u16, reason: &str) {
    assert_eq!((answer.status(), answer.json()["reason"].as_str()), (status, Some(reason)), "{answer:?}");
    assert_eq!(answer.field("content-type"), "application/problem+json");
    assert!(answer.field("proxy-status").starts_with("tidegate; error="), "{answer:?}");
    assert_eq!(answer.json()["request_id"].as_str(), Some(answer.field("x-request-id")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_ends_early_never_looks_complete() {
    for (head, body) in [
        ("content-length: 10", "hello"),
        ("content-length: 10", ""),
        ("transfer-encoding: chunked", "5\r\nhello\r\n"),
        ("transfer-encoding: chunked", "a\r\nhello"),
        ("transfer-encoding: chunked", "5\r\nhello"),
        ("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n"),
        ("transfer-encoding: chunked", "5\r\nhello\r\nzz\r\n"),
        ("transfer-encoding: chunked", ""),
    ] {
        let endpoint = Canned::start(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}")).await;
        let lab = lab(endpoint.address).await;
        let mut client = Wire::connect(lab.address()).await;
        client.send(GET).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        let (text, _) = client.rest().await;
        assert!(text.len() < 10 + 5 && !text.contains("0\r\n\r\n"), "{head} {body:?} became {text:?}");
        assert_eq!(text.contains("hello"), body.contains("hello"), "{head} {body:?} became {text:?}");
        let metrics = lab.metrics().await;
        assert!(metrics.contains("tidegate_attempts_total{pool=\"agents\",endpoint=\"a\",outcome=\"truncated\"} 1"), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_does_not_speak_http_is_a_protocol_error() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        "garbage garbage garbage\r\n\r\n",
        "\x15\x03\x01\x00\x02\x02\x46",
        "HTTP/1.1 two hundred\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\nhello",
    ] {
        let endpoint = Canned::start(garbage).await;
        let lab = lab(endpoint.address).await;
        let answer = get(lab.address(), "/").await;
        assert_eq!(answer.status(), 502, "{garbage:?} {answer:?}");
        expect(&answer, 502, "endpoint_protocol");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_can_be_read_in_two_ways_is_not_passed_on() {
    for fields in [
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 15",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: gzip",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    ] {
        let endpoint = Canned::start(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n")).await;
        let lab = lab(endpoint.address).await;
        let answer = get(lab.address(), "/").await;
        assert_eq!(answer.status(), 502, "{fields:?} {answer:?}");
        expect(&answer, 502, "endpoint_protocol");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_closes_at_once_has_reset_the_request() {
    for answer in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-le"] {
        let endpoint = Canned::start(answer).await;
        let lab = lab(endpoint.address).await;
        expect(&get(lab.address(), "/").await, 502, "reset");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_closes_what_it_accepts_has_reset_the_request() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let closing = tokio::spawn(async move {
        loop {
            drop(endpoint.accept().await);
        }
    });
    expect(&get(lab.address(), "/").await, 502, "reset");
    closing.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_not_there_has_refused_the_connection() {
    let lab = lab(nobody()).await;
    let answer = get(lab.address(), "/").await;
    expect(&answer, 502, "connection_refused");
    assert!(answer.field("proxy-status").contains("error=connection_refused"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_does_not_resolve_is_said_so() {
    let lab = lab("no-such-host.invalid:80").await;
    expect(&get(lab.address(), "/").await, 502, "name_unresolved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_does_not_open_in_time_is_said_so() {
    // With its backlog of one place taken, the system answers no further connection.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _waiting = Wire::connect(address).await;
    let lab = Plan::before(address).pool("upstream: { connect_timeout: 200ms }").start().await;
    expect(&get(lab.address(), "/").await, 504, "connect_timeout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_leaves_the_clients_connection_open() {
    let lab = once(nobody()).await;
    let mut client = Http1::connect(lab.address()).await;
    for _ in 0..3 {
        expect(&client.ask(request("/")).await, 502, "connection_refused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_endpoint_closed_while_it_was_idle_fails_no_request() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    for _ in 0..20 {
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi").await;
        let mut inside = endpoint.accept().await;
        inside.head().await;
        assert_eq!(inside.exactly(2).await, "hi");
        inside.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_behind_a_response_are_nobodys_response() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(GET).await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    inside.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil").await;
    client.head().await;
    assert_eq!(client.exactly(2).await, "ok");
    client.send(GET).await;
    let mut fresh = endpoint.accept().await;
    fresh.head().await;
    fresh.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood").await;
    client.head().await;
    assert_eq!(client.exactly(4).await, "good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_response_in_time_is_answered_and_the_endpoint_freed() {
    for (timeouts, reason) in [
        ("first_byte: 100ms", "first_byte_timeout"),
        ("attempt: 100ms", "attempt_timeout"),
        ("total: 100ms", "total_timeout"),
        ("total: 10s, attempt: 100ms, first_byte: 10s", "attempt_timeout"),
    ] {
        let endpoint = Bare::listen().await;
        let lab = Plan::before(endpoint.address).route(&format!("timeouts: {{ {timeouts} }}")).start().await;
        let mut client = Http1::connect(lab.address()).await;
        let serve = async {
            let mut inside = endpoint.accept().await;
            inside.head().await;
            inside.ended().await;
        };
        let (answer, ()) = tokio::join!(client.ask(request("/")), serve);
        expect(&answer, 504, reason);
        let metrics = lab.metrics().await;
        assert!(
            metrics.contains("tidegate_attempts_total{pool=\"agents\",endpoint=\"a\",outcome=\"failed\"} 1"),
            "{reason} {metrics}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_takes_too_long_once_it_has_begun_is_cut() {
    for timeouts in ["idle: 100ms", "attempt: 200ms", "total: 200ms"] {
        let endpoint = Bare::listen().await;
        let lab = Plan::before(endpoint.address).route(&format!("timeouts: {{ {timeouts} }}")).start().await;
        let mut client = Wire::connect(lab.address()).await;
        client.send(GET).await;
        let mut inside = endpoint.accept().await;
        inside.head().await;
        inside.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
        client.head().await;
        assert_eq!(client.chunk().await, "hello");
        client.ended().await;
        inside.ended().await;
        let metrics = lab.metrics().await;
        assert!(metrics.contains("tidegate_attempts_total{pool=\"agents\",endpoint=\"a\",outcome=\"truncated\"} 1"), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_timeout_is_for_silence_and_not_for_length() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).route("timeouts: { idle: 400ms }").start().await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(GET).await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    inside.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.head().await;
    let begun = std::time::Instant::now();
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
    while begun.elapsed() < std::time::Duration::from_millis(600) {
        pace.tick().await;
        inside.send("1\r\nx\r\n").await;
        assert_eq!(client.chunk().await, "x");
    }
    inside.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_sending_its_body_is_told_and_the_endpoint_freed() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).route("timeouts: { idle: 100ms }").start().await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    assert_eq!(inside.exactly(5).await, "hello");
    inside.ended().await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 408 ") && head.contains("connection: close"), "{head}");
    let (body, end) = client.rest().await;
    assert!(body.contains("\"reason\":\"request_body_timeout\""), "{body}");
    assert_eq!(end, End::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capability_that_no_endpoint_offers_is_said_so() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut wanting = request("/");
    wanting.headers_mut().insert("x-tidegate-require", "gpu".parse().unwrap());
    expect(&Http1::connect(lab.address()).await.ask(wanting).await, 503, "capability_unavailable");
    assert!(endpoint.is_untouched().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_tells_the_access_log_who_was_tried() {
    for limit in ["attempt: 100ms", "total: 100ms"] {
        let endpoint = Bare::listen().await;
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("access.log");
        let yaml = Plan::before(endpoint.address).route(&format!("timeouts: {{ {limit} }}")).yaml();
        let lab = Lab::start(&format!("{yaml}telemetry: {{ access_log: {{ path: {} }} }}\n", log.display())).await;
        assert_eq!(get(lab.address(), "/").await.status(), 504);
        let line = soon(async {
            loop {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                if text.ends_with('\n') {
                    return text;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["pool"], &line["endpoint"], &line["attempts"]), (&"agents".into(), &"a".into(), &1.into()), "{line}");
    }
}
