//! What the tests share: bodies, targets, endpoints.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::poll_fn;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use crate::model::{Upstream, UpstreamProtocol};
use crate::upstream::{Connections, Exchange, Lookup, SendFailure, Target};

pub type BoxError = Box<dyn Error + Send + Sync>;
pub type TestBody = UnsyncBoxBody<Bytes, BoxError>;
/// The other end of a body.
pub type BodySender = mpsc::UnboundedSender<Result<Frame<Bytes>, BoxError>>;
pub type Pool = Rc<Connections<TestBody>>;

/// Longer than anything should take, so that a hang is a failure.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test on a worker like ours.
pub fn worker<F: Future<Output = ()>>(test: F) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(soon(test));
}

/// Waits for something that must happen.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it did not happen in time")
}

pub fn empty() -> TestBody {
    Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync()
}

pub fn full(text: &'static str) -> TestBody {
    Full::from(text).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body that gives what is sent to it.
pub fn channel() -> (BodySender, TestBody) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    (sender, StreamBody::new(poll_fn(move |cx| receiver.poll_recv(cx))).boxed_unsync())
}

pub fn get(path: &str) -> Request<TestBody> {
    Request::get(path).header("host", "agents.test").body(empty()).unwrap()
}

pub fn post(path: &str, body: TestBody) -> Request<TestBody> {
    Request::post(path).header("host", "agents.test").body(body).unwrap()
}

pub fn no_lookup() -> Lookup {
    Arc::new(|_| Box::pin(std::future::ready(Err("no look-up expected".into()))))
}

pub fn pool(address: &str, settings: Upstream) -> Pool {
    let target = Target::new(address.parse().unwrap(), None, Arc::new(settings)).unwrap();
    Rc::new(Connections::new(target, no_lookup()))
}

pub fn http1(address: SocketAddr) -> Pool {
    pool(&address.to_string(), Upstream::default())
}

pub fn http2(address: SocketAddr) -> Pool {
    pool(&address.to_string(), Upstream { protocol: UpstreamProtocol::Http2, ..Upstream::default() })
}

/// Reads a response to its end and gives its connection back.
pub async fn finish(exchange: Exchange<TestBody>) -> Bytes {
    let body = soon(exchange.response.into_body().collect()).await.unwrap().to_bytes();
    exchange.lease.release();
    body
}

pub async fn ask(pool: &Pool, path: &str) -> Result<Exchange<TestBody>, SendFailure> {
    soon(pool.exchange(get(path), None)).await
}

/// Asks, expects an answer and reads it.
pub async fn fetch(pool: &Pool, path: &str) -> Bytes {
    finish(ask(pool, path).await.unwrap()).await
}

/// Waits until `condition` holds, giving way to the other tasks.
pub async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub async fn accept(listener: &TcpListener) -> TcpStream {
    soon(listener.accept()).await.unwrap().0
}

/// Reads until the empty line that ends a head.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Reads a request's head and answers with these bytes.
pub async fn answer(stream: &mut TcpStream, bytes: &str) {
    read_head(stream).await;
    stream.write_all(bytes.as_bytes()).await.unwrap();
}

/// Waits until the other side has closed or reset the connection.
pub async fn closed(stream: &mut TcpStream) {
    let mut bytes = [0; 1024];
    while !matches!(soon(stream.read(&mut bytes)).await, Ok(0) | Err(_)) {}
}

/// An endpoint that answers each request with its target, `authority` and version.
pub async fn echo(request: Request<Incoming>) -> Result<Response<TestBody>, Infallible> {
    let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned()).unwrap_or_default();
    let text = format!("{:?} {} host={host}", request.version(), request.uri());
    Ok(Response::new(Full::from(text).map_err(|never: Infallible| match never {}).boxed_unsync()))
}
