//! Takes endpoints that do worse than their peers out of a pool, and lets them return.
//!
//! The judgement is `resilience`'s; here it becomes availability bits and lines in the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use super::guard::{Alarm, Judge};
use super::passive;
use crate::endpoint::{Cause, Endpoint, Serial};
use crate::kit::clock::{self, Tick};
use crate::model::{Id, Outlier};
use crate::resilience::breaker::Breaker;
use crate::resilience::outlier::{Ejector, Report, Sample, Verdict};
use crate::resilience::queue::SlotQueue;

/// The ejections of one pool; kept over reloads.
#[derive(Debug)]
pub struct Ejection {
    pool: Id,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    settings: Option<Outlier>,
    ejector: Ejector,
}

impl Ejection {
    /// Nobody is out.
    pub fn new(pool: Id) -> Self {
        Self { pool, state: Mutex::new(State { settings: None, ejector: Ejector::new() }) }
    }

    /// Follows a reload; switched off, it lets all `endpoints` return and forgets.
    pub fn configure(&self, settings: Option<&Outlier>, endpoints: &[Arc<Endpoint>]) {
        let mut state = self.lock();
        if settings.is_none() && state.settings.is_some() {
            state.ejector = Ejector::new();
            for endpoint in endpoints {
                endpoint.state.set(Cause::Ejected, false);
            }
        }
        state.settings = settings.cloned();
    }

    /// Returns what the admin API shows of an endpoint.
    pub fn report(&self, serial: Serial) -> Report {
        self.lock().ejector.report(serial, clock::now())
    }

    /// Returns how often an endpoint was ejected.
    pub fn total(&self) -> u64 {
        self.lock().ejector.ejections_total()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Judge for Ejection {
    fn judge(&self, endpoints: &[Arc<Endpoint>], samples: &[passive::Sample], now: Tick) {
        let samples: Vec<_> = endpoints.iter().zip(samples).map(|(endpoint, sample)| told(endpoint, sample)).collect();
        let mut state = self.lock();
        let State { settings: Some(settings), ejector } = &mut *state else { return };
        for verdict in ejector.judge(settings, &samples, now) {
            match verdict {
                Verdict::Eject { index, until, why } => {
                    let Some(endpoint) = endpoints.get(index) else { continue };
                    endpoint.state.set(Cause::Ejected, true);
                    let seconds = until.since(now).as_secs();
                    warn!(pool = %self.pool, endpoint = %endpoint.spec.id, %why, seconds, "Endpoint ejected.");
                }
                Verdict::Return { index } => {
                    let Some(endpoint) = endpoints.get(index) else { continue };
                    endpoint.state.set(Cause::Ejected, false);
                    info!(pool = %self.pool, endpoint = %endpoint.spec.id, "Ejected endpoint returns.");
                }
            }
        }
    }
}

fn told(endpoint: &Endpoint, sample: &passive::Sample) -> Sample {
    let others = endpoint.state.availability().causes().any(|cause| cause != Cause::Ejected);
    Sample {
        serial: sample.serial,
        eligible: !others && !endpoint.weight().is_zero(),
        attempts: sample.attempts,
        successes: sample.successes,
        consecutive_failures: sample.failed_in_a_row,
        median_latency: sample.median_response_time,
    }
}

impl Alarm for Breaker {
    fn wake(&self, now: Tick) -> Option<Tick> {
        Self::wake(self, now)
    }
}

impl Alarm for SlotQueue {
    /// Rung when an endpoint has become available: whoever waits for one is served. Never wakes by itself.
    fn wake(&self, now: Tick) -> Option<Tick> {
        self.opened(now);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::endpoint::{Attempt, EndpointSet};
    use crate::health::passive::Sampler;
    use crate::health::testing::spec;
    use crate::model::{Outcome, Reason};

    fn fail(endpoint: &Arc<Endpoint>, times: usize) {
        for _ in 0..times {
            Attempt::begin(endpoint.clone(), Tick::default()).finish(Outcome::Failed(Reason::EndpointReset), Tick::default());
        }
    }

    #[test]
    fn an_endpoint_that_fails_in_a_row_is_ejected_and_returns_when_its_time_is_over() {
        let pool: Id = "p".parse().unwrap();
        let set = EndpointSet::new(&pool, [spec("a", "127.0.0.1:1"), spec("b", "127.0.0.1:2")], None, Tick::default());
        let (ejection, mut sampler) = (Ejection::new(pool), Sampler::default());
        ejection.configure(Some(&Outlier::default()), set.endpoints());
        sampler.sample(set.endpoints());
        let bad = &set.endpoints()[0];
        fail(bad, 5);
        let mut judge = |secs: u64| {
            let now = Tick::default() + Duration::from_secs(secs);
            ejection.judge(set.endpoints(), &sampler.sample(set.endpoints()), now);
            bad.state.availability().has(Cause::Ejected)
        };
        assert!(judge(10));
        assert!(judge(30));
        assert!(!judge(40));
        assert_eq!(ejection.total(), 1);
    }

    #[test]
    fn switched_off_it_lets_everybody_return() {
        let pool: Id = "p".parse().unwrap();
        let set = EndpointSet::new(&pool, [spec("a", "127.0.0.1:1"), spec("b", "127.0.0.1:2")], None, Tick::default());
        let (ejection, mut sampler) = (Ejection::new(pool), Sampler::default());
        ejection.configure(Some(&Outlier::default()), set.endpoints());
        sampler.sample(set.endpoints());
        fail(&set.endpoints()[0], 5);
        ejection.judge(set.endpoints(), &sampler.sample(set.endpoints()), Tick::default());
        assert!(!set.endpoints()[0].is_eligible());
        ejection.configure(None, set.endpoints());
        assert!(set.endpoints()[0].is_eligible());
    }
}
