//! Routes.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use super::policies;
use crate::config::raw;
use crate::config::shape::{OrNone, Text};
use crate::model::{
    Action, FixedResponse, HeaderMatch, HostPattern, Match, PathPattern, QueryMatch, Redirect, Rewrite, Route, RouteTimeouts,
    Split, ValueMatch,
};

/// Keeps the method and is not cached: what a person who names no status can take back.
const DEFAULT_REDIRECT: StatusCode = StatusCode::TEMPORARY_REDIRECT;

pub(super) fn route(raw: &raw::Route) -> Option<Route> {
    Some(Route {
        name: raw.name.value.clone(),
        matcher: matcher(&raw.matcher),
        action: action(raw)?,
        require: raw.require.iter().flat_map(|require| &require.value.0).map(|word| word.value.0.clone()).collect(),
        rewrite: rewrite(raw),
        timeouts: raw.timeouts.as_ref().map_or_else(RouteTimeouts::default, |timeouts| self::timeouts(&timeouts.value)),
        heartbeat: raw.heartbeat.as_ref().and_then(|heartbeat| heartbeat.value.as_option()).map(|span| span.value.0),
        policies: policies::policies(raw),
    })
}

/// Writes out a listener's `pool`: everything on that listener which no route takes.
pub(super) fn implied(listener: &raw::Listener) -> Option<Route> {
    let pool = listener.pool.as_ref()?.value.clone();
    Some(Route {
        name: listener.name.value.clone(),
        matcher: Match { listeners: vec![listener.name.value.clone()], ..Match::default() },
        action: Action::Forward(vec![Split { pool, weight: 1 }]),
        require: Default::default(),
        rewrite: Rewrite::default(),
        timeouts: RouteTimeouts::default(),
        heartbeat: None,
        policies: policies::implied(),
    })
}

/// Compiles a match; what is erroneous in it matches anything.
pub(in crate::config) fn matcher(raw: &raw::Match) -> Match {
    let hosts: Option<Vec<HostPattern>> = raw.hosts.0.iter().map(|host| host.value.0.clone()).collect();
    Match {
        listeners: raw.listeners.0.iter().map(|name| name.value.clone()).collect(),
        // One `*` among them makes it any.
        hosts: hosts.unwrap_or_default(),
        path: raw.path.as_ref().map_or(PathPattern::Any, |path| self::path(&path.value.0)),
        methods: raw.methods.0.iter().map(|method| method.value.clone()).collect(),
        headers: raw
            .headers
            .0
            .iter()
            .map(|(name, value)| HeaderMatch { name: name.value.clone(), value: self::value(&value.0) })
            .collect(),
        query: raw
            .query
            .0
            .iter()
            .map(|(name, value)| QueryMatch { name: name.value.clone(), value: self::value(&value.0) })
            .collect(),
    }
}

fn path(raw: &raw::PathMatch) -> PathPattern {
    match (&raw.exact, &raw.prefix, &raw.regex) {
        (Some(exact), ..) => PathPattern::Exact(exact.value.0.clone()),
        (None, Some(prefix), _) => match prefix.value.0.trim_end_matches('/') {
            "" => PathPattern::Prefix("/".to_owned()),
            prefix => PathPattern::Prefix(prefix.to_owned()),
        },
        (None, None, Some(regex)) => PathPattern::Regex(regex.value.0.clone()),
        (None, None, None) => PathPattern::Any,
    }
}

fn value(raw: &raw::ValueMatch) -> ValueMatch {
    match (&raw.exact, &raw.regex) {
        (Some(exact), _) => ValueMatch::Exact(exact.value.clone()),
        (None, Some(regex)) => ValueMatch::Regex(regex.value.0.clone()),
        (None, None) => ValueMatch::Present,
    }
}

fn action(raw: &raw::Route) -> Option<Action> {
    if let Some(pool) = &raw.pool {
        return Some(Action::Forward(vec![Split { pool: pool.value.clone(), weight: 1 }]));
    }
    if let Some(split) = &raw.split {
        let shares = split.value.0.iter().map(|share| Split {
            pool: share.pool.value.clone(),
            weight: share.weight.as_ref().map_or(1, |weight| weight.value.0),
        });
        return Some(Action::Forward(shares.collect())).filter(|_| !split.value.0.is_empty());
    }
    if let Some(redirect) = &raw.redirect {
        let raw = &redirect.value;
        return Some(Action::Redirect(Redirect {
            status: raw.status.as_ref().map_or(DEFAULT_REDIRECT, |status| status.value.0),
            scheme: raw.scheme.as_ref().map(|scheme| scheme.value.as_str().to_owned()),
            host: raw.host.as_ref().map(|host| host.value.0.clone()),
            path: raw.path.as_ref().map(|path| path.value.0.clone()),
            prefix: raw.prefix.as_ref().map(|prefix| prefix.value.0.clone()),
        }));
    }
    raw.respond.as_ref().map(|respond| {
        Action::Respond(FixedResponse {
            status: respond.value.status.as_ref().map_or(StatusCode::OK, |status| status.value.0),
            headers: fields(&respond.value.headers),
            body: respond.value.body.as_ref().map(|body| body.value.clone()).unwrap_or_default(),
        })
    })
}

fn rewrite(raw: &raw::Route) -> Rewrite {
    let raw = &raw.rewrite;
    let names = |names: &[Text<HeaderName>]| names.iter().map(|name| name.value.clone()).collect();
    Rewrite {
        prefix: raw.prefix.as_ref().map(|prefix| prefix.value.0.clone()),
        set_headers: fields(&raw.set_headers),
        remove_headers: names(&raw.remove_headers.0),
        set_response_headers: fields(&raw.set_response_headers),
        remove_response_headers: names(&raw.remove_response_headers.0),
    }
}

pub(super) fn fields(raw: &raw::Fields) -> Vec<(HeaderName, HeaderValue)> {
    raw.0.iter().map(|(name, value)| (name.value.clone(), value.value.clone())).collect()
}

fn timeouts(raw: &raw::RouteTimeouts) -> RouteTimeouts {
    let default = RouteTimeouts::default();
    let or = |raw: &Option<OrNone<Text<raw::Period>>>, default: Option<Duration>| match raw {
        None => default,
        Some(period) => period.as_option().map(|period| period.value.0),
    };
    RouteTimeouts {
        total: or(&raw.total, default.total),
        queue: raw.queue.as_ref().map(|period| period.value.0),
        attempt: or(&raw.attempt, default.attempt),
        first_byte: or(&raw.first_byte, default.first_byte),
        idle: or(&raw.idle, default.idle),
    }
}
