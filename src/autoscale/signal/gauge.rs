//! Windows over observations: what a meter reads. Pure.

use super::observation::Observation;
use crate::model::Meter;

/// Keeps as many observations as the longest window needs.
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    observations: std::collections::VecDeque<Observation>,
    span_ms: u64,
}

impl Gauge {
    /// Keeps observations of the last `span_ms` milliseconds.
    pub fn new(span_ms: u64) -> Self {
        Self { observations: std::collections::VecDeque::new(), span_ms }
    }

    /// Takes one more observation, not older than the last.
    pub fn push(&mut self, observation: Observation) {
        let oldest = observation.at_ms.saturating_sub(self.span_ms);
        self.observations.push_back(observation);
        // One that is older than the window is needed for differences.
        while self.observations.get(1).is_some_and(|second| second.at_ms <= oldest) {
            self.observations.pop_front();
        }
    }

    /// Returns what `meter` reads over its own window at `now_ms`; `None` without fresh data.
    pub fn read(&self, _meter: &Meter, _now_ms: u64) -> Option<f64> {
        None
    }

    /// Returns what every policy with a signal reads.
    pub fn readings(&self, _terms: &crate::model::Terms, _now_ms: u64) -> Vec<crate::autoscale::decide::Reading> {
        Vec::new()
    }
}
