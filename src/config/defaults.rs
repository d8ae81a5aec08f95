//! Values that hold when the file does not say, where the model has no default of its own: for `compile`, and for who explains a config.
//!
//! Everything else has its default in the model's `Default`.

use std::time::Duration;

use crate::model::{Aggregation, Meter, ScalePolicy, ScaleRule, Signal};

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

/// Over which time a signal is taken (as in Knative's stable window).
pub(crate) const SCALE_WINDOW: Duration = Duration::from_secs(60);

/// How long the running requests of a leaving replica may take: as long as most streams of agents.
pub(crate) const REPLICA_DRAIN: Duration = Duration::from_secs(600);

/// How long a request may wait for the first replica: a large model takes minutes to load.
pub(crate) const COLD_START_TIMEOUT: Duration = Duration::from_secs(300);

/// What a replica is paid with.
pub(crate) const CURRENCY: &str = "USD";

/// The replicas that a threshold adds or takes.
pub(crate) const SCALE_STEP: u32 = 1;

/// What multiplies the steps of a threshold.
pub(crate) const SCALE_WEIGHT: f64 = 1.0;

/// The time zone of a schedule: one without summer time, so that nobody is surprised.
pub(crate) const TIME_ZONE: &str = "UTC";

/// The priority of a schedule, which only sets bounds.
pub(crate) const SCHEDULE_PRIORITY: u32 = 1;

/// How long a container may take to listen.
pub(crate) const CONTAINER_READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a process may take to listen.
pub(crate) const PROCESS_READY_TIMEOUT: Duration = Duration::from_secs(30);

/// From the request to stop to the kill (as in Docker).
pub(crate) const REPLICA_GRACE: Duration = Duration::from_secs(10);

/// The name of the Lease.
pub(crate) const LEASE_NAME: &str = "tidegate";

/// How long a lease is good: with a renewal every 2 s, another gateway leads within 15 s of a loss.
pub(crate) const LEASE_DURATION: Duration = Duration::from_secs(10);

/// How often a lease is renewed, unless a third of its duration is less.
pub(crate) const LEASE_RENEW: Duration = Duration::from_secs(2);

/// Which policy explains a decision that several ask for: what a waiting client feels goes before what a machine feels.
pub(crate) const fn scale_priority(signal: &Signal) -> u32 {
    match signal {
        Signal::QueueDepth | Signal::QueueWait => 5,
        Signal::RequestRate | Signal::ResponseTime | Signal::FirstByte | Signal::ErrorRate => 4,
        Signal::CpuUtilization | Signal::MemoryUtilization => 3,
        Signal::Concurrency | Signal::Custom(_) | Signal::Promql { .. } => 1,
    }
}

/// How a window of a signal becomes one number: the slow ones are those that hurt, and a mean hides them.
pub(crate) const fn scale_aggregation(signal: &Signal) -> Aggregation {
    match signal {
        Signal::ResponseTime | Signal::FirstByte | Signal::QueueWait => Aggregation::P95,
        Signal::Concurrency
        | Signal::RequestRate
        | Signal::QueueDepth
        | Signal::ErrorRate
        | Signal::CpuUtilization
        | Signal::MemoryUtilization
        | Signal::Custom(_)
        | Signal::Promql { .. } => Aggregation::Average,
    }
}

/// The policy of a pool that names none: so many replicas that every running and waiting request has one of their `slots`.
pub(crate) fn scale_policy(slots: u32) -> ScalePolicy {
    let signal = Signal::Concurrency;
    ScalePolicy {
        name: "concurrency".parse().expect("letters make a name"),
        priority: scale_priority(&signal),
        rule: ScaleRule::Target {
            meter: Meter { aggregation: scale_aggregation(&signal), signal, window: SCALE_WINDOW },
            target: f64::from(slots),
        },
    }
}
