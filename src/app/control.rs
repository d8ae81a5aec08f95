//! What the admin server shows and does, taken from the running proxy.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::admin::{
    AutoscalerView, BulkheadView, CHECKS, ConfigView, Control, DecisionView, EndpointView, ForecastView, HistoryView, ListenerView,
    OverloadView, Pending, PoolSummary, PoolView, Readiness, Reading, ReloadFailure, RouteView, ScalingView, Status, Unknown,
    effective,
};
use crate::autoscale::{Entry, Instruction, Order, PeerReport, report};
use crate::endpoint::Cause;
use crate::kit::clock;
use crate::model::Weight;
use crate::registry::Report;
use crate::resilience::fault::Fault;
use crate::telemetry::metrics::Text;

use super::figures;
use super::pool_view::available;
use super::proxy::Proxy;
use super::scaling_figures;

impl Control for Arc<Proxy> {
    fn status(&self) -> Status {
        let world = self.services.registry.world();
        let listeners = world.iter().flat_map(|world| world.listeners.values());
        let pools = world.iter().flat_map(|world| world.pools.values());
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.uptime().as_secs_f64(),
            readiness: self.readiness(),
            generation: world.as_ref().map_or(0, |world| world.generation),
            workers: self.services.registry.crew().size(),
            worker_restarts: self.services.process.worker_restarts(),
            connections: self.services.registry.crew().open(),
            listeners: listeners
                .map(|listener| ListenerView {
                    name: listener.model.name.clone(),
                    address: listener.address.clone(),
                    tls: listener.tls.is_some(),
                    connections: listener.gate.open(),
                    max_connections: listener.model.limits.connections,
                    waiting: listener.gate.waiting(),
                    cut_total: self.services.metrics.cuts(&listener.model.name),
                })
                .collect(),
            pools: pools
                .map(|pool| PoolSummary {
                    name: pool.model.name.clone(),
                    endpoints: pool.members.load().set.len(),
                    available: available(pool),
                    in_flight: pool.members.load().set.state().in_flight(),
                })
                .collect(),
        }
    }

    fn readiness(&self) -> Readiness {
        let reasons = if self.is_draining() {
            vec!["stopping: running requests may end, new ones should go elsewhere".to_owned()]
        } else {
            vec![]
        };
        Readiness { ready: reasons.is_empty(), reasons }
    }

    fn config(&self) -> ConfigView {
        let world = self.services.registry.world();
        let state = self.state();
        ConfigView {
            source: self.source.describe(),
            generation: world.as_ref().map_or(0, |world| world.generation),
            applied_at: state.applied_at.to_string(),
            last_error: state.last_error.clone(),
            warnings: state.warnings.clone(),
            effective: world.map_or(serde_json::Value::Null, |world| effective(&world.snapshot)),
        }
    }

    fn reload(&self) -> Pending<Result<Report, ReloadFailure>> {
        let proxy = self.clone();
        Box::pin(async move { Proxy::reload(&proxy).await })
    }

    fn pools(&self, checks: usize) -> Vec<PoolView> {
        let world = self.services.registry.world();
        world.iter().flat_map(|world| world.pools.values()).map(|live| self.pool_view(live, checks)).collect()
    }

    fn pool(&self, pool: &str, checks: usize) -> Result<PoolView, Unknown> {
        self.live_pool(pool).map(|live| self.pool_view(&live, checks))
    }

    fn endpoint(&self, pool: &str, endpoint: &str, checks: usize) -> Result<EndpointView, Unknown> {
        self.with_endpoint(pool, endpoint, checks, |_, _| {})
    }

    fn set_draining(&self, pool: &str, endpoint: &str, draining: bool) -> Result<EndpointView, Unknown> {
        self.with_endpoint(pool, endpoint, CHECKS, |endpoint, _| {
            endpoint.state.set(Cause::Admin, draining);
        })
    }

    fn set_weight(&self, pool: &str, endpoint: &str, weight: Option<Weight>) -> Result<EndpointView, Unknown> {
        self.with_endpoint(pool, endpoint, CHECKS, |endpoint, _| endpoint.state.override_weight(weight))
    }

    fn close_breaker(&self, pool: &str, endpoint: &str) -> Result<EndpointView, Unknown> {
        self.with_endpoint(pool, endpoint, CHECKS, |endpoint, breaker| {
            breaker.close(clock::now());
            info!(%pool, endpoint = %endpoint.spec.id, "Breaker closed by an operator.");
        })
    }

    fn bulkheads(&self) -> Vec<BulkheadView> {
        self.all_bulkheads()
    }

    fn bulkhead(&self, bulkhead: &str) -> Result<BulkheadView, Unknown> {
        self.one_bulkhead(bulkhead)
    }

    fn routes(&self) -> Vec<RouteView> {
        self.all_routes()
    }

    fn route(&self, route: &str) -> Result<RouteView, Unknown> {
        self.with_route(route, |_| {})
    }

    fn set_fault(&self, route: &str, fault: Option<(Fault, Duration)>) -> Result<RouteView, Unknown> {
        self.with_route(route, |state| match fault {
            Some((fault, time)) => {
                state.fault.set(fault, clock::now() + time);
                warn!(%route, ?fault, seconds = time.as_secs_f64(), "Fault switched on by an operator.");
            }
            None => {
                state.fault.clear();
                info!(%route, "Fault switched off by an operator.");
            }
        })
    }

    fn scaling(&self, pool: &str) -> Result<ScalingView, Unknown> {
        self.scaling_view(pool)
    }

    fn order_scaling(&self, pool: &str, order: Option<(Order, Option<Duration>)>) -> Result<ScalingView, Unknown> {
        self.give_order(pool, order)
    }

    fn autoscaler(&self) -> AutoscalerView {
        self.autoscaler_view()
    }

    fn decisions(&self, pool: &str, limit: usize, before: Option<u64>) -> Result<Reading<Vec<Arc<Entry>>>, Unknown> {
        self.decisions_about(pool, limit, before)
    }

    fn decision(&self, pool: &str, id: u64) -> Result<Reading<Option<DecisionView>>, Unknown> {
        self.decision_again(pool, id)
    }

    fn forecast(&self, pool: &str) -> Result<ForecastView, Unknown> {
        self.forecast_view(pool)
    }

    fn history(&self, pool: &str, minutes: i64, step: u32) -> Result<HistoryView, Unknown> {
        self.history_view(pool, minutes, step)
    }

    fn scaling_report(&self, window: Duration) -> Reading<report::Report> {
        self.report_on_scaling(window)
    }

    fn exchange(&self, instruction: &Instruction) -> PeerReport {
        self.autoscaler.exchange(instruction)
    }

    fn overload(&self) -> Option<OverloadView> {
        self.overload_view()
    }

    fn metrics(&self) -> String {
        let process = &self.services.process;
        process.access_log_dropped(self.logs.dropped());
        let mut text = Text::default();
        self.services.metrics.render(&mut text);
        if let Some(world) = self.services.registry.world() {
            figures::render(&world, &mut text);
        }
        scaling_figures::render(&self.autoscaler, &mut text);
        let mut page = process.render();
        page.push_str(&text.finish());
        page
    }
}
