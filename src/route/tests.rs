//! The table against its rules: what is more specific, borders, misses, and the indexes against a plain scan.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::model::{
    Action, FixedResponse, HeaderMatch, HostPattern, Id, Match, PathPattern, QueryMatch, Rewrite, Route, RouteTimeouts, ValueMatch,
};

fn id(name: &str) -> Id {
    name.parse().unwrap()
}

fn route(index: usize, matcher: Match) -> Arc<Route> {
    let answer = FixedResponse { status: http::StatusCode::OK, headers: Vec::new(), body: String::new() };
    Arc::new(Route {
        name: id(&format!("r{index}")),
        matcher,
        action: Action::Respond(answer),
        require: Default::default(),
        rewrite: Rewrite::default(),
        timeouts: RouteTimeouts::default(),
    })
}

fn routes(matchers: impl IntoIterator<Item = Match>) -> Vec<Arc<Route>> {
    matchers.into_iter().enumerate().map(|(index, matcher)| route(index, matcher)).collect()
}

fn table(matchers: impl IntoIterator<Item = Match>) -> Table {
    Table::build(&routes(matchers), &id("public")).unwrap()
}

fn exact(path: &str) -> PathPattern {
    PathPattern::Exact(path.to_owned())
}

fn prefix(path: &str) -> PathPattern {
    PathPattern::Prefix(path.to_owned())
}

fn regex(path: &str) -> PathPattern {
    PathPattern::Regex(path.to_owned())
}

fn host(text: &str) -> HostPattern {
    text.strip_prefix("*.").map_or_else(|| HostPattern::Exact(text.to_owned()), |parent| HostPattern::Below(parent.to_owned()))
}

fn on(hosts: &[&str], path: PathPattern) -> Match {
    Match { hosts: hosts.iter().map(|text| host(text)).collect(), path, ..Match::default() }
}

fn header(name: &'static str, value: ValueMatch) -> HeaderMatch {
    HeaderMatch { name: HeaderName::from_static(name), value }
}

fn parameter(name: &str, value: ValueMatch) -> QueryMatch {
    QueryMatch { name: name.to_owned(), value }
}

fn is(text: &str) -> ValueMatch {
    ValueMatch::Exact(text.to_owned())
}

/// A request, owned.
#[derive(Clone, Debug)]
struct Ask {
    host: String,
    path: String,
    method: Method,
    headers: HeaderMap,
    query: Option<String>,
}

impl Ask {
    fn get(host: &str, path: &str) -> Self {
        Self { host: host.to_owned(), path: path.to_owned(), method: Method::GET, headers: HeaderMap::new(), query: None }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    fn of(&self, table: &Table) -> Result<Matched, Miss> {
        table.find(&self.query())
    }

    fn query(&self) -> Query<'_> {
        Query { host: &self.host, path: &self.path, method: &self.method, headers: &self.headers, query: self.query.as_deref() }
    }
}

fn found(table: &Table, ask: &Ask) -> Option<usize> {
    ask.of(table).ok().map(|matched| matched.route)
}

#[test]
fn each_criterion_outweighs_all_that_come_after_it() {
    let methods = vec![Method::GET];
    let headers = vec![header("x-a", ValueMatch::Present)];
    let query = vec![parameter("a", ValueMatch::Present)];
    // Least specific first, so that the place in the file never helps; each also gets all that the next criterion could add.
    let ladder = [
        Match { methods: methods.clone(), headers: headers.clone(), query: query.clone(), ..on(&[], exact("/a/b/c")) },
        Match { methods: methods.clone(), ..on(&["*.c.d"], exact("/a/b/c")) },
        on(&["*.b.c.d"], exact("/a/b/c")),
        Match { headers: headers.clone(), methods: methods.clone(), ..on(&["a.b.c.d"], PathPattern::Any) },
        Match { headers: headers.clone(), methods: methods.clone(), ..on(&["a.b.c.d"], regex("/a/.*")) },
        Match { headers: headers.clone(), methods: methods.clone(), ..on(&["a.b.c.d"], prefix("/")) },
        Match { headers: headers.clone(), methods: methods.clone(), ..on(&["a.b.c.d"], prefix("/a")) },
        Match { headers: headers.clone(), methods: methods.clone(), ..on(&["a.b.c.d"], prefix("/a/b")) },
        Match { headers: headers.clone(), query: query.clone(), ..on(&["a.b.c.d"], exact("/a/b/c")) },
        Match { methods: methods.clone(), ..on(&["a.b.c.d"], exact("/a/b/c")) },
        Match { methods: methods.clone(), query: query.clone(), ..on(&["a.b.c.d"], exact("/a/b/c")) },
        Match { methods: methods.clone(), headers: headers.clone(), ..on(&["a.b.c.d"], exact("/a/b/c")) },
        Match { methods: methods.clone(), headers: headers.clone(), query: query.clone(), ..on(&["a.b.c.d"], exact("/a/b/c")) },
    ];
    let ask = Ask { query: Some("a=1".to_owned()), ..Ask::get("a.b.c.d", "/a/b/c").with("x-a", "1") };
    for rungs in 1..=ladder.len() {
        assert_eq!(found(&table(ladder[..rungs].iter().cloned()), &ask), Some(rungs - 1));
    }
}

