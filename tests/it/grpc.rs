//! gRPC through the proxy, with tonic on both sides: streams, trailers, and errors in the language of the client.

use std::sync::Arc;

use futures_util::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::sync::{Notify, mpsc};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::lab::{Body, Endpoint, Http1, Lab, full, get, soon};
use crate::wire::{Plan, lab, nobody};

type Words = ProstCodec<String, String>;

/// A stream of messages that the test feeds.
fn fed() -> (mpsc::UnboundedSender<String>, impl futures_util::Stream<Item = String> + Send + 'static) {
    let (send, words) = mpsc::unbounded_channel();
    (send, futures_util::stream::unfold(words, |mut words| async move { Some((words.recv().await?, words)) }))
}

/// tonic's bodies cannot be shared between threads as those of the lab can: a task hands their frames over.
fn shared(mut body: tonic::body::Body) -> Body {
    let (send, frames) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            // Cancel safe, both: a frame is only taken when it is returned, and a closed channel stays closed.
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = send.closed() => return,
            };
            let Some(frame) = frame else { return };
            let _ = send.send(frame.map_err(std::io::Error::other));
        }
    });
    Body::new(StreamBody::new(futures_util::stream::unfold(
        frames,
        |mut frames| async move { Some((frames.recv().await?, frames)) },
    )))
}

