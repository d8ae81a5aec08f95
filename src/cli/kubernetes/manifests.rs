//! `kubernetes manifests`: prints the documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::facts::Facts;
use super::template::fill;
use crate::cli::args::{self, Autoscaler, Manifests};
use crate::cli::output::{self, Usage};
use crate::config::{self, Loaded};

/// Where the config stands in a pod.
const FOLDER: &str = "/etc/tidegate";

/// The most replicas that the HorizontalPodAutoscaler asks for are so many times the fewest.
const HPA_FACTOR: u32 = 5;

const EXAMPLE: &str = include_str!("documents/tidegate.yaml");

/// The documents of a gateway, in the order in which a cluster can take them.
const HEAD: [&str; 3] =
    [include_str!("documents/namespace.yaml"), include_str!("documents/service-account.yaml"), include_str!("documents/role.yaml")];
const ROLE_ELSEWHERE: &str = include_str!("documents/role-elsewhere.yaml");
const TAIL: [&str; 5] = [
    include_str!("documents/config-map.yaml"),
    include_str!("documents/deployment.yaml"),
    include_str!("documents/service.yaml"),
    include_str!("documents/peers.yaml"),
    include_str!("documents/disruption-budget.yaml"),
];
const HPA: &str = include_str!("documents/autoscaler.yaml");

const SIDECAR: &str = include_str!("documents/sidecar.yaml");
const SIDECAR_EXAMPLE: &str = include_str!("documents/sidecar-tidegate.yaml");

/// Scaling through `resources` of an API group that is not one of the usual.
const SCALE_RULE: &str = "\
- apiGroups: [\"{{group}}\"]
  resources: [{{resources}}]
  verbs: [get, patch]";

/// Makes endpoints and the other gateways wait no longer for a pod that ends at once: the kubelet sleeps before it sends its signal.
const PRE_STOP: &str = "\
# The config has no drain.delay: the kubelet waits in its place, until everybody has noticed that this pod leaves.
lifecycle:
  preStop:
    sleep:
      seconds: 5";

/// Prints the documents.
///
/// # Errors
/// When the config cannot be used, or cannot be used in a pod.
pub(in crate::cli) fn run(arguments: &Manifests) -> anyhow::Result<()> {
    output::show(print(arguments)?)
}

fn print(arguments: &Manifests) -> anyhow::Result<String> {
    let text = match &arguments.config {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| Usage(format!("{} cannot be read: {error}", path.display())))?
        }
        None if arguments.sidecar => SIDECAR_EXAMPLE.to_owned(),
        None => fill(EXAMPLE, &[("name", &arguments.name), ("namespace", &arguments.namespace)]),
    };
    let loaded = read(&text, arguments)?;
    let facts = Facts::of(&loaded.snapshot, &arguments.namespace)?;
    remind(&loaded);
    Ok(if arguments.sidecar { sidecar(arguments, &text, &facts) } else { gateway(arguments, &text, &facts) })
}

/// Reads the config as a pod would, with its own name in the environment.
fn read(text: &str, arguments: &Manifests) -> Result<Loaded, config::Errors> {
    let variable = |name: &str| match name {
        "POD_NAME" => Some(format!("{}-0", arguments.name)),
        "POD_NAMESPACE" => Some(arguments.namespace.clone()),
        name => std::env::var(name).ok(),
    };
    let path = arguments.config.as_deref().unwrap_or(Path::new("tidegate.yaml"));
    let folder = if arguments.config.is_some() { path.parent().unwrap_or(Path::new("")) } else { Path::new(FOLDER) };
    config::read(text, &path.display().to_string(), folder, &variable)
}

fn remind(loaded: &Loaded) {
    for warning in &loaded.warnings {
        output::complain(format_args!("warning: {warning}"));
    }
    for file in &loaded.files {
        output::complain(format_args!("note: the config names {}; mount it into the pods", file.display()));
    }
}

fn gateway(arguments: &Manifests, config: &str, facts: &Facts) -> String {
    let is_sized = arguments.autoscaler == Some(Autoscaler::Hpa);
    let mut values = Values::of(arguments, config, facts);
    // Two that set the same number would fight for it with each `kubectl apply`.
    let replicas = if is_sized { String::new() } else { format!("replicas: {}", arguments.replicas) };
    values.add("replicas_line", replicas);
    values.add("max_replicas", arguments.replicas.saturating_mul(HPA_FACTOR).to_string());
    values.add("pre_stop", if facts.has_delay { "" } else { PRE_STOP }.to_owned());
    values.add("service_ports", list(&facts.ports, "- { name: port-{{port}}, port: {{port}}, targetPort: port-{{port}} }"));
    values.add("scale_rules", scale_rules(facts));
    let mut out = values.fill_all(&HEAD);
    for elsewhere in &facts.namespaces {
        values.add("elsewhere", scalar(elsewhere));
        out.push_str(&values.fill_all(&[ROLE_ELSEWHERE]));
    }
    out.push_str(&values.fill_all(&TAIL));
    if is_sized {
        out.push_str(&values.fill_all(&[HPA]));
    }
    out
}

fn sidecar(arguments: &Manifests, config: &str, facts: &Facts) -> String {
    let mut values = Values::of(arguments, config, facts);
    values.add("inbound", facts.ports.first().map(u16::to_string).unwrap_or_default());
    values.fill_all(&[SIDECAR])
}

/// What is put into the documents.
struct Values(BTreeMap<&'static str, String>);

impl Values {
    /// Takes what every document may name.
    fn of(arguments: &Manifests, config: &str, facts: &Facts) -> Self {
        let values = [
            ("name", arguments.name.clone()),
            ("namespace", arguments.namespace.clone()),
            ("image", arguments.image.clone()),
            ("replicas", arguments.replicas.to_string()),
            ("admin", facts.admin.to_string()),
            ("grace", facts.grace.to_string()),
            ("state", quoted(&facts.state)),
            ("container_ports", list(&facts.ports, "- { name: port-{{port}}, containerPort: {{port}} }")),
            ("config", config.strip_prefix('\u{feff}').unwrap_or(config).to_owned()),
        ];
        Self(values.into())
    }

    fn add(&mut self, name: &'static str, value: String) {
        self.0.insert(name, value);
    }

    /// Fills in each document, and sets them apart.
    fn fill_all(&self, documents: &[&str]) -> String {
        let values: Vec<(&str, &str)> = self.0.iter().map(|(name, value)| (*name, value.as_str())).collect();
        documents.iter().map(|document| format!("---\n{}", fill(document, &values))).collect()
    }
}

/// Writes a name as YAML reads it back: as text.
fn scalar(name: &str) -> String {
    if args::is_plain(name) { name.to_owned() } else { quoted(name) }
}

/// A text of JSON is one of YAML (YAML 1.2 section 1.3).
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list(ports: &BTreeSet<u16>, line: &str) -> String {
    ports.iter().map(|port| fill(line, &[("port", &port.to_string())])).collect()
}

fn scale_rules(facts: &Facts) -> String {
    let rule = |(group, plurals): (&String, &BTreeSet<String>)| {
        let resources: Vec<String> = plurals.iter().map(|plural| format!("{plural}/scale")).collect();
        fill(SCALE_RULE, &[("group", group), ("resources", &resources.join(", "))])
    };
    facts.scaled.iter().map(rule).collect()
}

#[cfg(test)]
mod tests;
