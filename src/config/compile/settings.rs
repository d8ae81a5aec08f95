//! What is not about requests.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::config::raw;
use crate::config::shape::OrNone;
use crate::model::{AccessLog, Admin, Drain, Forwarding, Log, LogFormat, LogTarget, Telemetry};

/// The port of the admin server, on loopback, when the file names none.
const ADMIN_PORT: u16 = 9900;

pub(super) fn admin(raw: &raw::Admin) -> Admin {
    Admin {
        bind: match &raw.bind {
            None => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, ADMIN_PORT))),
            Some(bind) => bind.as_option().map(|bind| bind.value.0),
        },
        token: raw.token.as_ref().map(|token| token.value.clone()),
    }
}

pub(super) fn telemetry(raw: &raw::Telemetry, base: &Path) -> Telemetry {
    let default = Log::default();
    Telemetry {
        access_log: raw.access_log.as_ref().and_then(OrNone::as_option).map(|log| AccessLog {
            format: log.format.as_ref().map_or(LogFormat::Json, |format| format.value),
            path: log.path.as_ref().map_or(LogTarget::Stdout, |path| target(&path.value.0, base)),
        }),
        log: Log {
            level: raw.log.level.as_ref().map_or(default.level, |level| level.value.0.clone()),
            format: raw.log.format.as_ref().map_or(default.format, |format| format.value),
        },
    }
}

fn target(text: &str, base: &Path) -> LogTarget {
    match text {
        "stdout" => LogTarget::Stdout,
        "stderr" => LogTarget::Stderr,
        path => LogTarget::File(base.join(path)),
    }
}

pub(super) fn drain(raw: &raw::Drain) -> Drain {
    let default = Drain::default();
    Drain {
        delay: raw.delay.as_ref().map_or(default.delay, |delay| delay.value.0),
        timeout: raw.timeout.as_ref().map_or(default.timeout, |delay| delay.value.0),
    }
}

pub(super) fn forwarding(raw: &raw::Forwarding) -> Forwarding {
    let default = Forwarding::default();
    Forwarding {
        trusted: raw.trusted.0.iter().map(|range| range.value).collect(),
        forwarded: raw.forwarded.unwrap_or(default.forwarded),
        name: raw.name.as_ref().map_or(default.name, |name| name.value.0.clone()),
    }
}
