//! The control side: what the guard and the monitor of `health` and the reload of `registry` do, in the same order.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tidegate::endpoint::{Cause, Endpoint, EndpointSet};
use tidegate::health::{First, Judge, Standing, Verdict, first_check, next_check};
use tidegate::kit::clock::Tick;
use tidegate::model::{Outlier, Pool};
use tidegate::resilience::breaker::Breaker;

use super::lab::Event;
use super::laws;
use super::proxy::{Members, Proxy};
use super::replica::Replica;
use super::scenario::{Settings, id, number};
use super::seen::Seen;

/// The guard's shortest sleep.
pub(super) const MIN_SLEEP: Duration = Duration::from_millis(1);

/// Builds a membership, as `registry/members.rs` does.
pub(super) fn members(pool: &Pool, previous: Option<&Members>, now: Tick) -> Members {
    let known = previous.map(|members| &*members.set);
    let specs = pool.endpoints.iter().cloned();
    let set = match &pool.protection.health {
        Some(_) => EndpointSet::unproven(&pool.name, specs, known),
        None => EndpointSet::new(&pool.name, specs, known, now),
    };
    let settings = pool.protection.circuit_breaker.as_ref();
    let known = |endpoint: &Endpoint| {
        let previous = previous?;
        Some(previous.breakers[previous.set.index_of(&endpoint.spec.id)?].clone())
    };
    let breaker = |endpoint: &Arc<Endpoint>| {
        let wake = set.state().changed().clone();
        let breaker = known(endpoint)
            .unwrap_or_else(|| Arc::new(Breaker::new(&settings.cloned().unwrap_or_default(), endpoint.state.clone(), wake)));
        breaker.configure(settings);
        breaker
    };
    let breakers = set.endpoints().iter().map(breaker).collect();
    Members { set: Arc::new(set), breakers }
}

impl Proxy {
    /// Rings the guard when an endpoint has changed.
    pub(super) fn ring(&self) {
        let changed = self.members.borrow().set.state().changed().clone();
        // A permit is kept for whoever asks next; nobody else does.
        let rung = pin!(changed.notified()).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if rung {
            self.call_guard();
        }
    }

    fn call_guard(&self) {
        if !self.is_guard_owed.replace(true) {
            self.lab.soon(Event::Guard);
        }
    }

    /// The guard makes its round: outliers, breakers, and last the queue.
    pub(super) fn guard(&self) -> Result<(), String> {
        self.is_guard_owed.set(false);
        let now = self.now();
        let judgement = self.attend(now)?;
        let members = self.members.borrow().clone();
        let breakers = members.breakers.iter().filter_map(|breaker| breaker.wake(now));
        let next = breakers.chain(judgement).min();
        self.queue.opened(now);
        let mut control = self.control.borrow_mut();
        if let Some(timer) = control.timer.take() {
            self.lab.cancel(timer);
        }
        control.timer = next.map(|next| self.lab.after(next.since(now).max(MIN_SLEEP), Event::Guard));
        Ok(())
    }

    /// Lets the judge look if it is time, and returns when it is time again.
    fn attend(&self, now: Tick) -> Result<Option<Tick>, String> {
        let (members, settings) = (self.members.borrow().clone(), self.settings.borrow().clone());
        let mut control = self.control.borrow_mut();
        let Some(outlier) = &settings.pool.protection.outlier else {
            control.sampler = tidegate::health::Sampler::default();
            control.next_judgement = None;
            return Ok(None);
        };
        let endpoints = members.set.endpoints();
        match control.next_judgement {
            None => {
                control.sampler.sample(endpoints);
                control.next_judgement = Some(now + outlier.interval);
            }
            Some(next) if next <= now => {
                let samples = control.sampler.sample(endpoints);
                control.next_judgement = Some(now + outlier.interval);
                self.judge(outlier, endpoints, &samples, now)?;
            }
            Some(next) => control.next_judgement = Some(next.min(now + outlier.interval)),
        }
        Ok(control.next_judgement)
    }

