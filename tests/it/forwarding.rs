//! What a proxy owes both sides of a request it passes on, and how it answers one that it cannot.

use http::{HeaderName, HeaderValue, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::lab::{Answer, Body, Endpoint, Http1, Lab, full, read, request, soon};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Starts a proxy before one endpoint, with `rest` as the rest of the file.
async fn before(endpoint: &Endpoint, rest: &str) -> Lab {
    pool(&format!("{{ endpoints: [{{ id: a, address: {} }}] }}", endpoint.address), rest).await
}

/// Starts a proxy before an endpoint that answers with what it received.
async fn before_mirror(rest: &str) -> (Endpoint, Lab) {
    let mirror = Endpoint::mirror().await;
    let lab = before(&mirror, rest).await;
    (mirror, lab)
}

/// Starts a proxy before this pool.
async fn pool(pool: &str, rest: &str) -> Lab {
    Lab::start(&format!("listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}]\npools: {{ agents: {pool} }}\n{rest}\n"))
        .await
}

fn with(mut request: Request<Body>, fields: &[(&'static str, &'static str)]) -> Request<Body> {
    for (name, value) in fields {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    request
}

async fn ask(lab: &Lab, fields: &[(&'static str, &'static str)]) -> Answer {
    Http1::connect(lab.address()).await.ask(with(request("/"), fields)).await
}

/// Returns the lines of a field as a mirror received them.
fn received<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer
        .text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(other, _)| *other == name)
        .map(|(_, value)| value)
        .collect()
}

