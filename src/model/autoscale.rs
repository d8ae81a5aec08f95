//! How a pool is sized: what is scaled, by which policies, within which limits.
//!
//! These values are also written into the decision ledger beside each decision, and read back to compute it again: hence `Deserialize`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration::{read, written};
use super::{Id, Secret};

/// How a pool is sized.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Autoscale {
    /// What is scaled.
    pub target: Target,
    /// Whether decisions are carried out.
    pub mode: ScaleMode,
    /// How it is decided.
    pub terms: Terms,
    /// How long a leaving replica's running requests may take.
    #[serde(serialize_with = "written")]
    pub drain_timeout: Duration,
    /// How long a request may wait in the queue of a pool that has no endpoint, while one is on its way.
    #[serde(serialize_with = "written")]
    pub cold_start_timeout: Duration,
    /// What a replica costs.
    pub cost: Option<Cost>,
}

/// Whether decisions are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleMode {
    /// They are.
    Act,
    /// Everything but the call to the platform.
    Recommend,
    /// Nothing is decided.
    Off,
}

/// What a decision follows from, beside what is observed: all that `decide` needs of the config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// The fewest replicas; 0 allows scale to zero.
    pub min_replicas: u32,
    /// The most replicas.
    pub max_replicas: u32,
    /// How long there must have been no demand before the last replica goes; counts with `min_replicas` 0 only.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub idle_after: Duration,
    /// How often it is decided; a queue that starts to fill is not waited for.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub interval: Duration,
    /// The policies, in the order of the file.
    pub policies: Vec<ScalePolicy>,
    /// Upwards.
    pub scale_up: ScaleUp,
    /// Downwards.
    pub scale_down: ScaleDown,
    /// How far demand may be from what the replicas are for before anything is done, as a ratio.
    pub tolerance: f64,
    /// Scalings in any hour, both directions together; scale-up in panic or for a full queue does not count.
    pub max_events_per_hour: u32,
    /// Quick reaction to surges; `None` is off.
    pub panic: Option<Panic>,
    /// Looking ahead; `None` is off.
    pub forecast: Option<Forecast>,
    /// How long a signal may be without data before `fallback` counts.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub missing_after: Duration,
    /// What a policy without data asks for after that.
    pub fallback: Fallback,
}

impl Default for Terms {
    /// Without policies, for which there is no default.
    fn default() -> Self {
        Self {
            min_replicas: 1,
            max_replicas: 10,
            idle_after: Duration::from_secs(600),
            interval: Duration::from_secs(1),
            policies: Vec::new(),
            scale_up: ScaleUp::default(),
            scale_down: ScaleDown::default(),
            tolerance: 0.1,
            max_events_per_hour: 60,
            panic: Some(Panic::default()),
            forecast: Some(Forecast::default()),
            missing_after: Duration::from_secs(120),
            fallback: Fallback::Hold,
        }
    }
}

/// What is scaled.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// An object of Kubernetes that has a scale subresource.
    Kubernetes(Workload),
    /// Containers of a Docker or Podman engine.
    Docker(Container),
    /// Local processes.
    Process(Program),
}

/// An object of Kubernetes that has a scale subresource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// API group, empty for the core one; `apps` for a Deployment.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
    /// The plural in the path of the API, such as `deployments`.
    pub plural: String,
    /// Its name.
    pub name: String,
    /// Its namespace; that of Tidegate's own pod, or of the kubeconfig's context, when `None`.
    pub namespace: Option<String>,
}

/// Containers of an engine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Container {
    /// The image; never pulled unless `pull` says so.
    pub image: String,
    /// The port inside the container.
    pub port: u16,
    /// Command and arguments; the image's when empty.
    pub command: Vec<String>,
    /// Memory limit in bytes.
    pub memory: Option<u64>,
    /// Processor limit.
    pub cpus: Option<f64>,
    /// Environment; values may be secrets and are not shown.
    pub env: BTreeMap<String, Secret>,
    /// The network; created when missing; the engine's default when `None`.
    pub network: Option<String>,
    /// Whether a missing image is pulled.
    pub pull: bool,
    /// The engine: `unix:///var/run/docker.sock` or `http://host:2375`; what `DOCKER_HOST` says, or the usual socket, when `None`.
    pub host: Option<String>,
    /// How long a container may take to listen.
    #[serde(serialize_with = "written")]
    pub ready_timeout: Duration,
    /// From the request to stop to the kill.
    #[serde(serialize_with = "written")]
    pub grace: Duration,
}

