//! A Lease (`coordination.k8s.io/v1`): read, made and written, and nothing decided.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use serde_json::json;

use super::cluster::Cluster;
use super::failure::CallError;
use super::path::Place;

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// How long it is good after it was renewed, in seconds; at least 1.
    pub seconds: u32,
    /// When its holder took it: microseconds since 1970 by the holder's clock.
    pub acquired: i64,
    /// When its holder renewed it last: microseconds since 1970 by the holder's clock.
    pub renewed: i64,
    /// How often it went from one holder to another.
    pub transitions: u32,
}

/// One version of a Lease: what is written over it is written only while it is the last one. The rest of the object goes along unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseVersion(Box<ObjectMeta>);

/// One Lease, and how it is reached.
#[derive(Debug)]
pub struct LeaseBook {
    cluster: Arc<Cluster>,
    /// `None`: the cluster's own.
    namespace: Option<String>,
    name: String,
    /// How long a call may take.
    limit: Duration,
}

impl LeaseBook {
    /// Says which Lease it is (in the cluster's own namespace when `None`), and how long a call about it may take; asks for nothing yet.
    pub const fn new(cluster: Arc<Cluster>, namespace: Option<String>, name: String, limit: Duration) -> Self {
        Self { cluster, namespace, name, limit }
    }

    /// Returns what it says and its version; `None` when there is none.
    ///
    /// # Errors
    /// When the server does not say.
    pub async fn get(&self) -> Result<Option<(LeaseRecord, LeaseVersion)>, CallError> {
        let (place, _) = self.place().await?;
        match self.cluster.call_within::<Lease>(place.get(&self.name, None), self.limit).await {
            Ok(lease) => read(lease).map(Some),
            Err(error) if error.code() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes `record` over the version that was read, or makes the Lease where `over` is `None`; returns the new version. Somebody else who was
    /// faster is an error with the code 409.
    ///
    /// # Errors
    /// When it was not written, or nobody knows.
    pub async fn put(&self, record: &LeaseRecord, over: Option<&LeaseVersion>) -> Result<LeaseVersion, CallError> {
        let (place, namespace) = self.place().await?;
        let mut object = json!(self.write(record, namespace, over));
        // An answer without one is for the reader only; the server wants to be told what it is.
        object["apiVersion"] = json!("coordination.k8s.io/v1");
        object["kind"] = json!("Lease");
        let ask = if over.is_some() { place.replace(&self.name, object) } else { place.create(object) };
        let lease: Lease = self.cluster.call_within(ask, self.limit).await?;
        version(lease.metadata)
    }

    async fn place(&self) -> Result<(Place, String), CallError> {
        let namespace = self.cluster.namespace(self.namespace.as_deref()).await?;
        Ok((Place::of::<Lease>(&namespace), namespace))
    }

    fn write(&self, record: &LeaseRecord, namespace: String, over: Option<&LeaseVersion>) -> Lease {
        let time = |micros| Some(MicroTime(Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)));
        let fresh = || ObjectMeta { name: Some(self.name.clone()), namespace: Some(namespace), ..ObjectMeta::default() };
        Lease {
            metadata: over.map_or_else(fresh, |over| (*over.0).clone()),
            spec: Some(LeaseSpec {
                holder_identity: Some(record.holder.clone()),
                lease_duration_seconds: Some(i32::try_from(record.seconds.max(1)).unwrap_or(i32::MAX)),
                acquire_time: time(record.acquired),
                renew_time: time(record.renewed),
                lease_transitions: Some(i32::try_from(record.transitions).unwrap_or(i32::MAX)),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn read(lease: Lease) -> Result<(LeaseRecord, LeaseVersion), CallError> {
    let spec = lease.spec.unwrap_or_default();
    let micros = |time: Option<MicroTime>| time.map_or(0, |time| time.0.as_microsecond());
    let record = LeaseRecord {
        holder: spec.holder_identity.unwrap_or_default(),
        seconds: spec.lease_duration_seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0).max(1),
        acquired: micros(spec.acquire_time),
        renewed: micros(spec.renew_time),
        transitions: spec.lease_transitions.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
    };
    Ok((record, version(lease.metadata)?))
}

fn version(metadata: ObjectMeta) -> Result<LeaseVersion, CallError> {
    // Written over no version, an object is written over any.
    let has_version = metadata.resource_version.as_deref().is_some_and(|version| !version.is_empty());
    let unversioned = || CallError::Unreachable("a lease without a version".to_owned());
    has_version.then(|| LeaseVersion(Box::new(metadata))).ok_or_else(unversioned)
}
