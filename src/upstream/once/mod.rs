//! Requests of Tidegate's own, each over a connection of its own: health checks, webhooks, pages of endpoints, peers.
//!
//! For the control side, where a few requests a second do not need connections that are kept, and a hanging other side must leave nothing
//! behind. The request path has [`Connections`](super::Connections).

mod dial;
mod exchange;
mod site;

pub use dial::open;
pub use exchange::{Answer, Spoken, exchange, get};
pub use site::{Site, SiteError};
