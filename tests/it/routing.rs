//! Which endpoint a request reaches, as what, and what comes back when it reaches none.

use http::Method;

use crate::client::{Http2, ask, request_with};
use crate::lab::{Answer, Endpoint, Lab, full, raw};

/// A lab whose routes lead to a mirror, in a pool `agents`; `rest` is what else the config has.
async fn mirrored(routes: &str, rest: &str) -> (Lab, Endpoint) {
    let mirror = Endpoint::mirror().await;
    let lab = Lab::start(&format!(
        "listeners: [{{ name: public, bind: 127.0.0.1:0 }}]\n\
         routes:\n{routes}\n\
         pools: {{ agents: {{ endpoints: [{{ id: a, address: {} }}] }} }}\n{rest}\n",
        mirror.address
    ))
    .await;
    (lab, mirror)
}

/// Routes that answer with their own name, each with this match.
fn answering(matches: &[(&str, &str)]) -> String {
    let route = |(name, matcher): &(&str, &str)| format!("  - {{ name: {name}, match: {matcher}, respond: {{ body: {name} }} }}\n");
    matches.iter().map(route).collect()
}

async fn asked(lab: &Lab, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
    ask(lab.address(), request_with(method, path, fields, "")).await
}

async fn got(lab: &Lab, path: &str, fields: &[(&str, &str)]) -> Answer {
    asked(lab, Method::GET, path, fields).await
}

