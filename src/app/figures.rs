//! The figures of pools, routes, bulkheads and the process on the metrics page, read from the world on each scrape.
//!
//! What workers count for each request is `telemetry`'s; here is what the machines of `resilience` and `health` count by themselves. Every
//! label is a configured name or a word of a closed list.

use std::borrow::Cow;
use std::fmt::Display;

use crate::endpoint::{Cause, Endpoint};
use crate::health::Finding;
use crate::kit::clock::{self, Tick};
use crate::model::RateKey;
use crate::registry::{LivePool, World};
use crate::resilience::breaker::{self, State};
use crate::resilience::bulkhead::Report;
use crate::resilience::queue::Figures;
use crate::resilience::retry::{self, Retries};
use crate::resilience::{hedge, rate_limit, shadow};
use crate::telemetry::metrics::{Family, Text};

use super::route_view::{pairs, pools, rate_limits, tiers};

/// A family, and what its samples read.
pub(super) type Figure<T, V = u64> = (Family, fn(&T) -> V);

/// A family of pools, the same of bulkheads, and what both read of a queue.
type QueueFigure = (Family, Family, fn(&Figures) -> u64);

pub(super) const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: "gauge", help }
}

pub(super) const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: "counter", help }
}

const CONNECTIONS_WAITING: Family = gauge(
    "tidegate_connections_waiting",
    "Client connections that are accepted and wait for another one of their listener to close.",
);
const AVAILABLE: Family = gauge("tidegate_endpoint_available", "Whether an endpoint takes requests: 1 or 0.");
const IN_FLIGHT: Family = gauge("tidegate_endpoint_in_flight", "Requests that run on an endpoint.");
const SLOTS: Family = gauge("tidegate_endpoint_slots", "Requests that may run on an endpoint at once.");
const WEIGHT: Family = gauge("tidegate_endpoint_weight", "The weight of an endpoint.");
const HEALTH: Family =
    gauge("tidegate_endpoint_health", "What health checks say of an endpoint: 1 healthy, 0.5 degraded, 0 unhealthy.");
const CHECKS: Family = counter("tidegate_health_checks_total", "Health checks, by result.");
const TRANSITIONS: Family =
    counter("tidegate_health_transitions_total", "Changes of an endpoint between healthy, degraded and unhealthy.");
const HEALS: Family = counter("tidegate_heals_total", "Calls to a webhook and restarts that heal an endpoint, by result.");
const EJECTED: Family = gauge("tidegate_endpoints_ejected", "Endpoints that are out because they do worse than their peers.");
const EJECTIONS: Family = counter("tidegate_ejections_total", "Ejections of endpoints that do worse than their peers.");
const BREAKER_STATE: Family = gauge("tidegate_breaker_state", "The breaker of an endpoint: 0 closed, 1 half-open, 2 open.");
const BREAKER_OPENED: Family = counter("tidegate_breaker_opened_total", "How often the breaker of an endpoint has opened.");
const BREAKER_PROBES: Family =
    counter("tidegate_breaker_probes_total", "Probes that the half-open breaker of an endpoint has admitted.");

/// What queues count.
const QUEUES: [QueueFigure; 6] = [
    (
        gauge("tidegate_queue_waiting", "Requests that wait for a slot of a pool."),
        gauge("tidegate_bulkhead_waiting", "Requests that wait for a slot of a bulkhead."),
        |figures| figures.waiting,
    ),
    (
        counter("tidegate_queue_queued_total", "Requests that came to wait for a slot of a pool."),
        counter("tidegate_bulkhead_queued_total", "Requests that came to wait for a slot of a bulkhead."),
        |figures| figures.queued_total,
    ),
    (
        counter("tidegate_queue_granted_total", "Requests that waited for a slot of a pool and got one."),
        counter("tidegate_bulkhead_granted_total", "Requests that waited for a slot of a bulkhead and got one."),
        |figures| figures.granted_total,
    ),
    (
        counter("tidegate_queue_rejected_total", "Requests that found every place in the queue of a pool taken."),
        counter("tidegate_bulkhead_rejected_total", "Requests that found every place in the queue of a bulkhead taken."),
        |figures| figures.rejected_total,
    ),
    (
        counter("tidegate_queue_displaced_total", "Requests that left the queue of a pool for more important ones."),
        counter("tidegate_bulkhead_displaced_total", "Requests that left the queue of a bulkhead for more important ones."),
        |figures| figures.displaced_total,
    ),
    (
        counter("tidegate_queue_left_total", "Requests that left the queue of a pool: their time was over, or their client left."),
        counter(
            "tidegate_bulkhead_left_total",
            "Requests that left the queue of a bulkhead: their time was over, or their client left.",
        ),
        |figures| figures.left_total,
    ),
];
const QUEUE_WAIT: Family =
    counter("tidegate_queue_wait_seconds_total", "Seconds that requests waited for a slot of a pool and got one.");
