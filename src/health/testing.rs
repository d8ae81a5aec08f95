//! What the tests of this folder share: settings, and endpoints that answer as they are told.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::health::heal::Outside;
use crate::model::{Address, EndpointSpec, Health, Probe, Upstream, UpstreamProtocol, UpstreamTls, Weight};
use crate::upstream::{Lookup, Target, TlsClient, build_tls};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Longer than anything should take, so that a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// The settings of a file that names nothing but the probe.
pub(super) fn health() -> Health {
    Health {
        probe: Probe::Tcp,
        interval: Duration::from_secs(30),
        unhealthy_interval: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        healthy_threshold: 2,
        unhealthy_threshold: 3,
        degraded_above: None,
        heal: None,
    }
}

pub(super) fn spec(name: &str, address: &str) -> EndpointSpec {
    EndpointSpec {
        id: name.parse().unwrap(),
        address: address.parse().unwrap(),
        weight: Weight::ONE,
        max_connections: None,
        capabilities: BTreeSet::new(),
        zone: None,
    }
}

/// Waits for something that must happen.
pub(super) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it did not happen in time")
}

pub(super) fn no_lookup() -> Lookup {
    Arc::new(|_| Box::pin(std::future::ready(Err("no look-up expected".into()))))
}

pub(super) fn target(address: SocketAddr, protocol: UpstreamProtocol) -> Target {
    Target::new(Address::Ip(address), None, Arc::new(Upstream { protocol, ..Upstream::default() })).unwrap()
}

pub(super) fn text(text: &'static str) -> Response<Body> {
    Response::new(Full::from(text).boxed_unsync())
}

/// A message and its trailers.
pub(super) fn with_trailers(message: &'static [u8], trailers: HeaderMap) -> Response<Body> {
    Response::new(Full::from(message).with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync())
}

pub(super) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn answer<S, F>(stream: S, protocol: UpstreamProtocol, handler: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> Response<Body> + Clone + Send + 'static,
{
    let service = service_fn(move |request| std::future::ready(Ok::<_, Infallible>(handler(request))));
    // A client that leaves early is no matter of the server's.
    if protocol == UpstreamProtocol::Http1 {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    } else {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
    }
}

/// Serves `handler` on a port of its own.
pub(super) async fn serve<F>(protocol: UpstreamProtocol, handler: F) -> Target
where
    F: Fn(Request<Incoming>) -> Response<Body> + Clone + Send + 'static,
{
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, protocol, handler.clone()));
        }
    });
    target(address, protocol)
}

/// Serves `handler` over TLS as `agents.test`; the pool speaks HTTP/1.1, the server what `protocol` says.
pub(super) async fn serve_tls<F>(protocol: UpstreamProtocol, trusted: bool, handler: F) -> Target
where
    F: Fn(Request<Incoming>) -> Response<Body> + Clone + Send + 'static,
{
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["agents.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    config.alpn_protocols = vec![if protocol == UpstreamProtocol::Http1 { b"http/1.1".to_vec() } else { b"h2".to_vec() }];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            tokio::spawn(answer(stream, protocol, handler.clone()));
        }
    });
    let other = CertificateParams::new(vec!["agents.test".to_owned()]).unwrap().self_signed(&KeyPair::generate().unwrap()).unwrap();
    let client = trusting(if trusted { &certificate } else { &other });
    Target::new(Address::Ip(address), Some(&client), Arc::new(Upstream::default())).unwrap()
}

fn trusting(certificate: &rcgen::Certificate) -> Arc<TlsClient> {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, certificate.pem()).unwrap();
    let tls = UpstreamTls { ca: Some(ca), server_name: Some("agents.test".to_owned()), ..UpstreamTls::default() };
    build_tls(&tls, UpstreamProtocol::Http1).unwrap()
}

/// What checks need from elsewhere: no names, and nobody who restarts anything.
pub(super) fn outside() -> Outside {
    Outside { lookup: no_lookup(), repair: Arc::new(|_, _| Box::pin(async { Err("nobody restarts anything here".to_owned()) })) }
}
