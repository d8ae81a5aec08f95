use std::time::Duration;

use super::*;
use crate::model::{Action, Discovery, HostHeader, PathPattern, Strategy};

/// A listener and a pool, to which a test adds its routes.
pub(super) const BASE: &str = "listeners: [{ name: web, bind: ':8080' }]\npools: { a: { endpoints: ['10.0.0.1:80'] } }\n";

fn env(name: &str) -> Option<String> {
    match name {
        "WORKERS" => Some("4".to_owned()),
        "SECRET" => Some("hunter two".to_owned()),
        "TOKEN" => Some("12345".to_owned()),
        _ => None,
    }
}

pub(super) fn read_text(text: &str) -> Result<Loaded, Errors> {
    read(text, "t.yaml", Path::new("/base"), &env)
}

pub(super) fn loaded(text: &str) -> Loaded {
    read_text(text).unwrap_or_else(|errors| panic!("{errors}"))
}

pub(super) fn errors(text: &str) -> Vec<String> {
    let errors = read_text(text).expect_err(text);
    errors.to_string().lines().map(|line| line.trim_start_matches("t.yaml:").to_owned()).collect()
}

/// Asserts that exactly one thing is wrong, at this place and with these words in it.
pub(super) fn refused(text: &str, place: &str, words: &str) {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains(place) && errors[0].contains(words), "{words:?} not in {errors:#?}");
}

pub(super) fn warnings(text: &str) -> Vec<String> {
    loaded(text).warnings.iter().map(ToString::to_string).collect()
}

pub(super) fn warned(text: &str, words: &str) {
    let warnings = warnings(text);
    assert!(warnings.iter().any(|warning| warning.contains(words)), "{words:?} not in {warnings:#?}");
}

#[test]
fn the_smallest_file_is_a_listener_with_a_pool_and_its_addresses() {
    let loaded = loaded(
        "listeners:\n  - { name: web, bind: ':8080', pool: agents }\npools:\n  agents:\n    endpoints: [10.0.0.1:80, 10.0.0.2:80]\n",
    );
    assert_eq!(loaded.warnings, []);
    let snapshot = &loaded.snapshot;
    assert_eq!(snapshot.routes.len(), 1);
    assert_eq!(snapshot.routes[0].name.as_str(), "web");
    assert_eq!(snapshot.routes[0].matcher.listeners[0].as_str(), "web");
    assert_eq!(snapshot.routes[0].matcher.path, PathPattern::Any);
    let pool = &snapshot.pools["agents"];
    assert_eq!(pool.strategy, Strategy::LeastConnections);
    assert_eq!(pool.endpoints[1].id.as_str(), "10.0.0.2:80");
    assert_eq!(pool.upstream.host, HostHeader::Client);
    assert_eq!(snapshot.admin.bind.map(|bind| bind.to_string()).as_deref(), Some("127.0.0.1:9900"));
    assert_eq!(snapshot.workers, None);
    assert_eq!(snapshot.telemetry.access_log, None);
}

#[test]
fn a_listeners_pool_comes_behind_all_routes() {
    let text = "listeners: [{ name: web, bind: ':1', pool: a }]\nroutes: [{ name: r, match: { path: /x/ }, pool: a }]\npools: { a: { endpoints: ['h:1'] } }\n";
    let loaded = loaded(text);
    let names: Vec<&str> = loaded.snapshot.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["r", "web"]);
    assert_eq!(loaded.snapshot.routes[0].matcher.path, PathPattern::Prefix("/x".to_owned()));
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_file() {
    let text = "\
listeners:
  - name: web
    bind: nowhere
    limits: { headers: 0, conections: 5 }
  - bind: ':8081'
routes:
  - { name: r, pool: nope, timeouts: { total: 5 } }
pools:
  coders:
    strategy: round_robbin
    endpoints:
      - 10.0.0.1
      - { address: '10.0.0.2:80', weigth: 2 }
workers: many
";
    assert_eq!(
        errors(text),
        [
            "3:11: listeners[0].bind: a listener binds to an IP address and port, [IPV6]:PORT, :PORT or unix:/PATH, found \"nowhere\"",
            "4:24: listeners[0].limits.headers: expected a whole number from 1 to 10000, found \"0\"",
            "4:27: listeners[0].limits.conections: unknown key `conections`; did you mean `connections`?",
            "5:5: listeners[1]: the key `name` is missing",
            "7:22: routes[0].pool: there is no pool \"nope\"",
            "7:47: routes[0].timeouts.total: expected a duration such as `250ms`, `30s`, `5m` or `1h`, found \"5\"; a unit is missing; did you mean \"5s\"?",
            "10:15: pools.coders.strategy: unknown word \"round_robbin\"; did you mean \"round_robin\"?",
            "12:9: pools.coders.endpoints[0]: \"10.0.0.1\" has no valid port: write HOST:PORT, [IPV6]:PORT or unix:/PATH",
            "13:35: pools.coders.endpoints[1].weigth: unknown key `weigth`; did you mean `weight`?",
            "14:10: workers: expected a whole number from 1 to 1024, found \"many\"",
        ]
    );
}