/// Local processes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Program {
    /// Program and arguments; `{port}` and `{name}` stand for the port and the name of a replica.
    pub command: Vec<String>,
    /// Environment, added to Tidegate's own; values may be secrets and are not shown.
    pub env: BTreeMap<String, Secret>,
    /// Where it runs; Tidegate's own folder when `None`.
    pub folder: Option<PathBuf>,
    /// How long a process may take to listen on its port.
    #[serde(serialize_with = "written")]
    pub ready_timeout: Duration,
    /// From SIGTERM to SIGKILL.
    #[serde(serialize_with = "written")]
    pub grace: Duration,
}

/// One reason to scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalePolicy {
    /// The name, unique in its pool.
    pub name: Id,
    /// What it says.
    pub rule: ScaleRule,
    /// Which policy explains a decision that several ask for: the highest.
    pub priority: u32,
}

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleRule {
    /// So many replicas that each has `target` of the signal.
    Target {
        /// What is measured.
        meter: Meter,
        /// How much of it a replica is for; more than 0.
        target: f64,
    },
    /// A step when the signal is beyond a bound.
    Threshold {
        /// What is measured.
        meter: Meter,
        /// Above this it scales up.
        up: Option<f64>,
        /// Below this it may scale down.
        down: Option<f64>,
        /// Replicas more.
        step_up: u32,
        /// Replicas fewer.
        step_down: u32,
        /// Multiplies both steps, rounded, at least 1.
        weight: f64,
    },
    /// Bounds for a time.
    Schedule {
        /// When it begins: minute, hour, day of month, month, day of week (POSIX crontab, with names).
        cron: String,
        /// IANA name of the time zone.
        time_zone: String,
        /// How long it holds.
        #[serde(serialize_with = "written", deserialize_with = "read")]
        lasts: Duration,
        /// The fewest replicas meanwhile.
        min_replicas: Option<u32>,
        /// The most replicas meanwhile.
        max_replicas: Option<u32>,
    },
}

/// What is measured, and how a window of it becomes one number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    /// What.
    pub signal: Signal,
    /// How a window becomes one number.
    pub aggregation: Aggregation,
    /// The window.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub window: Duration,
}

/// What can be measured of a pool. Durations are in seconds, utilisations and rates of errors are ratios.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Requests in flight and queued, of the whole pool.
    Concurrency,
    /// Requests that came in a second, to the whole pool.
    RequestRate,
    /// From the pick to the last byte.
    ResponseTime,
    /// From the pick to the response's head.
    FirstByte,
    /// Requests that wait in the pool's queue.
    QueueDepth,
    /// How long they wait; those that still wait count with what they have waited so far.
    QueueWait,
    /// Failed attempts over attempts that ended.
    ErrorRate,
    /// Processor use over what a replica may use, mean over the ready replicas.
    CpuUtilization,
    /// Memory use over what a replica may use, mean over the ready replicas.
    MemoryUtilization,
    /// A metric of the endpoints' Prometheus pages, sum over the ready replicas.
    Custom(String),
    /// The single value of a PromQL query.
    Promql {
        /// The server, such as `http://prometheus:9090`.
        server: String,
        /// The query.
        query: String,
    },
}

impl Signal {
    /// Tells whether it is a sum over the replicas, so that more replicas have less of it each; the others are means.
    pub const fn is_sum(&self) -> bool {
        match self {
            Self::Concurrency | Self::RequestRate | Self::QueueDepth | Self::Custom(_) | Self::Promql { .. } => true,
            Self::ResponseTime
            | Self::FirstByte
            | Self::QueueWait
            | Self::ErrorRate
            | Self::CpuUtilization
            | Self::MemoryUtilization => false,
        }
    }

    /// Returns the word for metrics, logs and the admin API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::RequestRate => "request_rate",
            Self::ResponseTime => "response_time",
            Self::FirstByte => "first_byte",
            Self::QueueDepth => "queue_depth",
            Self::QueueWait => "queue_wait",
            Self::ErrorRate => "error_rate",
            Self::CpuUtilization => "cpu_utilization",
            Self::MemoryUtilization => "memory_utilization",
            Self::Custom(_) => "custom",
            Self::Promql { .. } => "promql",
        }
    }
}

