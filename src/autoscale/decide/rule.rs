//! From what is known to how many. Pure.

use serde::{Deserialize, Serialize};

use super::decision::{Decision, Trigger};
use super::input::Input;
use crate::model::Terms;

/// What is remembered from decision to decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// What this autoscaler wanted last; `None` before its first decision.
    pub last: Option<u32>,
    /// Whether short-term demand rules, and since when it did last.
    pub panic: Option<Panicking>,
}

/// Short-term demand rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panicking {
    /// Since when, monotonic milliseconds.
    pub since_ms: u64,
}

/// Decides; the same arguments always yield the same.
pub fn decide(_terms: &Terms, input: &Input, state: &State) -> (Decision, State) {
    let from = input.replicas.desired.saturating_sub(input.replicas.draining);
    let decision = Decision {
        from,
        to: from,
        trigger: Trigger::Steady,
        verdicts: Vec::new(),
        wanted: from,
        limits: Vec::new(),
        reason: String::new(),
    };
    (decision, State { last: Some(from), ..state.clone() })
}
