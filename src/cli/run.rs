//! `run`: hands the config file over to `app`, until a signal ends it.

use super::args::Source;
use super::source;
use crate::app;

/// Runs the proxy.
///
/// # Errors
/// When the config cannot be used, or a socket cannot be opened.
pub(super) fn run(arguments: &Source) -> anyhow::Result<()> {
    let path = source::path(arguments)?;
    app::run(app::Source::File(path), app::Options { on_ready: None })
}
