//! The files of a pool's processes: who runs, what they say, and the lock that keeps two Tidegates from running one pool's processes twice.
//!
//! Nothing is forced to the disk: a rename keeps the list whole when Tidegate is killed, which is what it is for. When the machine stops, the processes are
//! gone as well.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::proc::Identity;
use crate::model::Id;

/// What is written down of a pool's processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Roll {
    /// How many replicas are wanted.
    pub(super) desired: u32,
    /// The run of the machine in which this was written.
    pub(super) boot: Option<String>,
    /// Those that there are.
    pub(super) replicas: Vec<Entry>,
}

/// What is written down of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) name: Id,
    pub(super) port: u16,
    /// What it has in its environment; only the process of this start has it.
    pub(super) mark: String,
    /// The fingerprint of the program.
    pub(super) program: u64,
    /// The process; `None` from just before its start to just after.
    pub(super) process: Option<Identity>,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// Another Tidegate has the lock.
    #[error("another Tidegate (process {holder}) runs the processes of pool {pool:?} from {}", .folder.display())]
    Taken { holder: String, pool: String, folder: PathBuf },
    /// The file system says no.
    #[error("cannot use {}: {source}", .path.display())]
    Unusable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The files of one pool, locked for this process until it is dropped.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// The system takes the lock away when the process ends, however it does.
    lock: File,
}

impl Store {
    /// Opens and locks the files of `pool` below `folder`.
    ///
    /// # Errors
    /// When another Tidegate has them, or the file system says no.
    pub(super) fn open(folder: &Path, pool: &Id) -> Result<Self, StoreError> {
        let folder = folder.join("processes").join(pool.as_str());
        let unusable = |path: &Path, source| StoreError::Unusable { path: path.to_owned(), source };
        // Only the owner: processes may write secrets to their output.
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| unusable(&folder, error))?;
        let path = folder.join("lock");
        // Never removed: whoever waits for the lock of a removed file would not see the next one.
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut lock = open.map_err(|error| unusable(&path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message.
                let _ = lock.read_to_string(&mut holder);
                return Err(StoreError::Taken { holder: holder.trim().to_owned(), pool: pool.to_string(), folder });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(&path, error)),
        }
        let sign = lock.set_len(0).and_then(|()| writeln!(lock, "{}", process::id()));
        sign.map_err(|error| unusable(&path, error))?;
        Ok(Self { folder, lock })
    }

    /// Reads what was written down; nothing when there is nothing, or nothing that can be understood.
    pub(super) fn read(&self) -> Roll {
        let path = self.list();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Roll::default(),
            Err(error) => {
                warn!(path = %path.display(), %error, "The list of processes cannot be read; those of an earlier run are not found.");
                return Roll::default();
            }
        };
        serde_json::from_str(&text).unwrap_or_else(|error| {
            warn!(path = %path.display(), %error, "The list of processes is damaged; those of an earlier run are not found.");
            Roll::default()
        })
    }

    /// Writes down what there is, all or nothing.
    ///
    /// # Errors
    /// When the file system says no; what was written before stays.
    pub(super) fn write(&self, roll: &Roll) -> io::Result<()> {
        let (path, new) = (self.list(), self.folder.join("replicas.json.new"));
        let text = serde_json::to_vec(roll)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        fs::rename(new, path)
    }

    /// Removes the list; what the replicas have said stays.
    pub(super) fn remove(&self) {
        let path = self.list();
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(path = %path.display(), %error, "The list of processes cannot be removed.");
        }
    }

    /// Returns where a replica's output goes.
    pub(super) fn log(&self, replica: &Id) -> PathBuf {
        self.folder.join(format!("{replica}.log"))
    }

    fn list(&self) -> PathBuf {
        self.folder.join("replicas.json")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that is just being started has it open too, until its program runs (flock(2)).
        let _ = self.lock.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Id {
        "a".parse().unwrap()
    }

    fn roll() -> Roll {
        let process = Some(Identity { pid: 7, started: u64::MAX });
        let entry = Entry { name: "a-1".parse().unwrap(), port: 80, mark: "m".to_owned(), program: u64::MAX, process };
        let starting = Entry { name: "a-2".parse().unwrap(), process: None, ..entry.clone() };
        Roll { desired: 3, boot: Some("b".to_owned()), replicas: vec![entry, starting] }
    }

    #[test]
    fn what_is_written_is_read_again_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &pool()).unwrap();
        assert_eq!(store.read(), Roll::default());
        store.write(&roll()).unwrap();
        drop(store);
        let store = Store::open(folder.path(), &pool()).unwrap();
        assert_eq!(store.read(), roll());
        store.remove();
        assert_eq!(store.read(), Roll::default());
    }

    #[test]
    fn a_damaged_list_is_no_list() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &pool()).unwrap();
        for text in ["", "{", "{\"desired\":-1}", "[]"] {
            fs::write(store.list(), text).unwrap();
            assert_eq!(store.read(), Roll::default(), "{text}");
        }
    }

    #[test]
    fn one_tidegate_at_a_time_has_the_files_of_a_pool() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &pool()).unwrap();
        let error = Store::open(folder.path(), &pool()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("another Tidegate (process {})", process::id())), "{error}");
        assert!(Store::open(folder.path(), &"b".parse().unwrap()).is_ok());
        drop(store);
        assert!(Store::open(folder.path(), &pool()).is_ok());
    }
}
