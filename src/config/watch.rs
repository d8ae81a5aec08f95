//! Says when a config or a file that belongs to it has really changed.
//!
//! Folders are watched, not files: an editor puts a new file in place of the old one, and Kubernetes swaps the `..data` link
//! beside a ConfigMap's files. What counts is the content; a touch or a rewrite of the same text is no change. A slow poll is the
//! net under both, for file systems that tell nothing. A file that is gone is no change either: what was read of it still holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use rapidhash::v3::rapidhash_v3;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

/// Editors and deployments write several files: silence this long means that they are done.
const QUIET: Duration = Duration::from_millis(200);

/// Something that writes without end must not put the change off for ever.
const MAX_UNREST: Duration = Duration::from_secs(2);

/// For file systems that tell nothing (NFS, some container mounts).
const POLL: Duration = Duration::from_secs(10);

/// Files by path, each with the hash of its content; `None` as long as it could not be read.
type Contents = BTreeMap<PathBuf, Option<u64>>;

/// Watches a config and the files that belong to it, until dropped.
#[derive(Debug)]
pub struct Watcher {
    config: PathBuf,
    files: watch::Sender<Contents>,
    changes: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

/// Watches `config` and `files` from now on; call it before reading them, so that no change falls in between.
///
/// Only the content of files counts. Changes that follow each other closely are one.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn watch(config: &Path, files: &[PathBuf]) -> Watcher {
    let (files, wanted) = watch::channel(contents(config, files));
    let (sender, changes) = watch::channel(0);
    // Named by its one field in `Watcher`, which ends it when dropped.
    let task = tokio::spawn(run(wanted, sender));
    Watcher { config: config.to_owned(), files, changes, task }
}

impl Watcher {
    /// Waits for the next change; one that came before is told at once, several are told as one.
    ///
    /// Cancel safe. Never returns when the task that watches has died.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Replaces the files that are watched beside the config; call it before reading them.
    pub fn set_files(&self, files: &[PathBuf]) {
        self.files.send_replace(contents(&self.config, files));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(mut wanted: watch::Receiver<Contents>, changes: watch::Sender<u64>) {
    // One place is enough: a second event while one waits says nothing new.
    let (events, mut incoming) = mpsc::channel(1);
    let mut folders = Folders::new(events);
    let mut known = wanted.borrow_and_update().clone();
    folders.follow(&known);
    // The folders are watched only now: whatever happened since the contents were read is looked for at once.
    let mut is_first = true;
    loop {
        if !is_first {
            // All branches are cancel safe: nothing is taken but by the one that wins.
            tokio::select! {
                _ = incoming.recv() => {}
                result = wanted.changed() => {
                    if result.is_err() { return }
                    adopt(&mut known, wanted.borrow_and_update().clone());
                }
                () = sleep(POLL) => {}
            }
        }
        is_first = false;
        folders.follow(&known);
        // Also when no event woke us: a file that is being written is half of itself.
        settle(&mut incoming).await;
        let paths: Vec<PathBuf> = known.keys().cloned().collect();
        // Reading blocks; the control runtime has two threads.
        let Ok(found) = tokio::task::spawn_blocking(move || read_all(paths)).await else { return };
        let mut has_changed = false;
        for (path, content) in found {
            if content.is_some() && known.get(&path).is_some_and(|before| *before != content) {
                known.insert(path, content);
                has_changed = true;
            }
        }
        if has_changed {
            changes.send_modify(|generation| *generation = generation.wrapping_add(1));
        }
    }
}

/// Waits until no event has come for a while.
async fn settle(incoming: &mut mpsc::Receiver<()>) {
    let begin = Instant::now();
    while begin.elapsed() < MAX_UNREST && matches!(timeout(QUIET, incoming.recv()).await, Ok(Some(()))) {}
}

/// Takes over a new list of files; one that was there already keeps its content, so that a change not yet told is told.
fn adopt(known: &mut Contents, wanted: Contents) {
    known.retain(|path, _| wanted.contains_key(path));
    for (path, content) in wanted {
        known.entry(path).or_insert(content);
    }
}

fn contents(config: &Path, files: &[PathBuf]) -> Contents {
    read_all(std::iter::once(config.to_owned()).chain(files.iter().cloned()).collect())
}

fn read_all(paths: Vec<PathBuf>) -> Contents {
    paths
        .into_iter()
        .map(|path| {
            let content = fingerprint(&path);
            (path, content)
        })
        .collect()
}

fn fingerprint(path: &Path) -> Option<u64> {
    // Asked before it is read: to read a pipe would wait for its writer.
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    std::fs::read(path).ok().map(|bytes| rapidhash_v3(&bytes))
}

/// The folders that are watched; empty-handed when the system does not let us, then the poll does the work.
struct Folders {
    watcher: Option<RecommendedWatcher>,
    /// Keeps the channel open when there is no watcher to send on it.
    _events: mpsc::Sender<()>,
    followed: BTreeSet<PathBuf>,
}

impl Folders {
    fn new(events: mpsc::Sender<()>) -> Self {
        let kept = events.clone();
        let handler = move |event: notify::Result<notify::Event>| {
            // Our own reading is an access, and must not set off another one.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                // Full means that one waits already.
                let _ = events.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(handler)
            .inspect_err(|error| warn!(%error, "Files cannot be watched, they are polled."))
            .ok();
        Self { watcher, _events: kept, followed: BTreeSet::new() }
    }

    /// Watches exactly the folders of the files: where each stands, and where it leads when it is a link.
    fn follow(&mut self, files: &Contents) {
        let Some(watcher) = &mut self.watcher else { return };
        let targets = files.keys().flat_map(|path| [Some(path.clone()), path.canonicalize().ok()]);
        let wanted: BTreeSet<PathBuf> = targets.flatten().map(|path| folder(&path)).collect();
        for gone in self.followed.difference(&wanted) {
            // The system forgets a folder that was deleted by itself.
            let _ = watcher.unwatch(gone);
        }
        let mut followed: BTreeSet<PathBuf> = self.followed.intersection(&wanted).cloned().collect();
        for path in wanted {
            if !followed.contains(&path) && watcher.watch(&path, RecursiveMode::NonRecursive).is_ok() {
                followed.insert(path);
            }
        }
        self.followed = followed;
    }
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests;
