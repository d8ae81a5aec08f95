//! A start that fails says what is in the way, in words, and ends with a status that tells bad input from bad luck.

use std::net::TcpListener;
use std::process::Stdio;

use tokio::process::Command;

use crate::lab::{Lab, soon};

fn with(listener: &str, rest: &str) -> String {
    format!(
        "listeners: [{{ name: public, {listener}, pool: agents }}]\npools: {{ agents: {{ endpoints: [127.0.0.1:9] }} }}\n{rest}\n"
    )
}

async fn refusal(yaml: &str) -> String {
    match Lab::try_start(yaml).await {
        Ok(_) => panic!("this should not start: {yaml}"),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_way_of_a_start_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap();
    for (yaml, expected) in [
        (
            with(&format!("bind: \"{bind}\""), ""),
            format!("listener \"public\": cannot listen on {bind}: the address is in use by another program"),
        ),
        (
            with("bind: 192.0.2.1:80", ""),
            "listener \"public\": cannot listen on 192.0.2.1:80: this machine does not have that address".to_owned(),
        ),
        (
            with("bind: 127.0.0.1:0", &format!("\nadmin: {{ bind: \"{bind}\" }}")),
            format!("the admin server cannot listen on {bind}: the address is in use by another program"),
        ),
        (
            with("bind: 127.0.0.1:0", "telemetry: { access_log: { path: /nowhere/access.log } }"),
            "the access log /nowhere/access.log cannot be opened: No such file or directory (os error 2)".to_owned(),
        ),
    ] {
        assert_eq!(refusal(&yaml).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_in_the_way_is_named_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap();
    let yaml = format!(
        "listeners:\n\
         \x20 - {{ name: one, bind: \"{bind}\", pool: agents }}\n\
         \x20 - {{ name: two, bind: 192.0.2.1:80, pool: agents }}\n\
         pools: {{ agents: {{ endpoints: [127.0.0.1:9] }} }}\n"
    );
    let refusal = refusal(&yaml).await;
    assert_eq!(refusal.lines().count(), 2, "{refusal}");
}

/// Runs the binary with a file of this content; returns its status and what it said.
async fn run(content: Option<&[u8]>, variable: Option<&str>) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(content) = content {
        std::fs::write(folder.path().join("tidegate.yaml"), content).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["run", "--config", "tidegate.yaml"]).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    if let Some(value) = variable {
        command.env("TIDEGATE_TEST_TOKEN", value);
    }
    let output = soon(command.output()).await.unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_used_ends_with_64_and_an_address_in_use_with_1() {
    let (status, said) = run(None, None).await;
    assert_eq!((status, said.trim()), (Some(64), "tidegate.yaml: cannot be read: No such file or directory (os error 2)"));
    let (status, said) = run(Some(b"listeners: [\xff]"), None).await;
    assert_eq!((status, said.trim()), (Some(64), "tidegate.yaml: is not UTF-8 text"));
    let token = with("bind: 127.0.0.1:0", "admin: { token: \"${TIDEGATE_TEST_TOKEN}\" }");
    let (status, said) = run(Some(token.as_bytes()), None).await;
    assert_eq!(status, Some(64));
    assert!(said.starts_with("tidegate.yaml:3:17: admin.token: the environment variable TIDEGATE_TEST_TOKEN is not set"), "{said}");
    let (status, said) = run(Some(token.as_bytes()), Some("not a token")).await;
    assert_eq!(status, Some(64));
    assert!(said.contains("admin.token: a token is") && !said.contains("not a token"), "a secret is never shown: {said}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let used = with(&format!("bind: \"{}\"", taken.local_addr().unwrap()), "admin: { bind: none }");
    let (status, said) = run(Some(used.as_bytes()), None).await;
    assert_eq!(status, Some(1));
    assert!(said.starts_with("tidegate: listener \"public\": cannot listen on"), "{said}");
}
