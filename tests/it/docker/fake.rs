//! A container engine that answers over a Unix socket as the Engine API (version 1.43 and later) says, with containers that listen.
//!
//! Wrong order gets the status that an engine gives. A container is a task with a socket; its image says how it behaves: `silent` never listens,
//! `broken` ends as soon as it is started, every other one takes connections and keeps them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::engine::{Engine, Made};

/// A running engine; dropped, it is down.
pub struct Fake {
    folder: TempDir,
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

struct Shared {
    engine: Mutex<Engine>,
    changes: watch::Sender<u64>,
}

/// What a handler answers.
pub type Answer = (u16, Value);

impl Fake {
    /// Starts an engine that has these images.
    pub fn start(images: &[&str]) -> Self {
        let engine = Engine { images: images.iter().map(|image| (*image).to_owned()).collect(), ..Engine::default() };
        let shared = Arc::new(Shared { engine: Mutex::new(engine), changes: watch::Sender::default() });
        let mut fake = Self { folder: tempfile::tempdir().unwrap(), shared, task: None };
        fake.up();
        fake
    }

    /// Lets it answer again; its containers run on meanwhile.
    pub fn up(&mut self) {
        let listener = UnixListener::bind(self.socket()).unwrap();
        self.task = Some(tokio::spawn(serve(listener, self.shared.clone())));
    }

    /// Lets it answer nobody.
    pub fn down(&mut self) {
        self.task.take().unwrap().abort();
        std::fs::remove_file(self.socket()).unwrap();
    }

    /// What `host` of a config says.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("engine.sock")
    }

    /// Looks at the engine, or changes it behind everybody's back.
    pub fn with<T>(&self, look: impl FnOnce(&mut Engine) -> T) -> T {
        let result = look(&mut self.shared.engine.lock().unwrap());
        self.shared.changes.send_modify(|changes| *changes += 1);
        result
    }

    /// Waits until `is_so`; asks after each request.
    pub async fn until(&self, is_so: impl Fn(&Engine) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        crate::lab::soon(changes.wait_for(|_| is_so(&self.shared.engine.lock().unwrap()))).await.unwrap();
    }

    /// Returns the requests so far that begin so, as method and path without query.
    pub fn requests(&self, begin: &str) -> Vec<String> {
        self.with(|engine| engine.requests.iter().filter(|request| request.starts_with(begin)).cloned().collect())
    }
}

async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    // Connections end with the engine.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        let service = service_fn(move |request| answer(request, shared.clone()));
        connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let path = unversioned(head.uri.path()).to_owned();
    let query = query(head.uri.query().unwrap_or_default());
    let call = Call { method: head.method, path, query, body };
    let (status, value) = call.perform(&shared).await;
    shared.changes.send_modify(|changes| *changes += 1);
    let bytes = match &value {
        Value::Null => Vec::new(),
        // Logs: frames of eight bytes of head, standard error, and text.
        Value::String(text) => text.lines().flat_map(|line| frame(&format!("{line}\n"))).collect(),
        value => value.to_string().into_bytes(),
    };
    let mut response = Response::new(Full::from(bytes));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

fn frame(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    [&[2, 0, 0, 0][..], &length.to_be_bytes(), text.as_bytes()].concat()
}

fn unversioned(path: &str) -> &str {
    match path.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|slash| &rest[slash..])) {
        Some(rest) => rest,
        None => path,
    }
}

fn query(text: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

/// One request.
struct Call {
    method: Method,
    path: String,
    query: BTreeMap<String, String>,
    body: Value,
}

impl Call {
    async fn perform(&self, shared: &Shared) -> Answer {
        shared.engine.lock().unwrap().requests.push(format!("{} {}", self.method, self.path));
        let segments: Vec<&str> = self.path.trim_start_matches('/').split('/').collect();
        match (self.method.as_str(), &*segments) {
            ("GET", ["_ping"]) => (200, json!("OK")),
            ("GET", ["version"]) => (200, json!({"Version": "24.0.0", "ApiVersion": "1.43", "MinAPIVersion": "1.12"})),
            ("POST", ["containers", id, "start"]) => start(shared, id).await,
            _ => self.at_once(&mut shared.engine.lock().unwrap(), &segments),
        }
    }

    fn at_once(&self, engine: &mut Engine, segments: &[&str]) -> Answer {
        match (self.method.as_str(), segments) {
            ("GET", ["containers", "json"]) => engine.list(self.query.contains_key("all"), &self.labels()),
            ("POST", ["containers", "create"]) => engine.create(&self.query["name"], self.body.clone()),
            ("POST", ["containers", id, "stop"]) => engine.stop(id, self.query.get("t").map_or("", String::as_str)),
            ("GET", ["containers", id, "json"]) => engine.inspect(id),
            ("GET", ["containers", id, "stats"]) => engine.stats(id),
            ("GET", ["containers", id, "logs"]) => engine.logs(id),
            ("DELETE", ["containers", id]) => engine.remove(id, self.query.get("force").is_some_and(|force| force == "true")),
            ("GET", ["networks"]) => engine.networks(&self.filter("name")),
            ("POST", ["networks", "create"]) => engine.create_network(&self.body),
            ("GET", ["images", name @ .., "json"]) => engine.image(&name.join("/")),
            ("POST", ["images", "create"]) => {
                engine.pull(&self.query["fromImage"], self.query.get("tag").map_or("", String::as_str))
            }
            _ => (404, json!({"message": "page not found"})),
        }
    }

    fn filter(&self, name: &str) -> Vec<String> {
        let filters: Value = serde_json::from_str(self.query.get("filters").map_or("{}", String::as_str)).unwrap();
        filters[name].as_array().into_iter().flatten().map(|value| value.as_str().unwrap().to_owned()).collect()
    }

    fn labels(&self) -> Vec<(String, String)> {
        let split = |label: &String| label.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.filter("label").iter().filter_map(split).collect()
    }
}

/// Starts a container: its socket is open when the answer goes out.
async fn start(shared: &Shared, id: &str) -> Answer {
    let place = match shared.engine.lock().unwrap().place(id) {
        Ok(place) => place,
        Err(answer) => return answer,
    };
    let socket = match &place {
        Some(address) => TcpListener::bind(address).await.unwrap(),
        None => return (304, Value::Null),
    };
    let port = socket.local_addr().unwrap().port();
    let mut engine = shared.engine.lock().unwrap();
    let Some(container) = engine.containers.get_mut(id) else { return super::engine::no_container(id) };
    match container.image().as_str() {
        "broken" => container.dies(3),
        "silent" => container.runs(port, tokio::spawn(async move { drop(socket) })),
        _ => container.runs(port, tokio::spawn(keep(socket))),
    }
    (204, Value::Null)
}

/// Takes connections and keeps them open.
async fn keep(socket: TcpListener) {
    let mut kept = Vec::new();
    while let Ok((stream, _)) = socket.accept().await {
        kept.push(stream);
    }
}

impl Made {
    /// The image that it was created from.
    pub fn image(&self) -> String {
        self.body["Image"].as_str().unwrap_or_default().to_owned()
    }
}
