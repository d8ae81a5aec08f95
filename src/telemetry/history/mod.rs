//! What was: a row of figures for each pool and minute, kept in memory and in an embedded store, so that a restart forgets nothing.
//!
//! Rows are numbers that a sampler hands in; who measures them, and what follows from them, is not here. Beside the rows the [`Store`] keeps
//! small values and numbered logs for others, in the same file, written by the same thread. Everybody else only touches short mutexes.

mod column;
mod memory;
mod series;
mod shared;
mod store;

pub use column::{COLUMNS, Column, Law, Row};
pub use series::Series;
pub use shared::History;
pub use store::{Figures, OpenError, Store, StoreError};
