//! What applies to an attempt, from the choice of an endpoint to its answer: the pool's say, and the route's.

use super::scaling::scaling;
use super::shown::{duration, list, none, number, number_or_off, off, optional, percent, percent_or_off, word};
use super::{Policy, Section, Source};
use crate::config::defaults;
use crate::model::{Breaker, Health, HostHeader, HttpProbe, Outlier, Pool, Probe, Queue, RouteTimeouts, Upstream};

/// Lists what applies to an attempt of a route in a pool, in the order in which it meets it.
pub(in crate::cli::explain) fn of_pool(pool: &Pool, route: &RouteTimeouts) -> Vec<Policy> {
    let mut policies = Vec::new();
    seat(pool, route, &mut policies);
    breaker(pool.protection.circuit_breaker.as_ref(), &mut policies);
    outlier(pool.protection.outlier.as_ref(), &mut policies);
    health(pool.protection.health.as_ref(), &mut policies);
    scaling(pool, &mut policies);
    exchange(&pool.upstream, route, &mut policies);
    policies
}

fn seat(pool: &Pool, route: &RouteTimeouts, policies: &mut Vec<Policy>) {
    let mut section = Section { source: Source::Pool, policies };
    section.add("slow_start", &pool.slow_start, &None, optional);
    let own = pool.endpoints.iter().filter(|endpoint| endpoint.max_connections.is_some()).count();
    let slots = pool.max_connections.map_or_else(none, |slots| slots.to_string());
    if own > 0 {
        section.given("max_connections", format!("{slots}; {own} of {} endpoints have their own", pool.endpoints.len()));
    } else {
        section.add("max_connections", &pool.max_connections, &None, |_| slots.clone());
    }
    // Where slots are counted or replicas come, a queue is the default; elsewhere, there is one because the file says so.
    let can_wait = own > 0 || pool.max_connections.is_some() || pool.autoscale.is_some();
    match (&pool.protection.queue, can_wait) {
        (None, true) => section.given("queue", off()),
        (None, false) => section.absent("queue", "off"),
        (Some(queue), true) => {
            let default = Queue::default();
            section.add("queue.capacity", &queue.capacity, &default.capacity, number);
            waiting(queue, Some(&default), route, &mut section);
        }
        (Some(queue), false) => {
            section.given("queue.capacity", number(&queue.capacity));
            waiting(queue, None, route, &mut section);
        }
    }
}

/// Adds how long a request may wait for a slot: what the route says goes before what the pool says.
fn waiting(queue: &Queue, default: Option<&Queue>, route: &RouteTimeouts, section: &mut Section<'_>) {
    match (route.queue, default) {
        (Some(timeout), _) => {
            Section { source: Source::Route, policies: section.policies }.given("timeouts.queue", duration(&timeout));
        }
        (None, Some(default)) => section.add("queue.timeout", &queue.timeout, &default.timeout, duration),
        (None, None) => section.given("queue.timeout", duration(&queue.timeout)),
    }
}

fn breaker(breaker: Option<&Breaker>, policies: &mut Vec<Policy>) {
    let mut section = Section { source: Source::Pool, policies };
    let Some(breaker) = breaker else { return section.given("circuit_breaker", off()) };
    let default = Breaker::default();
    section.add("circuit_breaker.failure_threshold", &breaker.failure_threshold, &default.failure_threshold, number);
    section.add("circuit_breaker.success_rate", &breaker.success_rate, &default.success_rate, percent_or_off);
    if breaker.success_rate > 0.0 {
        section.add("circuit_breaker.window", &breaker.window, &default.window, duration);
        section.add("circuit_breaker.min_attempts", &breaker.min_attempts, &default.min_attempts, number);
    }
    section.add("circuit_breaker.recovery_timeout", &breaker.recovery_timeout, &default.recovery_timeout, duration);
    let longest = (&breaker.max_recovery_timeout, &default.max_recovery_timeout);
    section.add("circuit_breaker.max_recovery_timeout", longest.0, longest.1, duration);
    section.add("circuit_breaker.success_threshold", &breaker.success_threshold, &default.success_threshold, number);
    section.add("circuit_breaker.statuses", &breaker.statuses, &default.statuses, |statuses| list(statuses, number));
}