#[test]
fn a_mistake_inside_a_section_is_not_told_again_as_its_absence() {
    // The pool is refused for its endpoint, the listener for its bind; both are still there to be referred to.
    let text = "listeners: [{ name: web, bind: x }]\nroutes: [{ name: r, match: { listeners: [web] }, pool: a }]\npools: { a: { endpoints: [1] } }\n";
    assert_eq!(errors(text).len(), 2, "{:?}", errors(text));
    refused(&format!("{BASE}routes: [{{ name: r, pool: '!' }}]"), "routes[0].pool", "a name is made of");
    refused(
        &format!("{BASE}routes: [{{ name: r, pool: a, match: {{ headers: {{ x: {{ regex: '(' }} }} }} }}]"),
        "x.regex",
        "does not compile",
    );
    refused(&format!("{BASE}routes: [{{ name: r, pool: a, match: {{ path: {{ exact: x }} }} }}]"), "path.exact", "begins with `/`");
    refused(&format!("{BASE}routes: [{{ name: r, split: [{{ weight: 1 }}] }}]"), "split[0]", "`pool` is missing");
}

#[test]
fn weights_are_not_judged_when_some_could_not_be_read() {
    let pools = "pools: { a: { endpoints: [{ address: 'h:1', weight: 0 }, { address: h, weight: 5 }] } }";
    refused(&format!("listeners: [{{ name: w, bind: ':1', pool: a }}]\n{pools}"), "endpoints[1].address", "no valid port");
    let split = "split: [{ pool: a, weight: 0 }, { pool: '!', weight: 1 }]";
    refused(&format!("{BASE}routes: [{{ name: r, {split} }}]"), "split[1].pool", "a name is made of");
}

#[test]
fn a_response_may_have_a_field_called_host() {
    assert!(
        read_text(&format!("{BASE}routes: [{{ name: r, pool: a, rewrite: {{ set_response_headers: {{ host: x }} }} }}]")).is_ok()
    );
}

#[test]
fn values_of_the_wrong_kind_are_told_by_what_was_found() {
    refused("listeners: web", "1:12: listeners", "expected a list, found \"web\"");
    refused("listeners: [web]", "listeners[0]", "expected a mapping with the keys name, bind");
    refused(&format!("{BASE}drain: [1]"), "drain", "found a list");
    refused(
        &format!("{BASE}forwarding: {{ forwarded: \"true\" }}"),
        "forwarding.forwarded",
        "expected true or false, found the text",
    );
    refused(&format!("{BASE}workers: {{}}"), "workers", "expected a whole number, found a mapping");
    refused("- 1", "1:1", "expected a mapping with the keys listeners");
    refused("just text", "1:1", "expected a mapping");
}

#[test]
fn an_empty_file_says_what_is_needed() {
    for text in ["", "# nothing\n", "{}", "listeners:\n"] {
        refused(text, "", "no listener is configured; write for example");
    }
}

#[test]
fn syntax_errors_have_a_place() {
    refused("a: [1\nb: 2", "2:", "");
    refused("listeners: []\nlisteners: []\n", "2:1", "duplicate");
}

#[test]
fn a_key_without_value_is_an_absent_key() {
    let loaded = loaded(&format!("{BASE}telemetry:\ndrain: ~\nworkers: null\nroutes:\n"));
    assert_eq!(loaded.snapshot.drain.timeout, Duration::from_secs(30));
    refused("listeners: [{ name: web, bind: }]", "listeners[0]", "the key `bind` is missing");
}

