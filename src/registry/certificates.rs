//! TLS as a server: from certificate files to a rustls config, and whether the files changed since.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use crate::model::{CertificateFiles, ClientAuth, ListenerProtocol, ServerTls};

/// TLS 1.2 sessions kept for resumption; TLS 1.3 ones live in tickets at the client.
const SESSIONS: usize = 4096;

/// The files that something was built from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents(BTreeMap<PathBuf, Vec<u8>>);

impl Contents {
    /// Reads `paths`.
    pub(super) fn read<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self, CertificateError> {
        let mut files = BTreeMap::new();
        for path in paths {
            let bytes = fs::read(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source })?;
            files.insert(path.to_owned(), bytes);
        }
        Ok(Self(files))
    }

    fn get(&self, path: &Path) -> &[u8] {
        self.0.get(path).map_or(&[], Vec::as_slice)
    }
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The parts do not fit together.
    #[error("{0}")]
    Tls(String),
}

/// Returns the files that `tls` names.
pub(super) fn files(tls: &ServerTls) -> impl Iterator<Item = &Path> {
    tls.certificates.iter().flat_map(|files| [files.certificate.as_path(), files.key.as_path()]).chain(tls.client_ca.as_deref())
}

/// Builds the server side of TLS.
pub(super) fn build(
    tls: &ServerTls,
    protocol: ListenerProtocol,
    contents: &Contents,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let keys = tls.certificates.iter().map(|files| certified_key(files, contents)).collect::<Result<Vec<_>, _>>()?;
    let verifier = match &tls.client_ca {
        None => Arc::new(NoClientAuth) as Arc<_>,
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path, contents)? {
                roots.add(certificate).map_err(|error| content(path, error))?;
            }
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            let builder = match tls.client_auth {
                ClientAuth::Required => builder,
                ClientAuth::Optional => builder.allow_unauthenticated(),
            };
            builder.build().map_err(|error| content(path, error))?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| CertificateError::Tls(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(BySni::new(keys)?));
    config.alpn_protocols = alpn(protocol);
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(SESSIONS);
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| CertificateError::Tls(error.to_string()))?;
    Ok(Arc::new(config))
}

fn alpn(protocol: ListenerProtocol) -> Vec<Vec<u8>> {
    let names: &[&[u8]] = match protocol {
        ListenerProtocol::Auto => &[b"h2", b"http/1.1"],
        ListenerProtocol::Http1 => &[b"http/1.1"],
        ListenerProtocol::Http2 => &[b"h2"],
    };
    names.iter().map(|name| name.to_vec()).collect()
}

fn content(path: &Path, problem: impl ToString) -> CertificateError {
    CertificateError::Content { path: path.to_owned(), problem: problem.to_string() }
}

fn certificates(path: &Path, contents: &Contents) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(contents.get(path)).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if chain.is_empty() => Err(content(path, "no certificate found; a PEM file with BEGIN CERTIFICATE is expected")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(content(path, error)),
    }
}

fn certified_key(files: &CertificateFiles, contents: &Contents) -> Result<Arc<CertifiedKey>, CertificateError> {
    let chain = certificates(&files.certificate, contents)?;
    let key = PrivateKeyDer::from_pem_slice(contents.get(&files.key)).map_err(|error| {
        content(&files.key, format!("no private key found ({error}); a PEM file with BEGIN PRIVATE KEY is expected"))
    })?;
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|error| content(&files.key, error))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(_) => {
            Err(content(&files.key, format!("the key does not belong to the certificate of {}", files.certificate.display())))
        }
    }
}

/// Chooses the first certificate that fits the client's SNI name, else the first of all.
#[derive(Debug)]
struct BySni {
    keys: Vec<Arc<CertifiedKey>>,
}

impl BySni {
    fn new(keys: Vec<Arc<CertifiedKey>>) -> Result<Self, CertificateError> {
        if keys.is_empty() {
            return Err(CertificateError::Tls("TLS needs at least one certificate".to_owned()));
        }
        Ok(Self { keys })
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |key: &&Arc<CertifiedKey>, name: &str| {
            let Ok(name) = rustls::pki_types::ServerName::try_from(name) else { return false };
            let Some(leaf) = key.cert.first() else { return false };
            rustls::server::ParsedCertificate::try_from(leaf)
                .is_ok_and(|leaf| rustls::client::verify_server_name(&leaf, &name).is_ok())
        };
        let named = hello.server_name().and_then(|name| self.keys.iter().find(|key| fits(key, name)));
        named.or(self.keys.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path, name: &str, host: &str) -> CertificateFiles {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        let files = CertificateFiles { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    fn tls(certificates: Vec<CertificateFiles>) -> ServerTls {
        ServerTls { certificates, client_ca: None, client_auth: ClientAuth::Required }
    }

    #[test]
    fn good_files_make_a_config_with_alpn() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls(vec![written(folder.path(), "a", "a.example.com")]);
        let contents = Contents::read(files(&tls)).unwrap();
        let config = build(&tls, ListenerProtocol::Auto, &contents).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (written(folder.path(), "a", "a.example.com"), written(folder.path(), "b", "b.example.com"));
        let tls = tls(vec![CertificateFiles { certificate: a.certificate, key: b.key }]);
        let contents = Contents::read(files(&tls)).unwrap();
        let message = build(&tls, ListenerProtocol::Auto, &contents).unwrap_err().to_string();
        assert!(message.contains("b.key") && message.contains("does not belong"), "{message}");
    }

    #[test]
    fn a_missing_or_empty_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let good = written(folder.path(), "a", "a.example.com");
        let missing = tls(vec![CertificateFiles { certificate: folder.path().join("none.pem"), key: good.key.clone() }]);
        assert!(Contents::read(files(&missing)).unwrap_err().to_string().contains("none.pem"));
        fs::write(&good.certificate, "").unwrap();
        let empty = tls(vec![good]);
        let contents = Contents::read(files(&empty)).unwrap();
        assert!(build(&empty, ListenerProtocol::Auto, &contents).unwrap_err().to_string().contains("no certificate found"));
    }
}
