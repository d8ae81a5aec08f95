//! The server: who may ask, what is answered, and what goes wrong.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tidegate::platform::kubernetes::Cluster;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::request::Call;
use super::store::{Key, Refusal, Store};
use super::watch::stream;
use crate::lab::PATIENCE;

pub type Body = UnsyncBoxBody<Bytes, io::Error>;
pub type Answer = io::Result<Response<Body>>;

/// The namespace of everything here.
pub const NAMESPACE: &str = "agents";

/// What goes wrong with a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is answered so: status, `Retry-After`, body.
    Answer(u16, Option<u32>, &'static str),
    /// It is never answered.
    Hang,
    /// It is answered late.
    Slow(Duration),
    /// The connection is cut before the answer.
    Cut,
    /// It is carried out, and the connection is cut.
    CutAfter,
    /// The answer ends in the middle.
    CutInside,
}

/// How the server stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Up,
    /// Refuses connections.
    Down,
}

/// What is in the server.
pub struct State {
    pub store: Store,
    pub mode: Mode,
    /// Watches of an earlier epoch are cut.
    pub epoch: u64,
    /// Watches up to this epoch are silent instead.
    pub silent: Option<u64>,
    /// What open watches got that were no events.
    pub in_streams: Vec<InStream>,
    /// Verbs and resources, each with what goes wrong and how often.
    faults: Vec<(String, String, Fault, usize)>,
    allowed: Option<BTreeSet<(String, String)>>,
    token: Option<String>,
    calls: Vec<Call>,
    writes: Vec<Write>,
}

/// A number of replicas that was written.
#[derive(Clone, Debug)]
pub struct Write {
    /// Whose token came with it.
    pub who: String,
    /// Who held the lease.
    pub holder: String,
    pub replicas: i64,
}

/// What open watches get instead of events.
#[derive(Clone, Copy)]
pub enum InStream {
    /// An ERROR event of this code.
    Error(u16),
    /// The end of the connection, in the middle of a line.
    Cut,
    /// Half an event.
    Garbage,
}

