//! TLS on both sides: what is negotiated, who is trusted, and certificates that change while streams run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Response;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::http2::Http2;
use crate::lab::{Endpoint, Lab, full, get, read, request, soon};
use crate::wire::{Bare, End, Plan, Wire, lab};
use crate::written::Written;

const GET: &str = "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";

/// A certificate authority, and files of what it issued.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    /// Makes one that nobody else trusts.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        Self { issuer, folder: tempfile::tempdir().expect("a folder") }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// Returns the file of its own certificate.
    pub fn ca(&self) -> String {
        self.file("ca.pem", &self.issuer.pem()).display().to_string()
    }

    /// Issues a certificate for `name`, as PEM files; returns the two keys of the config.
    fn issue(&self, name: &str) -> String {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let certificate = self.file(&format!("{name}.pem"), &certificate.pem());
        let key = self.file(&format!("{name}.key"), &key.serialize_pem());
        format!("certificate: \"{}\", key: \"{}\"", certificate.display(), key.display())
    }

    /// Issues a certificate for `name` into another folder, as a renewal does.
    fn renew(&self, name: &str, folder: &Path) {
        self.issue(name);
        for end in ["pem", "key"] {
            self.hand_over(&format!("{name}.{end}"), folder);
        }
    }

    fn hand_over(&self, file: &str, folder: &Path) {
        std::fs::copy(self.folder.path().join(file), folder.join(file)).expect("a file");
    }

    /// Issues a certificate for `name`; returns the `tls` of a listener.
    pub fn server(&self, name: &str) -> String {
        format!("{{ {} }}", self.issue(name))
    }

    fn issued(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        self.issue(name);
        let path = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        let certificate = CertificateDer::from_pem_file(path("pem")).expect("a certificate");
        (vec![certificate], PrivateKeyDer::from_pem_file(path("key")).expect("a key"))
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a certificate");
        Arc::new(roots)
    }

    /// Returns a client that trusts it.
    pub fn client(&self) -> Client {
        Client::new(self, &[&version::TLS13, &version::TLS12], &[], None)
    }

    /// Returns the config of an endpoint for `agents.test`; `clients` are asked for a certificate of this authority.
    pub fn endpoint(&self, alpn: &[&str], clients: Option<&Self>) -> ServerConfig {
        self.endpoint_named("agents.test", alpn, clients)
    }

    fn endpoint_named(&self, name: &str, alpn: &[&str], clients: Option<&Self>) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().expect("versions");
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(clients.roots(), provider).build().expect("a verifier"),
            ),
            None => builder.with_no_client_auth(),
        };
        let (chain, key) = self.issued(name);
        let mut config = builder.with_single_cert(chain, key).expect("a pair");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// A TLS client, with its memory of sessions.
#[derive(Clone)]
pub struct Client(Arc<ClientConfig>);

