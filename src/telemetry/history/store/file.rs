//! The file: opened, checked, and put aside when it cannot be used.

use std::fs;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, Error};

use super::error::OpenError;
use super::tables::{self, Kept};

/// The name of the file in its folder.
pub(in super::super) const NAME: &str = "history.redb";

/// Pages of the file that are kept in memory; the rows are in memory anyway.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Broken files that are put aside at most; the last one is replaced after that.
const ASIDE: u32 = 9;

/// How a file becomes a database.
pub(in super::super) type Opener = Box<dyn Fn(&Path) -> Result<Database, DatabaseError> + Send>;

/// Where the file is, and how it is opened.
pub(in super::super) struct Place {
    path: PathBuf,
    opener: Opener,
}

/// An open file.
pub(super) struct Opened {
    pub database: Database,
    /// What it holds of rows.
    pub kept: Vec<Kept>,
    /// What was wrong with the one before it.
    pub broken: Option<OpenError>,
}

/// Why a file cannot be used.
enum Refusal {
    /// It may be put aside.
    Broken(String),
    Locked,
    Io(io::Error),
}

impl Place {
    /// The file in this folder.
    pub(in super::super) fn new(folder: &Path) -> Self {
        Self { path: folder.join(NAME), opener: Box::new(create) }
    }

    /// The same with another way to open it.
    #[cfg(test)]
    pub(super) fn opened_by(mut self, opener: Opener) -> Self {
        self.opener = opener;
        self
    }

    /// Returns the path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file, or a new one when it is broken or not there, and reads its rows.
    pub(super) fn open(&self) -> Result<Opened, OpenError> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(|source| OpenError::Unusable { path: folder.to_owned(), source })?;
        }
        match self.attempt() {
            Ok((database, kept)) => Ok(Opened { database, kept, broken: None }),
            Err(Refusal::Broken(detail)) => {
                let aside = self.put_aside().map_err(|source| self.unusable(source))?;
                let broken = Some(OpenError::Broken { path: self.path.clone(), aside, detail });
                let (database, kept) = self.attempt().map_err(|refusal| self.error(refusal))?;
                Ok(Opened { database, kept, broken })
            }
            Err(refusal) => Err(self.error(refusal)),
        }
    }

    fn attempt(&self) -> Result<(Database, Vec<Kept>), Refusal> {
        // The database checks what it reads, but says of damaged files that some of them may make it panic.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = (self.opener)(&self.path).map_err(Error::from)?;
            let kept = tables::begin(&database)?;
            Ok::<_, Error>((database, kept))
        }));
        match opened {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(error)) => Err(refusal(error)),
            Err(_) => Err(Refusal::Broken("reading it failed".to_owned())),
        }
    }

    fn error(&self, refusal: Refusal) -> OpenError {
        match refusal {
            Refusal::Locked => OpenError::Locked { path: self.path.clone() },
            Refusal::Io(source) => self.unusable(source),
            Refusal::Broken(detail) => self.unusable(io::Error::new(ErrorKind::InvalidData, detail)),
        }
    }

    fn unusable(&self, source: io::Error) -> OpenError {
        OpenError::Unusable { path: self.path.clone(), source }
    }

    fn put_aside(&self) -> io::Result<PathBuf> {
        let name = |number: u32| self.path.with_file_name(format!("{NAME}.broken-{number}"));
        let free = (1..ASIDE).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(ASIDE));
        fs::rename(&self.path, &free)?;
        Ok(free)
    }
}

/// Opens a database as this store wants it.
fn create(path: &Path) -> Result<Database, DatabaseError> {
    builder().create(path)
}

/// How this store wants a database: checked as a whole, since an ordinary opening trusts the file.
pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => Refusal::Locked,
        // What a file that is too short looks like.
        Error::Io(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => {
            Refusal::Broken(error.to_string())
        }
        Error::Io(error) => Refusal::Io(error),
        Error::Corrupted(_)
        | Error::UpgradeRequired(_)
        | Error::RepairAborted
        | Error::TableTypeMismatch { .. }
        | Error::TableIsMultimap(_)
        | Error::TableIsNotMultimap(_)
        | Error::TypeDefinitionChanged { .. } => Refusal::Broken(error.to_string()),
        error => Refusal::Io(io::Error::other(error)),
    }
}
