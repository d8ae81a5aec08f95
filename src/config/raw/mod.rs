//! The file as it is written: one struct for each mapping, every value checked by itself.
//!
//! What values mean together is `check`'s business, and defaults are filled in by `compile`. The doc comments here become the
//! descriptions of the JSON Schema.

mod file;
mod hosts;
mod listener;
mod names;
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

pub(super) use listener::{Listener, ServerTls};
pub(super) use names::FilePath;
pub(super) use policies::{Bulkhead, Failover, Mirror, Overload, RateLimit};
pub(super) use pool::{Discovery, Endpoint, Pool, Upstream, UpstreamTls};
pub(super) use probe::Statuses;
pub(super) use protection::{Breaker, Heal, Health, HttpProbe, Outlier, Queue};
pub(super) use quantities::{Count, Period};
pub(super) use retry::{Hedge, Retry};
pub(super) use route::{Fields, Match, PathMatch, Redirect, Respond, Route, RouteTimeouts, ValueMatch};
pub(super) use settings::{Admin, Drain, Forwarding, Telemetry};