const QUEUE_CAPACITY: Family = gauge("tidegate_queue_capacity", "Requests that may wait for a slot of a pool.");
const BULKHEAD_WAIT: Family =
    counter("tidegate_bulkhead_wait_seconds_total", "Seconds that requests waited for a slot of a bulkhead and got one.");
const BULKHEAD_ACTIVE: Family = gauge("tidegate_bulkhead_active", "Requests that have a slot of a bulkhead.");
const BULKHEAD_MAX: Family = gauge("tidegate_bulkhead_max_concurrent", "Slots of a bulkhead.");
const BULKHEAD_ADMITTED: Family = counter("tidegate_bulkhead_admitted_total", "Requests that got a slot of a bulkhead.");
const BULKHEAD_REQUESTS: Family =
    counter("tidegate_bulkhead_requests_total", "Requests that have given their slot of a bulkhead back, by outcome.");

const RATE_REQUESTS: Family =
    counter("tidegate_rate_limit_requests_total", "Requests that a rate limit was asked for, by what it said.");
const RATE_OVERFLOW: Family = counter(
    "tidegate_rate_limit_overflow_total",
    "Requests whose key found no room in a rate limit and was counted together with others.",
);
const RATE_KEYS: Family = gauge("tidegate_rate_limit_keys", "Keys that have a bucket of their own in a rate limit.");

const FAILOVER_SHARE: Family =
    gauge("tidegate_failover_share", "The share of a route's traffic that a pool has, where pools take over from each other.");
const FAILOVER_ATTEMPTS: Family = counter(
    "tidegate_failover_attempts_total",
    "Attempts of a route that got a place in a pool, where pools take over from each other.",
);

/// What retries count.
const RETRIES: [Figure<Retries>; 2] = [
    (counter("tidegate_retries_total", "Attempts beyond the first of their request."), |retries| retries.retries_total),
    (counter("tidegate_retries_recovered_total", "Requests that were answered well by a retry."), |retries| {
        retries.recovered_total
    }),
];
const SKIPPED: Family =
    counter("tidegate_retries_skipped_total", "Requests that were not tried again although their route wanted that, by reason.");
/// How the budgets of retries stand.
const BUDGETS: [Figure<retry::Report>; 3] = [
    (gauge("tidegate_retry_budget_spent", "Retries of the last 10 seconds."), |budget| budget.spent),
    (gauge("tidegate_retry_budget_allowance", "Retries that the requests of the last 10 seconds pay for."), |budget| {
        budget.allowance
    }),
    (counter("tidegate_retry_budget_refused_total", "Retries that the budget has refused."), |budget| budget.refused_total),
];
/// What hedging counts.
const HEDGES: [Figure<hedge::Report>; 2] = [
    (counter("tidegate_hedges_total", "Second attempts beside a slow first one."), |hedging| hedging.budget.spent_total),
    (counter("tidegate_hedges_refused_total", "Second attempts that the budget has refused."), |hedging| {
        hedging.budget.refused_total
    }),
];
const HEDGE_DELAY: Family = gauge("tidegate_hedge_delay_seconds", "How long a first attempt is waited for before a second one.");
const MIRRORED: Family =
    counter("tidegate_mirrored_total", "Requests that were copied to a shadow pool, or should have been, by result.");