#[test]
fn variables_are_typed_where_they_are_used() {
    let loaded = loaded(&format!(
        "{BASE}workers: ${{WORKERS}}\nadmin: {{ token: \"${{TOKEN}}\" }}\nforwarding: {{ forwarded: \"${{X:-false}}\" }}"
    ));
    assert_eq!(loaded.snapshot.workers, Some(4));
    assert_eq!(loaded.snapshot.admin.token.as_ref().map(|token| token.expose()), Some("12345"));
    assert!(!loaded.snapshot.forwarding.forwarded);
}

#[test]
fn an_empty_variable_leaves_a_key_out() {
    let loaded = loaded(&format!("{BASE}admin: {{ token: \"${{X:-}}\" }}\nworkers: ${{X:-}}"));
    assert_eq!(loaded.snapshot.admin.token, None);
    assert_eq!(loaded.snapshot.workers, None);
}

#[test]
fn an_unset_variable_is_told_once_with_its_place() {
    refused(
        "listeners: [{ name: web, bind: '${NOPE}', pool: a }]\npools: { a: { endpoints: ['h:1'] } }",
        "1:32: listeners[0].bind",
        "NOPE is not set",
    );
}

#[test]
fn what_a_variable_holds_is_not_shown() {
    for text in ["workers: ${SECRET}", "admin: { token: \"${SECRET}\" }", "admin: { bind: \"${SECRET}\" }", "drain: ${SECRET}"] {
        let errors = errors(&format!("{BASE}{text}"));
        assert!(!errors[0].contains("hunter"), "{errors:?}");
    }
}

#[test]
fn a_problem_is_one_line_whatever_the_file_says() {
    let errors = errors(&format!("{BASE}\"a\\n\\e[1m\": 1\nroutes: [{{ name: \"x\\ny\" }}]"));
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().all(|error| !error.contains(char::is_control)), "{errors:?}");
}

