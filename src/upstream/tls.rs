//! TLS as a client: from the files that a pool names to a configuration that its connections share.
//!
//! Built once for each pool, off the workers: it reads files. What is deliberately not here: watching those files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::model::{Address, UpstreamProtocol, UpstreamTls};

/// Sessions that are remembered for resumption: two tickets for each of 500 endpoints.
const SESSIONS: usize = 1000;

/// TLS as a client, for all endpoints of a pool.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

/// Why TLS cannot be spoken as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not PEM, or does not hold what it should.
    #[error("{path:?} holds no usable {what}: {detail}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// A certificate and a key do not make a client certificate.
    #[error("client certificate {certificate:?} and key {key:?} cannot be used together: {source}")]
    ClientCertificate {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Only one of certificate and key is given.
    #[error("a client certificate needs both `certificate` and `key`, found only {0:?}")]
    Half(PathBuf),
    /// The server name is not a name.
    #[error("server name {0:?} is neither a DNS name nor an IP address")]
    ServerName(String),
    /// The address has no name in it.
    #[error("TLS with {0} needs `server_name`: the address has no host")]
    NoServerName(Address),
    /// The system's certificate authorities cannot be used.
    #[error("the system's certificate authorities cannot be used, name a file with `ca`: {0}")]
    System(rustls::Error),
    /// The crypto provider refuses its own settings.
    #[error("the TLS library cannot be set up: {0}")]
    Provider(rustls::Error),
}

impl TlsClient {
    /// Returns the configuration that every connection uses.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// Returns the name to ask for and check at `address`: the configured one, else the address's host.
    ///
    /// # Errors
    /// When neither is there, or the host is not a name that TLS knows.
    pub fn server_name(&self, address: &Address) -> Result<ServerName<'static>, TlsError> {
        if let Some(name) = &self.server_name {
            return Ok(name.clone());
        }
        match address {
            Address::Ip(address) => Ok(ServerName::IpAddress(address.ip().into())),
            Address::Name { host, .. } => parse_name(host),
            Address::Unix(_) => Err(TlsError::NoServerName(address.clone())),
        }
    }
}

/// Builds what the connections of a pool share; reads the files that `tls` names.
///
/// # Errors
/// When a file cannot be read or used, or the server name is not a name.
pub fn build(tls: &UpstreamTls, protocol: UpstreamProtocol) -> Result<Arc<TlsClient>, TlsError> {
    // The provider is named here, as any dependency's features may change which one is the process's default.
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?;
    let builder = match &tls.ca {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.with_platform_verifier().map_err(TlsError::System)?,
    };
    let mut config = match (&tls.certificate, &tls.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|source| TlsError::ClientCertificate { certificate: certificate.clone(), key: key.clone(), source })?,
        (Some(path), None) | (None, Some(path)) => return Err(TlsError::Half(path.clone())),
    };
    config.alpn_protocols = match protocol {
        UpstreamProtocol::Http1 => vec![b"http/1.1".to_vec()],
        UpstreamProtocol::Http2 => vec![b"h2".to_vec()],
        UpstreamProtocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    let server_name = tls.server_name.as_deref().map(parse_name).transpose()?;
    Ok(Arc::new(TlsClient { config: Arc::new(config), server_name }))
}

fn parse_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| content(path, "certificate authority", &error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let certificates = parsed.map_err(|error| content(path, "certificate", &error))?;
    if certificates.is_empty() {
        return Err(content(path, "certificate", &pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| content(path, "private key", &error))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn content(path: &Path, what: &'static str, error: &dyn std::fmt::Display) -> TlsError {
    TlsError::Content { path: path.to_owned(), what, detail: error.to_string() }
}

#[cfg(test)]
mod tests;
