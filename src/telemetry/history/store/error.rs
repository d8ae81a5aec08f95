//! What goes wrong with the file.

use std::io;
use std::path::PathBuf;

/// Why history is not, or not as it was, on disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file was damaged, or was not one of Tidegate's; it was put aside and a new one begun.
    #[error("history in {path} cannot be read ({detail}); the file is now {aside} and a new one has begun", path = .path.display(), aside = .aside.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where it is now.
        aside: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Another process has the file; history is in memory only.
    #[error("{path} is in use by another Tidegate; history is kept in memory only", path = .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder cannot be used; history is in memory only.
    #[error("{path} cannot be used; history is kept in memory only", path = .path.display())]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why something could not be read from the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk or the file fails.
    #[error("the history store cannot be read: {0}")]
    Disk(String),
    /// The file is not open at the moment, as it could not be written; it is tried again.
    #[error("the history store is closed after an error and will be tried again")]
    Closed,
}
