//! `pools.NAME.autoscale.target`: what is scaled.

use schemars::JsonSchema;
use serde::Deserialize;

use super::amounts::Cpus;
use super::names::FilePath;
use super::objects::{ApiVersion, Argument, EngineHost, EnvName, EnvValue, Image, Kind, Label, NetworkName, ObjectName};
use super::quantities::{Delay, Period, Port, Size};
use crate::config::shape::{At, Entries, List, Text};

/// What is scaled: exactly one of `kubernetes`, `docker` and `process`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Target {
    /// An object of Kubernetes that has a scale subresource.
    pub(in crate::config) kubernetes: Option<At<Workload>>,
    /// Containers of a Docker or Podman engine; they become the endpoints of the pool.
    pub(in crate::config) docker: Option<At<Container>>,
    /// Local processes; they become the endpoints of the pool.
    pub(in crate::config) process: Option<At<Program>>,
}

/// An object of Kubernetes that has a scale subresource.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Workload {
    /// Its kind, such as `Deployment`.
    pub(in crate::config) kind: Text<Kind>,
    /// Its name.
    pub(in crate::config) name: Text<ObjectName>,
    /// Its namespace. Default: that of Tidegate's own pod, or of the context of the kubeconfig.
    pub(in crate::config) namespace: Option<Text<Label>>,
    /// Group and version of its API, such as `apps/v1`. Default: that of the kind, for `Deployment`, `StatefulSet`, `ReplicaSet` and
    /// `ReplicationController`; required for others.
    pub(in crate::config) api: Option<Text<ApiVersion>>,
    /// The plural of its kind in the path of the API. Default: made from the kind, such as `deployments`.
    pub(in crate::config) plural: Option<Text<Label>>,
}

/// Containers of an engine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Container {
    /// The image.
    pub(in crate::config) image: Text<Image>,
    /// The port inside the container, 1 to 65535.
    pub(in crate::config) port: Text<Port>,
    /// Command and arguments. Default: those of the image.
    #[serde(default)]
    pub(in crate::config) command: List<Text<Argument>>,
    /// Memory limit of each, 6MiB to 1024GiB. Default: no limit.
    pub(in crate::config) memory: Option<Text<Size<{ 6 << 20 }, { 1 << 40 }>>>,
    /// Processor limit of each, 0.01 to 1024. Default: no limit.
    pub(in crate::config) cpus: Option<Text<Cpus>>,
    /// Environment; its values are not shown.
    #[serde(default)]
    pub(in crate::config) env: Entries<Text<EnvName>, Text<EnvValue>>,
    /// The network; it is created when it is missing. Default: the default one of the engine.
    pub(in crate::config) network: Option<Text<NetworkName>>,
    /// Whether an image that is missing is pulled. Default: `false`.
    pub(in crate::config) pull: Option<bool>,
    /// The engine: `unix:///path`, `http://host:port` or `tcp://host:port`. Default: what `DOCKER_HOST` says, else the usual socket.
    pub(in crate::config) host: Option<Text<EngineHost>>,
    /// How long a container may take to listen. Default: `60s`.
    pub(in crate::config) ready_timeout: Option<Text<Period>>,
    /// From the request to stop to the kill; may be 0. Default: `10s`.
    pub(in crate::config) grace: Option<Text<Delay>>,
}

/// Local processes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Program {
    /// Program and arguments; `{port}` and `{name}` stand for the port and the name of a replica.
    pub(in crate::config) command: At<List<Text<Argument>>>,
    /// Environment, added to Tidegate's own; `{port}` and `{name}` are replaced; values are not shown.
    #[serde(default)]
    pub(in crate::config) env: Entries<Text<EnvName>, Text<EnvValue>>,
    /// Where it runs, relative to the folder of the config. Default: the folder that Tidegate runs in.
    pub(in crate::config) folder: Option<Text<FilePath>>,
    /// How long a process may take to listen on its port. Default: `30s`.
    pub(in crate::config) ready_timeout: Option<Text<Period>>,
    /// From SIGTERM to SIGKILL; may be 0. Default: `10s`.
    pub(in crate::config) grace: Option<Text<Delay>>,
}
