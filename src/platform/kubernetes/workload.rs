//! An object with a scale subresource, as something that has replicas.
//!
//! Its pods are those that its scale's selector selects, as for the HorizontalPodAutoscaler. A number is written only over the number that was
//! read: somebody else who wrote meanwhile is not overwritten. Those that are to go are marked by their deletion cost, which is the only wish
//! that a ReplicaSet hears; whether it did is looked at, and said when not.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tracing::{debug, warn};

use super::cluster::Cluster;
use super::event::Scaled;
use super::failure::{CallError, PLATFORM};
use super::metrics::Meter;
use super::path::Place;
use super::pods;
use super::retreat::Retreat;
use crate::model::{self, Id};
use crate::platform::{Observed, Pending, Replica, ScaleError, Scaler};

/// What a ReplicaSet sorts the pods by that it may remove; the lowest goes first (Kubernetes docs, "ReplicaSet", pod deletion cost).
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The cost of those that are to go; it also tells which marks are ours after a restart.
const MARK: &str = "-999";

/// How often a number is written again when only something else than the number has changed meanwhile, such as a status.
const ATTEMPTS: u32 = 4;

/// Pods that are marked at once.
const AT_ONCE: usize = 8;

/// How long the event is waited for: it is for people to read.
const EVENT_PATIENCE: Duration = Duration::from_secs(1);

/// An object of a cluster that has a scale subresource.
#[derive(Debug)]
pub struct Workload {
    cluster: Arc<Cluster>,
    target: model::Workload,
    meter: Meter,
    books: Mutex<Books>,
}

/// What was seen last.
#[derive(Debug, Default)]
struct Books {
    scale: Option<Seen>,
    /// Pods that are marked and have not gone.
    marked: BTreeSet<Id>,
    retreat: Option<Retreat>,
}

/// A scale as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    version: String,
    desired: u32,
    selector: Option<String>,
    uid: Option<String>,
}

#[derive(Deserialize)]
struct PodList {
    items: Option<Vec<Pod>>,
}

impl Workload {
    /// Speaks for `target` in `cluster`; asks for nothing yet.
    pub fn new(cluster: Arc<Cluster>, target: model::Workload) -> Self {
        Self { cluster, target, meter: Meter::default(), books: Mutex::default() }
    }

    fn what(&self) -> String {
        format!("{} {}", self.target.plural, self.target.name)
    }

    async fn namespace(&self) -> Result<String, ScaleError> {
        self.cluster.namespace(self.target.namespace.as_deref()).await.map_err(|error| error.about(self.what()))
    }

    fn place(&self, namespace: &str) -> Place {
        Place::new(&self.target.group, &self.target.version, namespace, &self.target.plural)
    }

    async fn look(&self) -> Result<Observed, ScaleError> {
        let namespace = self.namespace().await?;
        let seen = self.read(&namespace).await?;
        // The HorizontalPodAutoscaler refuses it too: without a selector every pod of the namespace would count.
        let no_selector = || ScaleError::Refused {
            platform: PLATFORM,
            detail: format!("the scale of {} has no selector: its pods cannot be found", self.what()),
        };
        let selector = seen.selector.clone().filter(|selector| !selector.is_empty()).ok_or_else(no_selector)?;
        let pods = Place::of::<Pod>(&namespace);
        let list = async { self.cluster.call::<PodList>(pods.list(&selector)).await };
        let (list, used) = tokio::join!(list, self.meter.read(&self.cluster, &namespace, &selector));
        let pods = list.map_err(|error| error.about(format!("pods of {}", self.what())))?.items.unwrap_or_default();
        let now = Timestamp::now();
        let used = |pod: &Pod| pod.metadata.name.as_ref().and_then(|name| used.get(name));
        let mut replicas: Vec<Replica> = pods.iter().filter_map(|pod| pods::replica(pod, used(pod), now)).collect();
        replicas.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.note(&pods, &replicas);
        Ok(Observed { desired: seen.desired, replicas })
    }

    /// Writes down which pods are marked, and whether those went that were to go.
    fn note(&self, pods: &[Pod], replicas: &[Replica]) {
        let marked = pods.iter().filter(|pod| is_marked(pod)).filter_map(|pod| pod.metadata.name.as_deref()?.parse().ok());
        let mut books = self.lock();
        books.marked = marked.collect();
        let Some(spared) = books.retreat.as_ref().and_then(|retreat| retreat.spared(replicas)) else { return };
        books.retreat = None;
        drop(books);
        if !spared.is_empty() {
            warn!(target = self.what(), ?spared, "Other pods were removed than those that were drained.");
        }
    }

    async fn read(&self, namespace: &str) -> Result<Seen, ScaleError> {
        let scale = self.cluster.call::<Scale>(self.place(namespace).get(&self.target.name, Some("scale"))).await;
        let seen = Seen::of(scale.map_err(|error| error.about(self.what()))?);
        self.lock().scale = Some(seen.clone());
        Ok(seen)
    }

