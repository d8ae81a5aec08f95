//! Endpoints whose every answer waits for the test's word, and that count how many requests they have at once.

use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{ask, request_with};
use crate::lab::{Answer, Body, Endpoint, Http1, Lab, full, request, soon};

/// How many requests an endpoint has and had.
#[derive(Default)]
pub struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
    total: AtomicUsize,
}

/// A request that an endpoint has.
pub struct Inside(Arc<Crowd>);

impl Crowd {
    /// Lets one in, until what is returned is dropped.
    pub fn enter(self: &Arc<Self>) -> Inside {
        self.total.fetch_add(1, SeqCst);
        self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        Inside(self.clone())
    }

    /// Returns how many it has.
    pub fn now(&self) -> usize {
        self.now.load(SeqCst)
    }

    /// Returns how many it had at once at most.
    pub fn most(&self) -> usize {
        self.most.load(SeqCst)
    }

    /// Returns how many came.
    pub fn total(&self) -> usize {
        self.total.load(SeqCst)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, SeqCst);
    }
}

/// A request that an endpoint has received and not answered; dropped, it never will be.
pub struct Asked {
    pub endpoint: &'static str,
    pub head: Parts,
    pub body: String,
    answer: oneshot::Sender<Response<Body>>,
}

impl Asked {
    /// Returns the request's path.
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// Answers with a status and the endpoint's name.
    pub fn answer(self, status: u16) {
        let response = signed(self.endpoint, status);
        self.respond(response);
    }

    /// Answers.
    pub fn respond(self, response: Response<Body>) {
        // The proxy may have left.
        let _ = self.answer.send(response);
    }

    /// Waits until the proxy has given it up.
    pub async fn cancelled(mut self) {
        soon(self.answer.closed()).await;
    }
}

/// An answer with the endpoint's name, in `x-name` and as its body.
pub fn signed(name: &'static str, status: u16) -> Response<Body> {
    Response::builder().status(status).header("x-name", name).body(full(name)).expect("a valid response")
}

