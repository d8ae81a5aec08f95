//! What one check asks of one endpoint, and what it makes of the answer: HTTP, TCP, gRPC.
//!
//! Every check opens a connection of its own, with the endpoint's own settings (address, TLS, protocol), and closes it: an open connection
//! may work on for hours in an endpoint that accepts none any more, and requests need new ones. Deliberately not here: when checks
//! run and what follows from them.

mod check;
mod grpc;
mod http;
mod tcp;

#[cfg(test)]
mod tests;

pub(super) use check::check;
