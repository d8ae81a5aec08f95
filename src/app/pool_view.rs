//! What the admin server shows of pools and endpoints.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::admin::{EndpointView, HealthView, PoolView, QueueView, ResponseTime, Unknown};
use crate::endpoint::{Cause, Endpoint};
use crate::health::{EndpointReport, Report};
use crate::kit::clock;
use crate::model::Id;
use crate::registry::{LivePool, Members};
use crate::resilience::breaker::Breaker;
use crate::telemetry::metrics::{Registry, Snapshot};

use super::proxy::Proxy;

/// Builds the views of one pool.
struct Viewer<'a> {
    live: &'a LivePool,
    members: Arc<Members>,
    figures: &'a Registry,
}

impl Proxy {
    pub(super) fn pool_view(&self, live: &LivePool, checks: usize) -> PoolView {
        self.viewer(live).pool(checks)
    }

    /// Lets `act` do something to an endpoint and its breaker, and shows the endpoint afterwards.
    pub(super) fn with_endpoint(
        &self,
        pool: &str,
        id: &str,
        checks: usize,
        act: impl FnOnce(&Endpoint, &Breaker),
    ) -> Result<EndpointView, Unknown> {
        let live = self.live_pool(pool)?;
        let unknown = || Unknown::Endpoint { pool: pool.to_owned(), endpoint: id.to_owned() };
        let parsed: Id = id.parse().map_err(|_| unknown())?;
        let viewer = self.viewer(&live);
        let index = viewer.members.set.index_of(&parsed).ok_or_else(unknown)?;
        let (endpoint, breaker) = viewer.member(index).ok_or_else(unknown)?;
        act(endpoint, breaker);
        let mut health = viewer.live.keeper.health(checks).map(|report| report.endpoints).unwrap_or_default();
        let own = health.iter().position(|report| report.id == parsed).map(|place| health.swap_remove(place));
        Ok(viewer.endpoint(endpoint, breaker, own))
    }

    pub(super) fn live_pool(&self, pool: &str) -> Result<Arc<LivePool>, Unknown> {
        let world = self.services.registry.world();
        world.and_then(|world| world.pools.get(pool).cloned()).ok_or_else(|| Unknown::Pool(pool.to_owned()))
    }

    fn viewer<'a>(&'a self, live: &'a LivePool) -> Viewer<'a> {
        Viewer { live, members: live.members.load_full(), figures: &self.services.metrics }
    }
}

impl Viewer<'_> {
    fn pool(&self, checks: usize) -> PoolView {
        let (model, set) = (&self.live.model, &self.members.set);
        let health = self.live.keeper.health(checks);
        let summary = health.as_ref().map(|report| report.summary);
        let mut health: HashMap<_, _> =
            health.into_iter().flat_map(|report: Report| report.endpoints).map(|report| (report.id.clone(), report)).collect();
        let pairs = set.endpoints().iter().zip(&self.members.breakers);
        PoolView {
            name: model.name.clone(),
            strategy: model.strategy,
            in_flight: set.state().in_flight(),
            available: available(self.live),
            ejected: set.endpoints().iter().filter(|endpoint| endpoint.state.availability().has(Cause::Ejected)).count(),
            queue: model.protection.queue.clone().map(|settings| QueueView { settings, figures: self.live.queue.figures() }),
            health: summary,
            endpoints: pairs
                .map(|(endpoint, breaker)| self.endpoint(endpoint, breaker, health.remove(&endpoint.spec.id)))
                .collect(),
        }
    }

    fn member(&self, index: usize) -> Option<(&Arc<Endpoint>, &Arc<Breaker>)> {
        Some((self.members.set.endpoints().get(index)?, self.members.breakers.get(index)?))
    }

    fn endpoint(&self, endpoint: &Endpoint, breaker: &Breaker, health: Option<EndpointReport>) -> EndpointView {
        let (spec, state, vitals, now) = (&endpoint.spec, &endpoint.state, endpoint.vitals(), clock::now());
        let figures = self.figures.endpoint_figures(&self.live.model.name, &spec.id);
        let totals = vitals.totals();
        let judged = totals.completed + totals.failed;
        let weight = endpoint.weight();
        let score = vitals.first_byte(now).map(|reading| reading.faded * f64::from(vitals.in_flight() + 1) / weight.as_f64());
        let ejects = self.live.model.protection.outlier.is_some();
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
            max_connections: spec.max_connections,
            attempts: totals.attempts,
            completed: totals.completed,
            failed: totals.failed,
            aborted: totals.aborted,
            success_rate: (judged > 0).then(|| totals.completed as f64 / judged as f64),
            response_time: quantiles(&figures.duration),
            first_byte: quantiles(&figures.first_byte),
            load_score: score.filter(|score| score.is_finite()),
            parked_seconds: vitals.parked_for(now).map(|wait| wait.as_secs_f64()),
            degraded: state.is_degraded(),
            health: health.map(shown),
            breaker: breaker.report(now).map(|report| report.dated(now, Timestamp::now())),
            ejection: ejects.then(|| self.live.keeper.ejection().report(endpoint.serial())),
        }
    }
}

pub(super) fn available(live: &LivePool) -> usize {
    live.members.load().set.endpoints().iter().filter(|endpoint| endpoint.is_eligible()).count()
}

fn shown(report: EndpointReport) -> HealthView {
    let EndpointReport { id: _, state, since, consecutive, heal, checks } = report;
    HealthView { state, since, consecutive, heal, checks }
}

fn quantiles(figures: &Snapshot) -> ResponseTime {
    ResponseTime { mean: figures.mean(), p50: figures.quantile(0.5), p95: figures.quantile(0.95), p99: figures.quantile(0.99) }
}
