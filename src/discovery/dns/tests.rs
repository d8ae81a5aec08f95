use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record};
use tokio::net::UdpSocket;

use crate::discovery::names::follow;
use crate::discovery::{Found, Watch};
use crate::model::Dns;

use super::*;

/// A name server that says what it is told to.
#[derive(Clone)]
struct Server {
    records: Arc<std::sync::Mutex<HashMap<String, Reply>>>,
    asked: Arc<AtomicUsize>,
    address: SocketAddr,
}

#[derive(Clone)]
enum Reply {
    /// These addresses, for so many seconds.
    A(Vec<[u8; 4]>, u32),
    Code(ResponseCode),
    /// These addresses, and silence for the other family.
    OnlyA(Vec<[u8; 4]>),
}

impl Server {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = Self { records: Arc::default(), asked: Arc::default(), address: socket.local_addr().unwrap() };
        let running = server.clone();
        tokio::spawn(async move {
            let mut bytes = [0; 1500];
            while let Ok((len, peer)) = socket.recv_from(&mut bytes).await {
                if let Some(answer) = running.answer(&bytes[..len]) {
                    socket.send_to(&answer, peer).await.unwrap();
                }
            }
        });
        server
    }

    fn set(&self, name: &str, reply: Reply) {
        self.records.lock().unwrap().insert(name.to_owned(), reply);
    }

    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).ok()?;
        let query = question.queries.first()?.clone();
        let name = query.name().to_ascii().to_ascii_lowercase();
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let reply = self.records.lock().unwrap().get(&name).cloned();
        match reply {
            Some(Reply::OnlyA(_)) if query.query_type() != RecordType::A => return None,
            Some(Reply::OnlyA(addresses)) => {
                for address in addresses {
                    answer.add_answer(Record::from_rdata(query.name().clone(), 9, RData::A(Ipv4Addr::from(address).into())));
                }
            }
            Some(Reply::A(addresses, ttl)) if query.query_type() == RecordType::A => {
                self.asked.fetch_add(1, Ordering::Relaxed);
                for address in addresses {
                    answer.add_answer(Record::from_rdata(query.name().clone(), ttl, RData::A(Ipv4Addr::from(address).into())));
                }
            }
            Some(Reply::A(..)) => {}
            Some(Reply::Code(code)) => answer.metadata.response_code = code,
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        answer.to_vec().ok()
    }

    fn resolver(&self) -> Resolver {
        let mut connection = ConnectionConfig::udp();
        connection.port = self.address.port();
        let mut server = NameServerConfig::udp(self.address.ip());
        server.connections = vec![connection];
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let mut options = ResolverOpts::default();
        options.timeout = Duration::from_secs(5);
        options.attempts = 0;
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(&b"10.0.0.9 in-hosts.test\n"[..]).unwrap();
        Resolver::with_config(Handle::current(), config, options, hosts).unwrap()
    }
}

fn ips(addresses: &[[u8; 4]]) -> Vec<IpAddr> {
    addresses.iter().copied().map(IpAddr::from).collect()
}

/// Lets what is remembered of a name run out.
fn expire(resolver: &Resolver, name: &str) {
    let entry = Arc::clone(&resolver.inner.names.get(name).unwrap());
    let known = entry.known().unwrap();
    entry.remember(Known { until: Instant::now(), ..known });
}

#[tokio::test]
async fn a_name_yields_its_addresses_sorted_and_once() {
    let server = Server::start().await;
    server.set("a.test.", Reply::A(vec![[10, 0, 0, 2], [10, 0, 0, 1], [10, 0, 0, 2]], 60));
    assert_eq!(*server.resolver().lookup("a.test").await.unwrap(), *ips(&[[10, 0, 0, 1], [10, 0, 0, 2]]));
}

