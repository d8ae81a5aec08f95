use std::sync::Mutex;

use socket2::{Domain, Socket as RawSocket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use crate::model::Upstream;
use crate::upstream::clock::after;

use super::*;

fn target(address: &str) -> Target {
    Target { address: address.parse().unwrap(), tls: None, settings: Arc::new(Upstream::default()) }
}

fn lookup(answer: Result<Vec<IpAddr>, &'static str>) -> Lookup {
    Arc::new(move |_| {
        let answer = answer.clone().map(Arc::from).map_err(Box::from);
        Box::pin(std::future::ready(answer))
    })
}

fn nobody() -> Lookup {
    lookup(Err("no look-up expected"))
}

async fn dial(address: &str, lookup: &Lookup) -> Result<Stream, SendFailure> {
    connect(&target(address), lookup, after(Duration::from_secs(5))).await
}

/// A port that is closed, and stays so: it is bound, but nobody listens.
fn closed_port() -> (RawSocket, SocketAddr) {
    let socket = RawSocket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A listener whose backlog is full, so that a connection to it stays unanswered.
async fn full_listener() -> (RawSocket, Vec<TcpStream>, SocketAddr) {
    let socket = RawSocket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut filling = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        filling.push(stream);
    }
    (socket, filling, address)
}

#[tokio::test]
async fn a_tcp_stream_has_no_delay_and_is_kept_alive() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let Stream::Plain(Socket::Tcp(stream)) = dial(&address, &nobody()).await.unwrap() else { panic!("not TCP") };
    assert!(stream.nodelay().unwrap());
    assert!(SockRef::from(&stream).keepalive().unwrap());
    assert_eq!(SockRef::from(&stream).tcp_keepalive_time().unwrap(), Duration::from_secs(60));
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let (_socket, address) = closed_port();
    let failure = dial(&address.to_string(), &nobody()).await.unwrap_err();
    assert_eq!((failure.reason, failure.sent), (Reason::ConnectRefusedByEndpoint, false));
}

#[tokio::test]
async fn a_silent_endpoint_runs_into_the_deadline() {
    let (_socket, _filling, address) = full_listener().await;
    let deadline = after(Duration::from_millis(50));
    let failure = connect(&target(&address.to_string()), &nobody(), deadline).await.unwrap_err();
    assert_eq!((failure.reason, failure.sent), (Reason::ConnectTimeout, false));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_the_look_up() {
    let never: Lookup = Arc::new(|_| Box::pin(std::future::pending()));
    let start = Instant::now();
    let failure = dial("agents.test:80", &never).await.unwrap_err();
    assert_eq!(failure.reason, Reason::ConnectTimeout);
    assert_eq!(start.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_named_unresolved() {
    let failure = dial("agents.test:80", &lookup(Err("no such name"))).await.unwrap_err();
    assert_eq!((failure.reason, failure.detail.as_ref()), (Reason::NameUnresolved, "no such name"));
    let failure = dial("agents.test:80", &lookup(Ok(vec![]))).await.unwrap_err();
    assert_eq!(failure.reason, Reason::NameUnresolved);
}

#[tokio::test]
async fn the_look_up_is_asked_for_the_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |name| {
        log.lock().unwrap().push(name.to_owned());
        Box::pin(std::future::ready(Ok(Arc::from([IpAddr::from([127, 0, 0, 1])]))))
    });
    let address = format!("agents.test:{}", listener.local_addr().unwrap().port());
    dial(&address, &lookup).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["agents.test"]);
}

#[tokio::test]
async fn an_address_that_refuses_gives_way_to_the_next() {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let address = format!("agents.test:{}", listener.local_addr().unwrap().port());
    let found = vec![IpAddr::from([127, 0, 0, 3]), IpAddr::from([127, 0, 0, 2])];
    let Stream::Plain(Socket::Tcp(stream)) = dial(&address, &lookup(Ok(found))).await.unwrap() else { panic!("not TCP") };
    assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
}

#[tokio::test]
async fn an_address_that_is_silent_is_overtaken_by_the_next() {
    let (_socket, _filling, silent) = full_listener().await;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 2], silent.port()))).await.unwrap();
    let address = format!("agents.test:{}", silent.port());
    let found = vec![silent.ip(), IpAddr::from([127, 0, 0, 2])];
    let start = std::time::Instant::now();
    let Stream::Plain(Socket::Tcp(stream)) = dial(&address, &lookup(Ok(found))).await.unwrap() else { panic!("not TCP") };
    assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    assert!(start.elapsed() >= ATTEMPT_DELAY);
}

#[test]
fn families_take_turns_and_keep_their_order() {
    let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
    let found = parse(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "fd00::2"]);
    assert_eq!(interleave(&found), parse(&["fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2", "10.0.0.3"]));
    assert_eq!(interleave(&[]), parse(&[]));
}

#[tokio::test]
async fn a_unix_socket_carries_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let address = format!("unix:{}", path.display());
    assert_eq!(dial(&address, &nobody()).await.unwrap_err().reason, Reason::ConnectFailed);
    let listener = UnixListener::bind(&path).unwrap();
    let mut stream = dial(&address, &nobody()).await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut read = [0; 4];
    peer.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"ping");
}
