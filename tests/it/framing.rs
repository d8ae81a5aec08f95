//! Requests that can be read in two ways, that are too large, or that never end: refused with a reason, and no byte reaches the endpoint.

use crate::lab::Endpoint;
use crate::wire::{Bare, Canned, End, Plan, Wire, lab};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A request without its empty line at the end, the status and the reason of its refusal.
type Case = (&'static str, u16, &'static str);

const REQUEST_LINES: &[Case] = &[
    ("GET  / HTTP/1.1\r\nhost: a\r\n", 400, "malformed_request"),
    (" GET / HTTP/1.1\r\nhost: a\r\n", 400, "malformed_request"),
    ("GET\t/\tHTTP/1.1\r\nhost: a\r\n", 400, "malformed_request"),
    ("GET /a b HTTP/1.1\r\nhost: a\r\n", 400, "malformed_request"),
    ("GET / HTTP/1.2\r\nhost: a\r\n", 400, "malformed_request"),
    ("GET / HTTP/2.0\r\nhost: a\r\n", 400, "malformed_request"),
    ("GET / http/1.1\r\nhost: a\r\n", 400, "malformed_request"),
    ("GET /\r\n", 400, "malformed_request"),
    ("G(T / HTTP/1.1\r\nhost: a\r\n", 400, "malformed_request"),
    ("\x16\x03\x01\x02\x00\x01 / HTTP/1.1\r\nhost: a\r\n", 400, "malformed_request"),
    ("GET / HTTP/1.1\nhost: a\r\n", 400, "ambiguous_framing"),
    ("GET /\r HTTP/1.1\r\nhost: a\r\n", 400, "ambiguous_framing"),
    ("GET /a\0b HTTP/1.1\r\nhost: a\r\n", 400, "invalid_target"),
    ("GET /a\x7fb HTTP/1.1\r\nhost: a\r\n", 400, "invalid_target"),
    ("GET /é HTTP/1.1\r\nhost: a\r\n", 400, "invalid_target"),
    ("GET /a#b HTTP/1.1\r\nhost: a\r\n", 400, "invalid_target"),
    ("GET a HTTP/1.1\r\nhost: a\r\n", 400, "invalid_target"),
    ("GET * HTTP/1.1\r\nhost: a\r\n", 400, "invalid_target"),
    ("GET ftp://a/ HTTP/1.1\r\nhost: a\r\n", 400, "invalid_target"),
    ("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n", 405, "connect_refused"),
];

const HOSTS: &[Case] = &[
    ("GET / HTTP/1.1\r\n", 400, "invalid_host"),
    ("GET / HTTP/1.1\r\nhost:\r\n", 400, "invalid_host"),
    ("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n", 400, "invalid_host"),
    ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n", 400, "invalid_host"),
    ("GET / HTTP/1.1\r\nhost: a b\r\n", 400, "invalid_host"),
    ("GET / HTTP/1.1\r\nhost: a, b\r\n", 400, "invalid_host"),
    ("GET / HTTP/1.1\r\nhost: user@a\r\n", 400, "invalid_host"),
    ("GET / HTTP/1.1\r\nhost: a/b\r\n", 400, "invalid_host"),
    ("GET / HTTP/1.1\r\nhost: a:99999\r\n", 400, "invalid_host"),
    ("GET http://a/ HTTP/1.1\r\nhost: b\r\n", 400, "invalid_host"),
    ("GET http://user@a/ HTTP/1.1\r\nhost: a\r\n", 400, "invalid_host"),
];

const FIELDS: &[Case] = &[
    ("GET / HTTP/1.1\r\nhost: a\nx: b\r\n", 400, "ambiguous_framing"),
    ("GET / HTTP/1.1\r\nhost: a\rx: b\r\n", 400, "ambiguous_framing"),
    ("GET / HTTP/1.1\r\nhost: a\r\nx : b\r\n", 400, "ambiguous_framing"),
    ("GET / HTTP/1.1\r\nhost: a\r\nx\t: b\r\n", 400, "ambiguous_framing"),
    ("GET / HTTP/1.1\r\n host: a\r\n", 400, "ambiguous_framing"),
    ("GET / HTTP/1.1\r\nhost: a\r\nx: b\r\n c\r\n", 400, "ambiguous_framing"),
    ("GET / HTTP/1.1\r\nhost: a\r\nx\r\n", 400, "malformed_request"),
    ("GET / HTTP/1.1\r\nhost: a\r\n: b\r\n", 400, "malformed_request"),
    ("GET / HTTP/1.1\r\nhost: a\r\nx(: b\r\n", 400, "malformed_request"),
    ("GET / HTTP/1.1\r\nhost: a\r\nx: b\0c\r\n", 400, "malformed_request"),
    ("GET / HTTP/1.1\r\nhost: a\r\nx: b\x7f\r\n", 400, "malformed_request"),
];

