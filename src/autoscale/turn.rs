//! One turn of a pool's loop: observe, decide, write down, act.

mod acts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;

use super::decide::{Decision, Demand, Flow, Input, Order, Replicas, State, decide};
use super::foresight::Foresight;
use super::ledger::{Draft, Upshot, is_news};
use super::patience::{PATIENCE, in_time};
use super::peers::PoolReport;
use super::retreat::{Moves, Retreat};
use super::running::Running;
use super::sampler::Sampler;
use super::scaling::{Scaling, Trouble};
use super::schedule::Schedules;
use super::shop::{Records, Shop};
use super::signal::{Collector, Extra, Gauge, Observation};
use super::starts::Starts;
use crate::kit::clock::{self, Tick};
use crate::model::{Autoscale, Id, ScaleMode, Target, Terms};
use crate::platform::{Observed, Phase, Replica, ScaleError, Scaler};
use crate::registry::LivePool;

/// How old what a platform said may be when somebody has just begun to wait.
const RECENT: Duration = Duration::from_secs(2);

/// How long a platform that refuses is left alone the first time; doubles each time.
const FIRST_REST: Duration = Duration::from_secs(1);

/// The longest time that it is left alone.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Sizes one pool.
pub(super) struct Sizer {
    pub(super) live: Arc<LivePool>,
    pub(super) scaler: Arc<dyn Scaler>,
    shared: Arc<Scaling>,
    shop: Arc<Shop>,
    records: Arc<Records>,
    foresight: Arc<Foresight>,
    target: Target,
    terms: Arc<Terms>,
    schedules: Schedules,
    collector: Collector,
    gauge: Gauge,
    sampler: Sampler,
    retreat: Retreat,
    starts: Starts,
    state: State,
    written: Option<Decision>,
    /// Scale-ups whose replicas do not all serve yet: the number in the ledger, when it was decided, and how many are to serve.
    awaited: Vec<(u64, Tick, u32)>,
    seen: Option<(Observed, Tick)>,
    running: Running,
    /// Requests that run on each endpoint at other gateways.
    elsewhere: BTreeMap<Id, u64>,
    /// Replicas that get no new requests from other gateways; `None` where there is none.
    drained: Option<BTreeSet<Id>>,
    /// Replicas that get no new requests by the leader's word.
    told: BTreeSet<Id>,
    is_complete: bool,
    /// Whether this gateway led at its last turn.
    led: bool,
    /// Until when the platform wants to be left alone, and how it said so.
    resting: Option<(Tick, ScaleError)>,
    last_busy: Tick,
    refused_total: u64,
}

/// Where a [`Sizer`] works.
pub(super) struct Place {
    pub(super) shared: Arc<Scaling>,
    pub(super) shop: Arc<Shop>,
    pub(super) records: Arc<Records>,
    pub(super) foresight: Arc<Foresight>,
}

