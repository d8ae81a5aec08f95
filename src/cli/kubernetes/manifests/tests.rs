use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Parser;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::cli::args::{Arguments, Command, Kubernetes};

fn arguments(line: &str) -> Manifests {
    let words = ["tidegate", "kubernetes", "manifests"].into_iter().chain(line.split_whitespace());
    match Arguments::try_parse_from(words).unwrap().command {
        Command::Kubernetes(Kubernetes::Manifests(arguments)) => arguments,
        other => panic!("{other:?}"),
    }
}

fn printed(line: &str) -> String {
    print(&arguments(line)).unwrap_or_else(|error| panic!("{error:#}"))
}

/// The documents by kind and namespace and name, in order.
fn documents(text: &str) -> Vec<(String, Value)> {
    let parse = |document: &str| {
        let value: Value = serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}\n{document}"));
        let meta = &value["metadata"];
        let name = format!("{} {}", value["kind"].as_str().unwrap(), meta["name"].as_str().unwrap());
        let place = meta["namespace"].as_str().map(|namespace| format!("{name} in {namespace}"));
        (place.unwrap_or(name), value)
    };
    let text = format!("\n{text}");
    text.split("\n---\n").filter(|document| !document.trim().is_empty()).map(parse).collect()
}

fn document(text: &str, name: &str) -> Value {
    let all = documents(text);
    all.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}")).1.clone()
}

/// Fails when `value` has a key that the kind has not, or a value of another shape.
fn is_a<T: DeserializeOwned + Serialize>(value: &Value) {
    let typed: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}\n{value:#}"));
    assert_eq!(serde_json::to_value(&typed).unwrap(), *value);
}

fn is_valid(value: &Value) {
    match value["kind"].as_str().unwrap() {
        "Namespace" => is_a::<Namespace>(value),
        "ServiceAccount" => is_a::<ServiceAccount>(value),
        "Role" => is_a::<Role>(value),
        "RoleBinding" => is_a::<RoleBinding>(value),
        "ConfigMap" => is_a::<ConfigMap>(value),
        "Deployment" => is_a::<Deployment>(value),
        "Service" => is_a::<Service>(value),
        "PodDisruptionBudget" => is_a::<PodDisruptionBudget>(value),
        "HorizontalPodAutoscaler" => is_a::<HorizontalPodAutoscaler>(value),
        other => panic!("unknown kind {other}"),
    }
}

/// A config file in a folder of its own.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidegate.yaml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

const PLAIN: &str = "\
  # begins with blanks
listeners: [{ name: a, bind: '0.0.0.0:8443', pool: a }]

pools: { a: { endpoints: ['10.0.0.1:80'] } }
admin: { bind: '0.0.0.0:9901', token: '${TIDEGATE_ADMIN_TOKEN:-}' }
forwarding: { name: '${POD_NAME}' }
";

#[test]
fn every_document_is_valid_and_stands_where_it_should() {
    let text = printed("--name edge --namespace agents --autoscaler hpa");
    let all = documents(&text);
    all.iter().for_each(|(_, value)| is_valid(value));
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "Namespace agents",
        "ServiceAccount edge in agents",
        "Role edge in agents",
        "RoleBinding edge in agents",
        "ConfigMap edge in agents",
        "Deployment edge in agents",
        "Service edge in agents",
        "Service edge-peers in agents",
        "PodDisruptionBudget edge in agents",
        "HorizontalPodAutoscaler edge in agents",
    ];
    assert_eq!(names, expected);
    assert!(!text.contains("{{"), "a name was not filled in");
}

#[test]
fn the_same_arguments_print_the_same_text() {
    assert_eq!(printed("--name edge"), printed("--name edge"));
    assert!(!printed("").contains("HorizontalPodAutoscaler"));
}

/// Rights as `group/resource verb`.
fn rights(role: &Value) -> Vec<String> {
    let words = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let mut rights = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                rights.extend(words(&rule["verbs"]).into_iter().map(|verb| format!("{group}:{resource} {verb}")));
            }
        }
    }
    rights.sort();
    rights
}

