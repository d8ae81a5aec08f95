//! What the server can show and do, handed over by `app`.

use std::future::Future;
use std::pin::Pin;

use super::view::{ConfigView, EndpointView, PoolView, Readiness, ReloadFailure, Status};
use crate::model::Weight;
use crate::registry::Report;

/// A result that takes a while.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What was asked for is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No such pool.
    #[error("there is no pool {0:?}")]
    Pool(String),
    /// No such endpoint.
    #[error("pool {pool:?} has no endpoint {endpoint:?}")]
    Endpoint {
        /// The pool.
        pool: String,
        /// What it does not have.
        endpoint: String,
    },
}

/// Everything that the server shows and does.
pub trait Control: Send + Sync + 'static {
    /// Returns the whole in short.
    fn status(&self) -> Status;
    /// Tells whether traffic is taken.
    fn readiness(&self) -> Readiness;
    /// Returns the config in force.
    fn config(&self) -> ConfigView;
    /// Reads the config again and applies it.
    fn reload(&self) -> Pending<Result<Report, ReloadFailure>>;
    /// Returns every pool.
    fn pools(&self) -> Vec<PoolView>;
    /// Returns a pool.
    ///
    /// # Errors
    /// When there is none of that name.
    fn pool(&self, pool: &str) -> Result<PoolView, Unknown>;
    /// Returns an endpoint.
    ///
    /// # Errors
    /// When there is no such pool or endpoint.
    fn endpoint(&self, pool: &str, endpoint: &str) -> Result<EndpointView, Unknown>;
    /// Sends an endpoint no new requests, or again some.
    ///
    /// # Errors
    /// When there is no such pool or endpoint.
    fn set_draining(&self, pool: &str, endpoint: &str, draining: bool) -> Result<EndpointView, Unknown>;
    /// Gives an endpoint a weight of its own; `None` gives it the file's again.
    ///
    /// # Errors
    /// When there is no such pool or endpoint.
    fn set_weight(&self, pool: &str, endpoint: &str, weight: Option<Weight>) -> Result<EndpointView, Unknown>;
    /// Returns the Prometheus page.
    fn metrics(&self) -> String;
}
