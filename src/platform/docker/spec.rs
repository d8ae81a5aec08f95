//! What the engine is asked to create: names, labels, limits. Pure.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig, NetworkCreateRequest, PortBinding, RestartPolicy, RestartPolicyNameEnum};

use super::connect::Reach;
use crate::model::{Container, Id};

/// Names the pool of a container.
pub(super) const POOL: &str = "io.tidegate.pool";

/// Names the Tidegate that a container belongs to.
pub(super) const OWNER: &str = "io.tidegate.owner";

/// How much of a pool's name is in a container's name: the rest of 253 bytes is for `tidegate-` and a number.
const MAX_POOL: usize = 200;

/// Whose containers these are.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// The pool.
    pub(super) pool: Id,
    /// The Tidegate.
    pub(super) owner: String,
}

impl Identity {
    /// Returns what the names of the pool's containers begin with.
    ///
    /// Engines allow no `:` in a name. Pools that look the same then get different numbers, and are told apart by their labels.
    pub(super) fn prefix(&self) -> String {
        // Names are ASCII.
        let pool = self.pool.as_str();
        format!("tidegate-{}-", pool[..pool.len().min(MAX_POOL)].replace(':', "_"))
    }

    /// Returns the labels that tell the pool's containers from all others.
    pub(super) fn labels(&self) -> HashMap<String, String> {
        HashMap::from([(POOL.to_owned(), self.pool.to_string()), (OWNER.to_owned(), self.owner.clone())])
    }

    /// Returns the filter that finds them.
    pub(super) fn filters(&self) -> HashMap<String, Vec<String>> {
        HashMap::from([("label".to_owned(), vec![format!("{POOL}={}", self.pool), format!("{OWNER}={}", self.owner)])])
    }
}

/// Returns the name of the container's port in the engine's API.
pub(super) fn port_key(port: u16) -> String {
    format!("{port}/tcp")
}

/// Returns what a container is created from.
pub(super) fn body(container: &Container, identity: &Identity, reach: &Reach) -> ContainerCreateBody {
    let env = container.env.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect();
    ContainerCreateBody {
        image: Some(container.image.clone()),
        cmd: (!container.command.is_empty()).then(|| container.command.clone()),
        env: Some(env),
        labels: Some(identity.labels()),
        exposed_ports: Some(vec![port_key(container.port)]),
        stop_timeout: i64::try_from(whole_seconds(container)).ok(),
        host_config: Some(host_config(container, reach)),
        ..ContainerCreateBody::default()
    }
}

/// Returns the grace in whole seconds, as the engine takes it; rounded up, so that a short one is not none.
pub(super) fn whole_seconds(container: &Container) -> u64 {
    container.grace.as_secs() + u64::from(container.grace.subsec_nanos() > 0)
}

fn host_config(container: &Container, reach: &Reach) -> HostConfig {
    HostConfig {
        memory: container.memory.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        nano_cpus: container.cpus.map(nano_cpus),
        // Reaps what the program leaves behind, and hands signals on to programs that were not made to be the first process.
        init: Some(true),
        // Two that restart the same container would not know of each other.
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        network_mode: container.network.clone(),
        port_bindings: container
            .network
            .is_none()
            .then(|| HashMap::from([(port_key(container.port), Some(vec![published(reach)]))])),
        ..HostConfig::default()
    }
}

/// Publishes on a port of the engine's choice, and no wider than needed.
fn published(reach: &Reach) -> PortBinding {
    let host_ip = match reach {
        Reach::Here => "127.0.0.1",
        // The engine's machine need not know the name by which it is reached from here.
        Reach::Elsewhere(_) => "",
    };
    PortBinding { host_ip: Some(host_ip.to_owned()), host_port: Some(String::new()) }
}

fn nano_cpus(cpus: f64) -> i64 {
    /// More processors than any machine has; the product fits an `i64`.
    const MAX: f64 = 1_000_000.0;
    // Clamped: the cast cannot lose more than the fraction of a nano-processor.
    (cpus.clamp(0.0, MAX) * 1e9).round() as i64
}

