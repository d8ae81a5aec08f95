//! HTTP/2 with prior knowledge on either side: streams, trailers, resets, goodbyes, limits.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use crate::lab::{Answer, Body, Endpoint, Lab, full, read, soon};
use crate::wire::{Bare, Canned, Plan, echo, lab, nobody, once};

/// A client's HTTP/2 connection.
#[derive(Clone)]
pub struct Http2 {
    send: hyper::client::conn::http2::SendRequest<Body>,
}

impl Http2 {
    /// Connects with prior knowledge.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("the proxy should accept")).await
    }

    /// Speaks over an open stream.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (send, connection) = soon(builder.handshake(TokioIo::new(stream))).await.expect("a handshake");
        tokio::spawn(connection);
        Self { send }
    }

    /// Sends a request to the host of the tests.
    pub async fn send(&mut self, mut request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        request.headers_mut().remove("host");
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        *request.uri_mut() = format!("http://agents.example.com{path}").parse().expect("a valid URI");
        *request.version_mut() = Version::HTTP_2;
        soon(self.send.ready()).await?;
        soon(self.send.send_request(request)).await
    }

    /// Sends a request and reads the whole response.
    pub async fn ask(&mut self, request: Request<Body>) -> Answer {
        read(self.send(request).await.expect("a response")).await
    }

    /// Waits until the connection has ended.
    pub async fn ended(&mut self) {
        soon(async {
            while self.send.ready().await.is_ok() {
                tokio::task::yield_now().await
            }
        })
        .await;
    }
}

fn request(path: &str) -> Request<Body> {
    crate::lab::request(path)
}

/// A body that gives what is sent, and ends with `trailers`.
fn streamed(parts: mpsc::UnboundedReceiver<&'static str>, trailers: Option<HeaderMap>) -> Body {
    let frames = futures_util::stream::unfold((parts, trailers), |(mut parts, mut trailers)| async move {
        let frame = match parts.recv().await {
            Some(part) => Frame::data(Bytes::from_static(part.as_bytes())),
            None => Frame::trailers(trailers.take()?),
        };
        Some((Ok(frame), (parts, trailers)))
    });
    Body::new(StreamBody::new(frames))
}

/// A client that resets its streams when the test says so.
pub async fn resetter(lab: &Lab) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(lab.address()).await.expect("the proxy should accept");
    stream.set_nodelay(true).expect("the socket is open");
    let (send, connection) = soon(h2::client::handshake(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    soon(send.ready()).await.expect("room for a stream")
}

fn sum() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), HeaderValue::from_static("7"))])
}

