//! Fleets of shells that do not listen: how processes come, go, and are found again. Fleets that serve are in `tests/it/processes.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::fleet::Fleet;
use super::proc::{self, Identity};
use super::store::{Entry, Roll};
use super::template::{MARK, fingerprint};
use crate::model::{Id, Program, Secret};
use crate::platform::{Local, Phase, Replica, ScaleError, Scaler};

/// Nothing here takes this long but on a machine that stands still.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs for ever, as two processes.
const SLEEPS: &str = "sleep 1000 & wait";

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn shell(script: &str) -> Program {
    Program {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: BTreeMap::new(),
        folder: None,
        ready_timeout: Duration::from_secs(600),
        grace: Duration::from_secs(600),
    }
}

fn fleet(program: Program, folder: &TempDir) -> Fleet {
    Fleet::start(id("a"), program, Some(folder.path())).unwrap()
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("this should not take so long")
}

async fn until(fleet: &Fleet, is_so: impl FnMut(&Vec<Replica>) -> bool) -> Vec<Replica> {
    soon(fleet.replicas().wait_for(is_so)).await.unwrap().clone()
}

fn is_failed(replicas: &[Replica]) -> bool {
    replicas.iter().any(|replica| replica.phase == Phase::Failed)
}

fn files(folder: &TempDir) -> PathBuf {
    folder.path().join("processes/a")
}

fn roll(folder: &TempDir) -> Roll {
    serde_json::from_slice(&fs::read(files(folder).join("replicas.json")).unwrap()).unwrap()
}

fn processes(folder: &TempDir) -> Vec<Identity> {
    roll(folder).replicas.iter().filter_map(|entry| entry.process).collect()
}

/// Waits for the end of a process that is not ours to reap.
async fn gone(process: Identity) {
    let end = async {
        while process.is_running() || !proc::followers(process.pid).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    soon(end).await;
}

/// A process that a fleet might find; killed on drop.
struct Stranger {
    child: Child,
    identity: Identity,
    /// What it has in its environment, and nobody else.
    mark: String,
}

impl Stranger {
    fn start() -> Self {
        use std::os::unix::process::CommandExt;
        let mark = format!("{:032x}", fastrand::u128(..));
        let mut command = Command::new("sleep");
        command.arg("1000").env(MARK, &mark).process_group(0);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let identity = Identity::of(child.id().try_into().unwrap()).unwrap();
        // The kernel lets the parent go on a moment before it shows the new environment.
        while !proc::has_mark(identity.pid, &mark) {
            std::thread::yield_now();
        }
        Self { child, identity, mark }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(folder: &TempDir, entry: Entry, boot: Option<String>) {
    fs::create_dir_all(files(folder)).unwrap();
    let roll = Roll { desired: 1, boot, replicas: vec![entry] };
    fs::write(files(folder).join("replicas.json"), serde_json::to_vec(&roll).unwrap()).unwrap();
}

fn entry(program: &Program, process: Option<Identity>, mark: &str) -> Entry {
    // No port below 1024 is ever promised.
    Entry { name: id("a-1"), port: 7, mark: mark.to_owned(), program: fingerprint(program), process }
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_refused_and_tried_again() {
    let program = Program { command: vec!["/no/such/program".to_owned()], ..shell("") };
    let fleet = Fleet::start(id("a"), program, None).unwrap();
    let Err(ScaleError::Refused { detail, .. }) = fleet.scale_to(2, vec![]).await else { panic!("it should be refused") };
    assert!(detail.contains("/no/such/program") && detail.contains("No such file"), "{detail}");
    until(&fleet, |replicas| replicas.iter().filter(|replica| replica.phase == Phase::Failed).count() == 2).await;
    assert_eq!(fleet.failure(&id("a-1")), Some(detail));
    assert_eq!(fleet.observe().await.unwrap().desired, 2);
    fleet.configure(&crate::model::Target::Process(shell(SLEEPS)));
    until(&fleet, |replicas| replicas.iter().all(|replica| replica.phase == Phase::Starting && replica.address.is_some())).await;
}

#[tokio::test]
async fn a_death_is_told_with_status_and_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(shell("echo from $TIDEGATE_REPLICA; echo boom >&2; exit 3"), &folder);
    fleet.scale_to(1, vec![]).await.unwrap();
    until(&fleet, |replicas| is_failed(replicas)).await;
    assert_eq!(fleet.failure(&id("a-1")), Some("exit status: 3; its last words: boom".to_owned()));
    let log = fs::read_to_string(files(&folder).join("a-1.log")).unwrap();
    assert!(log.starts_with("from a-1\nboom\n"), "{log}");
}

#[tokio::test]
async fn a_replica_that_does_not_listen_in_time_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(Program { ready_timeout: Duration::from_millis(50), ..shell(SLEEPS) }, &folder);
    fleet.scale_to(1, vec![]).await.unwrap();
    let first = processes(&folder)[0];
    until(&fleet, |replicas| is_failed(replicas)).await;
    assert!(fleet.failure(&id("a-1")).unwrap().starts_with("did not listen on port "));
    gone(first).await;
}

#[tokio::test]
async fn the_death_of_a_leader_ends_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(shell("sleep 1000 & echo $!; exit 1"), &folder);
    fleet.scale_to(1, vec![]).await.unwrap();
    until(&fleet, |replicas| is_failed(replicas)).await;
    let log = fs::read_to_string(files(&folder).join("a-1.log")).unwrap();
    let pid: i32 = log.lines().next().unwrap().parse().unwrap();
    let end = async {
        while Identity::of(pid).is_some() {
            tokio::task::yield_now().await;
        }
    };
    soon(end).await;
}

#[tokio::test]
async fn who_does_not_end_within_its_grace_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let stubborn = "trap '' TERM; touch trapped; while :; do sleep 1000; done";
    let program = Program { grace: Duration::from_millis(50), folder: Some(folder.path().to_owned()), ..shell(stubborn) };
    let fleet = fleet(program, &folder);
    fleet.scale_to(1, vec![]).await.unwrap();
    exists(&folder.path().join("trapped")).await;
    let process = processes(&folder)[0];
    soon(fleet.close()).await;
    assert!(!process.is_running() && proc::followers(process.pid).is_empty());
}

