//! The file of the config is watched by the real binary, and SIGHUP makes it read again.

use std::os::unix::fs::symlink;
use std::path::Path;

use http::Method;
use rustix::process::Signal;

use crate::child::{Process, complete};
use crate::client::admin;
use crate::lab::{Endpoint, get};

fn config(endpoint: &Endpoint) -> String {
    complete(&format!(
        "listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}]\n\
         pools: {{ agents: {{ endpoints: [{{ id: a, address: {} }}] }} }}\n",
        endpoint.address
    ))
}

/// Puts a file in the place of another, as editors do.
fn put(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, path).unwrap();
}

async fn start(text: &str) -> Process {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tidegate.yaml"), text).unwrap();
    Process::start_in(folder).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_put_in_the_place_of_the_old_one_is_taken() {
    let [one, two] = [Endpoint::named("one").await, Endpoint::named("two").await];
    let mut process = start(&config(&one)).await;
    assert_eq!(get(process.address, "/").await.text, "one");
    put(&process.config(), &config(&two));
    process.says("Config applied.").await;
    assert_eq!(get(process.address, "/").await.text, "two");
    put(&process.config(), "nonsense");
    let said = process.says("Config not taken, the old one stays in force.").await;
    assert!(said["problem"].as_str().is_some_and(|problem| problem.contains("tidegate.yaml:1:1")), "{said}");
    assert_eq!(get(process.address, "/").await.text, "two");
    put(&process.config(), &config(&one));
    process.says("Config applied.").await;
    assert_eq!(get(process.address, "/").await.text, "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_map_whose_link_is_swapped_is_taken() {
    let [one, two] = [Endpoint::named("one").await, Endpoint::named("two").await];
    // As Kubernetes lays a ConfigMap out: the file is a link through `..data`, which is swapped as a whole.
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, endpoint) in [("..one", &one), ("..two", &two)] {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("tidegate.yaml"), config(endpoint)).unwrap();
    }
    symlink("..one", at("..data")).unwrap();
    symlink("..data/tidegate.yaml", at("tidegate.yaml")).unwrap();
    let mut process = Process::start_in(folder).await;
    assert_eq!(get(process.address, "/").await.text, "one");
    symlink("..two", process.folder().join("..next")).unwrap();
    std::fs::rename(process.folder().join("..next"), process.folder().join("..data")).unwrap();
    process.says("Config applied.").await;
    assert_eq!(get(process.address, "/").await.text, "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_up_reads_the_file_again_and_opens_the_access_log_anew() {
    let one = Endpoint::named("one").await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let text = config(&one).replace("telemetry: {", "telemetry: { access_log: { path: access.log },");
    std::fs::write(folder.path().join("tidegate.yaml"), text).unwrap();
    let mut process = Process::start_in(folder).await;
    get(process.address, "/first").await;
    std::fs::rename(&log, log.with_extension("old")).unwrap();
    process.signal(Signal::HUP);
    let said = process.says("Config applied.").await;
    assert_eq!((&said["generation"], &said["changes"]), (&2.into(), &"nothing changed".into()));
    get(process.address, "/second").await;
    process.signal(Signal::TERM);
    assert_eq!(process.ended().await.code(), Some(0));
    let lines = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert!(lines(&log.with_extension("old")).contains("/first"));
    assert!(lines(&log).contains("/second") && !lines(&log).contains("/first"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_log_level_takes_effect() {
    let one = Endpoint::named("one").await;
    let mut process = start(&config(&one)).await;
    let loud = config(&one).replace("log: {", "log: { level: \"info,tidegate::ingress=debug\",");
    std::fs::write(process.config(), loud).unwrap();
    let answer = admin(process.admin, Method::POST, "/api/v1/config/reload", "").await;
    assert_eq!(answer.status(), 200, "{}", answer.text);
    // A connection that leaves without a word is told at debug only.
    drop(tokio::net::TcpStream::connect(process.address).await.unwrap());
    process.says("Connection not established.").await;
}
