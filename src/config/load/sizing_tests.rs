//! What the file says around sizing: healing, heartbeats, clusters, storage; and that the schema knows it all.

use std::path::Path;

use super::autoscale_tests::{PROCESS, SECOND, compiled, pool, sized};
use super::tests::{BASE, loaded, refused, warned, warnings};
use crate::model::{Cluster, Lease, Storage};

#[test]
fn healing_restarts_or_calls_a_webhook() {
    let with = |heal: &str| {
        let rest = format!("health: {{ tcp: {{}}, heal: {{ {heal} }} }}");
        (format!("endpoints: ['h:1'], {rest}"), format!("{rest}, max_connections: 1, autoscale: {{ {PROCESS} }}"))
    };
    let (alone, sized) = with("restart: true");
    refused(&pool(&alone), "heal.restart", "the pool has no `autoscale`");
    refused(&pool(&format!("{alone}, autoscale: off")), "heal.restart", "the pool has no `autoscale`");
    let heal = compiled(&pool(&sized)).protection.health.and_then(|health| health.heal).expect("it heals");
    assert!(heal.restart && heal.webhook.is_none());
    let (alone, _) = with("webhook: 'http://ops', restart: false");
    let heal = compiled(&pool(&alone)).protection.health.and_then(|health| health.heal).expect("it heals");
    assert_eq!((heal.restart, heal.webhook.as_deref()), (false, Some("http://ops")));
    refused(&pool(&with("after: 1m").0), "health.heal", "does nothing");
    refused(&pool(&with("restart: false").0), "health.heal", "does nothing");
    refused(&pool(&with("webhook: ops").0), "heal.webhook", "an address such as");
    refused(&pool(&with("restart: maybe").0), "heal.restart", "true or false");
    warned(&pool(&with("restart: true, token: t").1), "heal.token: has no effect");
}

#[test]
fn a_route_may_send_heartbeats() {
    let route = |rest: &str| format!("{BASE}routes: [{{ name: r, {rest} }}]");
    let heartbeat = |rest: &str| loaded(&route(&format!("pool: a, {rest}"))).snapshot.routes[0].heartbeat;
    assert_eq!(heartbeat("heartbeat: 15s"), Some(15 * SECOND));
    assert_eq!((heartbeat(""), heartbeat("heartbeat: off")), (None, None));
    refused(&route("pool: a, heartbeat: 500ms"), "routes[0].heartbeat", "from 1s to 5m");
    warned(&route("respond: {}, heartbeat: 15s"), "routes[0].heartbeat: has no effect: the route sends nothing to a pool");
}

#[test]
fn a_cluster_has_peers_a_lease_and_an_identity() {
    let cluster = |rest: &str| loaded(&format!("{BASE}cluster: {{ {rest} }}")).snapshot.cluster.expect("a cluster");
    let full = cluster(
        "peers: 'tidegate-peers.agents.svc:9900', lease: { name: l, namespace: agents, duration: 30s, renew: 5s }, identity: '${TOKEN}'",
    );
    let expected = Cluster {
        peers: Some(("tidegate-peers.agents.svc".to_owned(), 9900)),
        lease: Some(Lease { name: "l".to_owned(), namespace: Some("agents".to_owned()), duration: 30 * SECOND, renew: 5 * SECOND }),
        identity: Some("12345".to_owned()),
    };
    assert_eq!(full, expected);
    let lease = |rest: &str| cluster(&format!("lease: {{ {rest} }}")).lease.expect("a lease");
    let default = Lease { name: "tidegate".to_owned(), namespace: None, duration: 10 * SECOND, renew: 2 * SECOND };
    assert_eq!(lease(""), default);
    assert_eq!(lease("duration: 3s").renew, SECOND);
    assert_eq!(loaded(BASE).snapshot.cluster, None);
    let with = |rest: &str| format!("{BASE}cluster: {{ {rest} }}");
    refused(&with("lease: { duration: 2s }"), "lease.duration", "whole seconds from 3s to 5m");
    refused(&with("lease: { duration: 3500ms }"), "lease.duration", "whole seconds");
    refused(&with("lease: { renew: 4s }"), "lease.renew", "more than a third of `duration`, which is 10s");
    refused(&with("lease: { duration: many, renew: 4s }"), "lease.duration", "a duration in whole seconds");
    refused(&with("peers: tidegate"), "cluster.peers", "host and port");
    refused(&with("identity: 'a b'"), "cluster.identity", "without spaces");
    warned(&with("peers: 'p:1'"), "cluster.peers: without `lease` every gateway leads");
    warned(&with("peers: 'p:1', lease: {}"), "cluster.peers: without `admin.token` the peers refuse to answer each other");
    assert!(
        !warnings(&format!("{}\nadmin: {{ token: t }}\n", with("peers: 'p:1', lease: {}")))
            .iter()
            .any(|warning| warning.contains("cluster"))
    );
}

