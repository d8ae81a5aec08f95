//! A temporary folder for what the demo's proxy keeps; it goes with the demo.
//!
//! A demo that is killed leaves it behind, as every program does: it holds a small file of history and the agents' output.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::{env, process};

use anyhow::Context;

/// A folder that is removed with all that is in it when this is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Creates one that is its owner's alone.
    ///
    /// # Errors
    /// When the system's temporary folder takes none.
    pub(super) fn create() -> anyhow::Result<Self> {
        let path = env::temp_dir().join(format!("tidegate-demo-{}-{:016x}", process::id(), fastrand::u64(..)));
        // Fails when somebody has put something there already, a link among others.
        DirBuilder::new().mode(0o700).create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    /// Returns where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The system clears its temporary folder some day.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_its_owners_alone_and_goes_with_what_is_in_it() {
        let folder = Folder::create().unwrap();
        let path = folder.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(path.join("a"), "b").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
