//! The file as a whole: names, references from one section to another, settings.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::{Report, cluster, listeners, pools, routes};
use crate::config::problem::did_you_mean;
use crate::config::raw::File;
use crate::config::shape::{OrNone, Text};
use crate::model::Id;

/// The number of the root, for what is about the file as a whole.
pub(super) const ROOT: u32 = 0;

/// Checks a whole file; relative paths start at `base`.
pub(in crate::config) fn file(file: &File, base: &Path, report: &mut Report<'_>) {
    if !report.has_items(ROOT, "listeners") {
        let example = "write for example `listeners: [{ name: public, bind: \":8080\", pool: agents }]`".to_owned();
        report.error_with(ROOT, "no listener is configured".to_owned(), Some(example));
    }
    unique("listener", file.listeners.0.iter().map(|item| &item.value.name), report);
    unique("route", file.routes.0.iter().map(|item| &item.value.name), report);
    implied_names(file, report);
    references(file, report);
    usage(file, report);
    for listener in &file.listeners.0 {
        listeners::listener(&listener.value, base, report);
    }
    listeners::binds(file, report);
    for route in &file.routes.0 {
        routes::route(route, report);
    }
    routes::shadows(file, report);
    for (name, pool) in &file.pools.0 {
        pools::pool(name, pool, base, report);
    }
    admin(file, report);
    cluster::cluster(file, report);
}

/// Reports names that are there twice.
pub(super) fn unique<'a>(kind: &str, names: impl Iterator<Item = &'a Text<Id>>, report: &mut Report<'_>) {
    let mut seen: HashMap<&Id, u32> = HashMap::new();
    for name in names {
        match seen.get(&name.value) {
            Some(first) => {
                let line = report.line(*first);
                report.error(name.id, format!("a {kind} \"{}\" is there already, in {line}", name.value));
            }
            None => {
                seen.insert(&name.value, name.id);
            }
        }
    }
}

/// A listener's `pool` becomes a route with the name of the listener.
fn implied_names(file: &File, report: &mut Report<'_>) {
    let routes: HashSet<&Id> = file.routes.0.iter().map(|route| &route.value.name.value).collect();
    for listener in &file.listeners.0 {
        let name = &listener.value.name.value;
        if let Some(pool) = listener.value.pool.as_ref().filter(|_| routes.contains(name)) {
            report.error(
                pool.id,
                format!("this makes a route \"{name}\", as the listener is called, but a route has that name already"),
            );
        }
    }
}

fn references(file: &File, report: &mut Report<'_>) {
    let pools: HashSet<&str> = report.written_pools().collect();
    let listeners: HashSet<&str> = report.written_listeners().collect();
    for pool in used_pools(file) {
        refer("pool", pool, &pools, report);
    }
    for listener in file.routes.0.iter().flat_map(|route| &route.value.matcher.listeners.0) {
        refer("listener", listener, &listeners, report);
    }
    let bulkheads: HashSet<&str> = report.written_bulkheads().collect();
    for bulkhead in used_bulkheads(file) {
        refer("bulkhead", bulkhead, &bulkheads, report);
    }
}

fn refer(kind: &str, name: &Text<Id>, known: &HashSet<&str>, report: &mut Report<'_>) {
    // A guess compares with every name, which is too much for more errors than anybody reads.
    if known.contains(name.value.as_str()) || report.is_full() {
        return;
    }
    let mut sorted: Vec<&str> = known.iter().copied().collect();
    sorted.sort_unstable();
    let suggestion = did_you_mean(name.value.as_str(), sorted).map(|word| format!("did you mean \"{word}\"?"));
    report.error_with(name.id, format!("there is no {kind} \"{}\"", name.value), suggestion);
}

fn used_pools(file: &File) -> impl Iterator<Item = &Text<Id>> {
    let by_routes = file.routes.0.iter().flat_map(|route| {
        let shares = route.value.split.iter().flat_map(|split| &split.value.0).map(|share| &share.pool);
        let tiers = route.value.failover.iter().flat_map(|failover| &failover.value.0.pools.0);
        let shadow = route.value.mirror.iter().map(|mirror| &mirror.value.pool);
        route.value.pool.iter().chain(shares).chain(tiers).chain(shadow)
    });
    by_routes.chain(file.listeners.0.iter().filter_map(|listener| listener.value.pool.as_ref()))
}

fn used_bulkheads(file: &File) -> impl Iterator<Item = &Text<Id>> {
    file.routes.0.iter().filter_map(|route| route.value.bulkhead.as_ref())
}

/// Warns about pools and bulkheads that get no request and listeners whose requests go nowhere.
fn usage(file: &File, report: &mut Report<'_>) {
    let used: HashSet<&Id> = used_pools(file).map(|pool| &pool.value).collect();
    for (name, _) in file.pools.0.iter().filter(|(name, _)| !used.contains(&name.value)) {
        report.warn(name.id, format!("no route uses the pool \"{}\"", name.value));
    }
    let used: HashSet<&Id> = used_bulkheads(file).map(|bulkhead| &bulkhead.value).collect();
    for (name, _) in file.bulkheads.0.iter().filter(|(name, _)| !used.contains(&name.value)) {
        report.warn(name.id, format!("no route uses the bulkhead \"{}\"", name.value));
    }
    let takes_any = file.routes.0.iter().any(|route| route.value.matcher.listeners.0.is_empty());
    let named: HashSet<&Id> =
        file.routes.0.iter().flat_map(|route| &route.value.matcher.listeners.0).map(|name| &name.value).collect();
    for listener in &file.listeners.0 {
        let name = &listener.value.name;
        if !takes_any && listener.value.pool.is_none() && !named.contains(&name.value) {
            report.warn(name.id, format!("no route takes requests of the listener \"{}\": each is answered with 404", name.value));
        }
    }
}

fn admin(file: &File, report: &mut Report<'_>) {
    let Some(bind) = file.admin.bind.as_ref().and_then(OrNone::as_option) else { return };
    if !bind.value.0.ip().to_canonical().is_loopback() && file.admin.token.is_none() {
        report
            .warn(bind.id, "the admin server can be reached from elsewhere and has no token: it answers reads and refuses writes");
    }
}
