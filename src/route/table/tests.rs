use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::HashMap;

use http::{HeaderName, HeaderValue};
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

use super::super::explain::{Condition, Verdict};
use super::*;
use crate::model::{Action, HeaderMatch, HostPattern, QueryMatch, Rewrite, RouteTimeouts, ValueMatch};

/// `any`, `exact` and so on are written as in `/a`, `=/a`, `~/a.*`, `*`.
fn path(text: &str) -> PathPattern {
    match text.split_at(1) {
        ("*", "") => PathPattern::Any,
        ("=", path) => PathPattern::Exact(path.to_owned()),
        ("~", regex) => PathPattern::Regex(regex.to_owned()),
        _ => PathPattern::Prefix(text.to_owned()),
    }
}

fn host(text: &str) -> HostPattern {
    match text.strip_prefix("*.") {
        Some(domain) => HostPattern::Below(domain.to_owned()),
        None => HostPattern::Exact(text.to_owned()),
    }
}

/// `x`: there; `x=1`: this value; `x~1.*`: an expression.
fn value(text: &str) -> (&str, ValueMatch) {
    match (text.split_once('='), text.split_once('~')) {
        (Some((name, value)), _) => (name, ValueMatch::Exact(value.to_owned())),
        (None, Some((name, regex))) => (name, ValueMatch::Regex(regex.to_owned())),
        (None, None) => (text, ValueMatch::Present),
    }
}

fn header(text: &str) -> HeaderMatch {
    let (name, value) = value(text);
    HeaderMatch { name: name.parse().unwrap(), value }
}

fn parameter(text: &str) -> QueryMatch {
    let (name, value) = value(text);
    QueryMatch { name: name.to_owned(), value }
}

fn route(matcher: Match) -> Arc<Route> {
    Arc::new(Route {
        name: "route".parse().unwrap(),
        matcher,
        action: Action::Forward(Vec::new()),
        require: Default::default(),
        rewrite: Rewrite::default(),
        timeouts: RouteTimeouts::default(),
        heartbeat: None,
        policies: Default::default(),
    })
}

fn at(path_text: &str) -> Match {
    Match { path: path(path_text), ..Match::default() }
}

fn public() -> Id {
    "public".parse().unwrap()
}

fn table(matches: Vec<Match>) -> Table {
    let routes: Vec<_> = matches.into_iter().map(route).collect();
    Table::build(&routes, &public()).unwrap()
}

/// A request that owns its parts: `GET a.example/path?query`.
#[derive(Clone, Debug)]
struct Request {
    method: Method,
    host: String,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
}

impl Request {
    fn new(line: &str, fields: &[(&'static str, &'static str)]) -> Self {
        let (method, rest) = line.split_once(' ').unwrap();
        let (host, path) = rest.split_at(rest.find(['/', '*']).unwrap());
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query.to_owned())));
        let fields = fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        Self { method: method.parse().unwrap(), host: host.to_owned(), path: path.to_owned(), query, headers }
    }

    fn query(&self) -> Query<'_> {
        let Self { method, host, path, query, headers } = self;
        Query { host, path, method, headers, query: query.as_deref() }
    }
}

fn find(table: &Table, line: &str, fields: &[(&'static str, &'static str)]) -> Result<usize, Miss> {
    table.find(&Request::new(line, fields).query()).map(|matched| matched.route)
}

/// The order that `docs/routing.md` promises, least specific first.
fn by_specificity() -> Vec<Match> {
    let hosts = |text: &str, matcher: Match| Match { hosts: vec![host(text)], ..matcher };
    let get = |matcher: Match| Match { methods: vec![Method::GET], ..matcher };
    vec![
        at("*"),
        Match { query: vec![parameter("q")], ..at("*") },
        Match { headers: vec![header("x-a")], ..at("*") },
        Match { headers: vec![header("x-a")], query: vec![parameter("q")], ..at("*") },
        Match { headers: vec![header("x-a"), header("x-b")], ..at("*") },
        get(at("*")),
        get(Match { query: vec![parameter("q")], ..at("*") }),
        at("~/a/.*"),
        at("/"),
        at("/a"),
        get(at("/a")),
        at("/a/b"),
        at("=/a/b"),
        hosts("*.example", at("*")),
        hosts("*.b.example", at("*")),
        hosts("*.b.example", at("/a")),
        hosts("a.b.example", at("*")),
        hosts("a.b.example", get(at("=/a/b"))),
    ]
}

