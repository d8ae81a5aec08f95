//! What `kubectl describe` shows of a scaling. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::{Value, json};

use crate::model;

/// Who reports.
const CONTROLLER: &str = "tidegate.dev/autoscaler";

/// A scaling that was carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scaled<'a> {
    /// What was scaled.
    pub target: &'a model::Workload,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its identity, by which events are found.
    pub uid: Option<&'a str>,
    /// How many there were to be before.
    pub from: u32,
    /// How many there are to be now.
    pub to: u32,
}

impl Scaled<'_> {
    /// Writes the Event (`events.k8s.io/v1`).
    pub(super) fn event(&self, now: Timestamp) -> Value {
        let model::Workload { group, version, kind, name, .. } = self.target;
        let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        // Unique by its time, as those of other controllers; the name of the object is cut so that the whole is a name (253 bytes).
        let short: String = name.chars().take(200).collect();
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": { "name": format!("{short}.{:x}", now.as_microsecond()), "namespace": self.namespace },
            "eventTime": MicroTime(now),
            "type": "Normal",
            "reason": "TidegateScaled",
            "action": "Scale",
            "note": format!("Scaled from {} to {} replicas.", self.from, self.to),
            "reportingController": CONTROLLER,
            "reportingInstance": "tidegate",
            "regarding": {
                "apiVersion": api_version,
                "kind": kind,
                "namespace": self.namespace,
                "name": name,
                "uid": self.uid,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_target_and_has_a_time_of_six_digits() {
        let target = model::Workload {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            kind: "Deployment".to_owned(),
            plural: "deployments".to_owned(),
            name: "coders".to_owned(),
            namespace: None,
        };
        let scaled = Scaled { target: &target, namespace: "agents", uid: Some("u-1"), from: 0, to: 3 };
        let event = scaled.event("2026-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(event["eventTime"], "2026-01-01T00:00:00.000000Z");
        assert_eq!(event["note"], "Scaled from 0 to 3 replicas.");
        assert_eq!(event["regarding"]["apiVersion"], "apps/v1");
        assert_eq!(event["regarding"]["uid"], "u-1");
        assert_eq!(event["metadata"]["namespace"], "agents");
    }
}
