//! A proxy in this process whose config is a file that the test writes again.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidegate::admin::ReloadFailure;
use tidegate::app::Source;
use tidegate::registry::Report;

use crate::lab::Lab;

/// A proxy whose config is a file.
pub struct Written {
    pub lab: Lab,
    folder: TempDir,
}

/// A config with an admin server, when it has none.
pub fn with_admin(yaml: &str) -> String {
    if yaml.contains("admin:") { yaml.to_owned() } else { format!("{yaml}\nadmin: {{ bind: 127.0.0.1:0 }}\n") }
}

impl Written {
    /// Writes the config and starts a proxy with it.
    pub async fn start(yaml: &str) -> Self {
        Self::prepared(yaml, |_| {}).await
    }

    /// Starts a proxy with files beside its config, which `prepare` puts into the folder.
    pub async fn prepared(yaml: &str, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        prepare(folder.path());
        write(&folder.path().join("tidegate.yaml"), yaml);
        let lab = Lab::from(Source::File(folder.path().join("tidegate.yaml"))).await;
        Self { lab: lab.unwrap_or_else(|error| panic!("{error:#}\n{yaml}")), folder }
    }

    /// Returns the folder of the config.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the config's path.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("tidegate.yaml")
    }

    /// Writes another config, without telling the proxy.
    pub fn write(&self, yaml: &str) {
        write(&self.path(), yaml);
    }

    /// Writes another config and lets the proxy take it.
    pub async fn reload(&self, yaml: &str) -> Result<Report, ReloadFailure> {
        self.write(yaml);
        self.lab.proxy.reload().await
    }
}

fn write(path: &Path, yaml: &str) {
    std::fs::write(path, with_admin(yaml)).expect("the folder should take a file");
}
