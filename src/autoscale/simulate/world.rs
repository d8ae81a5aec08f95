//! A pool under virtual time: who comes, waits, runs and leaves, while somebody decides about the replicas. Pure.
//!
//! Requests wait in one line and are bound to a replica only when one has a free slot, as in the proxy. What happens at one instant happens in a
//! fixed order, and start-up times come from a seed, so that two ways of sizing meet the same luck.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;

use super::agenda::{Agenda, Event};
use super::figures::{Figures, Tally};
use super::fleet::Fleet;
use super::settings::Settings;
use super::sizer::{Drained, Look, Sizer, Totals};
use super::trace::{Request, Trace, micros, micros_of, seconds};

/// How far a start-up time may be from the mean, as a ratio of it.
pub(super) const JITTER: f64 = 0.2;

/// How the pool stands at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Seconds since the trace began.
    pub at: f64,
    /// Replicas on their way.
    pub starting: u32,
    /// Replicas that serve.
    pub ready: u32,
    /// Replicas that run empty.
    pub draining: u32,
    /// Requests that run.
    pub in_flight: u64,
    /// Requests that wait.
    pub queued: usize,
}

/// How one simulation is run.
pub(super) struct Run<'a> {
    /// The pool.
    pub(super) settings: &'a Settings,
    /// What comes.
    pub(super) trace: &'a Trace,
    /// Replicas when the trace begins.
    pub(super) first: u32,
    /// How often it is noted how the pool stands.
    pub(super) sample_every: Option<Duration>,
}

struct World<'a> {
    settings: &'a Settings,
    requests: &'a [Request],
    end_us: u64,
    next: usize,
    now_us: u64,
    agenda: Agenda,
    fleet: Fleet,
    /// Requests by their number, which is the order of their arrival.
    queue: VecDeque<usize>,
    queue_full: bool,
    idle_since_us: Option<u64>,
    decided_us: u64,
    is_wake_due: bool,
    random: Rng,
    totals: Totals,
    tally: Tally,
    sample_us: Option<u64>,
    samples: Vec<Sample>,
}

/// Lets `sizer` size the pool until the trace is over and all its requests are done, and returns what came of it.
pub(super) fn run(run: &Run<'_>, name: &str, sizer: &mut dyn Sizer) -> (Figures, Vec<Sample>) {
    let mut world = World::new(run);
    world.sample();
    world.decide(sizer, Event::Decide);
    while world.step(sizer) {}
    (world.tally.figures(name, run.settings, &world.totals), world.samples)
}

impl<'a> World<'a> {
    fn new(run: &Run<'a>) -> Self {
        let mut fleet = Fleet::new(run.settings.slots);
        for _ in 0..run.first {
            let replica = fleet.order();
            fleet.begin(replica);
        }
        let mut tally = Tally::new(run.settings);
        tally.seen(run.first);
        Self {
            settings: run.settings,
            requests: &run.trace.requests,
            end_us: run.trace.end_us,
            next: 0,
            now_us: 0,
            agenda: Agenda::default(),
            fleet,
            queue: VecDeque::new(),
            queue_full: false,
            idle_since_us: Some(0),
            decided_us: 0,
            is_wake_due: false,
            random: Rng::with_seed(run.settings.conditions.seed),
            totals: Totals::default(),
            tally,
            // Twice in one microsecond would be for ever.
            sample_us: run.sample_every.map(|every| micros(every).max(1)),
            samples: Vec::new(),
        }
    }

    /// Lets happen what is next; `false` when everything has happened.
    fn step(&mut self, sizer: &mut dyn Sizer) -> bool {
        let arrival = self.requests.get(self.next).map(|request| request.at_us);
        let event = self.agenda.next_us();
        let is_idle = self.queue.is_empty() && self.fleet.census().in_flight == 0;
        match (arrival, event) {
            // At one instant, what frees a slot comes before who wants one.
            (Some(at), event) if event.is_none_or(|event| at < event) => {
                self.pass_to(at);
                self.arrive(sizer);
            }
            (arrival, Some(at)) if arrival.is_some() || !is_idle || at <= self.end_us => {
                self.pass_to(at);
                if let Some(event) = self.agenda.take() {
                    self.happen(event, sizer);
                }
            }
            _ => {
                self.pass_to(self.end_us);
                return false;
            }
        }
        true
    }

    fn pass_to(&mut self, at_us: u64) {
        let span = at_us.saturating_sub(self.now_us);
        let census = self.fleet.census();
        self.totals.in_flight_us += span * census.in_flight;
        self.totals.queued_us += span * self.queue.len() as u64;
        // What comes after the end of the trace is served, but nobody pays for it: it lasts as long as the policies let requests wait.
        self.tally.passed(at_us.min(self.end_us).saturating_sub(self.now_us), census.alive(), census.in_flight);
        self.now_us = self.now_us.max(at_us);
    }

    fn happen(&mut self, event: Event, sizer: &mut dyn Sizer) {
        match event {
            Event::End { replica, request } => self.end(replica, request),
            Event::Ready(replica) => {
                self.fleet.begin(replica);
                self.serve();
            }
            Event::Expire(request) => self.expire(request),
            Event::DrainOver { replica, turn } => {
                for _ in 0..self.fleet.cut(replica, turn) {
                    self.totals.cut += 1;
                    self.tally.failed();
                }
                self.note_idle();
            }
            Event::Decide | Event::Wake => self.decide(sizer, event),
            Event::Sample => self.sample(),
        }
    }

