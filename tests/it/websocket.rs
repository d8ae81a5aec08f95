//! WebSockets: tunnels that both sides can end, that count as in flight for as long as they live.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::lab::{Lab, get, soon};
use crate::wire::{Bare, Canned, Plan, Wire, lab, nobody};

type Socket = WebSocketStream<TcpStream>;

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                      sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Opens a WebSocket through the proxy; returns the client's side and the endpoint's.
async fn open(lab: &Lab, endpoint: &Bare) -> (Socket, Socket) {
    let client = async {
        let stream = TcpStream::connect(lab.address()).await.expect("the proxy should accept");
        let (socket, response) = client_async("ws://agents.example.com/chat", stream).await.expect("a switch");
        assert_eq!(response.status(), 101);
        socket
    };
    let inside = async { accept_async(endpoint.accept().await.stream).await.expect("a switch") };
    soon(async { tokio::join!(client, inside) }).await
}

async fn next(socket: &mut Socket) -> Message {
    soon(socket.next()).await.expect("a message").expect("a good message")
}

/// Reads to the end; returns the last message.
async fn last(mut socket: Socket) -> Option<Message> {
    let mut last = None;
    while let Some(Ok(message)) = socket.next().await {
        last = Some(message);
    }
    last
}

async fn in_flight(lab: &Lab, number: usize) {
    let line = format!("tidegate_endpoint_in_flight{{pool=\"agents\",endpoint=\"a\"}} {number}\n");
    soon(async { while !lab.metrics().await.contains(&line) {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_both_ways_as_they_were_sent() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let (mut client, mut inside) = open(&lab, &endpoint).await;
    for message in
        [Message::text("hello"), Message::binary(vec![0, 255, 1]), Message::Ping("p".into()), Message::text("x".repeat(500_000))]
    {
        client.send(message.clone()).await.unwrap();
        assert_eq!(next(&mut inside).await, message);
    }
    // The answer to the ping came from the endpoint itself.
    inside.flush().await.unwrap();
    assert_eq!(next(&mut client).await, Message::Pong("p".into()));
    for message in [Message::text("back"), Message::text("x".repeat(500_000))] {
        inside.send(message.clone()).await.unwrap();
        assert_eq!(next(&mut client).await, message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_can_close() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    for client_first in [true, false] {
        let (client, inside) = open(&lab, &endpoint).await;
        let (mut first, mut second) = if client_first { (client, inside) } else { (inside, client) };
        soon(first.close(None)).await.unwrap();
        assert_eq!(next(&mut second).await, Message::Close(None));
        // Each waits for the other's last word, and the client for the endpoint to hang up.
        let (answer, _) = soon(async { tokio::join!(last(first), last(second)) }).await;
        assert_eq!(answer, Some(Message::Close(None)));
        in_flight(&lab, 0).await;
    }
    let metrics = lab.metrics().await;
    assert!(metrics.contains("tidegate_attempts_total{pool=\"agents\",endpoint=\"a\",outcome=\"completed\"} 2"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_vanishes_takes_the_other_with_it() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    for client_first in [true, false] {
        let (client, inside) = open(&lab, &endpoint).await;
        let (first, mut second) = if client_first { (client, inside) } else { (inside, client) };
        drop(first);
        let end = soon(second.next()).await;
        assert!(matches!(end, Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_)))), "{end:?}");
    }
    in_flight(&lab, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_socket_counts_as_in_flight() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    in_flight(&lab, 0).await;
    let (mut client, mut inside) = open(&lab, &endpoint).await;
    client.send(Message::text("hello")).await.unwrap();
    next(&mut inside).await;
    in_flight(&lab, 1).await;
    let second = open(&lab, &endpoint).await;
    in_flight(&lab, 2).await;
    drop(second);
    in_flight(&lab, 1).await;
    drop((client, inside));
    in_flight(&lab, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_the_endpoint_refuses_is_an_answer() {
    let endpoint = Canned::start("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    // What the client sends behind the request is no request.
    client.send(format!("{ASK}GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 403 ") && head.contains("connection: close"), "{head}");
    assert_eq!(client.rest().await.0, "no");
    assert_eq!(endpoint.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_to_an_endpoint_that_is_not_there_is_an_error() {
    let lab = lab(nobody()).await;
    let stream = TcpStream::connect(lab.address()).await.unwrap();
    let error = soon(client_async("ws://agents.example.com/chat", stream)).await.unwrap_err();
    assert!(matches!(&error, Error::Http(response) if response.status() == 502), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_switch_is_asked_for_and_answered_as_the_protocol_wants() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(ASK).await;
    let mut inside = endpoint.accept().await;
    let head = inside.head().await;
    for line in
        ["GET /chat HTTP/1.1\r\n", "\r\nconnection: upgrade\r\n", "\r\nupgrade: WebSocket\r\n", "\r\nsec-websocket-key: dGhl"]
    {
        assert!(head.contains(line), "{line:?} {head}");
    }
    // The first bytes of the tunnel may come with the answer.
    inside.send(format!("{SWITCH}first")).await;
    let head = client.head().await;
    for line in ["HTTP/1.1 101 ", "\r\nconnection: upgrade\r\n", "\r\nupgrade: websocket\r\n", "\r\nsec-websocket-accept: s3pP"] {
        assert!(head.contains(line), "{line:?} {head}");
    }
    assert_eq!(client.exactly(5).await, "first");
    client.send("\0\r\n anything").await;
    assert_eq!(inside.exactly(12).await, "\0\r\n anything");
    // One direction may end before the other.
    client.finish().await;
    inside.ended().await;
    inside.send("still here").await;
    assert_eq!(client.exactly(10).await, "still here");
    drop(inside);
    client.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_a_client_sends_before_the_switch_are_kept() {
    let endpoint = Bare::listen().await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(format!("{ASK}early")).await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    inside.send(SWITCH).await;
    client.head().await;
    assert_eq!(inside.exactly(5).await, "early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_to_nothing_is_an_error() {
    let endpoint = Canned::start("HTTP/1.1 101 Switching Protocols\r\n\r\n").await;
    let lab = lab(endpoint.address).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(ASK).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 502 ") && head.contains("connection: close"), "{head}");
    assert!(client.rest().await.0.contains("\"reason\":\"upgrade_failed\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_nobody_asked_for_is_an_error() {
    let endpoint = Canned::start(SWITCH).await;
    let lab = lab(endpoint.address).await;
    let answer = get(lab.address(), "/").await;
    assert_eq!((answer.status(), answer.json()["reason"].as_str()), (502, Some("upgrade_failed")), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_that_is_silent_for_too_long_is_ended() {
    let endpoint = Bare::listen().await;
    let lab = Plan::before(endpoint.address).route("timeouts: { idle: 200ms }").start().await;
    let (mut client, mut inside) = open(&lab, &endpoint).await;
    client.send(Message::text("hello")).await.unwrap();
    next(&mut inside).await;
    assert!(soon(client.next()).await.is_none_or(|end| end.is_err()));
    assert!(soon(inside.next()).await.is_none_or(|end| end.is_err()));
    in_flight(&lab, 0).await;
}
