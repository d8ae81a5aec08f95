//! Whether certificate files can be read; what is in them is judged when they are applied.

use std::fs::File;
use std::path::Path;

use super::Report;
use crate::config::raw::FilePath;
use crate::config::shape::Text;

/// Reports a file that cannot be read.
pub(super) fn readable(path: &Text<FilePath>, base: &Path, report: &mut Report<'_>) {
    let full = base.join(&path.value.0);
    // Asked before it is opened: to open a pipe would wait for its writer.
    let result = std::fs::metadata(&full).and_then(|metadata| {
        if metadata.is_file() { File::open(&full).map(drop) } else { Err(std::io::Error::other("it is not a file")) }
    });
    if let Err(error) = result {
        report.error(path.id, format!("cannot read {:?}: {error}", full.display().to_string()));
    }
}
