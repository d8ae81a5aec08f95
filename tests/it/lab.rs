//! A proxy in this process, with endpoints to stand behind it and clients to stand before it.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidegate::app::{Addresses, Proxy, Source, Started};
use tidegate::model::Bind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Nothing here takes this long but on a machine that stands still.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A body of the tests.
pub type Body = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

/// Waits for `future`, and fails the test when it takes for ever.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("this should not take so long")
}

/// A body of one piece.
pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

/// A proxy that runs in this process.
pub struct Lab {
    pub proxy: Arc<Proxy>,
    pub addresses: Addresses,
}

impl Lab {
    /// Starts a proxy with this config; `admin` is added when the config has none.
    pub async fn start(yaml: &str) -> Self {
        Self::try_start(yaml).await.unwrap_or_else(|error| panic!("{error:#}\n{yaml}"))
    }

    /// Starts a proxy, or tells why not.
    pub async fn try_start(yaml: &str) -> anyhow::Result<Self> {
        let mut text = yaml.to_owned();
        if !yaml.contains("\nadmin:") {
            text.push_str("\nadmin: { bind: 127.0.0.1:0 }\n");
        }
        Self::from(Source::Text { text, base_dir: PathBuf::from(".") }).await
    }

    /// Starts a proxy from a file or a text.
    pub async fn from(source: Source) -> anyhow::Result<Self> {
        let Started { proxy, addresses } = Proxy::start(source).await?;
        Ok(Self { proxy, addresses })
    }

    /// Returns where the first listener listens.
    pub fn address(&self) -> SocketAddr {
        self.listener(self.addresses.listeners[0].0.as_str())
    }

    /// Returns where a listener listens now.
    pub fn listener(&self, name: &str) -> SocketAddr {
        let addresses = self.proxy.addresses();
        let found = addresses.listeners.into_iter().find(|(id, _)| id.as_str() == name);
        match found.expect("the listener should be there").1 {
            Bind::Tcp(address) => address,
            Bind::Unix(path) => panic!("{} is no TCP address", path.display()),
        }
    }

    /// Returns where the admin server listens.
    pub fn admin(&self) -> SocketAddr {
        self.proxy.addresses().admin.expect("the admin server should run")
    }

    /// Returns the proxy's metrics page.
    pub async fn metrics(&self) -> String {
        get(self.admin(), "/metrics").await.text
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.proxy.stop();
    }
}

/// An HTTP/1 and HTTP/2 endpoint that answers with a function; ended on drop.
pub struct Endpoint {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Endpoint {
    /// Serves HTTP/1.1 with `answer`.
    pub async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::serve(answer, false).await
    }

    /// Serves HTTP/2 with prior knowledge.
    pub async fn start_http2<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::serve(answer, true).await
    }

    /// Answers everything with its name.
    pub async fn named(name: &'static str) -> Self {
        Self::start(move |_| async move { Response::new(full(name)) }).await
    }

    /// Answers with the request as it was received: request line, fields, empty line, body.
    pub async fn mirror() -> Self {
        Self::start(|request: Request<Incoming>| async move { Response::new(full(describe(request).await)) }).await
    }

    async fn serve<F, R>(answer: F, http2: bool) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let answer = answer.clone();
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, std::convert::Infallible>(answered.await) }
                });
                tokio::spawn(async move {
                    // How a connection ends is the proxy's business.
                    let _ = if http2 {
                        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(TokioIo::new(stream), service)
                            .await
                    } else {
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .with_upgrades()
                            .await
                    };
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn describe(request: Request<Incoming>) -> String {
    let (head, body) = request.into_parts();
    let mut text = format!("{} {} {:?}\n", head.method, head.uri, head.version);
    for (name, value) in &head.headers {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    text.push('\n');
    text.push_str(&String::from_utf8_lossy(&body));
    text
}

/// A response that was read to its end.
#[derive(Debug)]
pub struct Answer {
    pub head: http::response::Parts,
    pub text: String,
}

impl Answer {
    /// Returns the status.
    pub fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// Returns a field as text, empty when it is not there.
    pub fn field(&self, name: &str) -> &str {
        self.head.headers.get(name).map_or("", |value| value.to_str().expect("a readable field"))
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// A client's HTTP/1 connection.
pub struct Http1 {
    send: hyper::client::conn::http1::SendRequest<Body>,
}

impl Http1 {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the proxy should accept");
        let (send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection.with_upgrades());
        Self { send }
    }

    /// Sends a request; the body of the response comes as it comes.
    pub async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        soon(self.send.ready()).await?;
        soon(self.send.send_request(request)).await
    }

    /// Sends a request and reads the whole response.
    pub async fn ask(&mut self, request: Request<Body>) -> Answer {
        read(self.send(request).await.expect("a response")).await
    }
}

/// Reads a response to its end.
pub async fn read(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = soon(body.collect()).await.expect("a whole body").to_bytes();
    Answer { head, text: String::from_utf8_lossy(&body).into_owned() }
}

/// A GET request for a path of this host.
pub fn request(path: &str) -> Request<Body> {
    Request::get(path).header("host", "agents.example.com").body(full("")).expect("a valid request")
}

/// Asks for a path on a new connection.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    let mut request = request(path);
    request.headers_mut().insert("host", http::HeaderValue::try_from(address.to_string()).expect("an address is a value"));
    Http1::connect(address).await.ask(request).await
}

/// Sends bytes on a new connection and returns everything that comes back until it is closed.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the proxy should accept");
    stream.write_all(bytes).await.expect("the proxy should read");
    let mut text = Vec::new();
    // A reset after the answer is an end too.
    let _ = soon(stream.read_to_end(&mut text)).await;
    String::from_utf8_lossy(&text).into_owned()
}
