//! Candidates, a network and an API server on one true clock, all by chance from a seed.

use std::time::Duration;

use fastrand::Rng;

use super::super::{Election, Moment, Step, Terms, Written};
use crate::kit::clock::Tick;
use crate::platform::kubernetes::LeaseRecord;

/// One turn of the true clock.
const TURN: u64 = 20;
/// How long there is trouble, how long it may take until somebody leads, and how long it is watched after that.
const TROUBLE: u64 = 240_000;
const RECOVERY: u64 = 15_000;
const CALM: u64 = 15_000;
/// How long a candidate waits for an answer.
const LIMIT: u64 = 2000;

/// What came of a run.
pub struct Outcome {
    /// When two could act at once.
    pub double: Option<u64>,
    /// Whether somebody led in time after the trouble, and then without a gap.
    pub recovered: bool,
    /// How often the lease changed hands.
    pub transitions: u32,
}

/// What is on its way, to the server or back; all times are true milliseconds.
struct Call {
    candidate: usize,
    life: u32,
    /// Of the candidate, so that a late answer is not taken for that of the next call.
    number: u64,
    arrives: u64,
    what: What,
}

enum What {
    Get,
    Put(LeaseRecord, Option<u64>),
    Seen(Option<(LeaseRecord, u64)>),
    Answered(Option<u64>),
}

struct Candidate {
    election: Election<u64>,
    life: u32,
    clock: Clock,
    paused_until: u64,
    cut_until: u64,
    waiting: Option<Waiting>,
    calls: u64,
}

struct Waiting {
    number: u64,
    since: u64,
    put: Option<(LeaseRecord, Moment)>,
    answer: Option<What>,
}

/// A clock that is wrong: begins anywhere, and runs up to 9% too fast or too slow, which is nearly all that the margin is for.
struct Clock {
    rate: f64,
    offset: u64,
    wall: i64,
}

#[derive(Default)]
struct Server {
    lease: Option<(LeaseRecord, u64)>,
    version: u64,
}

impl Clock {
    fn new(rng: &mut Rng) -> Self {
        let rate = *[0.91, 1.0, 1.09].get(rng.usize(0..3)).unwrap_or(&1.0);
        Self { rate, offset: rng.u64(0..1_000_000), wall: rng.i64(-1_000_000_000..1_000_000_000) }
    }

    fn read(&self, now: u64) -> Moment {
        let millis = (now as f64 * self.rate) as u64;
        Moment { tick: Tick::from_nanos((self.offset + millis) * 1_000_000), wall: self.wall + millis as i64 * 1000 }
    }
}

impl Candidate {
    fn new(name: usize, life: u32, rng: &mut Rng) -> Self {
        let terms = Terms { identity: format!("{name}_{life}"), seconds: 10, renew: Duration::from_secs(2) };
        let (election, clock) = (Election::new(terms), Clock::new(rng));
        Self { election, life, clock, paused_until: 0, cut_until: 0, waiting: None, calls: 0 }
    }

    fn leads(&self, now: u64) -> bool {
        self.election.may_act(self.clock.read(now)).is_some()
    }

    /// Takes an answer in, gives a call up, or begins the next; returns what is sent.
    fn turn(&mut self, now: u64) -> Option<What> {
        let present = self.clock.read(now);
        if let Some(waiting) = self.waiting.take() {
            match (waiting.answer, waiting.put) {
                (Some(What::Seen(lease)), _) => self.election.saw(present.tick, lease),
                (Some(What::Answered(version)), Some((record, sent))) => {
                    self.election.wrote(record, sent, present.tick, version.map_or(Written::Lost, Written::Done));
                }
                (_, put) if now >= waiting.since + LIMIT => match put {
                    Some((record, sent)) => self.election.wrote(record, sent, present.tick, Written::Failed),
                    None => self.election.failed(present.tick),
                },
                (answer, put) => self.waiting = Some(Waiting { answer, put, ..waiting }),
            }
            return None;
        }
        let (what, put) = match self.election.step(present) {
            Step::Wait(_) => return None,
            Step::Look => (What::Get, None),
            Step::Write { record, over } => (What::Put(record.clone(), over), Some((record, present))),
        };
        self.calls += 1;
        self.waiting = Some(Waiting { number: self.calls, since: now, put, answer: None });
        Some(what)
    }
}

impl Server {
    fn answer(&mut self, what: What) -> What {
        match what {
            What::Put(record, over) if over == self.lease.as_ref().map(|(_, version)| *version) => {
                self.version += 1;
                self.lease = Some((record, self.version));
                What::Answered(Some(self.version))
            }
            What::Put(..) => What::Answered(None),
            _ => What::Seen(self.lease.clone()),
        }
    }
}

struct Lab {
    rng: Rng,
    server: Server,
    candidates: Vec<Candidate>,
    to_server: Vec<Call>,
    to_candidates: Vec<Call>,
    down_until: u64,
}

