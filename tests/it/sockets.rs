//! Kinds of sockets: behind a load balancer that speaks the PROXY protocol, Unix sockets, IPv6.

use std::net::SocketAddr;

use tokio::net::{UnixListener, UnixStream};

use crate::lab::{Endpoint, Http1, get, request, soon};
use crate::tls::Authority;
use crate::wire::{Bare, Canned, End, Plan, Wire, lab};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A header of version 2 for TCP over IPv4, or of a command without addresses.
fn version2(command: u8, source: Option<SocketAddr>) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.push(0x20 | command);
    match source {
        Some(SocketAddr::V4(source)) => {
            header.extend_from_slice(&[0x11, 0, 12]);
            header.extend_from_slice(&source.ip().octets());
            header.extend_from_slice(&[10, 0, 0, 1]);
            header.extend_from_slice(&source.port().to_be_bytes());
            header.extend_from_slice(&80_u16.to_be_bytes());
        }
        Some(SocketAddr::V6(source)) => {
            header.extend_from_slice(&[0x21, 0, 36]);
            header.extend_from_slice(&source.ip().octets());
            header.extend_from_slice(&[0; 16]);
            header.extend_from_slice(&source.port().to_be_bytes());
            header.extend_from_slice(&80_u16.to_be_bytes());
        }
        None => header.extend_from_slice(&[0, 0, 0]),
    }
    header
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_header_names_the_client() {
    let endpoint = Endpoint::mirror().await;
    let lab = Plan::before(endpoint.address).listener("proxy_protocol: true").start().await;
    for (header, client) in [
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 5555 80\r\n".to_vec(), "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 5555 80\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (version2(1, Some("203.0.113.9:5555".parse().unwrap())), "203.0.113.9"),
        (version2(1, Some("[2001:db8::9]:5555".parse().unwrap())), "2001:db8::9"),
        (version2(0, None), "127.0.0.1"),
    ] {
        let text = Wire::exchange(lab.address(), [&header, GET.as_bytes()].concat()).await;
        assert!(text.contains(&format!("\nx-forwarded-for: {client}\n")), "{header:?} {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_header_may_come_in_pieces() {
    let endpoint = Endpoint::mirror().await;
    let lab = Plan::before(endpoint.address).listener("proxy_protocol: true").start().await;
    let mut client = Wire::connect(lab.address()).await;
    for byte in b"PROXY TCP4 203.0.113.7 10.0.0.1 5555 80\r\n".iter().chain(GET.as_bytes()) {
        client.send([*byte]).await;
    }
    assert!(client.rest().await.0.contains("\nx-forwarded-for: 203.0.113.7\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_header_stands_before_http2_and_tls_too() {
    let endpoint = Endpoint::mirror().await;
    let lab = Plan::before(endpoint.address).listener("proxy_protocol: true").start().await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("PROXY TCP4 203.0.113.7 10.0.0.1 5555 80\r\n").await;
    let answer = crate::http2::Http2::over(client.stream).await.ask(request("/")).await;
    assert!(answer.text.contains("\nx-forwarded-for: 203.0.113.7\n"), "{}", answer.text);

    let authority = Authority::new();
    let lab = Plan::before(endpoint.address)
        .listener(&format!("proxy_protocol: true, tls: {}", authority.server("a.test")))
        .start()
        .await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(version2(1, Some("203.0.113.9:5555".parse().unwrap()))).await;
    let mut client = Wire::new(authority.client().over(client.stream, "a.test").await.unwrap());
    client.send(GET).await;
    let text = client.rest().await.0;
    assert!(text.contains("\nx-forwarded-for: 203.0.113.9\n") && text.contains("\nx-forwarded-proto: https\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_proxy_header_reaches_nobody() {
    let endpoint = Canned::start("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let lab = Plan::before(endpoint.address).listener("proxy_protocol: true, timeouts: { handshake: 200ms }").start().await;
    for bytes in [
        GET.to_owned(),
        format!("PROXY TCP4 203.0.113.7 10.0.0.1 5555\r\n{GET}"),
        format!("PROXY TCP4 203.0.113.777 10.0.0.1 5555 80\r\n{GET}"),
        format!("PROXY TCP4 203.0.113.7 10.0.0.1 5555 80\n{GET}"),
        format!("PROXY {}\r\n{GET}", "x".repeat(200)),
        // Never whole: the time for the handshake is over.
        "PROXY TCP4 203.0.113.7".to_owned(),
        "\r\n\r\n\0\r\nQUIT\n".to_owned(),
    ] {
        assert_eq!(Wire::exchange(lab.address(), &bytes).await, "", "{bytes:?}");
    }
    assert_eq!(endpoint.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_header_that_is_not_expected_is_no_request() {
    let endpoint = Canned::start("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let lab = lab(endpoint.address).await;
    let text = Wire::exchange(lab.address(), format!("PROXY TCP4 203.0.113.7 10.0.0.1 5555 80\r\n{GET}")).await;
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    assert_eq!(endpoint.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_listens() {
    let endpoint = Endpoint::mirror().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    let _lab = Plan::before(endpoint.address).listener(&format!("bind: \"unix:{}\"", path.display())).start().await;
    for _ in 0..3 {
        let mut client = Wire::new(UnixStream::connect(&path).await.unwrap());
        client.send(GET).await;
        let text = client.rest().await.0;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("\nhost: a\n"), "{text}");
    }
    let mut client = crate::http2::Http2::over(UnixStream::connect(&path).await.unwrap()).await;
    assert_eq!(client.ask(request("/")).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_behind_a_unix_socket_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let lab = lab(format!("unix:{}", path.display())).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: agents.example.com\r\n\r\n").await;
    let mut inside = Wire::new(soon(listener.accept()).await.unwrap().0);
    for round in 0..2 {
        if round > 0 {
            client.send("GET / HTTP/1.1\r\nhost: agents.example.com\r\n\r\n").await;
        }
        assert!(inside.head().await.contains("\r\nhost: agents.example.com\r\n"));
        inside.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        client.head().await;
        assert_eq!(client.exactly(2).await, "ok");
    }
    drop((client, inside));
    // A socket file that nobody serves.
    drop(listener);
    assert_eq!(get(lab.address(), "/").await.json()["reason"], "connection_refused");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(get(lab.address(), "/").await.json()["reason"], "connect_failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ipv6_is_spoken_on_both_sides() {
    let inside = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    let lab = Plan::before(inside.local_addr().unwrap()).listener("bind: \"[::1]:0\"").start().await;
    assert!(lab.address().is_ipv6());
    let mut client = Http1::connect(lab.address()).await;
    let serve = async {
        let mut inside = Wire::new(soon(inside.accept()).await.unwrap().0);
        let head = inside.head().await;
        inside.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        head
    };
    let (answer, head) = tokio::join!(client.ask(request("/")), serve);
    assert_eq!(answer.text, "ok");
    assert!(head.contains("\r\nx-forwarded-for: ::1\r\n") && head.contains("for=\"[::1]\""), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_with_both_families_reaches_the_one_that_answers() {
    let endpoint = Bare::listen().await;
    let lab = lab(format!("localhost:{}", endpoint.address.port())).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send(GET).await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    inside.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    client.head().await;
    assert_eq!(client.rest().await, ("ok".to_owned(), End::Closed));
}
