//! Which route takes a request, and what the route does with it.

use http::{HeaderName, Method, Request};

use crate::lab::{Answer, Body, Endpoint, Http1, Lab, full};

/// Starts a proxy with these routes, and for each name a pool of one endpoint.
async fn gateway(routes: &str, pools: &[(&str, &Endpoint)]) -> Lab {
    let pools: String = pools
        .iter()
        .map(|(name, endpoint)| format!("  {name}: {{ endpoints: [{{ id: {name}, address: {} }}] }}\n", endpoint.address))
        .collect();
    let pools = if pools.is_empty() { String::new() } else { format!("pools:\n{pools}") };
    Lab::start(&format!("workers: 1\nlisteners: [{{ name: public, bind: 127.0.0.1:0 }}]\nroutes:\n{routes}\n{pools}")).await
}

fn request(method: Method, host: &str, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).header("host", host).body(full("")).expect("a valid request")
}

fn get(path: &str) -> Request<Body> {
    request(Method::GET, "agents.example.com", path)
}

fn with(mut request: Request<Body>, name: &'static str, value: &'static str) -> Request<Body> {
    request.headers_mut().append(HeaderName::from_static(name), http::HeaderValue::from_static(value));
    request
}

async fn ask(lab: &Lab, request: Request<Body>) -> Answer {
    Http1::connect(lab.address()).await.ask(request).await
}

fn reason(answer: &Answer) -> String {
    answer.json()["reason"].as_str().unwrap_or_default().to_owned()
}

/// Returns the values of a field as a mirror received them.
fn received<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    answer
        .text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(other, _)| *other == name)
        .map(|(_, value)| value)
        .collect()
}