#[test]
fn loaded_configs_do_not_show_secrets() {
    let loaded = loaded(&format!("{BASE}admin: {{ token: hunter2 }}"));
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn names_are_unique() {
    refused(
        "listeners: [{ name: a, bind: ':1' }, { name: a, bind: ':2' }]",
        "listeners[1].name",
        "a listener \"a\" is there already, in line 1",
    );
    refused(
        &format!("{BASE}routes: [{{ name: r, pool: a }}, {{ name: r, match: {{ path: /x }}, pool: a }}]"),
        "routes[1].name",
        "a route \"r\"",
    );
    let twice = "{ id: x, address: 'h:1' }, { id: x, address: 'h:2' }";
    refused(
        &format!("listeners: [{{ name: w, bind: ':1', pool: a }}]\npools: {{ a: {{ endpoints: [{twice}] }} }}"),
        "endpoints[1].id",
        "an endpoint \"x\"",
    );
    refused(
        "listeners: [{ name: w, bind: ':1', pool: a }]\npools: { a: { endpoints: ['h:1', 'h:1'] } }",
        "endpoints[1]",
        "give each an `id`",
    );
    refused(
        "listeners: [{ name: w, bind: ':1', pool: a }]\nroutes: [{ name: w, pool: a }]\npools: { a: { endpoints: ['h:1'] } }",
        "listeners[0].pool",
        "a route has that name",
    );
}

#[test]
fn references_are_checked_and_guessed() {
    refused(
        &format!("{BASE}routes: [{{ name: r, match: {{ listeners: [wep] }}, pool: a }}]"),
        "match.listeners[0]",
        "no listener \"wep\"; did you mean \"web\"?",
    );
    refused(
        "listeners: [{ name: w, bind: ':1', pool: agent }]\npools: { agents: { endpoints: ['h:1'] } }",
        "listeners[0].pool",
        "did you mean \"agents\"?",
    );
}

#[test]
fn addresses_are_bound_once() {
    refused("listeners: [{ name: a, bind: ':1' }, { name: b, bind: '[::]:1' }]", "listeners[1].bind", "bound already, in line 1");
    refused(&format!("{BASE}admin: {{ bind: ':8080', token: x }}"), "admin.bind", "bound already by a listener");
    assert!(read_text("listeners: [{ name: a, bind: ':0' }, { name: b, bind: ':0' }]").is_ok());
    warned(
        "listeners: [{ name: a, bind: '0.0.0.0:1' }, { name: b, bind: '127.0.0.1:1' }]",
        "0.0.0.0:1 takes connections on every address",
    );
}

#[test]
fn pools_have_endpoints_that_take_requests() {
    let with = |pool: &str| format!("listeners: [{{ name: w, bind: ':1', pool: a }}]\npools:\n  a: {pool}\n");
    refused(&with(""), "pools.a", "neither `endpoints` nor `discovery`");
    refused(&with("{ endpoints: [] }"), "pools.a", "neither");
    refused(&with("{ endpoints: [{ address: 'h:1', weight: 0 }] }"), "pools.a", "every endpoint of the pool \"a\" has weight 0");
    refused(&with("{ endpoints: ['h:1'], hash: { bounded_load: 0.5 } }"), "hash.bounded_load", "from 1 to 100");
    refused(
        &with("{ endpoints: ['h:1'], strategy: resource_based, resource: { connections: 0, response_time: 0%, failures: 0.0 } }"),
        "resource",
        "every term is 0",
    );
    refused(&with("{ endpoints: ['unix:/a'], upstream: { tls: {} } }"), "endpoints[0]", "server_name");
    refused(
        &with("{ endpoints: ['h:1'], upstream: { tls: { key: Cargo.toml } } }").replace("Cargo.toml", "/proc/self/status"),
        "upstream.tls",
        "`key` needs its `certificate`",
    );
    refused(&with("{ endpoints: ['h:1'], upstream: { connect_timeout: 0s } }"), "connect_timeout", "longer than 0");
    refused(
        &with("{ discovery: { dns: { host: h, port: 80, min_interval: 2m, max_interval: 1m } } }"),
        "min_interval",
        "longer than",
    );
    refused(&with("{ endpoints: ['h:1'], circuit_breeker: {} }"), "pools.a.circuit_breeker", "did you mean `circuit_breaker`?");
    warned(&with("{ endpoints: ['h:1'], hash: { key: path } }"), "not `consistent_hashing`");
    warned(&with("{ endpoints: ['h:1'], upstream: { protocol: auto } }"), "nothing to negotiate");
    warned(&with("{ endpoints: [{ id: x, address: 'h:1' }, { id: y, address: 'h:1' }] }"), "the address h:1 is there already");
}

#[test]
fn dns_discovery_has_defaults_and_stands_for_endpoints() {
    let loaded = loaded(
        "listeners: [{ name: w, bind: ':1', pool: a }]\npools: { a: { discovery: { dns: { host: Agents.Local, port: 80, min_interval: 2m } } } }",
    );
    let Some(Discovery::Dns(dns)) = loaded.snapshot.pools["a"].discovery.clone() else { panic!("no DNS") };
    assert_eq!((dns.host.as_str(), dns.port), ("agents.local", 80));
    assert_eq!((dns.min_interval, dns.max_interval), (Duration::from_secs(120), Duration::from_secs(120)));
}

#[test]
fn routes_do_exactly_one_thing() {
    let with = |route: &str| format!("{BASE}routes: [{{ name: r, {route} }}]");
    refused(&with("match: { path: / }"), "routes[0]", "the route does nothing");
    refused(&with("pool: a, respond: {}"), "routes[0]", "only one of `pool`, `respond`");
    refused(&with("split: []"), "routes[0].split", "names no pool");
    refused(&with("split: [{ pool: a, weight: 0 }]"), "routes[0].split", "weight 0");
    refused(&with("redirect: { status: 308 }"), "routes[0].redirect", "leads to where the client is");
    refused(&with("redirect: { status: 200, host: h }"), "redirect.status", "a redirect has the status");
    refused(&with("redirect: { path: /a, prefix: /b }"), "redirect.prefix", "only one");
    refused(&with("respond: { status: 204, body: x }"), "respond.body", "has no body");
    refused(&with("respond: { headers: { content-length: 5 } }"), "content-length", "frames the message");
    let loaded = loaded(&with("redirect: { scheme: https }"));
    assert!(matches!(&loaded.snapshot.routes[0].action, Action::Redirect(redirect) if redirect.status == 307));
}

#[test]
fn matches_are_unambiguous() {
    let with = |matcher: &str| format!("{BASE}routes: [{{ name: r, pool: a, match: {{ {matcher} }} }}]");
    refused(&with("path: { exact: /a, prefix: /b }"), "match.path", "only one of");
    refused(&with("path: {}"), "match.path", "one of `exact`");
    refused(&with("headers: { x: {} }"), "match.headers.x", "one of `exact`");
    refused(&with("headers: { x: { present: false } }"), "x.present", "cannot ask for absence");
    refused(&with("headers: { Host: h }"), "match.headers.Host", "write `hosts");
    refused(&with("headers: { a-b: 1, A-B: 2 }"), "match.headers.A-B", "no case");
    refused(&with("hosts: ['a.*']"), "match.hosts[0]", "whole first label");
    refused(&with("methods: [get]"), "match.methods[0]", "did you mean \"GET\"?");
    let loaded = loaded(&with("hosts: [a.com, '*'], headers: { x-tier: 1.10, y: { present: true } }, query: { v: true }"));
    assert!(loaded.snapshot.routes[0].matcher.hosts.is_empty());
    assert_eq!(format!("{:?}", loaded.snapshot.routes[0].matcher.headers[0].value), "Exact(\"1.10\")");
}

#[test]
fn rewrites_leave_framing_and_host_alone() {
    let with = |rest: &str| format!("{BASE}routes: [{{ name: r, pool: a, {rest} }}]");
    refused(&with("rewrite: { set_headers: { Host: x } }"), "set_headers.Host", "upstream: { host");
    refused(&with("rewrite: { remove_headers: [transfer-encoding] }"), "remove_headers[0]", "frames");
    refused(&with("rewrite: { set_response_headers: { connection: close } }"), "set_response_headers.connection", "one connection");
    refused(&with("rewrite: { set_headers: { x: \"a\\r\\nb: c\" } }"), "set_headers.x", "not the value");
    refused(&with("rewrite: { set_headers: { x: 1 }, remove_headers: [X] }"), "remove_headers[0]", "both set and removed");
    refused(&with("match: { path: { regex: '/a.*' } }, rewrite: { prefix: /b }"), "rewrite.prefix", "regular expression");
    refused(&with("timeouts: { idle: 0s }"), "timeouts.idle", "longer than 0");
    let loaded = loaded(&with("timeouts: { idle: none, total: 90s }"));
    assert_eq!(loaded.snapshot.routes[0].timeouts.idle, None);
    assert_eq!(loaded.snapshot.routes[0].timeouts.first_byte, Some(Duration::from_secs(120)));
}

#[test]
fn listeners_are_sane() {
    let with =
        |rest: &str| format!("listeners: [{{ name: w, bind: ':1', pool: a, {rest} }}]\npools: {{ a: {{ endpoints: ['h:1'] }} }}");
    refused(&with("limits: { request_line: 8KiB, header_bytes: 4KiB }"), "limits.request_line", "cannot be larger");
    refused(&with("limits: { streams: 0 }"), "limits.streams", "from 1 to 65536");
    refused(&with("tls: {}"), "listeners[0].tls", "no certificate");
    refused(&with("tls: { certificate: nope.pem, key: /proc/self/status }"), "tls.certificate", "cannot read \"/base/nope.pem\"");
    refused(&with("tls: { certificate: /proc/self/status }"), "listeners[0].tls", "needs its `key`");
    refused(
        &with("tls: { certificate: /proc/self/status, key: /proc/self/status, client_auth: optional }"),
        "client_auth",
        "needs `client_ca`",
    );
    warned(&with("protocol: http1, limits: { streams: 5 }"), "HTTP/1.1 only");
    let loaded = loaded(&with("limits: { header_bytes: 4KiB, request_body: none }"));
    assert_eq!(loaded.snapshot.listeners[0].limits.request_line, 4096);
    assert_eq!(loaded.snapshot.listeners[0].limits.request_body, None);
}

#[test]
fn odd_but_allowed_things_are_warnings() {
    warned(BASE, "no route uses the pool \"a\"");
    warned(BASE, "no route takes requests of the listener \"web\"");
    let routes = "routes: [{ name: x, match: { hosts: [a, b] }, pool: a }, { name: y, match: { hosts: [B, a] }, pool: a }]";
    warned(&format!("{BASE}{routes}"), "\"y\" never matches: \"x\", in line 3");
    warned(&format!("{BASE}admin: {{ bind: ':9900' }}"), "refuses writes");
    for admin in ["{ bind: '[::1]:9900' }", "{ bind: ':9900', token: x }", "{ bind: none }"] {
        let warnings = warnings(&format!("{BASE}admin: {admin}"));
        assert!(!warnings.iter().any(|warning| warning.contains("admin")), "{warnings:?}");
    }
    warned(&format!("{BASE}routes: [{{ name: r, respond: {{}}, require: [x] }}]"), "sends nothing to a pool");
    warned(&format!("{BASE}routes: [{{ name: r, pool: a, timeouts: {{ total: 1s, attempt: 2s }} }}]"), "`total` is not longer");
}

#[test]
fn paths_are_relative_to_the_folder_of_the_file() {
    let loaded = loaded(&format!("{BASE}telemetry: {{ access_log: {{ path: logs/a.log, format: text }} }}"));
    let log = loaded.snapshot.telemetry.access_log.unwrap();
    assert_eq!(format!("{:?}", log.path), "File(\"/base/logs/a.log\")");
}

#[test]
fn a_file_is_loaded_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidegate.yaml");
    let missing = load(&path).unwrap_err();
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("not UTF-8"));
    std::fs::write(&path, BASE).unwrap();
    assert_eq!(load(&path).unwrap().text, BASE);
}

