//! One attempt on one endpoint, counted from the pick to the end whatever happens between.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::kit::clock::Tick;
use crate::model::{Outcome, Side};

use super::{Endpoint, LoadReport};

/// Tells whether an answer with `status` is a failure of the endpoint: 500, 502, 503 and 504.
pub const fn is_failure_status(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// An attempt in flight on an endpoint.
///
/// Begins at the pick, so that a slow connect is seen, and should be kept until the last byte of the response body has gone. Dropped without
/// [`finish`](Self::finish) it counts as aborted. Costs a handful of relaxed atomics.
#[derive(Debug)]
pub struct Attempt {
    endpoint: Arc<Endpoint>,
    started: Tick,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No answer yet.
    Waiting,
    /// The answer has begun and is no failure by its status.
    Answered,
    /// The answer has begun with a status that says failure.
    AnsweredFailure,
    /// Counted.
    Finished,
}

impl Attempt {
    /// Begins an attempt on `endpoint`, now in flight.
    pub fn begin(endpoint: Arc<Endpoint>, now: Tick) -> Self {
        endpoint.state.begin();
        Self { endpoint, started: now, phase: Phase::Waiting }
    }

    /// Begins an attempt when `endpoint` has a free slot; without a limit it always has.
    pub fn try_begin(endpoint: &Arc<Endpoint>, now: Tick) -> Option<Self> {
        match endpoint.spec.max_connections {
            None => endpoint.state.begin(),
            Some(slots) => endpoint.state.try_begin(slots).then_some(())?,
        }
        Some(Self { endpoint: endpoint.clone(), started: now, phase: Phase::Waiting })
    }

    /// Returns the endpoint.
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Returns when it began.
    pub const fn started(&self) -> Tick {
        self.started
    }

    /// Notes that the first byte of an answer of unknown or good status is here; only the first answer counts.
    pub fn first_byte(&mut self, now: Tick) {
        if self.phase == Phase::Waiting {
            self.phase = Phase::Answered;
            self.endpoint.vitals().measure_first_byte(now.since(self.started), now);
        }
    }

    /// Notes that the final head of the answer is here, and judges it by its status; only the first answer counts.
    pub fn response(&mut self, status: StatusCode, now: Tick) {
        if !is_failure_status(status) {
            self.first_byte(now);
        } else if matches!(self.phase, Phase::Waiting | Phase::Answered) {
            self.phase = Phase::AnsweredFailure;
            self.endpoint.vitals().measure_failure(now.since(self.started), now);
        }
    }

    /// Parks the endpoint as its `Retry-After` asks, at most 300 s.
    pub fn park(&self, wait: Duration, now: Tick) {
        self.endpoint.vitals().park(wait, now);
    }

    /// Takes in what the endpoint says of its load.
    pub fn report(&self, load: LoadReport, now: Tick) {
        self.endpoint.vitals().report(load, now);
    }

    /// Takes the attempt back before anything was done for it: it is as if it had not begun.
    pub fn withdraw(mut self) {
        self.endpoint.vitals().withdraw();
        self.phase = Phase::Finished;
    }

    /// Ends the attempt.
    ///
    /// The endpoint's success when the response completed and its status was no failure; its failure when the response was a failure, did
    /// not come or broke off by the endpoint's doing; nobody's when the reason lies with the client or with the proxy.
    pub fn finish(mut self, outcome: Outcome, now: Tick) {
        let vitals = self.endpoint.vitals();
        let elapsed = now.since(self.started);
        match outcome {
            Outcome::Completed if self.phase == Phase::AnsweredFailure => vitals.fail(),
            Outcome::Completed => vitals.complete(elapsed),
            Outcome::Failed(reason) | Outcome::Truncated(reason) if reason.side() == Side::Endpoint => {
                vitals.fail();
                vitals.measure_failure(elapsed, now);
            }
            Outcome::Failed(_) | Outcome::Truncated(_) | Outcome::Aborted => vitals.abort(),
        }
        self.phase = Phase::Finished;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.phase != Phase::Finished {
            self.endpoint.vitals().abort();
        }
        self.endpoint.state.end();
    }
}

#[cfg(test)]
mod tests;
