//! What a seed sets up: settings, endpoints, clients. Plain values; draws and decides nothing later.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use tidegate::model::{
    self, Address, Backoff, Breaker, Budget, Bulkhead, Condition, EndpointSpec, Hash, Health, Hedge, HedgeDelay, Id, Jitter,
    Outlier, Pool, Probe, Protection, Queue, ResourceTerms, Retry, Strategy, Upstream, Weight,
};

/// Fewest and most endpoints.
pub(super) const ENDPOINTS: std::ops::RangeInclusive<usize> = 100..=160;

/// What endpoints may offer.
pub(super) const CAPABILITIES: [&str; 3] = ["gpu", "long", "vision"];

/// Requests of a run, about.
const REQUESTS: f64 = 400.0;

/// How long requests come.
const DAY: Duration = Duration::from_secs(40);

/// All that a run is made of.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) seed: u64,
    pub(super) workers: usize,
    pub(super) day: Duration,
    /// Requests in each second.
    pub(super) rate: f64,
    /// Of a service, from the pick to the last byte.
    pub(super) service: Duration,
    /// How often the weather changes, and the share of endpoints that a fault hits at most.
    pub(super) storms: Duration,
    pub(super) storm_share: f64,
    /// How often the config changes; `None` is never.
    pub(super) reloads: Option<Duration>,
    /// How often the clock leaps; `None` is never.
    pub(super) leaps: Option<Duration>,
    pub(super) timeouts: Timeouts,
    pub(super) settings: Settings,
}

/// Of the route.
#[derive(Clone, Debug)]
pub(super) struct Timeouts {
    pub(super) first_byte: Duration,
    pub(super) idle: Duration,
    pub(super) attempt: Option<Duration>,
    pub(super) total: Option<Duration>,
}

/// What a reload may change.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) pool: Pool,
    pub(super) retry: Option<Retry>,
    pub(super) hedge: Option<Hedge>,
    pub(super) bulkhead: Option<Bulkhead>,
}

pub(super) fn id(number: usize) -> Id {
    format!("e{number}").parse().expect("a letter and digits are an id")
}

/// Returns the number of an endpoint.
pub(super) fn number(id: &Id) -> usize {
    id.as_str()[1..].parse().expect("only ids of `id` are here")
}

/// Returns capabilities as bits, in the order of [`CAPABILITIES`].
pub(super) fn bits<'a>(names: impl IntoIterator<Item = &'a str>) -> u8 {
    let bit = |name: &str| CAPABILITIES.iter().position(|known| *known == name).map_or(0, |place| 1 << place);
    names.into_iter().fold(0, |bits, name| bits | bit(name))
}

impl Scenario {
    pub(super) fn draw(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let settings = Settings::draw(rng);
        let slots: u32 = settings.pool.endpoints.iter().map(|spec| spec.max_connections.unwrap_or(8)).sum();
        // From a quiet pool to one that can serve half of what comes; of the time that this leaves for each request.
        let load = rng.f64() * 2.2 + 0.3;
        let rate = REQUESTS / DAY.as_secs_f64();
        let service = Duration::from_secs_f64((f64::from(slots) * load / rate).clamp(0.2, 40.0));
        let patience = |rng: &mut Rng, times: f64| service.mul_f64(times * (0.5 + rng.f64()));
        let timeouts = Timeouts {
            first_byte: patience(rng, 2.0),
            idle: patience(rng, 2.0),
            attempt: chance(rng, 0.3).then(|| patience(rng, 3.0)),
            total: chance(rng, 0.4).then(|| patience(rng, 5.0)),
        };
        Self {
            seed,
            workers: rng.usize(1..=4),
            day: DAY,
            rate,
            service,
            storms: Duration::from_millis(rng.u64(800..8_000)),
            storm_share: [0.05, 0.2, 0.5, 1.0][rng.usize(..4)],
            reloads: chance(rng, 0.7).then(|| Duration::from_millis(rng.u64(2_000..20_000))),
            leaps: chance(rng, 0.5).then(|| secs(rng, 5.0, 25.0)),
            timeouts,
            settings,
        }
    }
}