#[test]
fn the_most_specific_route_wins_whatever_the_order_of_the_file() {
    let request = "GET a.b.example/a/b?q=1";
    let fields = [("x-a", "1"), ("x-b", "1")];
    let all = by_specificity();
    for n in 1..=all.len() {
        let mut matches = all[..n].to_vec();
        assert_eq!(find(&table(matches.clone()), request, &fields), Ok(n - 1), "of the first {n}");
        matches.reverse();
        assert_eq!(find(&table(matches), request, &fields), Ok(0), "of the first {n}, reversed");
    }
}

#[test]
fn equals_are_taken_in_the_order_of_the_file() {
    let table = table(vec![at("/b"), at("/a"), at("/a")]);
    assert_eq!(find(&table, "GET h/a", &[]), Ok(1));
}

#[test]
fn a_route_that_does_not_fit_gives_way_to_the_next_less_specific() {
    let narrow = |path: &str| Match { headers: vec![header("x-tier=gold")], ..at(path) };
    let table = table(vec![
        Match { hosts: vec![host("a.example")], ..narrow("=/a/b") },
        Match { hosts: vec![host("a.example")], ..narrow("/a") },
        Match { hosts: vec![host("*.example")], ..narrow("*") },
        at("/a"),
    ]);
    assert_eq!(find(&table, "GET a.example/a/b", &[]), Ok(3));
    assert_eq!(find(&table, "GET a.example/a/b", &[("x-tier", "gold")]), Ok(0));
    assert_eq!(find(&table, "GET a.example/a/c", &[("x-tier", "gold")]), Ok(1));
    assert_eq!(find(&table, "GET a.example/c", &[("x-tier", "gold")]), Ok(2));
    assert_eq!(find(&table, "GET a.example/c", &[]), Err(Miss::NoRoute));
}

#[test]
fn the_examples_of_the_docs_hold() {
    let gold = [("x-tier", "gold")];
    let table = table(vec![
        at("/"),
        Match { headers: vec![header("x-tier=gold")], ..at("/coder") },
        Match { hosts: vec![host("*.example.com")], ..at("/coder") },
    ]);
    assert_eq!(find(&table, "GET a.example.com/coder/x", &[]), Ok(2));
    assert_eq!(find(&table, "GET a.example.com/coder/x", &gold), Ok(2));
    assert_eq!(find(&table, "GET other.org/coder/x", &gold), Ok(1));
    assert_eq!(find(&table, "GET other.org/coder/x", &[]), Ok(0));
}

#[test]
fn only_routes_of_the_listener_are_found_and_keep_their_place() {
    let on = |name: &str| Match { listeners: vec![name.parse().unwrap()], ..at("/") };
    let table = table(vec![on("private"), on("public"), at("*")]);
    assert_eq!(find(&table, "GET h/", &[]), Ok(1));
    assert_eq!(find(&table, "OPTIONS h*", &[]), Ok(2));
}

#[test]
fn the_matched_prefix_is_what_a_rewrite_replaces() {
    let table = table(vec![at("/coder"), at("=/exact"), at("~/v[0-9]+"), at("/"), Match { hosts: vec![host("any")], ..at("*") }]);
    for (line, prefix_len) in [("GET h/coder/x", 6), ("GET h/exact", 6), ("GET h/other", 1), ("GET any/x", 0)] {
        let request = Request::new(line, &[]);
        assert_eq!(table.find(&request.query()).map(|matched| matched.prefix_len), Ok(prefix_len), "{line}");
    }
}

