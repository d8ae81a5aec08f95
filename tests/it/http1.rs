//! HTTP/1.1 messages from end to end: what is kept, what is changed, and where each ends.

use crate::lab::{Endpoint, get};
use crate::wire::{Bare, Canned, End, Plan, Wire, echo, lab, once};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_connection_and_one_endpoint_connection_carry_many_requests() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(GET).await;
    let mut inside = endpoint.accept().await;
    for round in 0..5 {
        if round > 0 {
            client.send(GET).await;
        }
        let head = inside.head().await;
        assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
        inside.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(client.exactly(2).await, "ok");
    }
    assert!(endpoint.is_untouched().await, "a second connection was opened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order() {
    let endpoint = Endpoint::mirror().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    let requests: String = (0..20).map(|n| format!("GET /{n} HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
    client.send(requests).await;
    for n in 0..20 {
        let line = client.until(&format!("GET /{n} HTTP/1.1\n")).await;
        assert_eq!(line.matches("HTTP/1.1 200 OK").count(), 1, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_while_others_wait_are_answered_in_order_and_whole() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("GET /0 HTTP/1.1\r\nhost: a\r\n\r\nGET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP").await;
    let mut inside = endpoint.accept().await;
    assert!(inside.head().await.starts_with("GET /0 "));
    client.send("/1.1\r\nhost: a\r\n\r\nPUT /3 HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n").await;
    // More than is read ahead, in pieces: the rest must wait in the socket, and nothing may come twice or not at all.
    let body: String = (0..60_000).map(|n| format!("{n:05}")).collect();
    let (head, tail) = body.split_at(150_000);
    client.send(head).await;
    for n in 0..3 {
        inside.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{n}")).await;
        client.head().await;
        assert_eq!(client.exactly(1).await, n.to_string());
        assert!(inside.head().await.starts_with(&format!("{} /{} ", if n < 2 { "GET" } else { "PUT" }, n + 1)));
    }
    client.send(tail).await;
    client.send("GET /4 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(inside.exactly(300_000).await == body);
    inside.send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n3").await;
    client.head().await;
    assert_eq!(client.exactly(1).await, "3");
    assert!(inside.head().await.starts_with("GET /4 "));
    inside.send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n4").await;
    client.head().await;
    assert_eq!(client.exactly(1).await, "4");
    // Nothing comes after what was read ahead.
    client.send("GET /5 HTTP/1.1\r\nhost: a\r\n\r\nGET /6 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(inside.head().await.starts_with("GET /5 "));
    client.send("GET /7 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // A round trip through the only worker, so that it has read that.
    crate::lab::get(lab.address(), "/no.such/../..").await;
    for n in 5..8 {
        inside.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{n}")).await;
        client.head().await;
        assert_eq!(client.exactly(1).await, n.to_string());
        if n < 7 {
            assert!(inside.head().await.starts_with(&format!("GET /{} ", n + 1)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_close_of_the_client_is_obeyed_and_not_passed_on() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let mut inside = endpoint.accept().await;
    assert!(!inside.head().await.contains("connection:"));
    inside.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert!(client.head().await.contains("\r\nconnection: close\r\n"));
    assert_eq!(client.rest().await, ("ok".to_owned(), End::Closed));
    // The endpoint's connection did not ask to be closed, and serves somebody else.
    let mut other = Wire::connect(lab.address()).await;
    other.send(GET).await;
    inside.head().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_close_of_the_endpoint_is_obeyed_and_not_passed_on() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    for _ in 0..2 {
        client.send(GET).await;
        let mut inside = endpoint.accept().await;
        inside.head().await;
        inside.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
        assert!(!client.head().await.contains("connection:"));
        assert_eq!(client.exactly(2).await, "ok");
        assert_eq!(inside.ended().await, End::Closed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_ends_with_its_connection_is_whole_for_the_client() {
    let endpoint = Canned::start("HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
    let lab = lab(endpoint.address).await;
    let answer = get(lab.address(), "/").await;
    assert_eq!((answer.status(), answer.text.as_str()), (200, "until the end"));
    assert_eq!(answer.field("transfer-encoding"), "chunked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_head_keeps_its_length_and_has_no_body() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut inside = endpoint.accept().await;
    assert!(inside.head().await.starts_with("HEAD / HTTP/1.1\r\n"));
    inside.send("HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n").await;
    assert!(client.head().await.contains("\r\ncontent-length: 12345\r\n"));
    // Both connections are ready for the next request: nothing came in between.
    client.send(GET).await;
    assert!(inside.head().await.starts_with("GET / HTTP/1.1\r\n"));
    inside.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_made_here_has_no_body_for_head() {
    let lab = once("127.0.0.1:1").await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let first = client.head().await;
    assert!(first.starts_with("HTTP/1.1 502 ") && !first.contains("content-length: 0\r\n"), "{first}");
    assert!(client.head().await.starts_with("HTTP/1.1 502 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_content_keep_their_connections() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(GET).await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    inside.send("HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 204 No Content\r\n") && !head.contains("content-length"), "{head}");
    client.send(GET).await;
    inside.head().await;
    inside.send("HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\ncontent-length: 99\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 304 Not Modified\r\n") && head.contains("etag: \"x\""), "{head}");
    client.send(GET).await;
    assert!(inside.head().await.starts_with("GET / "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_trailers_reach_the_endpoint() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client
        .send(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n",
        )
        .await;
    let mut inside = endpoint.accept().await;
    let head = inside.head().await;
    assert!(head.contains("transfer-encoding: chunked") && head.contains("trailer: x-sum"), "{head}");
    assert_eq!(inside.chunk().await, "hello");
    assert_eq!(inside.chunk().await, "");
    assert_eq!(inside.until("\r\n\r\n").await.to_ascii_lowercase(), "x-sum: 7\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_trailers_reach_a_client_that_takes_them() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n";
    let endpoint = Canned::start(answer).await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.chunk().await, "hello");
    assert_eq!(client.chunk().await, "");
    assert_eq!(client.until("\r\n\r\n").await.to_ascii_lowercase(), "x-sum: 7\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_100_continue_gets_it_when_the_body_is_wanted() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    let mut inside = endpoint.accept().await;
    assert!(!inside.head().await.contains("expect:"));
    assert_eq!(inside.exactly(5).await, "hello");
    inside.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_100_continue_is_refused_without_it() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).listener("limits: { request_body: 4 }").start().await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 413 "));
    assert!(endpoint.is_untouched().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_100_continue_hears_an_early_refusal_of_the_endpoint() {
    let endpoint = Canned::start("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    let mut head = client.head().await;
    if head.starts_with("HTTP/1.1 100 ") {
        head = client.head().await;
    }
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_body_of_a_method_that_seldom_has_one_reaches_the_endpoint() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    let mut inside = None;
    for method in ["GET", "HEAD", "DELETE"] {
        client.send(format!("{method} / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")).await;
        let inside = match &mut inside {
            Some(inside) => inside,
            none => none.insert(endpoint.accept().await),
        };
        let head = inside.head().await;
        assert!(head.contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
        assert_eq!(inside.chunk().await, "hello");
        assert_eq!(inside.chunk().await, "");
        inside.until("\r\n").await;
        inside.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_may_run_while_its_request_still_comes() {
    let endpoint = Endpoint::start(echo).await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for word in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{word}\r\n", word.len())).await;
        if word == "one" {
            assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        }
        assert_eq!(client.chunk().await, word);
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_may_end_before_its_request_does() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    assert_eq!(inside.chunk().await, "hello");
    inside.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    assert!(client.head().await.starts_with("HTTP/1.1 403 "));
    assert_eq!(client.exactly(2).await, "no");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_1_0_client_is_served_and_its_connection_closed() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("GET /old HTTP/1.0\r\n\r\n").await;
    let mut inside = endpoint.accept().await;
    let head = inside.head().await;
    assert!(head.starts_with("GET /old HTTP/1.1\r\n"), "{head}");
    // RFC 9112 section 3.2: a request of HTTP/1.1 has a Host, be it empty.
    assert!(head.contains("\r\nhost:"), "{head}");
    inside.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n") && !head.contains("transfer-encoding"), "{head}");
    assert_eq!(client.rest().await, ("hello".to_owned(), End::Closed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_1_0_client_that_asks_keeps_its_connection() {
    let endpoint = Endpoint::named("a").await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n").await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.0 200 OK\r\n") && head.contains("connection: keep-alive"), "{head}");
        assert_eq!(client.exactly(1).await, "a");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_1_0_endpoint_is_taken_for_what_it_is() {
    let endpoint = Canned::start("HTTP/1.0 200 OK\r\n\r\nold").await;
    let lab = lab(endpoint.address).await;
    let answer = get(lab.address(), "/").await;
    assert_eq!((answer.status(), answer.text.as_str()), (200, "old"));
    assert!(answer.field("via").starts_with("1.0 "), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_response_heads_pass_and_endless_ones_are_refused() {
    let fields = |count: usize| {
        format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x-a: 0123456789012345678901234567890123456789\r\n".repeat(count))
    };
    let large = Canned::start(fields(90)).await;
    let answer = get(lab(large.address).await.address(), "/").await;
    assert_eq!((answer.status(), answer.head.headers.get_all("x-a").iter().count()), (200, 90));
    let one = Canned::start(format!("HTTP/1.1 200 OK\r\nx-a: {}\r\ncontent-length: 0\r\n\r\n", "a".repeat(48 * 1024))).await;
    let answer = get(lab(one.address).await.address(), "/").await;
    assert_eq!((answer.status(), answer.field("x-a").len()), (200, 48 * 1024));
    let giant = Canned::start(format!("HTTP/1.1 200 OK\r\nx-a: {}\r\ncontent-length: 0\r\n\r\n", "a".repeat(1024 * 1024))).await;
    let answer = get(lab(giant.address).await.address(), "/").await;
    assert_eq!((answer.status(), answer.json()["reason"].as_str()), (502, Some("endpoint_protocol")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn informational_answers_do_not_take_the_place_of_the_answer() {
    let endpoint =
        Canned::start("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let lab = lab(endpoint.address).await;
    let answer = get(lab.address(), "/").await;
    assert_eq!((answer.status(), answer.text.as_str()), (200, "ok"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_absolute_form_goes_on_in_origin_form() {
    let endpoint = Endpoint::mirror().await;
    let lab = lab(endpoint.address).await;
    let text =
        Wire::exchange(lab.address(), "GET http://a.example/x?y HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n").await;
    assert!(text.contains("GET /x?y HTTP/1.1\n") && text.contains("\nhost: a.example\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_of_the_whole_server_reach_the_endpoint() {
    let endpoint = Endpoint::mirror().await;
    let lab = lab(endpoint.address).await;
    let text = Wire::exchange(lab.address(), "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(text.contains("OPTIONS * HTTP/1.1\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_cannot_remove_what_the_proxy_adds_by_naming_it() {
    let endpoint = Endpoint::mirror().await;
    let lab = lab(endpoint.address).await;
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close, host, x-forwarded-for, x-forwarded-proto, forwarded, via, x-mine\r\n\
                   x-mine: 1\r\nkeep-alive: 5\r\nproxy-connection: x\r\nte: gzip, trailers\r\nupgrade: h2c\r\nhttp2-settings: AAA\r\n\r\n";
    let text = Wire::exchange(lab.address(), request).await;
    for line in [
        "\nhost: a\n",
        "\nx-forwarded-for: 127.0.0.1\n",
        "\nx-forwarded-proto: http\n",
        "\nforwarded: ",
        "\nvia: 1.1 tidegate-",
        "\nte: trailers\n",
    ] {
        assert!(text.contains(line), "{line:?} {text}");
    }
    for name in ["x-mine", "keep-alive", "proxy-connection", "upgrade", "http2-settings"] {
        assert!(!text.contains(&format!("\n{name}:")), "{name} {text}");
    }
}