fn outlier(outlier: Option<&Outlier>, policies: &mut Vec<Policy>) {
    let mut section = Section { source: Source::Pool, policies };
    let Some(outlier) = outlier else { return section.absent("outlier", "off") };
    let default = Outlier::default();
    section.add("outlier.interval", &outlier.interval, &default.interval, duration);
    let failures = (&outlier.consecutive_failures, &default.consecutive_failures);
    section.add("outlier.consecutive_failures", failures.0, failures.1, number_or_off);
    let rate = |outlier: &Outlier| (outlier.success_rate_deviations, outlier.success_rate_endpoints, outlier.success_rate_attempts);
    section.add("outlier.success_rate", &rate(outlier), &rate(&default), |(deviations, endpoints, attempts)| match *deviations {
        0.0 => off(),
        _ => format!("{deviations} deviations below the mean of {endpoints} endpoints with {attempts} attempts"),
    });
    let latency = |outlier: &Outlier| (outlier.latency_factor, outlier.latency_endpoints, outlier.latency_attempts);
    section.add("outlier.latency", &latency(outlier), &latency(&default), |(factor, endpoints, attempts)| match *factor {
        0.0 => off(),
        _ => format!("{factor} times the median of {endpoints} endpoints with {attempts} attempts"),
    });
    section.add("outlier.base_ejection", &outlier.base_ejection, &default.base_ejection, duration);
    section.add("outlier.max_ejection", &outlier.max_ejection, &default.max_ejection, duration);
    section.add("outlier.max_ejected", &outlier.max_ejected, &default.max_ejected, |share| percent(*share));
}

fn health(health: Option<&Health>, policies: &mut Vec<Policy>) {
    let mut section = Section { source: Source::Pool, policies };
    let Some(health) = health else { return section.absent("health", "off") };
    match &health.probe {
        Probe::Http(http) => section.given("health.http", http_probe(http)),
        Probe::Tcp => section.given("health.tcp", "a connection opens".to_owned()),
        Probe::Grpc { service } if service.is_empty() => section.given("health.grpc", "the whole server".to_owned()),
        Probe::Grpc { service } => section.given("health.grpc", service.clone()),
    }
    section.add("health.interval", &health.interval, &defaults::HEALTH_INTERVAL, duration);
    let usual = defaults::UNHEALTHY_INTERVAL.min(health.interval);
    section.add("health.unhealthy_interval", &health.unhealthy_interval, &usual, duration);
    section.add("health.timeout", &health.timeout, &defaults::HEALTH_TIMEOUT, duration);
    section.add("health.healthy_threshold", &health.healthy_threshold, &defaults::HEALTHY_THRESHOLD, number);
    section.add("health.unhealthy_threshold", &health.unhealthy_threshold, &defaults::UNHEALTHY_THRESHOLD, number);
    section.add("health.degraded_above", &health.degraded_above, &None, optional);
    match &health.heal {
        None => section.absent("health.heal", "off"),
        Some(heal) => {
            section.add("health.heal.after", &heal.after, &defaults::HEAL_AFTER, duration);
            section.add("health.heal.cooldown", &heal.cooldown, &defaults::HEAL_COOLDOWN, duration);
            section.add("health.heal.restart", &heal.restart, &false, number);
            if let Some(webhook) = &heal.webhook {
                section.given("health.heal.webhook", webhook.clone());
            }
        }
    }
}

fn http_probe(http: &HttpProbe) -> String {
    let HttpProbe { method, path, host: _, headers: _, expect, body, json } = http;
    let expect = list(expect, |(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    let body = body.as_ref().map(|text| format!(", a body with {text:?}")).unwrap_or_default();
    let json = json.as_ref().map(|json| format!(", {} equal to {:?}", json.pointer, json.equals)).unwrap_or_default();
    format!("{method} {path} expects {expect}{body}{json}")
}

/// Lists what applies to an attempt that has its place, phase by phase.
fn exchange(upstream: &Upstream, timeouts: &RouteTimeouts, policies: &mut Vec<Policy>) {
    let (usual, default) = (RouteTimeouts::default(), Upstream::default());
    let mut section = Section { source: Source::Route, policies };
    section.add("timeouts.attempt", &timeouts.attempt, &usual.attempt, optional);
    let mut section = Section { source: Source::Pool, policies };
    section.add("upstream.protocol", &upstream.protocol, &default.protocol, word);
    section.add("upstream.tls", &upstream.tls.is_some(), &false, |is_on| if *is_on { "on".to_owned() } else { none() });
    section.add("upstream.host", &upstream.host, &default.host, |host| match host {
        HostHeader::Fixed(name) => name.clone(),
        other => word(other),
    });
    section.add("upstream.connect_timeout", &upstream.connect_timeout, &default.connect_timeout, duration);
    let mut section = Section { source: Source::Route, policies };
    section.add("timeouts.first_byte", &timeouts.first_byte, &usual.first_byte, optional);
    section.add("timeouts.idle", &timeouts.idle, &usual.idle, optional);
    let mut section = Section { source: Source::Pool, policies };
    section.add("upstream.idle_timeout", &upstream.idle_timeout, &default.idle_timeout, duration);
}