/// Endpoints whose answers are in the hand of the test.
pub struct Stage {
    endpoints: Vec<(&'static str, Endpoint, Arc<Crowd>)>,
    asked: UnboundedReceiver<Asked>,
}

impl Stage {
    /// Starts an endpoint of each name.
    pub async fn start(names: &[&'static str]) -> Self {
        let (tell, asked) = mpsc::unbounded_channel();
        let mut endpoints = Vec::new();
        for &name in names {
            let (tell, crowd) = (tell.clone(), Arc::<Crowd>::default());
            let inside = crowd.clone();
            let endpoint = Endpoint::start(move |request| hold(name, request, tell.clone(), inside.clone())).await;
            endpoints.push((name, endpoint, crowd));
        }
        Self { endpoints, asked }
    }

    /// Returns the endpoints as a pool lists them.
    pub fn list(&self) -> String {
        list(self.endpoints.iter().map(|(name, endpoint, _)| (*name, endpoint.address)))
    }

    /// Returns where an endpoint listens.
    pub fn address(&self, name: &str) -> SocketAddr {
        self.endpoints.iter().find(|(known, ..)| *known == name).expect("an endpoint of the stage").1.address
    }

    /// Returns the counts of an endpoint.
    pub fn crowd(&self, name: &str) -> &Arc<Crowd> {
        &self.endpoints.iter().find(|(known, ..)| *known == name).expect("an endpoint of the stage").2
    }

    /// Waits for the next request at any endpoint.
    pub async fn next(&mut self) -> Asked {
        soon(self.asked.recv()).await.expect("the endpoints should run")
    }

    /// Tells whether nothing has come, once all that was on its way has: through the only worker of `lab`, and into each endpoint.
    pub async fn is_quiet(&mut self, lab: &Lab) -> bool {
        // Twice, as the first may pass by what is just being woken.
        for _ in 0..2 {
            refused(&ask(lab.address(), request("/..")).await, 400, "invalid_target");
        }
        for (_, endpoint, _) in &self.endpoints {
            for _ in 0..2 {
                assert_eq!(ask(endpoint.address, request(ROUND_TRIP)).await.status(), 200);
            }
        }
        self.asked.is_empty()
    }

    /// Waits for the next request at any endpoint, for as long as it takes. Cancel safe.
    pub async fn recv(&mut self) -> Asked {
        self.asked.recv().await.expect("the endpoints should run")
    }
}

/// Answered at once, and not counted.
const ROUND_TRIP: &str = "/round-trip-of-the-test";

async fn hold(name: &'static str, request: Request<Incoming>, tell: UnboundedSender<Asked>, crowd: Arc<Crowd>) -> Response<Body> {
    if request.uri().path() == ROUND_TRIP {
        return signed(name, 200);
    }
    let _inside = crowd.enter();
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return pending().await };
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let (answer, answered) = oneshot::channel();
    // The test may be over.
    let _ = tell.send(Asked { endpoint: name, head, body, answer });
    match answered.await {
        Ok(response) => response,
        Err(_) => pending().await,
    }
}

/// Returns endpoints as a pool lists them.
pub fn list(endpoints: impl IntoIterator<Item = (&'static str, SocketAddr)>) -> String {
    let entries = endpoints.into_iter().map(|(id, address)| format!("{{ id: {id}, address: \"{address}\" }}"));
    format!("[{}]", entries.collect::<Vec<_>>().join(", "))
}

/// A config of one worker and one listener.
pub fn config(routes: &str, pools: &str) -> String {
    format!(
        "workers: 1\n\
         listeners: [{{ name: public, bind: \"127.0.0.1:0\" }}]\n\
         routes: [{routes}]\n\
         pools: {{ {pools} }}\n"
    )
}

/// A client on its way: its answer.
pub type Client = JoinHandle<Answer>;

/// Sends a GET request on a connection of its own.
pub fn send(lab: &Lab, path: &str) -> Client {
    send_it(lab, request(path))
}

/// Sends a request on a connection of its own.
pub fn send_it(lab: &Lab, request: Request<Body>) -> Client {
    let address = lab.address();
    tokio::spawn(async move { Http1::connect(address).await.ask(request).await })
}

/// Sends a POST request on a connection of its own.
pub fn post(lab: &Lab, path: &str, fields: &[(&str, &str)], body: &str) -> Client {
    send_it(lab, request_with(Method::POST, path, fields, body))
}

/// Waits for a client's answer.
pub async fn answer(client: Client) -> Answer {
    soon(client).await.expect("the client should get an answer")
}

/// Asks on a connection of its own.
pub async fn get(lab: &Lab, path: &str) -> Answer {
    ask(lab.address(), request(path)).await
}

/// Fails unless the answer is Tidegate's own, for this reason.
pub fn refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.json()["reason"], reason, "{answer:?}");
}

/// Returns the seconds of `Retry-After`.
pub fn retry_after(answer: &Answer) -> u64 {
    answer.field("retry-after").parse().unwrap_or_else(|_| panic!("no Retry-After: {answer:?}"))
}

/// Waits until so many requests of a route run, those that wait included.
pub async fn until_running(lab: &Lab, route: &str, wanted: usize) {
    until_metric(lab, &format!("tidegate_requests_in_flight{{listener=\"public\",route=\"{route}\"}}"), wanted).await;
}

/// Waits until a series has a value.
pub async fn until_metric(lab: &Lab, series: &str, wanted: usize) {
    let line = format!("{series} {wanted}");
    let seen = async { while !lab.metrics().await.lines().any(|known| known == line) {} };
    if tokio::time::timeout(crate::lab::PATIENCE, seen).await.is_err() {
        panic!("{line} should be in\n{}", lab.metrics().await);
    }
}

/// A proxy with an access log, which is whole when the proxy has been drained.
pub struct Logged {
    pub lab: Lab,
    folder: TempDir,
}

impl Logged {
    /// Starts a proxy with this config.
    pub async fn start(yaml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path: PathBuf = folder.path().join("access.log");
        let log = format!("telemetry: {{ access_log: {{ format: json, path: \"{}\" }} }}\n", path.display());
        Self { lab: Lab::start(&format!("{yaml}{log}")).await, folder }
    }

    /// Drains the proxy and returns its log.
    pub async fn lines(self) -> Vec<Value> {
        soon(self.lab.proxy.drain()).await;
        let text = std::fs::read_to_string(self.folder.path().join("access.log")).expect("the access log should be there");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }
}
