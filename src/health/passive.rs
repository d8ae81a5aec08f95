//! What a judge of outliers needs to know: the outcomes of each endpoint since it last looked.
//!
//! Taken from the figures that attempts leave behind, so that it costs requests nothing. Deliberately not here: the judgement
//! (`resilience`), and how often it is made (`guard`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::endpoint::{Endpoint, Serial, Totals, Vitals};

/// The outcomes of one endpoint since the last samples were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Whose they are.
    pub serial: Serial,
    /// Attempts that ended well or failed; those that ended by nobody's doing say nothing of the endpoint.
    pub attempts: u64,
    /// Those that ended well.
    pub successes: u64,
    /// Failures since the last success, whenever they were; 0 when none of them is new.
    pub failed_in_a_row: u32,
    /// The median response time of the successes (the last 100 of them), `None` without any.
    pub median_response_time: Option<Duration>,
}

/// Takes samples of the endpoints of one pool, again and again.
#[derive(Debug, Default)]
pub struct Sampler {
    /// What was counted of each endpoint when samples were last taken; `None` before that.
    seen: Option<HashMap<Serial, Totals>>,
}

impl Sampler {
    /// Takes a sample of each of `endpoints`, in their order.
    ///
    /// The first time only notes what has been counted until then, as it may be the work of days.
    pub fn sample(&mut self, endpoints: &[Arc<Endpoint>]) -> Vec<Sample> {
        let now: Vec<_> = endpoints.iter().map(|endpoint| (endpoint, endpoint.vitals().totals())).collect();
        let samples = now.iter().map(|(endpoint, totals)| {
            let before = match &self.seen {
                // One that has joined since began to count then.
                Some(seen) => seen.get(&endpoint.serial()).copied().unwrap_or_default(),
                None => *totals,
            };
            sample(endpoint.serial(), endpoint.vitals(), before, *totals)
        });
        let samples = samples.collect();
        self.seen = Some(now.iter().map(|(endpoint, totals)| (endpoint.serial(), *totals)).collect());
        samples
    }
}

fn sample(serial: Serial, vitals: &Vitals, before: Totals, now: Totals) -> Sample {
    let successes = now.completed.saturating_sub(before.completed);
    let failures = now.failed.saturating_sub(before.failed);
    // Failures that the last judgement has seen must not be judged again when an endpoint returns and nobody has asked it since.
    let failed_in_a_row = if failures > 0 { vitals.failed_in_a_row() } else { 0 };
    let last = usize::try_from(successes).unwrap_or(usize::MAX);
    let median_response_time = vitals.median_response_time(last);
    Sample { serial, attempts: successes + failures, successes, failed_in_a_row, median_response_time }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::*;
    use crate::endpoint::{Attempt, EndpointSet};
    use crate::health::testing::spec;
    use crate::kit::clock::Tick;
    use crate::model::{Outcome, Reason};

    const START: Tick = Tick::from_nanos(0);

    fn set(names: &[&str], previous: Option<&EndpointSet>) -> EndpointSet {
        EndpointSet::new(&"pool".parse().unwrap(), names.iter().map(|name| spec(name, "10.0.0.1:80")), previous, START)
    }

    fn attempt(endpoint: &Arc<Endpoint>, outcome: Outcome, millis: u64) {
        Attempt::begin(Arc::clone(endpoint), START).finish(outcome, START + Duration::from_millis(millis));
    }

    const FAILED: Outcome = Outcome::Failed(Reason::ConnectFailed);

    fn figures(sample: &Sample) -> (u64, u64, u32, Option<u128>) {
        let median = sample.median_response_time.map(|time| time.as_millis());
        (sample.attempts, sample.successes, sample.failed_in_a_row, median)
    }

    #[test]
    fn samples_are_of_the_time_since_the_last_ones() {
        let set = set(&["a", "b"], None);
        let [a, b] = [0, 1].map(|index| &set.endpoints()[index]);
        let mut sampler = Sampler::default();
        let mut next = || sampler.sample(set.endpoints()).iter().map(figures).collect::<Vec<_>>();
        attempt(a, Outcome::Completed, 500);
        (0..9).for_each(|_| attempt(b, FAILED, 1));
        assert_eq!(next(), [(0, 0, 0, None); 2]);
        [30, 10, 20].iter().for_each(|&millis| attempt(a, Outcome::Completed, millis));
        attempt(a, FAILED, 1);
        attempt(a, Outcome::Aborted, 1);
        attempt(b, FAILED, 1);
        assert_eq!(next(), [(4, 3, 1, Some(20)), (1, 0, 10, None)]);
        assert_eq!(next(), [(0, 0, 0, None); 2]);
        attempt(b, Outcome::Completed, 7);
        assert_eq!(next(), [(0, 0, 0, None), (1, 1, 0, Some(7))]);
    }

    #[test]
    fn one_that_joins_is_judged_from_its_beginning_and_one_that_leaves_is_forgotten() {
        let old = set(&["a"], None);
        let mut sampler = Sampler::default();
        sampler.sample(old.endpoints());
        let new = set(&["b"], Some(&old));
        (0..5).for_each(|_| attempt(&new.endpoints()[0], FAILED, 1));
        assert_eq!(sampler.sample(new.endpoints()).iter().map(figures).collect::<Vec<_>>(), [(5, 0, 5, None)]);
        assert_eq!(sampler.seen.as_ref().map(HashMap::len), Some(1));
    }

    proptest! {
        #[test]
        fn every_judged_attempt_is_in_one_sample(rounds in prop::collection::vec((0..20_u64, 0..20_u64, 0..5_u64), 1..12)) {
            let set = set(&["a"], None);
            let endpoint = &set.endpoints()[0];
            let mut sampler = Sampler::default();
            sampler.sample(set.endpoints());
            for (good, bad, aborted) in rounds {
                (0..bad).for_each(|_| attempt(endpoint, FAILED, 1));
                (0..good).for_each(|_| attempt(endpoint, Outcome::Completed, 1));
                (0..aborted).for_each(|_| attempt(endpoint, Outcome::Aborted, 1));
                let sample = sampler.sample(set.endpoints())[0];
                prop_assert_eq!((sample.attempts, sample.successes), (good + bad, good));
            }
        }
    }
}
