//! What Tidegate says of itself: figures, a line for each request, and its own log.
//!
//! The request path writes numbers into its worker's own memory and lines into a bounded channel; everything else happens on the
//! control side.

pub mod access_log;
pub mod history;
pub mod log;
pub mod metrics;
