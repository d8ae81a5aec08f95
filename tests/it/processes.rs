//! Replicas as processes, with the sample agent as the program: from the first process that listens to the last that ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tidegate::model::{Address, Id, Program, Target};
use tidegate::platform::process::Fleet;
use tidegate::platform::{Local, Phase, Platforms, Replica, Scaler};

use crate::lab::{get, soon};

const AGENT: &str = env!("CARGO_BIN_EXE_tidegate");

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn program(command: &[&str]) -> Program {
    Program {
        command: command.iter().map(|part| (*part).to_owned()).collect(),
        env: BTreeMap::new(),
        folder: None,
        ready_timeout: Duration::from_secs(600),
        grace: Duration::from_secs(600),
    }
}

/// An agent that ends with Tidegate.
fn agent() -> Program {
    program(&[AGENT, "agent", "--port", "{port}", "--name", "{name}", "--delay", "0"])
}

/// An agent that does not.
fn lasting_agent() -> Program {
    let script = format!("exec {AGENT} agent --port {{port}} --name {{name}} --delay 0 </dev/null");
    program(&["sh", "-c", &script])
}

fn fleet(program: Program, folder: &TempDir) -> Fleet {
    Fleet::start(id("a"), program, Some(folder.path())).unwrap()
}

async fn until(fleet: &dyn Local, is_so: impl FnMut(&Vec<Replica>) -> bool) -> Vec<Replica> {
    soon(fleet.replicas().wait_for(is_so)).await.unwrap().clone()
}

fn are_ready(count: usize) -> impl FnMut(&Vec<Replica>) -> bool {
    move |replicas| replicas.len() == count && replicas.iter().all(|replica| replica.phase == Phase::Ready)
}

/// Asks a replica who it is.
async fn ask(replica: &Replica) -> String {
    let Some(Address::Ip(address)) = replica.address else { panic!("{replica:?} has no address") };
    get(address, "/").await.text
}

fn pid(folder: &Path, name: &str) -> Pid {
    let list: Value = serde_json::from_slice(&std::fs::read(folder.join("processes/a/replicas.json")).unwrap()).unwrap();
    let entry = list["replicas"].as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap();
    Pid::from_raw(entry["process"]["pid"].as_i64().unwrap().try_into().unwrap()).unwrap()
}

#[tokio::test]
async fn replicas_listen_each_on_a_port_of_its_own() {
    let platforms = Platforms::new(None);
    let fleet = platforms.local(&id("a"), &Target::Process(agent())).unwrap();
    fleet.scale_to(3, vec![]).await.unwrap();
    let replicas = until(&*fleet, are_ready(3)).await;
    let names: Vec<&str> = replicas.iter().map(|replica| replica.name.as_str()).collect();
    assert_eq!(names, ["a-1", "a-2", "a-3"]);
    let addresses: BTreeSet<String> = replicas.iter().map(|replica| replica.address.as_ref().unwrap().to_string()).collect();
    assert_eq!(addresses.len(), 3);
    for replica in &replicas {
        let answer = ask(replica).await;
        assert!(answer.contains(replica.name.as_str()), "{} says {answer}", replica.name);
    }
    assert!(std::ptr::addr_eq(&raw const *fleet, &raw const *platforms.local(&id("a"), &Target::Process(agent())).unwrap()));
    for gone in platforms.retain(|_| false) {
        soon(gone.close()).await;
    }
    assert_eq!(*fleet.replicas().borrow(), []);
}

#[tokio::test]
async fn a_killed_replica_comes_back_with_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(agent(), &folder);
    fleet.scale_to(1, vec![]).await.unwrap();
    until(&fleet, are_ready(1)).await;
    let first = pid(folder.path(), "a-1");
    kill_process(first, Signal::KILL).unwrap();
    until(&fleet, |replicas| replicas[0].phase == Phase::Failed).await;
    assert!(fleet.failure(&id("a-1")).unwrap().starts_with("signal: 9 (SIGKILL)"));
    let replicas = until(&fleet, are_ready(1)).await;
    assert_ne!(pid(folder.path(), "a-1"), first);
    assert!(ask(&replicas[0]).await.contains("a-1"));
    soon(fleet.close()).await;
}

#[tokio::test]
async fn a_restart_puts_a_new_process_under_the_old_name() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(agent(), &folder);
    fleet.scale_to(2, vec![]).await.unwrap();
    until(&fleet, are_ready(2)).await;
    let before = [pid(folder.path(), "a-1"), pid(folder.path(), "a-2")];
    fleet.restart(id("a-1")).await.unwrap();
    until(&fleet, |replicas| replicas[0].phase == Phase::Stopping).await;
    until(&fleet, are_ready(2)).await;
    let after = [pid(folder.path(), "a-1"), pid(folder.path(), "a-2")];
    assert!(before[0] != after[0] && before[1] == after[1], "{before:?} {after:?}");
    soon(fleet.close()).await;
}

#[tokio::test]
async fn the_victim_goes_and_the_others_serve_on() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(agent(), &folder);
    fleet.scale_to(3, vec![]).await.unwrap();
    let before = until(&fleet, are_ready(3)).await;
    fleet.scale_to(2, vec![id("a-2")]).await.unwrap();
    let after = until(&fleet, |replicas| replicas.len() == 2).await;
    assert_eq!(after.iter().map(|replica| &replica.address).collect::<Vec<_>>(), [&before[0].address, &before[2].address]);
    assert!(after.iter().all(|replica| replica.phase == Phase::Ready));
    fleet.scale_to(0, vec![]).await.unwrap();
    until(&fleet, Vec::is_empty).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_replicas_use_is_observed() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(agent(), &folder);
    fleet.scale_to(1, vec![]).await.unwrap();
    until(&fleet, are_ready(1)).await;
    let seen = async {
        loop {
            let usage = fleet.observe().await.unwrap().replicas[0].usage;
            if let (Some(cpu), Some(memory)) = (usage.cpu, usage.memory) {
                return (cpu, memory);
            }
        }
    };
    let (cpu, memory) = soon(seen).await;
    assert!((0.0..=1.0).contains(&cpu) && memory > 0.0 && memory < 1.0, "{cpu} {memory}");
    soon(fleet.close()).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn replicas_outlive_a_killed_tidegate_and_serve_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let first = fleet(lasting_agent(), &folder);
    first.scale_to(2, vec![]).await.unwrap();
    let before = until(&first, are_ready(2)).await;
    first.leave().await;
    assert!(ask(&before[0]).await.contains("a-1"), "nobody looks after it, and it serves");
    let second = fleet(lasting_agent(), &folder);
    let after = until(&second, are_ready(2)).await;
    let addresses = |replicas: &[Replica]| replicas.iter().map(|replica| replica.address.clone()).collect::<Vec<_>>();
    assert_eq!(addresses(&after), addresses(&before));
    soon(second.close()).await;
    assert!(!folder.path().join("processes/a/replicas.json").exists());
}