/// Tells when a call is over, however it ends.
struct Left(Arc<Notify>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Answers each word as it comes; `fail` ends the call with a status, `wait` never ends it, and `Refuse` as its name never begins it.
async fn echo(request: Request<Incoming>, left: Left) -> Response<Body> {
    let refuse = request.uri().path().ends_with("/Refuse");
    let service = tower::service_fn(move |request: tonic::Request<Streaming<String>>| {
        let left = Left(left.0.clone());
        async move {
            if refuse {
                return Err(Status::permission_denied("not for you"));
            }
            let answers = request.into_inner().then(move |word| {
                let _kept = &left;
                async move {
                    match word?.as_str() {
                        "fail" => {
                            let mut status = Status::data_loss("half of it is gone");
                            status.metadata_mut().insert("x-lost", "half".parse().expect("a value"));
                            Err(status)
                        }
                        "wait" => std::future::pending().await,
                        word => Ok(word.to_owned()),
                    }
                }
            });
            Ok(tonic::Response::new(answers))
        }
    });
    tonic::server::Grpc::new(Words::default()).streaming(service, request).await.map(shared)
}

async fn start() -> (Endpoint, Lab, Arc<Notify>) {
    let left = Arc::new(Notify::new());
    let notify = left.clone();
    let endpoint = Endpoint::start_http2(move |request| echo(request, Left(notify.clone()))).await;
    let lab = Plan::before(endpoint.address).pool("upstream: { protocol: http2 }").start().await;
    (endpoint, lab, left)
}

async fn client(lab: &Lab) -> tonic::client::Grpc<Channel> {
    let target = tonic::transport::Endpoint::from_shared(format!("http://{}", lab.address())).expect("a valid address");
    let channel: Channel = soon(target.connect()).await.expect("the proxy should accept");
    let mut client = tonic::client::Grpc::new(channel);
    soon(client.ready()).await.expect("a ready channel");
    client
}

/// Calls a method with a stream of words.
async fn call(
    lab: &Lab,
    method: &'static str,
    words: impl futures_util::Stream<Item = String> + Send + 'static,
) -> Result<tonic::Response<Streaming<String>>, Status> {
    let mut client = client(lab).await;
    let path = http::uri::PathAndQuery::from_static(method);
    soon(client.streaming(tonic::Request::new(words), path, Words::default())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_both_ways_one_by_one() {
    let (_endpoint, lab, _) = start().await;
    let (send, words) = fed();
    send.send("0".to_owned()).unwrap();
    let mut answers = call(&lab, "/test.Words/Echo", words).await.unwrap().into_inner();
    assert_eq!(soon(answers.message()).await.unwrap().as_deref(), Some("0"));
    for n in 1..50 {
        send.send(n.to_string()).unwrap();
        assert_eq!(soon(answers.message()).await.unwrap(), Some(n.to_string()));
    }
    drop(send);
    assert_eq!(soon(answers.message()).await.unwrap(), None);
    assert!(soon(answers.trailers()).await.unwrap().is_some(), "the status came in trailers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_are_whole() {
    let (_endpoint, lab, _) = start().await;
    let word = "x".repeat(3 * 1024 * 1024);
    let mut answers = call(&lab, "/test.Words/Echo", futures_util::stream::iter([word.clone()])).await.unwrap().into_inner();
    assert!(soon(answers.message()).await.unwrap() == Some(word));
    assert_eq!(soon(answers.message()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_after_messages_arrives_with_its_details() {
    let (_endpoint, lab, _) = start().await;
    let words = futures_util::stream::iter(["a".to_owned(), "fail".to_owned()]);
    let mut answers = call(&lab, "/test.Words/Echo", words).await.unwrap().into_inner();
    assert_eq!(soon(answers.message()).await.unwrap().as_deref(), Some("a"));
    let status = soon(answers.message()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "half of it is gone"));
    assert_eq!(status.metadata().get("x-lost").unwrap(), "half");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_without_messages_arrives() {
    let (_endpoint, lab, _) = start().await;
    let status = call(&lab, "/test.Words/Refuse", futures_util::stream::empty()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "not for you"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_cancels_a_call_stops_it_at_the_endpoint() {
    let (_endpoint, lab, left) = start().await;
    let words = futures_util::stream::iter(["a".to_owned(), "wait".to_owned()]);
    let mut answers = call(&lab, "/test.Words/Echo", words).await.unwrap().into_inner();
    assert_eq!(soon(answers.message()).await.unwrap().as_deref(), Some("a"));
    drop(answers);
    soon(left.notified()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_not_there_is_unavailable() {
    let lab = lab(nobody()).await;
    let status = call(&lab, "/test.Words/Echo", futures_util::stream::empty()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().contains("refused"), "{status:?}");
    assert!(status.metadata().get("proxy-status").unwrap().to_str().unwrap().contains("error=connection_refused"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_late_has_exceeded_the_deadline() {
    let endpoint = Endpoint::start_http2(|_| std::future::pending()).await;
    let lab =
        Plan::before(endpoint.address).pool("upstream: { protocol: http2 }").route("timeouts: { first_byte: 100ms }").start().await;
    let status = call(&lab, "/test.Words/Echo", futures_util::stream::empty()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_no_route_takes_is_unimplemented() {
    let lab = Plan::before("127.0.0.1:1").route("match: { path: /other }").start().await;
    let status = call(&lab, "/test.Words/Echo", futures_util::stream::empty()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_its_endpoint_leaves_is_no_success() {
    let heard = Arc::new(Notify::new());
    let leave = heard.clone();
    let endpoint = Endpoint::start_http2(move |_| {
        let leave = leave.clone();
        async move {
            let message = hyper::body::Frame::data(bytes::Bytes::from_static(b"\0\0\0\0\x03\x0a\x01a"));
            let gone = futures_util::stream::once(async move {
                leave.notified().await;
                Err(std::io::Error::other("gone"))
            });
            let frames = futures_util::stream::iter([Ok(message)]).chain(gone);
            let mut response = Response::new(Body::new(StreamBody::new(frames)));
            response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
            response
        }
    })
    .await;
    let lab = Plan::before(endpoint.address).pool("upstream: { protocol: http2 }").start().await;
    let mut answers = call(&lab, "/test.Words/Echo", futures_util::stream::empty()).await.unwrap().into_inner();
    assert_eq!(soon(answers.message()).await.unwrap().as_deref(), Some("a"));
    heard.notify_one();
    assert!(soon(answers.message()).await.is_err(), "half a stream was passed on as a whole one");
}

/// A message as a generator would write it, in place of tonic's own strings.
#[derive(Clone, PartialEq, prost::Message)]
struct Task {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint64, repeated, tag = "2")]
    steps: Vec<u64>,
    #[prost(message, optional, boxed, tag = "3")]
    next: Option<Box<Task>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn structured_messages_come_back_as_they_were() {
    let endpoint = Endpoint::start_http2(|request| async move {
        let service = tower::service_fn(|request: tonic::Request<Streaming<Task>>| async move {
            Ok::<_, Status>(tonic::Response::new(request.into_inner()))
        });
        tonic::server::Grpc::new(ProstCodec::<Task, Task>::default()).streaming(service, request).await.map(shared)
    })
    .await;
    let lab = Plan::before(endpoint.address).pool("upstream: { protocol: http2 }").start().await;
    let last = Task { name: "last".to_owned(), steps: vec![], next: None };
    let tasks = [Task { name: "first".to_owned(), steps: vec![0, u64::MAX], next: Some(Box::new(last.clone())) }, last];
    let mut client = client(&lab).await;
    let path = http::uri::PathAndQuery::from_static("/test.Tasks/Run");
    let asked = tonic::Request::new(futures_util::stream::iter(tasks.clone()));
    let answered = soon(client.streaming(asked, path, ProstCodec::<Task, Task>::default())).await.unwrap();
    let answers: Vec<Task> = soon(answered.into_inner().map(Result::unwrap).collect()).await;
    assert_eq!(answers, tasks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_without_an_available_endpoint_is_unavailable_and_asks_none() {
    let (_endpoint, lab, _) = start().await;
    let drain = Request::post("/api/v1/pools/agents/endpoints/a/drain").header("host", "localhost").body(full("")).unwrap();
    assert!(Http1::connect(lab.admin()).await.ask(drain).await.head.status.is_success());
    let status = call(&lab, "/test.Words/Echo", futures_util::stream::iter(["a".to_owned()])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().starts_with("No endpoint is available"), "{status:?}");
    let made_here = status.metadata().get("proxy-status").unwrap().to_str().unwrap();
    assert!(made_here.starts_with("tidegate; error=destination_unavailable"), "{made_here}");
    let pool = get(lab.admin(), "/api/v1/pools/agents").await.json();
    assert_eq!(pool["endpoints"][0]["attempts"], 0, "{pool}");
}
