//! `admin`, `telemetry`, `drain` and `forwarding`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::names::{AdminBind, FilePath, LogLevel, Pseudonym};
use super::quantities::Delay;
use crate::config::shape::{List, OrNone, Text};
use crate::model::{IpRange, LogFormat, Secret};

/// The admin server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Admin {
    /// Where it listens, or `none`. Default: `127.0.0.1:9900`.
    pub(in crate::config) bind: Option<OrNone<Text<AdminBind>>>,
    /// The bearer token that writes need. Default: none; writes are then refused unless `bind` is loopback.
    pub(in crate::config) token: Option<Text<Secret>>,
}

/// Logs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Telemetry {
    /// One line for each request, or `none`. Default: `none`.
    pub(in crate::config) access_log: Option<OrNone<AccessLog>>,
    /// What Tidegate says about itself, on standard error.
    #[serde(default)]
    pub(in crate::config) log: Log,
}

/// One line for each request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AccessLog {
    /// How a line looks. Default: `json`.
    pub(in crate::config) format: Option<Text<LogFormat>>,
    /// `stdout`, `stderr` or a file, which is appended to. Default: `stdout`.
    pub(in crate::config) path: Option<Text<FilePath>>,
}

/// What Tidegate says about itself, on standard error.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Log {
    /// `off`, `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,tidegate::upstream=debug`. Default: `info`.
    pub(in crate::config) level: Option<Text<LogLevel>>,
    /// How a line looks. Default: `text`.
    pub(in crate::config) format: Option<Text<LogFormat>>,
}

/// How Tidegate stops.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Drain {
    /// From not ready to not accepting. Default: `0s`.
    pub(in crate::config) delay: Option<Text<Delay>>,
    /// How long running requests may take to end. Default: `30s`.
    pub(in crate::config) timeout: Option<Text<Delay>>,
}

/// Headers that tell an endpoint about the client.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Forwarding {
    /// Address ranges of clients whose `Forwarded` and `X-Forwarded-*` are kept and added to; those of others are replaced.
    #[serde(default)]
    pub(in crate::config) trusted: List<Text<IpRange>>,
    /// Sends `Forwarded` (RFC 7239) beside `X-Forwarded-*`. Default: `true`.
    pub(in crate::config) forwarded: Option<bool>,
    /// The name in `Via`, `Forwarded: by` and `Proxy-Status`. Default: `tidegate`.
    pub(in crate::config) name: Option<Text<Pseudonym>>,
}
