//! What pools do about endpoints that fail, and when all are busy.

use std::time::Duration;

use http::Method;

use super::policies::bounds;
use super::route::fields;
use crate::config::shape::{List, OrNone, Text};
use crate::config::{defaults, raw};
use crate::model::{Breaker, Heal, Health, HttpProbe, JsonField, Outlier, Probe, Protection, Queue};

pub(super) fn protection(raw: &raw::Pool) -> Protection {
    Protection {
        circuit_breaker: match &raw.circuit_breaker {
            None => Some(Breaker::default()),
            Some(breaker) => breaker.as_option().map(|breaker| self::breaker(&breaker.value)),
        },
        outlier: raw.outlier.as_ref().and_then(OrNone::as_option).map(|outlier| self::outlier(&outlier.value)),
        health: raw.health.as_ref().and_then(OrNone::as_option).and_then(|health| self::health(&health.value)),
        queue: match &raw.queue {
            None => can_wait(raw).then(Queue::default),
            Some(queue) => queue.as_option().map(|queue| self::queue(&queue.0, Queue::default().capacity)),
        },
    }
}

/// Writes out a queue; one that names no capacity has `capacity`.
pub(super) fn queue(raw: &raw::Queue, capacity: u32) -> Queue {
    Queue {
        capacity: raw.capacity.as_ref().map_or(capacity, |count| count.value.0),
        timeout: period(&raw.timeout, Queue::default().timeout),
    }
}

/// Tells whether there is something to wait for: an endpoint can be full, or the next one can be on its way.
fn can_wait(raw: &raw::Pool) -> bool {
    let is_sized = raw.autoscale.as_ref().is_some_and(|autoscale| autoscale.as_option().is_some());
    is_sized || has_slots(raw)
}

/// Tells whether an endpoint can be full.
pub(in crate::config) fn has_slots(raw: &raw::Pool) -> bool {
    raw.max_connections.is_some() || raw.endpoints.0.iter().any(|endpoint| endpoint.value.0.max_connections.is_some())
}

fn period(raw: &Option<Text<raw::Period>>, default: Duration) -> Duration {
    raw.as_ref().map_or(default, |period| period.value.0)
}

fn count<const MIN: u32, const MAX: u32>(raw: &Option<Text<raw::Count<MIN, MAX>>>, default: u32) -> u32 {
    raw.as_ref().map_or(default, |count| count.value.0)
}

fn ranges(raw: &List<Text<raw::Statuses>>) -> impl Iterator<Item = (u16, u16)> {
    raw.0.iter().map(|statuses| (statuses.value.0, statuses.value.1))
}

fn breaker(raw: &raw::Breaker) -> Breaker {
    let default = Breaker::default();
    let longest = (default.recovery_timeout, default.max_recovery_timeout);
    let (recovery_timeout, max_recovery_timeout) = bounds(&raw.recovery_timeout, &raw.max_recovery_timeout, longest);
    Breaker {
        failure_threshold: count(&raw.failure_threshold, default.failure_threshold),
        success_rate: match &raw.success_rate {
            None => default.success_rate,
            Some(rate) => rate.as_option().map_or(0.0, |ratio| ratio.value.0),
        },
        window: period(&raw.window, default.window),
        min_attempts: count(&raw.min_attempts, default.min_attempts),
        recovery_timeout,
        max_recovery_timeout,
        success_threshold: count(&raw.success_threshold, default.success_threshold),
        statuses: raw.statuses.as_ref().map_or(default.statuses, |statuses| {
            let mut all: Vec<u16> = ranges(statuses).flat_map(|(first, last)| first..=last).collect();
            all.sort_unstable();
            all.dedup();
            all
        }),
    }
}