#[test]
fn peers_that_cannot_be_asked_are_a_warning() {
    let with = |admin: &str| {
        let pool = pool(
            "max_connections: 1, discovery: { kubernetes: { service: d } }, autoscale: { target: { kubernetes: { kind: Deployment, name: d } } }",
        );
        format!("{pool}cluster: {{ peers: 'p:9900', lease: {{}} }}\n{admin}")
    };
    for admin in ["", "admin: { bind: 'localhost:9900' }", "admin: { bind: none }", "admin: { token: t }"] {
        warned(&with(admin), "cluster.peers: the peers cannot be asked: `admin.bind` is not reached from elsewhere");
    }
    assert_eq!(warnings(&with("admin: { bind: ':9900', token: t }")), Vec::<String>::new());
    let local = format!("{}cluster: {{ peers: 'p:9900', lease: {{}} }}\nadmin: {{ token: t }}\n", sized(""));
    assert_eq!(warnings(&local), Vec::<String>::new());
}

#[test]
fn storage_is_relative_to_the_folder_of_the_file() {
    let storage = |rest: &str| loaded(&format!("{BASE}storage: {{ {rest} }}")).snapshot.storage;
    assert_eq!(storage(""), Storage::default());
    assert_eq!(storage("path: state").path.as_deref(), Some(Path::new("/base/state")));
    assert_eq!(storage("path: /var/lib/tidegate").path.as_deref(), Some(Path::new("/var/lib/tidegate")));
    refused(&format!("{BASE}storage: {{ path: '' }}"), "storage.path", "a file has a name");
}

#[test]
fn the_schema_knows_every_key_of_sizing() {
    let schema = crate::config::schema().to_string();
    for key in [
        "autoscale",
        "kubernetes",
        "docker",
        "process",
        "kind",
        "api",
        "plural",
        "image",
        "memory",
        "cpus",
        "env",
        "network",
        "pull",
        "folder",
        "ready_timeout",
        "grace",
        "mode",
        "min_replicas",
        "max_replicas",
        "idle_after",
        "signal",
        "metric",
        "promql",
        "server",
        "query",
        "target",
        "up",
        "down",
        "window",
        "percentile",
        "aggregation",
        "step_up",
        "step_down",
        "weight",
        "schedule",
        "time_zone",
        "for",
        "behavior",
        "scale_up",
        "scale_down",
        "cooldown",
        "max_step",
        "stabilization",
        "sustained",
        "tolerance",
        "max_events_per_hour",
        "panic",
        "threshold",
        "forecast",
        "horizon",
        "season",
        "confidence",
        "quantile",
        "missing_after",
        "fallback",
        "cold_start_timeout",
        "cost",
        "replica_hour",
        "currency",
        "heartbeat",
        "restart",
        "cluster",
        "peers",
        "lease",
        "duration",
        "renew",
        "identity",
        "storage",
    ] {
        assert!(schema.contains(&format!("\"{key}\":{{")), "{key} is not in the schema");
    }
}
