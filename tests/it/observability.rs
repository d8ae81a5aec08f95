//! What the metrics page shows and what `docs/observability.md` promises are the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::lab::{Endpoint, Lab, get, raw, soon};

const DOCS: &str = include_str!("../../docs/observability.md");

/// Families that have no sample in the first seconds of a process, as nothing is known yet: their labels cannot be seen.
const SELDOM: [&str; 5] = [
    "tidegate_autoscale_startup_seconds",
    "tidegate_autoscale_forecast",
    "tidegate_autoscale_forecast_upper",
    "tidegate_autoscale_forecast_confidence",
    "tidegate_autoscale_forecast_error",
];

/// Type and labels of a metric.
type Shape = (String, BTreeSet<String>);

/// Reads the rows `| name | type | labels | ...` of the tables.
fn documented() -> BTreeMap<String, Shape> {
    let rows = DOCS.lines().filter(|line| line.starts_with("| `tidegate_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split(',').map(|label| label.trim().trim_matches('`').to_owned());
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels.filter(|label| !label.is_empty()).collect()))
    })
    .collect()
}

/// Reads types and labels from a page in the Prometheus text format.
fn shown(page: &str) -> BTreeMap<String, Shape> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut families: BTreeMap<_, _> = types.map(|(name, kind)| (name.to_owned(), (kind.to_owned(), BTreeSet::new()))).collect();
    for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a sample has a value"));
        let suffixes = ["", "_bucket", "_sum", "_count"];
        let family = suffixes.iter().filter_map(|suffix| name.strip_suffix(suffix)).find(|name| families.contains_key(*name));
        let (_, labels) = family.and_then(|name| families.get_mut(name)).unwrap_or_else(|| panic!("no family has {line}"));
        let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        let names = inside.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name);
        labels.extend(names.filter(|name| *name != "le").map(str::to_owned));
    }
    families
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_documented_with_its_type_and_labels_and_every_documented_one_is_there() {
    let endpoint = Endpoint::named("a").await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let lab = Lab::start(&format!(
        "listeners: [{{ name: public, bind: 127.0.0.1:0 }}]\n\
         routes:\n\
         - {{ name: gone, match: {{ path: /gone }}, pool: gone }}\n\
         - {{ name: rest, pool: agents, failover: [gone], bulkhead: all, hedge: {{ after: 10s }}, mirror: {{ pool: gone }}, \
           rate_limit: {{ requests: 1000, per: 1s, key: client_address }} }}\n\
         pools:\n\
         \x20 agents:\n\
         \x20   endpoints: [\"{}\"]\n\
         \x20   max_connections: 8\n\
         \x20   health: {{ http: {{ path: / }}, interval: 100ms }}\n\
         \x20   outlier: {{}}\n\
         \x20 gone: {{ endpoints: [\"{gone}\"] }}\n\
         \x20 sized:\n\
         \x20   max_connections: 4\n\
         \x20   autoscale: {{ target: {{ process: {{ command: [\"{}\", agent, --port, \"{{port}}\"] }} }} }}\n\
         bulkheads: {{ all: {{ max_concurrent: 8 }} }}\n\
         overload: {{ max_requests: 100 }}\n",
        endpoint.address,
        env!("CARGO_BIN_EXE_tidegate")
    ))
    .await;
    // A success, a failed attempt and a refusal, so that every family has a sample.
    assert_eq!(get(lab.address(), "/").await.status(), 200);
    assert_eq!(get(lab.address(), "/gone").await.status(), 502);
    assert!(raw(lab.address(), b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n").await.contains(" 400 "));
    // An endpoint that has been checked has a family of its own.
    let checked = async { while !lab.metrics().await.contains("\ntidegate_endpoint_health{") {} };
    soon(checked).await;
    // A policy that has a say wants some replicas.
    soon(async { while !lab.metrics().await.contains("\ntidegate_autoscale_policy_replicas{") {} }).await;
    let (documented, shown) = (documented(), shown(&lab.metrics().await));
    for (name, shape) in &shown {
        let promised = documented.get(name).map(|(kind, labels)| {
            let is_unseen = shape.1.is_empty() && SELDOM.contains(&name.as_str());
            (kind.clone(), if is_unseen { BTreeSet::new() } else { labels.clone() })
        });
        assert_eq!(promised.as_ref(), Some(shape), "{name} in the docs, and on the page");
    }
    for name in documented.keys() {
        assert!(shown.contains_key(name), "{name} is documented and not on the page");
    }
    assert!(shown.len() > 20, "{shown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_family_has_a_help_line_that_is_a_sentence() {
    let lab =
        Lab::start("listeners: [{ name: public, bind: 127.0.0.1:0, pool: a }]\npools: { a: { endpoints: [10.0.0.1:80] } }\n").await;
    let page = lab.metrics().await;
    let helped: BTreeMap<_, _> = page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')).collect();
    for name in shown(&page).keys() {
        assert!(helped.get(name.as_str()).is_some_and(|help| help.ends_with('.')), "{name}: {helped:?}");
    }
}
