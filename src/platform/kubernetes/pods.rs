//! What a pod says about the replica that it is. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerState, Pod, PodStatus, ResourceRequirements};

use super::quantity;
use crate::model::{Address, Id};
use crate::platform::{Phase, Replica, Usage};

/// Reasons for which a container waits that do not pass by themselves soon: its replica is no coming capacity.
const STUCK: [&str; 7] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// What the containers of a pod use, by what they are called: processors and bytes.
pub(super) type Used = BTreeMap<String, Amount>;

/// An amount of processors and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Amount {
    pub cpu: Option<f64>,
    pub memory: Option<f64>,
}

/// Returns the replica that `pod` is; `None` for one that has ended well, and for one without a name.
pub(super) fn replica(pod: &Pod, used: Option<&Used>, now: Timestamp) -> Option<Replica> {
    let name: Id = pod.metadata.name.as_deref()?.parse().ok()?;
    let created = pod.metadata.creation_timestamp.as_ref().map_or(now, |created| created.0);
    let age = now.duration_since(created).try_into().unwrap_or_default();
    let usage = used.map(|used| usage(pod, used)).unwrap_or_default();
    Some(Replica { name, address: address(pod), phase: phase(pod)?, age, usage })
}

fn phase(pod: &Pod) -> Option<Phase> {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    // A pod that has ended for good, such as an evicted one, lies around and counts for nobody: its workload has another one in its place.
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Some(Phase::Stopping);
    }
    if status.is_some_and(is_stuck) {
        return Some(Phase::Failed);
    }
    Some(if status.is_some_and(is_ready) { Phase::Ready } else { Phase::Starting })
}

fn is_stuck(status: &PodStatus) -> bool {
    let reason = |state: &ContainerState| state.waiting.as_ref()?.reason.clone();
    let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    containers.filter_map(|container| reason(container.state.as_ref()?)).any(|reason| STUCK.contains(&reason.as_str()))
}

