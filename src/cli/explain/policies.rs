//! What applies to a request, in the order in which it meets it, and where each value comes from.
//!
//! A snapshot does not remember what the file said: a value that equals the default counts as the default.

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;

use crate::model::{HostHeader, Limits, Listener, ListenerTimeouts, Pool, Route, RouteTimeouts, Upstream};

/// One value that applies to a request.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Policy {
    /// The key, as in the file.
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) source: Source,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// The file says nothing else.
    Default,
    /// The listener's section.
    Listener,
    /// The route's section.
    Route,
    /// The pool's section.
    Pool,
}

impl Source {
    /// Returns the word for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Listener => "listener",
            Self::Route => "route",
            Self::Pool => "pool",
        }
    }
}

/// Compares a section with its defaults.
struct Section<'a> {
    source: Source,
    policies: &'a mut Vec<Policy>,
}

impl Section<'_> {
    fn add<T: PartialEq>(&mut self, name: &'static str, value: &T, default: &T, shown: impl Fn(&T) -> String) {
        let source = if value == default { Source::Default } else { self.source };
        self.policies.push(Policy { name, value: shown(value), source });
    }
}

/// Lists what a listener applies to a request.
pub(super) fn of_listener(listener: &Listener) -> Vec<Policy> {
    let mut policies = Vec::new();
    let mut section = Section { source: Source::Listener, policies: &mut policies };
    let (limits, default) = (&listener.limits, Limits::default());
    section.add("limits.headers", &limits.headers, &default.headers, number);
    section.add("limits.header_bytes", &limits.header_bytes, &default.header_bytes, |bytes| size(u64::from(*bytes)));
    section.add("limits.request_line", &limits.request_line, &default.request_line, |bytes| size(u64::from(*bytes)));
    section.add("limits.request_body", &limits.request_body, &default.request_body, |bytes| bytes.map_or_else(none, size));
    let (timeouts, default) = (&listener.timeouts, ListenerTimeouts::default());
    section.add("timeouts.header", &timeouts.header, &default.header, duration);
    section.add("timeouts.write", &timeouts.write, &default.write, duration);
    policies
}

/// Lists what a route applies to a request.
pub(super) fn of_route(route: &Route) -> Vec<Policy> {
    let mut policies = Vec::new();
    let mut section = Section { source: Source::Route, policies: &mut policies };
    let (timeouts, default) = (&route.timeouts, RouteTimeouts::default());
    section.add("timeouts.total", &timeouts.total, &default.total, optional);
    section.add("timeouts.attempt", &timeouts.attempt, &default.attempt, optional);
    section.add("timeouts.first_byte", &timeouts.first_byte, &default.first_byte, optional);
    section.add("timeouts.idle", &timeouts.idle, &default.idle, optional);
    policies
}

/// Lists what a pool applies to an attempt.
pub(super) fn of_pool(pool: &Pool) -> Vec<Policy> {
    let mut policies = Vec::new();
    let mut section = Section { source: Source::Pool, policies: &mut policies };
    let (upstream, default) = (&pool.upstream, Upstream::default());
    section.add("slow_start", &pool.slow_start, &None, optional);
    section.add("upstream.protocol", &upstream.protocol, &default.protocol, word);
    section.add("upstream.tls", &upstream.tls.is_some(), &false, |is_on| if *is_on { "on" } else { "none" }.to_owned());
    section.add("upstream.host", &upstream.host, &default.host, |host| match host {
        HostHeader::Fixed(name) => name.clone(),
        other => word(other),
    });
    section.add("upstream.connect_timeout", &upstream.connect_timeout, &default.connect_timeout, duration);
    section.add("upstream.idle_timeout", &upstream.idle_timeout, &default.idle_timeout, duration);
    policies
}

/// Shows a value by its word in the file.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

fn number(value: &impl Display) -> String {
    value.to_string()
}

fn none() -> String {
    "none".to_owned()
}

fn optional(value: &Option<Duration>) -> String {
    value.as_ref().map_or_else(none, duration)
}

/// Shows a duration as it is written in the file: in its largest whole unit.
fn duration(value: &Duration) -> String {
    let ms = value.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

/// Shows a size as it is written in the file: in its largest whole unit.
fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Action, FixedResponse, Match, Rewrite};

    #[test]
    fn values_are_shown_as_they_are_written() {
        let shown = [0, 1, 1500, 30_000, 300_000, 7_200_000].map(|ms| duration(&Duration::from_millis(ms)));
        assert_eq!(shown, ["0s", "1ms", "1500ms", "30s", "5m", "2h"]);
        assert_eq!([100, 8192, 64 << 20, 1 << 30, 1025].map(size), ["100", "8KiB", "64MiB", "1GiB", "1025"]);
    }

    #[test]
    fn a_value_of_the_file_is_told_from_a_default() {
        let response = FixedResponse { status: http::StatusCode::OK, headers: Vec::new(), body: String::new() };
        let route = Route {
            name: "r".parse().unwrap(),
            matcher: Match::default(),
            action: Action::Respond(response),
            require: Default::default(),
            rewrite: Rewrite::default(),
            timeouts: RouteTimeouts { attempt: Some(Duration::from_secs(60)), idle: None, ..RouteTimeouts::default() },
            policies: Default::default(),
        };
        let policies = of_route(&route);
        let shown: Vec<_> = policies.iter().map(|policy| (policy.name, policy.value.as_str(), policy.source)).collect();
        assert_eq!(
            shown,
            [
                ("timeouts.total", "none", Source::Default),
                ("timeouts.attempt", "1m", Source::Route),
                ("timeouts.first_byte", "2m", Source::Default),
                ("timeouts.idle", "none", Source::Route),
            ]
        );
    }
}
