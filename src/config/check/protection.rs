//! What pools do about endpoints that fail: bounds in their order, health checks that ask one thing.

use http::Method;

use super::Report;
use super::fields::{Side, changes};
use crate::config::defaults::HEALTH_TIMEOUT;
use crate::config::raw::{Heal, Health, HttpProbe, Period, Pool};
use crate::config::shape::{At, List, OrNone, Text};
use crate::config::tree::NodeId;

const PROBES: [&str; 3] = ["http", "tcp", "grpc"];

/// Checks what a pool does about endpoints that fail.
pub(super) fn protection(pool: &Pool, pool_id: NodeId, report: &mut Report<'_>) {
    if let Some(breaker) = pool.circuit_breaker.as_ref().and_then(OrNone::as_option) {
        let longest = ("recovery_timeout", "max_recovery_timeout");
        ordered(longest, &breaker.value.recovery_timeout, &breaker.value.max_recovery_timeout, report);
    }
    if let Some(outlier) = pool.outlier.as_ref().and_then(OrNone::as_option) {
        ordered(("base_ejection", "max_ejection"), &outlier.value.base_ejection, &outlier.value.max_ejection, report);
    }
    if let Some(health) = pool.health.as_ref().and_then(OrNone::as_option) {
        self::health(health, report);
        if let Some(heal) = health.value.heal.as_ref().and_then(OrNone::as_option) {
            self::heal(heal, report);
            restart(&heal.value, pool, pool_id, report);
        }
    }
}

/// Reports a lower bound that is longer than the upper one.
pub(super) fn ordered(names: (&str, &str), low: &Option<Text<Period>>, high: &Option<Text<Period>>, report: &mut Report<'_>) {
    if let (Some(low), Some(high)) = (low, high)
        && low.value.0 > high.value.0
    {
        report.error(low.id, format!("`{}` is longer than `{}`", names.0, names.1));
    }
}

fn health(health: &At<Health>, report: &mut Report<'_>) {
    let raw = &health.value;
    let given: Vec<&str> = PROBES.into_iter().filter(|key| report.has_key(health.id, key)).collect();
    if given.is_empty() {
        let suggestion = Some("write for example `http: { path: /health }`".to_owned());
        report.error_with(health.id, "asks nothing: one of `http`, `tcp`, `grpc` is needed".to_owned(), suggestion);
    } else if given.len() > 1 {
        report.error(health.id, format!("only one of `{}` can be given", given.join("`, `")));
    }
    if let Some(http) = &raw.http {
        http_probe(http, report);
    }
    // A timeout that could not be read has been told; what it would have been is not known.
    let is_known = raw.timeout.is_some() || !report.has_key(health.id, "timeout");
    let timeout = raw.timeout.as_ref().map_or(HEALTH_TIMEOUT, |timeout| timeout.value.0);
    let degraded = raw.degraded_above.as_ref().and_then(OrNone::as_option);
    if let Some(degraded) = degraded.filter(|degraded| is_known && degraded.value.0 >= timeout) {
        report.error(degraded.id, format!("a check that takes longer has failed already: `timeout` is {timeout:?}"));
    }
}

fn heal(heal: &At<Heal>, report: &mut Report<'_>) {
    let Heal { restart, webhook, token, .. } = &heal.value;
    let has_webhook = webhook.is_some() || report.has_key(heal.id, "webhook");
    let may_restart = restart.as_ref().map_or(report.has_key(heal.id, "restart"), |restart| restart.value);
    if !has_webhook && !may_restart {
        report.error(heal.id, "does nothing: `restart: true` or a `webhook` is needed");
    }
    if let Some(token) = token.as_ref().filter(|_| !has_webhook) {
        report.warn(token.id, "has no effect: there is no `webhook` to send it to");
    }
}

/// Checks that there is somebody who can restart a replica.
fn restart(heal: &Heal, pool: &Pool, pool_id: NodeId, report: &mut Report<'_>) {
    let is_sized = match &pool.autoscale {
        Some(autoscale) => autoscale.as_option().is_some(),
        // It may have been meant to be, before the mistake in it, which has been told.
        None => report.has_key(pool_id, "autoscale"),
    };
    if let Some(restart) = heal.restart.as_ref().filter(|restart| restart.value && !is_sized) {
        report.error(restart.id, "the pool has no `autoscale`, whose platform would restart the replica");
    }
}

fn http_probe(http: &At<HttpProbe>, report: &mut Report<'_>) {
    let raw = &http.value;
    changes(&raw.headers, &List::default(), Side::Probe, report);
    if let Some(expect) = raw.expect.as_ref().filter(|expect| expect.value.0.is_empty() && !report.has_items(http.id, "expect")) {
        report.error(expect.id, "no answer is good: name a status");
    }
    if raw.method.as_ref().is_some_and(|method| method.value == Method::HEAD) {
        let ids = [raw.body.as_ref().map(|body| body.id), raw.json.as_ref().map(|json| json.id)];
        for id in ids.into_iter().flatten() {
            report.error(id, "an answer to HEAD has no body");
        }
    }
}