#[test]
fn a_large_file_full_of_mistakes_is_answered_quickly_with_a_hundred_of_them() {
    let mut text = "listeners: [{ name: web, bind: ':1', pool: a }]\npools:\n  a:\n    endpoints:\n".to_owned();
    for index in 0..5_000 {
        text.push_str(&format!("      - {{ id: '!{index}', adress: x, weight: -1 }}\n"));
    }
    assert_eq!(errors(&text).len(), 100);
}

#[test]
fn ten_thousand_endpoints_are_read() {
    let mut text = "listeners: [{ name: web, bind: ':1', pool: a }]\npools:\n  a:\n    endpoints:\n".to_owned();
    for index in 0..10_000 {
        text.push_str(&format!(
            "      - {{ id: e{index}, address: 'h:{}', weight: 2, capabilities: [a, b], zone: z }}\n",
            index + 1
        ));
    }
    assert_eq!(loaded(&text).snapshot.pools["a"].endpoints.len(), 10_000);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = read_text(&text);
    }

    #[test]
    fn an_example_with_any_part_replaced_is_a_config_or_a_list_of_problems(
        example in proptest::sample::select(EXAMPLES),
        (from, length) in (proptest::prelude::any::<proptest::sample::Index>(), 0_usize..40),
        words in proptest::collection::vec(proptest::sample::select(WORDS), 0..4),
    ) {
        let from = from.index(example.len());
        let mut text = example.as_bytes().to_vec();
        text.splice(from..(from + length).min(example.len()), words.concat().into_bytes());
        let text = String::from_utf8_lossy(&text).into_owned();
        if let Err(errors) = read_text(&text) {
            let problems = errors.problems();
            proptest::prop_assert!((1..=100).contains(&problems.len()));
            proptest::prop_assert_eq!(errors.to_string().lines().count(), problems.len());
            let lines = u32::try_from(text.lines().count()).unwrap() + 1;
            proptest::prop_assert!(problems.iter().all(|problem| problem.line <= lines), "{}", errors);
        }
    }

    #[test]
    fn no_text_made_of_our_words_makes_the_reader_panic(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60)) {
        let _ = read_text(&words.concat());
    }
}

