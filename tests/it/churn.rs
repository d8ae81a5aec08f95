//! Hundreds of reloads under load: no request fails, no stream is cut, nothing is forgotten, memory stays flat.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use http::{Method, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use crate::agent::{Agent, Echo, Socket, piece};
use crate::child::{Process, complete};
use crate::client::{Http2, admin, request_http2};
use crate::lab::{Endpoint, Http1, full, get, read, request};
use crate::written::Written;

/// Reloads of the long test; each adds, changes and removes something.
const RELOADS: usize = 300;

/// Streams that run through all of them.
const STREAMS: usize = 16;

/// What stands behind the proxy.
struct Behind {
    short: [Endpoint; 3],
    agent: Agent,
    echo: Echo,
}

impl Behind {
    async fn start() -> Self {
        let short = || Endpoint::start(|_| async { Response::new(full("ok")) });
        Self { short: [short().await, short().await, short().await], agent: Agent::start().await, echo: Echo::start().await }
    }

    /// Writes config number `turn`: what serves the load stays, and everything around it comes and goes.
    fn config(&self, turn: usize) -> String {
        let [a, b, c] = self.short.each_ref().map(|endpoint| endpoint.address);
        let extra_listener = if turn.is_multiple_of(2) { ", { name: extra, bind: 127.0.0.1:0, pool: passing }" } else { "" };
        let extra_route = if turn.is_multiple_of(3) {
            "  - { name: passing, match: { path: /passing }, pool: passing, timeouts: { total: 5s } }\n"
        } else {
            ""
        };
        let extra_endpoint = if turn.is_multiple_of(5) { format!(", {{ id: c, address: {c} }}") } else { String::new() };
        let weight = turn % 7 + 1;
        let strategy = ["least_connections", "round_robin", "least_response_time"][turn / 10 % 3];
        format!(
            "workers: 2\n\
             listeners: [{{ name: public, bind: 127.0.0.1:0 }}{extra_listener}]\n\
             routes:\n\
             {extra_route}  - {{ name: events, match: {{ path: /events }}, pool: streaming }}\n\
             \x20 - {{ name: socket, match: {{ path: /socket }}, pool: sockets }}\n\
             \x20 - {{ name: rest, pool: agents }}\n\
             pools:\n\
             \x20 agents:\n\
             \x20   strategy: {strategy}\n\
             \x20   endpoints: [{{ id: a, address: {a}, weight: {weight} }}, {{ id: b, address: {b} }}{extra_endpoint}]\n\
             \x20 passing: {{ endpoints: [{{ id: p{}, address: {b} }}] }}\n\
             \x20 streaming: {{ endpoints: [{{ id: s, address: {}, weight: {weight} }}] }}\n\
             \x20 sockets: {{ endpoints: [{{ id: w, address: {} }}] }}\n",
            turn % 4,
            self.agent.address,
            self.echo.address,
        )
    }
}

/// Short requests without end: over kept connections of both versions, and over a new one for each.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let mut load = Self { stop: Arc::default(), answered: Arc::default(), tasks: JoinSet::new() };
        let (stop, answered) = (load.stop.clone(), load.answered.clone());
        load.tasks.spawn(async move {
            let mut client = Http1::connect(address).await;
            while !stop.load(Relaxed) {
                assert_eq!(client.ask(request("/")).await.text, "ok");
                answered.fetch_add(1, Relaxed);
            }
        });
        let (stop, answered) = (load.stop.clone(), load.answered.clone());
        load.tasks.spawn(async move {
            let mut client = Http2::connect(address).await;
            while !stop.load(Relaxed) {
                let two = [client.send(request_http2("/")).await, client.send(request_http2("/")).await];
                for response in two {
                    assert_eq!(read(response.expect("a response")).await.text, "ok");
                    answered.fetch_add(1, Relaxed);
                }
            }
        });
        let (stop, answered) = (load.stop.clone(), load.answered.clone());
        load.tasks.spawn(async move {
            while !stop.load(Relaxed) {
                assert_eq!(get(address, "/").await.text, "ok");
                answered.fetch_add(1, Relaxed);
            }
        });
        load
    }

    /// Ends it and returns how many requests were answered, all of them well.
    async fn end(mut self) -> u64 {
        self.stop.store(true, Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("every request should be answered");
        }
        self.answered.load(Relaxed)
    }
}

/// A running stream: what the endpoint writes with, and what the client reads from.
struct Stream {
    say: UnboundedSender<&'static str>,
    body: Incoming,
    /// Keeps the connection.
    _client: Box<dyn std::any::Any + Send>,
}