/// Returns the request line as a mirror received it, without the version.
fn target(answer: &Answer) -> &str {
    let line = answer.text.lines().next().unwrap_or_default();
    line.strip_suffix(" HTTP/1.1").unwrap_or(line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exact_host_goes_before_a_wildcard_and_that_before_any_host() {
    let lab = gateway(
        "  - { name: any, respond: { body: any } }
  - { name: below, match: { hosts: ['*.example.com'] }, respond: { body: below } }
  - { name: exact, match: { hosts: [agents.example.com] }, respond: { body: exact } }",
        &[],
    )
    .await;
    let mut client = Http1::connect(lab.address()).await;
    for (host, route) in [
        ("agents.example.com", "exact"),
        ("AGENTS.Example.com:8080", "exact"),
        ("agents.example.com.", "exact"),
        ("other.example.com", "below"),
        ("a.b.example.com", "below"),
        ("example.com", "any"),
        ("badexample.com", "any"),
        ("127.0.0.1", "any"),
    ] {
        assert_eq!(client.ask(request(Method::GET, host, "/")).await.text, route, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_match_exactly_by_prefix_on_segment_borders_or_by_a_whole_expression() {
    let lab = gateway(
        "  - { name: any, respond: { body: any } }
  - { name: regex, match: { path: { regex: '/v[0-3](/.*)?' } }, respond: { body: regex } }
  - { name: short, match: { path: /coder }, respond: { body: short } }
  - { name: long, match: { path: { prefix: /coder/deep } }, respond: { body: long } }
  - { name: exact, match: { path: { exact: /coder/deep/one } }, respond: { body: exact } }",
        &[],
    )
    .await;
    let mut client = Http1::connect(lab.address()).await;
    for (path, route) in [
        ("/coder", "short"),
        ("/coder/", "short"),
        ("/coder/run?x=/v1", "short"),
        ("/coder/deeper", "short"),
        ("/coder/deep", "long"),
        ("/coder/deep/two", "long"),
        ("/coder/deep/one?x=1", "exact"),
        ("/coder/deep/one/more", "long"),
        ("/coders", "any"),
        ("/Coder", "any"),
        ("/v2", "regex"),
        ("/v3/chat", "regex"),
        ("/v2x", "any"),
        ("/x/v2", "any"),
        ("/", "any"),
    ] {
        assert_eq!(client.ask(get(path)).await.text, route, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_no_route_takes_is_answered_with_404() {
    let lab = gateway("  - { name: one, match: { hosts: [a.example], path: /one }, respond: {} }", &[]).await;
    for (host, path) in [("a.example", "/two"), ("b.example", "/one")] {
        let answer = ask(&lab, request(Method::GET, host, path)).await;
        assert_eq!((answer.status(), reason(&answer).as_str()), (404, "no_route"), "{host}{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_no_route_takes_is_answered_with_those_that_are_taken() {
    let lab = gateway(
        "  - { name: write, match: { path: /coder, methods: [POST, PUT] }, respond: { body: write } }
  - { name: read, match: { path: /coder, methods: [GET] }, respond: { body: read } }",
        &[],
    )
    .await;
    assert_eq!(ask(&lab, request(Method::POST, "a", "/coder")).await.text, "write");
    assert_eq!(ask(&lab, request(Method::PUT, "a", "/coder")).await.text, "write");
    assert_eq!(ask(&lab, request(Method::GET, "a", "/coder")).await.text, "read");
    let answer = ask(&lab, request(Method::DELETE, "a", "/coder")).await;
    assert_eq!((answer.status(), reason(&answer).as_str()), (405, "method_not_allowed"));
    let mut allowed: Vec<&str> = answer.field("allow").split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "POST", "PUT"]);
    assert_eq!(ask(&lab, request(Method::DELETE, "a", "/other")).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_fields_choose_a_route_by_value_by_expression_or_by_being_there() {
    let lab = gateway(
        "  - { name: gold, match: { headers: { x-tier: gold } }, respond: { body: gold } }
  - { name: numbered, match: { headers: { x-tier: { regex: 'v[0-9]+' } } }, respond: { body: numbered } }
  - { name: tried, match: { headers: { x-trial: { present: true } } }, respond: { body: tried } }
  - { name: other, respond: { body: other } }",
        &[],
    )
    .await;
    for (name, value, route) in [
        ("x-tier", "gold", "gold"),
        ("x-tier", "golden", "other"),
        ("x-tier", "v12", "numbered"),
        ("x-tier", "v12b", "other"),
        ("x-trial", "", "tried"),
        ("x-other", "gold", "other"),
    ] {
        assert_eq!(ask(&lab, with(get("/"), name, value)).await.text, route, "{name}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_parameters_choose_a_route_after_decoding() {
    let lab = gateway(
        "  - { name: fast, match: { query: { mode: 'very fast' } }, respond: { body: fast } }
  - { name: debug, match: { query: { debug: { present: true } } }, respond: { body: debug } }
  - { name: other, respond: { body: other } }",
        &[],
    )
    .await;
    for (path, route) in [
        ("/?mode=very%20fast", "fast"),
        ("/?a=b&mode=very+fast&c", "fast"),
        ("/?m%6Fde=very%20fast", "fast"),
        ("/?mode=very%20faster", "other"),
        ("/?debug", "debug"),
        ("/?nodebug=1", "other"),
        ("/", "other"),
    ] {
        assert_eq!(ask(&lab, get(path)).await.text, route, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_gives_each_pool_exactly_its_share() {
    let (stable, next) = (Endpoint::named("stable").await, Endpoint::named("next").await);
    let off = Endpoint::named("off").await;
    let routes = "  - { name: all, split: [{ pool: stable, weight: 3 }, { pool: next }, { pool: off, weight: 0 }] }";
    let lab = gateway(routes, &[("stable", &stable), ("next", &next), ("off", &off)]).await;
    let mut client = Http1::connect(lab.address()).await;
    let mut answers = Vec::new();
    for _ in 0..12 {
        answers.push(client.ask(get("/")).await.text);
    }
    for cycle in answers.chunks(4) {
        let count = |name| cycle.iter().filter(|text| *text == name).count();
        assert_eq!((count("stable"), count("next")), (3, 1), "{answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_endpoint_with_the_required_capabilities_gets_a_request() {
    let (plain, python, both) = (Endpoint::named("plain").await, Endpoint::named("python").await, Endpoint::named("both").await);
    let lab = Lab::start(&format!(
        "workers: 1
listeners: [{{ name: public, bind: 127.0.0.1:0 }}]
routes:
  - {{ name: python, match: {{ path: /python }}, pool: agents, require: [python] }}
  - {{ name: any, pool: agents }}
pools:
  agents:
    strategy: round_robin
    endpoints:
      - {{ id: plain, address: {} }}
      - {{ id: python, address: {}, capabilities: [python] }}
      - {{ id: both, address: {}, capabilities: [python, gpu] }}
",
        plain.address, python.address, both.address
    ))
    .await;
    let mut client = Http1::connect(lab.address()).await;
    for (path, require, expected) in [
        ("/python", "", &["both", "python"][..]),
        ("/", "python", &["both", "python"]),
        ("/python", "gpu", &["both"]),
        ("/", "gpu, python", &["both"]),
        ("/", "", &["both", "plain", "python"]),
    ] {
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(client.ask(with(get(path), "x-tidegate-require", require)).await.text);
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen, expected, "{path} {require}");
    }
    let answer = client.ask(with(get("/python"), "x-tidegate-require", "cobol")).await;
    assert_eq!((answer.status(), reason(&answer).as_str()), (503, "capability_unavailable"));
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains("python") && detail.contains("cobol") && detail.contains("agents"), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_matched_prefix_is_rewritten_and_the_query_kept() {
    let mirror = Endpoint::mirror().await;
    let lab = gateway(
        "  - { name: root, match: { path: /coder }, pool: agents, rewrite: { prefix: / } }
  - { name: deep, match: { path: /a/b }, pool: agents, rewrite: { prefix: /v1/x } }
  - { name: exact, match: { path: { exact: /one } }, pool: agents, rewrite: { prefix: /two } }
  - { name: rest, pool: agents }",
        &[("agents", &mirror)],
    )
    .await;
    let mut client = Http1::connect(lab.address()).await;
    for (path, seen) in [
        ("/coder/run?x=1&y=%2F", "GET /run?x=1&y=%2F"),
        ("/coder?x", "GET /?x"),
        ("/coder/", "GET /"),
        ("/coder//evil.example", "GET /evil.example"),
        ("/a/b/c", "GET /v1/x/c"),
        ("/a/b", "GET /v1/x"),
        ("/one?q", "GET /two?q"),
        ("/coders/run", "GET /coders/run"),
    ] {
        assert_eq!(target(&client.ask(get(path)).await), seen, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_fields_are_set_and_removed_on_both_ways() {
    let endpoint = Endpoint::start(|request| async move {
        let seen = |name: &str| {
            let values: Vec<_> = request.headers().get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect();
            values.join("|")
        };
        let text = format!("pool={} cookie={} keep={}", seen("x-pool"), seen("cookie"), seen("x-keep"));
        let response = http::Response::builder().header("server", "agent/1").header("x-secret", "1").header("x-keep", "2");
        response.body(full(text)).unwrap()
    })
    .await;
    let lab = gateway(
        "  - name: all
    pool: agents
    rewrite:
      set_headers: { x-pool: coders }
      remove_headers: [cookie]
      set_response_headers: { server: gate }
      remove_response_headers: [x-secret]",
        &[("agents", &endpoint)],
    )
    .await;
    let request = with(with(get("/"), "x-pool", "mine"), "x-pool", "yours");
    let answer = ask(&lab, with(with(request, "cookie", "a=b"), "x-keep", "1")).await;
    assert_eq!(answer.text, "pool=coders cookie= keep=1");
    assert_eq!((answer.field("server"), answer.field("x-secret"), answer.field("x-keep")), ("gate", "", "2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_tells_the_new_place() {
    let lab = gateway(
        "  - { name: docs, match: { path: { exact: /docs } }, redirect: { status: 308, host: docs.example.com, path: /start } }
  - { name: moved, match: { path: /old }, redirect: { prefix: /new } }
  - { name: rest, redirect: { status: 301, scheme: https } }",
        &[],
    )
    .await;
    for (path, status, location) in [
        ("/docs?x", 308, "http://docs.example.com/start"),
        ("/old/a?x=1", 307, "/new/a?x=1"),
        ("/old//evil.example", 307, "/new/evil.example"),
        ("/older?x=1", 301, "https://agents.example.com/older?x=1"),
    ] {
        let answer = ask(&lab, request(Method::POST, "agents.example.com:8080", path)).await;
        assert_eq!((answer.status(), answer.field("location")), (status, location), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fixed_response_is_given_as_it_is_written_and_to_head_without_its_body() {
    let lab = gateway(
        "  - { name: gone, match: { path: /gone }, respond: { status: 410, headers: { content-type: text/plain, x-why: age }, body: 'Gone.' } }
  - { name: none, respond: { status: 204 } }",
        &[],
    )
    .await;
    let mut client = Http1::connect(lab.address()).await;
    let head = client.ask(request(Method::HEAD, "a", "/gone")).await;
    // The same connection goes on: a body after the head's answer would spoil this one.
    let answer = client.ask(get("/gone")).await;
    assert_eq!((head.status(), head.text.as_str(), head.field("content-length")), (410, "", "5"));
    assert_eq!((answer.status(), answer.text.as_str(), answer.field("content-length")), (410, "Gone.", "5"));
    for answer in [head, answer] {
        assert_eq!((answer.field("content-type"), answer.field("x-why")), ("text/plain", "age"));
        assert!(!answer.field("date").is_empty());
    }
    let none = client.ask(get("/")).await;
    assert_eq!((none.status(), none.text.as_str(), none.field("content-length")), (204, "", ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_endpoint_receives_the_path_that_was_matched() {
    let mirror = Endpoint::mirror().await;
    let lab = gateway(
        "  - { name: admin, match: { path: /admin }, respond: { status: 403 } }
  - { name: coder, match: { path: /coder }, pool: agents, rewrite: { set_headers: { x-route: coder } } }
  - { name: rest, pool: agents }",
        &[("agents", &mirror)],
    )
    .await;
    let mut client = Http1::connect(lab.address()).await;
    for path in ["/x/../admin", "/%61dmin/", "//admin", "/./admin/x", "/x/%2e%2E/admin"] {
        assert_eq!(client.ask(get(path)).await.status(), 403, "{path}");
    }
    for (path, seen, route) in [
        ("/a/../coder//%72un?q=/../%61", "GET /coder/run?q=/../%61", "coder"),
        ("/coder/%2f%7e", "GET /coder/%2F~", "coder"),
        ("/coder/../x/.", "GET /x/", ""),
        ("/coder%2Frun", "GET /coder%2Frun", ""),
    ] {
        let answer = client.ask(get(path)).await;
        assert_eq!((target(&answer), received(&answer, "x-route").concat().as_str()), (seen, route), "{path}");
    }
    for path in ["/x/../../admin", "/%00", "/%zz"] {
        let answer = ask(&lab, get(path)).await;
        assert_eq!((answer.status(), reason(&answer).as_str()), (400, "invalid_target"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_is_only_for_its_listeners_and_a_listeners_pool_is_behind_them() {
    let (public, internal) = (Endpoint::named("public").await, Endpoint::named("internal").await);
    let lab = Lab::start(&format!(
        "workers: 1
listeners:
  - {{ name: public, bind: 127.0.0.1:0, pool: public }}
  - {{ name: internal, bind: 127.0.0.1:0 }}
routes:
  - {{ name: ops, match: {{ listeners: [internal], path: /ops }}, pool: internal }}
  - {{ name: both, match: {{ path: /both }}, respond: {{ body: both }} }}
pools:
  public: {{ endpoints: [{}] }}
  internal: {{ endpoints: [{}] }}
",
        public.address, internal.address
    ))
    .await;
    for (listener, path, expected) in
        [("public", "/ops", "public"), ("public", "/both", "both"), ("internal", "/ops", "internal"), ("internal", "/both", "both")]
    {
        let answer = Http1::connect(lab.listener(listener)).await.ask(get(path)).await;
        assert_eq!(answer.text, expected, "{listener} {path}");
    }
    let answer = Http1::connect(lab.listener("internal")).await.ask(get("/else")).await;
    assert_eq!((answer.status(), reason(&answer).as_str()), (404, "no_route"));
}