#[test]
fn of_two_equal_routes_the_first_in_the_file_wins() {
    let twice = || on(&["a.example"], prefix("/x"));
    assert_eq!(found(&table([twice(), twice()]), &Ask::get("a.example", "/x/y")), Some(0));
}

#[test]
fn prefixes_end_on_segment_borders() {
    let table = table([on(&[], prefix("/coder")), on(&[], prefix("/a/b/"))]);
    for (path, want) in [
        ("/coder", Some((0, 6))),
        ("/coder/", Some((0, 6))),
        ("/coder/x", Some((0, 6))),
        ("/coders", None),
        ("/code", None),
        ("/", None),
        ("/a/b", Some((1, 4))),
        ("/a/b/c", Some((1, 4))),
        ("/a", None),
        ("/a/bc", None),
        ("*", None),
        ("", None),
    ] {
        let matched = Ask::get("h", path).of(&table).ok().map(|matched| (matched.route, matched.prefix_len));
        assert_eq!(matched, want, "{path}");
    }
}

#[test]
fn the_root_prefix_takes_every_path_and_replaces_nothing() {
    let table = table([on(&[], prefix("/"))]);
    assert_eq!(Ask::get("h", "/x").of(&table), Ok(Matched { route: 0, prefix_len: 0 }));
    assert_eq!(Ask::get("h", "*").of(&table), Err(Miss::NoRoute));
}

#[test]
fn an_exact_path_is_replaced_whole_and_has_no_below() {
    let table = table([on(&[], exact("/v1/")), on(&[], exact("*"))]);
    assert_eq!(Ask::get("h", "/v1/").of(&table), Ok(Matched { route: 0, prefix_len: 4 }));
    assert_eq!(Ask::get("h", "/v1").of(&table), Err(Miss::NoRoute));
    assert_eq!(Ask::get("h", "/v1/x").of(&table), Err(Miss::NoRoute));
    assert_eq!(found(&table, &Ask::get("h", "*")), Some(1));
}

#[test]
fn wildcards_take_hosts_below_and_the_longest_wins() {
    let table = table([on(&["*.c"], PathPattern::Any), on(&["*.b.c"], PathPattern::Any), on(&["x.c", "y.c"], PathPattern::Any)]);
    for (host, want) in [
        ("a.b.c", Some(1)),
        ("z.a.b.c", Some(1)),
        ("b.c", Some(0)),
        ("x.c", Some(2)),
        ("y.c.", Some(2)),
        ("ab.c", Some(0)),
        ("c", None),
        (".c", None),
        ("", None),
        ("a.bc", None),
    ] {
        assert_eq!(found(&table, &Ask::get(host, "/")), want, "{host}");
    }
}

#[test]
fn a_route_that_fits_host_and_path_but_nothing_else_leaves_the_request_to_less_specific_ones() {
    let gold = vec![header("x-tier", is("gold"))];
    let table = table([
        Match { headers: gold.clone(), ..on(&["a.b.c"], exact("/x/y")) },
        Match { headers: gold.clone(), ..on(&["a.b.c"], prefix("/x")) },
        Match { headers: gold.clone(), ..on(&["a.b.c"], regex("/.*")) },
        Match { headers: gold, ..on(&["*.b.c"], PathPattern::Any) },
        on(&["*.c"], prefix("/x")),
        on(&[], PathPattern::Any),
    ]);
    assert_eq!(found(&table, &Ask::get("a.b.c", "/x/y").with("x-tier", "gold")), Some(0));
    assert_eq!(found(&table, &Ask::get("a.b.c", "/x/y").with("x-tier", "tin")), Some(4));
    assert_eq!(found(&table, &Ask::get("a.b.c", "/y")), Some(5));
}