/// Which decisions are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    /// Those that are news.
    News,
    /// This one: the platform is about to be called.
    Always,
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
    pub(super) fn new(live: Arc<LivePool>, settings: &Autoscale, scaler: Arc<dyn Scaler>, place: Place) -> Self {
        let Place { shared, shop, records, foresight } = place;
        let mut sizer = Self {
            live,
            scaler,
            shared,
            shop,
            records,
            foresight,
            target: settings.target.clone(),
            terms: Arc::new(settings.terms.clone()),
            schedules: Schedules::default(),
            collector: Collector::default(),
            gauge: Gauge::default(),
            sampler: Sampler::default(),
            retreat: Retreat::default(),
            starts: Starts::default(),
            state: State::default(),
            written: None,
            awaited: Vec::new(),
            seen: None,
            running: Running::default(),
            elsewhere: BTreeMap::new(),
            drained: None,
            told: BTreeSet::new(),
            is_complete: true,
            led: false,
            resting: None,
            last_busy: clock::now(),
            refused_total: 0,
        };
        sizer.configure(settings);
        sizer
    }

    /// Takes other settings.
    pub(super) fn configure(&mut self, settings: &Autoscale) {
        self.terms = Arc::new(settings.terms.clone());
        self.gauge.configure(&settings.terms);
        match Schedules::new(&settings.terms) {
            Ok(schedules) => self.schedules = schedules,
            // The config was checked; a time zone can still go from the machine.
            Err(error) => warn!(pool = %self.live.model.name, %error, "Schedules are not followed."),
        }
    }

    /// Takes one turn.
    pub(super) async fn turn(&mut self, settings: &Autoscale, cue: Cue) {
        // First: the platform may take its time, and the leader waits for it.
        self.obey(clock::now());
        let observed = match self.at_rest(clock::now()) {
            Some(error) => Err(error),
            None => self.ask(cue).await,
        };
        let now = clock::now();
        let leads = self.shop.may_act(&self.target, now);
        self.take_over(leads.is_some(), now);
        let observation = self.look(now);
        // A platform that does not answer does not keep anybody from deciding: what it said last counts, and nothing is done.
        let Some((seen, _)) = self.seen.clone() else { return };
        // Who is gone does not drain any more.
        let present = self.candidates(&seen);
        self.retreat.forget_absent(&present, millis_of(now));
        let input = self.input(&seen, &observation, now);
        let before = self.state.clone();
        let (decision, state) = decide(&self.terms, &input, &before);
        if leads.is_some() {
            // A follower sees its own part only.
            self.sample(&input, observation, &decision);
        }
        self.publish(settings, &seen, &input, &decision);
        let patience = self.shop.patience(&self.target);
        let wants_to_act = settings.mode == ScaleMode::Act && input.order != Some(Order::Pause);
        let acts = wants_to_act && observed.is_ok() && leads.is_some_and(|until| until.outlasts(now, patience));
        self.state = if acts { state } else { unacted(&before, state) };
        if !acts {
            // One answer that did not come, or a lease that is short, ends no drain.
            if leads.is_some() && !wants_to_act {
                self.stay();
            }
            if observed.is_ok() {
                self.forgive();
            }
            // What a follower would do is not what is done.
            if leads.is_some() {
                self.write(settings, input, &before, &decision, Writing::News);
            }
            return;
        }
        let moves = self.step(settings, &seen, &decision, now);
        let draining = u32::try_from(self.retreat.draining().count()).unwrap_or(u32::MAX);
        let count = self.covered(decision.to.saturating_add(draining), &seen, &moves);
        self.follow_up(&seen, now);
        if count == seen.desired && moves.release.is_empty() {
            self.forgive();
            self.write_moves(settings, input, &before, &decision, &moves);
            return;
        }
        let id = self.write(settings, input, &before, &decision, Writing::Always);
        if !self.call(seen.desired, count, moves, &decision, id).await {
            self.state = unacted(&before, std::mem::take(&mut self.state));
        }
    }

    /// Ends: whom this loop has kept from new requests gets some again, as nobody else would say so.
    pub(super) fn leave(&mut self) {
        self.retreat = Retreat::default();
        self.mark(|_| false);
    }

    /// Lets everybody stay who was to leave.
    fn stay(&mut self) {
        self.retreat.cancel();
        self.mark(|name| self.retreat.leaving().contains_key(name));
    }

    /// Returns how the platform said that it wants to be left alone, while it does.
    fn at_rest(&mut self, now: Tick) -> Option<ScaleError> {
        self.resting.take_if(|(until, _)| *until <= now);
        self.resting.as_ref().map(|(_, error)| error.clone())
    }

    /// Begins anew when this gateway begins to lead: what it saw while it followed was its own part only, too little to go by for having fewer.
    fn take_over(&mut self, leads: bool, now: Tick) {
        if leads && !self.led {
            let State { up_ms, down_ms, events, .. } = std::mem::take(&mut self.state);
            self.state = State { up_ms, down_ms, events, ..State::default() };
            self.gauge = Gauge::default();
            self.gauge.configure(&self.terms);
            self.last_busy = now;
        }
        if self.led && !leads {
            self.retreat = Retreat::default();
        }
        self.led = leads;
    }

    async fn ask(&mut self, cue: Cue) -> Result<(), ScaleError> {
        let observed = self.observe(cue).await;
        if let Err(error) = &observed {
            self.note(error);
        }
        observed
    }

    async fn observe(&mut self, cue: Cue) -> Result<(), ScaleError> {
        let is_recent = self.seen.as_ref().is_some_and(|(_, at)| clock::now().since(*at) < RECENT);
        if cue == Cue::Waiting && is_recent {
            return Ok(());
        }
        let observed = in_time(PATIENCE, self.scaler.observe()).await?;
        let now = clock::now();
        self.starts.follow(&observed.replicas, now);
        self.seen = Some((observed, now));
        Ok(())
    }

    fn look(&mut self, now: Tick) -> Observation {
        let replicas = self.seen.iter().flat_map(|(seen, _)| &seen.replicas);
        let usage = replicas.map(|replica| (replica.name.clone(), replica.usage)).collect();
        let extra = Extra { usage, custom: self.shared.custom(now) };
        let own = self.collector.look(&self.live, &self.shop.tools.metrics, extra, now);
        self.running.look(&self.live.members.load().set);
        self.shared.report(PoolReport { seen: own.clone(), in_flight: self.running.all(), draining: self.told.clone() });
        let seen = match self.shop.peers_for(&self.target) {
            Some(peers) => {
                let sum = peers.add_to(&self.live.model.name, &own, now);
                self.elsewhere = sum.in_flight;
                self.drained = sum.draining;
                self.is_complete = sum.is_complete;
                sum.seen
            }
            None => own,
        };
        self.gauge.push(seen.clone());
        seen
    }

    /// Does as the leader says: those that it lets run empty get no new requests here either.
    fn obey(&mut self, now: Tick) {
        if self.shop.may_act(&self.target, now).is_some() {
            self.told.clear();
            return;
        }
        self.retreat.cancel();
        self.told = self.shared.told(now);
        self.mark(|name| self.told.contains(name));
    }

    fn input(&mut self, seen: &Observed, observation: &Observation, now: Tick) -> Input {
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
            flow: self.gauge.flow(observation.at_ms).map(|(rate, service)| Flow { rate, service, startup: self.startup() }),
            is_complete: self.is_complete,
        };
        let unix_ms = Timestamp::now().as_millisecond();
        Input {
            now_ms: observation.at_ms,
            unix_ms,
            replicas: self.replicas(seen),
            demand,
            readings: self.gauge.readings(&self.terms, observation.at_ms),
            schedule: self.schedules.look(unix_ms),
            outlook: self.foresight.outlook(&self.terms, self.starts.typical(), unix_ms),
            order: self.shared.order(now).map(|ordered| ordered.order),
        }
    }

    /// Returns how long a new replica takes to serve, in seconds: as measured, else as is usual.
    fn startup(&self) -> f64 {
        let usual = match &self.target {
            Target::Process(_) => Duration::from_secs(1),
            Target::Docker(_) => Duration::from_secs(3),
            Target::Kubernetes(_) => Duration::from_secs(15),
        };
        self.starts.typical().unwrap_or(usual).as_secs_f64()
    }

    fn sample(&mut self, input: &Input, observation: Observation, decision: &Decision) {
        let minute = input.unix_ms.div_euclid(60_000);
        if let Some((minute, row)) = self.sampler.take(minute, observation, input.replicas, decision.wanted) {
            self.records.history.record(&self.live.model.name, minute, &row);
        }
    }

    /// Writes a decision down that needs no call to the platform. Who leaves or comes back does so from now on, so it is carried out.
    fn write_moves(&mut self, settings: &Autoscale, input: Input, before: &State, decision: &Decision, moves: &Moves) {
        if moves.drain.is_empty() && moves.undrain.is_empty() {
            self.write(settings, input, before, decision, Writing::News);
            return;
        }
        let id = self.write(settings, input, before, decision, Writing::Always);
        self.records.ledger.carried(id, Upshot::Done, Timestamp::now().as_millisecond());
    }

    /// Writes a decision down, and returns its number; what is no news is not written unless the platform is about to be called.
    fn write(&mut self, settings: &Autoscale, input: Input, before: &State, decision: &Decision, writing: Writing) -> u64 {
        let is_news = self.written.as_ref().is_none_or(|written| is_news(written, decision));
        if writing == Writing::News && !is_news {
            return 0;
        }
        self.written = Some(decision.clone());
        self.records.ledger.write(Draft {
            at_unix_ms: input.unix_ms,
            pool: self.live.model.name.clone(),
            generation: self.shop.generation.load(Relaxed),
            mode: settings.mode,
            terms: self.terms.clone(),
            input,
            state: before.clone(),
            decision: decision.clone(),
        })
    }

    fn replicas(&self, seen: &Observed) -> Replicas {
        let draining = u32::try_from(self.retreat.draining().count()).unwrap_or(u32::MAX);
        let stays = |replica: &&Replica| replica.phase == Phase::Ready && !self.retreat.leaving().contains_key(&replica.name);
        let ready = u32::try_from(seen.replicas.iter().filter(stays).count()).unwrap_or(u32::MAX);
        // One that has died and is not well again is not on its way.
        let fails = |replica: &&Replica| replica.phase == Phase::Failed && !self.retreat.leaving().contains_key(&replica.name);
        let failed = u32::try_from(seen.replicas.iter().filter(fails).count()).unwrap_or(u32::MAX);
        let active = seen.desired.saturating_sub(draining);
        Replicas { desired: seen.desired, ready, starting: active.saturating_sub(ready).saturating_sub(failed), draining }
    }

    fn publish(&self, settings: &Autoscale, seen: &Observed, input: &Input, decision: &Decision) {
        self.shared.update(|standing| {
            standing.mode = Some(settings.mode);
            standing.leads = self.shop.may_act(&self.target, clock::now()).is_some();
            standing.leader = self.shop.leader(&self.target);
            standing.replicas = input.replicas;
            standing.shown.clone_from(&seen.replicas);
            standing.leaving.clone_from(self.retreat.leaving());
            standing.readings.clone_from(&input.readings);
            standing.decision = Some(decision.clone());
            standing.counts.decisions_total += 1;
            standing.startup_ms = self.starts.typical().map(millis);
        });
    }

    /// The platform answers, and nothing is asked of it: what it refused before is past.
    fn forgive(&self) {
        self.shared.update(|standing| standing.error = None);
    }

    fn note(&mut self, error: &ScaleError) {
        let detail = error.to_string();
        let mut again = 0;
        self.shared.update(|standing| {
            let times = standing.error.as_ref().filter(|trouble| trouble.kind == error.as_str()).map_or(0, |trouble| trouble.times);
            // One line for each trouble and not for each turn.
            if times == 0 {
                warn!(pool = %self.live.model.name, error = detail, "The platform does not do what it was asked for.");
            }
            standing.error = Some(Trouble { kind: error.as_str(), detail, times: times.saturating_add(1) });
            again = times;
        });
        let wait = match error {
            ScaleError::Busy { wait, .. } => *wait,
            // Asking again does not help before somebody has changed something, and each time is written down.
            ScaleError::Refused { .. } | ScaleError::Missing { .. } => {
                FIRST_REST.saturating_mul(1 << again.min(6)).min(LONGEST_REST)
            }
            ScaleError::Unreachable { .. } | ScaleError::Conflict { .. } => return,
        };
        self.resting = Some((clock::now() + wait, error.clone()));
    }
}

/// Returns the state after a decision that nobody carried out: nothing was ordered, so nothing is waited for.
fn unacted(before: &State, after: State) -> State {
    State {
        last: None,
        pending: None,
        ours: None,
        up_ms: before.up_ms,
        down_ms: before.down_ms,
        adopted_ms: None,
        events: before.events.clone(),
        ..after
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const fn millis_of(now: Tick) -> u64 {
    now.as_nanos() / 1_000_000
}
