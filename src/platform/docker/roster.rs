//! Which containers a pool should have, which it has, and what is to be done about the difference. Pure.
//!
//! The caller carries the jobs out and tells how each ended. What the engine lists counts where no job is under way: containers that died
//! or were taken away are replaced, and those of an earlier run are taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;

use super::measure::Sample;
use super::member::{Member, Stage};
use crate::kit::clock::Tick;
use crate::model::{Address, Id};
use crate::platform::{Observed, Replica, ScaleError};

/// The delay after the first death in a row; doubles with each.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// The longest delay.
const MAX_DELAY: Duration = Duration::from_secs(30);

/// Until a stop or removal that failed is tried again, and what an engine that went away was asked for.
const AGAIN: Duration = Duration::from_secs(1);

/// Names found taken one after another without a delay; more than that is no coincidence.
const FREE_CONFLICTS: u32 = 8;

/// Names of other people's containers that are remembered.
const MAX_TAKEN: usize = 1000;

/// Something to be done at the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Create and start a container of this name.
    Create(Id),
    /// Wait until the container listens.
    Probe(Id, String),
    /// Stop it with grace and remove it.
    End(Id, String),
    /// Read why it died and remove it.
    Bury(Id, String),
}

/// A container that the engine lists as the pool's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: Id,
    pub(super) container: String,
    pub(super) is_running: bool,
    pub(super) age: Duration,
}

/// The containers of one pool.
#[derive(Debug)]
pub(super) struct Roster {
    prefix: String,
    desired: Option<u32>,
    victims: Vec<Id>,
    members: BTreeMap<Id, Member>,
    taken: BTreeSet<Id>,
    conflicts: u32,
    epoch: u64,
    rng: Rng,
}

impl Roster {
    /// Begins without knowing what there is; names begin with `prefix`.
    pub(super) const fn new(prefix: String, rng: Rng) -> Self {
        Self {
            prefix,
            desired: None,
            victims: Vec::new(),
            members: BTreeMap::new(),
            taken: BTreeSet::new(),
            conflicts: 0,
            epoch: 0,
            rng,
        }
    }

    /// Sets how many containers there should be, and who goes first when they are too many.
    pub(super) fn scale(&mut self, count: u32, victims: Vec<Id>, now: Tick) {
        self.desired = Some(count);
        self.victims = victims;
        self.size(now);
    }

    /// Ends a container and puts a new one in its place; false when there is none of this name.
    pub(super) fn restart(&mut self, name: &Id, now: Tick) -> bool {
        let Some(member) = self.members.get_mut(name).filter(|member| !member.is_doomed) else { return false };
        member.failures = 0;
        match member.stage {
            Stage::Warming | Stage::Ready => member.stage = Stage::Leaving(now),
            Stage::Due(_) => member.stage = Stage::Due(now),
            // A new one is on its way already.
            Stage::Creating | Stage::Leaving(_) | Stage::Ending | Stage::Dead(_) | Stage::Burying => {}
        }
        true
    }

    /// Returns a number that changes when a job ends: a list that was asked for before says nothing.
    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Takes what the engine lists; the first time, its number is what is wanted, unless that was said already.
    pub(super) fn listed(&mut self, list: &[Listed], now: Tick) {
        let by_container: BTreeMap<&str, &Listed> = list.iter().map(|listed| (listed.container.as_str(), listed)).collect();
        let mut gone = Vec::new();
        for (name, member) in self.members.iter_mut().filter(|(_, member)| !member.is_busy()) {
            let Some(container) = member.container.as_deref() else { continue };
            let seen = by_container.get(container).map(|listed| listed.is_running);
            match (member.stage, seen) {
                (Stage::Warming | Stage::Ready, Some(false)) => member.stage = Stage::Dead(now),
                (_, None) => gone.push(name.clone()),
                _ => {}
            }
        }
        for name in gone {
            self.vanished(&name, now);
        }
        for listed in list {
            self.adopt(listed, now);
        }
        self.desired.get_or_insert_with(|| u32::try_from(list.len()).unwrap_or(u32::MAX));
        self.size(now);
    }

    /// Somebody has taken the container away.
    fn vanished(&mut self, name: &Id, now: Tick) {
        let Some(member) = self.members.get_mut(name) else { return };
        match member.stage {
            Stage::Warming | Stage::Ready => {
                member.fails("somebody else has removed the container".to_owned(), now);
                self.renew(name, now);
            }
            // That was to be done anyway.
            Stage::Leaving(_) => self.ended(name, Ok(()), now),
            Stage::Dead(_) => self.buried(name, Ok("it was removed before its end was looked at".to_owned()), now),
            Stage::Due(_) | Stage::Creating | Stage::Ending | Stage::Burying => {}
        }
    }

