//! How an attempt or a request ended.

use serde::Serialize;

use super::Reason;

/// How an attempt or a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The last byte of the response was handed on.
    Completed,
    /// It ended before a response, or was refused.
    Failed(Reason),
    /// The response began and ended early.
    Truncated(Reason),
    /// The client left first.
    Aborted,
}

impl Outcome {
    /// Returns the word for logs and metric labels: `completed`, `failed`, `truncated` or `aborted`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed(_) => "failed",
            Self::Truncated(_) => "truncated",
            Self::Aborted => "aborted",
        }
    }

    /// Returns why it did not complete.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Completed => None,
            Self::Failed(reason) | Self::Truncated(reason) => Some(reason),
            Self::Aborted => Some(Reason::ClientAbort),
        }
    }
}
