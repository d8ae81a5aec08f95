//! The six strategies as a client sees them.
//!
//! Requests that must follow each other go over one connection: what one of them leaves behind is then settled before the next is picked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use crate::lab::{Body, Endpoint, Http1, Lab, full, request, soon};

/// How long a slow answer takes.
const HELD: Duration = Duration::from_millis(500);

/// Agents that tell their name in `x-name`, and do what the path says.
struct Agents {
    endpoints: Vec<Endpoint>,
    /// How many of the requests for `/held` may be answered.
    answers: Arc<Semaphore>,
}

impl Agents {
    async fn start(names: &[&'static str]) -> Self {
        let answers = Arc::new(Semaphore::new(0));
        let mut endpoints = Vec::new();
        for &name in names {
            let answers = answers.clone();
            endpoints.push(Endpoint::start(move |request| act(name, request, answers.clone())).await);
        }
        Self { endpoints, answers }
    }
}

/// `/stream` never ends, `/held` waits for leave, `/busy` is refused, everything else is answered at once.
async fn act(name: &'static str, request: Request<Incoming>, answers: Arc<Semaphore>) -> Response<Body> {
    let response = Response::builder().header("x-name", name);
    let response = match request.uri().path() {
        "/stream" => response.body(endless()),
        "/held" => {
            answers.acquire().await.expect("an open semaphore").forget();
            response.body(full(name))
        }
        "/busy" => response.status(429).header("retry-after", "60").body(full(name)),
        _ => response.body(full(name)),
    };
    response.expect("a valid response")
}

/// A body of one piece that does not end.
fn endless() -> Body {
    let frames = [Ok(Frame::data(Bytes::from_static(b"begun")))];
    let body = futures_util::StreamExt::chain(futures_util::stream::iter(frames), futures_util::stream::pending());
    BodyExt::boxed(StreamBody::new(body))
}

/// Starts a proxy before endpoints with these keys besides their addresses.
async fn proxy(workers: usize, pool: &str, endpoints: &[(&str, &Endpoint)]) -> Lab {
    let list: String =
        endpoints.iter().map(|(keys, endpoint)| format!("      - {{ {keys}, address: {} }}\n", endpoint.address)).collect();
    Lab::start(&format!(
        "workers: {workers}\nlisteners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}]\npools:\n  agents:\n    {pool}\n    endpoints:\n{list}"
    ))
    .await
}

/// Starts a proxy of one worker before agents named `a`, `b`, ...
async fn before(agents: &Agents, pool: &str) -> Lab {
    let keys = ["id: a", "id: b", "id: c"];
    let endpoints: Vec<_> = keys.into_iter().zip(&agents.endpoints).collect();
    proxy(1, pool, &endpoints).await
}

/// Returns who answers a path.
async fn who(client: &mut Http1, path: &str) -> String {
    client.ask(request(path)).await.field("x-name").to_owned()
}

async fn who_many(client: &mut Http1, times: usize) -> Vec<String> {
    let mut names = Vec::with_capacity(times);
    for _ in 0..times {
        names.push(who(client, "/").await);
    }
    names
}

/// A response that goes on; ends when it is dropped.
struct Stream {
    name: String,
    _body: Incoming,
    _client: Http1,
}

/// Opens a stream on a connection of its own.
async fn stream(lab: &Lab, field: (&'static str, &str)) -> Stream {
    let mut client = Http1::connect(lab.address()).await;
    let mut request = request("/stream");
    request.headers_mut().insert(field.0, field.1.parse().expect("a valid value"));
    let response = client.send(request).await.expect("a response");
    let name = response.headers()["x-name"].to_str().expect("a name").to_owned();
    Stream { name, _body: response.into_body(), _client: client }
}

/// Waits until the pool runs as many requests.
async fn until_in_flight(lab: &Lab, wanted: u64) {
    soon(async {
        let mut client = Http1::connect(lab.admin()).await;
        loop {
            let again = Request::get("/api/v1/status").header("host", "localhost").body(full("")).expect("a valid request");
            if client.ask(again).await.json()["pools"][0]["in_flight"] == wanted {
                return;
            }
        }
    })
    .await;
}

/// Drains an endpoint, or ends that.
async fn order(lab: &Lab, what: &str, endpoint: &str) {
    let request = Request::post(format!("/api/v1/pools/agents/endpoints/{endpoint}/{what}")).header("host", "localhost");
    let answer = Http1::connect(lab.admin()).await.ask(request.body(full("")).expect("a valid request")).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
}

fn counts(names: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name.as_str()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn round_robin_takes_all_in_turn() {
    let agents = Agents::start(&["a", "b", "c"]).await;
    let lab = before(&agents, "strategy: round_robin").await;
    let names = who_many(&mut Http1::connect(lab.address()).await, 10).await;
    assert!(names[..3].iter().collect::<std::collections::BTreeSet<_>>().len() == 3, "{names:?}");
    assert!(names.windows(4).all(|turn| turn[0] == turn[3]), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn round_robin_passes_over_who_is_drained() {
    let agents = Agents::start(&["a", "b", "c"]).await;
    let lab = before(&agents, "strategy: round_robin").await;
    let mut client = Http1::connect(lab.address()).await;
    order(&lab, "drain", "b").await;
    assert_eq!(counts(&who_many(&mut client, 6).await), BTreeMap::from([("a", 3), ("c", 3)]));
    order(&lab, "undrain", "b").await;
    assert_eq!(counts(&who_many(&mut client, 6).await), BTreeMap::from([("a", 2), ("b", 2), ("c", 2)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weighted_round_robin_interleaves_in_exact_proportion() {
    let agents = Agents::start(&["a", "b", "c"]).await;
    let keys = ["id: a, weight: 5", "id: b", "id: c"];
    let endpoints: Vec<_> = keys.into_iter().zip(&agents.endpoints).collect();
    let lab = proxy(1, "strategy: weighted_round_robin", &endpoints).await;
    let names = who_many(&mut Http1::connect(lab.address()).await, 14).await;
    assert_eq!(names.concat(), "aabacaaaabacaa");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn least_connections_avoids_who_has_a_running_stream() {
    let agents = Agents::start(&["a", "b"]).await;
    let lab = before(&agents, "strategy: least_connections").await;
    let running = stream(&lab, ("x-any", "1")).await;
    let mut client = Http1::connect(lab.address()).await;
    let names = who_many(&mut client, 20).await;
    assert!(!names.contains(&running.name), "{} {names:?}", running.name);
    let busy = running.name.clone();
    drop(running);
    until_in_flight(&lab, 0).await;
    // Ties are broken at random: 64 times the other one does not happen.
    assert!(who_many(&mut client, 64).await.contains(&busy));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn least_connections_goes_by_weight() {
    let agents = Agents::start(&["a", "b"]).await;
    let keys = ["id: a, weight: 3", "id: b"];
    let endpoints: Vec<_> = keys.into_iter().zip(&agents.endpoints).collect();
    let lab = proxy(1, "strategy: least_connections", &endpoints).await;
    let mut running = Vec::new();
    for _ in 0..32 {
        running.push(stream(&lab, ("x-any", "1")).await);
    }
    let names: Vec<_> = running.iter().map(|stream| stream.name.clone()).collect();
    // Each round by itself, as chance would hit the sum now and then.
    assert!(names.chunks(4).all(|round| counts(round) == BTreeMap::from([("a", 3), ("b", 1)])), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_know_of_each_others_running_requests() {
    let agents = Agents::start(&["a", "b"]).await;
    let keys = ["id: a, capabilities: [mark]", "id: b"];
    let endpoints: Vec<_> = keys.into_iter().zip(&agents.endpoints).collect();
    let lab = proxy(2, "strategy: least_connections", &endpoints).await;
    // On one worker or the other, as their connections fall; enough that a request on its way out does not count.
    let mut running = Vec::new();
    for _ in 0..8 {
        running.push(stream(&lab, ("x-tidegate-require", "mark")).await);
    }
    assert!(running.iter().all(|stream| stream.name == "a"));
    for _ in 0..32 {
        assert_eq!(who(&mut Http1::connect(lab.address()).await, "/").await, "b");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn least_response_time_prefers_who_answers_faster() {
    let agents = Agents::start(&["a", "b"]).await;
    let lab = before(&agents, "strategy: least_response_time").await;
    let address = lab.address();
    let begun = Instant::now();
    let slow = tokio::spawn(async move { who(&mut Http1::connect(address).await, "/held").await });
    until_in_flight(&lab, 1).await;
    // Its answer takes as long as all of these together, and longer than the machine stands still.
    let mut client = Http1::connect(lab.address()).await;
    let mut fast = Vec::new();
    while begun.elapsed() < HELD {
        fast.push(who(&mut client, "/").await);
    }
    agents.answers.add_permits(1);
    let slow = soon(slow).await.expect("an answer");
    until_in_flight(&lab, 0).await;
    let later = who_many(&mut client, 20).await;
    assert!(!fast.is_empty() && !fast.contains(&slow) && !later.contains(&slow), "{slow}: {fast:?} {later:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn least_response_time_leaves_alone_who_asked_for_it() {
    let agents = Agents::start(&["a", "b"]).await;
    let lab = before(&agents, "strategy: least_response_time").await;
    let mut client = Http1::connect(lab.address()).await;
    let refused = client.ask(request("/busy")).await;
    assert_eq!((refused.status(), refused.field("retry-after")), (429, "60"));
    let parked = refused.field("x-name").to_owned();
    let names = who_many(&mut client, 20).await;
    assert!(!names.contains(&parked), "{parked}: {names:?}");
    // Even when the other one is loaded.
    let mut running = Vec::new();
    for _ in 0..10 {
        running.push(stream(&lab, ("x-any", "1")).await);
    }
    assert!(running.iter().all(|stream| stream.name != parked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resource_based_follows_what_endpoints_report() {
    let a_is_full = Arc::new(AtomicBool::new(false));
    let flag = a_is_full.clone();
    let reporting = move |name: &'static str, report: &'static str| {
        Response::builder().header("x-name", name).header("endpoint-load-metrics", report).body(full(name)).expect("a response")
    };
    let a = Endpoint::start(move |_| {
        let full = flag.load(Ordering::Relaxed);
        async move { reporting("a", if full { "JSON {\"cpu_utilization\": 0.9}" } else { "TEXT cpu_utilization=0.2" }) }
    })
    .await;
    let b = Endpoint::start(move |_| async move { reporting("b", "TEXT cpu_utilization=0.1, mem_utilization=0.6") }).await;
    let terms = "strategy: resource_based\n    resource: { connections: 100%, response_time: 0%, failures: 0% }";
    let lab = proxy(1, terms, &[("id: a", &a), ("id: b", &b)]).await;
    let mut client = Http1::connect(lab.address()).await;
    // Who has not reported counts as idle, so that both are asked once.
    assert_eq!(counts(&who_many(&mut client, 2).await), BTreeMap::from([("a", 1), ("b", 1)]));
    assert_eq!(counts(&who_many(&mut client, 10).await), BTreeMap::from([("a", 10)]));
    a_is_full.store(true, Ordering::Relaxed);
    // The report of the first answer sends the rest elsewhere.
    assert_eq!(who_many(&mut client, 10).await.concat(), "abbbbbbbbb");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resource_based_avoids_who_fails() {
    let good = Endpoint::start(|_| async { Response::builder().header("x-name", "good").body(full("")).unwrap() }).await;
    let bad = Endpoint::start(|_| async { Response::builder().status(500).header("x-name", "bad").body(full("")).unwrap() }).await;
    let terms = "strategy: resource_based\n    resource: { connections: 0%, response_time: 0%, failures: 100% }";
    let lab = proxy(1, terms, &[("id: good", &good), ("id: bad", &bad)]).await;
    let mut client = Http1::connect(lab.address()).await;
    let names = who_many(&mut client, 64).await;
    // Once, while nobody knows.
    assert_eq!(names.iter().filter(|name| *name == "bad").count(), 1, "{names:?}");
}

const KEYS: [&str; 24] = [
    "k00", "k01", "k02", "k03", "k04", "k05", "k06", "k07", "k08", "k09", "k10", "k11", "k12", "k13", "k14", "k15", "k16", "k17",
    "k18", "k19", "k20", "k21", "k22", "k23",
];

/// Returns who answers each key.
async fn owners(client: &mut Http1) -> Vec<String> {
    let mut owners = Vec::with_capacity(KEYS.len());
    for key in KEYS {
        let mut request = request("/");
        request.headers_mut().insert("x-session-id", http::HeaderValue::from_static(key));
        owners.push(client.ask(request).await.field("x-name").to_owned());
    }
    owners
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consistent_hashing_sticks_spills_while_drained_and_returns() {
    let agents = Agents::start(&["a", "b", "c"]).await;
    let lab = before(&agents, "strategy: consistent_hashing\n    hash: { key: 'header:x-session-id' }").await;
    let mut client = Http1::connect(lab.address()).await;
    let before = owners(&mut client).await;
    assert_eq!(counts(&before).len(), 3, "{before:?}");
    assert_eq!(owners(&mut client).await, before);
    order(&lab, "drain", "b").await;
    let during = owners(&mut client).await;
    for (was, is) in before.iter().zip(&during) {
        assert!(if was == "b" { is != "b" } else { is == was }, "{before:?} {during:?}");
    }
    assert_eq!(owners(&mut client).await, during);
    order(&lab, "undrain", "b").await;
    assert_eq!(owners(&mut client).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_agree_on_the_owner_of_each_key() {
    let agents = Agents::start(&["a", "b", "c"]).await;
    let pool = "strategy: consistent_hashing\n    hash: { key: 'header:x-session-id' }";
    let (one, two) = (before(&agents, pool).await, before(&agents, pool).await);
    let first = owners(&mut Http1::connect(one.address()).await).await;
    assert_eq!(first, owners(&mut Http1::connect(two.address()).await).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_key_spills_above_the_bound_and_returns() {
    let agents = Agents::start(&["a", "b"]).await;
    let lab = before(&agents, "strategy: consistent_hashing\n    hash: { key: 'header:x-session-id', bounded_load: 1.25 }").await;
    let key = ("x-session-id", "hot");
    let first = stream(&lab, key).await;
    let second = stream(&lab, key).await;
    // The bound is 1.25 x 3 / 2, rounded up: two on each.
    let third = stream(&lab, key).await;
    assert!(first.name == second.name && third.name != first.name, "{} {} {}", first.name, second.name, third.name);
    let owner = first.name.clone();
    drop((first, second, third));
    until_in_flight(&lab, 0).await;
    assert_eq!(stream(&lab, key).await.name, owner);
}