    fn arrive(&mut self, sizer: &dyn Sizer) {
        let request = self.next;
        self.next += 1;
        self.totals.arrived += 1;
        self.idle_since_us = None;
        if self.queue.is_empty()
            && let Some(replica) = self.fleet.take(self.now_us)
        {
            return self.begin(request, replica);
        }
        let queue = self.settings.queue.as_ref();
        let room = queue.map_or(0, |queue| usize::try_from(queue.capacity).unwrap_or(usize::MAX));
        if self.queue.len() >= room {
            self.totals.refused += 1;
            self.tally.failed();
            self.queue_full = true;
            self.note_idle();
            self.wake(sizer);
            return;
        }
        let is_cold = self.fleet.census().ready == 0;
        let usual = queue.map_or(Duration::ZERO, |queue| queue.timeout);
        let patience = if is_cold { usual.max(self.settings.cold_start_timeout) } else { usual };
        self.agenda.enter(self.now_us + micros(patience), Event::Expire(request));
        self.queue.push_back(request);
        if self.queue.len() == 1 {
            self.wake(sizer);
        }
    }

    /// Has it decided out of turn, unless that is too soon after the last time.
    fn wake(&mut self, sizer: &dyn Sizer) {
        let Some(after) = sizer.wakes_after_us() else { return };
        if !self.is_wake_due {
            self.is_wake_due = true;
            self.agenda.enter(self.now_us.max(self.decided_us + after), Event::Wake);
        }
    }

    fn begin(&mut self, request: usize, replica: usize) {
        let Some(one) = self.requests.get(request) else { return };
        self.tally.waited(self.now_us - one.at_us);
        self.agenda.enter(self.now_us + one.service_us, Event::End { replica, request });
    }

    fn end(&mut self, replica: usize, request: usize) {
        if !self.fleet.release(replica) {
            return;
        }
        self.totals.served += 1;
        let ran = self.requests.get(request).map_or(0, |request| request.service_us);
        self.totals.response_time.record(seconds(ran));
        self.serve();
        self.note_idle();
    }

    /// Gives free slots to those who wait, in order.
    fn serve(&mut self) {
        while let Some(&request) = self.queue.front() {
            let Some(replica) = self.fleet.take(self.now_us) else { break };
            self.queue.pop_front();
            self.leave_queue(request);
            self.begin(request, replica);
        }
    }

    fn expire(&mut self, request: usize) {
        // Requests come and leave in the order of their numbers, so the line is sorted.
        if let Ok(place) = self.queue.binary_search(&request) {
            self.queue.remove(place);
            self.totals.expired += 1;
            self.tally.waited(self.waited(request));
            self.leave_queue(request);
            self.note_idle();
        }
    }

    fn leave_queue(&mut self, request: usize) {
        self.totals.queue_wait.record(seconds(self.waited(request)));
    }

    fn waited(&self, request: usize) -> u64 {
        self.requests.get(request).map_or(0, |one| self.now_us.saturating_sub(one.at_us))
    }

    fn note_idle(&mut self) {
        if self.queue.is_empty() && self.fleet.census().in_flight == 0 {
            self.idle_since_us = self.idle_since_us.or(Some(self.now_us));
        }
    }

    fn decide(&mut self, sizer: &mut dyn Sizer, event: Event) {
        let room = self.settings.queue.as_ref().map_or(0, |queue| usize::try_from(queue.capacity).unwrap_or(usize::MAX));
        let census = self.fleet.census();
        let serving = census.ready + census.draining;
        let look = Look {
            now_us: self.now_us,
            census,
            queued: self.queue.len(),
            oldest_us: self.queue.front().map_or(0, |&first| self.waited(first)),
            queue_full: self.queue_full || !self.queue.is_empty() && self.queue.len() >= room,
            idle_us: self.idle_since_us.map_or(0, |since| self.now_us - since),
            busy: (serving > 0).then(|| census.in_flight as f64 / (f64::from(serving) * f64::from(self.settings.slots))),
            totals: &self.totals,
        };
        let wanted = sizer.decide(&look);
        self.queue_full = false;
        self.decided_us = self.now_us;
        self.scale(wanted, sizer.drained());
        if event == Event::Wake {
            self.is_wake_due = false;
        } else if let Some(next) = sizer.next_us(self.now_us) {
            self.agenda.enter(next.max(self.now_us + 1), Event::Decide);
        }
    }

    fn scale(&mut self, wanted: u32, drained: Drained) {
        let census = self.fleet.census();
        let current = census.starting + census.ready;
        if wanted == current {
            return;
        }
        if self.now_us <= self.end_us {
            self.tally.scaled(self.now_us, current, wanted);
        }
        if wanted > current {
            let more = wanted - current;
            let recalled = if drained == Drained::ComeBack { self.fleet.recall(more) } else { 0 };
            for _ in recalled..more {
                self.order();
            }
            self.serve();
        } else {
            let drain = micros(self.settings.drain_timeout);
            for (replica, turn) in self.fleet.retire(current - wanted) {
                self.agenda.enter(self.now_us + drain, Event::DrainOver { replica, turn });
            }
        }
        self.tally.seen(self.fleet.census().alive());
    }

    fn order(&mut self) {
        let factor = 1.0 + JITTER * (2.0 * self.random.f64() - 1.0);
        let startup = micros_of(self.settings.conditions.startup.as_secs_f64() * factor);
        let replica = self.fleet.order();
        self.agenda.enter(self.now_us + startup, Event::Ready(replica));
    }

    fn sample(&mut self) {
        let Some(every) = self.sample_us else { return };
        let census = self.fleet.census();
        self.samples.push(Sample {
            at: seconds(self.now_us),
            starting: census.starting,
            ready: census.ready,
            draining: census.draining,
            in_flight: census.in_flight,
            queued: self.queue.len(),
        });
        self.agenda.enter(self.now_us + every, Event::Sample);
    }
}