const MIRRORED_FAILURES: Family = counter("tidegate_mirrored_failures_total", "Copies that were not answered to the last byte.");
const FAULT_ACTIVE: Family = gauge("tidegate_fault_active", "Whether an operator has switched a fault on: 1 or 0.");
const FAULTS: Family = counter("tidegate_faults_injected_total", "Requests that got a fault which an operator has switched on.");
const OVERLOAD_REQUESTS: Family = gauge("tidegate_overload_requests", "Requests that count for the limit of the process.");
const OVERLOAD_MEMORY: Family = gauge("tidegate_overload_memory_bytes", "Resident memory, at most a second old.");
const REPLAY_MEMORY: Family = gauge("tidegate_replay_memory_bytes", "Bytes of request bodies that are kept for further attempts.");

/// Writes the figures of `world`.
pub(super) fn render(world: &World, text: &mut Text) {
    let now = clock::now();
    listeners(world, text);
    endpoints(world, text);
    breakers(world, now, text);
    queues(world, text);
    health(world, text);
    ejections(world, text);
    bulkheads(world, text);
    rates(world, text);
    failovers(world, text);
    retries(world, now, text);
    hedges(world, now, text);
    mirrors(world, text);
    faults(world, now, text);
    process(world, text);
}

/// Writes a family with a sample for each of `items`, under their names as `label`.
pub(super) fn family<'a, T: 'a, V: Display>(
    text: &mut Text,
    family: Family,
    label: &str,
    items: impl IntoIterator<Item = &'a (&'a str, T)>,
    value: impl Fn(&T) -> V,
) {
    text.family(family);
    for (name, item) in items {
        text.sample(family.name, &[(label, *name)], value(item));
    }
}

fn each_pool<'a, T>(world: &'a World, look: impl Fn(&'a LivePool) -> Option<T>) -> Vec<(&'a str, T)> {
    world.pools.iter().filter_map(|(name, pool)| Some((name.as_str(), look(pool)?))).collect()
}

fn listeners(world: &World, text: &mut Text) {
    text.family(CONNECTIONS_WAITING);
    for (name, listener) in &world.listeners {
        text.sample(CONNECTIONS_WAITING.name, &[("listener", name.as_str())], listener.gate.waiting());
    }
}

fn endpoints(world: &World, text: &mut Text) {
    let families: [Figure<Endpoint, Option<f64>>; 4] = [
        (AVAILABLE, |endpoint| Some(truth(endpoint.is_eligible()))),
        (IN_FLIGHT, |endpoint| Some(endpoint.vitals().in_flight().into())),
        (SLOTS, |endpoint| endpoint.spec.max_connections.map(f64::from)),
        (WEIGHT, |endpoint| Some(endpoint.weight().as_f64())),
    ];
    for (family, value) in families {
        text.family(family);
        for (name, pool) in &world.pools {
            for endpoint in pool.members.load().set.endpoints() {
                let labels = [("pool", name.as_str()), ("endpoint", endpoint.spec.id.as_str())];
                if let Some(value) = value(endpoint) {
                    text.sample(family.name, &labels, value);
                }
            }
        }
    }
}

fn breakers(world: &World, now: Tick, text: &mut Text) {
    let mut reports = Vec::new();
    for (name, pool) in &world.pools {
        let members = pool.members.load();
        let pairs = members.set.endpoints().iter().zip(&members.breakers);
        reports.extend(pairs.filter_map(|(endpoint, breaker)| Some((name, endpoint.spec.id.clone(), breaker.report(now)?))));
    }
    let families: [Figure<breaker::Report>; 3] = [
        (BREAKER_STATE, |report| match report.state {
            State::Closed => 0,
            State::HalfOpen => 1,
            State::Open { .. } => 2,
        }),
        (BREAKER_OPENED, |report| report.opened_total),
        (BREAKER_PROBES, |report| report.probes_total),
    ];
    for (family, value) in families {
        text.family(family);
        for (pool, endpoint, report) in &reports {
            text.sample(family.name, &[("pool", pool.as_str()), ("endpoint", endpoint.as_str())], value(report));
        }
    }
}

fn queues(world: &World, text: &mut Text) {
    let figures = each_pool(world, |pool| {
        let settings = pool.model.protection.queue.as_ref()?;
        Some((pool.queue.figures(), settings.capacity))
    });
    family(text, QUEUE_CAPACITY, "pool", &figures, |(_, capacity)| *capacity);
    for (of_pools, _, value) in QUEUES {
        family(text, of_pools, "pool", &figures, |(figures, _)| value(figures));
    }
    family(text, QUEUE_WAIT, "pool", &figures, |(figures, _)| figures.waited_seconds_total);
}

