//! What is kept on disk: rows, small values by name, and numbered logs, in one file of an embedded database.
//!
//! Writers put what is to be written into a [`batch`] behind a short mutex; one thread ([`thread`]) writes a batch every few seconds in
//! one transaction. A batch takes the place of a channel: what is written twice is written once, and what is not yet on disk can be read. A
//! disk that fails costs what is on disk, never the figures in memory. The file knows nothing of what its values mean.

mod batch;
mod error;
mod file;
mod handle;
mod read;
mod tables;
mod thread;

pub use error::{OpenError, StoreError};
pub use handle::{Figures, Store};

pub(super) use batch::Grain;
pub(super) use file::Place;
pub(super) use tables::Kept;
pub(super) use thread::{Keeper, Pace};

#[cfg(test)]
mod tests;