/// How a window becomes one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// The mean.
    Average,
    /// The sum of the samples.
    Sum,
    /// The least.
    Min,
    /// The largest.
    Max,
    /// How many samples there are.
    Count,
    /// The median.
    P50,
    /// The 95th percentile.
    P95,
    /// The 99th percentile.
    P99,
}

/// Limits of scaling up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleUp {
    /// The shortest time from one scale-up to the next; does not hold in panic or for a full queue.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub cooldown: Duration,
    /// The most replicas more at once.
    pub max_step: Option<Step>,
    /// The least that was wanted in this time counts.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub stabilization: Duration,
}

impl Default for ScaleUp {
    fn default() -> Self {
        Self { cooldown: Duration::from_secs(30), max_step: None, stabilization: Duration::ZERO }
    }
}

/// Limits of scaling down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleDown {
    /// The shortest time from any scaling to the next scale-down.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub cooldown: Duration,
    /// The most replicas fewer at once.
    pub max_step: Option<Step>,
    /// The most that was wanted in this time counts.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub stabilization: Duration,
    /// How long use must have been low.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub sustained: Duration,
}

impl Default for ScaleDown {
    fn default() -> Self {
        Self {
            cooldown: Duration::from_secs(60),
            max_step: None,
            stabilization: Duration::from_secs(600),
            sustained: Duration::from_secs(600),
        }
    }
}

/// A number of replicas, or a share of those there are (rounded up, at least 1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// So many.
    Replicas(u32),
    /// This ratio of those there are.
    Share(f64),
}

/// Quick reaction to surges (Knative's panic window): target policies are also looked at over a short window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Panic {
    /// The short window's need over the ready replicas, as a ratio, from which on it counts; and nothing scales down while it does.
    pub threshold: f64,
    /// The short window.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub window: Duration,
}

impl Default for Panic {
    fn default() -> Self {
        Self { threshold: 2.0, window: Duration::from_secs(6) }
    }
}

/// Looking ahead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Whether decisions follow it.
    pub mode: ForecastMode,
    /// How far it looks.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub horizon: Duration,
    /// Looks for a daily season, from two days of history.
    pub daily: bool,
    /// Looks for a weekly season, from two weeks of history.
    pub weekly: bool,
    /// The confidence below which decisions do not follow it, a ratio.
    pub confidence: f64,
    /// Which quantile of what may come is prepared for, a ratio such as 0.9.
    pub quantile: f64,
}

impl Default for Forecast {
    fn default() -> Self {
        Self {
            mode: ForecastMode::Watch,
            horizon: Duration::from_secs(3600),
            daily: true,
            weekly: true,
            confidence: 0.7,
            quantile: 0.9,
        }
    }
}

/// Whether decisions follow a forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForecastMode {
    /// It is computed and shown.
    Watch,
    /// They do.
    Act,
}

/// What a policy without data asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// What there is.
    Hold,
    /// `min_replicas`, but never fewer than there are.
    Min,
    /// So many, but never fewer than there are.
    Replicas(u32),
}

/// What a replica costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// For one hour.
    pub replica_hour: f64,
    /// Such as `USD`.
    pub currency: String,
}

/// Many gateways that act as one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cluster {
    /// The gateways' own headless Service, `host:port` of their admin servers: the leader adds their signals up.
    pub peers: Option<(String, u16)>,
    /// Who leads; `None`: this gateway, always.
    pub lease: Option<Lease>,
    /// The name of this gateway, unique among its peers; the host name when `None`.
    pub identity: Option<String>,
}

/// A Lease of Kubernetes (`coordination.k8s.io/v1`) that says who leads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lease {
    /// Its name.
    pub name: String,
    /// Its namespace; Tidegate's own when `None`.
    pub namespace: Option<String>,
    /// How long it is good without renewal, in whole seconds.
    #[serde(serialize_with = "written")]
    pub duration: Duration,
    /// How often it is renewed.
    #[serde(serialize_with = "written")]
    pub renew: Duration,
}

/// Where history, decisions and the list of local processes are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Storage {
    /// The folder; a place of the system's choice when `None`.
    pub path: Option<PathBuf>,
}