    fn judge(
        &self,
        outlier: &Outlier,
        endpoints: &[Arc<Endpoint>],
        samples: &[tidegate::health::Sample],
        now: Tick,
    ) -> Result<(), String> {
        let is_out = |endpoint: &Arc<Endpoint>| endpoint.state.availability().has(Cause::Ejected);
        let were_out: Vec<_> = endpoints.iter().map(is_out).collect();
        self.ejection.judge(endpoints, samples, now);
        laws::ejections(outlier, endpoints, were_out.iter().filter(|&&was_out| was_out).count())?;
        self.ejected.set(laws::ejected(endpoints));
        let counts = &mut self.books.borrow_mut().counts;
        let ejected = endpoints.iter().zip(were_out).filter(|(endpoint, was_out)| !was_out && is_out(endpoint));
        let reasons = ejected.filter_map(|(endpoint, _)| self.ejection.report(endpoint.serial()).reason);
        reasons.for_each(|reason| counts.note(Seen::of_ejection(&reason)));
        Ok(())
    }

    /// Begins to check the endpoints that are new, and forgets those that are gone.
    fn look_after(&self, members: &Members, is_start: bool) {
        let settings = self.settings.borrow().clone();
        let Some(health) = &settings.pool.protection.health else { return };
        let now = self.now();
        let mut control = self.control.borrow_mut();
        let control = &mut *control;
        control.verdicts.retain(|&number, (serial, _)| members.set.get(&id(number)).is_some_and(|known| known.serial() == *serial));
        for endpoint in members.set.endpoints() {
            let number = number(&endpoint.spec.id);
            if let Some((_, verdict)) = control.verdicts.get_mut(&number) {
                verdict.configure(health);
                continue;
            }
            let first = if is_start || control.rng.bool() { First::UseAtOnce } else { First::AfterGoodCheck };
            let verdict = Verdict::new(health, first, now);
            endpoint.state.set(Cause::Down, verdict.standing() == Standing::Unhealthy);
            control.verdicts.insert(number, (endpoint.serial(), verdict));
            let due = first_check(health, first, now, &mut control.rng);
            self.lab.after(due.since(now), Event::Check(number));
        }
    }

    /// A check of a replica ends.
    pub(super) fn check(&self, number: usize) {
        let settings = self.settings.borrow().clone();
        let Some(health) = &settings.pool.protection.health else { return };
        let now = self.now();
        let members = self.members.borrow().clone();
        let mut control = self.control.borrow_mut();
        let control = &mut *control;
        let Some((serial, verdict)) = control.verdicts.get_mut(&number) else { return };
        let Some(endpoint) = members.set.get(&id(number)).filter(|endpoint| endpoint.serial() == *serial) else { return };
        let checked = self.replicas.borrow_mut()[number].check(health, now);
        let took = checked.took;
        verdict.on_result(checked, now);
        let standing = verdict.standing();
        if standing != Standing::Unhealthy {
            endpoint.state.mark_healthy(now);
        }
        endpoint.state.set_degraded(standing == Standing::Degraded);
        if endpoint.state.set(Cause::Down, standing == Standing::Unhealthy) && standing == Standing::Unhealthy {
            self.books.borrow_mut().counts.note(Seen::Downs);
        }
        let due = next_check(health, standing, now + took, &mut control.rng);
        self.lab.after(due.since(now), Event::Check(number));
    }

    /// Everything begins.
    pub(super) fn start(&self) {
        let members = self.members.borrow().clone();
        self.books.borrow_mut().open(&members.set, &members.breakers);
        self.configure();
        self.look_after(&members, true);
        self.follow();
        self.call_guard();
        self.lab.after(Duration::ZERO, Event::Arrive);
        self.lab.after(self.scenario.storms, Event::Weather);
        self.lab.after(Duration::from_secs(1), Event::Operate);
        self.sleep_again(&mut self.control.borrow_mut().rng);
        if let Some(pause) = self.scenario.reloads {
            self.lab.after(pause, Event::Reload);
        }
    }

