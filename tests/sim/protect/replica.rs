//! A replica: how it answers now, and what a health check finds. Knows no proxy.

use std::rc::{Rc, Weak};
use std::time::Duration;

use fastrand::Rng;
use tidegate::health::{Checked, Finding};
use tidegate::kit::clock::Tick;
use tidegate::model::{Health, Reason};

use super::link::{Course, Link};
use crate::draw::normal;

/// What is wrong with a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// It stands still: it takes the connection and the request, and answers neither requests nor checks, until it goes on where it was.
    Stall,
    /// The other side of its connections is gone: connecting works, and nothing ever comes back, also when new ones are well again.
    HalfOpen,
    /// It breaks off what runs, and then fails at once: refuses, resets, or answers with a failure.
    Fast,
    /// It answers, and its bodies break off or stop, those that run too.
    Truncate,
    /// It breaks off what runs; then it fails for a second, and serves for the next.
    Flap,
    /// It takes ten times as long for what comes.
    Slow,
}

impl Fault {
    pub(super) const ALL: [Self; 6] = [Self::Stall, Self::HalfOpen, Self::Fast, Self::Truncate, Self::Flap, Self::Slow];
}

/// What a replica will do about one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// No answer, but an end.
    Fails { after: Duration, reason: Reason, sent: bool },
    /// An answer.
    Answers { after: Duration, status: u16, retry_after: Option<Duration>, body: Duration, end: End },
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With its last byte.
    Whole,
    /// Before.
    Broken,
    /// Not at all.
    Never,
}

/// A replica.
pub(super) struct Replica {
    pub(super) fault: Fault,
    service: Duration,
    rng: Rng,
    /// The attempts that run, and some that have ended.
    links: Vec<Weak<Link>>,
}

impl Replica {
    pub(super) fn new(service: Duration, mut rng: Rng) -> Self {
        // Replicas differ: some are twice as fast as others.
        let service = service.mul_f64(0.7 + 0.6 * rng.f64());
        Self { fault: Fault::None, service, rng, links: Vec::new() }
    }

    /// Takes an attempt, and tells what becomes of it unless something befalls it on its way.
    pub(super) fn take(&mut self, now: Tick) -> (Plan, Rc<Link>) {
        let link = Link::new(match self.fault {
            Fault::Stall => Course::Held(now),
            Fault::HalfOpen => Course::Dead(now),
            Fault::None | Fault::Fast | Fault::Truncate | Fault::Flap | Fault::Slow => Course::Flows,
        });
        self.links.retain(|link| link.strong_count() > 0);
        self.links.push(Rc::downgrade(&link));
        (self.plan(now), link)
    }

    /// A fault begins; returns what the attempts that run come to.
    pub(super) fn strike(&mut self, fault: Fault, now: Tick) -> Vec<Course> {
        self.fault = fault;
        self.links.iter().filter_map(Weak::upgrade).filter_map(|link| link.strike(fault, now)).collect()
    }

    /// The fault ends; returns how many attempts go on.
    pub(super) fn recover(&mut self) -> usize {
        self.fault = Fault::None;
        self.links.iter().filter_map(Weak::upgrade).filter(|link| link.release()).count()
    }

    fn plan(&mut self, now: Tick) -> Plan {
        match self.fault {
            Fault::None | Fault::Stall | Fault::HalfOpen => self.serve(1.0, End::Whole),
            Fault::Slow => self.serve(10.0, End::Whole),
            Fault::Truncate => {
                let end = [End::Broken, End::Broken, End::Never][self.rng.usize(..3)];
                self.serve(0.5, end)
            }
            Fault::Flap if is_up(now) => self.serve(1.0, End::Whole),
            Fault::Fast | Fault::Flap => self.fail(),
        }
    }

    /// Tells what a check finds.
    pub(super) fn check(&mut self, health: &Health, now: Tick) -> Checked {
        let found = |finding, took| Checked::new(finding, "", took);
        let quick = Duration::from_millis(self.rng.u64(1..60));
        let slow = |factor| (quick * factor).min(health.timeout);
        let took = match self.fault {
            // The handshake is the kernel's: a check by connection alone sees nothing of it.
            Fault::None | Fault::HalfOpen | Fault::Truncate => quick,
            Fault::Slow => slow(10),
            Fault::Flap if is_up(now) => quick,
            Fault::Stall => return found(Finding::Bad, health.timeout),
            Fault::Fast | Fault::Flap => return found(Finding::Bad, quick),
        };
        let is_slow = health.degraded_above.is_some_and(|limit| took > limit);
        found(if is_slow { Finding::Degraded } else { Finding::Ok }, took)
    }

    fn serve(&mut self, factor: f64, end: End) -> Plan {
        // Lognormal, of which 1.13 is the mean at a deviation of 0.5.
        let whole = self.service.mul_f64(factor * normal(0.0, 0.5, &mut self.rng).exp() / 1.13);
        let head = whole.mul_f64(self.rng.f64());
        // Agents fail now and then, for no reason that is seen from here.
        let status = if self.rng.f64() < 0.005 { 500 } else { 200 };
        Plan::Answers { after: head, status, retry_after: None, body: whole - head, end }
    }

    fn fail(&mut self) -> Plan {
        let after = Duration::from_micros(self.rng.u64(200..20_000));
        let fails = |reason, sent| Plan::Fails { after, reason, sent };
        let answers = |status, retry_after| Plan::Answers { after, status, retry_after, body: Duration::ZERO, end: End::Whole };
        match self.rng.usize(..7) {
            0 => fails(Reason::ConnectRefusedByEndpoint, false),
            1 => fails(Reason::EndpointReset, true),
            2 => fails(Reason::EndpointReset, false),
            3 => answers(500, None),
            4 => answers(502, None),
            5 => answers(503, Some(Duration::from_secs(self.rng.u64(0..5)))),
            _ => answers(429, Some(Duration::from_secs(self.rng.u64(0..30)))),
        }
    }
}

fn is_up(now: Tick) -> bool {
    (now.as_nanos() / 1_000_000_000).is_multiple_of(2)
}
