//! What a route applies, from the admission to the retries.
//!
//! What it says about a single attempt stands with the pool, behind what the pool decides before one begins.

use super::shown::{duration, list, none, number, off, optional, percent, size, word};
use super::{Policy, Section, Source};
use crate::config::defaults::{BULKHEAD_CAPACITY, HEDGE_MAX_EXTRA, MIRROR_BODY, MIRROR_SHARE, OVERPROVISIONING};
use crate::model::{
    Action, Bulkhead, Failover, Hedge, HedgeDelay, Mirror, Overload, Queue, RateKey, RateLimit, Retry, Route, RouteTimeouts,
    Snapshot,
};

/// Lists what applies to a request of a route, outermost first; nothing to one that is answered here.
pub(in crate::cli::explain) fn of_route(route: &Route, snapshot: &Snapshot) -> Vec<Policy> {
    let mut policies = Vec::new();
    if !matches!(route.action, Action::Forward(_)) {
        return policies;
    }
    admission(route, &snapshot.overload, &mut policies);
    // Around the layers: it speaks to the client while they all wait.
    let mut section = Section { source: Source::Route, policies: &mut policies };
    section.add("heartbeat", &route.heartbeat, &None, |heartbeat| heartbeat.as_ref().map_or_else(off, duration));
    // From here on the order is that of `pool/stack.rs`.
    mirror(route.policies.mirror.as_ref(), &mut policies);
    let mut section = Section { source: Source::Route, policies: &mut policies };
    section.add("timeouts.total", &route.timeouts.total, &RouteTimeouts::default().total, optional);
    // A bulkhead that a route names exists, by the invariant of the snapshot.
    let bulkhead = route.policies.bulkhead.as_ref().and_then(|name| snapshot.bulkheads.get(name));
    self::bulkhead(bulkhead.map(AsRef::as_ref), &mut policies);
    hedge(route.policies.hedge.as_ref(), &mut policies);
    retry(route.policies.retry.as_ref(), &snapshot.overload, &mut policies);
    failover(route.policies.failover.as_ref(), &mut policies);
    policies
}

fn admission(route: &Route, overload: &Overload, policies: &mut Vec<Policy>) {
    let mut section = Section { source: Source::Route, policies };
    for limit in &route.policies.rate_limits {
        section.given("rate_limit", rate_limit(limit));
    }
    if route.policies.rate_limits.is_empty() {
        section.absent("rate_limit", "none");
    }
    section.add("priority", &route.policies.priority, &0, number);
    let mut section = Section { source: Source::Overload, policies };
    let default = Overload::default();
    section.add("overload.max_requests", &overload.max_requests, &default.max_requests, |limit| {
        limit.map_or_else(none, |n| number(&n))
    });
    section.add("overload.max_memory", &overload.max_memory, &default.max_memory, |bytes| bytes.map_or_else(none, size));
    if overload.max_requests.is_some() || overload.max_memory.is_some() {
        section.add("overload.reserve", &overload.reserve, &default.reserve, |share| percent(*share));
    }
}

fn rate_limit(limit: &RateLimit) -> String {
    let RateLimit { name, requests, per, burst, key } = limit;
    let key = match key {
        RateKey::Route => "route".to_owned(),
        RateKey::ClientAddress => "client_address".to_owned(),
        RateKey::Header(name) => format!("header:{name}"),
    };
    format!("{name}: {requests} per {}, burst {burst}, by {key}", duration(per))
}

fn bulkhead(bulkhead: Option<&Bulkhead>, policies: &mut Vec<Policy>) {
    let Some(Bulkhead { name, max_concurrent, queue }) = bulkhead else {
        return Section { source: Source::Route, policies }.absent("bulkhead", "none");
    };
    Section { source: Source::Route, policies }.given("bulkhead", name.to_string());
    let mut section = Section { source: Source::Bulkhead, policies };
    section.given(format!("bulkheads.{name}.max_concurrent"), number(max_concurrent));
    section.add(format!("bulkheads.{name}.queue.capacity"), &queue.capacity, &BULKHEAD_CAPACITY, number);
    if queue.capacity > 0 {
        let default = Queue::default().timeout;
        section.add(format!("bulkheads.{name}.queue.timeout"), &queue.timeout, &default, duration);
    }
}

fn hedge(hedge: Option<&Hedge>, policies: &mut Vec<Policy>) {
    let mut section = Section { source: Source::Route, policies };
    let Some(Hedge { after, max_extra }) = hedge else { return section.absent("hedge", "off") };
    section.given(
        "hedge.after",
        match after {
            // What the division by 100 left behind is rounded away.
            HedgeDelay::Quantile(quantile) => format!("p{}", (quantile * 10_000.0).round() / 100.0),
            HedgeDelay::Fixed(delay) => duration(delay),
        },
    );
    section.add("hedge.max_extra", max_extra, &HEDGE_MAX_EXTRA, |share| percent(*share));
}

fn retry(retry: Option<&Retry>, overload: &Overload, policies: &mut Vec<Policy>) {
    let mut section = Section { source: Source::Route, policies };
    let Some(retry) = retry else { return section.given("retry", off()) };
    let default = Retry::default();
    section.add("retry.max_attempts", &retry.max_attempts, &default.max_attempts, number);
    section.add("retry.on", &retry.on, &default.on, |on| list(on, word));
    section.add("retry.non_idempotent", &retry.non_idempotent, &default.non_idempotent, number);
    section.add("retry.backoff", &retry.backoff, &default.backoff, word);
    section.add("retry.base_delay", &retry.base_delay, &default.base_delay, duration);
    section.add("retry.max_delay", &retry.max_delay, &default.max_delay, duration);
    section.add("retry.jitter", &retry.jitter, &default.jitter, word);
    section.add("retry.budget.ratio", &retry.budget.ratio, &default.budget.ratio, |ratio| percent(*ratio));
    let min_per_second = &default.budget.min_per_second;
    section.add("retry.budget.min_per_second", &retry.budget.min_per_second, min_per_second, number);
    section.add("retry.body_buffer", &retry.body_buffer, &default.body_buffer, |bytes| size(*bytes));
    let mut section = Section { source: Source::Overload, policies };
    let default = Overload::default().replay_memory;
    section.add("overload.replay_memory", &overload.replay_memory, &default, |bytes| size(*bytes));
}

fn failover(failover: Option<&Failover>, policies: &mut Vec<Policy>) {
    let mut section = Section { source: Source::Route, policies };
    let Some(Failover { pools, overprovisioning }) = failover else { return section.absent("failover", "none") };
    section.given("failover.pools", list(pools, number));
    section.add("failover.overprovisioning", overprovisioning, &OVERPROVISIONING, number);
}

fn mirror(mirror: Option<&Mirror>, policies: &mut Vec<Policy>) {
    let mut section = Section { source: Source::Route, policies };
    let Some(Mirror { pool, share, body_buffer }) = mirror else { return section.absent("mirror", "none") };
    section.given("mirror.pool", pool.to_string());
    section.add("mirror.share", share, &MIRROR_SHARE, |share| percent(*share));
    section.add("mirror.body_buffer", body_buffer, &MIRROR_BODY, |bytes| size(*bytes));
}
