//! Where history, decisions and the list of local processes are kept.

use std::env;
use std::path::{Path, PathBuf};

use super::source::Source;
use crate::kit::hash;
use crate::model::Snapshot;

/// Chooses the folder: the config's; else what systemd gives (`STATE_DIRECTORY`); else a folder of this config file's own where the XDG Base
/// Directory Specification puts state. `None` for a config that is no file and names none.
pub(super) fn folder(snapshot: &Snapshot, source: &Source) -> Option<PathBuf> {
    choose(snapshot.storage.path.as_deref(), source.file(), &|name| env::var_os(name).map(PathBuf::from))
}

/// Names who owns what runs on an engine that other Tidegates use too: the gateway's name, else one that goes with its state, so that it is the
/// same after a restart and another one for another config.
pub(super) fn owner(identity: Option<String>, folder: Option<&Path>) -> String {
    let of_folder = |folder: &Path| {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        format!("tidegate-{:08x}", hash::stable(folder.as_os_str().as_encoded_bytes()) >> 32)
    };
    identity.or_else(|| folder.map(of_folder)).unwrap_or_else(|| "tidegate".to_owned())
}

fn choose(given: Option<&Path>, file: Option<&Path>, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if let Some(given) = given {
        return Some(given.to_owned());
    }
    // Of several, separated by colons, the first.
    let of_systemd = variable("STATE_DIRECTORY").and_then(|paths| env::split_paths(&paths).next());
    let file = file?;
    of_systemd.or_else(|| {
        let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
        let state = state.filter(|path| path.is_absolute())?;
        // Two files are two instances; the same file is the same one after a restart.
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        Some(state.join("tidegate").join(format!("{:016x}", hash::stable(file.as_os_str().as_encoded_bytes()))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(given: Option<&str>, file: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value));
        choose(given.map(Path::new), file.map(Path::new), &variable).map(|path| path.display().to_string())
    }

    #[test]
    fn the_config_says_where_state_is_kept() {
        assert_eq!(chosen(Some("/srv/state"), Some("/etc/a.yaml"), &[("STATE_DIRECTORY", "/x")]).as_deref(), Some("/srv/state"));
    }

    #[test]
    fn a_service_of_systemd_has_a_folder() {
        let variables = [("STATE_DIRECTORY", "/var/lib/tidegate:/var/lib/other"), ("HOME", "/root")];
        assert_eq!(chosen(None, Some("/etc/a.yaml"), &variables).as_deref(), Some("/var/lib/tidegate"));
    }

    #[test]
    fn each_file_has_its_own_folder_in_the_home_of_its_user() {
        let home = [("HOME", "/home/u")];
        let one = chosen(None, Some("/etc/a.yaml"), &home).unwrap();
        assert!(one.starts_with("/home/u/.local/state/tidegate/"), "{one}");
        assert_eq!(chosen(None, Some("/etc/a.yaml"), &home).as_ref(), Some(&one));
        assert_ne!(chosen(None, Some("/etc/b.yaml"), &home).as_ref(), Some(&one));
        assert!(
            chosen(None, Some("/etc/a.yaml"), &[("XDG_STATE_HOME", "/state"), ("HOME", "/home/u")]).unwrap().starts_with("/state/")
        );
    }

    #[test]
    fn an_owner_goes_with_a_gateway_or_its_state() {
        let at = |folder: &str| owner(None, Some(Path::new(folder)));
        assert_eq!(owner(Some("edge-1".to_owned()), Some(Path::new("/a"))), "edge-1");
        assert_eq!(at("/a"), at("/a"));
        assert_ne!(at("/a"), at("/b"));
        assert_eq!(owner(None, None), "tidegate");
    }

    #[test]
    fn without_file_and_path_nothing_is_kept() {
        assert_eq!(chosen(None, None, &[("HOME", "/home/u")]), None);
        assert_eq!(chosen(None, Some("/etc/a.yaml"), &[]), None);
    }
}