const RIGHTS: [&str; 18] = [
    ":events create",
    ":pods delete",
    ":pods get",
    ":pods list",
    ":pods patch",
    "apps:deployments/scale get",
    "apps:deployments/scale patch",
    "apps:replicasets/scale get",
    "apps:replicasets/scale patch",
    "apps:statefulsets/scale get",
    "apps:statefulsets/scale patch",
    "coordination.k8s.io:leases create",
    "coordination.k8s.io:leases get",
    "coordination.k8s.io:leases update",
    "discovery.k8s.io:endpointslices list",
    "discovery.k8s.io:endpointslices watch",
    "events.k8s.io:events create",
    "metrics.k8s.io:pods list",
];

#[test]
fn the_rights_are_those_that_are_needed_and_no_other() {
    let text = printed("");
    assert_eq!(rights(&document(&text, "Role tidegate in tidegate")), RIGHTS);
    let binding = document(&text, "RoleBinding tidegate in tidegate");
    assert_eq!(binding["roleRef"]["name"], "tidegate");
    assert_eq!(binding["subjects"], json!([{"kind": "ServiceAccount", "name": "tidegate", "namespace": "tidegate"}]));
}

#[test]
fn other_namespaces_and_kinds_of_the_config_get_rights_too() {
    let (_folder, path) = file(
        "listeners: [{ name: a, bind: '0.0.0.0:80', pool: a }]\nadmin: { bind: '0.0.0.0:9900' }\npools:\n  a:\n    max_connections: 1\n    \
         discovery: { kubernetes: { service: a, namespace: agents } }\n    autoscale:\n      target: { kubernetes: { kind: Rollout, name: a, \
         api: argoproj.io/v1alpha1, plural: rollouts, namespace: agents } }\n",
    );
    let text = printed(&format!("--config {}", path.display()));
    documents(&text).iter().for_each(|(_, value)| is_valid(value));
    let elsewhere = rights(&document(&text, "Role tidegate in agents"));
    let mut expected: Vec<&str> = RIGHTS.into_iter().filter(|right| !right.contains("leases")).collect();
    expected.extend(["argoproj.io:rollouts/scale get", "argoproj.io:rollouts/scale patch"]);
    expected.sort_unstable();
    assert_eq!(elsewhere, expected);
    let binding = document(&text, "RoleBinding tidegate in agents");
    assert_eq!(binding["subjects"][0]["namespace"], "tidegate");
}

#[test]
fn a_config_reaches_the_pods_as_it_is() {
    let (_folder, path) = file(PLAIN);
    let text = printed(&format!("--config {}", path.display()));
    let map = document(&text, "ConfigMap tidegate in tidegate");
    assert_eq!(map["data"]["tidegate.yaml"], PLAIN);
}

#[test]
fn ports_and_times_follow_the_config() {
    let (_folder, path) = file(PLAIN);
    let text = printed(&format!("--config {}", path.display()));
    let pod = &document(&text, "Deployment tidegate in tidegate")["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 40);
    let container = &pod["containers"][0];
    assert_eq!(container["lifecycle"]["preStop"]["sleep"]["seconds"], 5, "the config has no delay");
    assert_eq!(container["ports"], json!([{"name": "port-8443", "containerPort": 8443}, {"name": "admin", "containerPort": 9901}]));
    let service = document(&text, "Service tidegate in tidegate");
    assert_eq!(service["spec"]["ports"][0], json!({"name": "port-8443", "port": 8443, "targetPort": "port-8443"}));
    assert_eq!(document(&text, "Service tidegate-peers in tidegate")["spec"]["ports"][0]["port"], 9901);
}

#[test]
fn a_pod_is_watched_hardened_and_knows_its_name() {
    let text = printed("--image registry.example/tidegate:9 --replicas 3");
    let spec = &document(&text, "Deployment tidegate in tidegate")["spec"];
    let (pod, container) = (&spec["template"]["spec"], &spec["template"]["spec"]["containers"][0]);
    assert_eq!((&spec["replicas"], &container["image"]), (&json!(3), &json!("registry.example/tidegate:9")));
    for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz"), ("startupProbe", "/healthz")] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "admin"}));
    }
    assert_eq!(container.get("lifecycle"), None, "the example has a delay of its own");
    let drain = config::read(&config_of(&text), "t.yaml", Path::new(FOLDER), &variable).unwrap().snapshot.drain;
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > (drain.delay + drain.timeout).as_secs());
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    let fields: BTreeMap<&str, &Value> = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| (variable["name"].as_str().unwrap(), &variable["valueFrom"]["fieldRef"]["fieldPath"]))
        .collect();
    assert_eq!((fields["POD_NAME"], fields["POD_NAMESPACE"]), (&json!("metadata.name"), &json!("metadata.namespace")));
    let headless = &document(&text, "Service tidegate-peers in tidegate")["spec"];
    assert_eq!((&headless["clusterIP"], &headless["publishNotReadyAddresses"]), (&json!("None"), &json!(true)));
    assert_eq!(headless["selector"], spec["selector"]["matchLabels"]);
    assert_eq!(spec["template"]["metadata"]["labels"], spec["selector"]["matchLabels"]);
}

