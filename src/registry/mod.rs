//! The one snapshot and the one swap: builds a [`World`] from a snapshot beside the running one, and hands it to every worker at once.
//!
//! Whatever can fail (certificates, sockets, expressions) is built before the swap; a failure leaves the old world as it was.
//! Deliberately not here: where a snapshot comes from (`config`), and what workers do with a world (`ingress`).

mod apply;
mod certificates;
mod crew;
mod diff;
mod follow;
mod keeper;
mod members;
mod sockets;
mod world;

pub use apply::{ApplyError, Obstacle, Registry};
pub use certificates::CertificateError;
pub use crew::Crew;
pub use diff::{Changes, Report};
pub use sockets::{Socket, why_not};
pub use world::{Adopted, Command, Gate, LiveListener, LivePool, Members, Pass, Stream, World};
