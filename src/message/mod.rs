//! What HTTP messages carry, and what a proxy owes them.
//!
//! Everything here is pure: no clock, no socket, no randomness of its own. Headers are edited in place. What is accepted, refused and
//! normalised is written down in `docs/http.md`, what is added and removed in `docs/forwarding.md`.

pub mod body;
pub mod copy;
pub mod events;
pub mod forwarded;
pub mod framing;
pub mod grpc;
pub mod hop;
pub mod host;
pub mod load_report;
pub mod mint;
pub mod normalise;
pub mod present;
pub mod problem;
pub mod proxy_protocol;
pub mod rate_limit;
mod refusal;
pub mod replay;
pub mod request_id;
pub mod trace;
pub mod via;

pub use refusal::Refusal;
