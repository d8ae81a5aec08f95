//! Reading a config: from text to snapshot, with everything that is wrong or odd on the way.

use std::fmt;
use std::path::{Path, PathBuf};

use super::check::{self, Report};
use super::raw::File;
use super::shape::{self, Log};
use super::tree::Tree;
use super::{compile, env};
use crate::config::problem::{Errors, Problem, arrange};
use crate::model::Snapshot;

/// A config that can be applied.
pub struct Loaded {
    /// What it means.
    pub snapshot: Snapshot,
    /// What is allowed but odd, in the order of the file.
    pub warnings: Vec<Problem>,
    /// The certificate and key files that it names: to be watched beside the file itself.
    pub files: Vec<PathBuf>,
    /// The text it was read from, before variables were put in.
    pub text: String,
}

impl fmt::Debug for Loaded {
    // The text may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("snapshot", &self.snapshot)
            .field("warnings", &self.warnings)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Reads a file; variables come from the environment of the process, relative paths start at the folder of the file.
///
/// # Errors
/// When the file cannot be read, or anything in it is wrong.
pub fn load(path: &Path) -> Result<Loaded, Errors> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| Errors::whole_file(&name, format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Errors::whole_file(&name, "is not UTF-8 text".to_owned()))?;
    read(&text, &name, path.parent().unwrap_or(Path::new("")), &|name| std::env::var(name).ok())
}

/// Reads a config from text; looks at nothing outside but whether certificate files can be read, and which time zones there are.
///
/// `file_name` is what problems name, `base_dir` is where relative paths start, `env` looks variables up.
///
/// # Errors
/// When anything in it is wrong; everything that is wrong is told at once.
pub fn read(text: &str, file_name: &str, base_dir: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Errors> {
    let mut tree = Tree::parse(text).map_err(|error| {
        let path = String::new();
        let (line, column) = (error.line, error.column);
        Errors::new(vec![Problem { file: file_name.to_owned(), line, column, path, message: error.message, suggestion: None }])
    })?;
    let log = Log::default();
    let unset = env::resolve(&mut tree.root, env);
    unset.iter().for_each(|fault| {
        log.spoil(fault.id);
    });
    let file: Option<File> = shape::read(&tree.root, &log);
    let mut report = Report::new(&tree, file_name);
    for fault in unset {
        report.error_with(fault.id, fault.message, fault.suggestion);
    }
    for fault in log.into_faults() {
        report.error_with(fault.id, fault.message, fault.suggestion);
    }
    if let Some(file) = &file {
        check::file(file, base_dir, &mut report);
    }
    let (errors, mut warnings) = report.into_parts();
    let Some(file) = file.filter(|_| errors.is_empty()) else { return Err(Errors::new(errors)) };
    arrange(&mut warnings);
    let snapshot = compile::snapshot(&file, base_dir);
    let files = compile::certificate_files(&snapshot);
    Ok(Loaded { snapshot, warnings, files, text: text.to_owned() })
}

#[cfg(test)]
mod autoscale_tests;
#[cfg(test)]
mod policies_tests;
#[cfg(test)]
mod sizing_tests;
#[cfg(test)]
mod tests;
