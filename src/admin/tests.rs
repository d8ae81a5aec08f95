//! The server over real sockets, with a control that is not there.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::model::{Secret, Strategy, Weight};
use crate::registry::Report;

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

    fn pools(&self) -> Vec<PoolView> {
        self.pool("agents").into_iter().collect()
    }

    fn pool(&self, pool: &str) -> Result<PoolView, Unknown> {
        let name = if pool == "agents" { Ok("agents".parse().unwrap()) } else { Err(Unknown::Pool(pool.to_owned())) };
        name.map(|name| PoolView {
            name,
            strategy: Strategy::RoundRobin,
            in_flight: 3,
            available: 1,
            endpoints: vec![endpoint_view("a")],
        })
    }

    fn endpoint(&self, pool: &str, endpoint: &str) -> Result<EndpointView, Unknown> {
        self.tell(format!("{pool} {endpoint}"));
        if pool == "agents" && endpoint != "b" { Ok(endpoint_view("a")) } else { Err(unknown(pool, endpoint)) }
    }

    fn set_draining(&self, pool: &str, endpoint: &str, draining: bool) -> Result<EndpointView, Unknown> {
        self.tell(format!("draining {draining}"));
        self.endpoint(pool, endpoint)
    }

    fn set_weight(&self, pool: &str, endpoint: &str, weight: Option<Weight>) -> Result<EndpointView, Unknown> {
        self.tell(format!("weight {:?}", weight.map(Weight::as_f64)));
        self.endpoint(pool, endpoint)
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
async fn an_id_may_be_percent_encoded() {
    let server = Server::start(Fake::default()).await;
    let (status, _) = server.ask(Method::GET, "/api/v1/pools/agents/endpoints/10.0.0.1%3A8080", "").await;
    assert_eq!((status, server.fake.told()), (StatusCode::OK, vec!["agents 10.0.0.1:8080".to_owned()]));
    let (status, _) = server.ask(Method::GET, "/api/v1/pools/agents/endpoints/unix%3A%2Frun%2Fa.sock", "").await;
    assert_eq!((status, server.fake.told().pop().as_deref()), (StatusCode::OK, Some("agents unix:/run/a.sock")));
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
    let pages = [(Method::GET, "/metrics"), (Method::GET, "/api/v1/pools"), (Method::POST, "/api/v1/config/reload")];
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
        let path = path.replace("{pool}", "agents").replace("{id}", "a");
        for method in methods.split(", ") {
            let body = if method == "PATCH" { "{\"weight\": 1}" } else { "" };
            let (status, _) = server.ask(method.parse().unwrap(), &path, body).await;
            assert_eq!(status, StatusCode::OK, "{method} {path}");
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
