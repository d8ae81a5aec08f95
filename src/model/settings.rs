//! What is not about requests: admin server, logs, drain, forwarding headers.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::duration::written;
use super::{IpRange, Secret};

/// The admin server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Admin {
    /// Where it listens; `None` switches it off.
    pub bind: Option<SocketAddr>,
    /// The bearer token that writes need; without one, writes are refused unless `bind` is loopback.
    pub token: Option<Secret>,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Telemetry {
    /// One line for each request; `None` switches it off.
    pub access_log: Option<AccessLog>,
    /// What Tidegate says about itself.
    pub log: Log,
}

/// One line for each request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessLog {
    /// How a line looks.
    pub format: LogFormat,
    /// Where it goes.
    pub path: LogTarget,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// For people.
    Text,
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to a file; opened again on SIGHUP.
    File(PathBuf),
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// What Tidegate says about itself, on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// A level, or `tracing` directives such as `info,tidegate::upstream=debug`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How Tidegate stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drain {
    /// From not ready to not accepting.
    #[serde(serialize_with = "written")]
    pub delay: Duration,
    /// How long running requests may take to end.
    #[serde(serialize_with = "written")]
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: Duration::ZERO, timeout: Duration::from_secs(30) }
    }
}

/// Headers that tell an endpoint about the client.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forwarding {
    /// Clients whose `Forwarded` and `X-Forwarded-*` are kept and added to; those of others are replaced.
    pub trusted: Vec<IpRange>,
    /// Sends `Forwarded` (RFC 7239) beside `X-Forwarded-*`.
    pub forwarded: bool,
    /// The name in `Via`, `Forwarded: by` and `Proxy-Status`.
    pub name: String,
}

impl Default for Forwarding {
    fn default() -> Self {
        Self { trusted: Vec::new(), forwarded: true, name: "tidegate".to_owned() }
    }
}
