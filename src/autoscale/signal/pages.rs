//! Figures from elsewhere: the endpoints' Prometheus pages, and queries to a Prometheus server.
//!
//! A figure that cannot be had is absent, never zero. Only what a policy asks for is fetched.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::debug;

use super::observation::Observation;
use crate::autoscale::scaling::Scaling;
use crate::kit::clock;
use crate::model::{ScaleRule, Signal, Terms};
use crate::registry::LivePool;
use crate::upstream::once::{Site, Spoken, exchange, get, open};
use crate::upstream::{Lookup, Target};

/// How often pages are fetched.
pub(in crate::autoscale) const PERIOD: Duration = Duration::from_secs(5);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The most that is read of a page.
const MAX_PAGE: usize = 4 * 1024 * 1024;

/// Pages that are held at once.
const AT_ONCE: usize = 16;

/// Where endpoints have their page.
const PAGE: &str = "/metrics";

/// Returns the signals of `terms` that must be fetched.
pub(in crate::autoscale) fn wanted(terms: &Terms) -> Vec<Signal> {
    let meters = terms.policies.iter().filter_map(|policy| match &policy.rule {
        ScaleRule::Target { meter, .. } | ScaleRule::Threshold { meter, .. } => Some(&meter.signal),
        ScaleRule::Schedule { .. } => None,
    });
    let mut signals: Vec<_> =
        meters.filter(|signal| matches!(signal, Signal::Custom(_) | Signal::Promql { .. })).cloned().collect();
    signals.sort_unstable();
    signals.dedup();
    signals
}

/// Fetches `signals`, and returns those that could be had, by their keys.
pub(in crate::autoscale) async fn fetch(signals: &[Signal], pool: &LivePool, lookup: &Lookup) -> BTreeMap<String, f64> {
    let names: Vec<&str> =
        signals.iter().filter_map(|signal| if let Signal::Custom(name) = signal { Some(name.as_str()) } else { None }).collect();
    let mut figures = BTreeMap::new();
    if !names.is_empty() {
        for (name, sum) in sums(&names, pool, lookup).await {
            figures.extend(Observation::key(&Signal::Custom(name)).map(|key| (key.into_owned(), sum)));
        }
    }
    for signal in signals {
        if let Signal::Promql { server, query } = signal {
            match timeout(PATIENCE, ask(server, query, lookup)).await.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                Ok(value) => figures.extend(Observation::key(signal).map(|key| (key.into_owned(), value))),
                Err(error) => debug!(server, query, error, "A query has no value."),
            }
        }
    }
    figures
}

/// Adds up what the pages of the endpoints that serve say of `names`; a name that no page has is absent, and every name when a page cannot be read: a part
/// of a sum would look like less to do.
async fn sums(names: &[&str], pool: &LivePool, lookup: &Lookup) -> BTreeMap<String, f64> {
    let members = pool.members.load_full();
    let serving = members.set.endpoints().iter().zip(&members.targets).filter(|(endpoint, _)| endpoint.is_eligible());
    let targets: Vec<Target> = serving.map(|(_, target)| target.clone()).collect();
    let mut sums = BTreeMap::new();
    for some in targets.chunks(AT_ONCE) {
        for page in join_all(some.iter().map(|target| page(target, lookup))).await {
            match page {
                Ok(page) => add(&mut sums, &page, names),
                Err(error) => {
                    debug!(error, "A page of an endpoint cannot be read.");
                    return BTreeMap::new();
                }
            }
        }
    }
    sums
}

/// Reads the page of one endpoint; the error is one line.
async fn page(target: &Target, lookup: &Lookup) -> Result<Bytes, String> {
    let reading = async {
        let stream = open(target, lookup, PATIENCE).await?;
        let spoken = Spoken::over(&stream, target.settings.protocol);
        let request = get(spoken, target, PAGE)?;
        exchange(stream, spoken, request, |_| MAX_PAGE).await
    };
    let answer = timeout(PATIENCE, reading).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))?;
    let status = answer.head.status;
    if status.is_success() { Ok(answer.body) } else { Err(format!("status {status}")) }
}

/// Adds the samples of `names` on a page in the Prometheus text format, whatever their labels.
fn add(sums: &mut BTreeMap<String, f64>, page: &[u8], names: &[&str]) {
    for line in String::from_utf8_lossy(page).lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ', '\t']).next().unwrap_or_default();
        if !names.contains(&name) {
            continue;
        }
        // A label's value may hold anything, and a brace in quotes is not the end of the labels.
        let rest = line[name.len()..].trim_start();
        let rest = if rest.starts_with('{') { labels_end(rest).map_or("", |end| &rest[end..]) } else { rest };
        let value = rest.split_whitespace().next().and_then(|value| value.parse::<f64>().ok());
        if let Some(value) = value.filter(|value| value.is_finite()) {
            *sums.entry(name.to_owned()).or_insert(0.0) += value;
        }
    }
}