fn health(world: &World, text: &mut Text) {
    text.family(HEALTH);
    for (pool, report) in each_pool(world, |pool| pool.keeper.health(0)) {
        for endpoint in &report.endpoints {
            let value = match endpoint.state {
                "healthy" => 1.0,
                "degraded" => 0.5,
                "unhealthy" => 0.0,
                // Not yet checked.
                _ => continue,
            };
            text.sample(HEALTH.name, &[("pool", pool), ("endpoint", endpoint.id.as_str())], value);
        }
    }
    let counters = each_pool(world, |pool| pool.keeper.checks());
    text.family(CHECKS);
    for (pool, counters) in &counters {
        for (finding, word) in [(Finding::Ok, "ok"), (Finding::Degraded, "degraded"), (Finding::Bad, "bad")] {
            text.sample(CHECKS.name, &[("pool", *pool), ("result", word)], counters.checks(finding));
        }
    }
    family(text, TRANSITIONS, "pool", &counters, |counters| counters.transitions());
    text.family(HEALS);
    for (pool, counters) in &counters {
        for (word, count) in [("taken", counters.heals()), ("failed", counters.failed_heals())] {
            text.sample(HEALS.name, &[("pool", *pool), ("result", word)], count);
        }
    }
}

fn ejections(world: &World, text: &mut Text) {
    let pools = each_pool(world, |pool| pool.model.protection.outlier.as_ref().map(|_| pool));
    family(text, EJECTED, "pool", &pools, |pool| {
        pool.members.load().set.endpoints().iter().filter(|endpoint| endpoint.state.availability().has(Cause::Ejected)).count()
    });
    family(text, EJECTIONS, "pool", &pools, |pool| pool.keeper.ejection().total());
}

fn bulkheads(world: &World, text: &mut Text) {
    let reports: Vec<_> = world.bulkheads.iter().map(|(name, bulkhead)| (name.as_str(), bulkhead.report())).collect();
    family(text, BULKHEAD_ACTIVE, "bulkhead", &reports, |report| report.active);
    family(text, BULKHEAD_MAX, "bulkhead", &reports, |report| report.max_concurrent);
    family(text, BULKHEAD_ADMITTED, "bulkhead", &reports, |report| report.admitted_total);
    text.family(BULKHEAD_REQUESTS);
    for (name, Report { completed_total, failed_total, aborted_total, .. }) in &reports {
        for (outcome, count) in [("completed", completed_total), ("failed", failed_total), ("aborted", aborted_total)] {
            text.sample(BULKHEAD_REQUESTS.name, &[("bulkhead", *name), ("outcome", outcome)], count);
        }
    }
    for (_, of_bulkheads, value) in QUEUES {
        family(text, of_bulkheads, "bulkhead", &reports, |report| value(&report.queue));
    }
    family(text, BULKHEAD_WAIT, "bulkhead", &reports, |report| report.queue.waited_seconds_total);
}

fn rates(world: &World, text: &mut Text) {
    let reports: Vec<_> =
        pairs(world).flat_map(|(route, state)| rate_limits(state).into_iter().map(|limit| (route.name.as_str(), limit))).collect();
    let keys: Vec<_> = reports.iter().map(|(_, limit)| key_word(&limit.key)).collect();
    let each = || {
        reports
            .iter()
            .zip(&keys)
            .map(|((route, limit), key)| (limit, [("route", *route), ("limit", limit.name.as_str()), ("key", key)]))
    };
    text.family(RATE_REQUESTS);
    for (limit, [route, name, key]) in each() {
        for (result, count) in [("allowed", limit.allowed_total), ("refused", limit.refused_total)] {
            text.sample(RATE_REQUESTS.name, &[route, name, key, ("result", result)], count);
        }
    }
    let is_keyed = |limit: &rate_limit::Report| limit.key != RateKey::Route;
    text.family(RATE_OVERFLOW);
    for (limit, labels) in each().filter(|(limit, _)| is_keyed(limit)) {
        text.sample(RATE_OVERFLOW.name, &labels, limit.overflow_total);
    }
    text.family(RATE_KEYS);
    for (limit, labels) in each().filter(|(limit, _)| is_keyed(limit)) {
        text.sample(RATE_KEYS.name, &labels, limit.keys);
    }
}

