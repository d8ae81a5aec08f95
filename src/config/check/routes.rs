//! `routes`: what a route matches, what it does, and routes that can never match.

use std::collections::{HashMap, HashSet};

use http::{HeaderName, StatusCode, header};

use super::fields::{Side, changes};
use super::{Report, fields, policies};
use crate::config::compile;
use crate::config::raw::{File, Match, PathMatch, Redirect, Respond, Route, RouteTimeouts, ValueMatch};
use crate::config::shape::{At, List, OrNone, Text};
use crate::config::tree::NodeId;

const ACTIONS: [&str; 4] = ["pool", "split", "redirect", "respond"];

/// Checks one route by itself.
pub(super) fn route(route: &At<Route>, report: &mut Report<'_>) {
    action(route, report);
    let raw = &route.value;
    matcher(&raw.matcher, report);
    let rewrite = &raw.rewrite;
    changes(&rewrite.set_headers, &rewrite.remove_headers, Side::Request, report);
    changes(&rewrite.set_response_headers, &rewrite.remove_response_headers, Side::Response, report);
    if let Some(prefix) = rewrite.prefix.as_ref().filter(|_| has_regex_path(&raw.matcher)) {
        report.error(prefix.id, "there is no prefix to replace: the path is matched by a regular expression");
    }
    if let Some(timeouts) = &raw.timeouts {
        self::timeouts(&timeouts.value, report);
    }
    policies::policies(route, report);
    if raw.redirect.is_some() || raw.respond.is_some() {
        without_effect(route, report);
    }
}

fn action(route: &At<Route>, report: &mut Report<'_>) {
    let raw = &route.value;
    let given: Vec<&str> = ACTIONS.into_iter().filter(|key| report.has_key(route.id, key)).collect();
    if given.is_empty() && !report.has_key(route.id, "split") {
        report.error(route.id, "the route does nothing: one of `pool`, `split`, `redirect`, `respond` is needed");
    } else if given.len() > 1 {
        report.error(route.id, format!("only one of `{}` can be given", given.join("`, `")));
    }
    if let Some(split) = &raw.split {
        let shares = &split.value.0;
        let mut seen = HashSet::new();
        for share in shares.iter().filter(|share| !seen.insert(&share.pool.value)) {
            report.warn(share.pool.id, format!("the pool \"{}\" is named twice in this split", share.pool.value));
        }
        if shares.is_empty() && !report.has_items(route.id, "split") {
            report.error(split.id, "the split names no pool");
        } else if !shares.is_empty()
            && report.is_whole(route.id, "split", shares.len())
            && shares.iter().all(|share| share.weight.as_ref().is_some_and(|weight| weight.value.0 == 0))
        {
            report.error(split.id, "every pool of the split has weight 0");
        }
    }
    if let Some(redirect) = &raw.redirect {
        self::redirect(redirect, &raw.matcher, report);
    }
    if let Some(respond) = &raw.respond {
        self::respond(&respond.value, report);
    }
}

fn redirect(redirect: &At<Redirect>, matcher: &Match, report: &mut Report<'_>) {
    let raw = &redirect.value;
    if !["scheme", "host", "path", "prefix"].iter().any(|key| report.has_key(redirect.id, key)) {
        report.error(redirect.id, "the redirect leads to where the client is: one of `scheme`, `host`, `path`, `prefix` is needed");
    }
    if let (Some(_), Some(prefix)) = (&raw.path, &raw.prefix) {
        report.error(prefix.id, "`prefix` keeps the rest of the path, which `path` replaces: only one can be given");
    }
    if let Some(prefix) = raw.prefix.as_ref().filter(|_| has_regex_path(matcher)) {
        report.error(prefix.id, "there is no prefix to replace: the path is matched by a regular expression");
    }
}

fn respond(respond: &Respond, report: &mut Report<'_>) {
    fields::changes(&respond.headers, &List::default(), Side::Response, report);
    let status = respond.status.as_ref().map_or(StatusCode::OK, |status| status.value.0);
    let has_no_body = matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(body) = respond.body.as_ref().filter(|body| has_no_body && !body.value.is_empty()) {
        report.error(body.id, format!("an answer with status {} has no body", status.as_u16()));
    }
}

