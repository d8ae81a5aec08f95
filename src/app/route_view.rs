//! What the admin server shows of routes, bulkheads and the limits of the process.

use std::sync::Arc;

use crate::admin::{BulkheadView, OverloadView, QueueView, RetriesView, RouteView, TierView, Unknown};
use crate::kit::clock;
use crate::model::{self, Action, Id, Route};
use crate::pool::{RouteState, available_share};
use crate::registry::World;
use crate::resilience::bulkhead;
use crate::resilience::failover::shares;
use crate::resilience::rate_limit::{self, RateLimiter};
use crate::resilience::retry::Budget;

use super::proxy::Proxy;

impl Proxy {
    pub(super) fn all_routes(&self) -> Vec<RouteView> {
        self.services
            .registry
            .world()
            .map(|world| pairs(&world).map(|(route, state)| view(&world, route, state)).collect())
            .unwrap_or_default()
    }

    /// Lets `act` do something to what the policies of a route share, and shows the route afterwards.
    pub(super) fn with_route(&self, name: &str, act: impl FnOnce(&RouteState)) -> Result<RouteView, Unknown> {
        let world = self.services.registry.world();
        let shown = world.as_ref().and_then(|world| {
            let (route, state) = pairs(world).find(|(route, _)| route.name.as_str() == name)?;
            act(state);
            Some(view(world, route, state))
        });
        shown.ok_or_else(|| Unknown::Route(name.to_owned()))
    }

    pub(super) fn all_bulkheads(&self) -> Vec<BulkheadView> {
        let world = self.services.registry.world();
        world
            .map(|world| world.bulkheads.keys().filter_map(|name| bulkhead_view(&world, name.as_str())).collect())
            .unwrap_or_default()
    }

    pub(super) fn one_bulkhead(&self, name: &str) -> Result<BulkheadView, Unknown> {
        let world = self.services.registry.world();
        world.and_then(|world| bulkhead_view(&world, name)).ok_or_else(|| Unknown::Bulkhead(name.to_owned()))
    }

    pub(super) fn overload_view(&self) -> Option<OverloadView> {
        let world = self.services.registry.world()?;
        let limits = world.snapshot.overload.clone();
        Some(OverloadView {
            running: limits.max_requests.map(|_| world.pressure.running()),
            memory_bytes: Some(world.pressure.memory()).filter(|bytes| *bytes > 0),
            replay_memory_used_bytes: world.memory.used(),
            limits,
        })
    }
}

/// Returns each route with what its policies share, in the order of the config.
pub(super) fn pairs(world: &World) -> impl Iterator<Item = (&Arc<Route>, &RouteState)> {
    world.snapshot.routes.iter().filter_map(|route| Some((route, world.routes.get(&route.name)?)))
}

/// Returns the pools that a route's requests go to; none when it answers by itself.
pub(super) fn pools(route: &Route) -> Vec<Id> {
    match &route.action {
        Action::Forward(splits) => splits.iter().map(|split| split.pool.clone()).collect(),
        Action::Redirect(_) | Action::Respond(_) => Vec::new(),
    }
}

/// Returns what the rate limits of a route have counted.
pub(super) fn rate_limits(state: &RouteState) -> Vec<rate_limit::Report> {
    state.limits.iter().flat_map(|limits| limits.limits()).map(RateLimiter::report).collect()
}

/// Returns how the pools of a route share its traffic; `None` without failover.
pub(super) fn tiers(world: &World, route: &Route, state: &RouteState) -> Option<Vec<TierView>> {
    let (Action::Forward(splits), Some(failover), Some(spread)) = (&route.action, &route.policies.failover, &state.spread) else {
        return None;
    };
    let available = |pool: &Id| world.pools.get(pool).map_or(0.0, |pool| available_share(&pool.members.load().set));
    let counted = spread.counts().map(|(pool, attempts_total)| TierView {
        available: available(pool),
        pool: pool.clone(),
        share: 0.0,
        attempts_total,
    });
    let mut tiers: Vec<_> = counted.collect();
    let whole: f64 = splits.iter().map(|split| f64::from(split.weight)).sum();
    for split in splits {
        // As `pool::Tiers` has them: each pool that the route names with all that take over.
        let pools: Vec<&Id> = std::iter::once(&split.pool).chain(&failover.pools).collect();
        let health: Vec<f64> = pools.iter().map(|pool| available(pool)).collect();
        for (pool, share) in pools.iter().zip(shares(&health, failover.overprovisioning).as_slice()) {
            if let Some(tier) = tiers.iter_mut().find(|tier| tier.pool == **pool) {
                tier.share += share * f64::from(split.weight) / whole;
            }
        }
    }
    Some(tiers)
}

fn view(world: &World, route: &Route, state: &RouteState) -> RouteView {
    let now = clock::now();
    let retries = |budget: &Arc<Budget>| {
        let counted = state.tally.report();
        RetriesView {
            retries_total: counted.retries_total,
            recovered_total: counted.recovered_total,
            skipped_total: counted.skipped_total.into_iter().map(|(skip, count)| (skip.as_str(), count)).collect(),
            budget: budget.report(now),
        }
    };
    RouteView {
        name: route.name.clone(),
        pools: pools(route),
        timeouts: route.timeouts.clone(),
        policies: route.policies.clone(),
        rate_limits: rate_limits(state),
        failover: tiers(world, route, state),
        retries: state.budget.as_ref().map(retries),
        hedging: state.hedging.as_ref().map(|hedging| hedging.report(now)),
        mirroring: route.policies.mirror.as_ref().map(|_| state.shadow.report()),
        fault: state.fault.active(now),
        faults_injected_total: state.fault.injected_total(),
    }
}

fn bulkhead_view(world: &World, name: &str) -> Option<BulkheadView> {
    let (bulkhead, model) = (world.bulkheads.get(name)?, world.snapshot.bulkheads.get(name)?);
    let is_inside = |route: &&Arc<Route>| route.policies.bulkhead.as_ref().is_some_and(|inside| inside.as_str() == name);
    let routes = world.snapshot.routes.iter().filter(is_inside).map(|route| route.name.clone()).collect();
    Some(filled(model, routes, bulkhead.report()))
}

fn filled(model: &model::Bulkhead, routes: Vec<Id>, report: bulkhead::Report) -> BulkheadView {
    BulkheadView {
        name: model.name.clone(),
        routes,
        max_concurrent: report.max_concurrent,
        active: report.active,
        admitted_total: report.admitted_total,
        completed_total: report.completed_total,
        failed_total: report.failed_total,
        aborted_total: report.aborted_total,
        success_rate: report.success_rate,
        queue: QueueView { settings: model.queue.clone(), figures: report.queue },
    }
}
