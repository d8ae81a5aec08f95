use std::time::Duration;

use crate::autoscale::decide::{Decision, Demand, Input, Look, Reading, Replicas, State, decide};
use crate::model::{Aggregation, Fallback, Meter, ScaleDown, ScalePolicy, ScaleRule, ScaleUp, Signal, Terms};

pub(super) const START_MS: u64 = 10_000_000;

/// One pool that is decided about.
pub(super) struct Lab {
    pub(super) terms: Terms,
    pub(super) input: Input,
    pub(super) state: State,
}

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn policy(name: &str, rule: ScaleRule) -> ScalePolicy {
    ScalePolicy { name: name.parse().unwrap(), rule, priority: 1 }
}

pub(super) fn meter(signal: Signal) -> Meter {
    Meter { signal, aggregation: Aggregation::Average, window: secs(60) }
}

pub(super) fn target(signal: Signal, target: f64) -> ScaleRule {
    ScaleRule::Target { meter: meter(signal), target }
}

pub(super) fn threshold(signal: Signal, bounds: (Option<f64>, Option<f64>), steps: (u32, u32), weight: f64) -> ScaleRule {
    let ((up, down), (step_up, step_down)) = (bounds, steps);
    ScaleRule::Threshold { meter: meter(signal), up, down, step_up, step_down, weight }
}

impl Lab {
    /// Four ready replicas, eight requests for each, the default limits.
    pub(super) fn new() -> Self {
        let terms = Terms {
            min_replicas: 1,
            max_replicas: 20,
            idle_after: secs(600),
            interval: secs(1),
            policies: vec![policy("busy", target(Signal::Concurrency, 8.0))],
            scale_up: ScaleUp::default(),
            scale_down: ScaleDown::default(),
            tolerance: 0.1,
            max_events_per_hour: 60,
            panic: None,
            forecast: None,
            missing_after: secs(120),
            fallback: Fallback::Hold,
        };
        let input = Input {
            now_ms: START_MS,
            unix_ms: 0,
            replicas: Replicas { desired: 4, ready: 4, starting: 0, draining: 0 },
            demand: Demand { in_flight: 1, is_complete: true, ..Demand::default() },
            readings: Vec::new(),
            schedule: Look::default(),
            outlook: None,
            order: None,
        };
        Self { terms, input, state: State::default() }
    }

    /// Nothing but bounds limits.
    pub(super) fn free() -> Self {
        let mut lab = Self::new();
        let zero = Duration::ZERO;
        lab.terms.scale_up = ScaleUp { cooldown: zero, max_step: None, stabilization: zero };
        lab.terms.scale_down = ScaleDown { cooldown: zero, max_step: None, stabilization: zero, sustained: zero };
        lab
    }

    /// Nothing but bounds limits these policies.
    pub(super) fn with(policies: Vec<ScalePolicy>) -> Self {
        let mut lab = Self::free();
        lab.terms.policies = policies;
        lab
    }

    pub(super) fn reading(&mut self, policy: &str) -> &mut Reading {
        let readings = &mut self.input.readings;
        let index = readings.iter().position(|reading| reading.policy.as_str() == policy).unwrap_or_else(|| {
            readings.push(Reading { policy: policy.parse().unwrap(), value: None, fast: None, missing_ms: 0, is_idle: false });
            readings.len() - 1
        });
        &mut readings[index]
    }

    pub(super) fn read(&mut self, policy: &str, value: f64) {
        *self.reading(policy) =
            Reading { policy: policy.parse().unwrap(), value: Some(value), fast: None, missing_ms: 0, is_idle: false };
    }

    pub(super) fn all_ready(&mut self, replicas: u32) {
        self.input.replicas = Replicas { desired: replicas, ready: replicas, starting: 0, draining: 0 };
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.input.now_ms += seconds * 1000;
    }

    pub(super) fn decide(&mut self) -> Decision {
        let (decision, state) = decide(&self.terms, &self.input, &self.state);
        self.state = state;
        decision
    }

    /// Decides once a second and does what was decided at once; returns what was decided last.
    pub(super) fn live(&mut self, seconds: u64) -> Decision {
        let mut decision = self.decide();
        for _ in 0..seconds {
            self.all_ready(decision.to);
            self.pass(1);
            decision = self.decide();
        }
        decision
    }
}
