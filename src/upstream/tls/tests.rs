use rcgen::{CertificateParams, KeyPair};

use super::*;

fn tls() -> UpstreamTls {
    UpstreamTls::default()
}

/// Writes a self-signed certificate and its key.
fn files(folder: &Path) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let paths = (folder.join("a.pem"), folder.join("a.key"));
    std::fs::write(&paths.0, certificate.pem()).unwrap();
    std::fs::write(&paths.1, key.serialize_pem()).unwrap();
    paths
}

fn message(tls: &UpstreamTls) -> String {
    build(tls, UpstreamProtocol::Http1).unwrap_err().to_string()
}

#[test]
fn every_error_names_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = files(folder.path());
    let ca = Some(certificate.clone());
    let missing = folder.path().join("missing.pem");
    assert!(message(&UpstreamTls { ca: Some(missing), ..tls() }).contains("missing.pem"));
    assert!(message(&UpstreamTls { ca: Some(key.clone()), ..tls() }).contains("a.key\" holds no usable certificate"));
    let swapped = UpstreamTls { ca: ca.clone(), certificate: Some(certificate.clone()), key: Some(certificate.clone()), ..tls() };
    assert!(message(&swapped).contains("a.pem\" holds no usable private key"));
    let half = UpstreamTls { ca: ca.clone(), certificate: Some(certificate), ..tls() };
    assert!(message(&half).contains("needs both"));
    let name = UpstreamTls { ca, server_name: Some("a b".to_owned()), ..tls() };
    assert!(message(&name).contains("\"a b\""));
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = files(folder.path());
    let ca = Some(certificate.clone());
    std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let message = message(&UpstreamTls { ca, certificate: Some(certificate), key: Some(key), ..tls() });
    assert!(message.contains("cannot be used together"), "{message}");
}

#[test]
fn the_protocol_decides_what_alpn_offers() {
    let folder = tempfile::tempdir().unwrap();
    let tls = UpstreamTls { ca: Some(files(folder.path()).0), ..tls() };
    let offered = |protocol| build(&tls, protocol).unwrap().config().alpn_protocols.clone();
    assert_eq!(offered(UpstreamProtocol::Http1), [b"http/1.1".to_vec()]);
    assert_eq!(offered(UpstreamProtocol::Http2), [b"h2".to_vec()]);
    assert_eq!(offered(UpstreamProtocol::Auto), [b"h2".to_vec(), b"http/1.1".to_vec()]);
}

#[test]
fn the_server_name_is_the_configured_one_else_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let tls = UpstreamTls { ca: Some(files(folder.path()).0), ..tls() };
    let client = build(&tls, UpstreamProtocol::Http1).unwrap();
    let name =
        |client: &TlsClient, address: &str| client.server_name(&address.parse().unwrap()).map(|name| name.to_str().into_owned());
    assert_eq!(name(&client, "agents.test:443").unwrap(), "agents.test");
    assert_eq!(name(&client, "[::1]:443").unwrap(), "::1");
    assert!(matches!(name(&client, "unix:/a.sock"), Err(TlsError::NoServerName(_))));
    let client = build(&UpstreamTls { server_name: Some("b.test".to_owned()), ..tls }, UpstreamProtocol::Http1).unwrap();
    assert_eq!(name(&client, "unix:/a.sock").unwrap(), "b.test");
    assert_eq!(name(&client, "agents.test:443").unwrap(), "b.test");
}
