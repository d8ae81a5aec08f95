//! The admin server: health, metrics, and an API to see and steer the proxy.
//!
//! It stands on the control runtime, away from the workers. What it shows and does comes through [`Control`], which `app` implements, so
//! that nothing here knows how a reload works. The pages are described in `docs/admin.md`.

mod api;
mod auth;
mod autoscale;
mod autoscale_api;
mod duration;
mod fault;
mod handles;
mod protection;
mod server;
#[cfg(test)]
mod tests;
mod view;

pub use autoscale::{
    AutoscalerView, DecisionView, ElectionView, ForecastView, HistoryView, OrderView, ReplicaView, ScalingView, SignalForecast,
};
pub use handles::{CHECKS, Control, Pending, Reading, Unknown};
pub use protection::{BulkheadView, HealthView, OverloadView, QueueView, RetriesView, RouteView, TierView};
pub use server::{Settings, serve};
pub use view::{
    ConfigView, EndpointView, ListenerView, PoolSummary, PoolView, Readiness, ReloadFailure, ResponseTime, Status, effective,
};