/// Tells whether this is `NAME-` and the 16 digits of a process, behind the version.
fn is_via(value: &str, start: &str) -> bool {
    let instance = value.strip_prefix(start).unwrap_or_default();
    instance.len() == 16 && instance.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_untrusted_client_claims_about_itself_is_replaced() {
    let (_mirror, lab) = before_mirror("").await;
    let claims = [
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-for", "192.0.2.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-port", "443"),
        ("x-real-ip", "192.0.2.3"),
        ("forwarded", "for=192.0.2.4"),
    ];
    let answer = ask(&lab, &claims).await;
    assert_eq!(received(&answer, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(received(&answer, "x-forwarded-proto"), ["http"]);
    assert_eq!(received(&answer, "x-forwarded-host"), ["agents.example.com"]);
    assert_eq!(received(&answer, "forwarded"), ["for=127.0.0.1;by=_tidegate;proto=http;host=agents.example.com"]);
    assert!(!answer.text.contains("192.0.2") && !answer.text.contains("x-forwarded-port"), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trusted_client_says_is_kept_and_added_to() {
    let (_mirror, lab) = before_mirror("forwarding: { trusted: [127.0.0.0/8], name: gateway-eu }").await;
    let said = [
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-for", "192.0.2.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "public.example"),
        ("forwarded", "for=192.0.2.4;proto=https"),
    ];
    let answer = ask(&lab, &said).await;
    assert_eq!(received(&answer, "x-forwarded-for"), ["192.0.2.1, 192.0.2.2, 127.0.0.1"]);
    assert_eq!(received(&answer, "x-forwarded-proto"), ["https"]);
    assert_eq!(received(&answer, "x-forwarded-host"), ["public.example"]);
    let own = "for=127.0.0.1;by=_gateway-eu;proto=http;host=agents.example.com";
    assert_eq!(received(&answer, "forwarded"), [format!("for=192.0.2.4;proto=https, {own}")]);
    let plain = ask(&lab, &[]).await;
    assert_eq!(received(&plain, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(received(&plain, "x-forwarded-proto"), ["http"]);
    assert_eq!(received(&plain, "forwarded"), [own]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_forwarded_of_our_own_the_clients_is_still_not_believed() {
    let (_mirror, lab) = before_mirror("forwarding: { forwarded: false }").await;
    let answer = ask(&lab, &[("forwarded", "for=192.0.2.4")]).await;
    assert_eq!(received(&answer, "forwarded"), [""; 0]);
    assert_eq!(received(&answer, "x-forwarded-for"), ["127.0.0.1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn via_is_added_on_both_ways() {
    let endpoint = Endpoint::start(|request: Request<_>| async move {
        let seen: Vec<_> = request.headers().get_all("via").iter().map(|value| value.to_str().unwrap()).collect();
        Response::builder().header("via", "1.1 inner").body(full(seen.join(", "))).unwrap()
    })
    .await;
    let lab = before(&endpoint, "").await;
    let answer = ask(&lab, &[("via", "1.0 outer")]).await;
    let (first, own) = answer.text.split_once(", ").expect("two entries");
    assert!(first == "1.0 outer" && is_via(own, "1.1 tidegate-"), "{}", answer.text);
    let back: Vec<_> = answer.head.headers.get_all("via").iter().collect();
    assert_eq!(back, ["1.1 inner", own]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_comes_round_again_is_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("inner.sock");
    let lab = Lab::start(&format!(
        "listeners:
  - {{ name: public, bind: 127.0.0.1:0, pool: itself }}
  - {{ name: inner, bind: 'unix:{0}', pool: itself }}
pools: {{ itself: {{ endpoints: ['unix:{0}'] }} }}
",
        socket.display()
    ))
    .await;
    let answer = Http1::connect(lab.listener("public")).await.ask(request("/")).await;
    assert_eq!((answer.status(), answer.json()["reason"].as_str()), (508, Some("loop_detected")));
    assert!(answer.field("proxy-status").starts_with("tidegate; error=proxy_loop_detected"), "{}", answer.field("proxy-status"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_of_one_name_in_a_row_are_no_loop() {
    let (_mirror, inner) = before_mirror("").await;
    let outer = pool(&format!("{{ endpoints: [{}] }}", inner.address()), "").await;
    let answer = ask(&outer, &[]).await;
    let via = received(&answer, "via");
    assert!(via.len() == 2 && via[0] != via[1] && via.iter().all(|value| is_via(value, "1.1 tidegate-")), "{via:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_kept_or_made_and_told_to_both_sides() {
    let endpoint = Endpoint::start(|request: Request<_>| async move {
        let id = request.headers()["x-request-id"].to_str().unwrap().to_owned();
        Response::builder().header("x-request-id", "of-the-endpoint").body(full(id)).unwrap()
    })
    .await;
    let lab = before(&endpoint, "").await;
    let kept = ask(&lab, &[("x-request-id", "mine-1")]).await;
    assert_eq!((kept.text.as_str(), kept.field("x-request-id")), ("mine-1", "mine-1"));
    let first = ask(&lab, &[]).await;
    let second = ask(&lab, &[("x-request-id", "not one word")]).await;
    for made in [&first, &second] {
        assert!(made.text.len() == 32 && made.text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", made.text);
        assert_eq!(made.field("x-request-id"), made.text);
        assert_eq!(made.head.headers.get_all("x-request-id").iter().count(), 1);
    }
    assert_ne!(first.text, second.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_is_passed_on_or_begun() {
    let (_mirror, lab) = before_mirror("").await;
    let passed = ask(&lab, &[("traceparent", TRACE), ("tracestate", "a=b")]).await;
    assert_eq!((received(&passed, "traceparent"), received(&passed, "tracestate")), (vec![TRACE], vec!["a=b"]));
    let mut begun = Vec::new();
    for fields in [&[][..], &[("traceparent", "00-nonsense"), ("tracestate", "a=b")]] {
        let answer = ask(&lab, fields).await;
        let trace = received(&answer, "traceparent").concat();
        let lengths: Vec<_> = trace.split('-').map(str::len).collect();
        assert!(trace.starts_with("00-") && trace.ends_with("-00") && lengths == [2, 32, 16, 2], "{trace}");
        assert_eq!(received(&answer, "tracestate"), [""; 0]);
        begun.push(trace);
    }
    assert_ne!(begun[0], begun[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pool_says_which_host_the_endpoint_sees() {
    let mirror = Endpoint::mirror().await;
    let address = mirror.address.to_string();
    for (mode, seen) in
        [("client", "agents.example.com"), ("endpoint", address.as_str()), ("agents.internal:81", "agents.internal:81")]
    {
        let lab = pool(&format!("{{ endpoints: [{address}], upstream: {{ host: '{mode}' }} }}"), "").await;
        let answer = ask(&lab, &[]).await;
        assert_eq!(received(&answer, "host"), [seen], "{mode}");
        assert_eq!(received(&answer, "x-forwarded-host"), ["agents.example.com"], "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_one_connection_do_not_reach_the_endpoint() {
    let (_mirror, lab) = before_mirror("").await;
    let answer = ask(
        &lab,
        &[
            ("connection", "keep-alive, X-Secret"),
            ("connection", "x-forwarded-for, host, x-request-id"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "basic x"),
            ("te", "gzip, trailers"),
            ("x-secret", "1"),
            ("x-open", "2"),
        ],
    )
    .await;
    for name in ["connection", "keep-alive", "proxy-connection", "proxy-authorization", "x-secret"] {
        assert_eq!(received(&answer, name), [""; 0], "{name}");
    }
    assert_eq!(received(&answer, "te"), ["trailers"]);
    assert_eq!(received(&answer, "x-open"), ["2"]);
    // What the client names does not take away what the proxy adds.
    assert_eq!(received(&answer, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(received(&answer, "host"), ["agents.example.com"]);
    assert_eq!(received(&answer, "x-request-id").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_one_connection_do_not_reach_the_client() {
    let endpoint = Endpoint::start(|_| async {
        let response = Response::builder().header("connection", "x-internal").header("x-internal", "1").header("x-open", "2");
        let response = response.header("keep-alive", "timeout=5").header("proxy-authenticate", "basic");
        response.body(full("hello")).unwrap()
    })
    .await;
    let lab = before(&endpoint, "").await;
    let answer = ask(&lab, &[]).await;
    for name in ["connection", "x-internal", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.field(name), "", "{name}");
    }
    assert_eq!((answer.text.as_str(), answer.field("x-open")), ("hello", "2"));
}

/// Starts a proxy before a socket that refuses connections.
async fn before_nobody(rest: &str) -> (Lab, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("gone.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    (
        pool(&format!("{{ circuit_breaker: off, endpoints: [{{ id: gone, address: 'unix:{}' }}] }}", socket.display()), rest).await,
        folder,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_told_as_a_problem_document_with_proxy_status() {
    let (lab, _folder) = before_nobody("forwarding: { name: gateway-eu }").await;
    let answer = ask(&lab, &[("x-request-id", "mine-2")]).await;
    assert_eq!(answer.status(), 502);
    assert_eq!((answer.field("content-type"), answer.field("cache-control")), ("application/problem+json", "no-store"));
    assert_eq!(answer.field("x-request-id"), "mine-2");
    let proxy_status = answer.field("proxy-status");
    assert!(proxy_status.starts_with("gateway-eu; error=connection_refused; details=\""), "{proxy_status}");
    let document = answer.json();
    for (name, value) in [
        ("status", serde_json::json!(502)),
        ("title", "Endpoint refused the connection".into()),
        ("reason", "connection_refused".into()),
        ("request_id", "mine-2".into()),
    ] {
        assert_eq!(document[name], value, "{name}");
    }
    assert!(document["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{document}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_told_to_head_without_the_document() {
    let (lab, _folder) = before_nobody("").await;
    let mut client = Http1::connect(lab.address()).await;
    // Twice on one connection: a body after the first answer would spoil the second.
    for _ in 0..2 {
        let mut head = request("/");
        *head.method_mut() = Method::HEAD;
        let answer = client.ask(head).await;
        assert_eq!((answer.status(), answer.text.as_str()), (502, ""));
        assert!(answer.field("proxy-status").contains("error=connection_refused"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_told_to_grpc_as_trailers_only() {
    let (lab, _folder) = before_nobody("").await;
    let stream = TcpStream::connect(lab.address()).await.expect("the proxy should accept");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = soon(handshake).await.expect("a handshake");
    tokio::spawn(connection);
    let uri = format!("http://{}/agents.Agent/Run", lab.address());
    let call = Request::post(uri).header("content-type", "application/grpc+proto").header("te", "trailers");
    let response = soon(client.send_request(call.body(full("x")).unwrap())).await.expect("a response");
    assert!(http_body::Body::is_end_stream(response.body()), "the head should end the stream");
    let answer = read(response).await;
    assert_eq!((answer.status(), answer.text.as_str()), (200, ""));
    assert_eq!((answer.field("content-type"), answer.field("grpc-status")), ("application/grpc", "14"));
    let message = answer.field("grpc-message").replace("%20", " ");
    assert!(message.starts_with("Endpoint refused the connection"), "{message}");
    assert!(answer.field("proxy-status").starts_with("tidegate; error=connection_refused"));
    assert_eq!(answer.field("x-request-id").len(), 32);
}
