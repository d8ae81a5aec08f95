//! When a request is tried again, and when it is tried twice at once.

use std::time::Duration;

use serde::Serialize;

use super::duration::written;

/// When and how often a request is tried again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retry {
    /// Attempts in all, the first included; at least 1.
    pub max_attempts: u32,
    /// What is tried again.
    pub on: Vec<Condition>,
    /// Whether requests that may have an effect are tried again too, although an endpoint may have seen them.
    pub non_idempotent: bool,
    /// How the delays grow.
    pub backoff: Backoff,
    /// The first delay.
    #[serde(serialize_with = "written")]
    pub base_delay: Duration,
    /// The longest delay, whatever the backoff or the endpoint's `Retry-After` says.
    #[serde(serialize_with = "written")]
    pub max_delay: Duration,
    /// How delays are spread.
    pub jitter: Jitter,
    /// How much of the traffic may be retries.
    pub budget: Budget,
    /// Bytes of a request body that are kept for another attempt; a larger body is sent once.
    pub body_buffer: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            on: vec![Condition::ConnectFailure, Condition::Refused, Condition::Reset, Condition::GatewayError],
            non_idempotent: false,
            backoff: Backoff::Exponential,
            base_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
            jitter: Jitter::Full,
            budget: Budget::default(),
            body_buffer: 1024 * 1024,
        }
    }
}

/// What is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// No connection: refused, unreachable, timed out, name unresolved, TLS failed.
    ConnectFailure,
    /// The endpoint refused the stream unseen.
    Refused,
    /// The connection closed, or spoke nonsense, before the first byte of an answer.
    Reset,
    /// No answer in time: `first_byte` or `attempt`.
    Timeout,
    /// An answer of 502, 503 or 504.
    GatewayError,
    /// Any answer from 500 to 599.
    ServerError,
    /// An answer of 408, 425 or 429.
    #[serde(rename = "retriable_4xx")]
    Retriable4xx,
}

/// How the delays before attempts grow; `n` counts retries from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// Always the base.
    Fixed,
    /// Base times `n + 1`.
    Linear,
    /// Base times 2 to the power of `n`.
    Exponential,
    /// At random between the base and three times the delay before.
    Decorrelated,
}

/// How a delay is spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Not at all.
    None,
    /// From half the delay to all of it.
    Equal,
    /// From nothing to all of it.
    Full,
}

/// How much of a route's traffic may be retries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Budget {
    /// Retries over requests of the last 10 s.
    pub ratio: f64,
    /// Retries allowed in each second whatever the traffic.
    pub min_per_second: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { ratio: 0.2, min_per_second: 10 }
    }
}

/// When a second attempt is sent beside one that is slow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hedge {
    /// How long the first attempt is waited for.
    pub after: HedgeDelay,
    /// Extra attempts over requests of the last 10 s.
    pub max_extra: f64,
}

/// How long the first attempt is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HedgeDelay {
    /// This quantile of the route's times to first byte, from 0.5 to 0.999; nothing is hedged until enough are measured.
    Quantile(f64),
    /// This long.
    #[serde(serialize_with = "written")]
    Fixed(Duration),
}
