//! What the tests of this folder share.

use std::time::Duration;

use crate::model::{Health, Probe};

/// The settings of a file that names nothing but the probe.
pub(super) fn health() -> Health {
    Health {
        probe: Probe::Tcp,
        interval: Duration::from_secs(30),
        unhealthy_interval: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        healthy_threshold: 2,
        unhealthy_threshold: 3,
        degraded_above: None,
        heal: None,
    }
}
