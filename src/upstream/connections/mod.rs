//! The connections of one worker to one endpoint: kept, reused, and closed when they are of no more use.
//!
//! HTTP/1 connections carry one request at a time and wait in a stack, last in first out, so that the least used ones grow old and
//! are closed. HTTP/2 connections are shared. What is deliberately not here: a limit on requests (that is a slot, and is taken before).

mod alarm;
mod exchange;
mod h1;
mod h2;
mod idle;
mod lease;
mod open;
mod outgoing;
mod send;

pub use exchange::{Connections, Exchange, Stats};
pub use lease::Lease;
pub use outgoing::RequestBody;

#[cfg(test)]
mod tests;
