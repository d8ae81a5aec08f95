//! One container of a pool and how far it is. Pure.

use std::time::Duration;

use super::measure::Sample;
use crate::kit::clock::Tick;
use crate::model::{Address, Id};
use crate::platform::{Phase, Replica, Usage};

/// How long a container must have served before its next death is its first again.
const FORGET: Duration = Duration::from_secs(60);

/// How far a container is. Those with a time wait for it; those that end in `ing` have a job under way, but for `Warming`, which may have ended in death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// To be created at this time.
    Due(Tick),
    /// Being created and started.
    Creating,
    /// Started; not known to listen.
    Warming,
    /// Listens.
    Ready,
    /// To be stopped and removed at this time.
    Leaving(Tick),
    /// Being stopped and removed.
    Ending,
    /// Has died, or must die; to be removed at this time.
    Dead(Tick),
    /// Its last words are being read and it is being removed.
    Burying,
}

/// One container of a pool, or the wish for one.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) stage: Stage,
    /// The engine's id; none before it is created.
    pub(super) container: Option<String>,
    pub(super) address: Option<Address>,
    /// When it was first seen here, and how old it was then: older than this process, after a restart.
    seen: (Tick, Duration),
    /// It goes and is not replaced.
    pub(super) is_doomed: bool,
    /// Deaths and failed creations in a row.
    pub(super) failures: u32,
    /// Why it failed last.
    pub(super) failure: Option<String>,
    pub(super) usage: Usage,
    pub(super) sample: Option<(Tick, Sample)>,
    ready_since: Option<Tick>,
    is_probed: bool,
}

impl Member {
    /// Wishes for a container.
    pub(super) const fn due(at: Tick, now: Tick) -> Self {
        Self {
            stage: Stage::Due(at),
            container: None,
            address: None,
            seen: (now, Duration::ZERO),
            is_doomed: false,
            failures: 0,
            failure: None,
            usage: Usage { cpu: None, memory: None },
            sample: None,
            ready_since: None,
            is_probed: false,
        }
    }

    /// Takes the container that the engine has made or shown, and that is so old.
    pub(super) fn started(&mut self, container: String, age: Duration, now: Tick) {
        self.container = Some(container);
        self.address = None;
        self.seen = (now, age);
        self.stage = Stage::Warming;
        (self.usage, self.sample, self.ready_since, self.is_probed) = (Usage::default(), None, None, false);
    }

    /// Takes that it listens.
    pub(super) fn listens(&mut self, address: Address, now: Tick) {
        self.address = Some(address);
        self.stage = Stage::Ready;
        self.ready_since = Some(now);
    }

    /// Takes that it has died or could not be made, and counts that.
    pub(super) fn fails(&mut self, reason: String, now: Tick) {
        if self.ready_since.is_some_and(|since| now.since(since) >= FORGET) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.ready_since = None;
        self.failure = Some(reason);
    }

    /// Takes that its container is gone, and wishes for another.
    pub(super) fn renewed(&mut self, at: Tick) {
        self.container = None;
        self.address = None;
        self.usage = Usage::default();
        self.stage = Stage::Due(at);
    }

    /// Tells whether a probe is to be started, once for each container.
    pub(super) fn take_probe(&mut self) -> bool {
        self.stage == Stage::Warming && !std::mem::replace(&mut self.is_probed, true)
    }

    /// Tells whether a job is under way whose end says more than a list of the engine's.
    pub(super) const fn is_busy(&self) -> bool {
        matches!(self.stage, Stage::Creating | Stage::Ending | Stage::Burying)
    }

    /// Returns when something is to be done.
    pub(super) const fn due_at(&self) -> Option<Tick> {
        match self.stage {
            Stage::Due(at) | Stage::Leaving(at) | Stage::Dead(at) => Some(at),
            Stage::Creating | Stage::Warming | Stage::Ready | Stage::Ending | Stage::Burying => None,
        }
    }

    /// Returns which go first when nobody says which: those that serve nobody, then those that are on their way.
    pub(super) const fn rank(&self) -> u8 {
        match self.stage {
            Stage::Due(_) | Stage::Dead(_) | Stage::Burying | Stage::Leaving(_) | Stage::Ending => 0,
            Stage::Creating | Stage::Warming => 1,
            Stage::Ready => 2,
        }
    }

    /// Returns how old it is.
    pub(super) const fn age(&self, now: Tick) -> Duration {
        let (tick, age) = self.seen;
        age.saturating_add(now.since(tick))
    }

    /// Returns how it looks from outside.
    pub(super) fn replica(&self, name: &Id, now: Tick) -> Replica {
        Replica { name: name.clone(), address: self.address.clone(), phase: self.phase(), age: self.age(now), usage: self.usage }
    }

    const fn phase(&self) -> Phase {
        match self.stage {
            Stage::Leaving(_) | Stage::Ending => Phase::Stopping,
            Stage::Dead(_) | Stage::Burying if self.is_doomed => Phase::Stopping,
            Stage::Dead(_) | Stage::Burying => Phase::Failed,
            Stage::Due(_) if self.failures > 0 => Phase::Failed,
            Stage::Due(_) | Stage::Creating | Stage::Warming => Phase::Starting,
            Stage::Ready => Phase::Ready,
        }
    }
}
