//! What a Deployment, a kubelet and the EndpointSlice controller do, in steps.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Fake, NAMESPACE};
use super::store::{Key, Place, Store};

/// Endpoints in a slice: so few that a service soon has several.
const IN_SLICE: usize = 2;

const SLICES: &str = "discovery.k8s.io/endpointslices";

pub fn key(kind: &str, name: &str) -> Key {
    (kind.to_owned(), NAMESPACE.to_owned(), name.to_owned())
}

impl Fake {
    /// Puts in a Deployment and its Service, both called `name`.
    pub fn deploy(&self, name: &str, replicas: u32) {
        self.scalable("apps/deployments", name, replicas);
    }

    /// Puts in an object of any kind that has a scale.
    pub fn scalable(&self, kind: &str, name: &str, replicas: u32) {
        let spec = json!({ "replicas": replicas, "selector": { "matchLabels": { "app": name } } });
        self.store(|store| {
            store.put(&key(kind, name), json!({ "metadata": {}, "spec": spec }));
            slices(store, name);
        });
    }

    /// Pods that start from now on have addresses that begin so, and this port.
    pub fn live_at(&self, network: [u8; 2], port: u16) {
        self.lock().store.place = Place { network, port };
    }

    /// Returns the pod that has an address.
    pub fn pod_at(&self, ip: IpAddr) -> Option<String> {
        let pods = self.lock().store.list("/pods", NAMESPACE, "");
        let pod = pods.iter().find(|pod| pod["status"]["podIP"] == ip.to_string())?;
        Some(pod["metadata"]["name"].as_str().unwrap().to_owned())
    }

    /// Takes one step; says whether there was one to take.
    pub fn step(&self) -> bool {
        self.with(|state| {
            let before = state.store.version;
            let all: Vec<(Key, Value)> = ["apps/deployments", "example.com/crews"]
                .into_iter()
                .flat_map(|kind| state.store.list(kind, NAMESPACE, "").into_iter().map(move |object| (kind, object)))
                .map(|(kind, object)| (key(kind, object["metadata"]["name"].as_str().unwrap()), object))
                .collect();
            for (key, object) in &all {
                step(&mut state.store, key, object);
            }
            state.store.version != before
        })
    }

    /// Takes steps until there is none.
    pub fn settle(&self) {
        while self.step() {}
    }

    /// Takes a step whenever something has changed, after a while; ends with the test's runtime.
    pub fn run(&self, pause: Duration) {
        let fake = self.clone();
        tokio::spawn(async move {
            let mut changes = fake.changes();
            loop {
                tokio::time::sleep(pause).await;
                if !fake.step() && changes.changed().await.is_err() {
                    return;
                }
                changes.mark_unchanged();
            }
        });
    }

    /// Returns the pods of a workload with what matters of each, in the order of their names.
    pub fn pods(&self, app: &str) -> Vec<Value> {
        self.lock().store.list("/pods", NAMESPACE, &format!("app={app}"))
    }

    /// Returns the names of the pods that stay.
    pub fn staying(&self, app: &str) -> Vec<String> {
        let pods = self.pods(app);
        pods.iter().filter(|pod| is_staying(pod)).map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns how many replicas an object is to have.
    pub fn replicas(&self, kind: &str, name: &str) -> i64 {
        self.lock().store.get(&key(kind, name)).unwrap()["spec"]["replicas"].as_i64().unwrap()
    }

    /// Changes an object from outside, such as `kubectl` does.
    pub fn patch(&self, kind: &str, name: &str, patch: &Value) {
        self.store(|store| store.patch(&key(kind, name), patch)).unwrap();
    }
}

fn is_staying(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"][0]["status"] == "True"
}

fn step(store: &mut Store, owner: &Key, object: &Value) {
    let app = &owner.2;
    let pods = store.list("/pods", NAMESPACE, &format!("app={app}"));
    for pod in &pods {
        advance(store, pod);
    }
    let wanted = usize::try_from(object["spec"]["replicas"].as_i64().unwrap_or(0)).unwrap();
    let mut staying: Vec<&Value> = pods.iter().filter(|pod| is_staying(pod)).collect();
    for _ in staying.len()..wanted {
        create(store, app);
    }
    // Not ready first, then by cost, then those that came last.
    staying.sort_by_key(|pod| (is_ready(pod), cost(pod), std::cmp::Reverse(number(pod))));
    for pod in staying.iter().take(staying.len().saturating_sub(wanted)) {
        let pod = key("/pods", pod["metadata"]["name"].as_str().unwrap());
        store.patch(&pod, &json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } })).unwrap();
    }
    slices(store, app);
    let count = store.list("/pods", NAMESPACE, &format!("app={app}")).len();
    store.patch(owner, &json!({ "status": { "replicas": count } })).unwrap();
}

