//! Why a request did not get an endpoint's answer: the closed list of reasons, and the one table of what each looks like outside.

use std::time::Duration;

use http::StatusCode;
use serde::{Serialize, Serializer};

/// Whose doing a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client's: it sent something that is refused, or left.
    Client,
    /// The endpoint's, or of the way to it.
    Endpoint,
    /// Tidegate's, or of its configuration.
    Proxy,
}

/// What ended a request before an endpoint's answer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// How long the client should wait, when waiting can help.
    pub retry_after: Option<Duration>,
    /// The status of the answer, when it is not the reason's own.
    pub status: Option<StatusCode>,
}

impl Failure {
    /// A failure for `reason`, without advice to wait.
    pub const fn new(reason: Reason) -> Self {
        Self { reason, retry_after: None, status: None }
    }
}

impl Failure {
    /// Returns the status of the answer.
    pub fn status(self) -> StatusCode {
        self.status.unwrap_or_else(|| self.reason.status())
    }
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

/// A row of the status table.
struct Row {
    name: &'static str,
    side: Side,
    status: u16,
    title: &'static str,
    /// The error type of RFC 9209 section 2.3.
    proxy_error: &'static str,
    /// The code of gRPC, as its "HTTP to gRPC status code mapping" and the meaning of each code ask.
    grpc: u8,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $side:ident, $status:literal, $title:literal, $proxy_error:literal, $grpc:literal;)*) => {
        /// Why a request failed, was refused or was cut: a closed list, used as the word in answers, logs and metric labels.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            const fn row(self) -> Row {
                match self {
                    $(Self::$variant => Row {
                        name: $name, side: Side::$side, status: $status, title: $title, proxy_error: $proxy_error, grpc: $grpc,
                    },)*
                }
            }
        }
    };
}

