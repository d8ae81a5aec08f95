//! The strict HTTP/1 framing guard: stands between a client's socket and the HTTP/1 server, and refuses what two parsers could read
//! in two ways (RFC 9112 section 11.2).
//!
//! The server behind it accepts more than a proxy may pass on: bare line feeds, `Content-Length` beside `Transfer-Encoding`, repeated
//! lengths. The guard sees every byte once, before the server does, and lets through only what has a single reading. It never
//! repairs anything, changes no byte and copies none.
//!
//! - [`Guard`] follows the stream: heads, bodies, pipelined requests, tunnels.
//! - `head` reads request lines and fields, `fields` what a field means for the framing, `chunks` chunked bodies.

mod chunks;
mod fields;
mod guard;
mod head;
mod line;
#[cfg(test)]
mod tests;

pub use guard::{Guard, Limits, Scanned, Verdict};