/// Writes a key as the file does.
fn key_word(key: &RateKey) -> Cow<'static, str> {
    match key {
        RateKey::Route => "route".into(),
        RateKey::ClientAddress => "client_address".into(),
        RateKey::Header(name) => format!("header:{name}").into(),
    }
}

fn failovers(world: &World, text: &mut Text) {
    let routes: Vec<_> =
        pairs(world).filter_map(|(route, state)| Some((route.name.as_str(), tiers(world, route, state)?))).collect();
    let each = || {
        routes.iter().flat_map(|(route, tiers)| tiers.iter().map(|tier| (tier, [("route", *route), ("pool", tier.pool.as_str())])))
    };
    text.family(FAILOVER_SHARE);
    for (tier, labels) in each() {
        text.sample(FAILOVER_SHARE.name, &labels, tier.share);
    }
    text.family(FAILOVER_ATTEMPTS);
    for (tier, labels) in each() {
        text.sample(FAILOVER_ATTEMPTS.name, &labels, tier.attempts_total);
    }
}

fn retries(world: &World, now: Tick, text: &mut Text) {
    let counted: Vec<_> = pairs(world)
        .filter(|(route, _)| !pools(route).is_empty())
        .filter_map(|(route, state)| {
            let budget = state.budget.as_ref()?.report(now);
            Some((route.name.as_str(), (state.tally.report(), budget)))
        })
        .collect();
    for (of_retries, value) in RETRIES {
        family(text, of_retries, "route", &counted, |(retries, _)| value(retries));
    }
    text.family(SKIPPED);
    for (route, (retries, _)) in &counted {
        for (skip, count) in &retries.skipped_total {
            text.sample(SKIPPED.name, &[("route", *route), ("reason", skip.as_str())], count);
        }
    }
    for (of_budget, value) in BUDGETS {
        family(text, of_budget, "route", &counted, |(_, budget)| value(budget));
    }
}

fn hedges(world: &World, now: Tick, text: &mut Text) {
    let reports: Vec<_> =
        pairs(world).filter_map(|(route, state)| Some((route.name.as_str(), state.hedging.as_ref()?.report(now)))).collect();
    for (of_hedges, value) in HEDGES {
        family(text, of_hedges, "route", &reports, value);
    }
    text.family(HEDGE_DELAY);
    for (route, report) in &reports {
        if let Some(delay) = report.delay_seconds {
            text.sample(HEDGE_DELAY.name, &[("route", *route)], delay);
        }
    }
}

fn mirrors(world: &World, text: &mut Text) {
    let has_mirror = pairs(world).filter(|(route, _)| route.policies.mirror.is_some());
    let reports: Vec<_> = has_mirror.map(|(route, state)| (route.name.as_str(), state.shadow.report())).collect();
    text.family(MIRRORED);
    for (route, shadow::Report { sent_total, skipped_total, .. }) in &reports {
        for (result, count) in [("sent", sent_total), ("skipped", skipped_total)] {
            text.sample(MIRRORED.name, &[("route", *route), ("result", result)], count);
        }
    }
    family(text, MIRRORED_FAILURES, "route", &reports, |report| report.failed_total);
}

fn faults(world: &World, now: Tick, text: &mut Text) {
    let forwards = pairs(world).filter(|(route, _)| !pools(route).is_empty());
    let switches: Vec<_> = forwards.map(|(route, state)| (route.name.as_str(), &*state.fault)).collect();
    family(text, FAULT_ACTIVE, "route", &switches, |switch| truth(switch.active(now).is_some()));
    family(text, FAULTS, "route", &switches, |switch| switch.injected_total());
}

fn process(world: &World, text: &mut Text) {
    text.family(OVERLOAD_REQUESTS);
    // Without a limit nobody counts them, and 0 would be a lie.
    if world.snapshot.overload.max_requests.is_some() {
        text.sample(OVERLOAD_REQUESTS.name, &[], world.pressure.running());
    }
    text.family(OVERLOAD_MEMORY);
    let memory = world.pressure.memory();
    if memory > 0 {
        text.sample(OVERLOAD_MEMORY.name, &[], memory);
    }
    text.family(REPLAY_MEMORY);
    text.sample(REPLAY_MEMORY.name, &[], world.memory.used());
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}
