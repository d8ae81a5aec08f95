//! `schema`: prints the JSON Schema of the config file, for editors to complete and check it.

use super::output;
use crate::config;

/// Prints the schema.
///
/// # Errors
/// When standard output takes nothing.
pub(super) fn run() -> anyhow::Result<()> {
    output::show(serde_json::to_string_pretty(&config::schema())?)
}