#[test]
fn the_number_of_pods_has_one_owner() {
    let text = printed("--autoscaler hpa --replicas 3");
    assert_eq!(document(&text, "Deployment tidegate in tidegate")["spec"].get("replicas"), None);
    let spec = &document(&text, "HorizontalPodAutoscaler tidegate in tidegate")["spec"];
    assert_eq!((&spec["minReplicas"], &spec["maxReplicas"]), (&json!(3), &json!(15)));
}

fn config_of(text: &str) -> String {
    let (_, map) = documents(text).into_iter().find(|(name, _)| name.starts_with("ConfigMap")).unwrap();
    map["data"]["tidegate.yaml"].as_str().unwrap().to_owned()
}

/// The environment of a pod.
fn variable(name: &str) -> Option<String> {
    match name {
        "POD_NAME" => Some("edge-0".to_owned()),
        "TIDEGATE_ADMIN_TOKEN" => Some("secret".to_owned()),
        _ => None,
    }
}

#[test]
fn the_example_configs_load_without_a_warning() {
    for line in ["--name edge --namespace agents", "--sidecar"] {
        let loaded = config::read(&config_of(&printed(line)), "t.yaml", Path::new(FOLDER), &variable).unwrap();
        assert!(loaded.warnings.is_empty(), "{line}: {:#?}", loaded.warnings);
        if line == "--sidecar" {
            continue;
        }
        let cluster = loaded.snapshot.cluster.unwrap();
        assert_eq!(cluster.peers, Some(("edge-peers.agents.svc".to_owned(), 9900)));
        assert_eq!(cluster.lease.unwrap().name, "edge");
        assert_eq!(cluster.identity.as_deref(), Some("edge-0"));
    }
}

#[test]
fn a_config_that_cannot_be_used_is_refused() {
    let (_folder, path) = file("listeners: 5\n");
    let error = print(&arguments(&format!("--config {}", path.display()))).unwrap_err();
    assert!(error.is::<config::Errors>(), "{error:#}");
    assert!(print(&arguments("--config /nowhere/x.yaml")).unwrap_err().is::<Usage>());
}

#[test]
fn an_app_with_a_sidecar_is_reached_through_it() {
    let text = printed("--sidecar --name edge");
    documents(&text).iter().for_each(|(_, value)| is_valid(value));
    let pod = &document(&text, "Deployment edge-app in tidegate")["spec"]["template"]["spec"];
    assert_eq!(pod["initContainers"][0]["restartPolicy"], "Always");
    assert_eq!(document(&text, "Service edge-app in tidegate")["spec"]["ports"][0]["targetPort"], "port-15006");
    assert!(!text.contains("{{"));
}

#[test]
fn the_files_in_config_are_what_is_printed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kubernetes");
    for (line, place) in [("", "gateway/tidegate.yaml"), ("--sidecar", "sidecar/app.yaml")] {
        let text = std::fs::read_to_string(folder.join(place)).unwrap();
        assert!(text == printed(line), "write it anew: tidegate kubernetes manifests {line} > config/kubernetes/{place}");
        let (part, file) = place.split_once('/').unwrap();
        let listed: Value =
            serde_saphyr::from_str(&std::fs::read_to_string(folder.join(part).join("kustomization.yaml")).unwrap()).unwrap();
        assert_eq!(listed["resources"], json!([file]));
    }
}