    /// The config changes: what is shared follows at once, workers hear of it one by one, and the queue goes by it when all of them know.
    pub(super) fn reload(&self) {
        let pause = self.scenario.reloads.unwrap_or(self.scenario.day);
        self.lab.after(pause, Event::Reload);
        if std::mem::replace(&mut self.control.borrow_mut().is_reloading, true) {
            return;
        }
        let mut settings = Settings::clone(&self.settings.borrow());
        {
            let control = &mut *self.control.borrow_mut();
            settings.change(&mut control.fresh, &mut control.rng);
            let mut replicas = self.replicas.borrow_mut();
            while replicas.len() < control.fresh {
                replicas.push(Replica::new(self.scenario.service, control.rng.fork()));
            }
        }
        let members = Rc::new(members(&settings.pool, Some(&self.members.borrow()), self.now()));
        let mut books = self.books.borrow_mut();
        books.counts.note(Seen::Reloads);
        books.open(&members.set, &members.breakers);
        if settings.pool.protection.circuit_breaker.is_none() {
            // Switched off, breakers forget the probes that run.
            for endpoint in members.set.endpoints() {
                books.identity(endpoint.serial()).forget_breaker();
            }
        }
        drop(books);
        *self.settings.borrow_mut() = Rc::new(settings);
        *self.members.borrow_mut() = members.clone();
        self.configure();
        self.look_after(&members, false);
        self.call_guard();
        let mut last = Duration::ZERO;
        for worker in 0..self.workers.len() {
            let delay = {
                let rng = &mut self.control.borrow_mut().rng;
                // A busy worker reads its post late.
                let most = if rng.bool() { 2_000_000 } else { 20_000 };
                Duration::from_micros(rng.u64(10..most))
            };
            last = last.max(delay);
            self.lab.after(delay, Event::Told(worker));
        }
        self.lab.after(last + Duration::from_micros(1), Event::Follow);
        self.limit();
    }

    /// Lets the newest settings take effect where all workers share a machine.
    fn configure(&self) {
        let (settings, members) = (self.settings.borrow().clone(), self.members.borrow().clone());
        self.ejection.configure(settings.pool.protection.outlier.as_ref(), members.set.endpoints());
        if let (Some(bulkhead), Some(settings)) = (&self.bulkhead, &settings.bulkhead) {
            bulkhead.configure(settings);
        }
        if let (Some(budget), Some(settings)) = (&self.budget, &settings.retry) {
            budget.configure(&settings.budget);
        }
        if let (Some(hedging), Some(settings)) = (&self.hedging, &settings.hedge) {
            hedging.configure(settings);
        }
    }

    /// A worker takes the newest members.
    pub(super) fn tell(&self, worker: usize) {
        let worker = &self.workers[worker];
        worker.picker.borrow_mut().reconfigure(&self.settings.borrow().pool);
        *worker.members.borrow_mut() = self.members.borrow().clone();
        self.limit();
    }

    /// Every worker knows the newest members: the queue follows.
    pub(super) fn follow(&self) {
        let members = self.members.borrow().clone();
        let settings = self.settings.borrow().clone();
        let queue = settings.pool.protection.queue.as_ref();
        self.queue.configure(queue);
        self.queue_capacity.set(queue.map_or(0, |queue| queue.capacity));
        *self.queue_set.borrow_mut() = members.set.clone();
        self.limit();
        self.queue.follow(members.set.clone(), members.breakers.clone(), self.now());
        self.control.borrow_mut().is_reloading = false;
    }

    fn limit(&self) {
        let workers: Vec<_> = self.workers.iter().map(|worker| worker.members.borrow().set.clone()).collect();
        let queue = self.queue_set.borrow().clone();
        self.books.borrow_mut().limit(workers.iter().map(|set| &**set).chain([&*queue]));
    }
}
