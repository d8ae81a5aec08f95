//! What a connection needs to know of an endpoint.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::model::{Address, Upstream};

use super::tls::{TlsClient, TlsError};

/// Where an endpoint is and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it is.
    pub address: Address,
    /// TLS, when it is spoken.
    pub tls: Option<TargetTls>,
    /// Protocol, timeouts and bounds.
    pub settings: Arc<Upstream>,
}

/// TLS with one endpoint.
#[derive(Clone, Debug)]
pub struct TargetTls {
    /// Trust, client certificate, ALPN and remembered sessions, shared by the endpoints of a pool.
    pub config: Arc<ClientConfig>,
    /// The name that is asked for and checked.
    pub name: ServerName<'static>,
}

impl Target {
    /// Joins an address with its pool's settings; `tls` is what [`build_tls`](super::build_tls) made of them.
    ///
    /// # Errors
    /// When TLS is spoken over a Unix socket and no server name is set.
    pub fn new(address: Address, tls: Option<&TlsClient>, settings: Arc<Upstream>) -> Result<Self, TlsError> {
        let tls = match tls {
            Some(client) => Some(TargetTls { config: Arc::clone(client.config()), name: client.server_name(&address)? }),
            None => None,
        };
        Ok(Self { address, tls, settings })
    }

    /// Tells whether both reach the same place in the same way, so that open connections can stay.
    pub fn is_same(&self, other: &Self) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(mine), Some(theirs)) => Arc::ptr_eq(&mine.config, &theirs.config) && mine.name == theirs.name,
            _ => false,
        };
        self.address == other.address && self.settings == other.settings && same_tls
    }
}
