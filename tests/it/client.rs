//! Clients beside those of the lab: HTTP/2, and calls to the admin server.

use std::net::SocketAddr;

use http::{Method, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::lab::{Answer, Body, Http1, full, soon};

/// A client's HTTP/2 connection with prior knowledge.
pub struct Http2 {
    send: hyper::client::conn::http2::SendRequest<Body>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the proxy should accept");
        let (send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake");
        Self { send, connection: tokio::spawn(connection) }
    }

    /// Sends a request; the body of the response comes as it comes.
    pub async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        soon(self.send.ready()).await?;
        soon(self.send.send_request(request)).await
    }

    /// Waits for the end of the connection.
    pub async fn closed(self) -> hyper::Result<()> {
        soon(self.connection).await.expect("the connection's task should not panic")
    }
}

/// A GET request as HTTP/2 writes it.
pub fn request_http2(path: &str) -> Request<Body> {
    let uri: Uri = format!("http://agents.example.com{path}").parse().expect("a valid target");
    Request::get(uri).body(full("")).expect("a valid request")
}

/// A request with these fields; its host is `agents.example.com` unless they name another.
pub fn request_with(method: Method, path: &str, fields: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !fields.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "agents.example.com");
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(full(body.to_owned())).expect("a valid request")
}

/// Asks on a new connection.
pub async fn ask(address: SocketAddr, request: Request<Body>) -> Answer {
    Http1::connect(address).await.ask(request).await
}

/// Asks the admin server, on a new connection.
pub async fn admin(address: SocketAddr, method: Method, path: &str, body: &str) -> Answer {
    admin_with(address, method, path, &[], body).await
}

/// Asks the admin server with these fields, on a new connection.
pub async fn admin_with(address: SocketAddr, method: Method, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let host = address.to_string();
    let mut all = fields.to_vec();
    if !fields.iter().any(|(name, _)| *name == "host") {
        all.push(("host", &host));
    }
    ask(address, request_with(method, path, &all, body)).await
}

/// Waits until nobody accepts at an address: an order to stop and closed sockets follow each other, but not at once.
pub async fn refused(address: SocketAddr) {
    soon(async { while TcpStream::connect(address).await.is_ok() {} }).await;
}
