//! Values that hold when the file does not say, where the model has no default of its own: for `compile`, and for who explains a config.
//!
//! Everything else has its default in the model's `Default`.

use std::time::Duration;

/// The share of extra attempts of a hedge.
///
/// Few enough that endpoints hardly notice (Dean and Barroso, The Tail at Scale, CACM 56(2), 2013).
pub(crate) const HEDGE_MAX_EXTRA: f64 = 0.05;

/// The time of a rate limit.
pub(crate) const RATE_LIMIT_PER: Duration = Duration::from_secs(1);

/// The room that pools have to spare (as in Envoy): the next one helps when less than 1 / 1.4 of one is left.
pub(crate) const OVERPROVISIONING: f64 = 1.4;

/// The share of requests that is copied to a mirror.
pub(crate) const MIRROR_SHARE: f64 = 1.0;

/// The largest body that is copied to a mirror: holds the usual request for an agent, and is kept in memory.
pub(crate) const MIRROR_BODY: u64 = 64 * 1024;

/// The requests that wait for a bulkhead: none, as a full one is to say so at once.
pub(crate) const BULKHEAD_CAPACITY: u32 = 0;

/// The pause between two health checks: an endpoint that is asked twice a minute hardly notices.
pub(crate) const HEALTH_INTERVAL: Duration = Duration::from_secs(30);

/// The same while the endpoint is down, unless the usual pause is shorter: it should be back soon after it is up.
pub(crate) const UNHEALTHY_INTERVAL: Duration = Duration::from_secs(5);

/// How long a health check may take.
pub(crate) const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Consecutive good checks that bring an endpoint up.
pub(crate) const HEALTHY_THRESHOLD: u32 = 2;

/// Consecutive bad checks that bring an endpoint down.
pub(crate) const UNHEALTHY_THRESHOLD: u32 = 3;

/// The path of an HTTP health check.
pub(crate) const HEALTH_PATH: &str = "/health";

/// The statuses that are good for an HTTP health check, both included.
pub(crate) const HEALTH_EXPECT: (u16, u16) = (200, 299);

/// How long an endpoint is down before it is healed: longer than most restarts, so that only who does not come back is.
pub(crate) const HEAL_AFTER: Duration = Duration::from_secs(300);

/// The pause between two actions on one endpoint: twice as long, so that an action has time to show.
pub(crate) const HEAL_COOLDOWN: Duration = Duration::from_secs(600);
