//! Tidegate's own log: `tracing` to standard error, with a level that a reload changes.

use std::io;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::model::{Log, LogFormat};

/// Why logging cannot be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is neither a level nor directives.
    #[error(
        "log level {level:?}: {problem}; write off, error, warn, info, debug, trace or directives such as info,tidegate::upstream=debug"
    )]
    Level {
        /// What was written.
        level: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The process has a log already.
    #[error("the log is set up already")]
    Twice,
}

/// Changes the running log.
#[derive(Clone, Debug)]
pub struct Control {
    filter: Handle<EnvFilter, Registry>,
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(level).map_err(|error| LogError::Level { level: level.to_owned(), problem: error.to_string() })
}

/// Sets the process's log up.
///
/// # Errors
/// When the level is not understood, or a log is there already.
pub fn init(log: &Log) -> Result<Control, LogError> {
    let (filter, handle) = reload::Layer::new(filter(&log.level)?);
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    subscriber.try_init().map_err(|_| LogError::Twice)?;
    Ok(Control { filter: handle })
}

impl Control {
    /// Takes a new level; the format stays until a restart.
    ///
    /// # Errors
    /// When the level is not understood; the old one stays.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        self.filter.reload(filter(level)?).map_err(|_| LogError::Twice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_explained() {
        assert!(filter("info,tidegate::upstream=debug").is_ok());
        let message = filter("tidegate=loud").unwrap_err().to_string();
        assert!(message.contains("tidegate=loud") && message.contains("write off"), "{message}");
    }
}