#[test]
fn a_wrong_method_is_told_from_no_route() {
    let methods = |methods: &[Method], matcher: Match| Match { methods: methods.to_vec(), ..matcher };
    let table = table(vec![
        methods(&[Method::POST, Method::PUT], at("/a")),
        methods(&[Method::DELETE, Method::PUT], at("/")),
        methods(&[Method::PATCH], Match { headers: vec![header("x-a")], ..at("/a") }),
    ]);
    let allowed = |methods: &[Method]| Err(Miss::Method(methods.to_vec()));
    assert_eq!(find(&table, "GET h/a", &[]), allowed(&[Method::POST, Method::PUT, Method::DELETE]));
    assert_eq!(find(&table, "GET h/b", &[]), allowed(&[Method::DELETE, Method::PUT]));
    assert_eq!(find(&table, "PUT h/b", &[]), Ok(1));
    assert_eq!(find(&table, "OPTIONS h*", &[]), Err(Miss::NoRoute));
}

#[test]
fn header_and_query_values_are_matched_in_any_of_their_lines() {
    let table = table(vec![
        Match { headers: vec![header("x-a=1")], ..at("/exact") },
        Match { headers: vec![header("x-a~[0-9]+")], ..at("/regex") },
        Match { query: vec![parameter("k y=a b")], ..at("/exact") },
        Match { query: vec![parameter("k~[a-z ]+")], ..at("/regex") },
    ]);
    assert_eq!(find(&table, "GET h/exact", &[("x-a", "2"), ("x-a", "1")]), Ok(0));
    assert_eq!(find(&table, "GET h/exact", &[("x-a", "11")]), Err(Miss::NoRoute));
    assert_eq!(find(&table, "GET h/regex", &[("x-a", "a"), ("x-a", "42")]), Ok(1));
    assert_eq!(find(&table, "GET h/exact?k+y=1&k%20y=a%20b", &[]), Ok(2));
    assert_eq!(find(&table, "GET h/regex?k=%61+b", &[]), Ok(3));
    assert_eq!(find(&table, "GET h/regex?k=A", &[]), Err(Miss::NoRoute));
}

#[test]
fn many_tenants_told_by_a_header_are_found_among_others() {
    let tenant = |n: usize| Match { headers: vec![header(&format!("x-tenant={n}"))], ..at("/") };
    let mut matches: Vec<Match> = (0..1000).map(tenant).collect();
    matches.push(Match { headers: vec![header("x-tenant~5..")], ..at("/") });
    matches.push(Match { methods: vec![Method::PUT], ..at("/") });
    matches.push(at("/"));
    let table = table(matches);
    assert_eq!(find(&table, "GET h/", &[("x-tenant", "777")]), Ok(777));
    // Equally specific and later in the file, then alone.
    assert_eq!(find(&table, "GET h/", &[("x-tenant", "555")]), Ok(555));
    assert_eq!(find(&table, "GET h/", &[("x-tenant", "5xx")]), Ok(1000));
    // The earlier of two lines' routes, in either order.
    assert_eq!(find(&table, "GET h/", &[("x-tenant", "9"), ("x-tenant", "8")]), Ok(8));
    // A method is more specific than a header.
    assert_eq!(find(&table, "PUT h/", &[("x-tenant", "777")]), Ok(1001));
    assert_eq!(find(&table, "GET h/", &[("x-tenant", "none")]), Ok(1002));
    assert_eq!(find(&table, "GET h/", &[]), Ok(1002));
}

#[test]
fn an_expression_that_does_not_compile_makes_no_table() {
    let routes = [route(at("~("))];
    let error = Table::build(&routes, &public()).unwrap_err();
    assert_eq!(error.to_string(), "route \"route\": the regular expression \"(\" does not compile");
    assert!(Table::build(&[route(Match { headers: vec![header("x-a~(")], ..at("/") })], &public()).is_err());
    assert!(Table::build(&[route(Match { query: vec![parameter("a~(")], ..at("/") })], &public()).is_err());
}

#[test]
fn an_empty_table_has_no_route() {
    assert_eq!(find(&table(Vec::new()), "GET h/", &[]), Err(Miss::NoRoute));
}