const LENGTHS: &[Case] = &[
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 5\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 5\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x5\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551616\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: , chunked\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n", 400, "ambiguous_framing"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\x0bchunked\r\n", 400, "malformed_request"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n", 501, "unknown_transfer_coding"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n", 501, "unknown_transfer_coding"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n", 501, "unknown_transfer_coding"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \"chunked\"\r\n", 501, "unknown_transfer_coding"),
];

/// What a smuggler hides behind a refused head: it must never be read as a request.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";

fn expect(text: &str, status: u16, reason: &str, case: &str) {
    assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{case:?} {text}");
    assert!(text.contains(&format!("\"reason\":\"{reason}\"")), "{case:?} {text}");
    assert!(text.contains("\r\nconnection: close\r\n"), "{case:?} {text}");
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{case:?} {text}");
}

async fn all_are_refused(cases: &[Case]) {
    let endpoint = Canned::start(OK).await;
    let lab = lab(endpoint.address).await;
    for (head, status, reason) in cases {
        let mut client = Wire::connect(lab.address()).await;
        client.send(format!("{head}\r\n{HIDDEN}")).await;
        client.finish().await;
        let (text, end) = client.rest().await;
        expect(&text, *status, reason, head);
        assert_eq!(end, End::Closed, "{head:?}");
    }
    assert_eq!(endpoint.connections(), 0, "something reached the endpoint");
    let good = Wire::exchange(lab.address(), "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(good.ends_with("ok"), "{good}");
    assert_eq!(endpoint.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_line_that_can_be_read_in_two_ways_reaches_nobody() {
    all_are_refused(REQUEST_LINES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_can_be_read_in_two_ways_reaches_nobody() {
    all_are_refused(HOSTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_can_be_read_in_two_ways_reaches_nobody() {
    all_are_refused(FIELDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_that_can_be_read_in_two_ways_reaches_nobody() {
    all_are_refused(LENGTHS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_request_before_a_bad_one_is_answered_first() {
    let endpoint = Endpoint::named("good").await;
    let lab = lab(endpoint.address).await;
    for (head, status, reason) in REQUEST_LINES.iter().chain(HOSTS).chain(FIELDS).chain(LENGTHS) {
        let mut client = Wire::connect(lab.address()).await;
        client.send(format!("GET / HTTP/1.1\r\nhost: a\r\n\r\n{head}\r\n{HIDDEN}")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"), "{head:?}");
        assert_eq!(client.exactly(4).await, "good");
        let (text, _) = client.rest().await;
        expect(&text, *status, reason, head);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_comes_byte_by_byte_is_judged_as_a_whole_one() {
    let endpoint = Canned::start(OK).await;
    let lab = lab(endpoint.address).await;
    for (head, status, reason) in [LENGTHS[0], FIELDS[2], HOSTS[3]] {
        let mut client = Wire::connect(lab.address()).await;
        for byte in format!("{head}\r\n").bytes() {
            if !client.try_send([byte]).await {
                break;
            }
        }
        expect(&client.rest().await.0, status, reason, head);
    }
    assert_eq!(endpoint.connections(), 0, "something reached the endpoint");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_its_chunks_is_aborted_at_the_endpoint() {
    for bad in [
        "zz\r\n",
        "-1\r\n",
        "5 \r\n",
        "5\nhello\r\n",
        "5\r\nhelloX\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "\r\n",
        "0x5\r\n",
        "11111111111111111\r\n",
        "0\r\nx : y\r\n\r\n",
        "0\r\ncontent-length: 5\r\n\r\n",
        "0\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        let endpoint = Bare::listen().await;
        let lab = lab(endpoint.address).await;
        let mut client = Wire::connect(lab.address()).await;
        client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        let mut inside = endpoint.accept().await;
        inside.head().await;
        assert_eq!(inside.chunk().await, "abc");
        client.send(format!("{bad}{HIDDEN}")).await;
        let (rest, _) = inside.rest().await;
        assert!(!rest.contains("0\r\n") && !rest.contains("hidden"), "{bad:?} {rest:?}");
        expect(&client.rest().await.0, 400, "request_body_broken", bad);
        assert!(endpoint.is_untouched().await, "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_never_read_as_the_next_request() {
    let endpoint = Endpoint::mirror().await;
    let lab = lab(endpoint.address).await;
    // CL.TE and TE.CL, as a front end that reads them otherwise would pass them on: here each is one request with a body.
    for (framing, body) in [
        (format!("content-length: {}", HIDDEN.len()), HIDDEN.to_owned()),
        ("transfer-encoding: chunked".to_owned(), format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len())),
    ] {
        let mut client = Wire::connect(lab.address()).await;
        client.send(format!("POST /one HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{body}GET /two HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let first = client.until("\n\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(first.contains("POST /one HTTP/1.1\n"), "{first}");
        let second = client.until("GET /two HTTP/1.1\n").await;
        assert_eq!(second.matches("HTTP/1.1 200 OK").count(), 1, "{second}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_to_http2_is_not_taken() {
    let endpoint = Endpoint::mirror().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client
        .send("GET /one HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
    let text = client.until("\n\n").await;
    assert!(text.starts_with("GET /one HTTP/1.1\n") && !text.contains("upgrade") && !text.contains("http2-settings"), "{text}");
    // The connection still speaks HTTP/1.1, and is still looked at.
    client.send("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n").await;
    assert!(client.rest().await.0.contains("\"reason\":\"ambiguous_framing\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_on_the_head_are_kept() {
    let endpoint = Canned::start(OK).await;
    let lab =
        Plan::before(endpoint.address).listener("limits: { headers: 20, header_bytes: 4KiB, request_line: 512 }").start().await;
    let get = |target: usize, fields: String| format!("GET /{} HTTP/1.1\r\nhost: a\r\n{fields}\r\n", "x".repeat(target));
    for (request, status, reason) in [
        (get(512, String::new()), 414, "target_too_long"),
        (get(1, "x: a\r\n".repeat(20)), 431, "too_many_headers"),
        (get(1, format!("x: {}\r\n", "a".repeat(4096))), 431, "header_too_large"),
        ("x".repeat(8192), 414, "target_too_long"),
        (get(1, format!("x: {}", "a".repeat(8192))), 431, "header_too_large"),
    ] {
        let mut client = Wire::connect(lab.address()).await;
        client.send(&request).await;
        expect(&client.rest().await.0, status, reason, &request);
    }
    assert_eq!(endpoint.connections(), 0, "something reached the endpoint");
    let fits = Wire::exchange(lab.address(), get(400, format!("connection: close\r\n{}", "x: a\r\n".repeat(18)))).await;
    assert!(fits.ends_with("ok"), "{fits}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_refused_as_soon_as_it_is_known() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).listener("limits: { request_body: 10 }").start().await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\nhello world").await;
    expect(&client.rest().await.0, 413, "body_too_large", "declared");
    assert!(endpoint.is_untouched().await);
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    assert_eq!(inside.chunk().await, "hello");
    client.send("6\r\n world\r\n0\r\n\r\n").await;
    let (rest, _) = inside.rest().await;
    assert!(!rest.contains("0\r\n"), "{rest:?}");
    expect(&client.rest().await.0, 413, "body_too_large", "streamed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_does_not_end_is_answered_and_ended() {
    let endpoint = Canned::start(OK).await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { header: 200ms }").start().await;
    for part in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhost: a\r\nx: b\r\n"] {
        let mut client = Wire::connect(lab.address()).await;
        client.send(part).await;
        expect(&client.rest().await.0, 408, "header_timeout", part);
    }
    assert_eq!(endpoint.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_drips_does_not_win_time() {
    let endpoint = Canned::start(OK).await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { header: 300ms }").start().await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("GET / HTTP/1.1\r\nx: ").await;
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(30));
    // 200 drips take 6 s, twenty times as long as a head may take.
    let answered = async {
        for drip in 0..200 {
            pace.tick().await;
            let mut byte = [0];
            if matches!(client.stream.try_read(&mut byte), Ok(1)) {
                return drip;
            }
            client.try_send("a").await;
        }
        200
    }
    .await;
    assert!(answered < 200, "a slow client was waited for");
    expect(&format!("H{}", client.rest().await.0), 408, "header_timeout", "drip");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_says_nothing_is_let_go_without_a_word() {
    let endpoint = Canned::start(OK).await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { header: 100ms }").start().await;
    assert_eq!(Wire::connect(lab.address()).await.ended().await, End::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_between_requests_is_kept_for_a_while() {
    let endpoint = Endpoint::named("a").await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { keep_alive: 200ms }").start().await;
    let mut client = Wire::connect(lab.address()).await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        client.head().await;
        assert_eq!(client.exactly(1).await, "a");
    }
    assert_eq!(client.ended().await, End::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_over_the_limit_waits_for_its_turn() {
    let endpoint = Endpoint::named("a").await;
    let lab = Plan::before(endpoint.address).listener("limits: { connections: 1 }").start().await;
    let request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut first = Wire::connect(lab.address()).await;
    first.send(request).await;
    first.head().await;
    let mut second = Wire::connect(lab.address()).await;
    second.send(request).await;
    first.exactly(1).await;
    // The first still has its place, and is served before the second.
    first.send(request).await;
    first.head().await;
    let mut byte = [0];
    assert!(second.stream.try_read(&mut byte).is_err(), "served over the limit");
    drop(first);
    assert!(second.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}