#[tokio::test]
async fn an_answer_is_asked_for_once_while_it_holds() {
    let server = Server::start().await;
    server.set("a.test.", Reply::A(vec![[10, 0, 0, 1]], 60));
    let resolver = server.resolver();
    let (first, second) = tokio::join!(resolver.lookup("a.test"), resolver.lookup("a.test"));
    assert_eq!(first, second);
    resolver.lookup("a.test").await.unwrap();
    assert_eq!(server.asked.load(Ordering::Relaxed), 1);
    expire(&resolver, "a.test");
    resolver.lookup("a.test").await.unwrap();
    assert_eq!(server.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn the_time_to_live_is_honoured_within_bounds() {
    let server = Server::start().await;
    let resolver = server.resolver();
    for (name, ttl, least, most) in [("short.test.", 0, 0, 1), ("mid.test.", 30, 28, 30), ("long.test.", 86_400, 298, 300)] {
        server.set(name, Reply::A(vec![[10, 0, 0, 1]], ttl));
        resolver.lookup(name).await.unwrap();
        let left = resolver.inner.names.get(name).unwrap().known().unwrap().until - Instant::now();
        assert!((Duration::from_secs(least)..=Duration::from_secs(most)).contains(&left), "{name} {left:?}");
    }
}

#[tokio::test]
async fn a_name_that_fails_keeps_its_old_addresses() {
    let server = Server::start().await;
    server.set("a.test.", Reply::A(vec![[10, 0, 0, 1]], 60));
    let resolver = server.resolver();
    let known = resolver.lookup("a.test").await.unwrap();
    server.set("a.test.", Reply::Code(ResponseCode::ServFail));
    expire(&resolver, "a.test");
    assert_eq!(resolver.lookup("a.test").await.unwrap(), known);
    server.set("a.test.", Reply::Code(ResponseCode::NXDomain));
    expire(&resolver, "a.test");
    assert_eq!(resolver.lookup("a.test").await, Err(ResolveError::NoAddress("a.test".into())));
}

#[tokio::test]
async fn a_name_that_never_resolved_fails() {
    let server = Server::start().await;
    server.set("bad.test.", Reply::Code(ResponseCode::ServFail));
    let resolver = server.resolver();
    assert!(matches!(resolver.lookup("bad.test").await, Err(ResolveError::Failed { .. })));
    assert_eq!(resolver.lookup("unknown.test").await, Err(ResolveError::NoAddress("unknown.test".into())));
}

#[tokio::test]
async fn localhost_needs_no_name_server() {
    let server = Server::start().await;
    let found = server.resolver().lookup("localhost").await.unwrap();
    assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn the_hosts_file_is_asked_first_and_alone() {
    let server = Server::start().await;
    server.set("in-hosts.test.", Reply::A(vec![[10, 0, 0, 1]], 60));
    assert_eq!(*server.resolver().lookup("in-hosts.test").await.unwrap(), *ips(&[[10, 0, 0, 9]]));
    assert_eq!(server.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_family_that_never_answers_does_not_hold_up_the_other() {
    let server = Server::start().await;
    server.set("a.test.", Reply::OnlyA(vec![[10, 0, 0, 1]]));
    let resolver = server.resolver();
    let found = resolver.lookup("a.test");
    assert_eq!(*timeout(Duration::from_secs(3), found).await.unwrap().unwrap(), *ips(&[[10, 0, 0, 1]]));
}

#[test]
fn a_look_up_can_be_awaited_on_another_runtime() {
    let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let resolver = control.block_on(async {
        let server = Server::start().await;
        server.set("a.test.", Reply::A(vec![[10, 0, 0, 1]], 60));
        server.resolver()
    });
    // A worker without I/O and clock of its own: nothing may depend on them.
    let worker = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(*worker.block_on(resolver.lookup("a.test")).unwrap(), *ips(&[[10, 0, 0, 1]]));
}

#[tokio::test]
async fn a_watch_follows_the_addresses_of_a_name() {
    let server = Server::start().await;
    server.set("a.test.", Reply::A(vec![[10, 0, 0, 2], [10, 0, 0, 1]], 0));
    let dns = Dns { host: "a.test".to_owned(), port: 80, min_interval: Duration::ZERO, max_interval: Duration::from_millis(100) };
    let mut watch = Watch::start(|sender| follow(dns, server.resolver(), sender));
    let found = |addresses: &[[u8; 4]]| Some(addresses.iter().map(|ip| Found::at((*ip, 80).into())).collect::<Vec<_>>());
    assert!(watch.changed().await);
    assert_eq!(watch.current(), found(&[[10, 0, 0, 1], [10, 0, 0, 2]]));
    server.set("a.test.", Reply::A(vec![[10, 0, 0, 3]], 0));
    assert!(watch.changed().await);
    assert_eq!(watch.current(), found(&[[10, 0, 0, 3]]));
    server.set("a.test.", Reply::Code(ResponseCode::NXDomain));
    assert!(watch.changed().await);
    assert_eq!(watch.current(), Some(vec![]));
}
