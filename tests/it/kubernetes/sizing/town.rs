//! What the pods of a fake cluster do: one server behind all their addresses, which knows by the address that was called which pod it is.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};

use crate::kubernetes::fake::Fake;
use crate::lab::{Body, full};

/// The pods of a cluster; its clones are the same ones.
#[derive(Clone)]
pub struct Town(Arc<Inner>);

struct Inner {
    fake: Fake,
    port: u16,
    events: broadcast::Sender<String>,
    page: Mutex<Option<String>>,
    sick: Mutex<BTreeSet<String>>,
    checks: AtomicUsize,
}

impl Town {
    /// Serves until the test's runtime ends.
    pub async fn start(fake: Fake) -> Self {
        // All pods of a service have the same port, so that each needs an address of its own.
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (events, _) = broadcast::channel(64);
        let (page, sick, checks) = (Mutex::default(), Mutex::default(), AtomicUsize::new(0));
        let town = Self(Arc::new(Inner { fake, port, events, page, sick, checks }));
        let serving = town.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let ip = socket.local_addr().unwrap().ip();
                // Where no pod is, nobody answers.
                let Some(pod) = serving.0.fake.pod_at(ip) else { continue };
                let town = serving.clone();
                let service = service_fn(move |request| {
                    let answer = town.answer(&pod, ip, &request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        town
    }

    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Sends an event into every stream.
    pub fn say(&self, event: &str) {
        self.0.events.send(event.to_owned()).expect("somebody should listen");
    }

    /// Every pod has this Prometheus page, or none.
    pub fn publish(&self, page: Option<&str>) {
        *self.0.page.lock().unwrap() = page.map(str::to_owned);
    }

    /// A pod fails its health checks from now on.
    pub fn infect(&self, pod: &str) {
        self.0.sick.lock().unwrap().insert(pod.to_owned());
    }

    /// Returns how often pods were asked for their health.
    pub fn checks(&self) -> usize {
        self.0.checks.load(SeqCst)
    }

    fn answer(&self, pod: &str, ip: IpAddr, request: &Request<Incoming>) -> Response<Body> {
        let (status, body) = match request.uri().path() {
            "/events" => (200, self.stream(ip)),
            "/metrics" => match &*self.0.page.lock().unwrap() {
                Some(page) => (200, full(page.clone())),
                None => (404, full("")),
            },
            "/health" => {
                self.0.checks.fetch_add(1, SeqCst);
                (if self.0.sick.lock().unwrap().contains(pod) { 503 } else { 200 }, full(""))
            }
            _ => (200, full(pod.to_owned())),
        };
        Response::builder().status(status).header("x-pod", pod).body(body).unwrap()
    }

    /// Events as they are said, until the pod is gone: then the stream is cut.
    fn stream(&self, ip: IpAddr) -> Body {
        let (say, mut said) = mpsc::unbounded_channel::<io::Result<Frame<Bytes>>>();
        let (fake, mut events) = (self.0.fake.clone(), self.0.events.subscribe());
        tokio::spawn(async move {
            let mut changes = fake.changes();
            while fake.pod_at(ip).is_some() {
                tokio::select! {
                    event = events.recv() => {
                        let event = format!("data: {}\n\n", event.unwrap());
                        if say.send(Ok(Frame::data(Bytes::from(event)))).is_err() {
                            return;
                        }
                    }
                    changed = changes.changed() => changed.unwrap(),
                    () = say.closed() => return,
                }
            }
            // The client may have gone.
            let _ = say.send(Err(io::Error::from(io::ErrorKind::ConnectionReset)));
        });
        let frames = futures_util::stream::poll_fn(move |cx| said.poll_recv(cx));
        // A body that is boxed must be one that can be shared, which a receiver is.
        BodyExt::boxed(StreamBody::new(frames))
    }
}
