//! One line for each request, written by a thread of its own, so that no worker ever waits for a disk or a terminal.
//!
//! A worker encodes its line and offers it to a bounded channel; when the writer is too slow the line is dropped and counted.

mod encode;
mod sink;

pub use encode::Record;
pub use sink::{AccessLog, Handle};