/// An API server; its clones are the same one.
#[derive(Clone)]
pub struct Fake(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Fake {
    pub fn new() -> Self {
        let (store, calls, faults) = (Store::default(), Vec::new(), Vec::new());
        let state = State {
            store,
            mode: Mode::Up,
            epoch: 1,
            silent: None,
            in_streams: Vec::new(),
            faults,
            allowed: None,
            token: None,
            calls,
            writes: Vec::new(),
        };
        Self(Arc::new(Inner { state: Mutex::new(state), changed: watch::Sender::new(0) }))
    }

    /// A cluster that is reached without sockets, so that a test can pause the time.
    pub fn cluster(&self) -> Arc<Cluster> {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let fake = fake.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.map_err(io::Error::other)?;
                fake.handle(Request::from_parts(head, body)).await
            }
        });
        Arc::new(Cluster::with_client(kube::Client::new(service, NAMESPACE)))
    }

    /// Listens on a loopback socket; the listener ends with the test's runtime.
    pub async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fake = self.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                if fake.lock().mode != Mode::Up {
                    continue;
                }
                let fake = fake.clone();
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let fake = fake.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
                        fake.handle(Request::from_parts(head, body)).await
                    }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        address
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Changes something, and tells the watches.
    pub fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.0.changed.send_modify(|count| *count += 1);
        result
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Puts objects in from outside the API.
    pub fn store<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        self.with(|state| change(&mut state.store))
    }

    /// The next `times` calls go wrong.
    pub fn fault(&self, verb: &str, resource: &str, fault: Fault, times: usize) {
        self.lock().faults.push((verb.to_owned(), resource.to_owned(), fault, times));
    }

    /// Allows these verbs and resources only.
    pub fn allow(&self, rules: &[(&str, &str)]) {
        let rules = rules.iter().map(|(verb, resource)| ((*verb).to_owned(), (*resource).to_owned()));
        self.lock().allowed = Some(rules.collect());
    }

    pub fn require_token(&self, token: &str) {
        self.lock().token = Some(token.to_owned());
    }

    /// Starts anew: every watch is cut, and every earlier version forgotten.
    pub fn restart(&self) {
        self.with(|state| {
            state.epoch += 1;
            state.store.version += 1;
            state.store.floor = state.store.version;
            state.mode = Mode::Up;
        });
    }

    /// Is killed: every watch is cut, and nobody answers.
    pub fn kill(&self) {
        self.with(|state| {
            state.epoch += 1;
            state.mode = Mode::Down;
        });
    }

    /// Begins to end: answers nobody, and keeps its watches open and silent, also when another server answers in its place.
    pub fn end(&self) {
        self.with(|state| {
            state.silent = Some(state.epoch);
            state.epoch += 1;
            state.mode = Mode::Down;
        });
    }

    /// Another server answers; it knows all that has happened.
    pub fn replace(&self) {
        self.with(|state| state.mode = Mode::Up);
    }

    /// Sends this into the watches that are open.
    pub fn in_streams(&self, what: InStream) {
        self.with(|state| state.in_streams.push(what));
    }

    /// Returns how often something was asked.
    pub fn count(&self, verb: &str, resource: &str) -> usize {
        self.lock().calls.iter().filter(|call| call.is(verb, resource)).count()
    }

    /// Returns what was asked.
    pub fn calls(&self, verb: &str, resource: &str) -> Vec<Call> {
        self.lock().calls.iter().filter(|call| call.is(verb, resource)).cloned().collect()
    }

    /// Returns everything that was asked, in its order.
    pub fn log(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// Returns the numbers of replicas that were written, in their order.
    pub fn writes(&self) -> Vec<Write> {
        self.lock().writes.clone()
    }

    /// Waits until it is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut changes = self.changes();
        let so = async {
            while !is_so(self) {
                changes.changed().await.unwrap()
            }
        };
        tokio::time::timeout(PATIENCE, so).await.unwrap_or_else(|_| panic!("{what}"));
    }

    pub async fn handle(&self, request: Request<Bytes>) -> Answer {
        if self.lock().mode != Mode::Up {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
        }
        let Some(call) = Call::read(&request) else { return Ok(text(404, None, "404 page not found")) };
        let fault = self.take_fault(&call);
        match fault {
            Some(Fault::Answer(status, retry_after, body)) => return Ok(text(status, retry_after, body)),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Slow(pause)) => tokio::time::sleep(pause).await,
            Some(Fault::Cut) => return Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            Some(Fault::CutAfter | Fault::CutInside) | None => {}
        }
        if let Err(refusal) = self.lock().admit(&call) {
            return Ok(refused(&refusal));
        }
        let answer = if call.verb == "watch" { stream(self.clone(), &call) } else { self.with(|state| state.answer(&call)) };
        match fault {
            Some(Fault::CutAfter) => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            Some(Fault::CutInside) => Ok(Response::new(half(r#"{"kind":"#))),
            _ => Ok(answer),
        }
    }

    fn take_fault(&self, call: &Call) -> Option<Fault> {
        let mut state = self.lock();
        state.calls.push(call.clone());
        let fault = state.faults.iter_mut().find(|(verb, resource, _, times)| call.is(verb, resource) && *times > 0)?;
        fault.3 -= 1;
        Some(fault.2.clone())
    }
}

impl State {
    fn admit(&self, call: &Call) -> Result<(), Refusal> {
        if self.token.is_some() && self.token != call.token {
            return Err((401, "Unauthorized", "Unauthorized".to_owned()));
        }
        let rule = (call.verb.to_owned(), call.resource.clone());
        if self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&rule)) {
            return Ok(());
        }
        let Call { verb, resource, group, namespace, plural, name, .. } = call;
        let message = format!(
            "{plural}.{group} {name:?} is forbidden: User \"system:serviceaccount:agents:tidegate\" cannot {verb} resource \
             {resource:?} in API group {group:?} in the namespace {namespace:?}"
        );
        Err((403, "Forbidden", message))
    }

    fn answer(&mut self, call: &Call) -> Response<Body> {
        let name = if call.verb == "create" { call.body["metadata"]["name"].as_str().unwrap_or_default() } else { &call.name };
        let key = (call.kind(), call.namespace.clone(), name.to_owned());
        let result = match (call.verb, call.resource.strip_suffix("/scale").is_some()) {
            ("list", _) => return self.list(call),
            ("get", false) => self.store.get(&key).cloned().ok_or_else(|| missing(&key)),
            ("get", true) => self.store.get(&key).map(scale).ok_or_else(|| missing(&key)),
            ("patch", true) => self.patch_scale(&key, call),
            ("patch", false) if call.media == "application/merge-patch+json" => self.store.patch(&key, &call.body),
            ("create", _) => self.store.create(&key, call.body.clone()),
            ("update", _) => self.store.update(&key, call.body.clone()),
            ("delete", _) => self.delete(&key),
            _ => Err((415, "UnsupportedMediaType", "the server does not know this kind of patch".to_owned())),
        };
        match result {
            Ok(object) => json_answer(if call.verb == "create" { 201 } else { 200 }, None, &object),
            Err(refusal) => refused(&refusal),
        }
    }

    fn list(&self, call: &Call) -> Response<Body> {
        let asked: u64 = call.query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        if asked > self.store.version {
            let details = json!({ "kind": "Status", "code": 504, "reason": "Timeout", "message": "Too large resource version" });
            return json_answer(504, Some(1), &details);
        }
        if call.group == "metrics.k8s.io" && self.store.list(&call.kind(), &call.namespace, "").is_empty() {
            return text(404, None, "404 page not found");
        }
        let items = self.store.list(&call.kind(), &call.namespace, call.query.get("labelSelector").map_or("", String::as_str));
        json_answer(200, None, &json!({ "metadata": { "resourceVersion": self.store.version.to_string() }, "items": items }))
    }

    fn patch_scale(&mut self, key: &Key, call: &Call) -> Result<Value, Refusal> {
        self.store.fits(key, &call.body)?;
        let replicas = &call.body["spec"]["replicas"];
        if !replicas.as_i64().is_some_and(|count| (0..=i64::from(i32::MAX)).contains(&count)) {
            return Err((422, "Invalid", format!("spec.replicas: Invalid value: {replicas}")));
        }
        let before = self.store.get(key).cloned().unwrap_or_default();
        let after = self.store.patch(key, &json!({ "spec": { "replicas": replicas } }))?;
        self.note_write(call, replicas);
        // The new number and the old status.
        Ok(scale(&json!({ "metadata": after["metadata"], "spec": after["spec"], "status": before["status"] })))
    }

    fn note_write(&mut self, call: &Call, replicas: &Value) {
        let leases = self.store.list("coordination.k8s.io/leases", NAMESPACE, "");
        let holder = leases.first().and_then(|lease| lease["spec"]["holderIdentity"].as_str()).unwrap_or_default().to_owned();
        let replicas = replicas.as_i64().unwrap_or_default();
        self.writes.push(Write { who: call.token.clone().unwrap_or_default(), holder, replicas });
    }

    /// A pod is asked to end; whatever else is gone.
    fn delete(&mut self, key: &Key) -> Result<Value, Refusal> {
        let object = self.store.get(key).cloned().ok_or_else(|| missing(key))?;
        if key.0 == "/pods" {
            return self.store.patch(key, &json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }));
        }
        self.store.remove(key);
        Ok(object)
    }
}