fn matcher(matcher: &Match, report: &mut Report<'_>) {
    if let Some(path) = &matcher.path {
        let PathMatch { exact, prefix, regex } = &path.value.0;
        let given = usize::from(exact.is_some()) + usize::from(prefix.is_some()) + usize::from(regex.is_some());
        if given > 1 {
            report.error(path.id, "only one of `exact`, `prefix`, `regex` can be given");
        } else if given == 0 && !["exact", "prefix", "regex"].iter().any(|key| report.has_key(path.id, key)) {
            report.error(path.id, "one of `exact`, `prefix`, `regex` is needed");
        }
    }
    let mut seen: HashSet<&HeaderName> = HashSet::new();
    for (name, value) in &matcher.headers.0 {
        if name.value == header::HOST {
            let suggestion = Some("write `hosts: [..]`".to_owned());
            report.error_with(name.id, "the host is not matched as a header field".to_owned(), suggestion);
        }
        if !seen.insert(&name.value) {
            report.error(name.id, format!("`{}` is there already: names of fields have no case", name.value));
        }
        self::value(name.id, &value.0, report);
    }
    for (name, value) in &matcher.query.0 {
        self::value(name.id, &value.0, report);
    }
}

/// Checks the value of the entry whose key is `id`; it is numbered right behind the key.
fn value(id: NodeId, value: &ValueMatch, report: &mut Report<'_>) {
    let ValueMatch { exact, regex, present } = value;
    let given = usize::from(exact.is_some()) + usize::from(regex.is_some()) + usize::from(present.is_some());
    if given > 1 {
        report.error(id, "only one of `exact`, `regex`, `present` can be given");
    } else if given == 0 && !["exact", "regex", "present"].iter().any(|key| report.has_key(id + 1, key)) {
        report.error(id, "one of `exact`, `regex`, `present` is needed");
    }
    if let Some(present) = present.as_ref().filter(|present| !present.value) {
        report.error(present.id, "a route cannot ask for absence: `present` is `true` or left out");
    }
}

fn has_regex_path(matcher: &Match) -> bool {
    matcher.path.as_ref().is_some_and(|path| path.value.0.regex.is_some())
}

fn timeouts(timeouts: &RouteTimeouts, report: &mut Report<'_>) {
    let Some(total) = timeouts.total.as_ref().and_then(OrNone::as_option).map(|total| total.value.0) else { return };
    let attempt = timeouts.attempt.as_ref().and_then(OrNone::as_option);
    for inner in [attempt, timeouts.queue.as_ref()].into_iter().flatten() {
        if inner.value.0 >= total {
            report.warn(inner.id, "has no effect: `total` is not longer");
        }
    }
}

/// Warns about keys that only matter when a request goes to a pool.
fn without_effect(route: &At<Route>, report: &mut Report<'_>) {
    let raw = &route.value;
    let rewrite = &raw.rewrite;
    let set = rewrite.set_headers.0.iter().map(|(name, _)| name.id);
    let removed = rewrite.remove_headers.0.iter().map(|name| name.id);
    let ids: Vec<NodeId> = raw
        .require
        .iter()
        .map(|require| require.id)
        .chain(raw.timeouts.iter().map(|timeouts| timeouts.id))
        .chain(raw.heartbeat.iter().map(|heartbeat| heartbeat.id))
        .chain(rewrite.prefix.iter().map(|prefix| prefix.id))
        .chain(set)
        .chain(removed)
        .chain(policies::places(raw))
        .collect();
    for id in ids {
        report.warn(id, "has no effect: the route sends nothing to a pool");
    }
}

/// Warns about routes behind others that take the same requests.
pub(super) fn shadows(file: &File, report: &mut Report<'_>) {
    let mut seen: HashMap<String, &Text<crate::model::Id>> = HashMap::new();
    for route in &file.routes.0 {
        let name = &route.value.name;
        let mut matcher = compile::matcher(&route.value.matcher);
        // Within these, order means nothing.
        matcher.listeners.sort();
        matcher.hosts.sort_by_cached_key(|host| format!("{host:?}"));
        matcher.methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        matcher.headers.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        matcher.query.sort_by(|a, b| a.name.cmp(&b.name));
        let key = format!("{matcher:?}");
        match seen.get(&key) {
            Some(first) => {
                let line = report.line(first.id);
                report.warn(
                    name.id,
                    format!("the route \"{}\" never matches: \"{}\", in {line}, takes the same requests", name.value, first.value),
                );
            }
            None => {
                seen.insert(key, name);
            }
        }
    }
}