#[test]
fn header_and_query_conditions_hold_when_one_of_several_values_does() {
    let table = table([Match {
        headers: vec![
            header("x-a", is("2")),
            header("x-b", ValueMatch::Present),
            header("x-c", ValueMatch::Regex("v\\d".to_owned())),
        ],
        query: vec![parameter("q", is("a b"))],
        ..Match::default()
    }]);
    let fits = Ask {
        query: Some("q=1&q=a+b".to_owned()),
        ..Ask::get("h", "/").with("x-a", "1").with("x-a", "2").with("x-b", "").with("x-c", "v7")
    };
    assert_eq!(found(&table, &fits), Some(0));
    for without in ["x-a", "x-b", "x-c"] {
        let mut ask = fits.clone();
        ask.headers.remove(without);
        assert_eq!(found(&table, &ask), None, "{without}");
    }
    assert_eq!(found(&table, &Ask { query: Some("q=a".to_owned()), ..fits.clone() }), None);
    assert_eq!(found(&table, &Ask { query: None, ..fits }), None);
}

#[test]
fn a_miss_names_the_methods_that_would_be_taken() {
    let method = |method: Method, matcher| Match { methods: vec![method], ..matcher };
    let gold = vec![header("x-tier", is("gold"))];
    let table = table([
        method(Method::POST, on(&["a.b"], exact("/x"))),
        Match { methods: vec![Method::POST, Method::DELETE], ..on(&["*.b"], prefix("/x")) },
        method(Method::PUT, on(&[], prefix("/y"))),
        Match { headers: gold, ..method(Method::PATCH, on(&[], PathPattern::Any)) },
    ]);
    assert_eq!(Ask::get("a.b", "/x").of(&table), Err(Miss::Method(vec![Method::DELETE, Method::POST])));
    assert_eq!(Ask::get("a.b", "/y").of(&table), Err(Miss::Method(vec![Method::PUT])));
    assert_eq!(Ask::get("a.b", "/z").of(&table), Err(Miss::NoRoute));
    assert_eq!(Ask::get("a.b", "/z").with("x-tier", "gold").of(&table), Err(Miss::Method(vec![Method::PATCH])));
}

#[test]
fn get_does_not_stand_for_head() {
    let table = table([Match { methods: vec![Method::GET], ..Match::default() }]);
    assert_eq!(Ask { method: Method::HEAD, ..Ask::get("h", "/") }.of(&table), Err(Miss::Method(vec![Method::GET])));
}

#[test]
fn a_table_holds_the_routes_of_its_listener_under_their_own_indexes() {
    let own = |listeners: &[&str]| Match { listeners: listeners.iter().map(|name| id(name)).collect(), ..Match::default() };
    let all = routes([own(&["inside"]), own(&["inside", "public"]), own(&[])]);
    let index = |listener| found(&Table::build(&all, &id(listener)).unwrap(), &Ask::get("h", "/"));
    assert_eq!((index("inside"), index("public"), index("other")), (Some(0), Some(1), Some(2)));
}

#[test]
fn what_cannot_be_compiled_is_named() {
    let error = |matcher| Table::build(&routes([Match::default(), matcher]), &id("public")).unwrap_err().to_string();
    assert_eq!(error(on(&[], regex("("))), "route \"r1\": a regular expression cannot be used");
    assert_eq!(error(on(&[], prefix("coder"))), "route \"r1\": path \"coder\" does not begin with \"/\"");
    assert_eq!(error(on(&[], prefix("*"))), "route \"r1\": path \"*\" does not begin with \"/\"");
}