impl Client {
    fn new(
        trusted: &Authority,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
        own: Option<(&Authority, &str)>,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
        let builder = builder.with_root_certificates(trusted.roots());
        let mut config = match own {
            Some((authority, name)) => {
                let (chain, key) = authority.issued(name);
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self(Arc::new(config))
    }

    /// Speaks TLS over an open stream.
    pub async fn over(&self, stream: TcpStream, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        soon(TlsConnector::from(self.0.clone()).connect(name, stream)).await
    }

    async fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        self.over(TcpStream::connect(address).await?, name).await
    }

    /// Asks once; `None` when the connection is refused, in the handshake or after it.
    async fn ask(&self, address: SocketAddr, name: &str) -> Option<String> {
        let mut stream = self.connect(address, name).await.ok()?;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let request = format!("GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
        soon(stream.write_all(request.as_bytes())).await.ok()?;
        let mut text = String::new();
        soon(stream.read_to_string(&mut text)).await.ok()?;
        (!text.is_empty()).then_some(text)
    }
}

/// Starts a proxy whose listener speaks TLS as `tls` says.
async fn secure(endpoint: &Endpoint, tls: &str) -> Lab {
    Plan::before(endpoint.address).listener(&format!("tls: {tls}")).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alpn_chooses_the_protocol() {
    let endpoint = Endpoint::mirror().await;
    let authority = Authority::new();
    let lab = secure(&endpoint, &authority.server("a.test")).await;
    let both = [&version::TLS13, &version::TLS12];
    for (offered, chosen) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&["http/1.1", "h2"], Some("h2")), (&[], None)]
    {
        let client = Client::new(&authority, &both, offered, None);
        let stream = client.connect(lab.address(), "a.test").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen.map(str::as_bytes), "{offered:?}");
        let text = if chosen == Some("h2") {
            Http2::over(stream).await.ask(request("/")).await.text
        } else {
            let mut wire = Wire::new(stream);
            wire.send("GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").await;
            wire.rest().await.0
        };
        assert!(text.contains("\nx-forwarded-proto: https\n"), "{text}");
    }
    let strange = Client::new(&authority, &both, &["spdy/3"], None);
    assert!(strange.connect(lab.address(), "a.test").await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_in_order_after_a_switch_that_did_not_happen() {
    let endpoint = Endpoint::named("a").await;
    let authority = Authority::new();
    let lab = secure(&endpoint, &authority.server("a.test")).await;
    for protocol in ["h2c", "websocket"] {
        let stream = authority.client().connect(lab.address(), "a.test").await.unwrap();
        let mut wire = Wire::new(stream);
        let asks = format!("GET / HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n");
        wire.send(&asks).await;
        let head = wire.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(wire.exactly(1).await, "a");
        if protocol == "h2c" {
            // The field is ignored, and the connection goes on.
            for _ in 0..2 {
                wire.send(&asks).await;
                wire.head().await;
                assert_eq!(wire.exactly(1).await, "a");
            }
            wire.send("GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").await;
            wire.head().await;
            assert_eq!(wire.exactly(1).await, "a");
        }
        // Without close_notify this would be an error.
        assert_eq!(wire.ended().await, End::Closed, "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let endpoint = Endpoint::mirror().await;
    let authority = Authority::new();
    let tls = format!("{{ {}, certificates: [{{ {} }}] }}", authority.issue("a.test"), authority.issue("*.b.test"));
    let lab = secure(&endpoint, &tls).await;
    let client = authority.client();
    for name in ["a.test", "x.b.test", "y.b.test"] {
        assert!(client.ask(lab.address(), name).await.is_some(), "{name}");
    }
    // The first certificate is the fallback: it does not fit, and the client says so.
    let error = client.connect(lab.address(), "c.test").await.unwrap_err().to_string();
    assert!(error.contains("certificate") && error.contains("a.test"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_are_spoken_and_sessions_resumed() {
    let endpoint = Endpoint::mirror().await;
    let authority = Authority::new();
    let lab = secure(&endpoint, &authority.server("a.test")).await;
    for (offered, expected) in [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)] {
        let client = Client::new(&authority, &[offered], &[], None);
        for round in 0..3 {
            let stream = client.connect(lab.address(), "a.test").await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
            let kind = stream.get_ref().1.handshake_kind();
            let resumed = kind == Some(HandshakeKind::Resumed);
            assert_eq!(resumed, round > 0, "{expected:?} {round} {kind:?}");
            // Tickets come with the first answer.
            let mut wire = Wire::new(stream);
            wire.send(GET).await;
            wire.head().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_is_required_where_the_config_says_so() {
    let endpoint = Endpoint::mirror().await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (auth, anonymous_passes) in [("required", false), ("optional", true)] {
        let tls = format!("{{ {}, client_ca: \"{}\", client_auth: {auth} }}", authority.issue("a.test"), authority.ca());
        let lab = secure(&endpoint, &tls).await;
        for offered in [&version::TLS12, &version::TLS13] {
            let passes = async |own| Client::new(&authority, &[offered], &[], own).ask(lab.address(), "a.test").await.is_some();
            assert_eq!(passes(None).await, anonymous_passes, "{auth}");
            assert!(passes(Some((&authority, "client"))).await, "{auth}");
            assert!(!passes(Some((&stranger, "client"))).await, "{auth}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_speak_tls_is_let_go() {
    let endpoint = Endpoint::mirror().await;
    let authority = Authority::new();
    let lab = Plan::before(endpoint.address)
        .listener(&format!("tls: {}, timeouts: {{ handshake: 200ms }}", authority.server("a.test")))
        .start()
        .await;
    let answer = Wire::exchange(lab.address(), GET).await;
    assert!(!answer.contains("HTTP/"), "{answer}");
    assert_eq!(Wire::connect(lab.address()).await.ended().await, End::Closed);
    // Counted once the connection is gone, which the client may see first.
    for kind in ["tls", "timeout"] {
        let line = format!("kind=\"{kind}\"}} 1\n");
        soon(async { while !lab.metrics().await.contains(&line) {} }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_shown_to_new_connections_and_cuts_no_stream() {
    let endpoint = Bare::listen().await;
    let (old, new) = (Authority::new(), Authority::new());
    let lab = Plan::before(endpoint.address).listener(&format!("tls: {}", old.server("a.test"))).start().await;
    let mut client = Wire::new(old.client().connect(lab.address(), "a.test").await.unwrap());
    client.send(GET).await;
    let mut inside = endpoint.accept().await;
    inside.head().await;
    inside.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n").await;
    client.head().await;
    assert_eq!(client.chunk().await, "a");

    new.renew("a.test", old.folder.path());
    lab.proxy.reload().await.unwrap();
    new.client().connect(lab.address(), "a.test").await.unwrap();
    assert!(old.client().connect(lab.address(), "a.test").await.is_err(), "the old certificate is still shown");
    inside.send("1\r\nb\r\n0\r\n\r\n").await;
    assert_eq!(client.chunk().await, "b");
    assert_eq!(client.chunk().await, "");

    // A broken file is refused, and the good one stays in force.
    std::fs::write(old.folder.path().join("a.test.pem"), "nonsense").unwrap();
    let failure = lab.proxy.reload().await.unwrap_err();
    assert!(failure.problems.iter().any(|problem| problem.contains("a.test.pem")), "{failure:?}");
    new.client().connect(lab.address(), "a.test").await.unwrap();
}

/// Serves TLS, and whatever HTTP ALPN chooses; answers with the version and whether the client showed a certificate.
async fn tls_endpoint(config: ServerConfig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let session = stream.get_ref().1;
                let http2 = session.alpn_protocol() == Some(b"h2");
                let shown = session.peer_certificates().map_or("anonymous", |_| "known");
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| async move {
                    Ok::<_, std::convert::Infallible>(Response::new(full(format!("{:?} {shown}", request.version()))))
                });
                // How a connection ends is the proxy's business.
                let _ = if http2 {
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                } else {
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
                };
            });
        }
    });
    address
}

async fn upstream(address: SocketAddr, settings: &str) -> crate::lab::Answer {
    let lab = Plan::before(address).pool(&format!("upstream: {{ {settings} }}")).start().await;
    get(lab.address(), "/").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_trusted_by_its_authority_and_name_alone() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let address = tls_endpoint(authority.endpoint(&[], None)).await;
    let good = upstream(address, &format!("tls: {{ ca: \"{}\", server_name: agents.test }}", authority.ca())).await;
    assert_eq!((good.status(), good.text.as_str()), (200, "HTTP/1.1 anonymous"));
    for tls in [
        format!("{{ ca: \"{}\", server_name: agents.test }}", stranger.ca()),
        format!("{{ ca: \"{}\", server_name: other.test }}", authority.ca()),
        // Without a name the address is checked, for which the certificate was not issued.
        format!("{{ ca: \"{}\" }}", authority.ca()),
    ] {
        let answer = upstream(address, &format!("tls: {tls}")).await;
        assert_eq!((answer.status(), answer.json()["reason"].as_str()), (502, Some("tls_certificate")), "{tls} {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alpn_chooses_the_protocol_of_an_endpoint() {
    let authority = Authority::new();
    let tls = format!("tls: {{ ca: \"{}\", server_name: agents.test }}", authority.ca());
    for (spoken, protocol, expected) in [
        (&["h2", "http/1.1"][..], "auto", "HTTP/2.0 anonymous"),
        (&["http/1.1"], "auto", "HTTP/1.1 anonymous"),
        (&["h2", "http/1.1"], "http1", "HTTP/1.1 anonymous"),
        (&["h2"], "http2", "HTTP/2.0 anonymous"),
    ] {
        let address = tls_endpoint(authority.endpoint(spoken, None)).await;
        assert_eq!(upstream(address, &format!("protocol: {protocol}, {tls}")).await.text, expected, "{spoken:?} {protocol}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_asks_gets_the_client_certificate() {
    let (authority, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let address = tls_endpoint(authority.endpoint(&[], Some(&clients))).await;
    let tls = |own: &str| format!("tls: {{ ca: \"{}\", server_name: agents.test{own} }}", authority.ca());
    assert_eq!(upstream(address, &tls(&format!(", {}", clients.issue("proxy")))).await.text, "HTTP/1.1 known");
    for own in [String::new(), format!(", {}", stranger.issue("proxy"))] {
        let answer = upstream(address, &tls(&own)).await;
        assert_eq!((answer.status(), answer.json()["reason"].as_str()), (502, Some("tls_failure")), "{own} {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_without_tls_where_tls_is_expected_is_a_failure_and_the_reverse_too() {
    let authority = Authority::new();
    let plain = Endpoint::named("a").await;
    let answer = upstream(plain.address, &format!("tls: {{ ca: \"{}\" }}", authority.ca())).await;
    assert_eq!((answer.status(), answer.json()["reason"].as_str()), (502, Some("tls_failure")), "{answer:?}");
    let address = tls_endpoint(authority.endpoint(&[], None)).await;
    let answer = get(lab(address).await.address(), "/").await;
    assert_eq!(answer.status(), 502, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_for_no_name_gets_the_first_certificate() {
    let endpoint = Endpoint::mirror().await;
    let authority = Authority::new();
    let tls = format!("{{ {}, certificates: [{{ {} }}] }}", authority.issue("127.0.0.1"), authority.issue("b.test"));
    let lab = secure(&endpoint, &tls).await;
    // An address is not sent as a name.
    assert!(authority.client().ask(lab.address(), "127.0.0.1").await.is_some());
    assert!(authority.client().ask(lab.address(), "b.test").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_beside_the_config_are_renewed_step_by_step_while_an_http2_stream_goes_on() {
    let endpoint = Bare::listen().await;
    let (old, new) = (Authority::new(), Authority::new());
    let tls = "tls: { certificate: a.test.pem, key: a.test.key }";
    let yaml = Plan::before(endpoint.address).listener(tls).yaml();
    let written = Written::prepared(&yaml, |folder| old.renew("a.test", folder)).await;
    let address = written.lab.address();
    let over_http2 = Client::new(&old, &[&version::TLS13], &["h2"], None);
    let mut client = Http2::over(over_http2.connect(address, "a.test").await.unwrap()).await;
    let (response, mut inside) = tokio::join!(client.send(request("/")), async {
        let mut inside = endpoint.accept().await;
        inside.head().await;
        inside.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na").await;
        inside
    });
    let response = response.unwrap();

    // Half of a renewal: the new certificate with the old key is refused, and the old pair stays in force.
    new.issue("a.test");
    new.hand_over("a.test.pem", written.folder());
    let failure = written.lab.proxy.reload().await.unwrap_err();
    assert!(failure.problems.iter().any(|problem| problem.contains("a.test.key")), "{failure:?}");
    old.client().connect(address, "a.test").await.unwrap();
    // The other half.
    new.hand_over("a.test.key", written.folder());
    written.lab.proxy.reload().await.unwrap();
    new.client().connect(address, "a.test").await.unwrap();
    assert!(old.client().connect(address, "a.test").await.is_err(), "the old certificate is still shown");

    inside.send("b").await;
    assert_eq!(read(response).await.text, "ab");
}

/// Connects, takes an answer and with it the tickets; tells whether the session was resumed.
async fn resumes(client: &Client, address: SocketAddr) -> bool {
    let stream = client.connect(address, "a.test").await.unwrap();
    let kind = stream.get_ref().1.handshake_kind();
    let mut wire = Wire::new(stream);
    wire.send(GET).await;
    wire.head().await;
    kind == Some(HandshakeKind::Resumed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_outlive_a_reload_but_not_their_certificate() {
    let endpoint = Endpoint::mirror().await;
    let authority = Authority::new();
    let lab = secure(&endpoint, &authority.server("a.test")).await;
    for offered in [&version::TLS12, &version::TLS13] {
        let client = Client::new(&authority, &[offered], &[], None);
        assert!(!resumes(&client, lab.address()).await);
        lab.proxy.reload().await.unwrap();
        assert!(resumes(&client, lab.address()).await, "{offered:?}: an untouched listener forgot its sessions");
        authority.issue("a.test");
        lab.proxy.reload().await.unwrap();
        assert!(!resumes(&client, lab.address()).await, "{offered:?}: the old certificate lives on in a session");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_opens_no_door_that_its_client_certificate_does_not_open() {
    let endpoint = Endpoint::mirror().await;
    let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let (pair, ca) = (authority.issue("a.test"), clients.ca());
    let lab = Lab::start(&format!(
        "listeners:\n\
         - {{ name: anyone, bind: 127.0.0.1:0, pool: agents, tls: {{ {pair} }} }}\n\
         - {{ name: known, bind: 127.0.0.1:0, pool: agents, tls: {{ {pair}, client_ca: \"{ca}\" }} }}\n\
         pools: {{ agents: {{ endpoints: [{}] }} }}\n",
        endpoint.address
    ))
    .await;
    let (anyone, known) = (lab.listener("anyone"), lab.listener("known"));
    let both = [&version::TLS12, &version::TLS13];
    for offered in both {
        let anonymous = Client::new(&authority, &[offered], &[], None);
        assert!(!resumes(&anonymous, anyone).await && resumes(&anonymous, anyone).await);
        assert!(anonymous.ask(known, "a.test").await.is_none(), "{offered:?}: a session of the open door was taken");
    }
    let members = both.map(|offered| Client::new(&authority, &[offered], &[], Some((&clients, "client"))));
    for member in &members {
        assert!(!resumes(member, known).await && resumes(member, known).await);
    }
    // Nobody vouches for them any more.
    others.ca();
    others.hand_over("ca.pem", clients.folder.path());
    lab.proxy.reload().await.unwrap();
    for member in &members {
        assert!(member.ask(known, "a.test").await.is_none(), "a session outlived its authority");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_asked_for_the_name_of_its_address() {
    let authority = Authority::new();
    for name in ["127.0.0.1", "localhost"] {
        let address = tls_endpoint(authority.endpoint_named(name, &[], None)).await;
        let plan = Plan::before(format!("{name}:{}", address.port()));
        let lab = plan.pool(&format!("upstream: {{ tls: {{ ca: \"{}\" }} }}", authority.ca())).start().await;
        assert_eq!(get(lab.address(), "/").await.text, "HTTP/1.1 anonymous", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_files_of_a_pool_hold_for_the_next_request() {
    change_files_of_a_pool("http/1.1", "HTTP/1.1 known").await;
    change_files_of_a_pool("h2", "HTTP/2.0 known").await;
}

async fn change_files_of_a_pool(spoken: &str, known: &str) {
    let (authority, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let address = tls_endpoint(authority.endpoint(&[spoken], Some(&clients))).await;
    let settings = "protocol: auto, tls: { ca: ca.pem, certificate: proxy.pem, key: proxy.key, server_name: agents.test }";
    let yaml = Plan::before(address).pool(&format!("upstream: {{ {settings} }}")).yaml();
    let files = |folder: &Path| {
        authority.ca();
        authority.hand_over("ca.pem", folder);
        clients.renew("proxy", folder);
    };
    let written = Written::prepared(&yaml, files).await;
    let outcome = async || {
        let answer = get(written.lab.address(), "/").await;
        if answer.status() == 200 {
            return answer.text;
        }
        assert_eq!(answer.status(), 502, "{answer:?}");
        answer.json()["reason"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(outcome().await, known, "{spoken}");
    // An open connection that was made under the old trust is not used any more.
    stranger.ca();
    stranger.hand_over("ca.pem", written.folder());
    written.lab.proxy.reload().await.unwrap();
    assert_eq!(outcome().await, "tls_certificate");
    files(written.folder());
    written.lab.proxy.reload().await.unwrap();
    assert_eq!(outcome().await, known, "{spoken}");
    // Nor is one that was made in the old name.
    stranger.renew("proxy", written.folder());
    written.lab.proxy.reload().await.unwrap();
    let refused = outcome().await;
    // Over HTTP/2 the endpoint's alert is lost, and the failure is told as a reset.
    assert!(refused == "tls_failure" || spoken == "h2" && refused == "reset", "{spoken}: {refused}");
    // A file that is none is refused, and what was in force stays.
    files(written.folder());
    written.lab.proxy.reload().await.unwrap();
    std::fs::write(written.folder().join("proxy.key"), "nonsense").unwrap();
    let failure = written.lab.proxy.reload().await.unwrap_err();
    assert!(failure.problems.iter().any(|problem| problem.contains("proxy.key")), "{failure:?}");
    assert_eq!(outcome().await, known, "{spoken}");
}
