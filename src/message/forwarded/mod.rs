//! What an endpoint is told about the client: `X-Forwarded-For`, `-Proto` and `-Host`, and `Forwarded` (RFC 7239).
//!
//! A client that is not trusted is not believed: what it sent is replaced. A trusted one, which is another proxy, has its lists continued.
//! Runs after the hop-by-hop fields are gone. `X-Real-IP` is never set: it says less than `X-Forwarded-For`, and is removed when an unknown
//! client sends it.

mod chain;
mod client;
mod element;
#[cfg(test)]
mod tests;

pub use chain::client_address;
pub use client::{Client, Peer, Scheme};