const EXAMPLES: &[&str] = &[
    include_str!("../../../config/gateway.yaml"),
    include_str!("../../../config/full.yaml"),
    include_str!("../../../config/resilience.yaml"),
    include_str!("../../../config/autoscale.yaml"),
];

/// What a config is made of, and what it should not be made of.
const WORDS: &[&str] = &[
    "listeners:",
    "routes:",
    "pools:",
    "name:",
    "bind:",
    "pool:",
    "endpoints:",
    "match:",
    "path:",
    "split:",
    "tls:",
    "headers:",
    "\n",
    "\n",
    "\n  ",
    "\n  ",
    "\n    ",
    "\n      ",
    " - ",
    "- ",
    " ",
    "{",
    "}",
    "[",
    "]",
    ",",
    ": ",
    "a",
    "web",
    "':1'",
    "10.0.0.1:80",
    "'",
    "\"",
    "&x ",
    "*x",
    "<<: *x",
    "!!str ",
    "!!int ",
    "~",
    "none",
    "off",
    "p95",
    "retry:",
    "hedge:",
    "rate_limit:",
    "failover:",
    "health:",
    "outlier:",
    "queue:",
    "autoscale:",
    "target:",
    "policies:",
    "schedule:",
    "signal:",
    "75%",
    "bulkheads:",
    "200-299",
    "1",
    "-1",
    "0.5",
    "5s",
    "64KiB",
    "${X:-1}",
    "${",
    "$$",
    "|",
    ">",
    "#",
    "---\n",
    "...\n",
    "é",
    "\u{feff}",
    "\t",
    "?",
    "%",
];
