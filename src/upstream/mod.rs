//! The endpoint's side of a request: a connection to an endpoint, and a request and its answer over it.
//!
//! Everything here lives on one worker thread: connections are held in `Rc`, are never shared with another thread and take no lock.
//! What is deliberately not here: which endpoint takes the request (`balance`), whether it is tried again (the request may have been
//! sent), and where addresses of names come from ([`Lookup`] is handed in).

mod clock;
mod connections;
mod dial;
mod failure;
pub mod once;
mod stream;
mod target;
mod tls;

pub use connections::{Connections, Exchange, Lease, RequestBody, Stats};
pub use dial::{Lookup, connect};
pub(crate) use failure::chain;
pub use failure::{SendFailure, body_reason};
pub use stream::{Socket, Stream};
pub use target::{Target, TargetTls};
pub use tls::{TlsClient, TlsError, build as build_tls};
