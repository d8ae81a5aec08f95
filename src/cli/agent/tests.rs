//! The sample agent over real sockets.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1 as client;
use serde_json::Value;
use tokio::sync::mpsc;

use super::*;

/// Far above what anything here takes, so that a slow machine does not fail a test.
const PATIENCE: Duration = Duration::from_secs(30);

struct Lab {
    address: SocketAddr,
    _agent: JoinSet<()>,
}

impl Lab {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let arguments =
            args::Agent { port: 0, name: "anna".to_owned(), delay: 1, capabilities: vec!["python".to_owned(), "gpu".to_owned()] };
        let mut agent = JoinSet::new();
        agent.spawn(serve(listener, Answers::new(&arguments), future::pending()));
        Self { address, _agent: agent }
    }

    async fn send<B>(&self, request: Request<B>) -> Response<Incoming>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync,
    {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        time::timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap()
    }

    async fn get(&self, method: Method, path: &str) -> (u16, http::HeaderMap, String) {
        let request = Request::builder().method(method).uri(path).header("host", "agent").body(Empty::<Bytes>::new()).unwrap();
        let response = self.send(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn the_card_names_the_agent_and_its_capabilities() {
    let (status, headers, body) = Lab::start().await.get(Method::GET, "/").await;
    let card: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &headers["x-agent"]), (200, &"anna".parse().unwrap()));
    assert_eq!(card["agent"], "anna");
    assert_eq!(card["pid"], std::process::id());
    assert_eq!(card["delay_ms"], 1);
    assert_eq!(card["capabilities"], serde_json::json!(["python", "gpu"]));
}

#[tokio::test]
async fn a_stream_has_as_many_tokens_as_asked_for_and_an_end() {
    let (status, headers, body) = Lab::start().await.get(Method::GET, "/stream?n=3&every_ms=0").await;
    assert_eq!((status, &headers["content-type"]), (200, &"text/event-stream".parse().unwrap()));
    let events: Vec<_> = body.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 4, "{body}");
    assert_eq!(events[1], r#"data: {"index":1,"token":"tide"}"#);
    assert_eq!(events[3], "data: [DONE]");
}

#[tokio::test]
async fn a_token_is_sent_before_the_next_is_due() {
    let request = Request::get("/stream?n=2&every_ms=60000").header("host", "agent").body(Empty::<Bytes>::new()).unwrap();
    let lab = Lab::start().await;
    let mut body = lab.send(request).await.into_body();
    let first = time::timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "data: {\"index\":0,\"token\":\"the\"}\n\n");
}

#[tokio::test]
async fn an_echo_begins_before_the_request_has_ended() {
    let (parts, received) = mpsc::unbounded_channel::<Result<Frame<Bytes>, std::io::Error>>();
    let body = StreamBody::new(stream::unfold(received, async |mut received| Some((received.recv().await?, received))));
    parts.send(Ok(Frame::data("one".into()))).unwrap();
    let lab = Lab::start().await;
    let mut echo = lab.send(Request::post("/echo").header("host", "agent").body(Box::pin(body)).unwrap()).await.into_body();
    let mut next = async || time::timeout(PATIENCE, echo.frame()).await.unwrap().map(|frame| frame.unwrap().into_data().unwrap());
    assert_eq!(next().await.unwrap(), "one");
    parts.send(Ok(Frame::data("two".into()))).unwrap();
    assert_eq!(next().await.unwrap(), "two");
    drop(parts);
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn other_paths_methods_and_numbers_are_refused() {
    let lab = Lab::start().await;
    assert_eq!(lab.get(Method::GET, "/health").await.0, 200);
    assert_eq!(lab.get(Method::GET, "/nowhere").await.0, 404);
    assert_eq!(lab.get(Method::GET, "/stream?n=many").await.0, 400);
    let (status, headers, _) = lab.get(Method::GET, "/echo").await;
    assert_eq!((status, &headers["allow"]), (405, &"POST, PUT".parse().unwrap()));
}

#[tokio::test]
async fn an_agent_that_is_stopped_accepts_no_more() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let arguments = args::Agent { port: 0, name: "a".to_owned(), delay: 0, capabilities: Vec::new() };
    serve(listener, Answers::new(&arguments), future::ready(())).await;
    assert!(TcpStream::connect(address).await.is_err());
}