#[tokio::test]
async fn a_group_has_its_grace_also_when_its_leader_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    // The shell in the background takes a moment to put things in order; its parent does not wait for it.
    let script = "(trap 'touch ordered; exit' TERM; touch ready; while :; do sleep 0.01; done) & wait";
    let fleet = fleet(Program { folder: Some(folder.path().to_owned()), ..shell(script) }, &folder);
    fleet.scale_to(1, vec![]).await.unwrap();
    exists(&folder.path().join("ready")).await;
    soon(fleet.close()).await;
    assert!(folder.path().join("ordered").exists());
}

async fn exists(path: &Path) {
    let written = async {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    };
    soon(written).await;
}

#[tokio::test]
async fn closing_ends_everything_and_forgets_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(shell(SLEEPS), &folder);
    fleet.scale_to(3, vec![]).await.unwrap();
    let processes = processes(&folder);
    assert_eq!(processes.len(), 3);
    soon(fleet.close()).await;
    assert!(processes.iter().all(|process| !process.is_running() && proc::followers(process.pid).is_empty()));
    assert!(!files(&folder).join("replicas.json").exists());
    assert!(matches!(fleet.scale_to(1, vec![]).await, Err(ScaleError::Refused { .. })));
    assert!(!files(&folder).join("replicas.json").exists());
}

#[tokio::test]
async fn a_dropped_fleet_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(shell(SLEEPS), &folder);
    fleet.scale_to(2, vec![]).await.unwrap();
    let processes = processes(&folder);
    drop(fleet);
    for process in processes {
        gone(process).await;
    }
}

