//! Who looks after the endpoints of a pool on the control side: health checks, ejection, the clock of breakers and queue.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::world::{LivePool, Members};
use crate::health::{Alarm, Counters, Ejection, First, Guard, Judge, Monitor, Outside, Plan, Report, Rounds, Watch, Watched};
use crate::model::{Id, Pool};

/// Looks after the endpoints of one pool; kept over reloads, ends with the last world that has the pool.
#[derive(Debug)]
pub struct Keeper {
    ejection: Arc<Ejection>,
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    guard: Option<Guard>,
    monitor: Option<Monitor>,
}

impl Keeper {
    /// Does nothing yet.
    pub(super) fn new(pool: Id) -> Self {
        Self { ejection: Arc::new(Ejection::new(pool)), tasks: Mutex::default() }
    }

    /// Looks after `members` from now on, as `pool` says; to be called before workers hear of them, so that endpoints which must first pass a
    /// check are down by then.
    pub(super) fn look_after(&self, pool: &LivePool, members: &Members, outside: &Outside) {
        let settings = pool.model.protection.circuit_breaker.as_ref();
        members.breakers.iter().for_each(|breaker| breaker.configure(settings));
        let mut tasks = self.lock();
        let watched = || watched(&pool.model, members);
        match (&pool.plan, tasks.monitor.take()) {
            (Some(plan), Some(monitor)) => {
                monitor.configure(plan.clone(), watched());
                tasks.monitor = Some(monitor);
            }
            (Some(plan), None) => {
                let (pool, outside) = (pool.model.name.clone(), outside.clone());
                tasks.monitor = Some(Monitor::start(Watch { pool, plan: plan.clone(), members: watched(), outside }));
            }
            (None, Some(monitor)) => monitor.switch_off(),
            (None, None) => {}
        }
        let rounds = self.rounds(pool, members);
        match &tasks.guard {
            Some(guard) => guard.update(rounds),
            None => tasks.guard = Some(Guard::start(rounds, members.set.state().changed().clone())),
        }
    }

    fn rounds(&self, pool: &LivePool, members: &Members) -> Rounds {
        let outlier = pool.model.protection.outlier.as_ref();
        self.ejection.configure(outlier, members.set.endpoints());
        let breakers = members.breakers.iter().cloned().map(|breaker| -> Arc<dyn Alarm + Send + Sync> { breaker });
        // Last: a breaker that has become half-open has a place to give.
        let queue: Arc<dyn Alarm + Send + Sync> = pool.queue.clone();
        Rounds {
            alarms: breakers.chain([queue]).collect(),
            endpoints: members.set.endpoints().to_vec(),
            judge: outlier.map(|outlier| -> (Arc<dyn Judge + Send + Sync>, _) { (self.ejection.clone(), outlier.interval) }),
        }
    }

    /// Returns who is ejected.
    pub const fn ejection(&self) -> &Arc<Ejection> {
        &self.ejection
    }

    /// Returns what the health checks say, with at most so many results of each endpoint; `None` without checks.
    pub fn health(&self, results: usize) -> Option<Report> {
        self.lock().monitor.as_ref().map(|monitor| monitor.report(results))
    }

    /// Returns the counters of the health checks; `None` without checks.
    pub fn checks(&self) -> Option<Arc<Counters>> {
        self.lock().monitor.as_ref().map(|monitor| monitor.counters().clone())
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Endpoints of the file are used at once, discovered ones after their first good check.
fn watched(pool: &Pool, members: &Members) -> Vec<Watched> {
    let written: HashSet<&Id> = pool.endpoints.iter().map(|spec| &spec.id).collect();
    let endpoints = members.set.endpoints().iter().zip(&members.targets);
    let watched = endpoints.map(|(endpoint, target)| Watched {
        endpoint: endpoint.clone(),
        target: target.clone(),
        first: if written.contains(&endpoint.spec.id) { First::UseAtOnce } else { First::AfterGoodCheck },
    });
    watched.collect()
}

/// Prepares the checks of a pool.
pub(super) fn plan(pool: &Pool) -> Result<Option<Plan>, crate::health::WebhookError> {
    pool.protection.health.clone().map(Plan::new).transpose()
}