const UPSTREAM_HTTP2: &str = "upstream: { protocol: http2 }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_with_prior_knowledge_is_spoken_on_the_same_port_as_http1() {
    let endpoint = Endpoint::mirror().await;
    let lab = lab(endpoint.address).await;
    let answer = Http2::connect(lab.address()).await.ask(request("/a?b")).await;
    assert_eq!((answer.status(), answer.head.version), (200, Version::HTTP_2));
    assert!(answer.text.starts_with("GET /a?b HTTP/1.1\n"), "{}", answer.text);
    assert!(
        answer.text.contains("\nhost: agents.example.com\n") && answer.text.contains("\nvia: 2.0 tidegate-"),
        "{}",
        answer.text
    );
    let answer = crate::lab::get(lab.address(), "/a?b").await;
    assert_eq!((answer.status(), answer.head.version), (200, Version::HTTP_11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_goes_on_as_http2_to_an_endpoint_that_speaks_it() {
    let endpoint = Endpoint::start_http2(|request: Request<Incoming>| async move {
        let text = format!("{} {} {:?}", request.method(), request.uri(), request.version());
        assert!(!request.headers().contains_key("host"));
        Response::new(full(text))
    })
    .await;
    let lab = Plan::before(endpoint.address).pool(UPSTREAM_HTTP2).start().await;
    let answer = Http2::connect(lab.address()).await.ask(request("/a?b")).await;
    assert_eq!(answer.text, "GET http://agents.example.com/a?b HTTP/2.0");
    let answer = crate::lab::Http1::connect(lab.address()).await.ask(request("/a?b")).await;
    assert_eq!(answer.text, "GET http://agents.example.com/a?b HTTP/2.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_of_a_get_without_a_length_reaches_an_http1_endpoint() {
    let endpoint = Endpoint::mirror().await;
    let lab = lab(endpoint.address).await;
    let mut client = resetter(&lab).await;
    let head = Request::get("http://agents.example.com/").body(()).unwrap();
    let (answer, mut body) = client.send_request(head, false).unwrap();
    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    let mut body = soon(answer).await.unwrap().into_body();
    let mut text = Vec::new();
    while let Some(part) = soon(body.data()).await {
        text.extend_from_slice(&part.unwrap());
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("\ntransfer-encoding: chunked\n") && text.ends_with("\n\nhello"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limits_of_a_listener_hold_for_http2_too() {
    let endpoint = Endpoint::named("a").await;
    let lab = Plan::before(endpoint.address).listener("limits: { headers: 3, request_line: 256 }").start().await;
    let mut client = Http2::connect(lab.address()).await;
    let mut many = request("/");
    for name in ["x-a", "x-b", "x-c", "x-d"] {
        many.headers_mut().insert(name, HeaderValue::from_static("1"));
    }
    let answer = client.ask(many).await;
    assert_eq!((answer.status(), answer.json()["reason"].as_str()), (431, Some("too_many_headers")));
    let answer = client.ask(request(&format!("/{}", "a".repeat(300)))).await;
    assert_eq!((answer.status(), answer.json()["reason"].as_str()), (414, Some("target_too_long")));
    assert_eq!(client.ask(request("/")).await.text, "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_of_one_connection_run_at_the_same_time() {
    for pool in ["strategy: round_robin", UPSTREAM_HTTP2] {
        // Nobody is answered before all are there.
        let all = Arc::new(tokio::sync::Barrier::new(80));
        let answer = move |request: Request<Incoming>| {
            let all = all.clone();
            async move {
                all.wait().await;
                Response::new(full(request.uri().path().to_owned()))
            }
        };
        let endpoint = if pool == UPSTREAM_HTTP2 { Endpoint::start_http2(answer).await } else { Endpoint::start(answer).await };
        let lab = Plan::before(endpoint.address).pool(pool).start().await;
        let client = Http2::connect(lab.address()).await;
        let asks = (0..80).map(|n| {
            let mut client = client.clone();
            tokio::spawn(async move { (n, client.ask(request(&format!("/{n}"))).await) })
        });
        for ask in asks.collect::<Vec<_>>() {
            let (n, answer) = ask.await.unwrap();
            assert_eq!(answer.text, format!("/{n}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_go_both_ways_over_http2() {
    let endpoint = Endpoint::start_http2(|request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.expect("a whole body");
        let trailers = body.trailers().cloned();
        let text = String::from_utf8(body.to_bytes().to_vec()).expect("text");
        let (send, parts) = mpsc::unbounded_channel();
        send.send(if text == "hello" { "hello" } else { "?" }).expect("the body is there");
        Response::new(streamed(parts, trailers))
    })
    .await;
    let lab = Plan::before(endpoint.address).pool(UPSTREAM_HTTP2).start().await;
    let (send, parts) = mpsc::unbounded_channel();
    send.send("hello").unwrap();
    drop(send);
    let request = Request::post("/").body(streamed(parts, Some(sum()))).unwrap();
    let response = Http2::connect(lab.address()).await.send(request).await.unwrap();
    let body = soon(response.into_body().collect()).await.unwrap();
    assert_eq!(body.trailers(), Some(&sum()));
    assert_eq!(body.to_bytes(), "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_flows_both_ways_at_once_over_http2() {
    for pool in ["strategy: round_robin", UPSTREAM_HTTP2] {
        let endpoint = if pool == UPSTREAM_HTTP2 { Endpoint::start_http2(echo).await } else { Endpoint::start(echo).await };
        let lab = Plan::before(endpoint.address).pool(pool).start().await;
        let (send, parts) = mpsc::unbounded_channel();
        let mut client = Http2::connect(lab.address()).await;
        send.send("first").unwrap();
        let mut body = client.send(Request::post("/").body(streamed(parts, None)).unwrap()).await.unwrap().into_body();
        assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "first");
        for word in ["second", "third"] {
            send.send(word).unwrap();
            assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), word);
        }
        drop(send);
        assert_eq!(soon(body.collect()).await.unwrap().to_bytes(), "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_the_client_resets_is_aborted_at_the_endpoint() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Http2::connect(lab.address()).await;
    let (response, mut inside) = tokio::join!(client.send(request("/")), async {
        let mut inside = endpoint.accept().await;
        inside.head().await;
        inside.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
        inside
    });
    drop(response.unwrap());
    inside.ended().await;
    // The connection lives on.
    let (answer, ()) = tokio::join!(client.ask(request("/")), async {
        let mut inside = endpoint.accept().await;
        inside.head().await;
        inside.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    });
    assert_eq!(answer.text, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_the_client_resets_is_reset_at_an_http2_endpoint() {
    let dropped = Arc::new(Notify::new());
    let told = dropped.clone();
    let endpoint = Endpoint::start_http2(move |_| {
        let told = told.clone();
        async move {
            let (send, parts) = mpsc::unbounded_channel();
            send.send("begun").expect("the body is there");
            tokio::spawn(async move {
                send.closed().await;
                told.notify_one();
            });
            Response::new(streamed(parts, None))
        }
    })
    .await;
    let lab = Plan::before(endpoint.address).pool(UPSTREAM_HTTP2).start().await;
    let mut client = Http2::connect(lab.address()).await;
    drop(client.send(request("/")).await.unwrap());
    soon(dropped.notified()).await;
    assert_eq!(client.send(request("/")).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_ends_early_resets_its_stream_and_no_other() {
    for body in ["content-length: 10\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let endpoint = Canned::start(format!("HTTP/1.1 200 OK\r\n{body}")).await;
        let lab = lab(endpoint.address).await;
        let mut client = Http2::connect(lab.address()).await;
        for _ in 0..3 {
            let mut body = client.send(request("/")).await.unwrap().into_body();
            assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "hello");
            assert!(soon(body.frame()).await.unwrap().is_err(), "half an answer was passed on as a whole one");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_made_here_is_a_problem_document_over_http2_too() {
    let lab = once(nobody()).await;
    let mut client = Http2::connect(lab.address()).await;
    for _ in 0..2 {
        let answer = client.ask(request("/")).await;
        assert_eq!((answer.status(), answer.json()["reason"].as_str()), (502, Some("connection_refused")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_over_the_limit_wait_for_their_turn() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opened = gate.clone();
    let endpoint = Endpoint::start(move |_| {
        let (arrived, gate) = (arrived.clone(), gate.clone());
        async move {
            arrived.send(()).expect("the test waits");
            gate.acquire().await.expect("never closed").forget();
            Response::new(full("ok"))
        }
    })
    .await;
    let lab = Plan::before(endpoint.address).listener("limits: { streams: 3 }").start().await;
    let client = Http2::connect(lab.address()).await;
    // The settings have come when a first request has been answered.
    opened.add_permits(1);
    assert_eq!(client.clone().ask(request("/")).await.text, "ok");
    soon(arrivals.recv()).await;
    let asks: Vec<_> = (0..9)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.ask(request("/")).await.text })
        })
        .collect();
    for _ in 0..3 {
        soon(arrivals.recv()).await;
    }
    for _ in 0..6 {
        assert!(arrivals.try_recv().is_err(), "a fourth stream was let through");
        opened.add_permits(1);
        soon(arrivals.recv()).await;
    }
    opened.add_permits(3);
    for ask in asks {
        assert_eq!(ask.await.unwrap(), "ok");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_resets_rapidly_is_sent_away_and_hurts_nobody_else() {
    let endpoint = Endpoint::named("ok").await;
    let lab = lab(endpoint.address).await;
    let mut other = Http2::connect(lab.address()).await;
    let stream = TcpStream::connect(lab.address()).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let ended = tokio::spawn(connection);
    let flood = async {
        for _ in 0..10_000 {
            let Ok(ready) = send.clone().ready().await else { break };
            send = ready;
            let request = Request::get("http://agents.example.com/").body(()).unwrap();
            let Ok((_, mut stream)) = send.send_request(request, true) else { break };
            stream.send_reset(h2::Reason::CANCEL);
        }
        drop(send);
    };
    let calm = async {
        for _ in 0..20 {
            assert_eq!(other.ask(request("/")).await.text, "ok");
        }
    };
    soon(async { tokio::join!(flood, calm) }).await;
    let error = soon(ended).await.unwrap().expect_err("the flood should be ended");
    assert!(error.is_go_away() || error.is_io(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_says_goodbye_gets_no_new_request_and_loses_none() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).pool(UPSTREAM_HTTP2).start().await;
    let mut client = Http2::connect(lab.address()).await;
    for _ in 0..5 {
        let serve = async {
            let mut inside = soon(h2::server::handshake(endpoint.accept().await.stream)).await.unwrap();
            let (_, mut respond) = soon(inside.accept()).await.unwrap().unwrap();
            inside.graceful_shutdown();
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            body.send_data(Bytes::from_static(b"ok"), true).unwrap();
            // A request that came after the goodbye would come out here.
            assert!(soon(inside.accept()).await.is_none());
        };
        let (answer, ()) = tokio::join!(client.ask(request("/")), serve);
        assert_eq!(answer.text, "ok");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_stream_is_sent_again() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).pool(UPSTREAM_HTTP2).start().await;
    let mut client = Http2::connect(lab.address()).await;
    let serve = async {
        let mut inside = soon(h2::server::handshake(endpoint.accept().await.stream)).await.unwrap();
        let (_, mut respond) = soon(inside.accept()).await.unwrap().unwrap();
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        let (_, mut respond) = soon(inside.accept()).await.unwrap().unwrap();
        respond.send_response(Response::new(()), true).unwrap();
        tokio::spawn(async move { while inside.accept().await.is_some() {} });
    };
    let (answer, ()) = tokio::join!(client.ask(request("/")), serve);
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_not_used_any_more_says_goodbye() {
    let endpoint = Endpoint::named("ok").await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { keep_alive: 200ms }").start().await;
    let mut client = Http2::connect(lab.address()).await;
    assert_eq!(client.ask(request("/")).await.text, "ok");
    client.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_preface_gets_an_answer_or_an_end_and_never_hangs() {
    let endpoint = Canned::start("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { header: 200ms }").start().await;
    for bytes in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxx", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "PRI * HT"] {
        crate::wire::Wire::exchange(lab.address(), bytes).await;
    }
    assert_eq!(endpoint.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_after_the_response_began_resets_the_stream() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).route("timeouts: { total: 200ms }").start().await;
    let mut client = Http2::connect(lab.address()).await;
    let serve = async {
        let mut inside = endpoint.accept().await;
        inside.head().await;
        inside.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello").await;
        inside.ended().await;
    };
    let asking = async {
        let body = client.send(request("/")).await.unwrap().into_body();
        assert!(soon(body.collect()).await.is_err());
    };
    tokio::join!(serve, asking);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_go_both_ways_between_an_http2_client_and_an_http1_endpoint() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let (send, parts) = mpsc::unbounded_channel();
    send.send("hello").unwrap();
    drop(send);
    let request = Request::post("/").header("te", "trailers").header("trailer", "x-sum");
    let request = request.body(streamed(parts, Some(sum()))).unwrap();
    let mut client = Http2::connect(lab.address()).await;
    let (response, mut inside) = tokio::join!(client.send(request), async {
        let mut inside = endpoint.accept().await;
        assert!(inside.head().await.contains("\r\nte: trailers\r\n"));
        assert_eq!((inside.chunk().await, inside.chunk().await), ("hello".to_owned(), String::new()));
        assert_eq!(inside.until("\r\n\r\n").await, "x-sum: 7\r\n\r\n");
        inside.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nworld\r\n").await;
        inside
    });
    inside.send("0\r\nx-sum: 7\r\n\r\n").await;
    let body = soon(response.unwrap().into_body().collect()).await.unwrap();
    assert_eq!(body.trailers(), Some(&sum()));
    assert_eq!(body.to_bytes(), "world");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_the_client_resets_breaks_at_the_endpoint_and_never_ends_there() {
    for pool in ["strategy: round_robin", UPSTREAM_HTTP2] {
        let (told, mut seen) = mpsc::unbounded_channel();
        let answer = move |request: Request<Incoming>| {
            let (told, mut body) = (told.clone(), request.into_body());
            async move {
                while let Some(frame) = body.frame().await {
                    told.send(frame.map(|frame| frame.into_data().ok()).map_err(drop)).expect("the test listens");
                }
                told.send(Ok(None)).expect("the test listens");
                Response::new(full(""))
            }
        };
        let endpoint = if pool == UPSTREAM_HTTP2 { Endpoint::start_http2(answer).await } else { Endpoint::start(answer).await };
        let lab = Plan::before(endpoint.address).pool(pool).start().await;
        let request = Request::post("http://agents.example.com/").body(()).unwrap();
        let (_response, mut upload) = resetter(&lab).await.send_request(request, false).unwrap();
        upload.send_data(Bytes::from_static(b"half"), false).unwrap();
        assert_eq!(soon(seen.recv()).await, Some(Ok(Some(Bytes::from_static(b"half")))));
        upload.send_reset(h2::Reason::CANCEL);
        assert_eq!(soon(seen.recv()).await, Some(Err(())), "half a body was passed on as a whole one");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_an_http2_endpoint_resets_is_reset_and_never_ended() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).pool(UPSTREAM_HTTP2).start().await;
    let request = Request::get("http://agents.example.com/").body(()).unwrap();
    let (response, _) = resetter(&lab).await.send_request(request, true).unwrap();
    let mut inside = soon(h2::server::handshake(endpoint.accept().await.stream)).await.unwrap();
    let (_, mut respond) = soon(inside.accept()).await.unwrap().unwrap();
    tokio::spawn(async move { while inside.accept().await.is_some() {} });
    let mut half = respond.send_response(Response::new(()), false).unwrap();
    half.send_data(Bytes::from_static(b"half"), false).unwrap();
    let mut body = soon(response).await.unwrap().into_body();
    assert_eq!(soon(body.data()).await.unwrap().unwrap(), "half");
    half.send_reset(h2::Reason::INTERNAL_ERROR);
    let cut = soon(body.data()).await.expect("a reset, not an end").unwrap_err();
    assert!(cut.is_reset() && cut.is_remote(), "{cut:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn split_cookies_are_one_field_for_an_http1_endpoint() {
    let endpoint = Endpoint::mirror().await;
    let lab = lab(endpoint.address).await;
    let mut request = request("/");
    for crumb in ["a=1", "b=2", "c=3"] {
        request.headers_mut().append("cookie", HeaderValue::from_static(crumb));
    }
    let answer = Http2::connect(lab.address()).await.ask(request).await;
    let cookies: Vec<_> = answer.text.lines().filter(|line| line.starts_with("cookie:")).collect();
    assert_eq!(cookies, ["cookie: a=1; b=2; c=3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connect_is_refused_over_http2_and_its_connection_lives_on() {
    let endpoint = Endpoint::named("ok").await;
    let lab = lab(endpoint.address).await;
    let mut client = resetter(&lab).await;
    let connect = Request::connect("other.example.com:443").body(()).unwrap();
    let (response, _tunnel) = client.send_request(connect, false).unwrap();
    let (head, mut body) = soon(response).await.unwrap().into_parts();
    let problem = soon(body.data()).await.unwrap().unwrap();
    assert_eq!(head.status, 405);
    assert!(String::from_utf8_lossy(&problem).contains("\"reason\":\"connect_refused\""), "{problem:?}");
    let request = Request::get("http://agents.example.com/").body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    assert_eq!(soon(response).await.unwrap().status(), 200);
}
