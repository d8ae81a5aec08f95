//! What the command line hands to the composition root: where the config comes from, and who is told when all is ready.
//!
//! A place holder of the agreed interface, to be replaced by the composition root itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::model::{Bind, Id};

/// Where the config comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file, watched for changes.
    File(PathBuf),
    /// Text; relative paths in it start at `base_dir`.
    Text {
        /// The config.
        text: String,
        /// Where relative paths start.
        base_dir: PathBuf,
    },
}

/// How it is run.
#[derive(Default)]
pub struct Options {
    /// Called once, when every socket is bound.
    pub on_ready: Option<Box<dyn FnOnce(&Addresses) + Send>>,
}

/// What was really bound.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The listeners, in the order of the file.
    pub listeners: Vec<(Id, Bind)>,
    /// The admin server, when there is one.
    pub admin: Option<SocketAddr>,
}

/// Runs until shutdown.
///
/// # Errors
/// When the config cannot be used; and always, as nothing is composed yet.
pub fn run(source: Source, options: Options) -> anyhow::Result<()> {
    drop(options);
    match source {
        Source::File(path) => crate::config::load(&path)?,
        Source::Text { text, base_dir } => crate::config::read(&text, "config", &base_dir, &|_| None)?,
    };
    anyhow::bail!("nothing is composed yet")
}
