//! What pods use, as the metrics API says (`metrics.k8s.io`), where there is one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tracing::debug;

use super::cluster::Cluster;
use super::path::Place;
use super::pods::{Amount, Used};
use super::quantity;

/// How long figures are used: the metrics server itself measures every 15 s.
const KEPT: Duration = Duration::from_secs(10);

/// When it is asked again after it did not answer: a cluster without it has no need to hear the question every second.
const RETRY: Duration = Duration::from_secs(180);

/// How long it is waited for: the pods are known by then, and a decision is due.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the use of pods.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    used: Arc<BTreeMap<String, Used>>,
    /// When it is asked next; at once when `None`.
    next: Option<Instant>,
}

#[derive(Deserialize)]
struct PodMetricsList {
    items: Vec<PodMetrics>,
}

#[derive(Deserialize)]
struct PodMetrics {
    metadata: Named,
    containers: Option<Vec<ContainerMetrics>>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct ContainerMetrics {
    name: String,
    usage: BTreeMap<String, String>,
}

impl Meter {
    /// Returns what the containers of the pods that have `labels` use, by the names of the pods; nothing while the API does not answer.
    pub(super) async fn read(&self, cluster: &Cluster, namespace: &str, labels: &str) -> Arc<BTreeMap<String, Used>> {
        let now = Instant::now();
        if let Known { used, next: Some(next) } = &*self.lock()
            && now < *next
        {
            return used.clone();
        }
        let place = Place::new("metrics.k8s.io", "v1beta1", namespace, "pods");
        let answer = cluster.call_within::<PodMetricsList>(place.list(labels), PATIENCE.min(cluster.timeouts().call)).await;
        let (used, pause) = match answer {
            Ok(list) => (Arc::new(list.items.into_iter().map(read).collect()), KEPT),
            Err(error) => {
                debug!(%error, "There is no metrics API; policies on processor and memory have no data from it.");
                (Arc::default(), RETRY)
            }
        };
        *self.lock() = Known { used: Arc::clone(&used), next: Some(now + pause) };
        used
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // It is replaced whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(pod: PodMetrics) -> (String, Used) {
    let amount = |usage: &BTreeMap<String, String>| {
        let of = |resource: &str| usage.get(resource).and_then(|text| quantity::parse(text));
        Amount { cpu: of("cpu"), memory: of("memory") }
    };
    let containers = pod.containers.into_iter().flatten().map(|container| (container.name, amount(&container.usage)));
    (pod.metadata.name, containers.collect())
}
