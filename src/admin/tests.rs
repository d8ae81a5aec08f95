//! The server over real sockets, with a control that is not there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::autoscale::{Entry, Instruction, Order, PeerReport, report};
use crate::model::{Overload, Policies, Queue, RouteTimeouts, ScaleMode, Secret, Strategy, Weight};
use crate::registry::Report;
use crate::resilience::fault::{Fault, Wish};
use crate::resilience::queue::Figures;
use crate::resilience::retry;

/// An order that is taken.
const FAULT: &str = "{\"share\": 0.5, \"delay\": \"100ms\", \"abort\": 503, \"for\": \"60s\"}";

const ENDPOINT: &str = "/api/v1/pools/agents/endpoints/a";

/// What a proxy would show, and what it was told.
#[derive(Debug, Default)]
struct Fake {
    told: Mutex<Vec<String>>,
    unready: bool,
    bad_config: bool,
}

impl Fake {
    fn tell(&self, what: String) {
        self.told.lock().unwrap().push(what);
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

fn endpoint_view(id: &str) -> EndpointView {
    EndpointView {
        id: id.parse().unwrap(),
        address: "10.0.0.1:80".parse().unwrap(),
        zone: None,
        capabilities: vec!["python".to_owned()],
        state: "available",
        causes: Vec::new(),
        weight: Weight::ONE,
        effective_weight: Weight::ONE,
        in_flight: 3,
        attempts: 12,
        completed: 8,
        failed: 1,
        aborted: 0,
        success_rate: Some(8.0 / 9.0),
        response_time: ResponseTime::default(),
        first_byte: ResponseTime::default(),
        load_score: None,
        parked_seconds: None,
        max_connections: Some(4),
        degraded: false,
        health: None,
        breaker: None,
        ejection: None,
    }
}

fn queue_view() -> QueueView {
    QueueView { settings: Queue::default(), figures: Figures { waiting: 2, ..Figures::default() } }
}

fn bulkhead_view() -> BulkheadView {
    BulkheadView {
        name: "heavy".parse().unwrap(),
        routes: vec!["chat".parse().unwrap()],
        max_concurrent: 8,
        active: 1,
        admitted_total: 3,
        completed_total: 2,
        failed_total: 0,
        aborted_total: 0,
        success_rate: 1.0,
        queue: queue_view(),
    }
}

/// A route that goes to a pool, unless it is called `here`.
fn route_view(name: &str) -> RouteView {
    let budget = retry::Report { requests: 0, spent: 0, allowance: 100, spent_total: 4, refused_total: 0 };
    let skipped_total = [("not_idempotent", 1)].into();
    RouteView {
        name: name.parse().unwrap(),
        pools: if name == "here" { vec![] } else { vec!["agents".parse().unwrap()] },
        timeouts: RouteTimeouts::default(),
        policies: Policies::default(),
        rate_limits: vec![],
        failover: None,
        retries: Some(RetriesView { retries_total: 4, recovered_total: 3, skipped_total, budget }),
        hedging: None,
        mirroring: None,
        fault: None,
        faults_injected_total: 0,
    }
}

fn unknown(pool: &str, endpoint: &str) -> Unknown {
    Unknown::Endpoint { pool: pool.to_owned(), endpoint: endpoint.to_owned() }
}

impl Control for Arc<Fake> {
    fn status(&self) -> Status {
        Status {
            version: "1.2.3",
            uptime_seconds: 1.5,
            readiness: self.readiness(),
            generation: 7,
            workers: 2,
            worker_restarts: 0,
            connections: 5,
            listeners: vec![ListenerView {
                name: "public".parse().unwrap(),
                address: "127.0.0.1:80".parse().unwrap(),
                tls: false,
                connections: 5,
                max_connections: 9,
                waiting: 0,
                cut_total: BTreeMap::from([("write", 3)]),
            }],
            pools: vec![PoolSummary { name: "agents".parse().unwrap(), endpoints: 2, available: 1, in_flight: 3 }],
        }
    }

    fn readiness(&self) -> Readiness {
        let reasons = if self.unready { vec!["stopping".to_owned()] } else { Vec::new() };
        Readiness { ready: !self.unready, reasons }
    }

    fn config(&self) -> ConfigView {
        ConfigView {
            source: "tidegate.yaml".to_owned(),
            generation: 7,
            applied_at: "2026-01-02T03:04:05Z".to_owned(),
            last_error: None,
            warnings: Vec::new(),
            effective: json!({ "admin": { "token": Secret::new("s3cret".to_owned()) } }),
        }
    }

    fn reload(&self) -> Pending<Result<Report, ReloadFailure>> {
        self.tell("reload".to_owned());
        let failure = ReloadFailure { at: String::new(), problems: vec!["f.yaml:1:2: listeners: wrong".to_owned()] };
        let result = if self.bad_config { Err(failure) } else { Ok(Report { generation: 8, ..Report::default() }) };
        Box::pin(async move { result })
    }

    fn pools(&self, checks: usize) -> Vec<PoolView> {
        self.pool("agents", checks).into_iter().collect()
    }

    fn pool(&self, pool: &str, checks: usize) -> Result<PoolView, Unknown> {
        self.tell(format!("checks {checks}"));
        let name = if pool == "agents" { Ok("agents".parse().unwrap()) } else { Err(Unknown::Pool(pool.to_owned())) };
        name.map(|name| PoolView {
            name,
            strategy: Strategy::RoundRobin,
            in_flight: 3,
            available: 1,
            ejected: 0,
            queue: Some(queue_view()),
            health: None,
            endpoints: vec![endpoint_view("a")],
        })
    }

    fn endpoint(&self, pool: &str, endpoint: &str, checks: usize) -> Result<EndpointView, Unknown> {
        self.tell(format!("{pool} {endpoint} {checks}"));
        if pool == "agents" && endpoint != "b" { Ok(endpoint_view("a")) } else { Err(unknown(pool, endpoint)) }
    }

    fn set_draining(&self, pool: &str, endpoint: &str, draining: bool) -> Result<EndpointView, Unknown> {
        self.tell(format!("draining {draining}"));
        self.endpoint(pool, endpoint, CHECKS)
    }

    fn set_weight(&self, pool: &str, endpoint: &str, weight: Option<Weight>) -> Result<EndpointView, Unknown> {
        self.tell(format!("weight {:?}", weight.map(Weight::as_f64)));
        self.endpoint(pool, endpoint, CHECKS)
    }

    fn close_breaker(&self, pool: &str, endpoint: &str) -> Result<EndpointView, Unknown> {
        self.tell("closed".to_owned());
        self.endpoint(pool, endpoint, CHECKS)
    }

    fn bulkheads(&self) -> Vec<BulkheadView> {
        vec![bulkhead_view()]
    }

    fn bulkhead(&self, bulkhead: &str) -> Result<BulkheadView, Unknown> {
        if bulkhead == "heavy" { Ok(bulkhead_view()) } else { Err(Unknown::Bulkhead(bulkhead.to_owned())) }
    }

    fn routes(&self) -> Vec<RouteView> {
        vec![route_view("chat"), route_view("here")]
    }

    fn route(&self, route: &str) -> Result<RouteView, Unknown> {
        let known = ["chat", "here"].contains(&route);
        known.then(|| route_view(route)).ok_or_else(|| Unknown::Route(route.to_owned()))
    }

    fn set_fault(&self, route: &str, fault: Option<(Fault, Duration)>) -> Result<RouteView, Unknown> {
        self.tell(format!("fault {fault:?}"));
        self.route(route)
    }

    fn scaling(&self, pool: &str) -> Result<ScalingView, Unknown> {
        self.pool(pool, 0)?;
        Ok(ScalingView {
            pool: pool.parse().unwrap(),
            mode: ScaleMode::Act,
            platform: "process",
            leads: true,
            leader: None,
            min_replicas: 1,
            max_replicas: 10,
            replicas: Default::default(),
            shown: Vec::new(),
            readings: Vec::new(),
            decision: None,
            order: None,
            error: None,
            startup_seconds: None,
            counts: Default::default(),
        })
    }

    fn order_scaling(&self, pool: &str, _: Option<(Order, Option<Duration>)>) -> Result<ScalingView, Unknown> {
        self.scaling(pool)
    }

    fn autoscaler(&self) -> AutoscalerView {
        AutoscalerView { election: None, pools: Vec::new() }
    }

    fn decisions(&self, pool: &str, _: usize, _: Option<u64>) -> Result<Reading<Vec<Arc<Entry>>>, Unknown> {
        self.pool(pool, 0)?;
        Ok(Box::pin(async { Ok(Vec::new()) }))
    }

    fn decision(&self, pool: &str, id: u64) -> Result<Reading<Option<DecisionView>>, Unknown> {
        self.pool(pool, 0)?;
        // There is none.
        assert!(id > 0);
        Ok(Box::pin(async { Ok(None) }))
    }

    fn forecast(&self, pool: &str) -> Result<ForecastView, Unknown> {
        self.pool(pool, 0)?;
        Ok(ForecastView { pool: pool.parse().unwrap(), signals: Default::default() })
    }

    fn history(&self, pool: &str, minutes: i64, step: u32) -> Result<HistoryView, Unknown> {
        self.pool(pool, 0)?;
        Ok(HistoryView { pool: pool.parse().unwrap(), from_unix_minute: -minutes, step_minutes: step, columns: Default::default() })
    }

    fn scaling_report(&self, window: Duration) -> Reading<report::Report> {
        Box::pin(async move { Ok(report::Report::of(&[], window, 0)) })
    }

    fn exchange(&self, instruction: &Instruction) -> PeerReport {
        PeerReport { gateway: instruction.leader.clone(), ..PeerReport::default() }
    }

    fn overload(&self) -> Option<OverloadView> {
        let limits = Overload { max_requests: Some(100), ..Overload::default() };
        Some(OverloadView { limits, running: Some(7), memory_bytes: None, replay_memory_used_bytes: 512 })
    }

    fn metrics(&self) -> String {
        "tidegate_workers 2\n".to_owned()
    }
}

/// A running server.
struct Server {
    address: SocketAddr,
    fake: Arc<Fake>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(fake: Fake) -> Self {
        Self::start_as(fake, "127.0.0.1", None).await
    }

    /// Starts one that believes to listen on `address`.
    async fn start_as(fake: Fake, address: &str, token: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = Settings { address: address.parse().unwrap(), token: token.map(|token| Secret::new(token.to_owned())) };
        let (bound, fake) = (listener.local_addr().unwrap(), Arc::new(fake));
        let control: Arc<dyn Control> = Arc::new(fake.clone());
        let task = tokio::spawn(async move { serve(listener, control, settings, std::future::pending()).await.unwrap() });
        Self { address: bound, fake, task }
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> (StatusCode, Response<String>) {
        let request = Request::builder().method(method).uri(path).header("host", self.address.to_string());
        self.send(request.body(Full::from(body.to_owned())).unwrap()).await
    }

    async fn send(&self, request: Request<Full<bytes::Bytes>>) -> (StatusCode, Response<String>) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let (head, body) = send.send_request(request).await.unwrap().into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        connection.abort();
        (head.status, Response::from_parts(head, text))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn json_of(response: &Response<String>) -> Value {
    serde_json::from_str(response.body()).unwrap_or_else(|error| panic!("{error}: {}", response.body()))
}

#[tokio::test]
async fn every_page_answers_with_its_shape() {
    let server = Server::start(Fake::default()).await;
    for (method, path, pointer, expected) in [
        (Method::GET, "/readyz", "/ready", json!(true)),
        (Method::GET, "/api/v1/status", "/listeners/0/address", json!("127.0.0.1:80")),
        (Method::GET, "/api/v1/status", "/pools/0/available", json!(1)),
        (Method::GET, "/api/v1/config", "/applied_at", json!("2026-01-02T03:04:05Z")),
        (Method::POST, "/api/v1/config/reload", "/generation", json!(8)),
        (Method::GET, "/api/v1/pools", "/0/strategy", json!("round_robin")),
        (Method::GET, "/api/v1/pools/agents", "/endpoints/0/capabilities/0", json!("python")),
        (Method::GET, ENDPOINT, "/attempts", json!(12)),
        (Method::GET, ENDPOINT, "/max_connections", json!(4)),
        (Method::GET, "/api/v1/pools/agents", "/queue/capacity", json!(1000)),
        (Method::GET, "/api/v1/pools/agents", "/queue/timeout", json!("30s")),
        (Method::GET, "/api/v1/pools/agents", "/queue/waiting", json!(2)),
        (Method::POST, "/api/v1/pools/agents/endpoints/a/breaker/close", "/id", json!("a")),
        (Method::GET, "/api/v1/bulkheads", "/0/name", json!("heavy")),
        (Method::GET, "/api/v1/bulkheads/heavy", "/queue/waiting", json!(2)),
        (Method::GET, "/api/v1/routes", "/0/name", json!("chat")),
        (Method::GET, "/api/v1/routes/chat", "/retries/skipped_total/not_idempotent", json!(1)),
        (Method::GET, "/api/v1/routes/chat", "/retries/budget/spent_total", json!(4)),
        (Method::GET, "/api/v1/routes/chat", "/timeouts/first_byte", json!("120s")),
        (Method::DELETE, "/api/v1/routes/chat/fault", "/fault", Value::Null),
        (Method::GET, "/api/v1/overload", "/max_requests", json!(100)),
        (Method::GET, "/api/v1/overload", "/running", json!(7)),
        (Method::POST, "/api/v1/pools/agents/endpoints/a/drain", "/id", json!("a")),
        (Method::POST, "/api/v1/pools/agents/endpoints/a/undrain", "/id", json!("a")),
    ] {
        let (status, response) = server.ask(method, path, "").await;
        assert_eq!((status, json_of(&response).pointer(pointer)), (StatusCode::OK, Some(&expected)), "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
    }
    let (_, live) = server.ask(Method::GET, "/healthz", "").await;
    assert_eq!(live.body(), "live\n");
    let (_, metrics) = server.ask(Method::GET, "/metrics", "").await;
    assert_eq!(metrics.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(metrics.body(), "tidegate_workers 2\n");
}

#[tokio::test]
async fn a_proxy_that_is_not_ready_says_why_and_is_still_alive() {
    let server = Server::start(Fake { unready: true, ..Fake::default() }).await;
    let (status, response) = server.ask(Method::GET, "/readyz", "").await;
    assert_eq!((status, json_of(&response)), (StatusCode::SERVICE_UNAVAILABLE, json!({"ready": false, "reasons": ["stopping"]})));
    assert_eq!(server.ask(Method::GET, "/healthz", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn every_error_is_a_problem_document() {
    let server = Server::start(Fake { bad_config: true, ..Fake::default() }).await;
    for (method, path, body, status, detail) in [
        (Method::GET, "/", "", 404, "there is no page /"),
        (Method::GET, "/api/v1/pool", "", 404, "there is no page /api/v1/pool"),
        (Method::DELETE, "/api/v1/pools", "", 405, "/api/v1/pools does not take DELETE"),
        (Method::POST, "/metrics", "", 405, "/metrics does not take POST"),
        (Method::GET, "/api/v1/pools/nobody", "", 404, "there is no pool \"nobody\""),
        (Method::GET, "/api/v1/pools/agents/endpoints/b", "", 404, "pool \"agents\" has no endpoint \"b\""),
        (Method::POST, "/api/v1/pools/agents/endpoints/b/drain", "", 404, "pool \"agents\" has no endpoint \"b\""),
        (Method::POST, "/api/v1/config/reload", "", 422, "the config was not taken; the old one stays in force"),
        (Method::PATCH, ENDPOINT, "{\"weight\": -1}", 400, "a weight is a number from 0 to 1000, found -1"),
        (Method::PATCH, ENDPOINT, "{\"weight\": 1e9}", 400, "a weight is a number from 0 to 1000"),
        (Method::PATCH, ENDPOINT, "{\"weight\": \"1\"}", 400, "{\"weight\": NUMBER}"),
        (Method::PATCH, ENDPOINT, "{}", 400, "missing field `weight`"),
        (Method::PATCH, ENDPOINT, "{\"weight\": 1, \"x\": 2}", 400, "unknown field `x`"),
        (Method::PATCH, ENDPOINT, "", 400, "{\"weight\": null}"),
        (Method::GET, "/api/v1/pools?checks=101", "", 400, "checks is a number from 0 to 100, found 101"),
        (Method::GET, "/api/v1/pools/agents?checks=all", "", 400, "checks: invalid digit"),
        (Method::GET, "/api/v1/bulkheads/x", "", 404, "there is no bulkhead \"x\""),
        (Method::GET, "/api/v1/routes/x", "", 404, "there is no route \"x\""),
        (Method::PUT, "/api/v1/routes/x/fault", "", 404, "there is no route \"x\""),
        (Method::DELETE, "/api/v1/routes/x/fault", "", 404, "there is no route \"x\""),
        (Method::PUT, "/api/v1/routes/here/fault", FAULT, 409, "route \"here\" sends no requests to a pool"),
        (Method::PUT, "/api/v1/routes/chat/fault", "", 400, "\"for\": \"60s\"} is expected"),
        (Method::PUT, "/api/v1/routes/chat/fault", "{\"abort\": 503}", 400, "missing field `for`"),
        (Method::PUT, "/api/v1/routes/chat/fault", "{\"for\": \"1s\"}", 400, "neither delay, abort, reset nor slow_body"),
        (Method::PUT, "/api/v1/routes/chat/fault", "{\"abort\": 503, \"for\": \"2h\"}", 400, "for is not above 0 and at most 1h"),
        (Method::POST, "/api/v1/pools/agents/endpoints/b/breaker/close", "", 404, "has no endpoint \"b\""),
        (Method::POST, "/api/v1/routes/chat/fault", "", 405, "does not take POST"),
    ] {
        let (found, response) = server.ask(method, path, body).await;
        let problem = json_of(&response);
        assert_eq!((found.as_u16(), &problem["status"]), (status, &json!(status)), "{path}: {problem}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains(detail)), "{path}: {problem}");
        assert!(problem["title"].is_string(), "{path}: {problem}");
    }
    let (_, lost) = server.ask(Method::GET, "/nowhere", "").await;
    assert!(json_of(&lost)["pages"].as_array().is_some_and(|pages| pages.contains(&json!("GET /api/v1/status"))));
    let (_, refused) = server.ask(Method::POST, "/api/v1/config/reload", "").await;
    assert_eq!(json_of(&refused)["problems"], json!(["f.yaml:1:2: listeners: wrong"]));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_as_a_problem() {
    let server = Server::start(Fake::default()).await;
    let (status, response) = server.ask(Method::PATCH, ENDPOINT, &" ".repeat(server::MAX_BODY + 1)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(json_of(&response)["status"], 413);
}

#[tokio::test]
async fn weights_and_drains_reach_the_proxy() {
    let server = Server::start(Fake::default()).await;
    server.ask(Method::PATCH, ENDPOINT, "{\"weight\": 2.5}").await;
    server.ask(Method::PATCH, ENDPOINT, "{\"weight\": null}").await;
    server.ask(Method::POST, "/api/v1/pools/agents/endpoints/a/drain", "").await;
    server.ask(Method::POST, "/api/v1/pools/agents/endpoints/a/undrain", "").await;
    let told = server.fake.told();
    let told: Vec<_> = told.iter().filter(|what| !what.starts_with("agents ")).collect();
    assert_eq!(told, ["weight Some(2.5)", "weight None", "draining true", "draining false"]);
}

#[tokio::test]
async fn faults_and_closed_breakers_reach_the_proxy() {
    let server = Server::start(Fake::default()).await;
    for (method, page, body) in [
        (Method::PUT, "/api/v1/routes/chat/fault", FAULT),
        (Method::DELETE, "/api/v1/routes/chat/fault", ""),
        (Method::POST, "/api/v1/pools/agents/endpoints/a/breaker/close", ""),
    ] {
        assert_eq!(server.ask(method, page, body).await.0, StatusCode::OK, "{page}");
    }
    let wish = Wish { share: 0.5, delay: Some(Duration::from_millis(100)), abort: Some(503), ..Wish::default() };
    let fault = Some((Fault::new(&wish).unwrap(), Duration::from_secs(60)));
    assert_eq!(server.fake.told(), [&format!("fault {fault:?}"), "fault None", "closed", "agents a 10"]);
}

#[tokio::test]
async fn a_reader_may_say_how_many_checks_are_shown() {
    let server = Server::start(Fake::default()).await;
    for page in ["/api/v1/pools", "/api/v1/pools/agents?checks=0", "/api/v1/pools?checks=100", &format!("{ENDPOINT}?checks=7")] {
        assert_eq!(server.ask(Method::GET, page, "").await.0, StatusCode::OK, "{page}");
    }
    assert_eq!(server.fake.told(), ["checks 10", "checks 0", "checks 100", "agents a 7"]);
}

#[tokio::test]
async fn an_id_may_be_percent_encoded() {
    let server = Server::start(Fake::default()).await;
    let (status, _) = server.ask(Method::GET, "/api/v1/pools/agents/endpoints/10.0.0.1%3A8080", "").await;
    assert_eq!((status, server.fake.told()), (StatusCode::OK, vec!["agents 10.0.0.1:8080 10".to_owned()]));
    let (status, _) = server.ask(Method::GET, "/api/v1/pools/agents/endpoints/unix%3A%2Frun%2Fa.sock", "").await;
    assert_eq!((status, server.fake.told().pop().as_deref()), (StatusCode::OK, Some("agents unix:/run/a.sock 10")));
}

#[tokio::test]
async fn a_secret_is_not_shown() {
    let server = Server::start_as(Fake::default(), "127.0.0.1", Some("s3cret")).await;
    let (_, response) = server.ask(Method::GET, "/api/v1/config", "").await;
    assert_eq!(json_of(&response)["effective"]["admin"]["token"], "***");
    assert!(!response.body().contains("s3cret"));
}

#[tokio::test]
async fn who_may_do_what_depends_on_address_and_token() {
    const RIGHT: Option<&str> = Some("Bearer s3cret");
    const WRONG: Option<&str> = Some("Bearer guess");
    let pages = [(Method::GET, "/metrics"), (Method::GET, "/api/v1/routes"), (Method::DELETE, "/api/v1/routes/chat/fault")];
    for (address, token, shown, expected) in [
        ("127.0.0.1", None, None, [200, 200, 200]),
        ("127.0.0.1", Some("s3cret"), None, [200, 200, 401]),
        ("127.0.0.1", Some("s3cret"), WRONG, [200, 200, 401]),
        ("127.0.0.1", Some("s3cret"), RIGHT, [200, 200, 200]),
        ("0.0.0.0", None, None, [200, 200, 403]),
        ("0.0.0.0", None, RIGHT, [200, 200, 403]),
        ("0.0.0.0", Some("s3cret"), None, [200, 401, 401]),
        ("0.0.0.0", Some("s3cret"), WRONG, [200, 401, 401]),
        ("0.0.0.0", Some("s3cret"), RIGHT, [200, 200, 200]),
    ] {
        let server = Server::start_as(Fake::default(), address, token).await;
        for ((method, path), expected) in pages.iter().zip(expected) {
            let mut request = Request::builder().method(method).uri(*path).header("host", server.address.to_string());
            if let Some(shown) = shown {
                request = request.header("authorization", shown);
            }
            let (status, response) = server.send(request.body(Full::default()).unwrap()).await;
            assert_eq!(status.as_u16(), expected, "{address} {token:?} {shown:?} {method} {path}");
            if expected == 401 {
                assert_eq!(response.headers()["www-authenticate"], "Bearer", "RFC 9110 section 15.5.2");
            }
        }
    }
}

#[tokio::test]
async fn every_page_of_the_list_is_there() {
    let server = Server::start(Fake::default()).await;
    for page in api::PAGES {
        let (methods, path) = page.rsplit_once(' ').unwrap();
        let id = if path.contains("decisions") { "7" } else { "a" };
        let path = path.replace("{pool}", "agents").replace("{id}", id);
        let path = path.replace("{bulkhead}", "heavy").replace("{route}", "chat");
        for method in methods.split(", ") {
            let body = match method {
                "PATCH" => "{\"weight\": 1}",
                "PUT" if path.ends_with("/order") => "{\"replicas\": 3, \"for\": \"1h\"}",
                "PUT" => FAULT,
                "POST" if path.ends_with("/exchange") => "{\"leader\": \"b\", \"draining\": {}}",
                _ => "",
            };
            // The page is there, and this decision is not.
            let expected = if path.ends_with("/7") { StatusCode::NOT_FOUND } else { StatusCode::OK };
            let (status, body) = server.ask(method.parse().unwrap(), &path, body).await;
            assert_eq!(status, expected, "{method} {path}");
            if expected == StatusCode::NOT_FOUND {
                assert!(body.body().contains("has no decision 7"), "{}", body.body());
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let server = Server::start(Fake::default()).await;
    for (method, path, right) in [
        (Method::DELETE, "/healthz", "GET"),
        (Method::GET, "/api/v1/config/reload", "POST"),
        (Method::PUT, "/api/v1/pools/agents/endpoints/a", "PATCH"),
        (Method::GET, "/api/v1/routes/chat/fault", "PUT"),
    ] {
        let (status, response) = server.ask(method, path, "").await;
        assert_eq!((status, &json_of(&response)["pages"]), (StatusCode::METHOD_NOT_ALLOWED, &json!(api::PAGES)), "{path}");
        assert!(response.headers()["allow"].to_str().unwrap().contains(right), "{path}: {:?}", response.headers());
    }
}

#[tokio::test]
async fn errors_that_no_page_made_are_problems_kept_by_no_cache() {
    let server = Server::start(Fake::default()).await;
    for (method, path, body, expected) in
        [(Method::GET, "/api/v1/pools/%FF", "", 400), (Method::PATCH, ENDPOINT, " ".repeat(server::MAX_BODY + 1).as_str(), 413)]
    {
        let (status, response) = server.ask(method, path, body).await;
        assert_eq!((status.as_u16(), &json_of(&response)["status"]), (expected, &json!(expected)), "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
    }
}

#[tokio::test]
async fn pages_of_others_neither_read_nor_write() {
    let server = Server::start(Fake::default()).await;
    let pages = [(Method::GET, "/readyz"), (Method::GET, "/api/v1/config"), (Method::POST, "/api/v1/config/reload")];
    // A browser keeps an answer from the page of another origin by itself; a write is done before it can.
    for (field, value, expected) in [
        ("host", "evil.example", [200, 403, 403]),
        ("host", "localhost:9900", [200, 200, 200]),
        ("origin", "http://evil.example", [200, 200, 403]),
    ] {
        for ((method, path), expected) in pages.iter().zip(expected) {
            let mut request = Request::builder().method(method).uri(*path).body(Full::default()).unwrap();
            request.headers_mut().insert("host", server.address.to_string().parse().unwrap());
            request.headers_mut().insert(field, value.parse().unwrap());
            assert_eq!(server.send(request).await.0.as_u16(), expected, "{field}: {value} {method} {path}");
        }
    }
}