    /// Takes over a container that no member has.
    fn adopt(&mut self, listed: &Listed, now: Tick) {
        if self.members.values().any(|member| member.container.as_ref() == Some(&listed.container)) {
            return;
        }
        self.taken.remove(&listed.name);
        let member = self.members.entry(listed.name.clone()).or_insert_with(|| Member::due(now, now));
        // A container of a name that is in work is that work's, as far as can be known.
        if !matches!(member.stage, Stage::Due(_)) {
            return;
        }
        member.started(listed.container.clone(), listed.age, now);
        if !listed.is_running {
            member.stage = Stage::Dead(now);
        }
    }

    /// Brings the number of members to what is wanted.
    fn size(&mut self, now: Tick) {
        let Some(desired) = self.desired else { return };
        let desired = usize::try_from(desired).unwrap_or(usize::MAX);
        let staying = self.members.values().filter(|member| !member.is_doomed).count();
        for _ in staying..desired {
            let at = if self.conflicts < FREE_CONFLICTS { now } else { now + self.delay(self.conflicts - FREE_CONFLICTS + 1) };
            let name = self.free_name();
            self.members.insert(name, Member::due(at, now));
        }
        for name in self.surplus(staying.saturating_sub(desired), now) {
            self.doom(&name, now);
        }
    }

    /// Returns who goes: who was named, then who serves nobody, then the youngest.
    fn surplus(&self, count: usize, now: Tick) -> Vec<Id> {
        let mut staying: Vec<(&Id, &Member)> = self.members.iter().filter(|(_, member)| !member.is_doomed).collect();
        staying.sort_by_key(|(name, member)| (!self.victims.contains(name), member.rank(), member.age(now)));
        staying.into_iter().take(count).map(|(name, _)| name.clone()).collect()
    }

    fn doom(&mut self, name: &Id, now: Tick) {
        let Some(member) = self.members.get_mut(name) else { return };
        member.is_doomed = true;
        match member.stage {
            Stage::Due(_) => drop(self.members.remove(name)),
            Stage::Warming | Stage::Ready => member.stage = Stage::Leaving(now),
            // It goes when what is under way has ended.
            Stage::Creating | Stage::Leaving(_) | Stage::Ending | Stage::Dead(_) | Stage::Burying => {}
        }
    }

    fn free_name(&self) -> Id {
        // Ends: one of so many numbers is in neither list.
        let numbers = 1_u64..;
        let mut names = numbers.filter_map(|number| format!("{}{number}", self.prefix).parse::<Id>().ok());
        let is_free = |name: &Id| !self.members.contains_key(name) && !self.taken.contains(name);
        names.find(is_free).expect("a prefix of at most 210 letters with a number is a name")
    }

    /// Returns what is to be done now; each job is given out once.
    pub(super) fn jobs(&mut self, now: Tick) -> Vec<Job> {
        let mut jobs = Vec::new();
        for (name, member) in &mut self.members {
            if member.take_probe()
                && let Some(container) = member.container.clone()
            {
                jobs.push(Job::Probe(name.clone(), container));
            }
            if member.due_at().is_none_or(|at| at > now) {
                continue;
            }
            match (member.stage, member.container.clone()) {
                (Stage::Leaving(_), Some(container)) => {
                    member.stage = Stage::Ending;
                    jobs.push(Job::End(name.clone(), container));
                }
                (Stage::Dead(_), Some(container)) => {
                    member.stage = Stage::Burying;
                    jobs.push(Job::Bury(name.clone(), container));
                }
                _ => {
                    member.stage = Stage::Creating;
                    jobs.push(Job::Create(name.clone()));
                }
            }
        }
        jobs
    }

    /// Returns when [`Self::jobs`] has something next.
    pub(super) fn next_due(&self) -> Option<Tick> {
        self.members.values().filter_map(Member::due_at).min()
    }

    /// Takes how a creation ended.
    pub(super) fn created(&mut self, name: &Id, result: Result<String, ScaleError>, now: Tick) {
        self.epoch += 1;
        let Some(member) = self.members.get_mut(name) else { return };
        match result {
            Ok(container) => {
                self.conflicts = 0;
                member.started(container, Duration::ZERO, now);
                if member.is_doomed {
                    member.stage = Stage::Leaving(now);
                }
            }
            Err(_) if member.is_doomed => drop(self.members.remove(name)),
            Err(ScaleError::Conflict { .. }) => self.avoid(name, now),
            // Nothing is wrong with the container.
            Err(ScaleError::Unreachable { .. }) => member.stage = Stage::Due(now + AGAIN),
            Err(error) => {
                member.fails(error.to_string(), now);
                self.renew(name, now);
            }
        }
    }