/// What the index must find, by looking at every route.
fn naive(routes: &[Arc<Route>], query: &Query<'_>, any_method: bool) -> Option<Matched> {
    let ranked = routes.iter().enumerate().filter_map(|(index, route)| {
        let matcher = &route.matcher;
        let on_listener = matcher.listeners.is_empty() || matcher.listeners.contains(&public());
        let method = any_method || matcher.methods.is_empty() || matcher.methods.contains(query.method);
        let (path, prefix_len) = path_rank(&matcher.path, query.path)?;
        let hosts = matcher.hosts.iter().filter_map(|host| host_rank(host, query.host));
        let host = if matcher.hosts.is_empty() { (0, 0) } else { hosts.max()? };
        let fields = matcher
            .headers
            .iter()
            .all(|field| query.headers.get_all(&field.name).iter().any(|line| is_value(&field.value, line.to_str().unwrap())));
        let pairs = || query.query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let parameters = matcher.query.iter().all(|parameter| {
            pairs().any(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                name == parameter.name && is_value(&parameter.value, value)
            })
        });
        let counts = (!matcher.methods.is_empty(), matcher.headers.len(), matcher.query.len());
        let matched = Matched { route: index, prefix_len };
        (on_listener && method && fields && parameters).then_some((host, path, counts, Reverse(index), matched))
    });
    ranked.max_by_key(|(host, path, counts, index, _)| (*host, *path, *counts, *index)).map(|ranked| ranked.4)
}

fn host_rank(pattern: &HostPattern, host: &str) -> Option<(u8, usize)> {
    match pattern {
        HostPattern::Exact(name) => (name == host).then_some((2, 0)),
        HostPattern::Below(domain) => host.ends_with(&format!(".{domain}")).then_some((1, domain.len())),
    }
}

fn path_rank(pattern: &PathPattern, path: &str) -> Option<((u8, usize), usize)> {
    match pattern {
        PathPattern::Exact(exact) => (exact == path).then_some(((3, 0), path.len())),
        PathPattern::Prefix(prefix) => {
            let inside = if prefix == "/" { path.starts_with('/') } else { path.starts_with(&format!("{prefix}/")) };
            (inside || prefix == path).then_some(((2, prefix.len()), prefix.len()))
        }
        PathPattern::Regex(regex) => takes_whole(regex, path).then_some(((1, 0), 0)),
        PathPattern::Any => Some(((0, 0), 0)),
    }
}

fn is_value(pattern: &ValueMatch, text: &str) -> bool {
    match pattern {
        ValueMatch::Present => true,
        ValueMatch::Exact(exact) => exact == text,
        ValueMatch::Regex(regex) => takes_whole(regex, text),
    }
}

fn takes_whole(pattern: &str, text: &str) -> bool {
    thread_local! {
        /// Compiling costs more than everything else here.
        static COMPILED: RefCell<HashMap<String, regex::Regex>> = RefCell::default();
    }
    COMPILED.with_borrow_mut(|compiled| {
        let regex = compiled.entry(pattern.to_owned()).or_insert_with(|| regex::Regex::new(&format!("^({pattern})$")).unwrap());
        regex.is_match(text)
    })
}

/// Few words, so that routes meet.
fn words(words: &'static [&'static str]) -> BoxedStrategy<&'static str> {
    prop::sample::select(words).boxed()
}

fn some_match() -> impl Strategy<Value = Match> {
    let hosts = prop::collection::vec(words(&["a.x", "b.a.x", "x", "*.x", "*.a.x", "*.b.a.x", "*.y"]), 0..3);
    let paths = words(&["*", "/", "/a", "/a/b", "/a/b/a", "/b", "=/", "=/a", "=/a/", "=/a/b", "~/a.*", "~/[ab]/b", "~.*", "=*"]);
    let methods = prop::collection::vec(prop::sample::select(vec![Method::GET, Method::POST]), 0..2);
    let headers = prop::collection::vec(words(&["h=1", "h=2", "h=3", "h", "h~[12]", "g=1"]), 0..3);
    let query = prop::collection::vec(words(&["q=1", "q", "q~[12]", "r="]), 0..2);
    let listeners = prop_oneof![3 => Just(vec![]), 1 => Just(vec![public()]), 1 => Just(vec!["private".parse().unwrap()])];
    (hosts, paths, methods, headers, query, listeners).prop_map(|(hosts, path_text, methods, headers, query, listeners)| Match {
        listeners,
        hosts: hosts.into_iter().map(host).collect(),
        path: path(path_text),
        methods,
        headers: headers.into_iter().map(header).collect(),
        query: query.into_iter().map(parameter).collect(),
    })
}