fn outlier(raw: &raw::Outlier) -> Outlier {
    let mut outlier = Outlier::default();
    outlier.interval = period(&raw.interval, outlier.interval);
    match &raw.consecutive_failures {
        None => {}
        Some(failures) => outlier.consecutive_failures = failures.as_option().map_or(0, |count| count.value.0),
    }
    match &raw.success_rate {
        None => {}
        Some(OrNone::None) => outlier.success_rate_deviations = 0.0,
        Some(OrNone::Some(rate)) => {
            outlier.success_rate_deviations = rate.deviations.as_ref().map_or(outlier.success_rate_deviations, |text| text.value.0);
            outlier.success_rate_endpoints = count(&rate.endpoints, outlier.success_rate_endpoints);
            outlier.success_rate_attempts = count(&rate.attempts, outlier.success_rate_attempts);
        }
    }
    match &raw.latency {
        None => {}
        Some(OrNone::None) => outlier.latency_factor = 0.0,
        Some(OrNone::Some(latency)) => {
            outlier.latency_factor = latency.factor.as_ref().map_or(outlier.latency_factor, |factor| factor.value.0);
            outlier.latency_endpoints = count(&latency.endpoints, outlier.latency_endpoints);
            outlier.latency_attempts = count(&latency.attempts, outlier.latency_attempts);
        }
    }
    let default = (outlier.base_ejection, outlier.max_ejection);
    (outlier.base_ejection, outlier.max_ejection) = bounds(&raw.base_ejection, &raw.max_ejection, default);
    outlier.max_ejected = raw.max_ejected.as_ref().map_or(outlier.max_ejected, |ratio| ratio.value.0);
    outlier
}

/// Compiles a health check; `None` when it does not say what is asked, which is an error.
fn health(raw: &raw::Health) -> Option<Health> {
    let interval = period(&raw.interval, defaults::HEALTH_INTERVAL);
    Some(Health {
        probe: probe(raw)?,
        interval,
        unhealthy_interval: period(&raw.unhealthy_interval, defaults::UNHEALTHY_INTERVAL.min(interval)),
        timeout: period(&raw.timeout, defaults::HEALTH_TIMEOUT),
        healthy_threshold: count(&raw.healthy_threshold, defaults::HEALTHY_THRESHOLD),
        unhealthy_threshold: count(&raw.unhealthy_threshold, defaults::UNHEALTHY_THRESHOLD),
        degraded_above: raw.degraded_above.as_ref().and_then(OrNone::as_option).map(|period| period.value.0),
        heal: raw.heal.as_ref().and_then(OrNone::as_option).map(|heal| self::heal(&heal.value)),
    })
}

fn probe(raw: &raw::Health) -> Option<Probe> {
    if let Some(http) = &raw.http {
        return Some(Probe::Http(http_probe(&http.value)));
    }
    if let Some(grpc) = &raw.grpc {
        let service = grpc.value.service.as_ref().map(|service| service.value.clone()).unwrap_or_default();
        return Some(Probe::Grpc { service });
    }
    raw.tcp.as_ref().map(|_| Probe::Tcp)
}

fn http_probe(raw: &raw::HttpProbe) -> HttpProbe {
    HttpProbe {
        method: raw.method.as_ref().map_or(Method::GET, |method| method.value.clone()),
        path: raw.path.as_ref().map_or_else(|| defaults::HEALTH_PATH.to_owned(), |path| path.value.0.clone()),
        host: raw.host.as_ref().map(|host| host.value.0.clone()),
        headers: fields(&raw.headers),
        expect: raw.expect.as_ref().map_or_else(|| vec![defaults::HEALTH_EXPECT], |expect| ranges(&expect.value).collect()),
        body: raw.body.as_ref().map(|body| body.value.clone()),
        json: raw
            .json
            .as_ref()
            .map(|json| JsonField { pointer: json.value.pointer.value.0.clone(), equals: json.value.equals.value.clone() }),
    }
}

fn heal(raw: &raw::Heal) -> Heal {
    Heal {
        after: period(&raw.after, defaults::HEAL_AFTER),
        cooldown: period(&raw.cooldown, defaults::HEAL_COOLDOWN),
        restart: raw.restart.as_ref().is_some_and(|restart| restart.value),
        webhook: raw.webhook.as_ref().map(|webhook| webhook.value.0.clone()),
        token: raw.token.as_ref().map(|token| token.value.clone()),
    }
}
