//! What the admin server says of the demo, as far as it is shown.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::super::fetch::Server;
use super::super::settings::{POOL, ROUTE};

/// Decisions that are asked for: enough to hold those that changed something among those that did not.
const DECISIONS: usize = 60;

/// All that one look sees.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) pool: Pool,
    pub(super) scaling: Scaling,
    /// What was decided and changed something, the latest first.
    pub(super) changes: Vec<Change>,
    pub(super) counters: Counters,
    /// When that was, in milliseconds since 1970.
    pub(super) unix_ms: i64,
}

/// The page of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Pool {
    pub(super) in_flight: u64,
    pub(super) queue: Queue,
}

/// Its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Queue {
    pub(super) waiting: u64,
    pub(super) queued_total: u64,
}

/// The page of its autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Scaling {
    pub(super) max_replicas: u32,
    pub(super) replicas: Replicas,
}

/// How the replicas stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Replicas {
    pub(super) desired: u32,
    pub(super) ready: u32,
    pub(super) starting: u32,
    pub(super) draining: u32,
}

/// A decision that changed the number of replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) at_unix_ms: i64,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) reason: String,
}

/// Counters of the route, from the Prometheus page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counters {
    /// Requests that are over.
    pub(super) requests: u64,
    /// Those among them that failed, were cut, or were left by the client.
    pub(super) failures: u64,
    /// Requests whose first byte came within so many seconds; the bounds rise, and the last is infinite.
    pub(super) first_byte: Vec<(f64, u64)>,
}

/// An entry of the page of decisions.
#[derive(Deserialize)]
struct Entry {
    at_unix_ms: i64,
    decision: Decision,
}

#[derive(Deserialize)]
struct Decision {
    from: u32,
    to: u32,
    reason: String,
}

/// Looks at everything.
///
/// # Errors
/// When the admin server does not answer, or not as this version knows it.
pub(super) async fn look(server: &Server) -> anyhow::Result<Seen> {
    Ok(Seen {
        pool: pool(server).await?,
        scaling: scaling(server).await?,
        changes: changes(server).await?,
        counters: Counters::read(&server.text("/metrics").await?, ROUTE),
        unix_ms: jiff::Timestamp::now().as_millisecond(),
    })
}

/// Looks at the pool.
///
/// # Errors
/// As [`look`].
pub(super) async fn pool(server: &Server) -> anyhow::Result<Pool> {
    page(server, &format!("/api/v1/pools/{POOL}?checks=0")).await
}

/// Looks at the pool's autoscaler.
///
/// # Errors
/// As [`look`].
pub(super) async fn scaling(server: &Server) -> anyhow::Result<Scaling> {
    page(server, &format!("/api/v1/pools/{POOL}/autoscale")).await
}

/// Looks at the last decisions that changed something, the latest first.
///
/// # Errors
/// As [`look`].
pub(super) async fn changes(server: &Server) -> anyhow::Result<Vec<Change>> {
    let entries: Vec<Entry> = page(server, &format!("/api/v1/pools/{POOL}/autoscale/decisions?limit={DECISIONS}")).await?;
    let changes = entries.into_iter().filter(|entry| entry.decision.from != entry.decision.to);
    Ok(changes.map(Change::from).collect())
}

async fn page<T: DeserializeOwned>(server: &Server, path: &str) -> anyhow::Result<T> {
    Ok(serde_json::from_value(server.get(path).await?)?)
}

impl From<Entry> for Change {
    fn from(Entry { at_unix_ms, decision: Decision { from, to, reason } }: Entry) -> Self {
        Self { at_unix_ms, from, to, reason }
    }
}

impl Counters {
    /// Reads the counters of `route` from a Prometheus page.
    fn read(page: &str, route: &str) -> Self {
        let mut counters = Self::default();
        for (name, labels, value) in page.lines().filter_map(sample) {
            if label(labels, "route") != Some(route) {
                continue;
            }
            match name {
                "tidegate_requests_total" => counters.requests += value,
                "tidegate_request_failures_total" => counters.failures += value,
                "tidegate_request_first_byte_seconds_bucket" => {
                    counters.first_byte.extend(bound(labels).map(|bound| (bound, value)))
                }
                _ => {}
            }
        }
        counters
    }
}

/// Takes a line `name{labels} value` apart; `None` for comments, and for samples without labels, of which none is needed.
fn sample(line: &str) -> Option<(&str, &str, u64)> {
    let (name, rest) = line.split_once('{')?;
    // Labels here hold names of the demo's config and words of closed lists, and so no brace.
    let (labels, value) = rest.rsplit_once("} ")?;
    Some((name, labels, value.parse().ok()?))
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

fn bound(labels: &str) -> Option<f64> {
    // `+Inf` is a number in Rust as well.
    label(labels, "le")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_of_one_route_are_read_from_the_page() {
        let page = "\
# TYPE tidegate_requests_total counter
tidegate_requests_total{listener=\"demo\",route=\"everything\",status_class=\"2xx\"} 60
tidegate_requests_total{listener=\"demo\",route=\"everything\",status_class=\"5xx\"} 2
tidegate_requests_total{listener=\"demo\",route=\"python\",status_class=\"2xx\"} 500
tidegate_request_failures_total{listener=\"demo\",route=\"everything\",reason=\"queue_timeout\"} 2
tidegate_request_first_byte_seconds_bucket{listener=\"demo\",route=\"everything\",le=\"0.25\"} 5
tidegate_request_first_byte_seconds_bucket{listener=\"demo\",route=\"everything\",le=\"+Inf\"} 6
tidegate_request_first_byte_seconds_sum{listener=\"demo\",route=\"everything\"} 1.5
tidegate_workers 2
";
        let expected = Counters { requests: 62, failures: 2, first_byte: vec![(0.25, 5), (f64::INFINITY, 6)] };
        assert_eq!(Counters::read(page, "everything"), expected);
        assert_eq!(Counters::read(page, "nobody"), Counters::default());
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        for line in ["", "#", "a{", "a{} ", "a{route=\"everything\"} x", "a{route=\"everything\"}5", "} 5{", "tidegate_workers 2"] {
            assert_eq!(Counters::read(line, "everything"), Counters::default(), "{line}");
        }
    }
}
