//! Whole explanations of small configs.

use clap::Parser;
use serde_json::Value;

use super::*;

const CONFIG: &str = "\
listeners:
  - { name: public, bind: 127.0.0.1:8080 }
routes:
  - name: coder
    match: { hosts: [agents.example.com], path: { prefix: /coder } }
    split: [{ pool: coders, weight: 95 }, { pool: next, weight: 5 }]
    require: [python]
    rewrite: { prefix: /v1, set_headers: { x-pool: coders }, remove_headers: [cookie] }
    timeouts: { first_byte: 30s }
    retry: { max_attempts: 2 }
  - { name: reader, match: { path: /read, methods: [GET] }, pool: next }
  - { name: moved, match: { path: /old }, redirect: { status: 308, prefix: /new } }
  - { name: fixed, match: { path: { exact: /robots.txt } }, respond: { status: 200, body: none } }
pools:
  coders:
    strategy: least_response_time
    endpoints:
      - { id: a, address: 10.0.0.1:8080, weight: 2, capabilities: [python, gpu] }
      - { id: b, address: 10.0.0.2:8080 }
      - { id: c, address: 10.0.0.3:8080, weight: 0, capabilities: [python] }
    upstream: { host: endpoint, connect_timeout: 1s }
  next:
    endpoints: [10.0.0.9:8080]
forwarding: { name: gate }
";

fn explained(arguments: &[&str]) -> Report {
    let snapshot = config::read(CONFIG, "t.yaml", Path::new("."), &|_| None).unwrap().snapshot;
    let line = ["tidegate", "explain"].iter().chain(arguments);
    match args::Arguments::try_parse_from(line).unwrap().command {
        args::Command::Explain(explain) => report(&explain, &snapshot).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn json(arguments: &[&str]) -> Value {
    serde_json::to_value(explained(arguments)).unwrap()
}

fn header<'a>(share: &'a Value, name: &str) -> Option<&'a str> {
    let headers = share["sent"]["headers"].as_array().unwrap();
    headers.iter().find(|header| header[0] == name).and_then(|header| header[1].as_str())
}

#[test]
fn the_route_and_the_shares_of_its_pools_are_told() {
    let report = json(&["POST", "http://agents.example.com/a/..//coder/x?y=1"]);
    assert_eq!(report["route"], "coder");
    assert_eq!(report["request"]["normalised_path"], "/coder/x");
    let pools = report["answer"]["forward"]["pools"].as_array().unwrap();
    let shares: Vec<_> = pools.iter().map(|pool| (pool["pool"].as_str().unwrap(), pool["share"].as_f64().unwrap())).collect();
    assert_eq!(shares, [("coders", 0.95), ("next", 0.05)]);
    assert_eq!(pools[0]["strategy"], "least_response_time");
}

#[test]
fn endpoints_that_lack_a_capability_or_weight_may_not_be_picked() {
    let report = json(&["GET", "http://agents.example.com/coder", "-H", "x-tidegate-require: gpu"]);
    assert_eq!(report["answer"]["forward"]["require"], serde_json::json!(["gpu", "python"]));
    let endpoints = report["answer"]["forward"]["pools"][0]["endpoints"].as_array().unwrap();
    let reasons: Vec<_> = endpoints.iter().map(|endpoint| endpoint["reason"].as_str()).collect();
    assert_eq!(reasons, [None, Some("lacks gpu, python"), Some("lacks gpu")]);
    let report = json(&["GET", "http://agents.example.com/coder"]);
    assert_eq!(report["answer"]["forward"]["pools"][0]["endpoints"][2]["reason"], "its weight is 0");
}

