//! Looks at a pool: sums over its endpoints that go on growing when endpoints leave.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::observation::Observation;
use crate::endpoint::{Endpoint, Serial, Totals};
use crate::kit::clock::Tick;
use crate::model::Id;
use crate::platform::Usage;
use crate::registry::LivePool;
use crate::telemetry::metrics::{EndpointFigures, Registry};

/// Adds up what is seen of one pool by this gateway.
#[derive(Debug, Default)]
pub struct Collector {
    seen: HashMap<Serial, Seen>,
    sum: Observation,
    /// Attempts that began, of all endpoints that ever were.
    attempts: u64,
}

/// What was last seen of an endpoint.
#[derive(Debug, Default)]
struct Seen {
    totals: Totals,
    figures: EndpointFigures,
    /// When it last got a request, monotonic milliseconds; 0 if never.
    used_ms: u64,
}

/// What others know of a pool.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// What the platform says that replicas use, by their names.
    pub usage: BTreeMap<Id, Usage>,
    /// Named figures, by the key of their signal.
    pub custom: BTreeMap<String, f64>,
}

impl Collector {
    /// Takes one look at `pool`.
    pub fn look(&mut self, pool: &LivePool, metrics: &Registry, extra: Extra, now: Tick) -> Observation {
        let members = pool.members.load();
        let endpoints = members.set.endpoints();
        for endpoint in endpoints {
            self.count(pool, endpoint, metrics, now);
        }
        let present: HashSet<Serial> = endpoints.iter().map(|endpoint| endpoint.serial()).collect();
        self.seen.retain(|serial, _| present.contains(serial));
        let figures = pool.queue.figures();
        let waits = pool.queue.waits(now);
        let arrived = self.attempts + figures.waiting + figures.left_total + figures.displaced_total + figures.rejected_total;
        let sum = &mut self.sum;
        sum.at_ms = millis(now);
        sum.in_flight = members.set.state().in_flight();
        sum.queued = figures.waiting;
        sum.queue_capacity = pool.queue.capacity().into();
        sum.oldest_wait = waits.oldest.unwrap_or_default().as_secs_f64();
        // One who has just been granted a slot may be in neither count.
        sum.arrived_total = sum.arrived_total.max(arrived);
        sum.refused_total = figures.rejected_total;
        sum.queue_wait = waits.over;
        let (cpu, memory) = resources(endpoints.iter().map(AsRef::as_ref), &extra.usage, now);
        sum.cpu = cpu;
        sum.memory = memory;
        sum.custom = extra.custom;
        sum.clone()
    }

    /// Returns when an endpoint last got a request, monotonic milliseconds; 0 if never.
    pub fn used_ms(&self, endpoint: Serial) -> u64 {
        self.seen.get(&endpoint).map_or(0, |seen| seen.used_ms)
    }

    fn count(&mut self, pool: &LivePool, endpoint: &Endpoint, metrics: &Registry, now: Tick) {
        let figures = metrics.endpoint_figures(&pool.model.name, &endpoint.spec.id);
        let totals = endpoint.vitals().totals();
        let seen = self.seen.entry(endpoint.serial()).or_default();
        let sum = &mut self.sum;
        self.attempts += totals.attempts.saturating_sub(seen.totals.attempts);
        sum.completed_total += totals.completed.saturating_sub(seen.totals.completed);
        sum.failed_total += totals.failed.saturating_sub(seen.totals.failed);
        sum.first_byte.add(&figures.first_byte.since(&seen.figures.first_byte));
        sum.response_time.add(&figures.duration.since(&seen.figures.duration));
        let used_ms = if totals.attempts == seen.totals.attempts { seen.used_ms } else { millis(now) };
        *seen = Seen { totals, figures, used_ms };
    }
}

const fn millis(now: Tick) -> u64 {
    now.as_nanos() / 1_000_000
}

/// Returns the means of processor and memory use over the endpoints that serve and say so: by their own reports, else by their platform.
fn resources<'a>(
    endpoints: impl Iterator<Item = &'a Endpoint>,
    usage: &BTreeMap<Id, Usage>,
    now: Tick,
) -> (Option<f64>, Option<f64>) {
    let (mut cpu, mut memory) = (Mean::default(), Mean::default());
    for endpoint in endpoints.filter(|endpoint| endpoint.is_eligible()) {
        let of_platform = usage.get(&endpoint.spec.id).copied().unwrap_or_default();
        let own = endpoint.vitals().reported_resources(now);
        // What an endpoint does not say it reports as 0, and no running process uses none.
        let said = |ratio: f64| (ratio > 0.0).then_some(ratio);
        cpu.add(own.and_then(|(cpu, _)| said(cpu)).or(of_platform.cpu));
        memory.add(own.and_then(|(_, memory)| said(memory)).or(of_platform.memory));
    }
    (cpu.value(), memory.value())
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}