fn some_request() -> impl Strategy<Value = Request> {
    let method = prop::sample::select(vec!["GET", "POST", "PUT"]);
    let host = words(&["x", "a.x", "b.a.x", "c.b.a.x", "a.b", "y", ""]);
    let path = prop_oneof![words(&["*", "/", "/a", "/a/", "/ab", "/a/b", "/a/b/a/b"]).prop_map(str::to_owned), "(/[ab]{0,2}){1,4}"];
    let query = prop::option::of(words(&["", "q=1", "q=3&q=2", "r", "q", "&r=&q=2"]));
    let fields =
        prop::collection::vec(prop::sample::select(vec![("h", "1"), ("h", "2"), ("h", "3"), ("g", "1"), ("g", "2")]), 0..4);
    (method, host, path, query, fields).prop_map(|(method, host, path, query, fields)| {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Request::new(&format!("{method} {host}{path}{query}"), &fields)
    })
}

proptest! {
    #[test]
    fn the_index_finds_what_a_scan_of_all_routes_finds(
        mut matches in prop::collection::vec(some_match(), 0..40),
        crowded in any::<bool>(),
        requests in prop::collection::vec(some_request(), 1..10),
    ) {
        // All in one list, so that it is indexed by a header.
        for matcher in matches.iter_mut().filter(|_| crowded) {
            *matcher = Match { hosts: Vec::new(), path: PathPattern::Any, ..std::mem::take(matcher) };
        }
        let routes: Vec<_> = matches.into_iter().map(route).collect();
        let table = Table::build(&routes, &public()).unwrap();
        for request in &requests {
            let query = request.query();
            let found = table.find(&query);
            prop_assert_eq!(found.as_ref().ok().copied(), naive(&routes, &query, false), "{:?}", request);
            if let Err(miss) = &found {
                prop_assert_eq!(matches!(miss, Miss::Method(_)), naive(&routes, &query, true).is_some(), "{:?}", request);
            }
            if let Err(Miss::Method(allowed)) = found {
                for method in &allowed {
                    prop_assert_eq!(table.find(&Query { method, ..query }).is_ok(), true);
                }
            }
        }
    }

    #[test]
    fn an_explanation_agrees_with_the_search_and_names_every_route_once(
        matches in prop::collection::vec(some_match(), 0..12),
        request in some_request(),
    ) {
        let routes: Vec<_> = matches.into_iter().map(route).collect();
        let table = Table::build(&routes, &public()).unwrap();
        let explanation = table.explain(&request.query());
        let taken = explanation.candidates.iter().filter(|candidate| candidate.verdict == Verdict::Taken).map(|candidate| candidate.route);
        let found = table.find(&request.query()).ok().map(|matched| matched.route);
        prop_assert_eq!(taken.collect::<Vec<_>>(), found.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(explanation.taken.is_some(), found.is_some());
        let mut named: Vec<usize> = explanation.candidates.iter().map(|candidate| candidate.route).collect();
        named.sort_unstable();
        prop_assert_eq!(named, (0..routes.len()).collect::<Vec<_>>());
        for candidate in &explanation.candidates {
            let matcher = &routes[candidate.route].matcher;
            let by_listener = !matcher.listeners.is_empty() && !matcher.listeners.contains(&public());
            prop_assert_eq!(candidate.verdict == Verdict::Unmet(Condition::Listener), by_listener);
            let alone = naive(std::slice::from_ref(&routes[candidate.route]), &request.query(), false);
            prop_assert_eq!(matches!(candidate.verdict, Verdict::Taken | Verdict::LessSpecific), alone.is_some());
            if candidate.verdict == Verdict::Unmet(Condition::Path) {
                prop_assert_eq!(path_rank(&matcher.path, &request.path), None);
            }
        }
    }

    #[test]
    fn no_request_can_panic(
        matches in prop::collection::vec(some_match(), 0..8),
        host in any::<String>(),
        path_text in any::<String>(),
        text in any::<String>(),
    ) {
        let table = table(matches);
        let headers = HeaderMap::new();
        let query = Query { host: &host, path: &path_text, method: &Method::GET, headers: &headers, query: Some(&text) };
        let _found = table.find(&query);
    }
}
