//! The objects of one kind that have certain labels, kept up to date: listed, then watched.
//!
//! A watch is never believed for longer than [`Timeouts::watch`](super::Timeouts): a server that is ending keeps it open and silent. However it
//! ends, by time, by an event that says that the version is too old, cut or hung, everything is listed again. While there is no server, what was
//! seen last stays. The lists that a server streams as events are not used: one without support for them never ends the first.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::{FutureExt, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, ObjectMeta};
use k8s_openapi::{Metadata, NamespaceResourceScope, Resource};
use kube::core::WatchEvent;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::instrument::WithSubscriber;
use tracing::{Dispatch, debug, info, warn};

use super::backoff::Backoff;
use super::cluster::{Cluster, Events, unreachable};
use super::failure::CallError;
use super::path::Place;

/// How much longer than the server was asked for a watch may last before it counts as hung.
const GRACE: Duration = Duration::from_secs(2);

/// A watch that ends before this is as good as a failure: a proxy that ends each at once must not make us list without a pause.
const SHORT: Duration = Duration::from_secs(1);

/// A kind of object that can be mirrored.
pub trait Kind:
    Resource<Scope = NamespaceResourceScope> + Metadata<Ty = ObjectMeta> + DeserializeOwned + Clone + Send + 'static
{
}

impl<K> Kind for K where
    K: Resource<Scope = NamespaceResourceScope> + Metadata<Ty = ObjectMeta> + DeserializeOwned + Clone + Send + 'static
{
}

/// The objects of one kind that have certain labels, as they were seen last.
pub struct Mirror<K> {
    cluster: Arc<Cluster>,
    /// `None`: the cluster's own.
    namespace: Option<String>,
    labels: String,
    objects: BTreeMap<String, K>,
    state: State<K>,
    backoff: Backoff,
    rng: Rng,
    is_down: bool,
}

enum State<K> {
    /// Everything is to be listed, from then on.
    Stale(Instant),
    /// It was listed at this version.
    Listed(String),
    /// It is watched.
    Watched(Watched<K>),
}

struct Watched<K> {
    events: Events<K>,
    since: Instant,
    until: Instant,
}

#[derive(Deserialize)]
struct List<K> {
    metadata: ListMeta,
    items: Option<Vec<K>>,
}

impl<K> fmt::Debug for Mirror<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").field("labels", &self.labels).field("objects", &self.objects.len()).finish_non_exhaustive()
    }
}

impl<K: Kind> Mirror<K> {
    /// Mirrors the objects of a namespace (the cluster's own when `None`) that have `labels`; asks for nothing yet.
    pub fn new(cluster: Arc<Cluster>, namespace: Option<String>, labels: String) -> Self {
        let state = State::Stale(Instant::now());
        let (objects, backoff, rng) = (BTreeMap::new(), Backoff::default(), Rng::new());
        Self { cluster, namespace, labels, objects, state, backoff, rng, is_down: false }
    }

    /// Returns the objects, in the order of their names.
    pub fn objects(&self) -> impl Iterator<Item = &K> {
        self.objects.values()
    }

    /// Waits until the objects were listed again, or something has happened to them; what happens at once is one change. Cancel safe.
    pub async fn changed(&mut self) {
        loop {
            let step = match &mut self.state {
                State::Stale(from) => {
                    sleep_until(*from).await;
                    self.list().await
                }
                State::Listed(version) => {
                    let version = version.clone();
                    self.watch(&version).await.map(|()| false)
                }
                State::Watched(_) => self.heed().await,
            };
            match step {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => self.fail(&error),
            }
        }
    }

    async fn list(&mut self) -> Result<bool, CallError> {
        let list: List<K> =
            self.cluster.call(place::<K>(&self.cluster, self.namespace.as_deref()).await?.list(&self.labels)).await?;
        let version = list.metadata.resource_version.unwrap_or_default();
        self.objects = list.items.into_iter().flatten().filter_map(|object| Some((name(&object)?, object))).collect();
        self.state = State::Listed(version);
        if std::mem::take(&mut self.is_down) {
            info!(kind = K::KIND, labels = self.labels, "The API server answers again.");
        }
        Ok(true)
    }

    async fn watch(&mut self, version: &str) -> Result<(), CallError> {
        // Up to a fifth earlier, so that many watches do not end together.
        let life = self.cluster.timeouts().watch.mul_f64(self.rng.f64().mul_add(0.2, 0.8));
        let seconds = life.as_secs().max(1);
        let events = self
            .cluster
            .events(place::<K>(&self.cluster, self.namespace.as_deref()).await?.watch(&self.labels, version, seconds))
            .await?;
        let since = Instant::now();
        self.state = State::Watched(Watched { events, since, until: since + life + GRACE });
        Ok(())
    }

    /// Waits for the next event and takes in all that are there.
    async fn heed(&mut self) -> Result<bool, CallError> {
        let State::Watched(watched) = &mut self.state else { return Ok(false) };
        let next = timeout_at(watched.until, watched.events.next().with_subscriber(Dispatch::none())).await;
        let event = match next {
            Ok(Some(event)) => event.map_err(unreachable)?,
            // The server ends it when its time is over.
            Ok(None) if watched.since.elapsed() >= SHORT => {
                self.backoff.reset();
                self.state = State::Stale(Instant::now());
                return Ok(false);
            }
            Ok(None) => return Err(CallError::Unreachable("the watch ended at once".to_owned())),
            Err(_) => return Err(CallError::Unreachable("the watch has hung".to_owned())),
        };
        let mut is_news = take(&mut self.objects, event)?;
        // What came before an error is news all the same.
        let error = loop {
            let next = watched.events.next().with_subscriber(Dispatch::none()).now_or_never();
            match next.flatten().map(|event| event.map_err(unreachable).and_then(|event| take(&mut self.objects, event))) {
                Some(Ok(more)) => is_news |= more,
                Some(Err(error)) => break Some(error),
                // Nothing more yet; or the stream has ended, which the next turn hears again.
                None => break None,
            }
        };
        if let Some(error) = error {
            self.fail(&error);
        }
        Ok(is_news)
    }

    fn fail(&mut self, error: &CallError) {
        if let State::Watched(watched) = &self.state
            && watched.since.elapsed() >= SHORT
        {
            self.backoff.reset();
        }
        let pause = self.backoff.fail(&mut self.rng).max(error.wait().unwrap_or_default());
        self.state = State::Stale(Instant::now() + pause);
        if std::mem::replace(&mut self.is_down, true) {
            debug!(kind = K::KIND, labels = self.labels, %error, ?pause, "Still no answer.");
        } else {
            warn!(kind = K::KIND, labels = self.labels, %error, "The API server does not say what there is; what was seen last stays.");
        }
    }
}

async fn place<K: Kind>(cluster: &Cluster, namespace: Option<&str>) -> Result<Place, CallError> {
    Ok(Place::of::<K>(&cluster.namespace(namespace).await?))
}

/// Takes one event in; says whether it changes anything.
fn take<K: Kind>(objects: &mut BTreeMap<String, K>, event: WatchEvent<K>) -> Result<bool, CallError> {
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => {
            if let Some(name) = name(&object) {
                objects.insert(name, object);
            }
            Ok(true)
        }
        WatchEvent::Deleted(object) => Ok(name(&object).is_some_and(|name| objects.remove(&name).is_some())),
        WatchEvent::Bookmark(_) => Ok(false),
        WatchEvent::Error(status) => Err(CallError::from_status(&status)),
    }
}

fn name<K: Kind>(object: &K) -> Option<String> {
    object.metadata().name.clone()
}
