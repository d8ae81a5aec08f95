//! What values of a file mean together: references, contradictions, things without effect.
//!
//! Runs over what could be read, also when something could not; a name that is written in the file but was left out because
//! of a mistake in its section counts as there, so that one mistake is told once.

mod autoscale;
mod cluster;
mod fields;
mod file;
mod files;
mod listeners;
mod policies;
mod pools;
mod protection;
mod report;
mod routes;
mod scale_policies;
mod targets;

pub(super) use file::file;
pub(super) use report::Report;