/// Runs one world.
pub fn run(seed: u64, count: usize) -> Outcome {
    let mut rng = Rng::with_seed(seed);
    let candidates = (0..count).map(|name| Candidate::new(name, 0, &mut rng)).collect();
    let (to_server, to_candidates) = (Vec::new(), Vec::new());
    let mut lab = Lab { rng, server: Server::default(), candidates, to_server, to_candidates, down_until: 0 };
    let mut outcome = Outcome { double: None, recovered: true, transitions: 0 };
    for now in (0..TROUBLE + RECOVERY + CALM).step_by(TURN as usize) {
        if now < TROUBLE {
            lab.trouble(now);
        }
        lab.turn(now);
        let leaders = lab.candidates.iter().filter(|candidate| candidate.leads(now)).count();
        if leaders > 1 {
            outcome.double.get_or_insert(now);
        }
        if now >= TROUBLE + RECOVERY && leaders == 0 {
            outcome.recovered = false;
        }
    }
    outcome.transitions = lab.server.lease.map_or(0, |(record, _)| record.transitions);
    outcome
}

impl Lab {
    /// Now and then something happens; whatever it is, it is over when the time of trouble is.
    fn trouble(&mut self, now: u64) {
        // Every eight seconds on the average: with more, nobody would ever lead, and nothing would be shown.
        if self.rng.u32(0..400) != 0 {
            return;
        }
        let until = (now + self.rng.u64(0..20_000)).min(TROUBLE);
        let name = self.rng.usize(0..self.candidates.len());
        // Whoever leads is hit more often, for that is where it hurts.
        let name = self.candidates.iter().position(|candidate| candidate.leads(now)).filter(|_| self.rng.bool()).unwrap_or(name);
        match self.rng.u32(0..6) {
            0 => self.down_until = (now + self.rng.u64(0..8000)).min(TROUBLE),
            1 => self.candidates[name].cut_until = (until + 8000).min(TROUBLE),
            2 => self.candidates[name].paused_until = until,
            3 => self.candidates[name].clock.wall += self.rng.i64(-30_000_000..30_000_000),
            4 => self.end(name, now, None),
            _ => {
                let wall = self.candidates[name].clock.read(now).wall;
                let free = self.candidates[name].election.release(wall);
                self.end(name, now, free);
            }
        }
    }

    /// Ends a candidate, by a crash or with a release on its way; it starts again as a new one.
    fn end(&mut self, name: usize, now: u64, free: Option<(LeaseRecord, u64)>) {
        let life = self.candidates[name].life;
        if let Some((record, version)) = free {
            let arrives = now + self.rng.u64(0..1500);
            self.to_server.push(Call { candidate: name, life, number: 0, arrives, what: What::Put(record, Some(version)) });
        }
        self.candidates[name] = Candidate::new(name, life + 1, &mut self.rng);
        self.candidates[name].paused_until = (now + self.rng.u64(0..5000)).min(TROUBLE);
    }

    /// How long a message takes: in trouble up to longer than a call is waited for; in calm not long.
    fn delay(&mut self, now: u64) -> u64 {
        let most = if now >= TROUBLE { 200 } else { *[50, 50, 50, 500, 4000].get(self.rng.usize(0..5)).unwrap_or(&50) };
        self.rng.u64(0..most)
    }

    fn is_lost(&mut self, candidate: usize, now: u64) -> bool {
        let is_cut = now < self.down_until || now < self.candidates[candidate].cut_until;
        is_cut || now < TROUBLE && self.rng.u32(0..30) == 0
    }

    fn turn(&mut self, now: u64) {
        for call in due(&mut self.to_server, now) {
            let what = self.server.answer(call.what);
            if !self.is_lost(call.candidate, now) {
                let arrives = now + self.delay(now);
                self.to_candidates.push(Call { arrives, what, ..call });
            }
        }
        for call in due(&mut self.to_candidates, now) {
            let candidate = &mut self.candidates[call.candidate];
            if let Some(waiting) = candidate.waiting.as_mut().filter(|waiting| waiting.number == call.number)
                && candidate.life == call.life
            {
                waiting.answer = Some(call.what);
            }
        }
        for name in 0..self.candidates.len() {
            if now < self.candidates[name].paused_until {
                continue;
            }
            let Some(what) = self.candidates[name].turn(now) else { continue };
            if self.is_lost(name, now) {
                continue;
            }
            let arrives = now + self.delay(now);
            let Candidate { life, calls: number, .. } = self.candidates[name];
            self.to_server.push(Call { candidate: name, life, number, arrives, what });
        }
    }
}

/// Takes out what has arrived.
fn due(calls: &mut Vec<Call>, now: u64) -> Vec<Call> {
    let (due, rest) = std::mem::take(calls).into_iter().partition(|call| call.arrives <= now);
    *calls = rest;
    due
}