#[test]
fn the_request_is_shown_as_the_endpoint_would_see_it() {
    let asked = ["POST", "http://agents.example.com/coder/x?y=1", "-H", "cookie: a=b", "-H", "connection: x-hop", "-H", "x-hop: 1"];
    let report = json(&asked);
    let coders = &report["answer"]["forward"]["pools"][0];
    assert_eq!((&coders["sent"]["method"], &coders["sent"]["target"]), (&"POST".into(), &"/v1/x?y=1".into()));
    assert_eq!(coders["sent"]["version"], "HTTP/1.1");
    assert_eq!(header(coders, "x-pool"), Some("coders"));
    assert_eq!(header(coders, "host"), Some("<the endpoint's address>"));
    assert_eq!(header(coders, "x-forwarded-for"), Some("192.0.2.1"));
    assert_eq!(header(coders, "x-forwarded-host"), Some("agents.example.com"));
    assert_eq!(header(coders, "via"), Some("1.1 gate-<process>"));
    assert_eq!(header(coders, "x-request-id"), Some("<new for each request>"));
    assert_eq!((header(coders, "cookie"), header(coders, "x-hop"), header(coders, "connection")), (None, None, None));
    assert_eq!(header(&report["answer"]["forward"]["pools"][1], "host"), Some("agents.example.com"));
}

#[test]
fn a_request_id_of_the_client_is_shown_as_it_is() {
    let report = json(&["GET", "http://agents.example.com/coder", "-H", "x-request-id: mine"]);
    assert_eq!(header(&report["answer"]["forward"]["pools"][0], "x-request-id"), Some("mine"));
}

#[test]
fn values_of_the_file_are_told_from_defaults() {
    let report = explained(&["GET", "http://agents.example.com/coder"]);
    let source = |policies: &[policies::Policy], name: &str| {
        let policy = policies.iter().find(|policy| policy.name == name).unwrap();
        (policy.value.clone(), policy.source.as_str())
    };
    assert_eq!(source(&report.policies, "limits.headers"), ("100".to_owned(), "default"));
    assert_eq!(source(&report.policies, "retry.max_attempts"), ("2".to_owned(), "route"));
    let Answer::Forward(forward) = &report.answer else { panic!("{report:?}") };
    assert_eq!(source(&forward.pools[0].policies, "timeouts.first_byte"), ("30s".to_owned(), "route"));
    assert_eq!(source(&forward.pools[0].policies, "timeouts.idle"), ("5m".to_owned(), "default"));
    assert_eq!(source(&forward.pools[0].policies, "upstream.connect_timeout"), ("1s".to_owned(), "pool"));
    assert_eq!(source(&forward.pools[1].policies, "upstream.connect_timeout"), ("3s".to_owned(), "default"));
}

#[test]
fn answers_made_here_are_told() {
    for (asked, expected) in [
        (["GET", "/old/x?y"], r#"{"redirect":{"status":308,"location":"/new/x?y"}}"#),
        (["GET", "/robots.txt"], r#"{"respond":{"status":200,"body_bytes":4}}"#),
    ] {
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(json(&asked)["answer"], expected);
    }
}

#[test]
fn refusals_are_told_with_their_reason() {
    for (asked, status, reason) in [
        (&["GET", "/nowhere"][..], 404, "no_route"),
        (&["PUT", "/read"], 405, "method_not_allowed"),
        (&["GET", "/../x"], 400, "invalid_target"),
        (&["CONNECT", "/"], 405, "connect_refused"),
        (&["GET", "/read", "-H", "host: a", "-H", "host: b"], 400, "invalid_host"),
    ] {
        let answer = &json(asked)["answer"]["problem"];
        assert_eq!((&answer["status"], &answer["reason"]), (&status.into(), &reason.into()), "{asked:?}");
    }
}

#[test]
fn the_text_says_the_same_to_people() {
    let text = explained(&["GET", "http://agents.example.com:8080/coder"]).to_string();
    for part in [
        "request   GET http://agents.example.com:8080/coder\n",
        "listener  public at 127.0.0.1:8080, by scheme and port\n",
        "route \"coder\" takes the request\n",
        "pool      coders (95%), next (5%)\n",
        "requires  python\n",
        "no, lacks python\n",
        "No endpoint may be picked: the answer would be 503.\n",
        "\nthe request meets\n",
        "\nan attempt meets\n",
        "  GET /v1 HTTP/1.1\n",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    for row in [["retry.max_attempts", "2", "route"], ["circuit_breaker.window", "10s", "default"]] {
        assert!(text.lines().any(|line| line.split_whitespace().eq(row)), "{row:?} is missing in:\n{text}");
    }
}
