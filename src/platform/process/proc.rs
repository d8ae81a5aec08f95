//! What the system tells of processes: `/proc` of Linux. Where it is missing, nothing is known, and everything here says so.
//!
//! Only reads. Files of `/proc` are made up while they are read, so this does not wait for a disk; a walk over all processes still takes a while and is for
//! a thread that may block.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::template::MARK;

/// Clock ticks of `/proc` in a second: `USER_HZ`, which is 100 on every architecture that Rust's tokio runs on (proc(5), sysconf(3)).
pub(super) const TICKS_PER_SECOND: f64 = 100.0;

/// A process, told apart from every other that has or had the same number since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Its number.
    pub(super) pid: i32,
    /// When it started, in clock ticks since the machine did (proc(5), field 22 of `stat`).
    pub(super) started: u64,
}

/// What the processes of a group use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Consumption {
    /// Processor time so far, in clock ticks.
    pub(super) ticks: u64,
    /// Resident memory in KiB; what they share counts for each.
    pub(super) memory_kib: u64,
}

/// What is read of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    is_alive: bool,
    group: i32,
    ticks: u64,
    started: u64,
}

impl Identity {
    /// Returns what the process with this number is; `None` when there is none that runs, or nobody knows.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let stat = stat(pid).filter(|stat| stat.is_alive)?;
        Some(Self { pid, started: stat.started })
    }

    /// Tells whether it still runs.
    pub(super) fn is_running(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Returns how long it has run.
    pub(super) fn age(self) -> Option<Duration> {
        let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
        Duration::try_from_secs_f64(uptime - self.started as f64 / TICKS_PER_SECOND).ok()
    }
}

/// Returns what tells this run of the machine from every other.
pub(super) fn boot() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

/// Returns the memory of the machine, in KiB.
pub(super) fn memory_kib() -> Option<u64> {
    kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// Returns the processes of a group that run, without its leader.
pub(super) fn followers(group: i32) -> Vec<i32> {
    all().filter(|pid| *pid != group && stat(*pid).is_some_and(|stat| stat.is_alive && stat.group == group)).collect()
}

/// Tells whether a process has this mark in its environment.
pub(super) fn has_mark(pid: i32, mark: &str) -> bool {
    let wanted = format!("{MARK}={mark}");
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|line| line == wanted.as_bytes()))
}

/// Finds the leader of a group that has this mark.
pub(super) fn leader(mark: &str) -> Option<Identity> {
    let is_leader = |pid: &i32| stat(*pid).is_some_and(|stat| stat.is_alive && stat.group == *pid);
    all().filter(is_leader).find(|pid| has_mark(*pid, mark)).and_then(Identity::of)
}

/// Adds up what groups use; `None` where nobody knows. Takes a look at every process of the machine.
pub(super) fn consumption(groups: &[Identity]) -> Option<BTreeMap<Identity, Consumption>> {
    let leaders: BTreeMap<i32, Identity> =
        groups.iter().filter(|leader| leader.is_running()).map(|leader| (leader.pid, *leader)).collect();
    let mut found: BTreeMap<Identity, Consumption> = BTreeMap::new();
    for pid in all() {
        let Some(stat) = stat(pid) else { continue };
        let Some(leader) = leaders.get(&stat.group) else { continue };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let sum = found.entry(*leader).or_default();
        sum.ticks = sum.ticks.saturating_add(stat.ticks);
        // A process that is just ending has none.
        sum.memory_kib = sum.memory_kib.saturating_add(kib(&status, "VmRSS:").unwrap_or(0));
    }
    (!found.is_empty()).then_some(found)
}

fn all() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn stat(pid: i32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads a line of `/proc/PID/stat` (proc(5)).
fn parse(line: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses; it may hold spaces and parentheses itself.
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // `number` counts as the manual does, from 1.
    let field = |number: usize| fields.get(number.checked_sub(3)?).copied();
    let ticks = |number: usize| field(number).and_then(|text| text.parse::<u64>().ok());
    // With the time of children that have ended and were waited for: else the sum over a group would fall when one ends.
    let spent = [14, 15, 16, 17].into_iter().map(ticks).sum::<Option<u64>>()?;
    Some(Stat {
        is_alive: !matches!(field(3)?, "Z" | "X" | "x"),
        group: field(5)?.parse().ok()?,
        ticks: spent,
        started: ticks(22)?,
    })
}

/// Finds a figure such as `VmRSS:    1234 kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    const LINE: &str =
        "4242 (a) b (c) S 1 4240 4240 0 -1 4194560 100 0 0 0 7 5 2 1 20 0 4 0 98765 1000 200 18446744073709551615 1 1 0";

    #[test]
    fn a_line_of_stat_is_read_by_the_manual() {
        assert_eq!(parse(LINE), Some(Stat { is_alive: true, group: 4240, ticks: 15, started: 98765 }));
        assert_eq!(parse(&LINE.replace(") S ", ") Z ")).map(|stat| stat.is_alive), Some(false));
        assert_eq!(parse("4242 (a) S 1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn figures_of_memory_are_found() {
        assert_eq!(kib("VmPeak:  10 kB\nVmRSS:\t   1234 kB\n", "VmRSS:"), Some(1234));
        assert_eq!(kib("VmRSS: many\n", "VmRSS:"), None);
        assert_eq!(kib("", "VmRSS:"), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in ".*") {
            let _ = (parse(&text), kib(&text, "VmRSS:"));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_finds_itself_and_no_other_with_its_number() {
        let own = Identity::of(std::process::id().try_into().unwrap()).unwrap();
        assert!(own.is_running());
        assert!(!Identity { started: own.started + 1, ..own }.is_running());
        assert!(own.age().unwrap() < Duration::from_secs(24 * 3600));
        assert!(!has_mark(own.pid, "no such mark"));
        assert!(boot().is_some_and(|boot| !boot.is_empty()));
    }
}