// gRPC codes: 1 cancelled, 3 invalid argument, 4 deadline exceeded, 8 resource exhausted, 12 unimplemented, 13 internal, 14 unavailable.
reasons! {
    /// No route takes the request.
    NoRoute = "no_route", Client, 404, "No route", "destination_not_found", 12;
    /// A route takes the request with another method only.
    MethodNotAllowed = "method_not_allowed", Client, 405, "Method not allowed", "http_request_denied", 12;
    /// The request asks for a tunnel to another host.
    ConnectRefused = "connect_refused", Client, 405, "CONNECT is not supported", "http_request_denied", 12;
    /// The framing of the message can be read in more than one way.
    AmbiguousFraming = "ambiguous_framing", Client, 400, "Ambiguous message framing", "http_request_error", 3;
    /// The request line or a header field is malformed.
    MalformedRequest = "malformed_request", Client, 400, "Malformed request", "http_request_error", 3;
    /// `Host` is missing, repeated or not a host.
    InvalidHost = "invalid_host", Client, 400, "Invalid host", "http_request_error", 3;
    /// The path cannot be normalised.
    InvalidTarget = "invalid_target", Client, 400, "Invalid request target", "http_request_error", 3;
    /// The request line is longer than the listener's limit.
    TargetTooLong = "target_too_long", Client, 414, "Request line too long", "http_request_error", 3;
    /// The head is larger than the listener's limit.
    HeaderTooLarge = "header_too_large", Client, 431, "Request header too large", "http_request_error", 8;
    /// The head has more fields than the listener's limit.
    TooManyHeaders = "too_many_headers", Client, 431, "Too many header fields", "http_request_error", 8;
    /// The body is larger than the listener's limit.
    BodyTooLarge = "body_too_large", Client, 413, "Request body too large", "http_request_error", 8;
    /// A transfer coding other than `chunked`.
    UnknownTransferCoding = "unknown_transfer_coding", Client, 501, "Unknown transfer coding", "http_request_error", 12;
    /// The client took too long to send the head.
    HeaderTimeout = "header_timeout", Client, 408, "Request header timeout", "http_request_error", 4;
    /// The client stopped sending its body.
    RequestBodyTimeout = "request_body_timeout", Client, 408, "Request body timeout", "http_request_error", 4;
    /// The client's body ended early or was malformed.
    RequestBodyBroken = "request_body_broken", Client, 400, "Request body broken", "http_request_error", 3;
    /// The client left. Never sent; 499 in logs, as nginx has it.
    ClientAbort = "client_abort", Client, 499, "Client closed the request", "http_request_error", 1;
    /// The request has passed this proxy before.
    LoopDetected = "loop_detected", Client, 508, "Loop detected", "proxy_loop_detected", 13;
    /// The pool has no endpoint.
    NoEndpoint = "no_endpoint", Proxy, 503, "The pool has no endpoint", "destination_unavailable", 14;
    /// Every endpoint is down, ejected, draining or has weight 0.
    NoAvailableEndpoint = "no_available_endpoint", Proxy, 503, "No endpoint is available", "destination_unavailable", 14;
    /// No endpoint of the pool offers what the request requires.
    CapabilityUnavailable = "capability_unavailable", Proxy, 503, "No endpoint offers the required capabilities", "destination_unavailable", 14;
    /// The endpoint's name does not resolve.
    NameUnresolved = "name_unresolved", Endpoint, 502, "Endpoint name unresolved", "dns_error", 14;
    /// The endpoint refused the connection.
    ConnectRefusedByEndpoint = "connection_refused", Endpoint, 502, "Endpoint refused the connection", "connection_refused", 14;
    /// The connection could not be opened for another reason.
    ConnectFailed = "connect_failure", Endpoint, 502, "Connection to the endpoint failed", "destination_ip_unroutable", 14;
    /// The connection was not open in time.
    ConnectTimeout = "connect_timeout", Endpoint, 504, "Connection to the endpoint timed out", "connection_timeout", 14;
    /// The TLS handshake with the endpoint failed.
    TlsFailed = "tls_failure", Endpoint, 502, "TLS handshake with the endpoint failed", "tls_protocol_error", 14;
    /// The endpoint's certificate is not acceptable.
    TlsCertificate = "tls_certificate", Endpoint, 502, "The endpoint's certificate was refused", "tls_certificate_error", 14;
    /// The endpoint closed the connection before it answered.
    EndpointReset = "reset", Endpoint, 502, "Endpoint closed the connection", "connection_terminated", 14;
    /// The endpoint did not speak HTTP.
    EndpointProtocol = "endpoint_protocol", Endpoint, 502, "Endpoint sent an invalid response", "http_protocol_error", 14;
    /// The endpoint refused or failed the protocol switch.
    UpgradeFailed = "upgrade_failed", Endpoint, 502, "Protocol upgrade failed", "http_upgrade_failed", 14;
    /// The endpoint's answer cannot follow the events that its client has already got.
    NotEvents = "not_events", Endpoint, 502, "The endpoint's answer is no stream of events", "http_protocol_error", 14;
    /// No response head in time.
    FirstByteTimeout = "first_byte_timeout", Endpoint, 504, "Endpoint sent no response in time", "http_response_timeout", 4;
    /// The attempt took too long.
    AttemptTimeout = "attempt_timeout", Endpoint, 504, "Attempt timed out", "http_response_timeout", 4;
    /// The request took too long.
    TotalTimeout = "total_timeout", Endpoint, 504, "Request timed out", "http_response_timeout", 4;
    /// The response body stalled.
    IdleTimeout = "idle_timeout", Endpoint, 504, "Response body stalled", "connection_read_timeout", 4;
    /// The response body ended early.
    EndpointTruncated = "endpoint_truncated", Endpoint, 502, "Response body ended early", "http_response_incomplete", 14;
    /// Every place in the pool's queue is taken, or there is no queue and no slot is free.
    QueueFull = "queue_full", Proxy, 503, "The queue is full", "destination_unavailable", 14;
    /// No slot became free in time.
    QueueTimeout = "queue_timeout", Proxy, 503, "Waited too long for a slot", "destination_unavailable", 14;
    /// A more important request took the place in the queue.
    Displaced = "displaced", Proxy, 503, "Displaced by a more important request", "destination_unavailable", 14;
    /// Every slot and every place in the queue of the bulkhead is taken.
    BulkheadFull = "bulkhead_full", Proxy, 503, "The bulkhead is full", "destination_unavailable", 14;
    /// No slot of the bulkhead became free in time.
    BulkheadTimeout = "bulkhead_timeout", Proxy, 503, "Waited too long for the bulkhead", "destination_unavailable", 14;
    /// Only circuit breakers keep the last endpoints away.
    BreakerOpen = "breaker_open", Proxy, 503, "The circuit breakers are open", "destination_unavailable", 14;
    /// A rate limit of the route is used up.
    RateLimited = "rate_limited", Client, 429, "Rate limit exceeded", "http_request_denied", 8;
    /// The process is near one of its limits, and the request is not important enough.
    Overloaded = "overloaded", Proxy, 503, "Overloaded", "proxy_internal_response", 8;
    /// A fault that an operator has switched on.
    FaultInjected = "fault_injected", Proxy, 503, "Injected fault", "proxy_internal_response", 14;
    /// Tidegate is stopping.
    Draining = "draining", Proxy, 503, "Stopping", "destination_unavailable", 14;
    /// A defect of Tidegate.
    Internal = "internal_error", Proxy, 500, "Internal error", "proxy_internal_error", 13;
}

impl Reason {
    /// Returns the word for answers, logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        self.row().name
    }

    /// Returns whose doing it is.
    pub const fn side(self) -> Side {
        self.row().side
    }

    /// Returns the status of the answer.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().status).expect("the table holds valid statuses, which its test proves")
    }

    /// Returns the title of the problem document.
    pub const fn title(self) -> &'static str {
        self.row().title
    }

    /// Returns the error type of `Proxy-Status` (RFC 9209 section 2.3).
    pub const fn proxy_error(self) -> &'static str {
        self.row().proxy_error
    }

    /// Returns the `grpc-status` of the answer to a gRPC request.
    pub const fn grpc_status(self) -> u8 {
        self.row().grpc
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_its_own_word_and_a_valid_status() {
        let words: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert!(reason.status().as_u16() >= 400);
            assert!(reason.grpc_status() <= 16);
        }
    }
}
