//! `check`: reads a config file as `run` would, and shows every problem at once; opens no socket.

use std::fmt;

use serde::Serialize;

use super::args::{self, Format};
use super::{output, source};
use crate::config::{self, Problem};

/// What is found when a file can be used.
#[derive(Debug, Serialize)]
struct Report<'a> {
    file: String,
    valid: bool,
    listeners: usize,
    routes: usize,
    pools: usize,
    endpoints: usize,
    warnings: &'a [Problem],
    problems: &'a [Problem],
}

/// Checks the file.
///
/// # Errors
/// When the file cannot be used: with `--format json` its problems are on standard output as well.
pub(super) fn run(arguments: &args::Check) -> anyhow::Result<()> {
    let path = source::path(&arguments.source)?;
    let file = path.display().to_string();
    match config::load(&path) {
        Ok(loaded) => {
            let snapshot = &loaded.snapshot;
            let report = Report {
                file,
                valid: true,
                listeners: snapshot.listeners.len(),
                routes: snapshot.routes.len(),
                pools: snapshot.pools.len(),
                endpoints: snapshot.pools.values().map(|pool| pool.endpoints.len()).sum(),
                warnings: &loaded.warnings,
                problems: &[],
            };
            output::show_as(arguments.format, &report)
        }
        Err(errors) => {
            if arguments.format == Format::Json {
                let report = Report { valid: false, problems: errors.problems(), ..Report::empty(file) };
                output::show_as(arguments.format, &report)?;
            }
            Err(errors.into())
        }
    }
}

impl Report<'_> {
    const fn empty(file: String) -> Self {
        Self { file, valid: true, listeners: 0, routes: 0, pools: 0, endpoints: 0, warnings: &[], problems: &[] }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        let Self { file, listeners, routes, pools, endpoints, .. } = self;
        writeln!(f, "{file} is valid: listeners {listeners}, routes {routes}, pools {pools}, endpoints {endpoints}")
    }
}