async fn streams(agent: &mut Agent, address: SocketAddr) -> Vec<Stream> {
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let (body, client): (_, Box<dyn std::any::Any + Send>) = if number.is_multiple_of(2) {
            let mut client = Http1::connect(address).await;
            (client.send(request("/events")).await.expect("a response").into_body(), Box::new(client))
        } else {
            let mut client = Http2::connect(address).await;
            (client.send(request_http2("/events")).await.expect("a response").into_body(), Box::new(client))
        };
        streams.push(Stream { say: agent.next().await, body, _client: client });
    }
    streams
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_reloads_fail_no_request_and_cut_no_stream() {
    let mut behind = Behind::start().await;
    let written = Written::start(&behind.config(0)).await;
    let (address, control) = (written.lab.listener("public"), written.lab.admin());
    let mut streams = streams(&mut behind.agent, address).await;
    let mut sockets = [Socket::open(address, "/socket").await, Socket::open(address, "/socket").await];
    let load = Load::start(address);
    admin(control, Method::POST, "/api/v1/pools/agents/endpoints/b/drain", "").await;
    admin(control, Method::PATCH, "/api/v1/pools/streaming/endpoints/s", "{\"weight\": 3.5}").await;

    for turn in 1..=RELOADS {
        let report = written.reload(&behind.config(turn)).await.expect("the config is good");
        assert_eq!(report.generation as usize, turn + 1);
        let stream = &mut streams[turn % STREAMS];
        stream.say.send("beat").unwrap();
        assert_eq!(piece(&mut stream.body).await.as_deref(), Some("beat"), "after reload {turn}");
        assert_eq!(sockets[turn % 2].echo("hello").await, "hello", "after reload {turn}");
    }

    let view = |path: &'static str| async move { admin(control, Method::GET, path, "").await.json() };
    let agents = view("/api/v1/pools/agents/endpoints/b").await;
    assert_eq!(agents["causes"], serde_json::json!(["admin"]), "{agents}");
    let streaming = view("/api/v1/pools/streaming/endpoints/s").await;
    assert_eq!((&streaming["in_flight"], &streaming["effective_weight"]), (&STREAMS.into(), &3.5.into()), "{streaming}");
    assert_eq!(view("/api/v1/pools/sockets").await["in_flight"], 2);

    let answered = load.end().await;
    let a = view("/api/v1/pools/agents/endpoints/a").await;
    let c = view("/api/v1/pools/agents/endpoints/c").await;
    assert!(answered > 0 && a["completed"].as_u64() <= Some(answered), "{a}");
    assert_eq!((&a["failed"], &a["aborted"], &a["in_flight"]), (&0.into(), &0.into(), &0.into()), "{a} {c}");
    for Stream { say, mut body, _client } in streams {
        drop(say);
        assert_eq!(piece(&mut body).await, None, "a stream ends when its endpoint ends it");
    }
    assert_eq!(view("/api/v1/pools/streaming").await["in_flight"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_stays_over_reloads() {
    let behind = Behind::start().await;
    let written = Written::start(&behind.config(1)).await;
    for turn in 2..12 {
        get(written.lab.address(), "/").await;
        // Never a multiple of 5, so that only two endpoints share the requests.
        written.reload(&behind.config(if turn % 5 == 0 { 1 } else { turn })).await.unwrap();
    }
    let pool = admin(written.lab.admin(), Method::GET, "/api/v1/pools/agents", "").await.json();
    let completed: u64 = pool["endpoints"].as_array().unwrap().iter().filter_map(|e| e["completed"].as_u64()).sum();
    assert_eq!(completed, 10, "{pool}");
    let metrics = written.lab.metrics().await;
    assert!(metrics.contains("tidegate_requests_total{listener=\"public\",route=\"rest\",status_class=\"2xx\"} 10"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat_over_reloads() {
    /// Reloads until allocator, runtime and log have what they need.
    const WARM_UP: usize = 60;
    /// Twenty kinds of config in turn: each comes ten times more.
    const MEASURED: usize = 200;
    /// A world of this config with its views takes 18 KiB, and 200 of them 3.6 MiB: one in three that is not let go shows.
    const GROWTH_KIB: u64 = 1024;
    let behind = Behind::start().await;
    let mut process = Process::start(&behind.config(1)).await;
    let mut client = Http1::connect(process.address).await;
    let mut before = 0;
    for turn in 0..WARM_UP + MEASURED {
        if turn == WARM_UP {
            before = process.memory();
        }
        std::fs::write(process.config(), complete(&behind.config(turn))).unwrap();
        let answer = admin(process.admin, Method::POST, "/api/v1/config/reload", "").await;
        assert_eq!(answer.status(), 200, "{}", answer.text);
        process.says("Config applied.").await;
        assert_eq!(client.ask(request("/")).await.text, "ok");
    }
    let after = process.memory();
    assert!(after <= before + GROWTH_KIB, "{before} KiB became {after} KiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_over_a_reload() {
    let endpoint = Endpoint::start(|request: http::Request<Incoming>| async {
        let body = request.into_body().collect().await.expect("a whole body").to_bytes();
        Response::new(full(body))
    })
    .await;
    let config = |id: &str| {
        format!(
            "listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}]\n\
             pools: {{ agents: {{ endpoints: [{{ id: {id}, address: {} }}] }} }}\n",
            endpoint.address
        )
    };
    let written = Written::start(&config("old")).await;
    let (say, body) = crate::agent::body_in_hand();
    let mut client = Http1::connect(written.lab.address()).await;
    let upload = http::Request::post("/").header("host", "a").body(body).unwrap();
    say.send("before, ").unwrap();
    let answer = tokio::spawn(async move { client.ask(upload).await });
    written.reload(&config("new")).await.unwrap();
    say.send("after").unwrap();
    drop(say);
    assert_eq!(answer.await.unwrap().text, "before, after");
}