/// Returns what a network is created from.
pub(super) fn network(name: &str, identity: &Identity) -> NetworkCreateRequest {
    let labels = HashMap::from([(OWNER.to_owned(), identity.owner.clone())]);
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        labels: Some(labels),
        ..NetworkCreateRequest::default()
    }
}

/// Splits an image into what the engine pulls: repository and tag; without a tag it would pull every one.
pub(super) fn image_and_tag(image: &str) -> (&str, Option<&str>) {
    if image.contains('@') {
        return (image, None);
    }
    let after_host = image.rfind('/').map_or(0, |slash| slash + 1);
    match image[after_host..].rfind(':') {
        Some(colon) => (&image[..after_host + colon], Some(&image[after_host + colon + 1..])),
        None => (image, Some("latest")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::model::Secret;

    fn container() -> Container {
        Container {
            image: "coder:1.4".to_owned(),
            port: 8080,
            command: Vec::new(),
            memory: Some(512 << 20),
            cpus: Some(0.5),
            env: BTreeMap::from([("KEY".to_owned(), Secret::new("value".to_owned()))]),
            network: None,
            pull: false,
            host: None,
            ready_timeout: Duration::from_secs(30),
            grace: Duration::from_millis(1500),
        }
    }

    fn identity(pool: &str) -> Identity {
        Identity { pool: pool.parse().unwrap(), owner: "gateway".to_owned() }
    }

    #[test]
    fn a_container_has_the_limits_labels_and_environment_of_its_config() {
        let body = body(&container(), &identity("coders"), &Reach::Here);
        let host = body.host_config.unwrap();
        assert_eq!((host.memory, host.nano_cpus, host.init), (Some(536_870_912), Some(500_000_000), Some(true)));
        assert_eq!(host.restart_policy.unwrap().name, Some(RestartPolicyNameEnum::NO));
        assert_eq!(body.env.unwrap(), ["KEY=value"]);
        assert_eq!(body.cmd, None, "the image's own");
        assert_eq!(body.stop_timeout, Some(2));
        let labels = body.labels.unwrap();
        assert_eq!((labels[POOL].as_str(), labels[OWNER].as_str()), ("coders", "gateway"));
    }

    #[test]
    fn ports_are_published_on_loopback_only_unless_the_engine_is_elsewhere_or_there_is_a_network() {
        let ip = |container: &Container, reach: &Reach| {
            let bindings = body(container, &identity("a"), reach).host_config.unwrap().port_bindings?;
            bindings["8080/tcp"].clone().unwrap()[0].host_ip.clone()
        };
        assert_eq!(ip(&container(), &Reach::Here).as_deref(), Some("127.0.0.1"));
        assert_eq!(ip(&container(), &Reach::Elsewhere("docker".to_owned())).as_deref(), Some(""));
        assert_eq!(ip(&Container { network: Some("agents".to_owned()), ..container() }, &Reach::Here), None);
    }

    #[test]
    fn names_fit_an_id_and_what_engines_allow() {
        assert_eq!(identity("eu:coders").prefix(), "tidegate-eu_coders-");
        let long = format!("{}{}", identity(&"p".repeat(253)).prefix(), u32::MAX);
        assert!(long.parse::<Id>().is_ok(), "{}", long.len());
    }

    #[test]
    fn an_image_is_pulled_with_one_tag() {
        let cases = [
            ("coder", ("coder", Some("latest"))),
            ("coder:1.4", ("coder", Some("1.4"))),
            ("registry:5000/team/coder", ("registry:5000/team/coder", Some("latest"))),
            ("registry:5000/team/coder:1", ("registry:5000/team/coder", Some("1"))),
            ("coder@sha256:ab", ("coder@sha256:ab", None)),
        ];
        for (image, parts) in cases {
            assert_eq!(image_and_tag(image), parts, "{image}");
        }
    }

    #[test]
    fn absurd_processor_limits_do_not_overflow() {
        assert_eq!(nano_cpus(f64::INFINITY), 1_000_000_000_000_000);
        assert_eq!(nano_cpus(-1.0), 0);
        assert_eq!(nano_cpus(f64::NAN), 0);
        assert_eq!(nano_cpus(0.25), 250_000_000);
    }
}