fn is_ready(status: &PodStatus) -> bool {
    status.conditions.iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The pod's address with the first port that a container names; without a port there is nowhere to connect to.
fn address(pod: &Pod) -> Option<Address> {
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
    let mut ports = containers(pod).filter_map(|container| container.ports.as_ref()).flatten();
    let port = ports.find(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"))?.container_port;
    Some(Address::Ip(SocketAddr::new(ip, u16::try_from(port).ok().filter(|port| *port > 0)?)))
}

/// Those that run as long as the pod: a sidecar is an init container that is started again (Kubernetes docs, "Sidecar Containers").
fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.as_ref();
    let sidecars = spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.map(|spec| spec.containers.iter()).into_iter().flatten().chain(sidecars)
}

/// What a pod uses over what it may use: its limits, or where there is none its requests. Where a container has neither, the ratio would be of
/// nothing, and where one was not measured, too small.
fn usage(pod: &Pod, used: &Used) -> Usage {
    let ratio = |resource: &str, pick: fn(&Amount) -> Option<f64>| {
        let (mut uses, mut may_use) = (0.0, 0.0);
        for container in containers(pod) {
            uses += pick(used.get(&container.name)?)?;
            may_use += allowance(container.resources.as_ref()?, resource)?;
        }
        (may_use > 0.0).then_some(uses / may_use)
    };
    Usage { cpu: ratio("cpu", |amount| amount.cpu), memory: ratio("memory", |amount| amount.memory) }
}

fn allowance(resources: &ResourceRequirements, resource: &str) -> Option<f64> {
    let limit = resources.limits.as_ref().and_then(|limits| limits.get(resource));
    let request = || resources.requests.as_ref().and_then(|requests| requests.get(resource));
    quantity::parse(&limit.or_else(request)?.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn shown(pod: Value) -> Option<Replica> {
        shown_with(pod, None)
    }

    fn shown_with(pod: Value, used: Option<&Used>) -> Option<Replica> {
        replica(&serde_json::from_value(pod).unwrap(), used, "2026-01-01T00:01:00Z".parse().unwrap())
    }

    fn pod(status: Value) -> Value {
        let metadata = json!({ "name": "coder-1", "creationTimestamp": "2026-01-01T00:00:00Z" });
        json!({ "metadata": metadata, "spec": { "containers": [{ "name": "a" }] }, "status": status })
    }

    fn ready(status: &str) -> Value {
        json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": status }] })
    }

    fn waiting(reason: &str) -> Value {
        let state = json!({ "waiting": { "reason": reason } });
        let container = json!({ "name": "a", "image": "", "imageID": "", "ready": false, "restartCount": 3, "state": state });
        json!({ "phase": "Running", "containerStatuses": [container] })
    }

    #[test]
    fn phases_follow_what_the_pod_says() {
        let table = [
            (json!({ "phase": "Pending" }), Some(Phase::Starting)),
            (json!({}), Some(Phase::Starting)),
            (Value::Null, Some(Phase::Starting)),
            (ready("False"), Some(Phase::Starting)),
            (ready("Unknown"), Some(Phase::Starting)),
            (ready("True"), Some(Phase::Ready)),
            (waiting("ContainerCreating"), Some(Phase::Starting)),
            (waiting("CrashLoopBackOff"), Some(Phase::Failed)),
            (waiting("ImagePullBackOff"), Some(Phase::Failed)),
            (json!({ "phase": "Failed", "reason": "Evicted" }), None),
            (json!({ "phase": "Succeeded" }), None),
        ];
        for (status, phase) in table {
            assert_eq!(shown(pod(status.clone())).map(|replica| replica.phase), phase, "{status}");
        }
    }

    #[test]
    fn a_pod_with_a_time_of_deletion_is_stopping_whatever_else_it_says() {
        for status in [ready("True"), waiting("CrashLoopBackOff")] {
            let mut pod = pod(status);
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:30Z");
            assert_eq!(shown(pod).unwrap().phase, Phase::Stopping);
        }
    }

    #[test]
    fn age_is_never_below_zero() {
        assert_eq!(shown(pod(json!({}))).unwrap().age, Duration::from_secs(60));
        let mut early = pod(json!({}));
        early["metadata"]["creationTimestamp"] = json!("2026-01-01T09:00:00Z");
        assert_eq!(shown(early).unwrap().age, Duration::ZERO);
    }

    #[test]
    fn the_address_is_that_of_the_pod_and_its_first_port() {
        let mut pod = pod(json!({ "podIP": "10.1.0.7" }));
        assert_eq!(shown(pod.clone()).unwrap().address, None, "a port is not guessed");
        let ports = json!([{ "containerPort": 53, "protocol": "UDP" }, { "containerPort": 8080 }, { "containerPort": 9090 }]);
        pod["spec"]["containers"] = json!([{ "name": "a" }, { "name": "b", "ports": ports }]);
        assert_eq!(shown(pod).unwrap().address, Some("10.1.0.7:8080".parse().unwrap()));
    }

    #[test]
    fn usage_is_over_the_limits_or_else_the_requests_of_all_containers() {
        let amount = |cpu, memory| Amount { cpu: Some(cpu), memory: Some(memory) };
        let mut used = Used::from([("a".to_owned(), amount(0.3, 100e6)), ("proxy".to_owned(), amount(0.1, 50e6))]);
        let mut pod = pod(ready("True"));
        pod["spec"]["containers"][0]["resources"] = json!({
            "limits": { "cpu": "500m" }, "requests": { "cpu": "100m", "memory": "200M" },
        });
        let sidecar = json!({ "cpu": "500m", "memory": "100M" });
        pod["spec"]["initContainers"] = json!([
            { "name": "migrate" },
            { "name": "proxy", "restartPolicy": "Always", "resources": { "limits": sidecar } },
        ]);
        assert_eq!(shown_with(pod.clone(), Some(&used)).unwrap().usage, Usage { cpu: Some(0.4), memory: Some(0.5) });

        used.remove("proxy");
        assert_eq!(shown_with(pod.clone(), Some(&used)).unwrap().usage, Usage::default(), "one container was not measured");
        pod["spec"]["initContainers"] = Value::Null;
        pod["spec"]["containers"][0]["resources"]["requests"] = Value::Null;
        let usage = shown_with(pod, Some(&used)).unwrap().usage;
        assert_eq!(usage, Usage { cpu: Some(0.6), memory: None }, "nothing says how much memory there may be");
    }
}
