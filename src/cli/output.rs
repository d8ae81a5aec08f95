//! What the subcommands print, and what their failures mean for the exit status.
//!
//! A reader that has left (`tidegate schema | head -1`) is no failure.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::args::Format;
use crate::config;

/// The exit status of bad usage and bad config: `EX_USAGE` of sysexits(3).
const BAD_USAGE: u8 = 64;

/// Why a command cannot be carried out as it was written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub(super) String);

/// Prints `text` on standard output, with a line end if it has none.
///
/// # Errors
/// When standard output takes nothing, for another reason than that its reader has left.
pub(super) fn show(text: impl Display) -> anyhow::Result<()> {
    let mut text = text.to_string();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints `result` as the user asked for it.
///
/// # Errors
/// As [`show`].
pub(super) fn show_as(format: Format, result: &(impl Display + Serialize)) -> anyhow::Result<()> {
    match format {
        Format::Text => show(result),
        Format::Json => show(serde_json::to_string_pretty(result)?),
    }
}

/// Prints `text` on standard error; nobody is left to be told when that fails.
pub(super) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints why a command failed, and returns its exit status.
pub(super) fn failed(error: &anyhow::Error) -> ExitCode {
    match bad_config(error) {
        // One line for each problem, beginning with its place, as compilers do it: editors and terminals link to that.
        Some(problems) => complain(problems),
        None => complain(format_args!("tidegate: {error:#}")),
    }
    ExitCode::from(status(error))
}

fn bad_config(error: &anyhow::Error) -> Option<&config::Errors> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

fn status(error: &anyhow::Error) -> u8 {
    if bad_config(error).is_some() || error.chain().any(|cause| cause.is::<Usage>()) { BAD_USAGE } else { 1 }
}

/// Prints what clap found wrong, or the help or version that was asked for, and returns the exit status.
pub(super) fn refused(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(BAD_USAGE) } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn bad_usage_ends_with_64_also_when_it_is_wrapped() {
        let error = Err::<(), _>(Usage("no".to_owned())).context("outer").unwrap_err();
        assert_eq!(status(&error), 64);
        assert_eq!(status(&anyhow::anyhow!("broken")), 1);
    }

    #[test]
    fn a_bad_config_ends_with_64_also_when_it_is_wrapped() {
        let errors = config::read("listeners: 5", "t.yaml", std::path::Path::new("."), &|_| None).unwrap_err();
        let error = Err::<(), _>(errors).context("start").unwrap_err();
        assert_eq!(status(&error), 64);
        assert!(bad_config(&error).unwrap().to_string().starts_with("t.yaml:1:"));
    }
}
