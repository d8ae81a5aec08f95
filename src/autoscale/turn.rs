//! One turn of a pool's loop: observe, decide, write down, act.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;
use tracing::{info, warn};

use super::decide::{Decision, Demand, Input, Replicas, State, decide};
use super::retreat::{Candidate, Moves, Retreat};
use super::run::Tools;
use super::scaling::{Scaling, Trouble};
use super::signal::{Collector, Extra, Gauge, Observation};
use super::starts::Starts;
use crate::endpoint::Cause;
use crate::kit::clock::{self, Tick};
use crate::model::{Autoscale, Id, ScaleMode};
use crate::platform::{Observed, Phase, Replica, ScaleError, Scaler};
use crate::registry::LivePool;

/// How long a platform may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How old what a platform said may be when somebody has just begun to wait.
const RECENT: Duration = Duration::from_secs(2);

/// Sizes one pool.
pub(super) struct Sizer {
    pub(super) live: Arc<LivePool>,
    pub(super) scaler: Arc<dyn Scaler>,
    shared: Arc<Scaling>,
    tools: Arc<Tools>,
    collector: Collector,
    gauge: Gauge,
    retreat: Retreat,
    starts: Starts,
    state: State,
    seen: Option<(Observed, Tick)>,
    last_busy: Tick,
    refused_total: u64,
}

/// Why a turn is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cue {
    /// It is time, or the platform has news.
    Look,
    /// Somebody has begun to wait: there is no time to ask the platform what it said a moment ago.
    Waiting,
}

impl Sizer {
    pub(super) fn new(live: Arc<LivePool>, scaler: Arc<dyn Scaler>, shared: Arc<Scaling>, tools: Arc<Tools>) -> Self {
        Self {
            live,
            scaler,
            shared,
            tools,
            collector: Collector::default(),
            gauge: Gauge::new(0),
            retreat: Retreat::default(),
            starts: Starts::default(),
            state: State::default(),
            seen: None,
            last_busy: clock::now(),
            refused_total: 0,
        }
    }

    /// Takes one turn.
    pub(super) async fn turn(&mut self, settings: &Autoscale, cue: Cue) {
        let observed = self.observe(cue).await;
        let now = clock::now();
        if let Err(error) = &observed {
            self.note(error);
        }
        // A platform that does not answer does not keep anybody from deciding: what it said last counts, and nothing is done.
        let Some((seen, _)) = self.seen.clone() else { return };
        let observation = self.look(&seen, now);
        let input = self.input(settings, &seen, &observation, now);
        let (decision, state) = decide(&settings.terms, &input, &self.state);
        self.state = state;
        self.publish(settings, &seen, &input, &decision);
        if settings.mode == ScaleMode::Act && observed.is_ok() {
            self.act(settings, &seen, &decision, now).await;
        }
    }

    /// Lets everybody stay who was to leave.
    pub(super) fn stay(&mut self) {
        let back = self.retreat.cancel();
        self.mark(&back, false);
    }

    async fn observe(&mut self, cue: Cue) -> Result<(), ScaleError> {
        let is_recent = self.seen.as_ref().is_some_and(|(_, at)| clock::now().since(*at) < RECENT);
        if cue == Cue::Waiting && is_recent {
            return Ok(());
        }
        let observed = timeout(PATIENCE, self.scaler.observe()).await.unwrap_or_else(|_| Err(late()))?;
        let now = clock::now();
        self.starts.follow(&observed.replicas, now);
        self.seen = Some((observed, now));
        Ok(())
    }

    fn look(&mut self, seen: &Observed, now: Tick) -> Observation {
        let usage = seen.replicas.iter().map(|replica| (replica.name.clone(), replica.usage)).collect();
        let extra = Extra { usage, custom: BTreeMap::new() };
        let observation = self.collector.look(&self.live, &self.tools.metrics, extra, now);
        self.gauge.push(observation.clone());
        observation
    }

    fn input(&mut self, settings: &Autoscale, seen: &Observed, observation: &Observation, now: Tick) -> Input {
        if observation.in_flight + observation.queued > 0 {
            self.last_busy = now;
        }
        let is_full = observation.queue_capacity > 0 && observation.queued >= observation.queue_capacity;
        let queue_full = is_full || observation.refused_total > self.refused_total;
        self.refused_total = observation.refused_total;
        let demand = Demand {
            in_flight: observation.in_flight,
            queued: observation.queued,
            queue_full,
            idle_ms: millis(now.since(self.last_busy)),
            is_complete: true,
        };
        Input {
            now_ms: observation.at_ms,
            unix_ms: Timestamp::now().as_millisecond(),
            replicas: self.replicas(seen),
            demand,
            readings: self.gauge.readings(&settings.terms, observation.at_ms),
            schedule: Default::default(),
            outlook: None,
            order: self.shared.order(now).map(|ordered| ordered.order),
        }
    }

    fn replicas(&self, seen: &Observed) -> Replicas {
        let draining = u32::try_from(self.retreat.draining().count()).unwrap_or(u32::MAX);
        let stays = |replica: &&Replica| replica.phase == Phase::Ready && !self.retreat.leaving().contains_key(&replica.name);
        let ready = u32::try_from(seen.replicas.iter().filter(stays).count()).unwrap_or(u32::MAX);
        let active = seen.desired.saturating_sub(draining);
        Replicas { desired: seen.desired, ready, starting: active.saturating_sub(ready), draining }
    }