#[tokio::test]
async fn victims_go_first_and_names_are_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(shell(SLEEPS), &folder);
    fleet.scale_to(3, vec![]).await.unwrap();
    fleet.scale_to(2, vec![id("a-2")]).await.unwrap();
    let names = |replicas: &[Replica]| replicas.iter().map(|replica| replica.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&until(&fleet, |replicas| replicas.len() == 2).await), ["a-1", "a-3"]);
    // Repeated, the call ends nobody else.
    fleet.scale_to(2, vec![id("a-2")]).await.unwrap();
    fleet.scale_to(3, vec![]).await.unwrap();
    let replicas = fleet.observe().await.unwrap().replicas;
    assert_eq!(names(&replicas), ["a-1", "a-2", "a-3"]);
    assert!(replicas.iter().all(|replica| replica.phase == Phase::Starting));
}

#[tokio::test]
async fn every_change_wakes_who_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = "while ! test -e told; do sleep 0.01; done; exit 1";
    let fleet = fleet(Program { folder: Some(folder.path().to_owned()), ..shell(script) }, &folder);
    fleet.scale_to(1, vec![]).await.unwrap();
    assert!(!is_failed(&fleet.observe().await.unwrap().replicas));
    fs::write(folder.path().join("told"), "").unwrap();
    let seen = async {
        while !is_failed(&fleet.observe().await.unwrap().replicas) {
            fleet.changed().await;
        }
    };
    soon(seen).await;
}

#[tokio::test]
async fn a_restart_of_nobody_is_an_error() {
    let fleet = Fleet::start(id("a"), shell(SLEEPS), None).unwrap();
    assert!(matches!(fleet.restart(id("a-1")).await, Err(ScaleError::Missing { .. })));
}

#[tokio::test]
async fn more_processes_than_reason_are_refused() {
    let fleet = Fleet::start(id("a"), shell(SLEEPS), None).unwrap();
    assert!(matches!(fleet.scale_to(u32::MAX, vec![]).await, Err(ScaleError::Refused { .. })));
    assert_eq!(fleet.observe().await.unwrap().desired, 0);
}

#[tokio::test]
async fn secrets_of_the_environment_reach_the_process_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let env = BTreeMap::from([("KEY".to_owned(), Secret::new("hunter2".to_owned()))]);
    let fleet = fleet(Program { env, ..shell("test \"$KEY\" = hunter2 && test -n \"$PORT\" && exit 4") }, &folder);
    fleet.scale_to(1, vec![]).await.unwrap();
    until(&fleet, |replicas| is_failed(replicas)).await;
    assert_eq!(fleet.failure(&id("a-1")), Some("exit status: 4".to_owned()));
    assert!(!fs::read_to_string(files(&folder).join("replicas.json")).unwrap().contains("hunter2"));
}

#[cfg(target_os = "linux")]
mod after_a_kill {
    use super::*;

