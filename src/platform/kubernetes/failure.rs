//! What can come of a call to the API server, and what the caller should make of it. Pure.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use kube::core::Status;

use crate::platform::ScaleError;

/// How this platform is called in messages.
pub(super) const PLATFORM: &str = "Kubernetes";

/// How long a server that is too busy, and does not say for how long, is left alone.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// The longest wait that a server can ask for: a wrong number must not stop the sizing of a pool for a day.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// How much of a message is kept: it goes into logs and the ledger.
const MAX_MESSAGE: usize = 500;

/// What came of a call that was not carried out, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No answer, or none that can be understood: whether it was carried out is not known.
    #[error("{0}")]
    Unreachable(String),
    /// The server says no.
    #[error("{message} (status {code})")]
    Answer {
        /// The status code.
        code: u16,
        /// What the server says.
        message: String,
        /// How long it wants to be left alone.
        wait: Option<Duration>,
    },
}

impl CallError {
    /// Makes sense of an answer that is no success.
    pub(super) fn from_answer(status: StatusCode, fields: &HeaderMap, body: &[u8]) -> Self {
        let (message, wait) = match serde_json::from_slice::<Status>(body) {
            Ok(said) if !said.message.is_empty() => (said.message.clone(), wait_of(&said)),
            // Priority and fairness, proxies and a server that starts answer in plain text.
            _ => (String::from_utf8_lossy(body).trim().to_owned(), None),
        };
        let field = fields.get(RETRY_AFTER).and_then(|field| field.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
        Self::answer(status.as_u16(), message, field.or(wait))
    }

    /// Makes sense of an error in a stream of events.
    pub(super) fn from_status(status: &Status) -> Self {
        Self::answer(status.code, format!("{}: {}", status.reason, status.message), wait_of(status))
    }

    fn answer(code: u16, message: String, wait: Option<Duration>) -> Self {
        let message = if message.is_empty() { "no message".to_owned() } else { message.chars().take(MAX_MESSAGE).collect() };
        Self::Answer { code, message, wait: wait.map(|wait| wait.min(MAX_WAIT)) }
    }

    /// Returns the status code of the server's answer.
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Unreachable(_) => None,
            Self::Answer { code, .. } => Some(*code),
        }
    }

    /// Returns how long the server wants to be left alone.
    pub const fn wait(&self) -> Option<Duration> {
        match self {
            Self::Unreachable(_) => None,
            Self::Answer { wait, .. } => *wait,
        }
    }

    /// Says it in the words of every platform; `what` is the thing that the call was about.
    pub fn about(self, what: impl Into<String>) -> ScaleError {
        match self {
            Self::Unreachable(detail) => ScaleError::Unreachable { platform: PLATFORM, detail },
            Self::Answer { code, message, wait } => match (code, wait) {
                (404, _) => ScaleError::Missing { platform: PLATFORM, what: what.into() },
                (409, _) => ScaleError::Conflict { platform: PLATFORM, what: what.into() },
                (429, wait) => ScaleError::Busy { platform: PLATFORM, wait: wait.unwrap_or(DEFAULT_WAIT) },
                (503 | 504, Some(wait)) => ScaleError::Busy { platform: PLATFORM, wait },
                // A bad token (401) or request (400, 422) is no better when it is sent again.
                (400..=499, _) if code != 408 => ScaleError::Refused { platform: PLATFORM, detail: message },
                _ => ScaleError::Unreachable { platform: PLATFORM, detail: format!("status {code}: {message}") },
            },
        }
    }
}

/// Returns the wait that the details of a status ask for, which stands in the field too, but not in a stream of events.
fn wait_of(status: &Status) -> Option<Duration> {
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn answered(code: u16, retry_after: Option<&'static str>, body: &str) -> ScaleError {
        let mut fields = HeaderMap::new();
        fields.extend(retry_after.map(|value| (RETRY_AFTER, HeaderValue::from_static(value))));
        CallError::from_answer(StatusCode::from_u16(code).unwrap(), &fields, body.as_bytes()).about("deployment a")
    }

    #[test]
    fn every_answer_says_what_is_to_be_done() {
        let table = [
            (400, None, "refused"),
            (401, None, "refused"),
            (403, None, "refused"),
            (404, None, "missing"),
            (408, None, "unreachable"),
            (409, None, "conflict"),
            (422, None, "refused"),
            (429, None, "busy"),
            (429, Some("7"), "busy"),
            (500, None, "unreachable"),
            (502, Some("1"), "unreachable"),
            (503, None, "unreachable"),
            (503, Some("1"), "busy"),
            (504, Some("1"), "busy"),
        ];
        for (code, retry_after, word) in table {
            assert_eq!(answered(code, retry_after, "no").as_str(), word, "{code} {retry_after:?}");
        }
    }

    #[test]
    fn the_wait_comes_from_the_field_or_the_details_and_has_a_bound() {
        let busy = |seconds| ScaleError::Busy { platform: PLATFORM, wait: Duration::from_secs(seconds) };
        let details = r#"{"code":429,"message":"slowly","details":{"retryAfterSeconds":9}}"#;
        assert_eq!(answered(429, Some("7"), details), busy(7));
        assert_eq!(answered(429, None, details), busy(9));
        assert_eq!(answered(429, None, "Too many requests"), busy(1));
        assert_eq!(answered(429, Some("tomorrow"), "Too many requests"), busy(1));
        assert_eq!(answered(429, Some("86400"), "Too many requests"), busy(120));
    }

    #[test]
    fn what_the_server_says_is_passed_on() {
        let said = r#"{"kind":"Status","code":403,"reason":"Forbidden","message":"user cannot patch deployments/scale"}"#;
        let refused = ScaleError::Refused { platform: PLATFORM, detail: "user cannot patch deployments/scale".to_owned() };
        assert_eq!(answered(403, None, said), refused);
        let ScaleError::Refused { detail, .. } = answered(403, None, &"x".repeat(9000)) else { panic!("it is refused") };
        assert_eq!(detail.len(), MAX_MESSAGE);
    }
}
