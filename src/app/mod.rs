//! The composition root.

mod interface;

pub use interface::{Addresses, Options, Source, run};