    fn publish(&self, settings: &Autoscale, seen: &Observed, input: &Input, decision: &Decision) {
        self.shared.update(|standing| {
            standing.mode = Some(settings.mode);
            standing.leads = true;
            standing.replicas = input.replicas;
            standing.shown.clone_from(&seen.replicas);
            standing.leaving.clone_from(self.retreat.leaving());
            standing.readings.clone_from(&input.readings);
            standing.decision = Some(decision.clone());
            standing.counts.decisions_total += 1;
            standing.startup_ms = self.starts.typical().map(millis);
        });
    }

    /// Carries a decision out.
    async fn act(&mut self, settings: &Autoscale, seen: &Observed, decision: &Decision, now: Tick) {
        let moves = self.step(settings, seen, decision, now);
        let draining = u32::try_from(self.retreat.draining().count()).unwrap_or(u32::MAX);
        let count = decision.to.saturating_add(draining);
        if count == seen.desired && moves.release.is_empty() {
            return;
        }
        info!(pool = %self.live.model.name, from = seen.desired, to = count, leaving = ?moves.release, reason = decision.reason, "Scaling.");
        let call = self.scaler.scale_to(count, moves.release.clone());
        match timeout(PATIENCE, call).await.unwrap_or_else(|_| Err(late())) {
            Ok(()) => self.carried_out(seen.desired, count),
            Err(error) => {
                self.retreat.keep(&moves.release);
                self.shared.update(|standing| standing.counts.failed_total += 1);
                self.note(&error);
            }
        }
        // Whatever it did, what was seen is no longer so.
        if let Some((_, at)) = &mut self.seen {
            *at = Tick::default();
        }
    }

    fn carried_out(&mut self, from: u32, to: u32) {
        if let Some((seen, _)) = &mut self.seen {
            seen.desired = to;
        }
        self.shared.update(|standing| {
            standing.error = None;
            match to.cmp(&from) {
                std::cmp::Ordering::Greater => standing.counts.up_total += 1,
                std::cmp::Ordering::Less => standing.counts.down_total += 1,
                std::cmp::Ordering::Equal => {}
            }
        });
    }

    /// Decides who leaves and who comes back, and lets pickers know.
    fn step(&mut self, settings: &Autoscale, seen: &Observed, decision: &Decision, now: Tick) -> Moves {
        let present = self.candidates(seen);
        let staying = present.iter().filter(|candidate| !self.retreat.leaving().contains_key(&candidate.name)).count();
        let active = i64::from(seen.desired) - i64::try_from(self.retreat.draining().count()).unwrap_or(i64::MAX);
        // Replicas that the platform has promised and not yet shown neither come back nor leave.
        let wanted = i64::try_from(staying).unwrap_or(i64::MAX) + i64::from(decision.to) - active;
        let wanted = u32::try_from(wanted.max(0)).unwrap_or(u32::MAX);
        let moves = self.retreat.step(&present, wanted, millis(settings.drain_timeout), millis_of(now));
        self.mark(&moves.drain, true);
        self.mark(&moves.undrain, false);
        let back = moves.undrain.len() as u64;
        self.shared.update(|standing| standing.counts.taken_back_total += back);
        moves
    }

    fn candidates(&self, seen: &Observed) -> Vec<Candidate> {
        let members = self.live.members.load();
        let staying = seen.replicas.iter().filter(|replica| replica.phase != Phase::Stopping);
        let candidate = |replica: &Replica| {
            let endpoint = members.set.get(&replica.name);
            Candidate {
                name: replica.name.clone(),
                in_flight: endpoint.map_or(0, |endpoint| endpoint.vitals().in_flight().into()),
                serves: replica.phase == Phase::Ready,
                last_used_ms: endpoint.map_or(0, |endpoint| self.collector.used_ms(endpoint.serial())),
                age_ms: millis(replica.age),
            }
        };
        staying.map(candidate).collect()
    }

    /// Begins or ends that endpoints get no new requests.
    fn mark(&self, names: &[Id], is_draining: bool) {
        let members = self.live.members.load();
        for endpoint in names.iter().filter_map(|name| members.set.get(name)) {
            endpoint.state.set(Cause::Draining, is_draining);
        }
    }

    fn note(&self, error: &ScaleError) {
        let detail = error.to_string();
        self.shared.update(|standing| {
            let times = standing.error.as_ref().filter(|trouble| trouble.kind == error.as_str()).map_or(0, |trouble| trouble.times);
            // One line for each trouble and not for each turn.
            if times == 0 {
                warn!(pool = %self.live.model.name, error = detail, "The platform does not do what it was asked for.");
            }
            standing.error = Some(Trouble { kind: error.as_str(), detail, times: times.saturating_add(1) });
        });
    }
}

fn late() -> ScaleError {
    ScaleError::Unreachable { platform: "the platform", detail: format!("no answer within {PATIENCE:?}") }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const fn millis_of(now: Tick) -> u64 {
    now.as_nanos() / 1_000_000
}