impl Settings {
    fn draw(rng: &mut Rng) -> Self {
        let narrow = chance(rng, 0.6);
        let limited = chance(rng, 0.8);
        let count = rng.usize(ENDPOINTS);
        let endpoints = (0..count).map(|number| endpoint(number, narrow, limited, rng)).collect();
        let pool = Pool {
            name: "pool".parse().expect("letters are an id"),
            strategy: strategy(rng),
            hash: Hash::default(),
            resource: ResourceTerms::default(),
            endpoints,
            discovery: None,
            autoscale: None,
            slow_start: chance(rng, 0.3).then(|| secs(rng, 1.0, 20.0)),
            max_connections: None,
            protection: Protection {
                circuit_breaker: chance(rng, 0.9).then(|| breaker(rng)),
                outlier: chance(rng, 0.6).then(|| outlier(rng)),
                health: chance(rng, 0.6).then(|| health(rng)),
                queue: chance(rng, 0.85).then(|| queue(rng, 200)),
            },
            upstream: Upstream::default(),
        };
        let slots: u32 = pool.endpoints.iter().map(|spec| spec.max_connections.unwrap_or(8)).sum();
        let bulkhead = |rng: &mut Rng| Bulkhead {
            name: "hull".parse().expect("letters are an id"),
            max_concurrent: rng.u32(slots / 4..=slots * 3 / 2),
            queue: queue(rng, 100),
        };
        Self {
            pool,
            retry: chance(rng, 0.8).then(|| retry(rng)),
            hedge: chance(rng, 0.4).then(|| hedge(rng)),
            bulkhead: chance(rng, 0.4).then(|| bulkhead(rng)),
        }
    }

    /// Draws what a reload makes of it: settings change, endpoints come, go and change. What the first config has of bulkhead, retry and hedge,
    /// the others have too, as their state belongs to the route.
    pub(super) fn change(&mut self, fresh: &mut usize, rng: &mut Rng) {
        let other = Self::draw(rng);
        let mut swap = |share: f64| rng.f64() < share;
        let (protection, changed) = (&mut self.pool.protection, other.pool.protection);
        if swap(0.3) {
            protection.circuit_breaker = changed.circuit_breaker;
        }
        if swap(0.3) {
            protection.outlier = changed.outlier;
        }
        if swap(0.3) {
            protection.queue = changed.queue;
        }
        if let (Some(health), Some(changed), true) = (&mut protection.health, changed.health, swap(0.3)) {
            *health = changed;
        }
        if swap(0.2) {
            self.pool.strategy = other.pool.strategy;
        }
        if let (Some(retry), Some(changed), true) = (&mut self.retry, other.retry, swap(0.3)) {
            *retry = changed;
        }
        if let (Some(hedge), Some(changed), true) = (&mut self.hedge, other.hedge, swap(0.3)) {
            *hedge = changed;
        }
        if let (Some(bulkhead), Some(changed), true) = (&mut self.bulkhead, other.bulkhead, swap(0.5)) {
            *bulkhead = changed;
        }
        self.change_endpoints(fresh, rng);
    }

    fn change_endpoints(&mut self, fresh: &mut usize, rng: &mut Rng) {
        let endpoints = &mut self.pool.endpoints;
        let share = rng.f64() * 0.4;
        for spec in endpoints.iter_mut() {
            if rng.f64() < share {
                *spec = EndpointSpec { id: spec.id.clone(), ..endpoint(0, rng.bool(), true, rng) };
            }
        }
        for _ in 0..rng.usize(..20) {
            if endpoints.len() > *ENDPOINTS.start() {
                endpoints.swap_remove(rng.usize(..endpoints.len()));
            }
        }
        for _ in 0..rng.usize(..20) {
            if endpoints.len() < *ENDPOINTS.end() {
                // Some of those that have left come back, with nothing learned.
                let number = if rng.bool() { rng.usize(..*fresh) } else { *fresh };
                *fresh = (*fresh).max(number + 1);
                if endpoints.iter().all(|spec| spec.id != id(number)) {
                    endpoints.push(endpoint(number, rng.bool(), true, rng));
                }
            }
        }
    }
}

fn chance(rng: &mut Rng, share: f64) -> bool {
    rng.f64() < share
}

fn secs(rng: &mut Rng, from: f64, to: f64) -> Duration {
    Duration::from_secs_f64(from + (to - from) * rng.f64())
}

fn endpoint(number: usize, narrow: bool, limited: bool, rng: &mut Rng) -> EndpointSpec {
    let most = if narrow { 2 } else { 8 };
    let slots = rng.u32(1..=most);
    let capabilities: BTreeSet<_> = CAPABILITIES.iter().filter(|_| rng.f64() < 0.3).map(ToString::to_string).collect();
    let weight = if rng.f64() < 0.03 { 0.0 } else { [1.0, 1.0, 0.5, 3.0][rng.usize(..4)] };
    EndpointSpec {
        id: id(number),
        address: Address::Ip("127.0.0.1:80".parse().expect("a valid address")),
        weight: Weight::new(weight).expect("a weight in its range"),
        max_connections: (limited || rng.f64() < 0.7).then_some(slots),
        capabilities,
        zone: None,
    }
}