    #[tokio::test]
    async fn processes_are_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let first = fleet(shell(SLEEPS), &folder);
        first.scale_to(2, vec![]).await.unwrap();
        let before = roll(&folder);
        first.leave().await;
        let second = fleet(shell(SLEEPS), &folder);
        let observed = second.observe().await.unwrap();
        assert_eq!((observed.desired, observed.replicas.len()), (2, 2));
        assert!(observed.replicas.iter().all(|replica| replica.usage.memory.is_some()), "{observed:?}");
        assert_eq!(roll(&folder), before);
        // And they are ended like others.
        soon(second.close()).await;
        for entry in before.replicas {
            gone(entry.process.unwrap()).await;
        }
    }

    #[tokio::test]
    async fn the_death_of_one_that_was_taken_back_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let first = fleet(shell(SLEEPS), &folder);
        first.scale_to(1, vec![]).await.unwrap();
        let process = processes(&folder)[0];
        first.leave().await;
        let second = fleet(shell(SLEEPS), &folder);
        assert!(process.is_running());
        rustix::process::kill_process(rustix::process::Pid::from_raw(process.pid).unwrap(), rustix::process::Signal::KILL).unwrap();
        until(&second, |replicas| is_failed(replicas)).await;
        gone(process).await;
        until(&second, |replicas| replicas[0].phase == Phase::Starting).await;
    }

    #[tokio::test]
    async fn processes_of_another_program_are_ended() {
        let folder = tempfile::tempdir().unwrap();
        let first = fleet(shell(SLEEPS), &folder);
        first.scale_to(1, vec![]).await.unwrap();
        let old = processes(&folder)[0];
        first.leave().await;
        let second = fleet(shell("sleep 1001 & wait"), &folder);
        let replicas = until(&second, |replicas| replicas.len() == 1).await;
        assert_eq!((replicas[0].name.as_str(), replicas[0].phase), ("a-2", Phase::Starting));
        gone(old).await;
    }

    #[tokio::test]
    async fn a_number_of_replicas_survives() {
        for wanted in [0, 2] {
            let folder = tempfile::tempdir().unwrap();
            let first = fleet(shell(SLEEPS), &folder);
            first.scale_to(3, vec![]).await.unwrap();
            first.scale_to(wanted, vec![]).await.unwrap();
            first.leave().await;
            let second = fleet(shell(SLEEPS), &folder);
            assert_eq!(second.observe().await.unwrap().desired, wanted);
            soon(second.close()).await;
        }
    }

    #[tokio::test]
    async fn what_died_meanwhile_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let stranger = Stranger::start();
        let identity = stranger.identity;
        write(&folder, entry(&shell(SLEEPS), Some(identity), &stranger.mark), proc::boot());
        drop(stranger);
        let fleet = fleet(shell(SLEEPS), &folder);
        until(&fleet, |replicas| replicas.iter().any(|replica| replica.address.is_some())).await;
        assert_ne!(processes(&folder), [identity]);
    }

    #[tokio::test]
    async fn a_process_that_only_has_the_number_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let mut stranger = Stranger::start();
        let identity = stranger.identity;
        let earlier = Identity { started: identity.started - 1, ..identity };
        let cases = [
            (Some(earlier), proc::boot()),
            (Some(identity), Some("another run of the machine".to_owned())),
            (Some(identity), None),
            (None, proc::boot()),
            (Some(Identity { pid: 1, started: 0 }), proc::boot()),
            (Some(Identity { pid: -1, started: 0 }), proc::boot()),
        ];
        for (process, boot) in cases {
            // Of another program: it would be ended if it were found.
            write(&folder, entry(&shell("exit"), process, "another mark"), boot);
            let fleet = fleet(shell(SLEEPS), &folder);
            soon(fleet.close()).await;
            assert!(stranger.child.try_wait().unwrap().is_none(), "{process:?}");
        }
    }

    #[tokio::test]
    async fn a_process_that_was_not_written_down_any_more_is_found_by_its_mark() {
        let folder = tempfile::tempdir().unwrap();
        let stranger = Stranger::start();
        write(&folder, entry(&shell(SLEEPS), None, &stranger.mark), proc::boot());
        let fleet = fleet(shell(SLEEPS), &folder);
        fleet.scale_to(0, vec![]).await.unwrap();
        gone(stranger.identity).await;
    }

    #[tokio::test]
    async fn what_is_left_of_a_group_without_its_leader_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let first = fleet(shell(SLEEPS), &folder);
        first.scale_to(1, vec![]).await.unwrap();
        let process = processes(&folder)[0];
        let started = async {
            while proc::followers(process.pid).is_empty() {
                tokio::task::yield_now().await;
            }
        };
        soon(started).await;
        first.leave().await;
        rustix::process::kill_process(rustix::process::Pid::from_raw(process.pid).unwrap(), rustix::process::Signal::KILL).unwrap();
        let died = async {
            while process.is_running() {
                tokio::task::yield_now().await;
            }
        };
        soon(died).await;
        assert!(!proc::followers(process.pid).is_empty());
        let second = fleet(shell(SLEEPS), &folder);
        gone(process).await;
        drop(second);
    }

    #[tokio::test]
    async fn two_fleets_do_not_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = fleet(shell(SLEEPS), &folder);
        let Err(ScaleError::Refused { detail, .. }) = Fleet::start(id("a"), shell(SLEEPS), Some(folder.path())) else {
            panic!("the second should be refused")
        };
        assert!(detail.contains("another Tidegate"), "{detail}");
        drop(first);
    }
}
