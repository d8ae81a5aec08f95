//! Plain, checked values that every floor speaks in: what a config means once it has been read, and how a request can end.
//!
//! Nothing here does anything: no clock, no socket, no lock. A [`Snapshot`] is what `config` yields and `registry` applies.

mod address;
mod autoscale;
mod duration;
mod failure;
mod id;
mod listener;
mod outcome;
mod policies;
mod pool;
mod protection;
mod retry;
mod route;
mod secret;
mod settings;
mod snapshot;
mod weight;

pub use address::{Address, Bind, IpRange, ParseAddressError};
pub use autoscale::{
    Aggregation, Autoscale, Cluster, Container, Cost, Fallback, Forecast, ForecastMode, Lease, Meter, Panic, Program, ScaleDown,
    ScaleMode, ScalePolicy, ScaleRule, ScaleUp, Signal, Step, Storage, Target, Terms, Workload,
};
pub use failure::{Failure, Reason, Side};
pub use id::{Id, ParseIdError};
pub use listener::{CertificateFiles, ClientAuth, Limits, Listener, ListenerProtocol, ListenerTimeouts, ServerTls};
pub use outcome::Outcome;
pub use policies::{Bulkhead, Failover, Mirror, Overload, Policies, Priority, RateKey, RateLimit};
pub use pool::{
    Discovery, Dns, EndpointSpec, Hash, HashKey, HostHeader, KubernetesService, Pool, ResourceTerms, Strategy, Upstream,
    UpstreamProtocol, UpstreamTls,
};
pub use protection::{Breaker, Heal, Health, HttpProbe, JsonField, Outlier, Probe, Protection, Queue};
pub use retry::{Backoff, Budget, Condition, Hedge, HedgeDelay, Jitter, Retry};
pub use route::{
    Action, FixedResponse, HeaderMatch, HostPattern, Match, PathPattern, QueryMatch, Redirect, Rewrite, Route, RouteTimeouts,
    Split, ValueMatch,
};
pub use secret::Secret;
pub use settings::{AccessLog, Admin, Drain, Forwarding, Log, LogFormat, LogTarget, Telemetry};
pub use snapshot::Snapshot;
pub use weight::{ParseWeightError, Weight};
