//! Kinds of sockets: behind a load balancer that speaks the PROXY protocol, Unix sockets, IPv6.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

use crate::lab::{Endpoint, Http1, Lab, full, get, request, soon};
use crate::tls::Authority;
use crate::wire::{Bare, Canned, End, Plan, Wire, lab, once};

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
    let lab = once(format!("unix:{}", path.display())).await;
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
    let inside = TcpListener::bind("[::1]:0").await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_on_every_address_speaks_both_families() {
    let endpoint = Endpoint::mirror().await;
    let lab = Plan::before(endpoint.address).listener("bind: \"[::]:0\"").start().await;
    for client in ["127.0.0.1", "::1"] {
        let address = SocketAddr::new(client.parse().unwrap(), lab.address().port());
        let text = Wire::exchange(address, GET).await;
        assert!(text.contains(&format!("\nx-forwarded-for: {client}\n")), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_a_unix_socket_has_no_address_but_the_one_a_header_names() {
    let endpoint = Endpoint::mirror().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    let bind = format!("bind: \"unix:{}\"", path.display());
    let lab = Plan::before(endpoint.address).listener(&bind).start().await;
    let mut client = Wire::new(UnixStream::connect(&path).await.unwrap());
    client.send(GET).await;
    let text = client.rest().await.0;
    assert!(text.contains("\nforwarded: ") && !text.contains("\nx-forwarded-for: "), "{text}");
    drop(lab);

    let path = folder.path().join("proxied.sock");
    let bind = format!("bind: \"unix:{}\", proxy_protocol: true", path.display());
    let _lab = Plan::before(endpoint.address).listener(&bind).start().await;
    let mut client = Wire::new(UnixStream::connect(&path).await.unwrap());
    client.send([&version2(1, Some("203.0.113.9:5555".parse().unwrap())), GET.as_bytes()].concat()).await;
    let text = client.rest().await.0;
    assert!(text.contains("\nx-forwarded-for: 203.0.113.9\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_a_proxy_header_names_cannot_name_another() {
    let endpoint = Endpoint::mirror().await;
    let lab = Plan::before(endpoint.address).listener("proxy_protocol: true").start().await;
    let request = "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 192.0.2.1\r\nconnection: close\r\n\r\n";
    // The header may carry extensions, which are skipped.
    let mut header = version2(1, Some("203.0.113.9:5555".parse().unwrap()));
    header[15] += 7;
    header.extend_from_slice(&[0x04, 0, 4, 1, 2, 3, 4]);
    let text = Wire::exchange(lab.address(), [&header, request.as_bytes()].concat()).await;
    assert!(text.contains("\nx-forwarded-for: 203.0.113.9\n"), "{text}");
    // A second header is no request.
    let twice = [&header, &header, GET.as_bytes()].concat();
    let text = Wire::exchange(lab.address(), twice).await;
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
}

/// An HTTP/2 endpoint that answers with the number of the connection and the client; each worker has one connection to it, so the number
/// tells the worker.
struct Numbering {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Numbering {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, SeqCst);
                let service = service_fn(move |request: Request<Incoming>| async move {
                    let client = request.headers().get("x-forwarded-for").map_or("", |value| value.to_str().unwrap_or("?"));
                    Ok::<_, std::convert::Infallible>(Response::new(full(format!("{number} {client}"))))
                });
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, connections }
    }

    /// Starts a proxy of two workers before it.
    async fn behind_two_workers(&self, listener: &str) -> Lab {
        let plan = Plan::before(self.address).listener(listener).pool("upstream: { protocol: http2 }");
        Lab::start(&plan.yaml().replace("workers: 1", "workers: 2")).await
    }
}

/// Asks on an open connection; returns the worker's number and the client that the endpoint was told of.
async fn asked(wire: &mut Wire<impl AsyncRead + AsyncWrite + Unpin>) -> (usize, String) {
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = wire.head().await;
    let length = head.split_once("\r\ncontent-length: ").and_then(|(_, rest)| rest.split("\r\n").next());
    let text = wire.exactly(length.expect("a length").parse().expect("a number")).await;
    let (number, client) = text.split_once(' ').expect("a number and a client");
    (number.parse().expect("a number"), client.to_owned())
}

async fn connect_from(source: SocketAddr, address: SocketAddr) -> Wire {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("the option exists");
    socket.bind(source).expect("the whole of 127.0.0.0/8 is loopback");
    let stream: TcpStream = soon(socket.connect(address)).await.expect("the proxy should accept");
    let wire = Wire::new(stream);
    // The port is free again at once.
    wire.reset_on_drop();
    wire
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_one_worker_accepts_are_handed_to_the_other() {
    let endpoint = Numbering::start().await;
    let lab = endpoint.behind_two_workers("bind: \"127.0.0.1:0\"").await;
    // A client that is alone stays with the worker that accepted it, and the kernel gives an address always to the same one.
    let (mut accepting, mut sources) = (None, BTreeSet::new());
    while sources.len() < 12 {
        let mut alone = connect_from("127.0.0.2:0".parse().unwrap(), lab.address()).await;
        let (worker, _) = asked(&mut alone).await;
        if *accepting.get_or_insert(worker) == worker {
            sources.insert(alone.stream.local_addr().unwrap());
        }
        drop(alone);
        soon(async { while !lab.metrics().await.contains("tidegate_connections_open{listener=\"public\"} 0\n") {} }).await;
    }
    let mut held = Vec::new();
    for source in sources {
        let mut wire = connect_from(source, lab.address()).await;
        let (worker, client) = asked(&mut wire).await;
        // Whoever serves it knows where it came from.
        assert_eq!(client, "127.0.0.2");
        held.push((wire, worker));
    }
    let handed = held.iter().filter(|(_, worker)| Some(*worker) != accepting).count();
    assert!((4..=7).contains(&handed), "{handed} of {} were handed over", held.len());
    // And there it stays.
    for (wire, worker) in &mut held {
        assert_eq!(asked(wire).await.0, *worker);
    }
    assert_eq!(endpoint.connections.load(SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_workers_serve_the_connections_of_one_unix_socket() {
    let endpoint = Numbering::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    let _lab = endpoint.behind_two_workers(&format!("bind: \"unix:{}\"", path.display())).await;
    let (mut held, mut served) = (Vec::new(), [0, 0]);
    for _ in 0..12 {
        let mut wire = Wire::new(UnixStream::connect(&path).await.unwrap());
        served[asked(&mut wire).await.0] += 1;
        held.push(wire);
    }
    assert!(served.iter().all(|count| *count >= 4), "{served:?}");
}
