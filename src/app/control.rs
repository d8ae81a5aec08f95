//! What the admin server shows and does, taken from the running proxy.

use std::sync::Arc;

use crate::admin::{
    ConfigView, Control, EndpointView, ListenerView, Pending, PoolSummary, PoolView, Readiness, ReloadFailure, ResponseTime,
    Status, Unknown, effective,
};
use crate::endpoint::{Cause, Endpoint};
use crate::kit::clock;
use crate::model::{Id, Weight};
use crate::registry::{LivePool, Report, World};
use crate::telemetry::metrics::{Family, Snapshot, Text};

use super::proxy::Proxy;

const AVAILABLE: Family =
    Family { name: "tidegate_endpoint_available", kind: "gauge", help: "Whether an endpoint takes requests: 1 or 0." };
const IN_FLIGHT: Family = Family { name: "tidegate_endpoint_in_flight", kind: "gauge", help: "Requests that run on an endpoint." };
const WEIGHT: Family = Family { name: "tidegate_endpoint_weight", kind: "gauge", help: "The weight of an endpoint." };

impl Proxy {
    fn live_pool(&self, pool: &str) -> Result<Arc<LivePool>, Unknown> {
        let world = self.services.registry.world();
        world.and_then(|world| world.pools.get(pool).cloned()).ok_or_else(|| Unknown::Pool(pool.to_owned()))
    }

    fn with_endpoint(&self, pool: &str, id: &str, act: impl FnOnce(&Endpoint)) -> Result<EndpointView, Unknown> {
        let live = self.live_pool(pool)?;
        let unknown = || Unknown::Endpoint { pool: pool.to_owned(), endpoint: id.to_owned() };
        let parsed: Id = id.parse().map_err(|_| unknown())?;
        let members = live.members.load();
        let endpoint = members.set.get(&parsed).ok_or_else(unknown)?;
        act(endpoint);
        Ok(self.endpoint_view(&live.model.name, endpoint))
    }

    fn endpoint_view(&self, pool: &Id, endpoint: &Endpoint) -> EndpointView {
        let (spec, state, vitals, now) = (&endpoint.spec, &endpoint.state, endpoint.vitals(), clock::now());
        let figures = self.services.metrics.endpoint_figures(pool, &spec.id);
        let totals = vitals.totals();
        let judged = totals.completed + totals.failed;
        let weight = endpoint.weight();
        let score = vitals.first_byte(now).map(|reading| reading.faded * f64::from(vitals.in_flight() + 1) / weight.as_f64());
        EndpointView {
            id: spec.id.clone(),
            address: spec.address.clone(),
            zone: spec.zone.clone(),
            capabilities: spec.capabilities.iter().cloned().collect(),
            state: if state.availability().is_available() { "available" } else { "unavailable" },
            causes: state.availability().causes().collect(),
            weight: spec.weight,
            effective_weight: weight,
            in_flight: vitals.in_flight(),
            attempts: totals.attempts,
            completed: totals.completed,
            failed: totals.failed,
            aborted: totals.aborted,
            success_rate: (judged > 0).then(|| totals.completed as f64 / judged as f64),
            response_time: quantiles(&figures.duration),
            first_byte: quantiles(&figures.first_byte),
            load_score: score.filter(|score| score.is_finite()),
            parked_seconds: vitals.parked_for(now).map(|wait| wait.as_secs_f64()),
        }
    }

    fn pool_view(&self, live: &LivePool) -> PoolView {
        let members = live.members.load();
        let endpoints = members.set.endpoints();
        PoolView {
            name: live.model.name.clone(),
            strategy: live.model.strategy,
            in_flight: members.set.state().in_flight(),
            available: available(live),
            endpoints: endpoints.iter().map(|endpoint| self.endpoint_view(&live.model.name, endpoint)).collect(),
        }
    }

    fn render_endpoints(world: &World, text: &mut Text) {
        let value = |family: Family, endpoint: &Endpoint| match family.name {
            name if name == AVAILABLE.name => f64::from(u8::from(endpoint.is_eligible())),
            name if name == IN_FLIGHT.name => f64::from(endpoint.vitals().in_flight()),
            _ => endpoint.weight().as_f64(),
        };
        for family in [AVAILABLE, IN_FLIGHT, WEIGHT] {
            text.family(family);
            for (name, pool) in &world.pools {
                for endpoint in pool.members.load().set.endpoints() {
                    let labels = [("pool", name.as_str()), ("endpoint", endpoint.spec.id.as_str())];
                    text.sample(family.name, &labels, value(family, endpoint));
                }
            }
        }
    }
}

fn available(live: &LivePool) -> usize {
    live.members.load().set.endpoints().iter().filter(|endpoint| endpoint.is_eligible()).count()
}

fn quantiles(figures: &Snapshot) -> ResponseTime {
    ResponseTime { mean: figures.mean(), p50: figures.quantile(0.5), p95: figures.quantile(0.95), p99: figures.quantile(0.99) }
}

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

    fn pools(&self) -> Vec<PoolView> {
        let world = self.services.registry.world();
        world.iter().flat_map(|world| world.pools.values()).map(|live| self.pool_view(live)).collect()
    }

    fn pool(&self, pool: &str) -> Result<PoolView, Unknown> {
        self.live_pool(pool).map(|live| self.pool_view(&live))
    }

    fn endpoint(&self, pool: &str, endpoint: &str) -> Result<EndpointView, Unknown> {
        self.with_endpoint(pool, endpoint, |_| {})
    }

    fn set_draining(&self, pool: &str, endpoint: &str, draining: bool) -> Result<EndpointView, Unknown> {
        self.with_endpoint(pool, endpoint, |endpoint| {
            endpoint.state.set(Cause::Admin, draining);
        })
    }

    fn set_weight(&self, pool: &str, endpoint: &str, weight: Option<Weight>) -> Result<EndpointView, Unknown> {
        self.with_endpoint(pool, endpoint, |endpoint| endpoint.state.override_weight(weight))
    }

    fn metrics(&self) -> String {
        let process = &self.services.process;
        process.access_log_dropped(self.logs.dropped());
        let mut text = Text::default();
        self.services.metrics.render(&mut text);
        if let Some(world) = self.services.registry.world() {
            Proxy::render_endpoints(&world, &mut text);
        }
        let mut page = process.render();
        page.push_str(&text.finish());
        page
    }
}
