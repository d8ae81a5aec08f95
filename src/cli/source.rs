//! Which config file a subcommand reads, and reading it.

use std::path::{Path, PathBuf};

use super::args::Source;
use super::output::Usage;

/// Where a config file is looked for when none is named, in this order.
const PLACES: [&str; 2] = ["tidegate.yaml", "/etc/tidegate/tidegate.yaml"];

/// Returns the file that `source` names, else the first of [`PLACES`] that exists.
///
/// # Errors
/// [`Usage`], when none is named and none exists.
pub(super) fn path(source: &Source) -> Result<PathBuf, Usage> {
    match &source.config {
        Some(path) => Ok(path.clone()),
        None => first_that_exists(&PLACES)
            .ok_or_else(|| Usage(format!("there is no {}; name a file with --config", PLACES.join(" or ")))),
    }
}

fn first_that_exists(places: &[impl AsRef<Path>]) -> Option<PathBuf> {
    places.iter().map(AsRef::as_ref).find(|path| path.exists()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_is_taken_whether_it_exists_or_not() {
        let source = Source { config: Some(PathBuf::from("/nowhere/x.yaml")) };
        assert_eq!(path(&source).unwrap(), PathBuf::from("/nowhere/x.yaml"));
    }

    #[test]
    fn the_first_place_with_a_file_wins() {
        let folder = tempfile::tempdir().unwrap();
        let places = [folder.path().join("a"), folder.path().join("b"), folder.path().join("c")];
        assert_eq!(first_that_exists(&places), None);
        std::fs::write(&places[2], "").unwrap();
        assert_eq!(first_that_exists(&places), Some(places[2].clone()));
        std::fs::write(&places[1], "").unwrap();
        assert_eq!(first_that_exists(&places), Some(places[1].clone()));
    }
}