/// The scale of an object: a number of 0 is left out.
fn scale(object: &Value) -> Value {
    let replicas = object["spec"]["replicas"].as_i64().filter(|count| *count != 0);
    let spec = replicas.map_or_else(|| json!({}), |count| json!({ "replicas": count }));
    let labels = object["spec"]["selector"]["matchLabels"].as_object().cloned().unwrap_or_default();
    let selector: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let mut status = json!({ "replicas": object["status"]["replicas"].as_i64().unwrap_or(0) });
    if !selector.is_empty() {
        status["selector"] = json!(selector.join(","));
    }
    json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": object["metadata"], "spec": spec, "status": status })
}

fn missing(key: &Key) -> Refusal {
    (404, "NotFound", format!("{} {:?} not found", key.0, key.2))
}

fn refused((code, reason, message): &Refusal) -> Response<Body> {
    let status = json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message });
    json_answer(*code, None, &status)
}

fn json_answer(status: u16, retry_after: Option<u32>, value: &Value) -> Response<Body> {
    text(status, retry_after, &value.to_string())
}

fn text(status: u16, retry_after: Option<u32>, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(text.to_owned())).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    response.body(body).unwrap()
}

/// A body that is cut.
fn half(text: &'static str) -> Body {
    let pieces =
        [Ok(http_body::Frame::data(Bytes::from_static(text.as_bytes()))), Err(io::Error::from(io::ErrorKind::UnexpectedEof))];
    BodyExt::boxed_unsync(http_body_util::StreamBody::new(futures_util::stream::iter(pieces)))
}
