//! What a replica writes to its standard output and error: a file that does not grow for ever.
//!
//! A file and no pipe: a pipe breaks when Tidegate is killed, and the next write would kill a replica that the next Tidegate wants to take back.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::Stdio;

/// Above this a file is emptied, in bytes.
const LARGEST: u64 = 10 << 20;

/// How far from the end the last line is looked for, in bytes.
const TAIL: u64 = 4096;

/// How much of the last line is told, in characters.
const TOLD: usize = 300;

/// The file of one start of a replica.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    /// Where this start's text begins.
    start: u64,
}

impl Output {
    /// Opens the file at `path` to write at its end; without a path, a file without a name that goes with its last user.
    ///
    /// # Errors
    /// When the file system says no.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        // Only the owner reads what a program may let slip. Every write goes to the end, also after the file was emptied.
        options.read(true).append(true).mode(0o600);
        let file = match path {
            Some(path) => options.create(true).open(path)?,
            None => {
                let path = std::env::temp_dir().join(format!("tidegate-{:032x}", fastrand::u128(..)));
                let file = options.create_new(true).open(&path)?;
                fs::remove_file(path)?;
                file
            }
        };
        let start = file.metadata()?.len();
        let mut output = Self { file, start };
        output.trim()?;
        Ok(output)
    }

    /// Returns the file for a child.
    ///
    /// # Errors
    /// When there are too many open files.
    pub(super) fn stdio(&self) -> io::Result<Stdio> {
        Ok(self.file.try_clone()?.into())
    }

    /// Empties a file that has grown too large.
    ///
    /// # Errors
    /// When the file system says no.
    pub(super) fn trim(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() > LARGEST {
            self.file.set_len(0)?;
            self.start = 0;
        }
        Ok(())
    }

    /// Returns the last line that has text, of what was written since this start; `None` when there is none or it cannot be read.
    pub(super) fn last_line(&self) -> Option<String> {
        let end = self.file.metadata().ok()?.len();
        let from = end.saturating_sub(TAIL).max(self.start.min(end));
        // At most `TAIL`, so it fits.
        let mut tail = vec![0; usize::try_from(end - from).unwrap_or(0)];
        self.file.read_exact_at(&mut tail, from).ok()?;
        let text = String::from_utf8_lossy(&tail);
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        Some(line.chars().filter(|c| !c.is_control()).take(TOLD).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_line_of_this_start_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "of an earlier start\n").unwrap();
        let output = Output::open(Some(&path)).unwrap();
        assert_eq!(output.last_line(), None);
        (&output.file).write_all(b"one\n two\x1b[0m \n\n  \n").unwrap();
        assert_eq!(output.last_line(), Some("two[0m".to_owned()));
        (&output.file).write_all("x".repeat(10_000).as_bytes()).unwrap();
        assert_eq!(output.last_line(), Some("x".repeat(TOLD)));
        assert!(fs::read_to_string(&path).unwrap().starts_with("of an earlier start\none\n"));
    }

    #[test]
    fn a_file_that_has_grown_too_large_is_emptied_and_written_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut output = Output::open(Some(&path)).unwrap();
        (&output.file).write_all(b"first\n").unwrap();
        output.trim().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first\n");
        output.file.set_len(LARGEST + 1).unwrap();
        output.trim().unwrap();
        (&output.file).write_all(b"next\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"next\n");
        assert_eq!(output.last_line(), Some("next".to_owned()));
    }

    #[test]
    fn without_a_path_nothing_is_left_behind() {
        let output = Output::open(None).unwrap();
        (&output.file).write_all(b"text\n").unwrap();
        assert_eq!(output.last_line(), Some("text".to_owned()));
        use std::os::unix::fs::MetadataExt;
        assert_eq!(output.file.metadata().unwrap().nlink(), 0);
    }
}
