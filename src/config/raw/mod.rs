//! The file as it is written: one struct for each mapping, every value checked by itself.
//!
//! What values mean together is `check`'s business, and defaults are filled in by `compile`. The doc comments here become the
//! descriptions of the JSON Schema.

mod amounts;
mod autoscale;
mod cluster;
mod file;
mod hosts;
mod listener;
mod moments;
mod names;
mod objects;
mod platform;
mod policies;
mod pool;
mod probe;
mod protection;
mod quantities;
mod retry;
mod route;
mod settings;
mod words;

pub(super) use file::File;

pub(super) use amounts::Amount;
pub(super) use autoscale::{Autoscale, Cost, Forecast, Panic, ScaleDown, ScalePolicy, ScaleUp};
pub(super) use cluster::{Cluster, Lease, Storage};
pub(super) use listener::{Listener, ServerTls};
pub(super) use names::FilePath;
pub(super) use objects::{EnvName, EnvValue};
pub(super) use platform::{Container, Program, Target, Workload};
pub(super) use policies::{Bulkhead, Failover, Mirror, Overload, RateLimit};
pub(super) use pool::{Discovery, Dns, Endpoint, KubernetesService, Pool, Upstream, UpstreamTls};
pub(super) use probe::Statuses;
pub(super) use protection::{Breaker, Heal, Health, HttpProbe, Outlier, Queue};
pub(super) use quantities::{Count, Delay, Period};
pub(super) use retry::{Hedge, Retry};
pub(super) use route::{Fields, Match, PathMatch, Redirect, Respond, Route, RouteTimeouts, ValueMatch};
pub(super) use settings::{Admin, Drain, Forwarding, Telemetry};
pub(super) use words::{Season, SignalWord};