#[test]
fn an_explanation_tells_what_decided() {
    let table = table([
        on(&["*.example.com"], prefix("/coder")),
        Match { headers: vec![header("x-tier", is("gold"))], ..on(&["a.example.com"], prefix("/coder")) },
        Match { methods: vec![Method::POST], ..on(&[], exact("/coder/x")) },
        on(&["b.example.com"], PathPattern::Any),
        on(&[], regex("/c.*")),
    ]);
    let ask = Ask { method: Method::GET, ..Ask::get("a.example.com", "/coder/x") };
    let shown = table.explain(&ask.query());
    let verdicts: Vec<_> = shown.candidates.iter().map(|candidate| (candidate.route, candidate.verdict.clone())).collect();
    assert_eq!(shown.chosen, Some(id("r0")));
    assert_eq!(
        verdicts,
        [
            (0, Verdict::Chosen),
            (4, Verdict::LessSpecific(Criterion::Host)),
            (1, Verdict::Failed(Condition::Header { name: "x-tier".to_owned(), wanted: "\"gold\"".to_owned() })),
            (2, Verdict::Failed(Condition::Method(vec!["POST".to_owned()]))),
            (3, Verdict::Failed(Condition::Host(vec!["b.example.com".to_owned()]))),
        ]
    );
    let text = "route r0 takes the request\n  r0: takes it\n  r4: would take it, but the first has a more specific host\n  \
                r1: the header x-tier is not \"gold\"\n  r2: the method is not POST\n  r3: the host is not b.example.com\n";
    assert_eq!(shown.to_string(), text);
    let json = serde_json::to_value(&shown).unwrap();
    assert_eq!(json["candidates"][1]["verdict"]["less_specific"], "host");
    assert_eq!(json["candidates"][2]["verdict"]["failed"]["header"]["name"], "x-tier");
}

#[test]
fn an_explanation_of_a_miss_names_the_methods_and_stays_short() {
    let post = Match { methods: vec![Method::POST], ..Match::default() };
    let shown = table((0..30).map(|_| post.clone())).explain(&Ask::get("h", "/").query());
    assert_eq!((shown.chosen.clone(), shown.allow.clone()), (None, vec!["POST".to_owned()]));
    let text = shown.to_string();
    assert!(text.starts_with("no route takes the request with this method; allowed: POST\n"), "{text}");
    assert!(text.ends_with("  and 10 more\n"), "{text}");
    assert_eq!(table([]).explain(&Ask::get("h", "/").query()).to_string(), "no route takes the request\n");
}

/// The rules, once more and in the simplest way: every route is weighed, in the order of the file.
fn scan(routes: &[Arc<Route>], ask: &Ask) -> Result<Matched, Miss> {
    let segments = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let value = |wanted: &ValueMatch, found: &[u8]| match wanted {
        ValueMatch::Present => true,
        ValueMatch::Exact(text) => text.as_bytes() == found,
        ValueMatch::Regex(text) => regex::bytes::Regex::new(&format!("^({text})$")).unwrap().is_match(found),
    };
    let mut best = None;
    let mut methods = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let matcher = &route.matcher;
        let host_rank = matcher.hosts.iter().filter_map(|host| match host {
            HostPattern::Exact(host) => (*host == ask.host).then_some((2, 0)),
            HostPattern::Below(parent) => ask.host.ends_with(&format!(".{parent}")).then_some((1, parent.len())),
        });
        let host_rank = if matcher.hosts.is_empty() { Some((0, 0)) } else { host_rank.max() };
        let path_rank = match &matcher.path {
            PathPattern::Exact(path) => (*path == ask.path).then_some((3, path.len())),
            PathPattern::Prefix(path) if path == "/" => Some((2, 0)),
            PathPattern::Prefix(path) => segments(&ask.path).starts_with(&segments(path)).then_some((2, path.len())),
            PathPattern::Regex(text) => regex::Regex::new(&format!("^({text})$")).unwrap().is_match(&ask.path).then_some((1, 0)),
            PathPattern::Any => Some((0, 0)),
        };
        let (Some(host_rank), Some(path_rank)) = (host_rank, path_rank) else { continue };
        let headers = matcher
            .headers
            .iter()
            .all(|test| ask.headers.get_all(&test.name).iter().any(|found| value(&test.value, found.as_bytes())));
        let pairs: Vec<_> = ask.query.iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('=')).collect();
        let query = matcher
            .query
            .iter()
            .all(|test| pairs.iter().any(|(name, found)| *name == test.name && value(&test.value, found.as_bytes())));
        if !headers || !query {
            continue;
        }
        if !matcher.methods.is_empty() && !matcher.methods.contains(&ask.method) {
            methods.extend(matcher.methods.iter().cloned());
            continue;
        }
        let rank = (host_rank, path_rank, !matcher.methods.is_empty(), matcher.headers.len(), matcher.query.len());
        if best.as_ref().is_none_or(|(known, _)| rank > *known) {
            best = Some((rank, Matched { route: index, prefix_len: path_rank.1 }));
        }
    }
    methods.sort_by_key(|method| method.as_str().to_owned());
    methods.dedup();
    match best {
        Some((_, matched)) => Ok(matched),
        None if methods.is_empty() => Err(Miss::NoRoute),
        None => Err(Miss::Method(methods)),
    }
}

