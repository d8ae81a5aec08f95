//! Where the config comes from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Addresses;
use crate::config::{self, Errors, Loaded};
use crate::discovery::Resolver;
use crate::platform::kubernetes::Cluster;

/// Where the config comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file, watched for changes.
    File(PathBuf),
    /// A text that does not change; relative paths start at `base_dir`.
    Text {
        /// The YAML.
        text: String,
        /// Where relative paths start.
        base_dir: PathBuf,
    },
}

/// Called once, when every listener accepts.
pub type OnReady = Box<dyn FnOnce(&Addresses) + Send>;

/// What `run` does besides.
#[derive(Default)]
pub struct Options {
    /// Called once, when every listener accepts.
    pub on_ready: Option<OnReady>,
}

/// What a proxy finds around it, where that is not what the environment and the system's settings say.
#[derive(Default)]
pub struct Surroundings {
    /// The Kubernetes cluster.
    pub cluster: Option<Arc<Cluster>>,
    /// What finds addresses of names.
    pub resolver: Option<Resolver>,
}

impl Source {
    pub(super) fn load(&self) -> Result<Loaded, Errors> {
        match self {
            Self::File(path) => config::load(path),
            Self::Text { text, base_dir } => config::read(text, "config", base_dir, &|name| std::env::var(name).ok()),
        }
    }

    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text { .. } => None,
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Text { .. } => "text".to_owned(),
        }
    }
}
