//! An API server: lists, watches, scales, leases, with faults on demand; and a small controller that makes pods follow a scale.

mod controller;
mod request;
mod server;
mod store;
mod watch;

pub use server::{Fake, Fault, InStream};