fn cost(pod: &Value) -> i32 {
    let cost = &pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"];
    cost.as_str().and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn number(pod: &Value) -> u64 {
    pod["metadata"]["labels"]["number"].as_str().unwrap().parse().unwrap()
}

fn create(store: &mut Store, app: &str) {
    let number = store.version + 1;
    let metadata = json!({ "labels": { "app": app, "number": number.to_string() } });
    let resources = json!({ "limits": { "cpu": "500m", "memory": "100Mi" } });
    let container = json!({ "name": "agent", "ports": [{ "containerPort": store.place.port }], "resources": resources });
    let pod = json!({ "metadata": metadata, "spec": { "containers": [container] }, "status": { "phase": "Pending" } });
    store.put(&key("/pods", &format!("{app}-{number:03}")), pod);
}

/// Pending, running, ready; then not ready, gone.
fn advance(store: &mut Store, pod: &Value) {
    let name = pod["metadata"]["name"].as_str().unwrap();
    let this = key("/pods", name);
    let ready = |is: &str| json!([{ "type": "Ready", "status": is }]);
    let status = match (is_staying(pod), pod["status"]["phase"].as_str().unwrap(), is_ready(pod)) {
        (true, "Pending", _) => {
            let [a, b] = store.place.network;
            let ip = format!("{a}.{b}.{}.{}", number(pod) / 250, number(pod) % 250 + 1);
            json!({ "phase": "Running", "podIP": ip, "conditions": ready("False") })
        }
        (true, "Running", false) => json!({ "conditions": ready("True") }),
        (true, _, _) => return,
        (false, _, true) => json!({ "conditions": ready("False") }),
        (false, _, false) => return store.remove(&this),
    };
    store.patch(&this, &json!({ "status": status })).unwrap();
}

/// Writes the slices of a service: null where there is nothing, several where there is much, and in no order.
fn slices(store: &mut Store, app: &str) {
    let pods = store.list("/pods", NAMESPACE, &format!("app={app}"));
    let mut endpoints: Vec<Value> = pods.iter().filter_map(endpoint).collect();
    // Another order for each number of pods.
    let turn = endpoints.len() / 2;
    endpoints.rotate_left(turn);
    let count = endpoints.len().div_ceil(IN_SLICE).max(1);
    for index in 0..count {
        let part: Vec<_> = endpoints.iter().skip(index * IN_SLICE).take(IN_SLICE).collect();
        let ports = json!([{ "name": "http", "port": store.place.port, "protocol": "TCP" }]);
        let (endpoints, ports) = if part.is_empty() { (Value::Null, Value::Null) } else { (json!(part), ports) };
        let metadata = json!({ "labels": { "kubernetes.io/service-name": app } });
        let this = key(SLICES, &format!("{app}-{index}"));
        let mut slice = store.get(&this).cloned().unwrap_or_else(|| json!({ "metadata": metadata, "addressType": "IPv4" }));
        slice["endpoints"] = endpoints;
        slice["ports"] = ports;
        store.put(&this, slice);
    }
    for slice in store.list(SLICES, NAMESPACE, &format!("kubernetes.io/service-name={app}")).iter().skip(count) {
        store.remove(&key(SLICES, slice["metadata"]["name"].as_str().unwrap()));
    }
}

fn endpoint(pod: &Value) -> Option<Value> {
    let (serving, terminating) = (is_ready(pod), !is_staying(pod));
    let conditions = json!({ "ready": serving && !terminating, "serving": serving, "terminating": terminating });
    let target = json!({ "kind": "Pod", "name": pod["metadata"]["name"] });
    let address = pod["status"]["podIP"].as_str()?;
    Some(json!({ "addresses": [address], "conditions": conditions, "targetRef": target, "zone": "eu-1" }))
}