// Few letters, so that patterns and requests meet.
fn hosts() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof!["a", "b"], 1..4).prop_map(|labels| labels.join("."))
}

fn paths() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof!["a", "b", "ab"], 0..4).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn values() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![1 => Just(ValueMatch::Present), 4 => "[a-d]".prop_map(ValueMatch::Exact), 1 => Just(ValueMatch::Regex("[ab]".to_owned()))]
}

fn methods() -> impl Strategy<Value = Method> {
    prop_oneof![Just(Method::GET), Just(Method::POST), Just(Method::from_bytes(b"PURGE").unwrap())]
}

fn names() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("x-a"), Just("x-b")]
}

fn matchers() -> impl Strategy<Value = Match> {
    let host = prop_oneof![hosts().prop_map(HostPattern::Exact), hosts().prop_map(HostPattern::Below)];
    let path = prop_oneof![
        Just(PathPattern::Any),
        paths().prop_map(PathPattern::Exact),
        paths().prop_map(PathPattern::Prefix),
        prop_oneof!["/a.*", "/[ab]/?", ".*b"].prop_map(PathPattern::Regex),
    ];
    (
        prop::collection::vec(host, 0..3),
        path,
        prop::collection::vec(methods(), 0..2),
        prop::collection::vec((names(), values()), 0..3),
        prop::collection::vec((prop_oneof!["p", "q"], values()), 0..2),
    )
        .prop_map(|(hosts, path, methods, headers, query)| Match {
            listeners: Vec::new(),
            hosts,
            path,
            methods,
            headers: headers.into_iter().map(|(name, value)| header(name, value)).collect(),
            query: query.into_iter().map(|(name, value)| parameter(&name, value)).collect(),
        })
}

fn asks() -> impl Strategy<Value = Ask> {
    let headers = prop::collection::vec((names(), "[a-e]"), 0..4);
    let query = prop::option::of(prop::collection::vec("[pq]=[a-e]", 0..3).prop_map(|pairs| pairs.join("&")));
    (hosts(), paths(), methods(), headers, query).prop_map(|(host, path, method, lines, query)| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_str(&value).unwrap());
        }
        Ask { host, path, method, headers, query }
    })
}

/// Many routes of few hosts and paths, so that the lists inside a bucket are indexed too.
fn crowded() -> impl Strategy<Value = Vec<Match>> {
    let flat = matchers().prop_map(|matcher| Match { hosts: Vec::new(), path: PathPattern::Any, ..matcher });
    prop_oneof![prop::collection::vec(matchers(), 0..30), prop::collection::vec(flat, 8..60)]
}

fn check(matchers: &[Match], asks: &[Ask]) {
    let routes = routes(matchers.iter().cloned());
    let table = Table::build(&routes, &id("public")).unwrap();
    for ask in asks {
        let want = scan(&routes, ask);
        let explained = table.explain(&ask.query());
        assert_eq!(explained.chosen, want.as_ref().ok().map(|matched| routes[matched.route].name.clone()), "{ask:?}");
        assert_eq!(explained.candidates.len(), routes.len());
        assert_eq!(ask.of(&table), want, "{ask:?}");
    }
}

proptest! {
    #[test]
    fn the_indexes_answer_as_a_scan_of_all_routes_does(matchers in crowded(), asks in prop::collection::vec(asks(), 1..12)) {
        check(&matchers, &asks);
    }

    #[test]
    fn no_text_breaks_a_look_up(host in any::<String>(), path in any::<String>(), query in any::<String>(), pattern in any::<String>()) {
        let matchers = [
            on(&["*.a", &pattern], prefix("/a")),
            Match { query: vec![parameter(&pattern, ValueMatch::Present)], ..on(&[], exact(&format!("/{pattern}"))) },
            on(&[], prefix(&format!("/{pattern}"))),
            on(&[], PathPattern::Any),
        ];
        let ask = Ask { query: Some(query), ..Ask::get(&host, &path) };
        let table = table(matchers);
        prop_assert_eq!(table.explain(&ask.query()).chosen.map(|name| name.to_string()), found(&table, &ask).map(|at| format!("r{at}")));
    }
}
