//! Clients that leave: whatever is done for them ends at once, in every phase.

#![allow(clippy::print_stdout, reason = "the figures are for people; what must hold is asserted")]

use std::future::poll_fn;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::agent::body_in_hand;
use crate::client::{Http2, request_http2};
use crate::http2::resetter;
use crate::lab::{Endpoint, Http1, Lab, request, soon};
use crate::stage::{Stage, config, list, send, signed, until_metric, until_running};
use crate::wire::{Bare, Plan, Wire, lab};

fn attempts(outcome: &str) -> String {
    format!("tidegate_attempts_total{{pool=\"agents\",endpoint=\"a\",outcome=\"{outcome}\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_learns_at_once_that_nobody_waits_for_its_answer() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = Lab::start(&config("{ name: all, pool: agents }", &format!("agents: {{ endpoints: {} }}", stage.list()))).await;
    for n in 1..=5 {
        let client = send(&lab, "/");
        let asked = stage.next().await;
        client.abort();
        asked.cancelled().await;
        until_running(&lab, "all", 0).await;
        until_metric(&lab, &attempts("aborted"), n).await;
    }
    assert_eq!(stage.crowd("a").total(), 5, "who left is not tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_learns_at_once_that_a_stream_of_http2_was_cancelled() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = Lab::start(&config("{ name: all, pool: agents }", &format!("agents: {{ endpoints: {} }}", stage.list()))).await;
    let address = lab.address();
    let client = tokio::spawn(async move {
        let mut client = Http2::connect(address).await;
        let _ = client.send(request_http2("/")).await;
    });
    let asked = stage.next().await;
    client.abort();
    asked.cancelled().await;
    until_running(&lab, "all", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_learns_in_the_middle_of_its_answer() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = Lab::start(&config("{ name: all, pool: agents }", &format!("agents: {{ endpoints: {} }}", stage.list()))).await;
    let mut client = Http1::connect(lab.address()).await;
    let sending = tokio::spawn(async move {
        let response = client.send(request("/")).await.expect("a response");
        (response, client)
    });
    let (say, body) = body_in_hand();
    stage.next().await.respond(Response::new(body));
    say.send("begun").unwrap();
    let (response, client) = soon(sending).await.unwrap();
    drop((response, client));
    soon(say.closed()).await;
    until_running(&lab, "all", 0).await;
    until_metric(&lab, &attempts("aborted"), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_learns_in_the_middle_of_the_request() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    assert_eq!(inside.exactly(5).await, "hello");
    drop(client);
    inside.ended().await;
    until_running(&lab, "all", 0).await;
    assert!(endpoint.is_untouched().await, "who left is not tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_the_queue_is_never_sent() {
    let mut stage = Stage::start(&["a"]).await;
    let pools = format!("agents: {{ endpoints: {}, max_connections: 1 }}", stage.list());
    let lab = Lab::start(&config("{ name: all, pool: agents }", &pools)).await;
    let first = send(&lab, "/first");
    let held = stage.next().await;
    let waiting: Vec<_> = (0..10).map(|_| send(&lab, "/waiting")).collect();
    until_running(&lab, "all", 11).await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    until_running(&lab, "all", 1).await;
    held.answer(200);
    assert_eq!(soon(first).await.unwrap().status(), 200);
    let last = send(&lab, "/last");
    let asked = stage.next().await;
    assert_eq!(asked.path(), "/last");
    asked.answer(200);
    assert_eq!(soon(last).await.unwrap().status(), 200);
    assert_eq!(stage.crowd("a").total(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_in_the_rest_before_a_retry_is_not_tried_again() {
    let mut stage = Stage::start(&["a"]).await;
    let route = "{ name: all, pool: agents, retry: { base_delay: 200ms, jitter: none } }";
    let lab = Lab::start(&config(route, &format!("agents: {{ endpoints: {} }}", stage.list()))).await;
    let leaving = send(&lab, "/leaving");
    stage.next().await.answer(503);
    until_metric(&lab, &attempts("completed"), 1).await;
    leaving.abort();
    until_running(&lab, "all", 0).await;
    // Rests as long as the other one would have, after it.
    let staying = send(&lab, "/staying");
    for status in [503, 200] {
        let asked = stage.next().await;
        assert_eq!(asked.path(), "/staying");
        asked.answer(status);
    }
    assert_eq!(soon(staying).await.unwrap().status(), 200);
    assert!(stage.is_quiet(&lab).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_while_a_connection_opens_frees_the_slot() {
    // With its backlog of one place taken, the system answers no further connection.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _waiting = Wire::connect(address).await;
    let lab = Plan::before(address).pool("max_connections: 1, queue: 1, upstream: { connect_timeout: 15s }").start().await;
    for n in 1..=3 {
        let client = send(&lab, "/");
        until_metric(&lab, "tidegate_endpoint_in_flight{pool=\"agents\",endpoint=\"a\"}", 1).await;
        client.abort();
        until_metric(&lab, "tidegate_endpoint_in_flight{pool=\"agents\",endpoint=\"a\"}", 0).await;
        until_metric(&lab, &attempts("aborted"), n).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_add_up_when_many_leave_at_any_moment() {
    let endpoint = Endpoint::start(|_| async {
        tokio::task::yield_now().await;
        signed("a", 200)
    })
    .await;
    let pools = format!("agents: {{ endpoints: {}, max_connections: 2, queue: 5 }}", list([("a", endpoint.address)]));
    let lab = Lab::start(&config("{ name: all, pool: agents }", &pools)).await;
    for _ in 0..30 {
        let clients: Vec<_> = (0..10).map(|_| send(&lab, "/")).collect();
        for client in &clients {
            if fastrand::bool() {
                tokio::task::yield_now().await;
            } else {
                client.abort();
            }
        }
        for client in clients {
            // Left, served, or refused because the queue was full.
            let _ = soon(client).await;
        }
    }
    until_running(&lab, "all", 0).await;
    until_metric(&lab, "tidegate_endpoint_in_flight{pool=\"agents\",endpoint=\"a\"}", 0).await;
    let page = crate::client::admin(lab.admin(), http::Method::GET, "/api/v1/pools/agents/endpoints/a", "").await.json();
    let count = |name: &str| page[name].as_u64().expect("a number");
    assert_eq!(count("attempts"), count("completed") + count("failed") + count("aborted"), "{page}");
    assert_eq!(soon(send(&lab, "/")).await.unwrap().status(), 200);
}

/// How long it takes from the client's leaving until the endpoint sees it, as the median of many.
const AT_ONCE: Duration = Duration::from_millis(10);

/// When the client leaves.
#[derive(Clone, Copy, Debug)]
enum Phase {
    BeforeTheHead,
    InTheAnswer,
    InTheUpload,
}

/// A client that is about to leave.
enum Leaving {
    Http1(Wire),
    Http2 { stream: h2::SendStream<Bytes>, _response: h2::client::ResponseFuture },
}

impl Leaving {
    fn leave(self) {
        match self {
            Self::Http1(wire) => drop(wire),
            Self::Http2 { mut stream, _response } => stream.send_reset(h2::Reason::CANCEL),
        }
    }
}

/// Asks on a connection of its own, or on a stream of `http2`.
async fn ask(phase: Phase, lab: &Lab, http2: Option<&mut h2::client::SendRequest<Bytes>>) -> Leaving {
    let uploads = matches!(phase, Phase::InTheUpload);
    let Some(http2) = http2 else {
        let mut wire = Wire::connect(lab.address()).await;
        match uploads {
            true => wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await,
            false => wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await,
        }
        return Leaving::Http1(wire);
    };
    let mut request = Request::builder().method(if uploads { "POST" } else { "GET" }).uri("http://agents.example.com/");
    if uploads {
        request = request.header("content-length", 10);
    }
    let (response, mut stream) = http2.send_request(request.body(()).unwrap(), !uploads).unwrap();
    if uploads {
        stream.send_data(Bytes::from_static(b"hello"), false).unwrap();
    }
    Leaving::Http2 { stream, _response: response }
}

type Streams = UnboundedReceiver<(Request<h2::RecvStream>, h2::server::SendResponse<Bytes>)>;

/// An endpoint that is in the hand of the test, with the streams of its one connection where it speaks HTTP/2.
struct Left {
    bare: Bare,
    streams: Option<Streams>,
}

impl Left {
    /// Takes the next request as far as `phase`, then waits until it is cancelled; tells `ready` in between, and returns when that was.
    async fn serve(&mut self, phase: Phase, http2: bool, ready: impl AsyncFnOnce()) -> Instant {
        if http2 { self.serve_http2(phase, ready).await } else { self.serve_http1(phase, ready).await }
    }

    async fn serve_http1(&self, phase: Phase, ready: impl AsyncFnOnce()) -> Instant {
        let mut inside = self.bare.accept().await;
        inside.head().await;
        match phase {
            Phase::BeforeTheHead => {}
            Phase::InTheAnswer => inside.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await,
            Phase::InTheUpload => assert_eq!(inside.exactly(5).await, "hello"),
        }
        let (_, seen) = tokio::join!(ready(), async {
            inside.ended().await;
            Instant::now()
        });
        seen
    }

    async fn serve_http2(&mut self, phase: Phase, ready: impl AsyncFnOnce()) -> Instant {
        if self.streams.is_none() {
            let mut connection = soon(h2::server::handshake(self.bare.accept().await.stream)).await.unwrap();
            let (tell, streams) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                while let Some(Ok(stream)) = connection.accept().await {
                    tell.send(stream).unwrap();
                }
            });
            self.streams = Some(streams);
        }
        let (request, mut respond) = soon(self.streams.as_mut().unwrap().recv()).await.unwrap();
        let mut body = request.into_body();
        let mut half = None;
        match phase {
            Phase::BeforeTheHead => {}
            Phase::InTheAnswer => {
                let half = half.insert(respond.send_response(Response::new(()), false).unwrap());
                half.send_data(Bytes::from_static(b"hello"), false).unwrap();
            }
            Phase::InTheUpload => assert_eq!(soon(body.data()).await.unwrap().unwrap(), "hello"),
        }
        let (_, seen) = tokio::join!(ready(), async {
            let reset = match &mut half {
                Some(half) => soon(poll_fn(|cx| half.poll_reset(cx))).await,
                None => soon(poll_fn(|cx| respond.poll_reset(cx))).await,
            };
            assert!(reset.is_ok(), "{reset:?}");
            Instant::now()
        });
        seen
    }
}

/// Leaves again and again; returns how long each took to be seen by the endpoint, in order.
async fn times(by_http2: bool, to_http2: bool, phase: Phase) -> Vec<Duration> {
    let mut endpoint = Left { bare: Bare::listen().await, streams: None };
    let protocol = if to_http2 { "http2" } else { "http1" };
    let lab = Plan::before(endpoint.bare.address).pool(&format!("upstream: {{ protocol: {protocol} }}")).start().await;
    let mut http2 = if by_http2 { Some(resetter(&lab).await) } else { None };
    let mut times = Vec::new();
    for _ in 0..31 {
        let mut client = ask(phase, &lab, http2.as_mut()).await;
        let mut left = Instant::now();
        let leave = async || {
            if matches!(phase, Phase::InTheAnswer) {
                match &mut client {
                    Leaving::Http1(wire) => drop(wire.until("hello").await),
                    Leaving::Http2 { _response: response, .. } => {
                        let mut body = soon(response).await.unwrap().into_body();
                        assert_eq!(soon(body.data()).await.unwrap().unwrap(), "hello");
                    }
                }
            }
            left = Instant::now();
            client.leave();
        };
        let seen = endpoint.serve(phase, to_http2, leave).await;
        times.push(seen - left);
        until_running(&lab, "all", 0).await;
    }
    times.sort_unstable();
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_cancels_the_attempt_within_ten_milliseconds() {
    println!("{:<10}{:<10}{:<16}{:>10}{:>10}", "client", "endpoint", "leaves", "median", "longest");
    for (by_http2, to_http2) in [(false, false), (true, false), (false, true), (true, true)] {
        for phase in [Phase::BeforeTheHead, Phase::InTheAnswer, Phase::InTheUpload] {
            // Where others take the machine the series says nothing of the proxy, and another one is taken.
            for series in 1.. {
                let times = times(by_http2, to_http2, phase).await;
                let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
                let name = |http2: bool| if http2 { "HTTP/2" } else { "HTTP/1.1" };
                let phase = format!("{phase:?}");
                println!("{:<10}{:<10}{phase:<16}{median:>10.2?}{longest:>10.2?}", name(by_http2), name(to_http2));
                if median < AT_ONCE {
                    break;
                }
                assert!(series < 10, "{phase} {by_http2} {to_http2}: {times:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_learns_within_a_second_though_the_client_had_sent_more() {
    const WHOLE: &str = "GET /next HTTP/1.1\r\nhost: a\r\n\r\n";
    let many = WHOLE.repeat(100);
    let upload = "POST /next HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello";
    for next in ["G", "GET /next HTTP/1.1\r\nhost", WHOLE, &format!("{WHOLE}GET /th"), upload, "GET  /wrong\r\n\r\n", &many] {
        for (at_once, resets, answered) in [(true, false, false), (false, false, false), (true, true, false), (true, false, true)] {
            let endpoint = Bare::listen().await;
            let lab = lab(endpoint.address).await;
            let mut client = Wire::connect(lab.address()).await;
            let first = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nok";
            client.send(format!("{first}{}", if at_once { next } else { "" })).await;
            let mut inside = endpoint.accept().await;
            inside.head().await;
            inside.exactly(2).await;
            if answered {
                inside.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
                client.until("hello\r\n").await;
            }
            if !at_once {
                client.send(next).await;
            }
            if resets {
                client.reset_on_drop();
            }
            drop(client);
            let case = format!("{:?}, at once {at_once}, resets {resets}, answered {answered}", &next[..next.len().min(60)]);
            tokio::time::timeout(Duration::from_secs(1), inside.ended()).await.unwrap_or_else(|_| panic!("not noticed: {case}"));
            until_running(&lab, "all", 0).await;
            assert!(endpoint.is_untouched().await, "nothing of who left is sent: {case}");
        }
    }
}
