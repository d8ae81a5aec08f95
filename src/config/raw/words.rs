//! Closed lists of words.

use schemars::{Schema, json_schema};

use crate::config::problem::did_you_mean;
use crate::config::shape::{Mistake, Textual};
use crate::model::{
    Aggregation, Backoff, ClientAuth, Condition, ForecastMode, Jitter, ListenerProtocol, LogFormat, ScaleMode, Strategy,
    UpstreamProtocol,
};

/// `http` or `https`.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) enum Scheme {
    Http,
    Https,
}

/// What a policy measures; what else a signal needs stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum SignalWord {
    Concurrency,
    RequestRate,
    ResponseTime,
    FirstByte,
    QueueDepth,
    QueueWait,
    ErrorRate,
    CpuUtilization,
    MemoryUtilization,
    Custom,
    Promql,
}

/// A percentile that is kept.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Percentile(pub(in crate::config) Aggregation);

/// A season of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Season {
    Daily,
    Weekly,
}

impl Scheme {
    /// Returns the word.
    pub(in crate::config) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Makes a closed list readable: the word, what it stands for, what it means.
macro_rules! words {
    ($type:ty, $expected:literal, $($word:literal => $value:expr, $meaning:literal;)*) => {
        impl Textual for $type {
            const EXPECTED: &'static str = $expected;

            fn read(text: &str) -> Result<Self, Mistake> {
                match text {
                    $($word => Ok($value),)*
                    _ => Err(unknown(text, &[$($word),*])),
                }
            }

            fn schema() -> Schema {
                json_schema!({ "oneOf": [$({ "const": $word, "description": $meaning }),*] })
            }
        }
    };
}

fn unknown(text: &str, known: &[&str]) -> Mistake {
    let suggestion = did_you_mean(text, known.iter().copied())
        .map(|word| format!("did you mean \"{word}\"?"))
        .unwrap_or_else(|| format!("known words are {}", known.join(", ")));
    Mistake { message: format!("unknown word {text:?}"), suggestion: Some(suggestion) }
}

words! { Strategy, "the name of a strategy",
    "round_robin" => Self::RoundRobin, "Strict rotation.";
    "least_connections" => Self::LeastConnections, "Least in flight divided by weight.";
    "weighted_round_robin" => Self::WeightedRoundRobin, "Smooth rotation in exact proportion to the weights.";
    "least_response_time" => Self::LeastResponseTime, "Least time to first byte, times load.";
    "resource_based" => Self::ResourceBased, "Least of a score over load, response time and failures.";
    "consistent_hashing" => Self::ConsistentHashing, "The owner of a key, with bounded load.";
}

words! { ListenerProtocol, "auto, http1 or http2",
    "auto" => Self::Auto, "HTTP/1.1 and HTTP/2, told apart by ALPN or by the HTTP/2 preface.";
    "http1" => Self::Http1, "HTTP/1.1 only.";
    "http2" => Self::Http2, "HTTP/2 only.";
}

words! { ClientAuth, "required or optional",
    "required" => Self::Required, "A client without a valid certificate is refused.";
    "optional" => Self::Optional, "A certificate is asked for, and checked when shown.";
}

words! { UpstreamProtocol, "http1, http2 or auto",
    "http1" => Self::Http1, "HTTP/1.1.";
    "http2" => Self::Http2, "HTTP/2; without TLS by prior knowledge.";
    "auto" => Self::Auto, "What ALPN chooses; HTTP/1.1 without TLS.";
}

words! { LogFormat, "json or text",
    "json" => Self::Json, "One JSON object for each line.";
    "text" => Self::Text, "For people.";
}

words! { Condition, "what is tried again, such as `connect_failure`",
    "connect_failure" => Self::ConnectFailure, "No connection: refused, unreachable, timed out, name unresolved, TLS failed.";
    "refused" => Self::Refused, "The endpoint refused the stream unseen.";
    "reset" => Self::Reset, "The connection closed, or spoke nonsense, before the first byte of an answer.";
    "timeout" => Self::Timeout, "No answer in time: `first_byte` or `attempt`.";
    "gateway_error" => Self::GatewayError, "An answer of 502, 503 or 504.";
    "server_error" => Self::ServerError, "Any answer from 500 to 599.";
    "retriable_4xx" => Self::Retriable4xx, "An answer of 408, 425 or 429.";
}

words! { Backoff, "fixed, linear, exponential or decorrelated",
    "fixed" => Self::Fixed, "Always the base.";
    "linear" => Self::Linear, "The base, twice the base, three times the base.";
    "exponential" => Self::Exponential, "Twice as long each time.";
    "decorrelated" => Self::Decorrelated, "At random between the base and three times the delay before.";
}

words! { Jitter, "none, equal or full",
    "none" => Self::None, "Delays are not spread.";
    "equal" => Self::Equal, "From half the delay to all of it.";
    "full" => Self::Full, "From nothing to all of it.";
}

words! { Scheme, "http or https",
    "http" => Self::Http, "Plain HTTP.";
    "https" => Self::Https, "HTTP over TLS.";
}

words! { ScaleMode, "act, recommend or off",
    "act" => Self::Act, "Decisions are carried out.";
    "recommend" => Self::Recommend, "Everything is done but the call to the platform.";
}

words! { SignalWord, "the name of a signal, such as `concurrency`",
    "concurrency" => Self::Concurrency, "Requests in flight and queued, of the whole pool.";
    "request_rate" => Self::RequestRate, "Requests in a second, to the whole pool.";
    "response_time" => Self::ResponseTime, "From the pick of an endpoint to the last byte of its response.";
    "first_byte" => Self::FirstByte, "From the pick of an endpoint to the head of its response.";
    "queue_depth" => Self::QueueDepth, "Requests that wait in the queue of the pool.";
    "queue_wait" => Self::QueueWait, "How long requests wait in the queue of the pool.";
    "error_rate" => Self::ErrorRate, "Failed attempts over attempts that ended.";
    "cpu_utilization" => Self::CpuUtilization, "Processor use over what a replica may use, mean over the ready replicas.";
    "memory_utilization" => Self::MemoryUtilization, "Memory use over what a replica may use, mean over the ready replicas.";
    "custom" => Self::Custom, "The `metric` of the Prometheus pages of the endpoints, sum over the ready replicas.";
    "promql" => Self::Promql, "The single value of a query, see `promql`.";
}

words! { Aggregation, "average, sum, min, max, count, p50, p95 or p99",
    "average" => Self::Average, "The mean.";
    "sum" => Self::Sum, "The sum of the samples.";
    "min" => Self::Min, "The least.";
    "max" => Self::Max, "The largest.";
    "count" => Self::Count, "How many samples there are.";
    "p50" => Self::P50, "The median.";
    "p95" => Self::P95, "The 95th percentile.";
    "p99" => Self::P99, "The 99th percentile.";
}

words! { Percentile, "p50, p95 or p99",
    "p50" => Self(Aggregation::P50), "The median.";
    "p95" => Self(Aggregation::P95), "The 95th percentile.";
    "p99" => Self(Aggregation::P99), "The 99th percentile.";
}

words! { ForecastMode, "watch, act or off",
    "watch" => Self::Watch, "It is computed and shown.";
    "act" => Self::Act, "Decisions follow it.";
}

words! { Season, "daily or weekly",
    "daily" => Self::Daily, "From two days of history.";
    "weekly" => Self::Weekly, "From two weeks of history.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_is_answered_with_the_nearest_one() {
        let mistake = Strategy::read("round_robbin").unwrap_err();
        assert_eq!(mistake.message, "unknown word \"round_robbin\"");
        assert_eq!(mistake.suggestion.as_deref(), Some("did you mean \"round_robin\"?"));
    }

    #[test]
    fn a_strange_word_is_answered_with_the_list() {
        let mistake = LogFormat::read("xml").unwrap_err();
        assert_eq!(mistake.suggestion.as_deref(), Some("known words are json, text"));
    }
}
