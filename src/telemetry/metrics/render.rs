//! The Prometheus text format, version 0.0.4 (prometheus.io, "Exposition formats").

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::counters::{CLASSES, Guard, HANDSHAKE_KINDS, OUTCOMES};
use super::histogram::{BOUNDS, Histogram, Snapshot};
use super::registry::{Registry, sum};
use crate::model::Reason;

/// What a family of series is.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// One sentence.
    pub help: &'static str,
}

/// A page of families.
#[derive(Debug, Default)]
pub struct Text(String);

type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    /// Begins a family.
    pub fn family(&mut self, family: Family) {
        let Family { name, kind, help } = family;
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a sample.
    pub fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        let mut open = '{';
        for (label, text) in labels {
            let _ = write!(self.0, "{open}{label}=\"{text}\"");
            open = ',';
        }
        if open == ',' {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn histogram(&mut self, name: &str, labels: Labels<'_>, snapshot: &Snapshot) {
        let count = snapshot.count();
        if count == 0 {
            return;
        }
        let bucket = format!("{name}_bucket");
        let with_bound = |bound| labels.iter().copied().chain([("le", bound)]).collect::<Vec<_>>();
        for (micros, bound) in BOUNDS {
            self.sample(&bucket, &with_bound(bound), snapshot.at_most(micros));
        }
        self.sample(&bucket, &with_bound("+Inf"), count);
        self.sample(&format!("{name}_sum"), labels, snapshot.sum());
        self.sample(&format!("{name}_count"), labels, count);
    }

    /// Returns the page.
    pub fn finish(self) -> String {
        self.0
    }
}

fn total<'a, T: 'a>(shards: impl Iterator<Item = &'a Arc<T>>, counter: impl Fn(&T) -> &AtomicU64) -> u64 {
    shards.map(|shard| counter(shard).load(Relaxed)).sum()
}

macro_rules! family {
    ($name:literal, $kind:literal, $help:literal) => {
        Family { name: $name, kind: $kind, help: $help }
    };
}

const REQUESTS: Family = family!("tidegate_requests_total", "counter", "Requests that are over, by status class.");
const REQUEST_FAILURES: Family =
    family!("tidegate_request_failures_total", "counter", "Requests that failed, were cut or were left by the client, by reason.");
const REQUESTS_IN_FLIGHT: Family = family!("tidegate_requests_in_flight", "gauge", "Requests that run.");
const REQUEST_DURATION: Family =
    family!("tidegate_request_duration_seconds", "histogram", "From a request's head to the last byte of its response.");
const REQUEST_FIRST_BYTE: Family =
    family!("tidegate_request_first_byte_seconds", "histogram", "From a request's head to the head of an endpoint's response.");
const RECEIVED: Family = family!("tidegate_request_body_bytes_total", "counter", "Bytes of request bodies.");
const SENT: Family = family!("tidegate_response_body_bytes_total", "counter", "Bytes of response bodies.");
const ATTEMPTS: Family = family!("tidegate_attempts_total", "counter", "Attempts on an endpoint that are over, by outcome.");
const ATTEMPT_FAILURES: Family =
    family!("tidegate_attempt_failures_total", "counter", "Attempts that did not complete, by reason.");
const ATTEMPT_DURATION: Family =
    family!("tidegate_attempt_duration_seconds", "histogram", "From the pick of an endpoint to the last byte of its response.");
const ATTEMPT_FIRST_BYTE: Family =
    family!("tidegate_attempt_first_byte_seconds", "histogram", "From the pick of an endpoint to the head of its response.");
const UPSTREAM_REQUESTS: Family =
    family!("tidegate_upstream_requests_total", "counter", "Requests answered over a new or a reused upstream connection.");
const CONNECTIONS: Family = family!("tidegate_connections_total", "counter", "Client connections accepted.");
const CONNECTIONS_OPEN: Family = family!("tidegate_connections_open", "gauge", "Client connections that are open.");
const CONNECTIONS_REFUSED: Family =
    family!("tidegate_connections_refused_total", "counter", "Client connections that could not be accepted.");
const HANDSHAKE_FAILURES: Family =
    family!("tidegate_handshake_failures_total", "counter", "Client connections that ended before HTTP, by kind.");
const CUTS: Family = family!(
    "tidegate_connections_cut_total",
    "counter",
    "Client connections, or streams of HTTP/2, that a guard has ended, by guard."
);
const PROTOCOLS: Family = family!("tidegate_connections_protocol_total", "counter", "Client connections by HTTP version.");

impl Registry {
    /// Writes every figure of the request path.
    pub fn render(&self, text: &mut Text) {
        self.render_listeners(text);
        self.render_routes(text);
        self.render_endpoints(text);
    }

    fn render_listeners(&self, text: &mut Text) {
        let families = self.families();
        for (family, counter) in [
            (CONNECTIONS, (|shard| &shard.accepted) as fn(&super::ListenerCounters) -> &AtomicU64),
            (CONNECTIONS_OPEN, |shard| &shard.open),
            (CONNECTIONS_REFUSED, |shard| &shard.refused),
        ] {
            text.family(family);
            for (name, shards) in &families.listeners {
                text.sample(family.name, &[("listener", name.as_str())], total(shards.values(), counter));
            }
        }
        text.family(HANDSHAKE_FAILURES);
        for (name, shards) in &families.listeners {
            for (place, kind) in HANDSHAKE_KINDS.iter().enumerate() {
                let labels = [("listener", name.as_str()), ("kind", kind)];
                text.sample(HANDSHAKE_FAILURES.name, &labels, total(shards.values(), |shard| &shard.handshakes[place]));
            }
        }
        text.family(CUTS);
        for (name, shards) in &families.listeners {
            for (place, guard) in Guard::ALL.into_iter().enumerate() {
                let labels = [("listener", name.as_str()), ("guard", guard.as_str())];
                text.sample(CUTS.name, &labels, total(shards.values(), |shard| &shard.cuts[place]));
            }
        }
        text.family(PROTOCOLS);
        for (name, shards) in &families.listeners {
            let [http1, http2] = [("http1", total(shards.values(), |s| &s.http1)), ("http2", total(shards.values(), |s| &s.http2))];
            for (protocol, count) in [http1, http2] {
                text.sample(PROTOCOLS.name, &[("listener", name.as_str()), ("protocol", protocol)], count);
            }
        }
    }

    fn render_routes(&self, text: &mut Text) {
        let families = self.families();
        let labels = |(listener, route): &'_ super::registry::RouteKey| {
            [("listener", listener.to_string()), ("route", route.as_ref().map_or_else(String::new, ToString::to_string))]
        };
        let series: Vec<_> = families.routes.iter().map(|(key, shards)| (labels(key), shards)).collect();
        let series: Vec<_> = series.iter().map(|([l, r], shards)| ([(l.0, l.1.as_str()), (r.0, r.1.as_str())], *shards)).collect();
        text.family(REQUESTS);
        for ([listener, route], shards) in &series {
            for (place, class) in CLASSES.iter().enumerate() {
                let count = total(shards.values(), |shard| &shard.classes[place]);
                if count > 0 {
                    text.sample(REQUESTS.name, &[*listener, *route, ("status_class", class)], count);
                }
            }
        }
        text.family(REQUEST_FAILURES);
        for ([listener, route], shards) in &series {
            for (place, reason) in Reason::ALL.iter().enumerate() {
                let count = total(shards.values(), |shard| &shard.reasons[place]);
                if count > 0 {
                    text.sample(REQUEST_FAILURES.name, &[*listener, *route, ("reason", reason.as_str())], count);
                }
            }
        }
        for (family, counter) in [
            (REQUESTS_IN_FLIGHT, (|shard| &shard.in_flight) as fn(&super::RequestCounters) -> &AtomicU64),
            (RECEIVED, |shard| &shard.received),
            (SENT, |shard| &shard.sent),
        ] {
            text.family(family);
            for (labels, shards) in &series {
                text.sample(family.name, labels, total(shards.values(), counter));
            }
        }
        for (family, histogram) in [
            (REQUEST_DURATION, (|shard| &shard.duration) as fn(&super::RequestCounters) -> &Histogram),
            (REQUEST_FIRST_BYTE, |shard| &shard.first_byte),
        ] {
            text.family(family);
            for (labels, shards) in &series {
                text.histogram(family.name, labels, &sum(shards.values(), histogram));
            }
        }
    }

    fn render_endpoints(&self, text: &mut Text) {
        let families = self.families();
        let series: Vec<_> = families
            .endpoints
            .iter()
            .map(|((pool, endpoint), shards)| ([("pool", pool.as_str()), ("endpoint", endpoint.as_str())], shards))
            .collect();
        text.family(ATTEMPTS);
        for ([pool, endpoint], shards) in &series {
            for (place, outcome) in OUTCOMES.iter().enumerate() {
                let count = total(shards.values(), |shard| &shard.outcomes[place]);
                text.sample(ATTEMPTS.name, &[*pool, *endpoint, ("outcome", outcome)], count);
            }
        }
        text.family(ATTEMPT_FAILURES);
        for ([pool, endpoint], shards) in &series {
            for (place, reason) in Reason::ALL.iter().enumerate() {
                let count = total(shards.values(), |shard| &shard.reasons[place]);
                if count > 0 {
                    text.sample(ATTEMPT_FAILURES.name, &[*pool, *endpoint, ("reason", reason.as_str())], count);
                }
            }
        }
        text.family(UPSTREAM_REQUESTS);
        for ([pool, endpoint], shards) in &series {
            let counts = [("new", total(shards.values(), |s| &s.opened)), ("reused", total(shards.values(), |s| &s.reused))];
            for (connection, count) in counts {
                text.sample(UPSTREAM_REQUESTS.name, &[*pool, *endpoint, ("connection", connection)], count);
            }
        }
        for (family, histogram) in [
            (ATTEMPT_DURATION, (|shard| &shard.duration) as fn(&super::EndpointCounters) -> &Histogram),
            (ATTEMPT_FIRST_BYTE, |shard| &shard.first_byte),
        ] {
            text.family(family);
            for (labels, shards) in &series {
                text.histogram(family.name, labels, &sum(shards.values(), histogram));
            }
        }
    }
}
