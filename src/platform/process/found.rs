//! What an earlier Tidegate has left behind: told apart from processes that only have the same number, and taken back.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tracing::{info, warn};

use super::proc::{self, Identity};
use super::running::{Running, kill_orphans};
use super::store::{Entry, Roll};

/// Returns the processes of `roll` that still run. Of a group that has lost its leader, the rest is killed: nobody could say that it serves.
pub(super) fn found(roll: Roll, is_left: &Arc<AtomicBool>) -> Vec<(Entry, Running)> {
    if roll.replicas.is_empty() {
        return Vec::new();
    }
    let boot = proc::boot();
    if boot.is_none() {
        warn!(replicas = roll.replicas.len(), "Processes of an earlier run cannot be found again on this system.");
    }
    if boot.is_none() || boot != roll.boot {
        return Vec::new();
    }
    roll.replicas.into_iter().filter_map(|entry| take_back(entry, is_left)).collect()
}

fn take_back(mut entry: Entry, is_left: &Arc<AtomicBool>) -> Option<(Entry, Running)> {
    // Without a process the earlier Tidegate ended just before or just after it started one.
    // Whatever a damaged list says: the first process and its group are never a replica, and a signal to "group 1" would reach everybody (kill(2)).
    let identity = entry.process.or_else(|| proc::leader(&entry.mark)).filter(|identity| identity.pid > 1)?;
    entry.process = Some(identity);
    if let Some(running) = Running::found(identity, entry.mark.clone(), is_left.clone()) {
        return Some((entry, running));
    }
    let Identity { pid, .. } = identity;
    if kill_orphans(pid, &entry.mark) {
        info!(replica = %entry.name, pid, "What was left of a replica of an earlier run is killed.");
    }
    None
}
