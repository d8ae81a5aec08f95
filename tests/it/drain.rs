//! The end of the process: what runs ends in peace, as long as the config allows.

use std::net::SocketAddr;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::agent::{Agent, piece};
use crate::child::Process;
use crate::client::refused;
use crate::lab::{Endpoint, Http1, get, request, soon};

fn config(endpoint: SocketAddr, drain: &str) -> String {
    format!(
        "listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}]\n\
         pools: {{ agents: {{ endpoints: [{{ id: a, address: {endpoint} }}] }} }}\n\
         drain: {drain}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_the_running_stream_and_refuses_the_rest() {
    let mut agent = Agent::start().await;
    let mut process = Process::start(&config(agent.address, "{ timeout: 60s }")).await;
    assert_eq!(get(process.admin, "/readyz").await.status(), 200);
    let mut client = Http1::connect(process.address).await;
    let mut stream = client.send(request("/events")).await.unwrap().into_body();
    let say = agent.next().await;

    process.signal(Signal::TERM);
    process.says("Draining.").await;
    let ready = get(process.admin, "/readyz").await;
    assert_eq!((ready.status(), &ready.json()["ready"]), (503, &false.into()));
    assert_eq!(get(process.admin, "/healthz").await.status(), 200, "a process that drains is alive");
    refused(process.address).await;

    say.send("still running").unwrap();
    assert_eq!(piece(&mut stream).await.as_deref(), Some("still running"));
    drop(say);
    assert_eq!(piece(&mut stream).await, None);
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_does_not_end_is_cut_after_the_drain_timeout() {
    let mut agent = Agent::start().await;
    let mut process = Process::start(&config(agent.address, "{ timeout: 300ms }")).await;
    let mut client = Http1::connect(process.address).await;
    let mut stream = client.send(request("/events")).await.unwrap().into_body();
    let say = agent.next().await;
    process.signal(Signal::INT);
    assert_eq!(process.ended().await.code(), Some(0));
    let cut = soon(http_body_util::BodyExt::frame(&mut stream)).await;
    assert!(matches!(cut, Some(Err(_))), "a stream that was cut must not look complete: {cut:?}");
    drop(say);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once() {
    let mut agent = Agent::start().await;
    let mut process = Process::start(&config(agent.address, "{ timeout: 10m }")).await;
    let mut client = Http1::connect(process.address).await;
    let _stream = client.send(request("/events")).await.unwrap();
    let _say = agent.next().await;
    process.signal(Signal::TERM);
    process.says("Draining.").await;
    process.signal(Signal::TERM);
    process.says("Stopped at once by a second signal.").await;
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_does_not_keep_the_process() {
    let endpoint = Endpoint::named("a").await;
    let mut process = Process::start(&config(endpoint.address, "{ timeout: 10m }")).await;
    let mut used = Http1::connect(process.address).await;
    assert_eq!(used.ask(request("/")).await.text, "a");
    let mut unused = TcpStream::connect(process.address).await.unwrap();
    process.signal(Signal::TERM);
    process.says("Draining.").await;
    assert_eq!(soon(unused.read(&mut [0])).await.ok(), Some(0), "an unused connection should be closed in order");
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_answer_on_a_connection_says_close() {
    let mut agent = Agent::start().await;
    let mut process = Process::start(&config(agent.address, "{ timeout: 10m }")).await;
    // A stream elsewhere keeps the process, so that the next request meets a proxy that drains.
    let mut other = Http1::connect(process.address).await;
    let mut stream = other.send(request("/events")).await.unwrap().into_body();
    let say = agent.next().await;
    let mut client = TcpStream::connect(process.address).await.unwrap();
    // Half a request: the connection is in use when the signal comes.
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    process.signal(Signal::TERM);
    process.says("Draining.").await;
    refused(process.address).await;
    client.write_all(b"\r\n").await.unwrap();
    drop(agent.next().await);
    let mut answer = String::new();
    soon(client.read_to_string(&mut answer)).await.expect("an answer, then the end");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    drop(say);
    assert_eq!(piece(&mut stream).await, None);
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_client_is_told_to_go_away_and_its_stream_completes() {
    let mut agent = Agent::start().await;
    let mut process = Process::start(&config(agent.address, "{ timeout: 10m }")).await;
    let mut client = Frames::connect(process.address).await;
    client.get().await;
    let say = agent.next().await;
    process.signal(Signal::TERM);
    client.until(GOAWAY).await;
    say.send("last words").unwrap();
    assert_eq!(client.until(DATA).await, b"last words");
    drop(say);
    assert_eq!(client.until(DATA).await, b"", "the stream should be ended, not reset");
    assert_eq!(process.ended().await.code(), Some(0));
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// An HTTP/2 client that sees frames: those of a library hide GOAWAY.
struct Frames(TcpStream);

impl Frames {
    async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut client = Self(stream);
        client.write(SETTINGS, 0, 0, b"").await;
        client
    }

    /// Asks for `/` on stream 1: GET, http and `/` of the static table, `:authority` as a literal (RFC 7541 sections 6.1 and 6.2.2).
    async fn get(&mut self) {
        const END_STREAM_AND_HEADERS: u8 = 5;
        self.write(HEADERS, END_STREAM_AND_HEADERS, 1, b"\x82\x86\x84\x01\x01a").await;
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
        let head = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        self.0.write_all(&[&head, payload].concat()).await.unwrap();
    }

    /// Reads up to the next frame of a kind and returns its payload; acknowledges what must be acknowledged.
    async fn until(&mut self, wanted: u8) -> Vec<u8> {
        const ACK: u8 = 1;
        loop {
            let mut head = [0; 9];
            soon(self.0.read_exact(&mut head)).await.expect("a frame");
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            soon(self.0.read_exact(&mut payload)).await.expect("a whole frame");
            let (kind, acknowledged) = (head[3], head[4] & ACK != 0);
            assert_ne!(kind, RESET, "the stream should not be reset");
            match kind {
                _ if kind == wanted => return payload,
                SETTINGS | PING if !acknowledged => {
                    let echo = if kind == PING { payload } else { Vec::new() };
                    self.write(kind, ACK, 0, &echo).await;
                }
                _ => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_connections_are_taken_during_the_drain_delay() {
    let endpoint = Endpoint::named("a").await;
    let mut process = Process::start(&config(endpoint.address, "{ delay: 1s, timeout: 10m }")).await;
    process.signal(Signal::TERM);
    process.says("Draining.").await;
    assert_eq!(get(process.admin, "/readyz").await.status(), 503);
    assert_eq!(get(process.address, "/").await.text, "a", "load balancers need time to see that it is not ready");
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_does_not_open_a_proxy_again_that_stops() {
    let mut agent = Agent::start().await;
    let mut process = Process::start(&config(agent.address, "{ timeout: 10m }")).await;
    let mut client = Http1::connect(process.address).await;
    let mut stream = client.send(request("/events")).await.unwrap().into_body();
    let say = agent.next().await;
    process.signal(Signal::TERM);
    process.says("Draining.").await;
    refused(process.address).await;
    let answer = crate::client::admin(process.admin, http::Method::POST, "/api/v1/config/reload", "").await;
    assert_eq!(answer.status(), 422, "{}", answer.text);
    assert!(answer.text.contains("stopping"), "{}", answer.text);
    assert!(TcpStream::connect(process.address).await.is_err());
    drop(say);
    assert_eq!(piece(&mut stream).await, None);
    assert_eq!(process.ended().await.code(), Some(0));
}
