use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;

use crate::model::{Reason, Upstream, UpstreamProtocol, UpstreamTls};
use crate::upstream::connections::h2::LocalExecutor;
use crate::upstream::{Connections, Target, build_tls};

use super::lab::*;

/// An authority, and files of what it issued.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn ca(&self) -> PathBuf {
        self.file("ca.pem", &self.issuer.pem())
    }

    /// Issues a certificate and returns it and its key as PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn trust(&self) -> UpstreamTls {
        UpstreamTls { ca: Some(self.ca()), server_name: Some("agents.test".to_owned()), ..UpstreamTls::default() }
    }

    /// An endpoint for `agents.test`; `clients` must show a certificate of this authority.
    fn server(&self, alpn: &[&str], clients: bool) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = if clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let (certificate, key) = self.issue("agents.test");
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// Serves echo over what ALPN chose.
async fn serve(config: ServerConfig) -> String {
    let (listener, address) = listen().await;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    spawn_local(async move {
        loop {
            let Ok(stream) = acceptor.accept(accept(&listener).await).await else { continue };
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let stream = TokioIo::new(stream);
            if h2 {
                let mut builder = hyper::server::conn::http2::Builder::new(LocalExecutor::default());
                builder.timer(TokioTimer::new());
                spawn_local(builder.serve_connection(stream, service_fn(echo)));
            } else {
                spawn_local(hyper::server::conn::http1::Builder::new().serve_connection(stream, service_fn(echo)));
            }
        }
    });
    address.to_string()
}

fn tls_pool(address: &str, tls: &UpstreamTls, protocol: UpstreamProtocol) -> Pool {
    let client = build_tls(tls, protocol).unwrap();
    let settings = Upstream { protocol, ..Upstream::default() };
    let target = Target::new(address.parse().unwrap(), Some(&client), Arc::new(settings)).unwrap();
    Rc::new(Connections::new(target, no_lookup()))
}

#[test]
fn a_custom_authority_is_trusted() {
    worker(async {
        let authority = Authority::new();
        let address = serve(authority.server(&[], false)).await;
        let pool = tls_pool(&address, &authority.trust(), UpstreamProtocol::Http1);
        assert_eq!(fetch(&pool, "/").await, "HTTP/1.1 / host=agents.test");
        assert_eq!(fetch(&pool, "/").await, "HTTP/1.1 / host=agents.test");
        assert_eq!(pool.stats().opened_total, 1);
    });
}

#[test]
fn an_unknown_authority_and_a_wrong_name_are_certificate_failures() {
    worker(async {
        let authority = Authority::new();
        let address = serve(authority.server(&[], false)).await;
        let other = Authority::new();
        let named = UpstreamTls { server_name: Some("other.test".to_owned()), ..authority.trust() };
        for tls in [other.trust(), named] {
            let failure = ask(&tls_pool(&address, &tls, UpstreamProtocol::Http1), "/").await.unwrap_err();
            assert_eq!((failure.reason, failure.sent), (Reason::TlsCertificate, false), "{failure}");
        }
    });
}

#[test]
fn an_endpoint_without_tls_is_a_tls_failure() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = tls_pool(&address.to_string(), &Authority::new().trust(), UpstreamProtocol::Http1);
        let (outcome, ()) = tokio::join!(ask(&pool, "/"), async {
            accept(&listener).await.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        });
        assert_eq!(outcome.unwrap_err().reason, Reason::TlsFailed);
    });
}

#[test]
fn a_client_certificate_is_shown() {
    worker(async {
        let authority = Authority::new();
        let address = serve(authority.server(&[], true)).await;
        let (certificate, key) = authority.issue("tidegate.test");
        let tls = UpstreamTls {
            certificate: Some(authority.file("client.pem", &certificate)),
            key: Some(authority.file("client.key", &key)),
            ..authority.trust()
        };
        assert_eq!(fetch(&tls_pool(&address, &tls, UpstreamProtocol::Http1), "/").await, "HTTP/1.1 / host=agents.test");
        let failure = ask(&tls_pool(&address, &authority.trust(), UpstreamProtocol::Http1), "/").await.unwrap_err();
        assert_eq!(failure.reason, Reason::TlsFailed, "{failure}");
    });
}

#[test]
fn alpn_chooses_the_version() {
    worker(async {
        let authority = Authority::new();
        let both = serve(authority.server(&["h2", "http/1.1"], false)).await;
        let old = serve(authority.server(&["http/1.1"], false)).await;
        let silent = serve(authority.server(&[], false)).await;
        let body = async |address: &str, protocol| {
            let pool = tls_pool(address, &authority.trust(), protocol);
            fetch(&pool, "/").await;
            let body = fetch(&pool, "/").await;
            assert_eq!(pool.stats().opened_total, 1);
            body
        };
        assert_eq!(body(&both, UpstreamProtocol::Auto).await, "HTTP/2.0 https://agents.test/ host=");
        assert_eq!(body(&both, UpstreamProtocol::Http2).await, "HTTP/2.0 https://agents.test/ host=");
        assert_eq!(body(&both, UpstreamProtocol::Http1).await, "HTTP/1.1 / host=agents.test");
        assert_eq!(body(&old, UpstreamProtocol::Auto).await, "HTTP/1.1 / host=agents.test");
        assert_eq!(body(&silent, UpstreamProtocol::Auto).await, "HTTP/1.1 / host=agents.test");
    });
}

#[test]
fn sessions_are_resumed() {
    worker(async {
        let authority = Authority::new();
        let address = serve(authority.server(&[], false)).await;
        let client = build_tls(&authority.trust(), UpstreamProtocol::Http1).unwrap();
        let target = Target::new(address.parse().unwrap(), Some(&client), Arc::new(Upstream::default())).unwrap();
        let pool = Rc::new(Connections::new(target.clone(), no_lookup()));
        fetch(&pool, "/").await;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let stream = crate::upstream::connect(&target, &no_lookup(), deadline).await.unwrap();
        let crate::upstream::Stream::Tls(stream) = stream else { panic!("not TLS") };
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    });
}

#[test]
fn an_idle_connection_takes_leave() {
    worker(async {
        let authority = Authority::new();
        let (listener, address) = listen().await;
        let acceptor = TlsAcceptor::from(Arc::new(authority.server(&[], false)));
        let pool = tls_pool(&address.to_string(), &authority.trust(), UpstreamProtocol::Http1);
        let (_, mut stream) = tokio::join!(fetch(&pool, "/"), async {
            let mut stream = acceptor.accept(accept(&listener).await).await.unwrap();
            let mut head = [0; 1024];
            soon(stream.read(&mut head)).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            stream
        });
        pool.retire();
        // Without leave it would be an error (RFC 8446 section 6.1).
        assert_eq!(soon(stream.read(&mut [0; 1024])).await.unwrap(), 0);
    });
}