/// Returns a field that the mirror received; empty when it did not.
fn received<'a>(mirrored: &'a Answer, name: &str) -> &'a str {
    let mut lines = mirrored.text.lines().filter_map(|line| line.split_once(": ")).filter(|(found, _)| *found == name);
    let value = lines.next().map_or("", |(_, value)| value);
    assert_eq!(lines.next(), None, "{name} should be one line: {}", mirrored.text);
    value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_are_matched_without_case_port_and_final_dot_and_the_most_specific_wins() {
    let routes = answering(&[
        ("any", "{}"),
        ("below", "{ hosts: [\"*.example.com\"] }"),
        ("deeper", "{ hosts: [\"*.eu.example.com\"] }"),
        ("exact", "{ hosts: [agents.example.com] }"),
    ]);
    let (lab, _mirror) = mirrored(&routes, "").await;
    for (host, expected) in [
        ("agents.example.com", "exact"),
        ("AGENTS.Example.com:8080", "exact"),
        ("agents.example.com.", "exact"),
        ("other.example.com", "below"),
        ("a.b.example.com", "below"),
        ("a.eu.example.com", "deeper"),
        ("example.com", "any"),
        ("127.0.0.1", "any"),
    ] {
        assert_eq!(got(&lab, "/", &[("host", host)]).await.text, expected, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_are_matched_by_how_specific_they_are() {
    let routes = answering(&[
        ("any", "{}"),
        ("short", "{ path: /api }"),
        ("long", "{ path: /api/v1 }"),
        ("exact", "{ path: { exact: /api/v1/status } }"),
        ("regex", "{ path: { regex: \"/(files|api)/[0-9]+\" } }"),
    ]);
    let (lab, _mirror) = mirrored(&routes, "").await;
    for (path, expected) in [
        ("/", "any"),
        ("/apiary", "any"),
        ("/api", "short"),
        ("/api/", "short"),
        ("/api/v2?x=/api/v1", "short"),
        ("/api/v1/x", "long"),
        ("/api/v1/status", "exact"),
        ("/api/v1/status/x", "long"),
        ("/files/42", "regex"),
        ("/api/42", "short"),
        ("/files/42x", "any"),
        ("/x/../api/./v1//status", "exact"),
        ("/%61pi/v1/status", "exact"),
    ] {
        assert_eq!(got(&lab, path, &[]).await.text, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_method_is_refused_and_told_which_would_do() {
    let routes = answering(&[("write", "{ path: /run, methods: [POST, PUT] }"), ("remove", "{ path: /run, methods: [DELETE] }")]);
    let (lab, _mirror) = mirrored(&routes, "").await;
    assert_eq!(asked(&lab, Method::PUT, "/run", &[]).await.text, "write");
    assert_eq!(asked(&lab, Method::DELETE, "/run", &[]).await.text, "remove");
    let refused = got(&lab, "/run", &[]).await;
    assert_eq!((refused.status(), &refused.json()["reason"]), (405, &"method_not_allowed".into()));
    let mut allowed: Vec<_> = refused.field("allow").split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "POST", "PUT"]);
    let missing = got(&lab, "/other", &[]).await;
    assert_eq!((missing.status(), &missing.json()["reason"], missing.field("allow")), (404, &"no_route".into(), ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_and_query_narrow_a_route() {
    let routes = answering(&[
        ("rest", "{}"),
        ("gold", "{ headers: { x-tier: gold } }"),
        ("beta", "{ headers: { x-beta: { present: true } }, query: { v: { regex: \"[0-9]+\" } } }"),
    ]);
    let (lab, _mirror) = mirrored(&routes, "").await;
    for (path, fields, expected) in [
        ("/", &[][..], "rest"),
        ("/", &[("x-tier", "gold")], "gold"),
        ("/", &[("x-tier", "golden")], "rest"),
        ("/", &[("x-tier", "silver"), ("x-tier", "gold")], "gold"),
        ("/?v=12", &[("x-beta", "")], "beta"),
        ("/?w=1&v=%31", &[("x-beta", "y")], "beta"),
        ("/?v=x", &[("x-beta", "y")], "rest"),
        ("/?v=12", &[], "rest"),
    ] {
        assert_eq!(got(&lab, path, fields).await.text, expected, "{path} {fields:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_sends_exactly_its_shares() {
    let (old, new) = (Endpoint::named("old").await, Endpoint::named("new").await);
    let lab = Lab::start(&format!(
        "workers: 1\n\
         listeners: [{{ name: public, bind: 127.0.0.1:0 }}]\n\
         routes: [{{ name: all, split: [{{ pool: old, weight: 4 }}, {{ pool: new, weight: 1 }}, {{ pool: off, weight: 0 }}] }}]\n\
         pools:\n\
         \x20 old: {{ endpoints: [{}] }}\n  new: {{ endpoints: [{}] }}\n  off: {{ endpoints: [127.0.0.1:9] }}\n",
        old.address, new.address
    ))
    .await;
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..50 {
        *counts.entry(got(&lab, "/", &[]).await.text).or_default() += 1;
    }
    assert_eq!(counts, [("new".to_owned(), 10), ("old".to_owned(), 40)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_route_or_a_request_requires_must_be_offered() {
    let (plain, python, both) = (Endpoint::named("plain").await, Endpoint::named("python").await, Endpoint::named("both").await);
    let lab = Lab::start(&format!(
        "listeners: [{{ name: public, bind: 127.0.0.1:0 }}]\n\
         routes:\n\
         \x20 - {{ name: coder, match: {{ path: /coder }}, pool: agents, require: [python] }}\n\
         \x20 - {{ name: rest, pool: agents }}\n\
         pools:\n\
         \x20 agents:\n\
         \x20   strategy: round_robin\n\
         \x20   endpoints:\n\
         \x20     - {{ id: plain, address: {} }}\n\
         \x20     - {{ id: python, address: {}, capabilities: [python] }}\n\
         \x20     - {{ id: both, address: {}, capabilities: [python, gpu] }}\n",
        plain.address, python.address, both.address
    ))
    .await;
    for _ in 0..6 {
        assert_ne!(got(&lab, "/coder", &[]).await.text, "plain");
        assert_eq!(got(&lab, "/coder", &[("x-tidegate-require", "gpu")]).await.text, "both");
        assert_eq!(got(&lab, "/", &[("x-tidegate-require", "gpu, python")]).await.text, "both");
    }
    let refused = got(&lab, "/coder", &[("x-tidegate-require", "rust")]).await;
    assert_eq!((refused.status(), &refused.json()["reason"]), (503, &"capability_unavailable".into()));
    let detail = refused.json()["detail"].to_string();
    assert!(detail.contains("python, rust") && detail.contains("agents"), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrite_changes_the_path_and_the_headers_of_both_ways() {
    let endpoint = Endpoint::start(|request| async move {
        let seen = format!("{} {:?} {:?}", request.uri(), request.headers().get("x-pool"), request.headers().get("cookie"));
        http::Response::builder().header("server", "secret/1.0").header("x-kept", "1").body(full(seen)).expect("a response")
    })
    .await;
    let lab = Lab::start(&format!(
        "listeners: [{{ name: public, bind: 127.0.0.1:0 }}]\n\
         routes:\n\
         \x20 - name: coder\n\
         \x20   match: {{ path: /coder }}\n\
         \x20   pool: agents\n\
         \x20   rewrite:\n\
         \x20     prefix: /v1\n\
         \x20     set_headers: {{ x-pool: coders }}\n\
         \x20     remove_headers: [cookie]\n\
         \x20     set_response_headers: {{ x-answered-by: tidegate }}\n\
         \x20     remove_response_headers: [server]\n\
         pools: {{ agents: {{ endpoints: [{}] }} }}\n",
        endpoint.address
    ))
    .await;
    let answer = got(&lab, "/coder/run?a=/coder", &[("cookie", "a=b"), ("x-pool", "mine")]).await;
    assert_eq!(answer.text, "/v1/run?a=/coder Some(\"coders\") None");
    assert_eq!((answer.field("server"), answer.field("x-kept"), answer.field("x-answered-by")), ("", "1", "tidegate"));
    assert_eq!(got(&lab, "/coder?x", &[]).await.text, "/v1?x Some(\"coders\") None");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_keeps_what_it_does_not_replace() {
    let routes = "  - { name: docs, match: { path: /docs }, redirect: { status: 308, host: docs.example.com, prefix: /v2 } }\n\
                  \x20 - { name: secure, match: { path: /secure }, redirect: { scheme: https } }\n\
                  \x20 - { name: gone, match: { path: /gone }, redirect: { status: 301, path: \"/new?from=gone\" } }\n";
    let (lab, _mirror) = mirrored(routes, "").await;
    for (path, status, location) in [
        ("/docs/a?b=c", 308, "http://docs.example.com/v2/a?b=c"),
        ("/secure/x?y", 307, "https://agents.example.com/secure/x?y"),
        ("/gone/away?q=1", 301, "/new?from=gone"),
    ] {
        let answer = got(&lab, path, &[]).await;
        assert_eq!((answer.status(), answer.field("location"), answer.text.as_str()), (status, location, ""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fixed_answer_has_its_length_for_head_and_no_body() {
    let routes = "  - { name: gone, match: { path: /v1 }, respond: { status: 410, headers: { content-type: text/plain }, body: gone } }\n\
         \x20 - { name: empty, match: { path: /none }, respond: { status: 204 } }\n";
    let (lab, _mirror) = mirrored(routes, "").await;
    let whole = got(&lab, "/v1/x", &[]).await;
    assert_eq!((whole.status(), whole.text.as_str(), whole.field("content-type")), (410, "gone", "text/plain"));
    assert_eq!(whole.field("content-length"), "4");
    assert!(!whole.field("date").is_empty() && !whole.field("x-request-id").is_empty());
    let head = asked(&lab, Method::HEAD, "/v1/x", &[]).await;
    assert_eq!((head.status(), head.text.as_str(), head.field("content-length")), (410, "", "4"));
    let empty = got(&lab, "/none", &[]).await;
    assert_eq!((empty.status(), empty.text.as_str()), (204, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_endpoint_receives_the_path_that_was_matched() {
    let (lab, _mirror) = mirrored("  - { name: all, pool: agents }", "").await;
    let target = async |path: &str| {
        let text = raw(lab.address(), format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await;
        let line = text.lines().find(|line| line.starts_with("GET ") || line.starts_with("{")).unwrap_or_default().to_owned();
        line.strip_prefix("GET ").and_then(|line| line.strip_suffix(" HTTP/1.1")).map_or(line.clone(), str::to_owned)
    };
    assert_eq!(target("/a/./b/../c%2fd//e?f=/../%2f").await, "/a/c%2Fd/e?f=/../%2f");
    assert_eq!(target("http://a/x/../y?z").await, "/y?z");
    assert!(target("/../etc/passwd").await.contains("\"reason\":\"invalid_target\""));
    assert!(target("/a%00b").await.contains("\"reason\":\"invalid_target\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_is_the_clients_or_the_pools() {
    let mirror = Endpoint::mirror().await;
    let pool =
        |name: &str, host: &str| format!("  {name}: {{ endpoints: [{}], upstream: {{ host: \"{host}\" }} }}\n", mirror.address);
    let lab = Lab::start(&format!(
        "listeners: [{{ name: public, bind: 127.0.0.1:0 }}]\n\
         routes:\n\
         \x20 - {{ name: client, match: {{ path: /client }}, pool: client }}\n\
         \x20 - {{ name: endpoint, match: {{ path: /endpoint }}, pool: endpoint }}\n\
         \x20 - {{ name: fixed, match: {{ path: /fixed }}, pool: fixed }}\n\
         pools:\n{}{}{}",
        pool("client", "client"),
        pool("endpoint", "endpoint"),
        pool("fixed", "inner.example.com"),
    ))
    .await;
    let endpoint = mirror.address.to_string();
    for (path, expected) in
        [("/client", "Agents.example.com:99"), ("/endpoint", endpoint.as_str()), ("/fixed", "inner.example.com")]
    {
        let answer = got(&lab, path, &[("host", "Agents.example.com:99")]).await;
        assert_eq!(received(&answer, "host"), expected);
        assert_eq!(received(&answer, "x-forwarded-host"), "Agents.example.com:99");
    }
    let mut http2 = Http2::connect(lab.address()).await;
    let request = http::Request::get("http://two.example.com/client").body(full("")).expect("a request");
    assert_eq!(received(&http2.ask(request).await, "host"), "two.example.com", "`:authority` becomes `Host`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_comes_round_is_refused() {
    let (lab, _mirror) = mirrored("  - { name: all, pool: agents }", "").await;
    let answer = got(&lab, "/", &[("via", "1.1 tidegate-0000000000000000")]).await;
    assert_eq!(answer.status(), 200, "a namesake is no loop");
    let own = answer.text.lines().filter_map(|line| line.strip_prefix("via: ")).next_back().expect("a Via of our own").to_owned();
    assert!(answer.field("via").starts_with("1.1 tidegate-"), "{answer:?}");
    let refused = got(&lab, "/", &[("via", &format!("1.0 other, {own}"))]).await;
    assert_eq!((refused.status(), &refused.json()["reason"]), (508, &"loop_detected".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_kept_or_made_and_is_the_same_everywhere() {
    let (lab, _mirror) = mirrored("  - { name: all, match: { path: /ok }, pool: agents }", "").await;
    let kept = got(&lab, "/ok", &[("x-request-id", "abc-1")]).await;
    assert_eq!((received(&kept, "x-request-id"), kept.field("x-request-id")), ("abc-1", "abc-1"));
    let made = got(&lab, "/ok", &[]).await;
    let id = made.field("x-request-id");
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(received(&made, "x-request-id"), id);
    let refused = got(&lab, "/nowhere", &[("x-request-id", "abc-2")]).await;
    assert_eq!((refused.field("x-request-id"), &refused.json()["request_id"]), ("abc-2", &"abc-2".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_is_passed_on_or_begun() {
    let (lab, _mirror) = mirrored("  - { name: all, pool: agents }", "").await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let passed = got(&lab, "/", &[("traceparent", trace), ("tracestate", "a=b")]).await;
    assert_eq!((received(&passed, "traceparent"), received(&passed, "tracestate")), (trace, "a=b"));
    let begun = got(&lab, "/", &[("traceparent", "nonsense"), ("tracestate", "a=b")]).await;
    assert_eq!((received(&begun, "traceparent").len(), received(&begun, "tracestate")), (55, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stranger_says_of_others_is_replaced_and_a_trusted_proxy_is_believed() {
    let claims = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https"), ("x-real-ip", "203.0.113.9")];
    let (strangers, _mirror) = mirrored("  - { name: all, pool: agents }", "").await;
    let answer = got(&strangers, "/", &claims).await;
    assert_eq!(received(&answer, "x-forwarded-for"), "127.0.0.1");
    assert_eq!((received(&answer, "x-forwarded-proto"), received(&answer, "x-real-ip")), ("http", ""));
    assert_eq!(received(&answer, "forwarded"), "for=127.0.0.1;by=_tidegate;proto=http;host=agents.example.com");

    let trusting = "forwarding: { trusted: [127.0.0.0/8], forwarded: false, name: edge }";
    let (trusted, _mirror) = mirrored("  - { name: all, pool: agents }", trusting).await;
    let answer = got(&trusted, "/", &claims).await;
    assert_eq!(received(&answer, "x-forwarded-for"), "203.0.113.9, 127.0.0.1");
    assert_eq!((received(&answer, "x-forwarded-proto"), received(&answer, "forwarded")), ("https", ""));
    assert!(answer.field("via").starts_with("1.1 edge-"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hop_by_hop_fields_stay_on_their_hop() {
    let (lab, _mirror) = mirrored("  - { name: all, pool: agents }", "").await;
    let fields =
        [("connection", "x-secret, x-forwarded-for"), ("x-secret", "1"), ("proxy-authorization", "Basic x"), ("te", "trailers")];
    let answer = got(&lab, "/", &fields).await;
    assert_eq!((received(&answer, "x-secret"), received(&answer, "proxy-authorization")), ("", ""));
    assert_eq!((received(&answer, "x-forwarded-for"), received(&answer, "te")), ("127.0.0.1", "trailers"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_a_problem_document_with_its_proxy_status() {
    let (lab, _mirror) = mirrored("  - { name: all, match: { path: /ok }, pool: agents }", "forwarding: { name: edge }").await;
    let answer = got(&lab, "/nowhere", &[]).await;
    assert_eq!((answer.status(), answer.field("content-type")), (404, "application/problem+json"));
    assert_eq!(answer.field("cache-control"), "no-store");
    let status = answer.field("proxy-status");
    assert!(status.starts_with("edge; error=destination_not_found; details=\""), "{status}");
    let problem = answer.json();
    assert_eq!((&problem["status"], &problem["reason"], &problem["title"]), (&404.into(), &"no_route".into(), &"No route".into()));
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    let head = asked(&lab, Method::HEAD, "/nowhere", &[]).await;
    assert_eq!((head.status(), head.text.as_str()), (404, ""));
    let grpc = asked(&lab, Method::POST, "/nowhere", &[("content-type", "application/grpc")]).await;
    assert_eq!((grpc.status(), grpc.field("grpc-status"), grpc.text.as_str()), (200, "12", ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_may_be_for_one_listener_only() {
    let inner = Endpoint::named("inner pool").await;
    let lab = Lab::start(&format!(
        "listeners:\n\
         \x20 - {{ name: public, bind: 127.0.0.1:0 }}\n\
         \x20 - {{ name: private, bind: 127.0.0.1:0, pool: inner }}\n\
         routes:\n\
         \x20 - {{ name: secret, match: {{ listeners: [private], path: /secret }}, respond: {{ body: secret }} }}\n\
         \x20 - {{ name: both, match: {{ path: /both }}, respond: {{ body: both }} }}\n\
         pools: {{ inner: {{ endpoints: [{}] }} }}\n",
        inner.address
    ))
    .await;
    let [public, private] = ["public", "private"].map(|name| lab.listener(name));
    for (address, path, status, text) in [
        (private, "/secret", 200, "secret"),
        (private, "/both", 200, "both"),
        (public, "/both", 200, "both"),
        (private, "/other", 200, "inner pool"),
    ] {
        let answer = crate::lab::get(address, path).await;
        assert_eq!((answer.status(), answer.text.as_str()), (status, text), "{path}");
    }
    assert_eq!(crate::lab::get(public, "/secret").await.status(), 404);
    assert_eq!(crate::lab::get(public, "/other").await.status(), 404);
}
