use std::fs;

use super::*;

/// More than any machine needs, less than the patience of who waits for the tests; shorter than the poll, so that it proves events.
const SOON: Duration = Duration::from_secs(9);

async fn changes(watcher: &mut Watcher) {
    timeout(SOON, watcher.changed()).await.expect("no change was told");
}

/// Watches and waits until the folders are followed, seen by a first change that is told.
async fn watched(config: &Path, files: &[PathBuf]) -> Watcher {
    let mut watcher = watch(config, files);
    fs::write(config, "first change").unwrap();
    changes(&mut watcher).await;
    watcher
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_place_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("t.yaml");
    fs::write(&config, "a").unwrap();
    let mut watcher = watched(&config, &[]).await;
    fs::write(&config, "b").unwrap();
    changes(&mut watcher).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editors_rename_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("t.yaml");
    fs::write(&config, "a").unwrap();
    let mut watcher = watched(&config, &[]).await;
    for text in ["b", "c"] {
        let new = folder.path().join(".t.yaml.swp");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &config).unwrap();
        changes(&mut watcher).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_maps_link_swap_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, text) in [("..1", "a"), ("..2", "b"), ("..3", "c")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("t.yaml"), text).unwrap();
    }
    std::os::unix::fs::symlink("..1", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/t.yaml", at("t.yaml")).unwrap();
    let mut watcher = watched(&at("t.yaml"), &[]).await;
    for version in ["..2", "..3"] {
        std::os::unix::fs::symlink(version, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        changes(&mut watcher).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_text_written_again_is_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let (config, other) = (folder.path().join("t.yaml"), folder.path().join("other"));
    fs::write(&config, "a").unwrap();
    let mut watcher = watched(&config, &[]).await;
    fs::write(&config, "first change").unwrap();
    fs::write(&other, "not ours").unwrap();
    // Nothing to wait for: several times the silence after which a change would be told.
    assert!(timeout(QUIET * 6, watcher.changed()).await.is_err());
    fs::remove_file(&config).unwrap();
    assert!(timeout(QUIET * 6, watcher.changed()).await.is_err(), "a file that is gone is no change");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_can_be_replaced_while_watching() {
    let (folder, certificates) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = folder.path().join("t.yaml");
    let (old, new) = (certificates.path().join("old.pem"), certificates.path().join("new.pem"));
    for path in [&config, &old, &new] {
        fs::write(path, "a").unwrap();
    }
    let mut watcher = watched(&config, std::slice::from_ref(&old)).await;
    fs::write(&old, "b").unwrap();
    changes(&mut watcher).await;
    watcher.set_files(std::slice::from_ref(&new));
    fs::write(&new, "b").unwrap();
    changes(&mut watcher).await;
    fs::write(&old, "c").unwrap();
    assert!(timeout(QUIET * 6, watcher.changed()).await.is_err(), "a file that is no longer watched was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_before_the_first_wait_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("t.yaml");
    let mut watcher = watch(&config, &[]);
    fs::write(&config, "appears").unwrap();
    changes(&mut watcher).await;
}
