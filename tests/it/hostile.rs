//! Clients and endpoints that mean harm: each is sent away within its limits, and hurts nobody else.
//!
//! What is refused for how it is written is in `framing`, who is cut off over HTTP/1 for what it does not send or read in `endings` and `bodies`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http2::Http2;
use crate::lab::{Endpoint, Http1, Lab, full, get, request, soon};
use crate::stage::Stage;
use crate::wire::{Bare, Plan, Wire, lab};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Frame types and flags of RFC 9113 section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// RFC 9113 section 7.
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// `GET http://a/`, in HPACK.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];

/// `POST http://a/`.
const POST: &[u8] = &[0x83, 0x86, 0x84, 0x41, 1, b'a'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A client of HTTP/2, frame by frame.
struct Raw {
    stream: TcpStream,
    unread: BytesMut,
}

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Bytes,
}

impl Frame {
    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

impl Raw {
    /// Connects, with these settings: pairs of identifier and value.
    async fn connect(lab: &Lab, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self { stream: TcpStream::connect(lab.address()).await.unwrap(), unread: BytesMut::new() };
        let settings: Vec<u8> =
            settings.iter().flat_map(|(name, value)| [name.to_be_bytes().as_slice(), &value.to_be_bytes()].concat()).collect();
        raw.send([PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat()).await;
        raw
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.stream.write_all(bytes.as_ref())).await.expect("the proxy should read");
    }

    /// Sends what the proxy may no longer want to read.
    async fn flood(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = soon(self.stream.write_all(bytes.as_ref())).await;
    }

    /// Reads the next frame; `None` at the end. Settings and pings are answered, so that only silence is held against this client.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            while let Some(frame) = self.parse() {
                match (frame.kind, frame.flags) {
                    (SETTINGS | PING, 0) => {
                        self.flood(self::frame(frame.kind, 1, 0, if frame.kind == PING { &frame.payload } else { &[] })).await
                    }
                    (SETTINGS | PING, _) => {}
                    _ => return Some(frame),
                }
            }
            if soon(self.stream.read_buf(&mut self.unread)).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    fn parse(&mut self) -> Option<Frame> {
        let head = self.unread.get(..9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        if self.unread.len() < 9 + length {
            return None;
        }
        self.unread.advance(9);
        Some(Frame { kind, flags, stream, payload: self.unread.split_to(length).freeze() })
    }

    /// Reads up to a frame of this kind.
    async fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.unwrap_or_else(|| panic!("the connection ended before a frame of type {kind}"));
            if frame.kind == kind {
                return frame;
            }
        }
    }

    async fn is_sent_away(&mut self, attack: &str) {
        let goodbye = self.until(GOAWAY).await;
        assert_eq!(goodbye.number(4), ENHANCE_YOUR_CALM, "{attack}: {goodbye:?}");
        while self.next().await.is_some() {}
    }
}

/// An endpoint with a response of this length on every connection, which tells how its connection ended.
async fn large(endpoint: &Bare, length: usize) -> Wire {
    let mut inside = endpoint.accept().await;
    inside.head().await;
    inside.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")).await;
    inside
}

