//! What the documents must agree with: ports, times, folders and namespaces of a config. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::cli::output::Usage;
use crate::model::{Bind, Discovery, Snapshot, Target, Workload};

/// Where history and decisions are kept when the config does not say.
pub(super) const STATE: &str = "/var/lib/tidegate";

/// Beyond the drain: until the kubelet's signal arrives, and the process has ended.
const MARGIN: Duration = Duration::from_secs(10);

/// What a config asks of its surroundings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Ports of listeners that can be reached from outside the pod.
    pub(super) ports: BTreeSet<u16>,
    /// The port of the admin server.
    pub(super) admin: u16,
    /// How long a pod may take to end, in seconds.
    pub(super) grace: u64,
    /// Whether Tidegate itself waits until everybody has noticed that it leaves.
    pub(super) has_delay: bool,
    /// The folder for history and decisions.
    pub(super) state: String,
    /// Other namespaces where something is scaled or followed.
    pub(super) namespaces: BTreeSet<String>,
    /// What is scaled beside the usual kinds: plurals by API group.
    pub(super) scaled: BTreeMap<String, BTreeSet<String>>,
}

impl Facts {
    /// Reads them from a config that is to run in `namespace`.
    ///
    /// # Errors
    /// When nobody could reach it there.
    pub(super) fn of(snapshot: &Snapshot, namespace: &str) -> Result<Self, Usage> {
        let drain = &snapshot.drain;
        let state = snapshot.storage.path.as_ref().map_or_else(|| STATE.to_owned(), |path| path.display().to_string());
        if !state.starts_with('/') {
            return Err(Usage(format!("storage.path is {state}: in a pod, which has no folder of its own, it must begin with /")));
        }
        let mut namespaces = BTreeSet::new();
        let mut scaled: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for workload in workloads(snapshot) {
            namespaces.extend(workload.namespace.clone());
            if !is_usual(workload) {
                scaled.entry(workload.group.clone()).or_default().insert(workload.plural.clone());
            }
        }
        namespaces.extend(snapshot.pools.values().filter_map(|pool| match &pool.discovery {
            Some(Discovery::Kubernetes(service)) => service.namespace.clone(),
            _ => None,
        }));
        namespaces.remove(namespace);
        Ok(Self {
            ports: ports(snapshot)?,
            admin: admin(snapshot)?,
            grace: (drain.delay + drain.timeout + MARGIN).as_secs(),
            has_delay: !drain.delay.is_zero(),
            state,
            namespaces,
            scaled,
        })
    }
}

fn workloads(snapshot: &Snapshot) -> impl Iterator<Item = &Workload> {
    snapshot.pools.values().filter_map(|pool| match &pool.autoscale.as_ref()?.target {
        Target::Kubernetes(workload) => Some(workload),
        Target::Docker(_) | Target::Process(_) => None,
    })
}

fn is_usual(workload: &Workload) -> bool {
    workload.group == "apps" && ["deployments", "statefulsets", "replicasets"].contains(&workload.plural.as_str())
}

fn ports(snapshot: &Snapshot) -> Result<BTreeSet<u16>, Usage> {
    let reached = snapshot.listeners.iter().filter_map(|listener| match &listener.bind {
        Bind::Tcp(address) if !address.ip().is_loopback() && address.port() > 0 => Some(address.port()),
        Bind::Tcp(_) | Bind::Unix(_) => None,
    });
    let ports: BTreeSet<u16> = reached.collect();
    if ports.is_empty() {
        return Err(Usage("no listener can be reached from outside a pod: bind one to 0.0.0.0:PORT".to_owned()));
    }
    Ok(ports)
}

fn admin(snapshot: &Snapshot) -> Result<u16, Usage> {
    let what = "the kubelet's probes and the other gateways must reach the admin server: write admin: { bind: 0.0.0.0:9900 }";
    match snapshot.admin.bind {
        Some(address) if is_outside(address.ip()) && address.port() > 0 => Ok(address.port()),
        Some(address) => Err(Usage(format!("admin.bind is {address}, but {what}"))),
        None => Err(Usage(format!("admin.bind is none, but {what}"))),
    }
}

fn is_outside(ip: IpAddr) -> bool {
    !ip.is_loopback()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn facts(yaml: &str) -> Result<Facts, String> {
        let loaded = crate::config::read(yaml, "t.yaml", Path::new("/etc/tidegate"), &|_| None).unwrap();
        Facts::of(&loaded.snapshot, "home").map_err(|error| error.to_string())
    }

    const POOL: &str = "pools: { a: { endpoints: [10.0.0.1:80] } }\n";

    #[test]
    fn ports_and_times_are_read() {
        let yaml = format!(
            "listeners:\n  - {{ name: a, bind: '0.0.0.0:8080', pool: a }}\n  - {{ name: b, bind: '127.0.0.1:1', pool: a }}\n  \
             - {{ name: c, bind: ':8443', pool: a }}\n{POOL}admin: {{ bind: '0.0.0.0:9901' }}\ndrain: {{ delay: 5s, timeout: 1m }}\n"
        );
        let facts = facts(&yaml).unwrap();
        assert_eq!(facts.ports, BTreeSet::from([8080, 8443]));
        assert_eq!((facts.admin, facts.grace, facts.has_delay, facts.state.as_str()), (9901, 75, true, STATE));
        assert!(facts.namespaces.is_empty() && facts.scaled.is_empty());
    }

    #[test]
    fn what_nobody_could_reach_is_refused() {
        let yaml = |bind: &str, admin: &str| {
            format!("listeners: [{{ name: a, bind: '{bind}', pool: a }}]\n{POOL}admin: {{ bind: {admin} }}\n")
        };
        let cases = [
            (yaml("127.0.0.1:80", "'0.0.0.0:9900'"), "no listener can be reached from outside a pod: bind one to 0.0.0.0:PORT"),
            (
                yaml("0.0.0.0:80", "'127.0.0.1:9900'"),
                "admin.bind is 127.0.0.1:9900, but the kubelet's probes and the other gateways must reach the admin server: write \
                 admin: { bind: 0.0.0.0:9900 }",
            ),
            (
                yaml("0.0.0.0:80", "none"),
                "admin.bind is none, but the kubelet's probes and the other gateways must reach the admin server: write admin: { bind: \
                 0.0.0.0:9900 }",
            ),
        ];
        for (yaml, message) in cases {
            assert_eq!(facts(&yaml).unwrap_err(), message);
        }
    }
}
