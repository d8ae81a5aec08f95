//! Why a message is not taken: the reason for machines, and a sentence for the person who sent it.

use crate::model::{Failure, Reason};

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, from the closed list.
    pub reason: Reason,
    /// What exactly is wrong, for the answer's `detail`; never holds anything that the client sent.
    pub detail: &'static str,
}

impl Refusal {
    /// A refusal for `reason`, explained by `detail`.
    pub const fn new(reason: Reason, detail: &'static str) -> Self {
        Self { reason, detail }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.reason)
    }
}
