//! The server over real sockets, with a control that only remembers what it was told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::*;
use crate::endpoint::Cause;
use crate::model::{Id, Secret, Strategy, Weight};
use crate::registry::Report;

/// One pool `agents` with one endpoint, whose id needs escapes in some clients.
const ENDPOINT: &str = "10.0.0.1:8080";

#[derive(Default)]
struct Fake {
    stopping: bool,
    broken: bool,
    draining: Mutex<bool>,
    weight: Mutex<Option<Weight>>,
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

impl Fake {
    fn view(&self) -> EndpointView {
        let draining = *self.draining.lock().unwrap();
        EndpointView {
            id: id(ENDPOINT),
            address: ENDPOINT.parse().unwrap(),
            zone: None,
            capabilities: vec!["python".to_owned()],
            state: if draining { "unavailable" } else { "available" },
            causes: if draining { vec![Cause::Admin] } else { vec![] },
            weight: Weight::ONE,
            effective_weight: self.weight.lock().unwrap().unwrap_or(Weight::ONE),
            in_flight: 0,
            attempts: 0,
            completed: 0,
            failed: 0,
            aborted: 0,
            success_rate: None,
            response_time: ResponseTime::default(),
            first_byte: ResponseTime::default(),
            load_score: None,
            parked_seconds: None,
        }
    }
}

impl Control for Fake {
    fn status(&self) -> Status {
        Status {
            version: "0.0.0",
            uptime_seconds: 1.5,
            readiness: self.readiness(),
            generation: 3,
            workers: 2,
            worker_restarts: 0,
            connections: 0,
            listeners: vec![],
            pools: vec![PoolSummary { name: id("agents"), endpoints: 1, available: 1, in_flight: 0 }],
        }
    }

    fn readiness(&self) -> Readiness {
        Readiness { ready: !self.stopping, reasons: if self.stopping { vec!["stopping".to_owned()] } else { vec![] } }
    }

    fn config(&self) -> ConfigView {
        ConfigView {
            source: "config".to_owned(),
            generation: 3,
            applied_at: "1970-01-01T00:00:00Z".to_owned(),
            last_error: None,
            warnings: vec![],
            effective: json!({}),
        }
    }

    fn reload(&self) -> Pending<Result<Report, ReloadFailure>> {
        let failure = ReloadFailure { at: "1970-01-01T00:00:00Z".to_owned(), problems: vec!["a:1:2: no".to_owned()] };
        let result = if self.broken { Err(failure) } else { Ok(Report { generation: 4, ..Report::default() }) };
        Box::pin(async move { result })
    }

    fn pools(&self) -> Vec<PoolView> {
        self.pool("agents").into_iter().collect()
    }

    fn pool(&self, pool: &str) -> Result<PoolView, Unknown> {
        if pool != "agents" {
            return Err(Unknown::Pool(pool.to_owned()));
        }
        let endpoints = vec![self.view()];
        Ok(PoolView { name: id(pool), strategy: Strategy::LeastConnections, in_flight: 0, available: 1, endpoints })
    }

    fn endpoint(&self, pool: &str, endpoint: &str) -> Result<EndpointView, Unknown> {
        self.pool(pool)?;
        let unknown = || Unknown::Endpoint { pool: pool.to_owned(), endpoint: endpoint.to_owned() };
        (endpoint == ENDPOINT).then(|| self.view()).ok_or_else(unknown)
    }

    fn set_draining(&self, pool: &str, endpoint: &str, draining: bool) -> Result<EndpointView, Unknown> {
        self.endpoint(pool, endpoint)?;
        *self.draining.lock().unwrap() = draining;
        Ok(self.view())
    }

    fn set_weight(&self, pool: &str, endpoint: &str, weight: Option<Weight>) -> Result<EndpointView, Unknown> {
        self.endpoint(pool, endpoint)?;
        *self.weight.lock().unwrap() = weight;
        Ok(self.view())
    }

    fn metrics(&self) -> String {
        "tidegate_workers 2\n".to_owned()
    }
}

/// A server that ends with the test.
struct Served {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

/// An answer, taken apart.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Returns the problem document, which every error must be.
    fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(self.head.contains("content-type: application/problem+json\r\n"), "{}\n{}", self.head, self.body);
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}

impl Served {
    async fn start(fake: Fake) -> Self {
        Self::guarded(fake, "127.0.0.1", "").await
    }

