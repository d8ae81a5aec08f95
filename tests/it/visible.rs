//! What protects the proxy and its endpoints is seen to do so: in the metrics and on the pages of the admin server.

use bytes::Bytes;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::client::{admin, ask, request_with};
use crate::lab::{Body, Endpoint, Http1, Lab, PATIENCE, full, get, request, soon};
use crate::stage::{config, list, until_metric};
use crate::wire::{Plan, Wire, lab};

/// Fails unless the metrics page has these lines.
async fn has_lines(lab: &Lab, lines: &[&str]) {
    let page = lab.metrics().await;
    for line in lines {
        assert!(page.lines().any(|known| known == *line), "{line} should be in\n{page}");
    }
}

async fn page(lab: &Lab, path: &str) -> Value {
    get(lab.admin(), path).await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_rate_limit_tells_whom_it_let_through_and_whom_it_refused() {
    let endpoint = Endpoint::named("done").await;
    let limits = "[{ name: all, requests: 3, per: 1h }, { name: tenant, requests: 2, per: 1h, key: 'header:x-tenant' }]";
    let pools = format!("agents: {{ endpoints: [\"{}\"] }}", endpoint.address);
    let lab = Lab::start(&config(&format!("{{ name: calls, pool: agents, rate_limit: {limits} }}"), &pools)).await;
    let fresh = page(&lab, "/api/v1/routes/calls").await;
    assert_eq!(fresh["rate_limits"][1]["allowed_total"], 0, "there before the first request: {fresh}");
    let statuses = ["one", "one", "one", "two", "two"].map(|tenant| {
        let address = lab.address();
        async move { ask(address, request_with(Method::GET, "/", &[("x-tenant", tenant)], "")).await.status() }
    });
    let mut seen = Vec::new();
    for status in statuses {
        seen.push(status.await);
    }
    // The third is refused by the tenant's limit, the last by that of all.
    assert_eq!(seen, [200, 200, 429, 200, 429]);
    let shown = page(&lab, "/api/v1/routes/calls").await;
    let limit = |name: &str, key: Value, refused: u64, keys: u64| json!({ "name": name, "key": key, "allowed_total": 3, "refused_total": refused, "overflow_total": 0, "keys": keys, "max_keys": 100_000 });
    assert_eq!(
        shown["rate_limits"],
        json!([limit("all", json!("route"), 1, 0), limit("tenant", json!({ "header": "x-tenant" }), 1, 2)])
    );
    has_lines(
        &lab,
        &[
            "tidegate_rate_limit_requests_total{route=\"calls\",limit=\"all\",key=\"route\",result=\"allowed\"} 3",
            "tidegate_rate_limit_requests_total{route=\"calls\",limit=\"all\",key=\"route\",result=\"refused\"} 1",
            "tidegate_rate_limit_requests_total{route=\"calls\",limit=\"tenant\",key=\"header:x-tenant\",result=\"refused\"} 1",
            "tidegate_rate_limit_keys{route=\"calls\",limit=\"tenant\",key=\"header:x-tenant\"} 2",
            "tidegate_rate_limit_overflow_total{route=\"calls\",limit=\"tenant\",key=\"header:x-tenant\"} 0",
        ],
    )
    .await;
}

/// Takes an endpoint of the pool `first` out.
async fn drain(lab: &Lab, id: &str) {
    let page = format!("/api/v1/pools/first/endpoints/{id}/drain");
    assert_eq!(admin(lab.admin(), Method::POST, &page, "").await.status(), 200);
}

/// The share of each pool of the route, in thousandths, and the attempts that it got.
async fn spread(lab: &Lab) -> Vec<(String, u64, u64)> {
    let route = page(lab, "/api/v1/routes/calls").await;
    let tier = |tier: &Value| {
        let share = tier["share"].as_f64().expect("a share");
        (
            tier["pool"].as_str().expect("a pool").to_owned(),
            (share * 1000.0).round() as u64,
            tier["attempts_total"].as_u64().unwrap(),
        )
    };
    route["failover"].as_array().unwrap_or_else(|| panic!("{route}")).iter().map(tier).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shares_of_pools_that_take_over_are_shown_with_the_attempts_that_they_got() {
    let endpoint = Endpoint::named("done").await;
    let two = list([("a", endpoint.address), ("b", endpoint.address)]);
    let pools = format!(
        "first: {{ endpoints: {two} }}, second: {{ endpoints: [\"{0}\"] }}, other: {{ endpoints: [\"{0}\"] }}",
        endpoint.address
    );
    let routes = "{ name: plain, match: { path: /plain }, pool: first }, { name: calls, pool: first, failover: [second] }, \
                  { name: split, match: { path: /split }, split: [{ pool: first, weight: 3 }, { pool: other, weight: 1 }], failover: [second] }";
    let lab = Lab::start(&config(routes, &pools)).await;
    assert_eq!(page(&lab, "/api/v1/routes/plain").await["failover"], Value::Null);
    for _ in 0..3 {
        assert_eq!(get(lab.address(), "/").await.status(), 200);
    }
    let name = str::to_owned;
    assert_eq!(spread(&lab).await, [(name("first"), 1000, 3), (name("second"), 0, 0)]);
    drain(&lab, "a").await;
    // Half of the pool times 1.4 carries 70%.
    assert_eq!(spread(&lab).await, [(name("first"), 700, 3), (name("second"), 300, 0)]);
    drain(&lab, "b").await;
    for _ in 0..2 {
        assert_eq!(get(lab.address(), "/").await.status(), 200);
    }
    assert_eq!(spread(&lab).await, [(name("first"), 0, 3), (name("second"), 1000, 2)]);
    has_lines(
        &lab,
        &[
            "tidegate_failover_share{route=\"calls\",pool=\"first\"} 0",
            "tidegate_failover_share{route=\"calls\",pool=\"second\"} 1",
            "tidegate_failover_attempts_total{route=\"calls\",pool=\"first\"} 3",
            "tidegate_failover_attempts_total{route=\"calls\",pool=\"second\"} 2",
            // Three quarters of its traffic were for the first pool.
            "tidegate_failover_share{route=\"split\",pool=\"first\"} 0",
            "tidegate_failover_share{route=\"split\",pool=\"other\"} 0.25",
            "tidegate_failover_share{route=\"split\",pool=\"second\"} 0.75",
        ],
    )
    .await;
}

/// What guards of the listener have cut, without those that have not.
async fn cuts(lab: &Lab) -> Value {
    let mut cuts = page(lab, "/api/v1/status").await["listeners"][0]["cut_total"].take();
    cuts.as_object_mut().unwrap().retain(|_, count| *count != 0);
    cuts
}

/// Waits until the guards have cut this.
async fn until_cut(lab: &Lab, expected: Value) {
    if tokio::time::timeout(PATIENCE, async { while cuts(lab).await != expected {} }).await.is_err() {
        panic!("{expected} expected, found {}", cuts(lab).await);
    }
}

async fn large(_: Request<Incoming>) -> Response<Body> {
    Response::new(full(vec![b'x'; 16 << 20]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_is_seen_to_be_cut() {
    let endpoint = Endpoint::start(large).await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { write: 200ms }").start().await;
    let fresh = page(&lab, "/api/v1/status").await;
    assert_eq!(fresh["listeners"][0]["cut_total"]["write"], 0, "{fresh}");
    let mut client = Wire::connect(lab.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until_cut(&lab, json!({ "write": 1 })).await;
    // A stream that gets no window: the connection lives on.
    let stream = TcpStream::connect(lab.address()).await.unwrap();
    let (mut send, connection) = h2::client::Builder::new().initial_window_size(0).handshake::<_, Bytes>(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get("http://agents.example.com/").body(()).unwrap();
    let (answer, _) = send.send_request(request, true).unwrap();
    let body = soon(answer).await.unwrap().into_body();
    until_cut(&lab, json!({ "write": 1, "stream_write": 1 })).await;
    assert!(!connection.is_finished());
    has_lines(
        &lab,
        &[
            "tidegate_connections_cut_total{listener=\"public\",guard=\"write\"} 1",
            "tidegate_connections_cut_total{listener=\"public\",guard=\"stream_write\"} 1",
            "tidegate_connections_cut_total{listener=\"public\",guard=\"flood\"} 0",
        ],
    )
    .await;
    drop(body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_nothing_is_seen_to_be_cut() {
    let endpoint = Endpoint::named("ok").await;
    // With two versions to choose from, the first byte would be waited for as part of the handshake.
    let keys = "protocol: http1, timeouts: { header: 200ms, keep_alive: 200ms }";
    let lab = Plan::before(endpoint.address).listener(keys).start().await;
    let mut dripping = Wire::connect(lab.address()).await;
    dripping.send("GET / HTTP/1.1\r\nhost: a\r\nx: ").await;
    assert!(dripping.rest().await.0.contains("header_timeout"));
    until_cut(&lab, json!({ "header": 1 })).await;
    assert_eq!(Wire::connect(lab.address()).await.rest().await.0, "");
    until_cut(&lab, json!({ "header": 1, "no_request": 1 })).await;
    let mut idle = Wire::connect(lab.address()).await;
    idle.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(idle.rest().await.0.ends_with("ok"));
    until_cut(&lab, json!({ "header": 1, "no_request": 1, "keep_alive": 1 })).await;
    // One that closes by itself is nobody's business.
    let answer = Wire::exchange(lab.address(), "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.ends_with("ok"), "{answer}");
    assert_eq!(cuts(&lab).await, json!({ "header": 1, "no_request": 1, "keep_alive": 1 }));
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_resets_stream_after_stream_is_seen_to_be_cut() {
    let endpoint = Endpoint::named("ok").await;
    let lab = lab(endpoint.address).await;
    // GET http://a/, ended with its head, and reset with CANCEL.
    let one = |n: u32| [frame(1, 5, 2 * n + 1, b"\x82\x84\x86\x41\x01a"), frame(3, 0, 2 * n + 1, &8_u32.to_be_bytes())].concat();
    let mut client = Wire::connect(lab.address()).await;
    client.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat()).await;
    for part in 0..100 {
        let flood: Vec<u8> = (100 * part..100 * part + 100).flat_map(one).collect();
        if !client.try_send(flood).await {
            break;
        }
    }
    until_cut(&lab, json!({ "flood": 1 })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_waits_at_the_limit_is_seen_to_wait() {
    let endpoint = Endpoint::named("ok").await;
    let lab = Plan::before(endpoint.address).listener("limits: { connections: 1 }").start().await;
    let mut first = Http1::connect(lab.address()).await;
    assert_eq!(first.ask(request("/")).await.status(), 200);
    until_metric(&lab, "tidegate_connections_waiting{listener=\"public\"}", 0).await;
    let mut second = Http1::connect(lab.address()).await;
    until_metric(&lab, "tidegate_connections_waiting{listener=\"public\"}", 1).await;
    let listener = page(&lab, "/api/v1/status").await["listeners"][0].take();
    assert_eq!(
        ["connections", "max_connections", "waiting"].map(|name| listener[name].as_u64()),
        [1, 1, 1].map(Some),
        "{listener}"
    );
    drop(first);
    assert_eq!(second.ask(request("/")).await.status(), 200);
    until_metric(&lab, "tidegate_connections_waiting{listener=\"public\"}", 0).await;
}

/// Fails unless this is a time of the last minute, as RFC 3339.
fn is_recent(time: &Value) {
    let time: jiff::Timestamp = time.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{time} is no time"));
    let age = jiff::Timestamp::now().duration_since(time);
    assert!((0..60).contains(&age.as_secs()), "{time} is {age:?} ago");
}

/// The only endpoint, once `pointer` in its page is something.
async fn endpoint_with(lab: &Lab, pointer: &str) -> Value {
    soon(async {
        loop {
            let endpoint = page(lab, "/api/v1/pools/agents/endpoints/a").await;
            if endpoint.pointer(pointer).is_some_and(|value| !value.is_null()) {
                return endpoint;
            }
        }
    })
    .await
}

fn nobody() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_about_an_endpoint_that_stays_down_is_shown_with_its_time() {
    let hook = Endpoint::named("thanks").await;
    for (webhook, result) in [(hook.address, "taken"), (nobody(), "failed")] {
        let heal = format!("heal: {{ after: 1ms, webhook: \"http://{webhook}/\" }}");
        let pool = format!("health: {{ tcp: {{}}, interval: 10ms, unhealthy_interval: 10ms, unhealthy_threshold: 1, {heal} }}");
        let lab = Plan::before(nobody()).pool(&pool).start().await;
        let endpoint = endpoint_with(&lab, "/health/heal").await;
        let heal = &endpoint["health"]["heal"];
        assert_eq!((&heal["action"], &heal["result"]), (&json!("webhook"), &json!(result)), "{heal}");
        assert_eq!(heal["error"], if result == "taken" { Value::Null } else { json!("connection refused") });
        is_recent(&heal["time"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_a_breaker_have_the_time_of_day() {
    let lab = Plan::before(nobody()).route("retry: off").start().await;
    for _ in 0..5 {
        assert_eq!(get(lab.address(), "/").await.status(), 502);
    }
    let endpoint = endpoint_with(&lab, "/breaker/transitions/0").await;
    is_recent(&endpoint["breaker"]["transitions"][0]["time"]);
}
