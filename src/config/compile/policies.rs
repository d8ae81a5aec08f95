//! Policies of routes, and the limits that they share.

use std::collections::HashSet;
use std::time::Duration;

use super::protection;
use crate::config::shape::{OrNone, Text};
use crate::config::{defaults, raw};
use crate::model::{Budget, Bulkhead, Failover, Hedge, Id, Mirror, Overload, Policies, RateKey, RateLimit, Retry};

pub(super) fn policies(raw: &raw::Route) -> Policies {
    let limits = raw.rate_limit.as_ref().map_or(&[][..], |limits| &limits.value.0);
    Policies {
        retry: match &raw.retry {
            None => Some(Retry::default()),
            Some(retry) => retry.value.as_option().map(self::retry),
        },
        hedge: raw.hedge.as_ref().and_then(|hedge| hedge.value.as_option()).map(hedge),
        bulkhead: raw.bulkhead.as_ref().map(|name| name.value.clone()),
        priority: raw.priority.as_ref().map_or(0, |rank| rank.value.0),
        rate_limits: limits.iter().filter_map(|limit| rate_limit(&limit.value, limits.len())).collect(),
        failover: raw.failover.as_ref().map(|failover| self::failover(&failover.value.0)),
        mirror: raw.mirror.as_ref().map(|mirror| self::mirror(&mirror.value)),
    }
}

/// Returns the policies of a route that a listener's `pool` stands for.
pub(super) fn implied() -> Policies {
    Policies { retry: Some(Retry::default()), ..Policies::default() }
}

pub(super) fn bulkhead(name: Id, raw: &raw::Bulkhead) -> Bulkhead {
    let default = raw::Queue::default();
    let queue = raw.queue.as_ref().and_then(OrNone::as_option).map_or(&default, |queue| &queue.0);
    Bulkhead { name, max_concurrent: raw.max_concurrent.value.0, queue: protection::queue(queue, defaults::BULKHEAD_CAPACITY) }
}

pub(super) fn overload(raw: &raw::Overload) -> Overload {
    let default = Overload::default();
    Overload {
        max_requests: raw.max_requests.as_ref().and_then(OrNone::as_option).map(|count| count.value.0),
        max_memory: raw.max_memory.as_ref().and_then(OrNone::as_option).map(|size| size.value.0),
        reserve: raw.reserve.as_ref().map_or(default.reserve, |ratio| ratio.value.0),
        replay_memory: raw.replay_memory.as_ref().map_or(default.replay_memory, |size| size.value.0),
    }
}

/// Returns the name of one of `count` rate limits: its `name`, or one made from its key; `None` when the key is too long for one.
pub(in crate::config) fn rate_limit_name(raw: &raw::RateLimit, count: usize) -> Option<Id> {
    if let Some(name) = &raw.name {
        return Some(name.value.clone());
    }
    match raw.key.as_ref().map(|key| &key.value) {
        _ if count == 1 => "default".parse().ok(),
        None | Some(RateKey::Route) => "route".parse().ok(),
        Some(RateKey::ClientAddress) => "client_address".parse().ok(),
        Some(RateKey::Header(name)) => {
            // A field may have characters that an id has not, such as `*`.
            let clean =
                name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '-' });
            format!("header:{}", clean.collect::<String>()).parse().ok()
        }
    }
}

/// Returns a lower and an upper bound; one that is given moves the default of the other out of its way.
pub(super) fn bounds(
    low: &Option<Text<raw::Period>>,
    high: &Option<Text<raw::Period>>,
    default: (Duration, Duration),
) -> (Duration, Duration) {
    let low = low.as_ref().map(|period| period.value.0);
    let high = high.as_ref().map(|period| period.value.0);
    (
        low.unwrap_or_else(|| high.map_or(default.0, |high| high.min(default.0))),
        high.unwrap_or_else(|| low.map_or(default.1, |low| low.max(default.1))),
    )
}

fn retry(raw: &raw::Retry) -> Retry {
    let default = Retry::default();
    let (base_delay, max_delay) = bounds(&raw.base_delay, &raw.max_delay, (default.base_delay, default.max_delay));
    Retry {
        max_attempts: raw.max_attempts.as_ref().map_or(default.max_attempts, |count| count.value.0),
        on: raw.on.as_ref().map_or(default.on, |on| {
            let mut words: Vec<_> = on.0.iter().map(|condition| condition.value).collect();
            let mut seen = HashSet::new();
            words.retain(|condition| seen.insert(*condition));
            words
        }),
        non_idempotent: raw.non_idempotent.unwrap_or(default.non_idempotent),
        backoff: raw.backoff.as_ref().map_or(default.backoff, |backoff| backoff.value),
        base_delay,
        max_delay,
        jitter: raw.jitter.as_ref().map_or(default.jitter, |jitter| jitter.value),
        budget: raw.budget.as_ref().map_or_else(Budget::default, |raw| {
            let default = Budget::default();
            Budget {
                ratio: raw.ratio.as_ref().map_or(default.ratio, |ratio| ratio.value.0),
                min_per_second: raw.min_per_second.as_ref().map_or(default.min_per_second, |count| count.value.0),
            }
        }),
        body_buffer: raw.body_buffer.as_ref().map_or(default.body_buffer, |size| size.value.0),
    }
}

fn hedge(raw: &raw::Hedge) -> Hedge {
    Hedge { after: raw.after.value, max_extra: raw.max_extra.as_ref().map_or(defaults::HEDGE_MAX_EXTRA, |ratio| ratio.value.0) }
}

fn rate_limit(raw: &raw::RateLimit, count: usize) -> Option<RateLimit> {
    let requests = raw.requests.value.0;
    Some(RateLimit {
        name: rate_limit_name(raw, count)?,
        requests,
        per: raw.per.as_ref().map_or(defaults::RATE_LIMIT_PER, |period| period.value.0),
        burst: raw.burst.as_ref().map_or(requests, |burst| burst.value.0),
        key: raw.key.as_ref().map_or(RateKey::Route, |key| key.value.clone()),
    })
}

fn failover(raw: &raw::Failover) -> Failover {
    Failover {
        pools: raw.pools.0.iter().map(|pool| pool.value.clone()).collect(),
        overprovisioning: raw.overprovisioning.as_ref().map_or(defaults::OVERPROVISIONING, |factor| factor.value.0),
    }
}

fn mirror(raw: &raw::Mirror) -> Mirror {
    Mirror {
        pool: raw.pool.value.clone(),
        share: raw.share.as_ref().map_or(defaults::MIRROR_SHARE, |ratio| ratio.value.0),
        body_buffer: raw.body_buffer.as_ref().map_or(defaults::MIRROR_BODY, |size| size.value.0),
    }
}
