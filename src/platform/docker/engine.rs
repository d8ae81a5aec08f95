//! What is asked of the engine for one pool: create, end, list, look, measure. Decides nothing about when.
//!
//! The settings are those at the time of the call, so that a reload holds for what starts after it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerState, ContainerSummary, ContainerSummaryStateEnum, NetworkSettings};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    ListNetworksOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder, StatsOptionsBuilder,
    StopContainerOptionsBuilder,
};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::connect::{self, PLATFORM, Reach, fault, refused, unreachable};
use super::measure::Sample;
use super::roster::Listed;
use super::spec::{self, Identity};
use crate::model::{Address, Container, Id};
use crate::platform::ScaleError;

/// An engine that is alive answers within this, a busy one too.
const PATIENCE: Duration = Duration::from_secs(30);

/// An image may be many gigabytes.
const PULL_PATIENCE: Duration = Duration::from_secs(1800);

/// Last lines of a dead container that are read.
const LAST_LINES: &str = "20";

/// How many bytes of them are kept, the last ones.
const LAST_BYTES: usize = 2000;

/// Networks that give a container no address of its own.
const SHARED_NETWORKS: [&str; 2] = ["host", "none"];

/// The engine of one pool's containers.
#[derive(Debug)]
pub(super) struct Engine {
    identity: Identity,
    settings: Mutex<Arc<Container>>,
}

impl Engine {
    /// Takes whose containers it is about, and what they are made of.
    pub(super) fn new(identity: Identity, settings: Container) -> Self {
        Self { identity, settings: Mutex::new(Arc::new(settings)) }
    }

    /// Returns the present settings.
    pub(super) fn settings(&self) -> Arc<Container> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes other settings.
    pub(super) fn configure(&self, settings: Container) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Returns whose containers these are.
    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Lists the pool's containers, those that have ended too.
    ///
    /// # Errors
    /// When the engine does not say.
    pub(super) async fn list(&self) -> Result<Vec<Listed>, ScaleError> {
        let docker = client(&self.settings())?;
        let options = ListContainersOptionsBuilder::new().all(true).filters(&self.identity.filters()).build();
        let found = within(PATIENCE, docker.list_containers(Some(options))).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(found.into_iter().filter_map(|summary| listed(summary, now)).collect())
    }

    /// Creates and starts a container, with its network and image where the settings allow it; returns the engine's id.
    ///
    /// # Errors
    /// When the engine refuses; nothing is left behind then, as far as the engine can be reached.
    pub(super) async fn create(&self, name: &Id) -> Result<String, ScaleError> {
        let settings = self.settings();
        let docker = client(&settings)?;
        if let Some(network) = &settings.network {
            self.ensure_network(&docker, network).await?;
        }
        let container = match self.make(&docker, name, &settings).await {
            Err(ScaleError::Missing { .. }) => {
                ensure_image(&docker, &settings).await?;
                self.make(&docker, name, &settings).await?
            }
            result => result?,
        };
        match within(PATIENCE, docker.start_container(&container, None)).await {
            Ok(()) => Ok(container),
            Err(error) => {
                // What cannot be removed now is found by its labels later.
                let _ = remove(&docker, &container).await;
                // A conflict here is not about the name.
                Err(match error {
                    ScaleError::Conflict { what, .. } | ScaleError::Missing { what, .. } => refused(what),
                    error => error,
                })
            }
        }
    }

    async fn make(&self, docker: &Docker, name: &Id, settings: &Container) -> Result<String, ScaleError> {
        let body = spec::body(settings, &self.identity, &reach(settings));
        let options = CreateContainerOptionsBuilder::new().name(name.as_str()).build();
        Ok(within(PATIENCE, docker.create_container(Some(options), body)).await?.id)
    }

