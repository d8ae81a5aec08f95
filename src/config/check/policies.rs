//! Policies of routes: limits that hold, pools that can take over, settings without effect.

use std::collections::HashMap;

use super::Report;
use super::protection::ordered;
use crate::config::compile::rate_limit_name;
use crate::config::raw::{Failover, RateLimit, Retry, Route};
use crate::config::shape::{At, ListOr};
use crate::config::tree::NodeId;
use crate::model::Id;

/// More would hide a mistake: the last of them only matters when all before it have lost capacity.
const MAX_TIERS: usize = 7;

/// Checks the policies of one route.
pub(super) fn policies(route: &At<Route>, report: &mut Report<'_>) {
    let raw = &route.value;
    if let Some(retry) = raw.retry.as_ref().and_then(|retry| retry.value.as_option()) {
        self::retry(retry, report);
    }
    if let Some(limits) = &raw.rate_limit {
        rate_limits(&limits.value.0, report);
    }
    if let Some(failover) = &raw.failover {
        self::failover(route, failover, report);
    }
}

/// Returns the places of the policies that a route names.
pub(super) fn places(raw: &Route) -> impl Iterator<Item = NodeId> {
    let retry = raw.retry.as_ref().map(|retry| retry.id);
    let hedge = raw.hedge.as_ref().map(|hedge| hedge.id);
    let bulkhead = raw.bulkhead.as_ref().map(|name| name.id);
    let priority = raw.priority.as_ref().map(|rank| rank.id);
    let rate_limit = raw.rate_limit.as_ref().map(|limits| limits.id);
    let failover = raw.failover.as_ref().map(|failover| failover.id);
    let mirror = raw.mirror.as_ref().map(|mirror| mirror.id);
    [retry, hedge, bulkhead, priority, rate_limit, failover, mirror].into_iter().flatten()
}

fn retry(retry: &Retry, report: &mut Report<'_>) {
    ordered(("base_delay", "max_delay"), &retry.base_delay, &retry.max_delay, report);
    let Retry { max_attempts, on, non_idempotent, backoff, base_delay, max_delay, jitter, budget, body_buffer } = retry;
    let has_others = on.is_some()
        || non_idempotent.is_some()
        || backoff.is_some()
        || base_delay.is_some()
        || max_delay.is_some()
        || jitter.is_some()
        || budget.is_some()
        || body_buffer.is_some();
    if let Some(one) = max_attempts.as_ref().filter(|count| count.value.0 == 1 && has_others) {
        report.warn(one.id, "what else `retry` says has no effect: the only attempt is the first one");
    }
}

fn rate_limits(limits: &[At<RateLimit>], report: &mut Report<'_>) {
    let mut names: HashMap<Id, NodeId> = HashMap::new();
    for limit in limits {
        let Some(name) = rate_limit_name(&limit.value, limits.len()) else {
            report.error(limit.id, "the key is too long to serve as `name`: give one");
            continue;
        };
        if let Some(first) = names.get(&name) {
            let at = limit.value.name.as_ref().map_or(limit.id, |name| name.id);
            let suggestion = limit.value.name.is_none().then(|| "give each a `name` of its own".to_owned());
            let line = report.line(*first);
            report.error_with(at, format!("a rate limit \"{name}\" is there already, in {line}"), suggestion);
        } else {
            names.insert(name, limit.id);
        }
    }
}

fn failover(route: &At<Route>, failover: &At<ListOr<Failover>>, report: &mut Report<'_>) {
    let pools = &failover.value.0.pools.0;
    let is_written = if report.has_key(failover.id, "pools") {
        report.has_items(failover.id, "pools")
    } else {
        report.has_items(route.id, "failover")
    };
    if pools.is_empty() && !is_written {
        report.error(failover.id, "names no pool");
    }
    if let Some(excess) = pools.get(MAX_TIERS) {
        report.error(excess.id, format!("at most {MAX_TIERS} pools can take over, found {}", pools.len()));
    }
    let shares = route.value.split.iter().flat_map(|split| &split.value.0).map(|share| &share.pool);
    let own: Vec<&Id> = route.value.pool.iter().chain(shares).map(|pool| &pool.value).collect();
    for (index, pool) in pools.iter().enumerate() {
        if own.contains(&&pool.value) {
            report.error(pool.id, format!("the route sends to the pool \"{}\" already", pool.value));
        } else if pools.iter().take(index).any(|before| before.value == pool.value) {
            report.error(pool.id, format!("the pool \"{}\" is there already", pool.value));
        }
    }
}