    /// Takes another name: this one is somebody else's.
    fn avoid(&mut self, name: &Id, now: Tick) {
        self.members.remove(name);
        if self.taken.len() >= MAX_TAKEN {
            self.taken.clear();
        }
        self.taken.insert(name.clone());
        self.conflicts = self.conflicts.saturating_add(1);
        self.size(now);
    }

    /// Takes where a container listens, or why it does not.
    pub(super) fn probed(&mut self, name: &Id, container: &str, result: Result<Address, String>, now: Tick) {
        let Some(member) = self.members.get_mut(name) else { return };
        if member.stage != Stage::Warming || member.container.as_deref() != Some(container) {
            return;
        }
        match result {
            Ok(address) => member.listens(address, now),
            Err(reason) => {
                member.failure = Some(reason);
                member.stage = Stage::Dead(now);
            }
        }
    }

    /// Takes how a stop ended.
    pub(super) fn ended(&mut self, name: &Id, result: Result<(), ScaleError>, now: Tick) {
        self.epoch += 1;
        let Some(member) = self.members.get_mut(name) else { return };
        match result {
            Err(_) => member.stage = Stage::Leaving(now + AGAIN),
            Ok(()) if member.is_doomed => drop(self.members.remove(name)),
            Ok(()) => member.renewed(now),
        }
    }

    /// Takes why a container died, once it is removed.
    pub(super) fn buried(&mut self, name: &Id, result: Result<String, ScaleError>, now: Tick) {
        self.epoch += 1;
        let Some(member) = self.members.get_mut(name) else { return };
        match result {
            Err(_) => member.stage = Stage::Dead(now + AGAIN),
            Ok(_) if member.is_doomed => drop(self.members.remove(name)),
            Ok(last) => {
                // A container that did not listen in time has a reason already; its last words are added.
                let reason = member.failure.take().filter(|_| member.address.is_none());
                let reason =
                    reason.filter(|reason| !last.contains(reason.as_str())).map_or(last.clone(), |why| format!("{why}; {last}"));
                member.fails(reason, now);
                self.renew(name, now);
            }
        }
    }

    /// Tries again after a delay that grows with the failures in a row.
    fn renew(&mut self, name: &Id, now: Tick) {
        let failures = self.members.get(name).map_or(1, |member| member.failures);
        let at = now + self.delay(failures);
        if let Some(member) = self.members.get_mut(name) {
            member.renewed(at);
        }
    }

    /// Returns the delay after so many failures in a row: exponential, and half of it by chance, so that replicas that died together do not
    /// come back together.
    fn delay(&mut self, failures: u32) -> Duration {
        let doubled = FIRST_DELAY.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(MAX_DELAY).mul_f64(0.5 + 0.5 * self.rng.f64())
    }

    /// Returns the containers that serve: their use is worth measuring.
    pub(super) fn serving(&self) -> Vec<(Id, String)> {
        let serving = self.members.iter().filter(|(_, member)| member.stage == Stage::Ready);
        serving.filter_map(|(name, member)| Some((name.clone(), member.container.clone()?))).collect()
    }

    /// Takes what a container uses; `cpus` is its limit.
    pub(super) fn measured(&mut self, name: &Id, container: &str, sample: Sample, cpus: Option<f64>, now: Tick) {
        if let Some(member) = self.members.get_mut(name).filter(|member| member.container.as_deref() == Some(container)) {
            member.usage = sample.usage(now, member.sample, cpus);
            member.sample = Some((now, sample));
        }
    }

    /// Tells whether every container that was asked for has been started, or has failed once.
    pub(super) fn is_settled(&self, now: Tick) -> bool {
        let is_pending = |member: &Member| match member.stage {
            Stage::Creating => member.failures == 0,
            Stage::Due(at) => member.failures == 0 && at <= now,
            _ => false,
        };
        !self.members.values().any(is_pending)
    }

    /// Tells whether a job is under way that changes something at the engine.
    pub(super) fn is_busy(&self) -> bool {
        self.members.values().any(Member::is_busy)
    }

    /// Tells whether there is no container and none is wanted.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns why a replica failed last.
    pub(super) fn failure(&self, name: &Id) -> Option<&str> {
        self.members.get(name)?.failure.as_deref()
    }

    /// Returns how the pool's replicas stand.
    pub(super) fn observed(&self, now: Tick) -> Observed {
        Observed { desired: self.desired.unwrap_or_default(), replicas: self.replicas(now) }
    }

    /// Returns the replicas in the order of their names.
    pub(super) fn replicas(&self, now: Tick) -> Vec<Replica> {
        self.members.iter().map(|(name, member)| member.replica(name, now)).collect()
    }
}

#[cfg(test)]
mod tests;