    async fn ensure_network(&self, docker: &Docker, name: &str) -> Result<(), ScaleError> {
        if SHARED_NETWORKS.contains(&name) {
            return Err(refused(format!("the network {name:?} gives a replica no address of its own")));
        }
        // The engine's filter finds parts of names too.
        let filters = std::collections::HashMap::from([("name", vec![name])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let known = within(PATIENCE, docker.list_networks(Some(options))).await?;
        if known.iter().any(|network| network.name.as_deref() == Some(name)) {
            return Ok(());
        }
        match within(PATIENCE, docker.create_network(spec::network(name, &self.identity))).await {
            // Another replica, or another pool, was quicker.
            Ok(_) | Err(ScaleError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Stops a container with grace and removes it, with its anonymous volumes; one that is gone already is no error.
    ///
    /// # Errors
    /// When the engine does not do it.
    pub(super) async fn end(&self, container: &str) -> Result<(), ScaleError> {
        let settings = self.settings();
        let grace = spec::whole_seconds(&settings);
        let patience = PATIENCE.saturating_add(Duration::from_secs(grace));
        let docker = client(&settings)?.with_timeout(patience);
        let options = StopContainerOptionsBuilder::new().t(i32::try_from(grace).unwrap_or(i32::MAX)).build();
        match within(patience, docker.stop_container(container, Some(options))).await {
            Ok(()) | Err(ScaleError::Missing { .. }) => remove(&docker, container).await,
            Err(error) => Err(error),
        }
    }

    /// Returns why a container died, with its last lines, and removes it, by force if it still runs.
    ///
    /// # Errors
    /// When the engine does not do it.
    pub(super) async fn bury(&self, container: &str) -> Result<String, ScaleError> {
        let docker = client(&self.settings())?;
        let state = match within(PATIENCE, docker.inspect_container(container, None::<InspectContainerOptions>)).await {
            Ok(found) => found.state,
            Err(ScaleError::Missing { .. }) => return Ok("the container is gone".to_owned()),
            Err(error) => return Err(error),
        };
        let lines = last_lines(&docker, container).await;
        remove(&docker, container).await?;
        Ok(reason(state.as_ref(), &lines))
    }

    /// Returns where a container is reached; `None` while it has no address.
    ///
    /// # Errors
    /// When there is no such container, it does not run, or the engine does not say.
    pub(super) async fn address(&self, container: &str) -> Result<Option<Address>, ScaleError> {
        let settings = self.settings();
        let docker = client(&settings)?;
        let found = within(PATIENCE, docker.inspect_container(container, None::<InspectContainerOptions>)).await?;
        if found.state.and_then(|state| state.running) == Some(false) {
            return Err(ScaleError::Missing { platform: PLATFORM, what: "running container of this id".to_owned() });
        }
        Ok(found.network_settings.and_then(|networks| match &settings.network {
            Some(name) => address_in(&networks, name, settings.port),
            None => published(&networks, settings.port, &reach(&settings)),
        }))
    }

    /// Returns what the engine has counted of a container.
    ///
    /// # Errors
    /// When the engine does not say.
    pub(super) async fn sample(&self, container: &str) -> Result<Sample, ScaleError> {
        let docker = client(&self.settings())?;
        // One shot: without it the engine would take its time for a second sample, of which there is one here already.
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let mut stats = docker.stats(container, Some(options));
        let first = timeout(PATIENCE, stats.next()).await.map_err(|_| silent())?;
        first.map_or_else(
            || Err(refused("it says nothing of the container".to_owned())),
            |stats| Ok(Sample::read(&stats.map_err(fault)?)),
        )
    }
}

fn client(settings: &Container) -> Result<Docker, ScaleError> {
    Ok(connect::connect(&connect::host(settings.host.as_deref()))?.with_timeout(PATIENCE))
}

fn reach(settings: &Container) -> Reach {
    connect::reach(&connect::host(settings.host.as_deref()))
}

fn silent() -> ScaleError {
    unreachable("it does not answer in time".to_owned())
}

/// The client's own limit ends with the head of an answer.
async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, ScaleError> {
    timeout(limit, call).await.map_err(|_| silent())?.map_err(fault)
}

/// Pulls the image when it is missing and that is allowed.
async fn ensure_image(docker: &Docker, settings: &Container) -> Result<(), ScaleError> {
    match within(PATIENCE, docker.inspect_image(&settings.image)).await {
        Err(ScaleError::Missing { .. }) if settings.pull => pull(docker, &settings.image).await,
        Err(ScaleError::Missing { .. }) => {
            let what = format!("image {:?}, and `pull` is off: build or pull it there, or set `pull: true`", settings.image);
            Err(ScaleError::Missing { platform: PLATFORM, what })
        }
        // When it is there, something else is missing, and creating the container once more tells what.
        result => result.map(drop),
    }
}

async fn pull(docker: &Docker, image: &str) -> Result<(), ScaleError> {
    let (repository, tag) = spec::image_and_tag(image);
    let options = CreateImageOptionsBuilder::new().from_image(repository);
    let options = match tag {
        Some(tag) => options.tag(tag),
        None => options,
    };
    let mut progress = docker.create_image(Some(options.build()), None, None);
    let all = async {
        while let Some(step) = progress.next().await {
            step?;
        }
        Ok(())
    };
    match within(PULL_PATIENCE, all).await {
        Err(ScaleError::Refused { detail, .. }) => Err(refused(format!("the image {image:?} cannot be pulled: {detail}"))),
        result => result,
    }
}

async fn remove(docker: &Docker, container: &str) -> Result<(), ScaleError> {
    let options = RemoveContainerOptionsBuilder::new().v(true).force(true).build();
    match within(PATIENCE, docker.remove_container(container, Some(options))).await {
        // Gone, or on its way already.
        Ok(()) | Err(ScaleError::Missing { .. } | ScaleError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn listed(summary: ContainerSummary, now: Duration) -> Option<Listed> {
    let names = summary.names.unwrap_or_default();
    let name = names.iter().find_map(|name| name.trim_start_matches('/').parse().ok())?;
    let is_running = matches!(summary.state, Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED));
    let created = summary.created.and_then(|seconds| u64::try_from(seconds).ok()).map_or(now, Duration::from_secs);
    Some(Listed { name, container: summary.id?, is_running, age: now.saturating_sub(created) })
}

fn address_in(networks: &NetworkSettings, name: &str, port: u16) -> Option<Address> {
    let endpoint = networks.networks.as_ref()?.get(name)?;
    let own = [&endpoint.ip_address, &endpoint.global_ipv6_address];
    let ip = own.into_iter().flatten().find_map(|ip| ip.parse().ok())?;
    Some(Address::Ip(std::net::SocketAddr::new(ip, port)))
}

fn published(networks: &NetworkSettings, port: u16, reach: &Reach) -> Option<Address> {
    let bindings = networks.ports.as_ref()?.get(&spec::port_key(port))?.as_ref()?;
    let port = bindings.iter().find_map(|binding| binding.host_port.as_ref()?.parse::<u16>().ok().filter(|port| *port > 0))?;
    match reach {
        Reach::Here => Some(Address::Ip(([127, 0, 0, 1], port).into())),
        Reach::Elsewhere(host) => match host.parse() {
            Ok(ip) => Some(Address::Ip(std::net::SocketAddr::new(ip, port))),
            Err(_) => Some(Address::Name { host: host.to_ascii_lowercase(), port }),
        },
    }
}

/// Returns the last lines that a container wrote; what cannot be read is left out.
async fn last_lines(docker: &Docker, container: &str) -> String {
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(LAST_LINES).build();
    let mut logs = docker.logs(container, Some(options));
    let mut text = String::new();
    let all = async {
        while let Some(Ok(line)) = logs.next().await {
            text.push_str(&line.to_string());
            if text.len() > 2 * LAST_BYTES {
                text = tail(&text).to_owned();
            }
        }
    };
    // What was read until then is worth having.
    let _ = timeout(PATIENCE, all).await;
    tail(text.trim_end()).to_owned()
}

fn tail(text: &str) -> &str {
    let mut from = text.len().saturating_sub(LAST_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

fn reason(state: Option<&ContainerState>, lines: &str) -> String {
    let mut parts = Vec::new();
    if let Some(state) = state {
        if state.running == Some(true) {
            parts.push("it still ran and was killed".to_owned());
        } else if let Some(code) = state.exit_code {
            parts.push(format!("it ended with status {code}"));
        }
        if state.oom_killed == Some(true) {
            parts.push("it ran out of memory".to_owned());
        }
        parts.extend(state.error.clone().filter(|error| !error.is_empty()));
    }
    let mut text = if parts.is_empty() { "it ended".to_owned() } else { parts.join(", ") };
    if !lines.is_empty() {
        text.push_str("; its last lines: ");
        text.push_str(lines);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn networks(value: serde_json::Value) -> NetworkSettings {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_published_port_is_where_the_engine_is() {
        let networks = networks(json!({"Ports": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}], "9/tcp": null}}));
        let address = |port, reach: &Reach| published(&networks, port, reach).map(|address| address.to_string());
        assert_eq!(address(8080, &Reach::Here).as_deref(), Some("127.0.0.1:32768"));
        assert_eq!(address(8080, &Reach::Elsewhere("Docker".to_owned())).as_deref(), Some("docker:32768"));
        assert_eq!(address(8080, &Reach::Elsewhere("fd00::7".to_owned())).as_deref(), Some("[fd00::7]:32768"));
        assert_eq!(address(9, &Reach::Here), None);
    }

    #[test]
    fn an_address_in_a_network_is_that_of_this_network() {
        let networks = networks(json!({"Networks": {
            "other": {"IPAddress": "10.0.0.1"},
            "agents": {"IPAddress": "172.18.0.2", "GlobalIPv6Address": ""},
            "six": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"},
            "none-yet": {"IPAddress": ""},
        }}));
        let address = |name| address_in(&networks, name, 80).map(|address| address.to_string());
        assert_eq!(address("agents").as_deref(), Some("172.18.0.2:80"));
        assert_eq!(address("six").as_deref(), Some("[fd00::2]:80"));
        assert_eq!((address("none-yet"), address("missing")), (None, None));
    }

    #[test]
    fn the_reason_of_an_end_says_status_memory_and_last_lines() {
        let state: ContainerState =
            serde_json::from_value(json!({"Running": false, "ExitCode": 137, "OOMKilled": true, "Error": ""})).unwrap();
        assert_eq!(reason(Some(&state), "bye"), "it ended with status 137, it ran out of memory; its last lines: bye");
        assert_eq!(reason(None, ""), "it ended");
    }

    #[test]
    fn long_last_words_are_cut_at_a_letter() {
        let text = "ü".repeat(LAST_BYTES) + "!";
        assert!(tail(&text).len() <= LAST_BYTES && tail(&text).ends_with('!') && tail(&text).starts_with('ü'));
        assert_eq!(tail("short"), "short");
    }

    #[test]
    fn a_container_without_a_name_or_id_is_not_listed() {
        let summary = |value| serde_json::from_value::<ContainerSummary>(value).unwrap();
        let now = Duration::from_secs(100);
        let found =
            listed(summary(json!({"Id": "x", "Names": ["/tidegate-a-1"], "State": "running", "Created": 90})), now).unwrap();
        assert_eq!((found.name.as_str(), found.is_running, found.age), ("tidegate-a-1", true, Duration::from_secs(10)));
        let ended = listed(summary(json!({"Id": "x", "Names": ["/a"], "State": "exited", "Created": 200})), now).unwrap();
        assert_eq!((ended.is_running, ended.age), (false, Duration::ZERO), "a clock that jumped makes no age");
        assert_eq!(listed(summary(json!({"Id": "x", "Names": []})), now), None);
        assert_eq!(listed(summary(json!({"Names": ["/a"]})), now), None);
    }
}
