//! What may be tried again at all. Pure.
//!
//! Two questions, both to be answered yes: does the route want it ([`matches()`]), and is it safe ([`is_safe`])? Why it was left
//! out nevertheless is a [`Skip`]. Does not count attempts and knows no budget.

use http::{HeaderMap, Method, StatusCode};
use serde::{Serialize, Serializer};

use crate::model::{Condition, Reason, Retry};

/// The field by which a client says that the endpoint knows a repeated request (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// How an attempt ended, before any byte of an answer went to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// No answer came.
    Failed {
        /// Why.
        reason: Reason,
        /// Whether the endpoint may have seen the request.
        sent: bool,
    },
    /// An answer's head came.
    Answered(StatusCode),
}

/// Why a request was not tried again although its route wants that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// The endpoint may have acted on it, and acting twice may do harm.
    NotIdempotent,
    /// Its body is larger than what is kept.
    BodyTooLarge,
    /// The route's budget is exhausted.
    BudgetExhausted,
    /// It has had all its attempts.
    AttemptsUsed,
    /// The total deadline would come first.
    Deadline,
    /// There was no memory left to keep its body.
    Memory,
}

impl Skip {
    /// Every reason.
    pub const ALL: &'static [Self] =
        &[Self::NotIdempotent, Self::BodyTooLarge, Self::BudgetExhausted, Self::AttemptsUsed, Self::Deadline, Self::Memory];

    /// Returns the word for logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotIdempotent => "not_idempotent",
            Self::BodyTooLarge => "body_too_large",
            Self::BudgetExhausted => "budget_exhausted",
            Self::AttemptsUsed => "attempts_used",
            Self::Deadline => "deadline",
            Self::Memory => "replay_memory",
        }
    }
}

impl Serialize for Skip {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Returns the first condition of `on` that `event` meets, `None` when it is not to be tried again.
///
/// What is the client's or the proxy's doing meets none, and neither does what came after the answer began or ended the whole request.
pub fn matches(on: &[Condition], event: Event) -> Option<Condition> {
    on.iter().copied().find(|&condition| meets(event, condition))
}

/// Tells whether another attempt can do no harm: the endpoint has seen nothing, the method is idempotent, the request has an
/// `Idempotency-Key`, or the route says so.
pub fn is_safe(event: Event, method: &Method, headers: &HeaderMap, settings: &Retry) -> bool {
    matches!(event, Event::Failed { sent: false, .. })
        || settings.non_idempotent
        || is_idempotent(method)
        || headers.contains_key(IDEMPOTENCY_KEY)
}

/// Tells whether a method is idempotent by RFC 9110 section 9.2.2; one that it does not define is not.
pub fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}

fn meets(event: Event, condition: Condition) -> bool {
    match event {
        Event::Failed { reason, sent } => of_failure(reason, sent) == Some(condition),
        Event::Answered(status) => match condition {
            Condition::GatewayError => matches!(status.as_u16(), 502..=504),
            Condition::ServerError => status.is_server_error(),
            Condition::Retriable4xx => matches!(status.as_u16(), 408 | 425 | 429),
            Condition::ConnectFailure | Condition::Refused | Condition::Reset | Condition::Timeout => false,
        },
    }
}

fn of_failure(reason: Reason, sent: bool) -> Option<Condition> {
    match reason {
        Reason::NameUnresolved
        | Reason::ConnectRefusedByEndpoint
        | Reason::ConnectFailed
        | Reason::ConnectTimeout
        | Reason::TlsFailed
        | Reason::TlsCertificate => Some(Condition::ConnectFailure),
        Reason::EndpointReset | Reason::EndpointProtocol if sent => Some(Condition::Reset),
        Reason::EndpointReset | Reason::EndpointProtocol => Some(Condition::Refused),
        Reason::FirstByteTimeout | Reason::AttemptTimeout => Some(Condition::Timeout),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
