//! What finding a route costs: 10, 1,000 and 10,000 routes, told apart by host, by prefix under one host, or by a header under one path.
//!
//! `cargo bench --bench matching`

use std::hint::black_box;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tidegate::model::{Action, HeaderMatch, HostPattern, Id, Match, PathPattern, Rewrite, Route, RouteTimeouts, ValueMatch};
use tidegate::route::{Query, Table};

/// Shows that a search allocates nothing.
#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

const SIZES: [usize; 3] = [10, 1_000, 10_000];
const TENANT: HeaderName = HeaderName::from_static("x-tenant");

fn main() {
    divan::main();
}

fn id(name: &str) -> Id {
    name.parse().expect("names of the benchmark are valid")
}

fn table(n: usize, matcher: impl Fn(usize) -> Match) -> Table {
    let route = |n| Route {
        name: id(&format!("route-{n}")),
        matcher: matcher(n),
        action: Action::Forward(Vec::new()),
        require: Default::default(),
        rewrite: Rewrite::default(),
        timeouts: RouteTimeouts::default(),
        heartbeat: None,
        policies: Default::default(),
    };
    let routes: Vec<Arc<Route>> = (0..n).map(|n| Arc::new(route(n))).collect();
    Table::build(&routes, &id("public")).expect("the benchmark has no regular expressions")
}

fn by_host(n: usize) -> Table {
    table(n, |n| Match { hosts: vec![HostPattern::Exact(format!("agent-{n}.example.com"))], ..Match::default() })
}

fn by_prefix(n: usize) -> Table {
    table(n, |n| Match { path: PathPattern::Prefix(format!("/v1/agents/agent-{n}")), ..Match::default() })
}

fn by_header(n: usize) -> Table {
    let field = |n| HeaderMatch { name: TENANT, value: ValueMatch::Exact(format!("tenant-{n}")) };
    table(n, |n| Match { headers: vec![field(n)], ..Match::default() })
}

/// The header fields of an ordinary client, and a tenant.
fn headers(tenant: &str) -> HeaderMap {
    let fields = [
        ("host", "agent-7.example.com"),
        ("user-agent", "bench/1"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("authorization", "Bearer token"),
    ];
    let mut headers: HeaderMap =
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
    headers.insert(TENANT, HeaderValue::try_from(tenant).expect("tenants of the benchmark are valid values"));
    headers
}

fn run(bencher: divan::Bencher<'_, '_>, table: &Table, host: &str, path: &str, headers: &HeaderMap) {
    let query = Query { host, path, method: &Method::GET, headers, query: Some("stream=true") };
    bencher.bench_local(|| table.find(black_box(&query)));
}

#[divan::bench(args = SIZES)]
fn exact_host(bencher: divan::Bencher<'_, '_>, n: usize) {
    run(bencher, &by_host(n), &format!("agent-{}.example.com", n - 1), "/v1/chat", &headers("none"));
}

#[divan::bench(args = SIZES)]
fn prefix(bencher: divan::Bencher<'_, '_>, n: usize) {
    run(bencher, &by_prefix(n), "example.com", &format!("/v1/agents/agent-{}/chat", n - 1), &headers("none"));
}

#[divan::bench(args = SIZES)]
fn header(bencher: divan::Bencher<'_, '_>, n: usize) {
    run(bencher, &by_header(n), "example.com", "/v1/chat", &headers(&format!("tenant-{}", n - 1)));
}

#[divan::bench(args = SIZES)]
fn miss(bencher: divan::Bencher<'_, '_>, n: usize) {
    run(bencher, &by_host(n), "nobody.example.com", "/v1/chat", &headers("none"));
}