/// Returns where the labels end that `text` begins with.
fn labels_end(text: &str) -> Option<usize> {
    let (mut in_quotes, mut is_escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_quotes => is_escaped = true,
            b'"' => in_quotes = !in_quotes,
            b'}' if !in_quotes => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Asks a Prometheus server for the one value of `query` (`GET /api/v1/query`, Prometheus HTTP API).
async fn ask(server: &str, query: &str, lookup: &Lookup) -> Result<f64, String> {
    let site = Site::new(server, None).map_err(|error| error.to_string())?;
    let suffix = format!("/api/v1/query?query={}", utf8_percent_encode(query, NON_ALPHANUMERIC));
    let request = site.request(Method::GET, &suffix, Bytes::new())?;
    let answer = site.ask(request, lookup, PATIENCE, MAX_PAGE).await?;
    if !answer.head.status.is_success() {
        return Err(format!("status {}", answer.head.status));
    }
    value(&answer.body)
}

#[derive(Deserialize)]
struct Queried {
    data: QueryData,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "snake_case")]
enum QueryData {
    Scalar((f64, String)),
    Vector(Vec<QuerySample>),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct QuerySample {
    value: (f64, String),
}

fn value(body: &[u8]) -> Result<f64, String> {
    let queried: Queried = serde_json::from_slice(body).map_err(|error| format!("not an answer of Prometheus: {error}"))?;
    let text = match &queried.data {
        QueryData::Scalar((_, value)) => value,
        QueryData::Vector(samples) => match samples.as_slice() {
            [QuerySample { value: (_, value) }] => value,
            samples => return Err(format!("the query has {} values, and one is needed", samples.len())),
        },
        QueryData::Other => return Err("the query yields neither a scalar nor a vector".to_owned()),
    };
    let value: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if value.is_finite() { Ok(value) } else { Err(format!("the query yields {value}")) }
}

/// Puts what was fetched where the loop finds it, again and again; ends with the scaling or with `live`.
pub(in crate::autoscale) async fn follow(mut live: watch::Receiver<Arc<LivePool>>, scaling: Weak<Scaling>, lookup: Lookup) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Cancel safe: a tick or a change that came stays noted.
        tokio::select! {
            _ = ticks.tick() => {}
            changed = live.changed() => if changed.is_err() { return },
        }
        let pool = live.borrow_and_update().clone();
        let Some(settings) = &pool.model.autoscale else { continue };
        let signals = wanted(&settings.terms);
        let figures = fetch(&signals, &pool, &lookup).await;
        let Some(scaling) = scaling.upgrade() else { return };
        let until = clock::now() + 3 * PERIOD;
        for (key, value) in figures {
            scaling.set_custom(key, value, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(page: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        add(&mut sums, page.as_bytes(), &["vllm:num_requests_waiting", "queue"]);
        sums
    }

    #[test]
    fn samples_of_a_name_are_added_up_whatever_their_labels() {
        let page = "# HELP queue Waiting.\n# TYPE queue gauge\nqueue{a=\"1\"} 2\nqueue{a=\"}\\\"{ 9\"} 3 1700000000\nqueue 1\nqueue_total 50\n\
                    vllm:num_requests_waiting{model=\"m\"} 4.5\n";
        assert_eq!(sum(page), [("queue".to_owned(), 6.0), ("vllm:num_requests_waiting".to_owned(), 4.5)].into());
    }

    #[test]
    fn what_is_no_number_is_absent() {
        assert_eq!(sum("queue NaN\nqueue{a=\"1\" 5\nqueue\n"), BTreeMap::new());
    }

    #[test]
    fn a_query_has_one_value() {
        let says = |data: &str| value(format!("{{\"status\":\"success\",\"data\":{data}}}").as_bytes());
        assert_eq!(says(r#"{"resultType":"scalar","result":[1700000000.5,"2.5"]}"#), Ok(2.5));
        assert_eq!(says(r#"{"resultType":"vector","result":[{"metric":{},"value":[1,"7"]}]}"#), Ok(7.0));
        assert!(says(r#"{"resultType":"vector","result":[]}"#).is_err_and(|error| error.contains("0 values")));
        assert!(says(r#"{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}"#).is_err());
        assert!(says(r#"{"resultType":"matrix","result":[]}"#).is_err());
        assert!(value(b"<html>").is_err());
    }
}