async fn metric(lab: &Lab, line: &str) {
    soon(async {
        while !lab.metrics().await.contains(line) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

const ABORTED: &str = "tidegate_attempts_total{pool=\"agents\",endpoint=\"a\",outcome=\"aborted\"} 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_heads_that_drip_are_cut_and_keep_nobody_from_being_served() {
    let endpoint = Endpoint::named("ok").await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { header: 300ms }").start().await;
    let address = lab.address();
    let drips: Vec<_> = (0..200)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = Wire::connect(address).await;
                client.send("GET / HTTP/1.1\r\nhost: a\r\nx: ").await;
                let (mut pace, mut byte) = (tokio::time::interval(Duration::from_millis(50)), [0]);
                while client.stream.try_read(&mut byte).is_err() {
                    pace.tick().await;
                    client.try_send("a").await;
                }
                client.rest().await.0
            })
        })
        .collect();
    let mut other = Http1::connect(address).await;
    while drips.iter().any(|drip| !drip.is_finished()) {
        assert_eq!(other.ask(request("/")).await.text, "ok");
    }
    for drip in drips {
        // A client that goes on writing into a closed connection may lose the answer to the reset; cut it is.
        let answer = soon(drip).await.unwrap();
        assert!(answer.is_empty() || answer.contains("408"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_drips_is_ended_by_the_total_timeout_and_frees_the_endpoint() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).route("timeouts: { idle: 10s, total: 300ms }").start().await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    let drip = async {
        let (mut pace, mut byte) = (tokio::time::interval(Duration::from_millis(20)), [0]);
        while client.stream.try_read(&mut byte).is_err() {
            pace.tick().await;
            client.try_send("a").await;
        }
    };
    soon(drip).await;
    assert!(inside.rest().await.0.len() < 10_000);
    assert!(client.rest().await.0.contains("total_timeout"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_a_window_is_reset_and_frees_the_endpoint_while_its_connection_lives_on() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { write: 300ms }").start().await;
    // SETTINGS_INITIAL_WINDOW_SIZE: no stream may get a byte, or only a few.
    for window in [0, 100] {
        let mut client = Raw::connect(&lab, &[(4, window)]).await;
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, GET)).await;
        let mut inside = large(&endpoint, 1_000_000).await;
        let _ = inside.try_send(vec![b'x'; 1_000_000]).await;
        assert_eq!(client.until(HEADERS).await.stream, 1);
        let reset = client.until(RST_STREAM).await;
        assert_eq!((reset.stream, reset.number(0)), (1, CANCEL), "{window}");
        assert_eq!(inside.rest().await.0, "");
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, GET)).await;
        let mut inside = endpoint.accept().await;
        inside.head().await;
        inside.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        let answer = client.until(HEADERS).await;
        assert_eq!((answer.stream, answer.flags & END_STREAM), (3, END_STREAM), "{window}");
    }
    metric(&lab, &ABORTED.replace("} 1", "} 2")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_taken_slowly_is_not_reset() {
    const LENGTH: usize = 1_500_000;
    const STEP: u32 = 16 * 1024;
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { write: 500ms }").start().await;
    let mut client = Raw::connect(&lab, &[(4, STEP)]).await;
    client.send(frame(WINDOW_UPDATE, 0, 0, &2_000_000_u32.to_be_bytes())).await;
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, GET)).await;
    let mut inside = large(&endpoint, LENGTH).await;
    inside.send(vec![b'x'; LENGTH]).await;
    let (mut taken, mut since) = (0, 0);
    let mut pace = tokio::time::interval(Duration::from_millis(40));
    let begun = Instant::now();
    while taken < LENGTH {
        let frame = client.next().await.expect("more of the body");
        assert_ne!(frame.kind, RST_STREAM, "after {taken} bytes");
        if frame.kind == DATA {
            (taken, since) = (taken + frame.payload.len(), since + u32::try_from(frame.payload.len()).unwrap());
        }
        // Each part in good time; what comes from the endpoint at once takes longer than the timeout.
        if since >= STEP {
            pace.tick().await;
            client.send(self::frame(WINDOW_UPDATE, 0, 1, &since.to_be_bytes())).await;
            since = 0;
        }
    }
    assert!(begun.elapsed() > Duration::from_secs(1), "the client was not slow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_endpoint_is_silent_is_not_reset() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { write: 100ms }").start().await;
    let mut client = Raw::connect(&lab, &[]).await;
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, GET)).await;
    let mut inside = large(&endpoint, 10).await;
    inside.send("hello").await;
    assert_eq!(client.until(DATA).await.payload, "hello");
    // Six times as long as a client may take none of what waits for it.
    let mut pace = tokio::time::interval(Duration::from_millis(600));
    pace.tick().await;
    pace.tick().await;
    inside.send("world").await;
    let frame = client.next().await.expect("the rest");
    assert_eq!((frame.kind, frame.payload), (DATA, Bytes::from_static(b"world")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_takes_the_last_bytes_does_not_keep_its_connection() {
    let endpoint = Endpoint::start(|_| async { Response::new(full("hello")) }).await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { keep_alive: 200ms, write: 400ms }").start().await;
    // A window of one byte: the whole body is h2's, and waits for four more.
    let mut client = Raw::connect(&lab, &[(4, 1)]).await;
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, GET)).await;
    assert_eq!(client.until(DATA).await.payload, "h");
    let goodbye = client.until(GOAWAY).await;
    assert_eq!(goodbye.number(4), 0);
    while client.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_end_the_connection_and_reach_few_endpoints() {
    let arrivals = Arc::<AtomicUsize>::default();
    let seen = arrivals.clone();
    let endpoint = Endpoint::start(move |_| {
        seen.fetch_add(1, SeqCst);
        async { Response::new(full("ok")) }
    })
    .await;
    let lab = lab(endpoint.address).await;
    let mut other = Http2::connect(lab.address()).await;
    let mut client = Raw::connect(&lab, &[]).await;
    let flood: Vec<u8> = (0..10_000)
        .flat_map(|n| {
            let open = frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, GET);
            [open, frame(RST_STREAM, 0, 2 * n + 1, &CANCEL.to_be_bytes())].concat()
        })
        .collect();
    client.flood(flood).await;
    client.is_sent_away("rapid reset").await;
    assert_eq!(other.ask(request("/")).await.text, "ok");
    assert!(arrivals.load(SeqCst) < 1000, "{arrivals:?} of 10000 reached the endpoint");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_were_passed_on_and_then_reset_one_after_the_other_end_the_connection() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = Plan::before(stage.address("a")).listener("limits: { cancels: 20 }").start().await;
    let mut client = Raw::connect(&lab, &[]).await;
    let mut other = Http2::connect(lab.address()).await;
    let mut given_up = 0;
    for n in 0..1000 {
        client.flood(frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, GET)).await;
        tokio::select! {
            _ = stage.next() => {}
            () = async { while client.next().await.is_some() {} } => break,
        }
        // It has reached its endpoint, so nothing of the protocol's own looks odd.
        client.flood(frame(RST_STREAM, 0, 2 * n + 1, &CANCEL.to_be_bytes())).await;
        given_up += 1;
    }
    assert!((21..1000).contains(&given_up), "{given_up} requests were given up");
    metric(&lab, "guard=\"flood\"} 1").await;
    let answer = tokio::spawn(async move { other.ask(request("/")).await.status() });
    stage.next().await.answer(200);
    assert_eq!(answer.await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_small_frames_end_the_connection() {
    let endpoint = Endpoint::start(|request: Request<_>| async move {
        match *request.method() {
            Method::POST => std::future::pending().await,
            _ => Response::new(full("ok")),
        }
    })
    .await;
    let lab = lab(endpoint.address).await;
    let open = frame(HEADERS, 0, 1, GET);
    let upload = frame(HEADERS, END_HEADERS, 1, POST);
    // A field of 4,000 bytes goes into the table once and is named by one byte a thousand times.
    let bomb = [GET, &[0x40, 1, b'x', 0x7f, 0xa1, 0x1e], &[b'y'; 4000], &[0xbe; 1000]].concat();
    let attacks = [
        ("CONTINUATION", [open.clone(), frame(CONTINUATION, 0, 1, &[]).repeat(10_000)].concat()),
        ("CONTINUATION with fields", [open, frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'y']).repeat(10_000)].concat()),
        ("empty DATA", [upload.clone(), frame(DATA, 0, 1, &[]).repeat(10_000)].concat()),
        ("DATA of one byte", [upload, frame(DATA, 0, 1, b"x").repeat(10_000)].concat()),
        ("HPACK bomb", frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)),
    ];
    for (attack, bytes) in attacks {
        let mut client = Raw::connect(&lab, &[]).await;
        client.flood(bytes).await;
        client.is_sent_away(attack).await;
    }
    assert_eq!(get(lab.address(), "/").await.text, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_that_must_be_answered_and_is_not_read_is_held_up_and_ended() {
    let endpoint = Endpoint::named("ok").await;
    let lab = Plan::before(endpoint.address).listener("timeouts: { write: 500ms }").start().await;
    for kind in [PING, SETTINGS] {
        let mut client = Raw::connect(&lab, &[]).await;
        let part = frame(kind, 0, 0, if kind == PING { &[0; 8] } else { &[] }).repeat(1000);
        let (mut sent, most) = (0, 256 * 1024 * 1024);
        // Without a limit, the answers would fill the memory: the proxy reads on only when it has answered.
        let ended = soon(async {
            while sent < most {
                if client.stream.write_all(&part).await.is_err() {
                    return true;
                }
                sent += part.len();
            }
            false
        });
        assert!(ended.await, "type {kind}: {sent} bytes were read");
    }
    assert_eq!(get(lab.address(), "/").await.text, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_never_reads_an_upload_over_http2_gets_no_more_than_windows_and_buffers() {
    const MOST: usize = 32 * 1024 * 1024;
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).route("timeouts: { total: 500ms }").start().await;
    let stream = TcpStream::connect(lab.address()).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut send = soon(send.ready()).await.unwrap();
    let request = Request::post("http://a.test/").body(()).unwrap();
    let (answer, mut body) = send.send_request(request, false).unwrap();
    let mut inside = endpoint.accept().await;
    inside.head().await;
    let mut sent = 0;
    let upload = async {
        loop {
            body.reserve_capacity(64 * 1024);
            match std::future::poll_fn(|cx| body.poll_capacity(cx)).await {
                Some(Ok(room)) if sent < MOST => {
                    sent += room;
                    body.send_data(vec![0; room].into(), false).unwrap();
                }
                _ => break,
            }
        }
    };
    let (answer, ()) = soon(async { tokio::join!(answer, upload) }).await;
    assert_eq!(answer.unwrap().status(), 504);
    assert!(sent < MOST, "{sent} bytes went nowhere but into memory");
    drop(inside);
}