fn strategy(rng: &mut Rng) -> Strategy {
    // Hashing costs more than all else together in a build for tests.
    if rng.usize(..16) == 0 {
        return Strategy::ConsistentHashing;
    }
    let all = [
        Strategy::RoundRobin,
        Strategy::LeastConnections,
        Strategy::WeightedRoundRobin,
        Strategy::LeastResponseTime,
        Strategy::ResourceBased,
    ];
    all[rng.usize(..all.len())]
}

fn queue(rng: &mut Rng, most: u32) -> Queue {
    let most = [4, most / 8, most][rng.usize(..3)];
    Queue { capacity: rng.u32(1..=most), timeout: secs(rng, 0.5, 20.0) }
}

fn breaker(rng: &mut Rng) -> Breaker {
    let recovery_timeout = secs(rng, 1.0, 10.0);
    Breaker {
        failure_threshold: rng.u32(1..=5),
        success_rate: [0.0, 0.5, 0.8][rng.usize(..3)],
        window: secs(rng, 2.0, 10.0),
        min_attempts: rng.u32(3..=20),
        recovery_timeout,
        max_recovery_timeout: recovery_timeout * rng.u32(1..=8),
        success_threshold: rng.u32(1..=3),
        statuses: if rng.bool() { vec![500, 502, 503, 504] } else { vec![500, 503, 429] },
    }
}

fn outlier(rng: &mut Rng) -> Outlier {
    let base_ejection = secs(rng, 1.0, 10.0);
    Outlier {
        interval: secs(rng, 1.0, 5.0),
        consecutive_failures: rng.u32(0..=5),
        success_rate_deviations: [0.0, 1.0, 1.9][rng.usize(..3)],
        success_rate_endpoints: 5,
        success_rate_attempts: rng.u32(1..=5),
        latency_factor: [0.0, 1.5, 3.0][rng.usize(..3)],
        latency_endpoints: 3,
        latency_attempts: rng.u32(1..=3),
        base_ejection,
        max_ejection: base_ejection * rng.u32(1..=10),
        max_ejected: [0.02, 0.1, 0.5, 1.0][rng.usize(..4)],
    }
}

fn health(rng: &mut Rng) -> Health {
    Health {
        probe: Probe::Tcp,
        interval: secs(rng, 3.0, 15.0),
        unhealthy_interval: secs(rng, 1.0, 5.0),
        timeout: secs(rng, 0.5, 2.0),
        healthy_threshold: rng.u32(1..=2),
        unhealthy_threshold: rng.u32(1..=3),
        degraded_above: rng.bool().then(|| secs(rng, 0.05, 0.5)),
        heal: None,
    }
}

fn retry(rng: &mut Rng) -> Retry {
    let all = [
        Condition::ConnectFailure,
        Condition::Refused,
        Condition::Reset,
        Condition::Timeout,
        Condition::GatewayError,
        Condition::ServerError,
        Condition::Retriable4xx,
    ];
    let base_delay = secs(rng, 0.01, 0.5);
    Retry {
        max_attempts: rng.u32(1..=5),
        on: all.into_iter().filter(|_| rng.f64() < 0.7).collect(),
        non_idempotent: rng.f64() < 0.3,
        backoff: [Backoff::Fixed, Backoff::Linear, Backoff::Exponential, Backoff::Decorrelated][rng.usize(..4)],
        base_delay,
        max_delay: base_delay * rng.u32(1..=8),
        jitter: [Jitter::None, Jitter::Equal, Jitter::Full][rng.usize(..3)],
        budget: Budget { ratio: [0.0, 0.2, 1.0][rng.usize(..3)], min_per_second: [0, 1, 10][rng.usize(..3)] },
        body_buffer: model::Retry::default().body_buffer,
    }
}

fn hedge(rng: &mut Rng) -> Hedge {
    let after = if rng.bool() { HedgeDelay::Quantile(0.5 + rng.f64() * 0.45) } else { HedgeDelay::Fixed(secs(rng, 0.1, 5.0)) };
    Hedge { after, max_extra: [0.05, 0.2, 1.0][rng.usize(..3)] }
}
