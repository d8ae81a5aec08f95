//! The client's side of a request: workers, connections, and what happens between a request's head and its answer.
//!
//! Everything here runs on a worker, on one thread. Deliberately not here: which endpoint answers (`pool`), and when a world changes
//! (`registry`).

mod accept;
mod admit;
mod connection;
mod forward;
mod heartbeat;
mod inlet;
mod leftover;
mod limit;
mod record;
mod reply;
mod service;
mod stall;
mod stream;
mod upgrade;
mod view;
mod watch;
mod worker;

pub use worker::{Services, start};