    async fn scale(&self, count: u32, victims: Vec<Id>) -> Result<(), ScaleError> {
        let too_many = |_| ScaleError::Refused { platform: PLATFORM, detail: format!("{count} is more than a scale can hold") };
        let replicas = i32::try_from(count).map_err(too_many)?;
        let namespace = self.namespace().await?;
        let known = self.lock().scale.clone();
        let seen = match known {
            Some(seen) => seen,
            None => self.read(&namespace).await?,
        };
        self.mark(&namespace, &victims).await?;
        let written = self.write(&namespace, replicas, seen.clone()).await?;
        self.keep(written, Retreat::new(count, &victims));
        if seen.desired != count {
            let uid = seen.uid.as_deref();
            self.tell(Scaled { target: &self.target, namespace: &namespace, uid, from: seen.desired, to: count }).await;
        }
        Ok(())
    }

    fn keep(&self, written: Seen, retreat: Option<Retreat>) {
        let mut books = self.lock();
        books.scale = Some(written);
        books.retreat = retreat;
    }

    /// Writes a number over the one that was seen. A version that is over because of anything else than the number is no obstacle: every pod that
    /// becomes ready makes a new one.
    async fn write(&self, namespace: &str, replicas: i32, seen: Seen) -> Result<Seen, ScaleError> {
        let mut over = seen.clone();
        for _ in 0..ATTEMPTS {
            let patch = json!({ "metadata": { "resourceVersion": over.version }, "spec": { "replicas": replicas } });
            match self.cluster.call::<Scale>(self.place(namespace).merge(&self.target.name, Some("scale"), patch)).await {
                Ok(scale) => return Ok(Seen::of(scale)),
                Err(error) if error.code() == Some(409) => {
                    over = self.read(namespace).await?;
                    if over.desired != seen.desired {
                        break;
                    }
                }
                Err(error) => {
                    // Perhaps it was written: the next turn must not take its own number for somebody else's.
                    self.lock().scale = None;
                    return Err(error.about(self.what()));
                }
            }
        }
        Err(ScaleError::Conflict { platform: PLATFORM, what: format!("the number of replicas of {}", self.what()) })
    }

    /// Marks `victims`, and takes the mark from all others.
    async fn mark(&self, namespace: &str, victims: &[Id]) -> Result<(), ScaleError> {
        let place = &Place::of::<Pod>(namespace);
        let others: Vec<Id> = self.lock().marked.iter().filter(|name| !victims.contains(name)).cloned().collect();
        let marks = victims.iter().map(|name| (name, json!(MARK))).chain(others.iter().map(|name| (name, Value::Null)));
        let patches = marks.map(|(name, cost)| async move {
            let patch = json!({ "metadata": { "annotations": { COST: cost } } });
            match self.cluster.call::<IgnoredAny>(place.merge(name.as_str(), None, patch)).await {
                // It has gone already.
                Err(error) if error.code() == Some(404) => Ok(()),
                // Unmarked, another pod would go in its place, with what runs on it: rather none goes.
                Err(error) => Err(error.about(format!("pod {name}"))),
                Ok(_) => Ok(()),
            }
        });
        let patches: Vec<_> = patches.collect();
        stream::iter(patches).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        self.lock().marked = victims.iter().cloned().collect();
        Ok(())
    }

    /// Makes an event on the target; without the permission, or the time, there is none.
    async fn tell(&self, scaled: Scaled<'_>) {
        let event = Place::of::<Event>(scaled.namespace).create(scaled.event(Timestamp::now()));
        let limit = EVENT_PATIENCE.min(self.cluster.timeouts().call);
        if let Err(error) = self.cluster.call_within::<IgnoredAny>(event, limit).await {
            debug!(target = self.what(), %error, "The event of a scaling could not be made.");
        }
    }

    async fn replace(&self, replica: Id) -> Result<(), ScaleError> {
        let place = Place::of::<Pod>(&self.namespace().await?);
        let gone = self.cluster.call::<IgnoredAny>(place.delete(replica.as_str())).await;
        gone.map(drop).map_err(|error: CallError| error.about(format!("pod {replica}")))
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        // Every field is replaced whole.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scaler for Workload {
    fn observe(&self) -> Pending<'_, Result<Observed, ScaleError>> {
        Box::pin(self.look())
    }

    fn scale_to(&self, count: u32, victims: Vec<Id>) -> Pending<'_, Result<(), ScaleError>> {
        Box::pin(self.scale(count, victims))
    }

    fn restart(&self, replica: Id) -> Pending<'_, Result<(), ScaleError>> {
        Box::pin(self.replace(replica))
    }

    fn changed(&self) -> Pending<'_, ()> {
        // The loop asks every second, and a pod that becomes ready is told by its EndpointSlice.
        Box::pin(pending())
    }
}

impl Seen {
    fn of(scale: Scale) -> Self {
        Self {
            version: scale.metadata.resource_version.unwrap_or_default(),
            // Absent means none: a Deployment with 0 replicas shows an empty spec.
            desired: scale.spec.and_then(|spec| spec.replicas).and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
            selector: scale.status.and_then(|status| status.selector),
            uid: scale.metadata.uid,
        }
    }
}

fn is_marked(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(COST)).is_some_and(|cost| cost == MARK)
}
