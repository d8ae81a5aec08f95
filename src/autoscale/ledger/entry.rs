//! One decision with all that it followed from, and its form on disk. Pure.
//!
//! Terms are large and change seldom: on disk an entry names them by the number under which they were written first. Numbers that are not finite do
//! not survive JSON; whoever decides has none.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::autoscale::{Decision, Input, State};
use crate::model::{Id, ScaleMode, Terms};

/// A decision that is to be written down.
#[derive(Clone, Debug)]
pub struct Draft {
    /// When, in milliseconds since 1970.
    pub at_unix_ms: i64,
    /// The pool.
    pub pool: Id,
    /// The generation of the config: how many were in force since the start, this one included.
    pub generation: u64,
    /// Whether decisions are carried out.
    pub mode: ScaleMode,
    /// The terms of the config.
    pub terms: Arc<Terms>,
    /// What was known.
    pub input: Input,
    /// What was remembered from the decision before.
    pub state: State,
    /// What was decided.
    pub decision: Decision,
}

/// A decision that has been written down.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The number: later ones are larger, also after a restart. About the milliseconds since 1970.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: i64,
    /// The pool.
    pub pool: Id,
    /// The generation of the config: how many were in force since the start, this one included.
    pub generation: u64,
    /// Whether decisions are carried out.
    pub mode: ScaleMode,
    /// The terms of the config.
    pub terms: Arc<Terms>,
    /// What was known.
    pub input: Input,
    /// What was remembered from the decision before.
    pub state: State,
    /// What was decided.
    pub decision: Decision,
    /// What the platform made of it; `None` when it was not called, or has not answered.
    pub carried_out: Option<Carried>,
}

/// What the platform made of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// How it ended.
    pub result: Upshot,
    /// When it answered, in milliseconds since 1970.
    pub at_unix_ms: i64,
    /// From the decision until the last of the new replicas was ready.
    pub ready_after_ms: Option<u64>,
}

/// How a call to the platform ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upshot {
    /// It is done, or under way.
    Done,
    /// It is not.
    Failed {
        /// The kind of error, a word of a closed list.
        error: String,
        /// What happened, for people.
        text: String,
    },
}

/// An entry on disk: without the pool, which is the name of the log, and with the number of its terms.
#[derive(Serialize)]
struct Written<'a> {
    at_unix_ms: i64,
    generation: u64,
    mode: ScaleMode,
    terms: u64,
    input: &'a Input,
    state: &'a State,
    decision: &'a Decision,
    carried_out: Option<&'a Carried>,
}

/// The same, read back.
#[derive(Deserialize)]
pub(super) struct Read {
    at_unix_ms: i64,
    generation: u64,
    mode: ScaleMode,
    /// The number of the terms.
    pub terms: u64,
    input: Input,
    state: State,
    decision: Decision,
    carried_out: Option<Carried>,
}

impl Draft {
    /// Makes it an entry.
    pub(super) fn into_entry(self, id: u64) -> Entry {
        let Self { at_unix_ms, pool, generation, mode, terms, input, state, decision } = self;
        Entry { id, at_unix_ms, pool, generation, mode, terms, input, state, decision, carried_out: None }
    }
}

impl Entry {
    /// Tells whether the number of replicas was to change.
    pub fn changes(&self) -> bool {
        self.decision.from != self.decision.to
    }

    /// Returns the form for the disk; `None` when a value has none.
    pub(super) fn encode(&self, terms: u64) -> Option<Vec<u8>> {
        let Self { at_unix_ms, generation, mode, input, state, decision, carried_out, .. } = self;
        let (at_unix_ms, generation, mode, carried_out) = (*at_unix_ms, *generation, *mode, carried_out.as_ref());
        serde_json::to_vec(&Written { at_unix_ms, generation, mode, terms, input, state, decision, carried_out }).ok()
    }
}

impl Read {
    /// Reads the form on disk; `None` when it is of a version with other values.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Makes it an entry again.
    pub(super) fn into_entry(self, id: u64, pool: Id, terms: Arc<Terms>) -> Entry {
        let Self { at_unix_ms, generation, mode, terms: _, input, state, decision, carried_out } = self;
        Entry { id, at_unix_ms, pool, generation, mode, terms, input, state, decision, carried_out }
    }
}
