//! What the server can show and do, handed over by `app`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::autoscale::{AutoscalerView, DecisionView, ForecastView, HistoryView, ScalingView};
use super::protection::{BulkheadView, OverloadView, RouteView};
use super::view::{ConfigView, EndpointView, PoolView, Readiness, ReloadFailure, Status};
use crate::autoscale::{Entry, Instruction, Order, PeerReport, report};
use crate::model::Weight;
use crate::registry::Report;
use crate::resilience::fault::Fault;

/// Results of health checks that are shown of each endpoint when nobody says how many.
pub const CHECKS: usize = 10;

/// A result that takes a while.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Something that is read from the store; the error says why it cannot be, in one line.
pub type Reading<T> = Pending<Result<T, String>>;

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
    /// The pool is there, and is not sized.
    #[error("pool {0:?} is not sized: it has no autoscale, or its mode is off")]
    Unsized(String),
    /// No such decision.
    #[error("pool {pool:?} has no decision {id}")]
    Decision {
        /// The pool.
        pool: String,
        /// What is not there.
        id: u64,
    },
    /// No such bulkhead.
    #[error("there is no bulkhead {0:?}")]
    Bulkhead(String),
    /// No such route.
    #[error("there is no route {0:?}")]
    Route(String),
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
    /// Returns every pool, with at most so many results of health checks of each endpoint.
    fn pools(&self, checks: usize) -> Vec<PoolView>;
    /// Returns a pool.
    ///
    /// # Errors
    /// When there is none of that name.
    fn pool(&self, pool: &str, checks: usize) -> Result<PoolView, Unknown>;
    /// Returns an endpoint.
    ///
    /// # Errors
    /// When there is no such pool or endpoint.
    fn endpoint(&self, pool: &str, endpoint: &str, checks: usize) -> Result<EndpointView, Unknown>;
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
    /// Closes the breaker of an endpoint, which begins anew.
    ///
    /// # Errors
    /// When there is no such pool or endpoint.
    fn close_breaker(&self, pool: &str, endpoint: &str) -> Result<EndpointView, Unknown>;
    /// Returns every bulkhead.
    fn bulkheads(&self) -> Vec<BulkheadView>;
    /// Returns a bulkhead.
    ///
    /// # Errors
    /// When there is none of that name.
    fn bulkhead(&self, bulkhead: &str) -> Result<BulkheadView, Unknown>;
    /// Returns every route.
    fn routes(&self) -> Vec<RouteView>;
    /// Returns a route.
    ///
    /// # Errors
    /// When there is none of that name.
    fn route(&self, route: &str) -> Result<RouteView, Unknown>;
    /// Switches a fault on for so long, in place of any other, or off.
    ///
    /// # Errors
    /// When there is no such route.
    fn set_fault(&self, route: &str, fault: Option<(Fault, Duration)>) -> Result<RouteView, Unknown>;
    /// Returns how the sizing of a pool stands.
    fn scaling(&self, pool: &str) -> Result<ScalingView, Unknown>;
    /// Orders the size of a pool, for a time or until it is taken back with `None`, and returns how its sizing stands.
    fn order_scaling(&self, pool: &str, order: Option<(Order, Option<Duration>)>) -> Result<ScalingView, Unknown>;
    /// Returns how the sizing of every pool stands, and who leads.
    fn autoscaler(&self) -> AutoscalerView;
    /// Returns decisions about a pool below a number, or the last ones, from the last one back.
    fn decisions(&self, pool: &str, limit: usize, before: Option<u64>) -> Result<Reading<Vec<Arc<Entry>>>, Unknown>;
    /// Returns a decision, and decides it again.
    fn decision(&self, pool: &str, id: u64) -> Result<Reading<Option<DecisionView>>, Unknown>;
    /// Returns what is expected of a pool, and what was.
    fn forecast(&self, pool: &str) -> Result<ForecastView, Unknown>;
    /// Returns the signals of a pool over the last `minutes`.
    fn history(&self, pool: &str, minutes: i64, step: u32) -> Result<HistoryView, Unknown>;
    /// Reports what scaling did in the last `window`.
    fn scaling_report(&self, window: Duration) -> Reading<report::Report>;
    /// Takes the word of the gateway that leads, and tells it what is seen here.
    fn exchange(&self, instruction: &Instruction) -> PeerReport;
    /// Returns how near the process is to its limits; `None` before the first config.
    fn overload(&self) -> Option<OverloadView>;
    /// Returns the Prometheus page.
    fn metrics(&self) -> String;
}
