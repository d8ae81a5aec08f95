//! What is scaled.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::config::shape::{Entries, Text};
use crate::config::{defaults, raw};
use crate::model::{Container, Program, Secret, Target, Workload};

/// Kinds of Kubernetes itself that can be scaled: kind, group, version.
const KINDS: [(&str, &str, &str); 4] = [
    ("Deployment", "apps", "v1"),
    ("StatefulSet", "apps", "v1"),
    ("ReplicaSet", "apps", "v1"),
    ("ReplicationController", "", "v1"),
];

/// Compiles a target; `None` when nothing is named, which is an error.
pub(super) fn target(raw: &raw::Target, base: &Path) -> Option<Target> {
    if let Some(workload) = &raw.kubernetes {
        return self::workload(&workload.value).map(Target::Kubernetes);
    }
    if let Some(container) = &raw.docker {
        return Some(Target::Docker(self::container(&container.value)));
    }
    raw.process.as_ref().map(|program| Target::Process(self::program(&program.value, base)))
}

/// Returns group and version of the API of a workload; `None` when the kind is not known and the file does not say.
pub(in crate::config) fn api(raw: &raw::Workload) -> Option<(String, String)> {
    if let Some(api) = &raw.api {
        return Some((api.value.group.clone(), api.value.version.clone()));
    }
    let known = KINDS.iter().find(|(kind, ..)| *kind == raw.kind.value.0);
    known.map(|(_, group, version)| ((*group).to_owned(), (*version).to_owned()))
}

fn workload(raw: &raw::Workload) -> Option<Workload> {
    let (group, version) = api(raw)?;
    Some(Workload {
        group,
        version,
        kind: raw.kind.value.0.clone(),
        plural: raw.plural.as_ref().map_or_else(|| plural(&raw.kind.value.0), |plural| plural.value.0.clone()),
        name: raw.name.value.0.clone(),
        namespace: raw.namespace.as_ref().map(|namespace| namespace.value.0.clone()),
    })
}

/// Guesses the plural of a kind as the tools of Kubernetes do.
fn plural(kind: &str) -> String {
    let word = kind.to_ascii_lowercase();
    let is_vowel = |c: char| "aeiou".contains(c);
    match word.strip_suffix('y') {
        Some(stem) if !stem.ends_with(is_vowel) => format!("{stem}ies"),
        _ if ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end)) => format!("{word}es"),
        _ => format!("{word}s"),
    }
}

fn container(raw: &raw::Container) -> Container {
    Container {
        image: raw.image.value.0.clone(),
        port: raw.port.value.0,
        command: raw.command.0.iter().map(|argument| argument.value.0.clone()).collect(),
        memory: raw.memory.as_ref().map(|size| size.value.0),
        cpus: raw.cpus.as_ref().map(|cpus| cpus.value.0),
        env: env(&raw.env),
        network: raw.network.as_ref().map(|network| network.value.0.clone()),
        pull: raw.pull.unwrap_or(false),
        host: raw.host.as_ref().map(|host| host.value.0.clone()),
        ready_timeout: period(&raw.ready_timeout, defaults::CONTAINER_READY_TIMEOUT),
        grace: raw.grace.as_ref().map_or(defaults::REPLICA_GRACE, |grace| grace.value.0),
    }
}

fn program(raw: &raw::Program, base: &Path) -> Program {
    Program {
        command: raw.command.value.0.iter().map(|argument| argument.value.0.clone()).collect(),
        env: env(&raw.env),
        folder: raw.folder.as_ref().map(|folder| base.join(&folder.value.0)),
        ready_timeout: period(&raw.ready_timeout, defaults::PROCESS_READY_TIMEOUT),
        grace: raw.grace.as_ref().map_or(defaults::REPLICA_GRACE, |grace| grace.value.0),
    }
}

fn env(raw: &Entries<Text<raw::EnvName>, Text<raw::EnvValue>>) -> BTreeMap<String, Secret> {
    raw.0.iter().map(|(name, value)| (name.value.0.clone(), value.value.0.clone())).collect()
}

fn period(raw: &Option<Text<raw::Period>>, default: Duration) -> Duration {
    raw.as_ref().map_or(default, |period| period.value.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_are_those_of_the_api() {
        for (kind, plural) in [
            ("Deployment", "deployments"),
            ("StatefulSet", "statefulsets"),
            ("InferencePolicy", "inferencepolicies"),
            ("Gateway", "gateways"),
            ("Mesh", "meshes"),
            ("Ingress", "ingresses"),
        ] {
            assert_eq!(self::plural(kind), plural);
        }
    }
}