    /// Serves as if the server listened on `address`.
    async fn guarded(fake: Fake, address: &str, token: &str) -> Self {
        let settings = Settings { address: address.parse().unwrap(), token: Some(Secret::new(token.to_owned())) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        tokio::spawn(serve(listener, Arc::new(fake), settings, shutdown));
        Self { address, _stop: stop }
    }

    async fn ask(&self, line: &str, body: &str) -> Answer {
        self.ask_with(line, "", body).await
    }

    /// Sends a request with these further fields, each with its line end.
    async fn ask_with(&self, line: &str, fields: &str, body: &str) -> Answer {
        let host = if fields.contains("host:") { String::new() } else { format!("host: {}\r\n", self.address) };
        let length = body.len();
        let text = format!("{line} HTTP/1.1\r\n{host}{fields}connection: close\r\ncontent-length: {length}\r\n\r\n{body}");
        self.send(&text).await
    }

    async fn send(&self, text: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {text}: {answer}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        Answer { status, head: format!("{head}\r\n"), body: body.to_owned() }
    }
}

#[tokio::test]
async fn every_page_is_there_and_is_kept_by_no_cache() {
    let served = Served::start(Fake::default()).await;
    for page in super::api::PAGES {
        let (methods, path) = page.rsplit_once(' ').unwrap();
        let path = path.replace("{pool}", "agents").replace("{id}", ENDPOINT);
        for method in methods.split(", ") {
            let body = if method == "PATCH" { r#"{"weight":1}"# } else { "" };
            let answer = served.ask(&format!("{method} {path}"), body).await;
            assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
            assert!(answer.head.contains("cache-control: no-store\r\n"), "{}", answer.head);
        }
    }
}

#[tokio::test]
async fn health_is_live_and_readiness_tells_why_not() {
    let served = Served::start(Fake { stopping: true, ..Fake::default() }).await;
    assert_eq!(served.ask("GET /healthz", "").await.body, "live\n");
    let ready = served.ask("GET /readyz", "").await;
    assert_eq!((ready.status, ready.json()), (503, json!({"ready": false, "reasons": ["stopping"]})));
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let served = Served::start(Fake::default()).await;
    let answer = served.ask("GET /metrics", "").await;
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{}", answer.head);
    assert_eq!(answer.body, "tidegate_workers 2\n");
}

#[tokio::test]
async fn a_page_that_is_not_there_lists_those_that_are() {
    let served = Served::start(Fake::default()).await;
    for path in ["/", "/api/v1/nothing", "/api", "/api/v1/pools/a/b"] {
        let problem = served.ask(&format!("GET {path}"), "").await.problem(404);
        assert_eq!(problem["pages"], json!(super::api::PAGES), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_method_lists_the_pages_and_the_right_ones() {
    let served = Served::start(Fake::default()).await;
    for (line, allowed) in [("DELETE /healthz", "GET"), ("GET /api/v1/config/reload", "POST"), ("PUT /api/v1/pools", "GET")] {
        let answer = served.ask(line, "").await;
        assert_eq!(answer.problem(405)["pages"], json!(super::api::PAGES), "{line}");
        let allow = answer.head.lines().find(|line| line.starts_with("allow: ")).unwrap_or_else(|| panic!("{}", answer.head));
        assert!(allow.contains(allowed), "{line}: {allow}");
    }
}

#[tokio::test]
async fn names_in_paths_may_be_percent_encoded() {
    let served = Served::start(Fake::default()).await;
    for path in ["/api/v1/pools/agents/endpoints/10.0.0.1%3A8080", "/api/v1/pools/%61gents/endpoints/10.0.0.1:8080"] {
        assert_eq!(served.ask(&format!("GET {path}"), "").await.json()["id"], ENDPOINT, "{path}");
    }
    served.ask("GET /api/v1/pools/%FF", "").await.problem(400);
}

#[tokio::test]
async fn unknown_names_are_told() {
    let served = Served::start(Fake::default()).await;
    let pool = served.ask("GET /api/v1/pools/nobody", "").await.problem(404);
    assert_eq!(pool["detail"], "there is no pool \"nobody\"");
    for line in ["GET /api/v1/pools/agents/endpoints/x", "POST /api/v1/pools/agents/endpoints/x/drain"] {
        assert_eq!(served.ask(line, "").await.problem(404)["detail"], "pool \"agents\" has no endpoint \"x\"", "{line}");
    }
}

#[tokio::test]
async fn an_endpoint_is_drained_and_taken_back() {
    let served = Served::start(Fake::default()).await;
    let path = format!("/api/v1/pools/agents/endpoints/{ENDPOINT}");
    let drained = served.ask(&format!("POST {path}/drain"), "").await.json();
    assert_eq!((&drained["state"], &drained["causes"]), (&json!("unavailable"), &json!(["admin"])));
    let back = served.ask(&format!("POST {path}/undrain"), "").await.json();
    assert_eq!((&back["state"], &back["causes"]), (&json!("available"), &json!([])));
}

#[tokio::test]
async fn a_weight_is_set_and_taken_away() {
    let served = Served::start(Fake::default()).await;
    let line = format!("PATCH /api/v1/pools/agents/endpoints/{ENDPOINT}");
    assert_eq!(served.ask(&line, r#"{"weight": 2.5}"#).await.json()["effective_weight"], 2.5);
    assert_eq!(served.ask(&line, r#"{"weight": null}"#).await.json()["effective_weight"], 1.0);
}

#[tokio::test]
async fn a_change_that_is_none_is_explained_and_changes_nothing() {
    let served = Served::start(Fake::default()).await;
    let path = format!("/api/v1/pools/agents/endpoints/{ENDPOINT}");
    served.ask(&format!("PATCH {path}"), r#"{"weight": 2.5}"#).await;
    let bad = [
        ("", "{\"weight\": NUMBER}"),
        ("{}", "missing field `weight`"),
        (r#"{"wait": 2}"#, "unknown field `wait`"),
        (r#"{"weight": "2"}"#, "invalid type"),
        (r#"{"weight": 1} x"#, "trailing"),
        (r#"{"weight": -1}"#, "from 0 to 1000"),
        (r#"{"weight": 1001}"#, "from 0 to 1000"),
        (r#"{"weight": 1e999}"#, "out of range"),
    ];
    for (body, told) in bad {
        let problem = served.ask(&format!("PATCH {path}"), body).await.problem(400);
        assert!(problem["detail"].as_str().unwrap().contains(told), "{body}: {problem}");
    }
    let head = format!("PATCH {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: 65537\r\n\r\n", served.address);
    served.send(&head).await.problem(413);
    assert_eq!(served.ask(&format!("GET {path}"), "").await.json()["effective_weight"], 2.5);
}

#[tokio::test]
async fn a_reload_tells_what_it_changed_or_what_is_wrong() {
    let good = Served::start(Fake::default()).await.ask("POST /api/v1/config/reload", "").await;
    assert_eq!((good.status, &good.json()["generation"]), (200, &json!(4)));
    let served = Served::start(Fake { broken: true, ..Fake::default() }).await;
    let problem = served.ask("POST /api/v1/config/reload", "").await.problem(422);
    assert_eq!(problem["problems"], json!(["a:1:2: no"]));
}

#[tokio::test]
async fn who_may_do_what_depends_on_address_and_token() {
    const RIGHT: &str = "authorization: Bearer s3cret\r\n";
    const WRONG: &str = "authorization: Bearer guess\r\n";
    // Where it listens, its token, what is shown: what a read and a write get.
    let matrix = [
        ("127.0.0.1", "", "", 200, 200),
        ("127.0.0.1", "s3cret", "", 200, 401),
        ("127.0.0.1", "s3cret", WRONG, 200, 401),
        ("127.0.0.1", "s3cret", RIGHT, 200, 200),
        ("127.0.0.1", "", "host: evil.example\r\n", 403, 403),
        ("127.0.0.1", "", "host: localhost\r\n", 200, 200),
        ("127.0.0.1", "", "origin: http://evil.example\r\n", 200, 403),
        ("10.0.0.1", "", "", 200, 403),
        ("10.0.0.1", "", RIGHT, 200, 403),
        ("10.0.0.1", "s3cret", "", 401, 401),
        ("10.0.0.1", "s3cret", WRONG, 401, 401),
        ("10.0.0.1", "s3cret", RIGHT, 200, 200),
    ];
    for (address, token, fields, read, write) in matrix {
        let served = Served::guarded(Fake::default(), address, token).await;
        for open in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(served.ask_with(&format!("GET {open}"), fields, "").await.status, 200, "{open}");
        }
        let drain = format!("POST /api/v1/pools/agents/endpoints/{ENDPOINT}/drain");
        for (line, expected) in [("GET /api/v1/config", read), (drain.as_str(), write)] {
            let answer = served.ask_with(line, fields, "").await;
            assert_eq!(answer.status, expected, "{line} on {address} with token {token:?} and {fields:?}");
            if expected != 200 {
                answer.problem(expected);
            }
        }
    }
}
