//! The command line as a user meets it: words, files, exit status, processes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;
use tempfile::TempDir;

/// Far above what anything here takes, so that a slow machine does not fail a test.
const PATIENCE: Duration = Duration::from_secs(60);

const GOOD: &str = "\
listeners:
  - { name: public, bind: 127.0.0.1:8080 }
routes:
  - name: coder
    match: { hosts: [agents.example.com], path: { prefix: /coder } }
    pool: coders
    require: [python]
    rewrite: { prefix: /, set_headers: { x-pool: coders }, remove_headers: [cookie] }
    timeouts: { first_byte: 30s }
pools:
  coders:
    strategy: least_response_time
    endpoints:
      - { id: a, address: 10.0.0.1:8080, capabilities: [python] }
      - { id: b, address: 10.0.0.2:8080 }
";

fn folder_with(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tidegate.yaml"), config).unwrap();
    folder
}

fn run_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = assert_cmd::Command::new(cargo_bin("tidegate"));
    command.args(arguments).current_dir(folder).timeout(PATIENCE).output().unwrap()
}

fn run(arguments: &[&str]) -> Output {
    run_in(Path::new("/"), arguments)
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A child that is killed when a test fails.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(cargo_bin("tidegate"));
        Self(command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn stdout(&mut self) -> BufReader<std::process::ChildStdout> {
        BufReader::new(self.0.stdout.take().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks for `/health` and keeps the connection open.
fn connect(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: agent\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    stream
}

/// Waits until the other side is gone.
fn wait_for_end(mut stream: TcpStream) {
    // A reset is an end as well; only a timeout is none. Unlike `read`, this goes on when the signal of a child that ends breaks in.
    if let Err(error) = stream.read_to_end(&mut Vec::new()) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

/// The addresses in the guide that a demo prints: of the proxy, of the admin server, and of the agents that stay.
struct Guide {
    proxy: String,
    admin: String,
    agents: Vec<String>,
}

/// Starts a demo, and waits until it has said where everything is.
///
/// One after the other: each looks whether the admin server's usual port is free before it takes it.
fn start_demo(arguments: &[&str]) -> (Running, Guide) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut demo = Running::start(&[&["demo"], arguments].concat());
    let guide = guide(&mut demo);
    (demo, guide)
}

fn guide(demo: &mut Running) -> Guide {
    let guide: Vec<_> = demo.stdout().lines().map(Result::unwrap).take_while(|line| !line.starts_with("Ctrl-C")).collect();
    let after = |start: &str| {
        let rest = guide.iter().find_map(|line| line.trim_start().strip_prefix(start));
        rest.unwrap().split(['/', ' ']).next().unwrap().to_owned()
    };
    let agents = guide.iter().filter(|line| line.contains("  process ")).filter_map(|line| line.split_whitespace().nth(1));
    Guide {
        proxy: after("curl -i http://"),
        admin: after("tidegate status --admin http://"),
        agents: agents.map(str::to_owned).collect(),
    }
}

impl Guide {
    /// Connects to all agents: to those that stay, and to the replica that is there, once it has answered.
    fn connect(&self) -> Vec<TcpStream> {
        drop(connect(&self.proxy));
        let mut admin = TcpStream::connect(&self.admin).unwrap();
        admin.set_read_timeout(Some(PATIENCE)).unwrap();
        admin.write_all(b"GET /api/v1/pools/agents HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        admin.read_to_string(&mut answer).unwrap();
        let pool: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let replica = pool["endpoints"][0]["address"].as_str().unwrap();
        self.agents.iter().map(String::as_str).chain([replica]).map(connect).collect()
    }
}

#[test]
fn bad_usage_ends_with_64() {
    for arguments in [
        &[][..],
        &["walk"],
        &["check", "--format", "xml"],
        &["explain", "GET"],
        &["demo", "--port", "70000"],
        &["demo", "--for", "9s"],
    ] {
        let output = run(arguments);
        assert_eq!(status(&output), 64, "{arguments:?}");
        assert_ne!(err(&output), "", "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_no_failure() {
    let help = run(&["--help"]);
    assert_eq!(status(&help), 0);
    assert!(out(&help).contains("explain"));
    for arguments in [["--version"], ["version"]] {
        let version = run(&arguments);
        assert_eq!((status(&version), out(&version)), (0, concat!("tidegate ", env!("CARGO_PKG_VERSION"), "\n")));
    }
}

#[test]
fn the_schema_is_json_and_names_the_sections() {
    let output = run(&["schema"]);
    assert_eq!(status(&output), 0);
    let schema: Value = serde_json::from_str(out(&output)).unwrap();
    for section in ["listeners", "routes", "pools", "admin"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}

#[test]
fn a_good_file_is_found_in_the_current_folder_and_checked() {
    let output = run_in(folder_with(GOOD).path(), &["check"]);
    assert_eq!(status(&output), 0, "{}", err(&output));
    assert!(out(&output).ends_with("tidegate.yaml is valid: listeners 1, routes 1, pools 1, endpoints 2\n"), "{}", out(&output));
}

#[test]
fn a_bad_file_ends_with_64_and_every_problem_with_its_place() {
    let bad = GOOD.replace("least_response_time", "least_respons_time").replace("pool: coders", "pool: codes");
    let folder = folder_with(&bad);
    for arguments in [&["check"][..], &["explain", "GET", "/"], &["run"]] {
        let output = run_in(folder.path(), arguments);
        assert_eq!(status(&output), 64, "{arguments:?}");
        let lines: Vec<_> = err(&output).lines().collect();
        assert!(lines.iter().any(|line| line.starts_with("tidegate.yaml:6:") && line.contains("codes")), "{lines:?}");
        assert!(
            lines.iter().any(|line| line.starts_with("tidegate.yaml:12:") && line.contains("least_response_time")),
            "{lines:?}"
        );
    }
}

#[test]
fn a_bad_file_is_told_as_json_too() {
    let output = run_in(folder_with("listeners: 5\n").path(), &["check", "--format", "json"]);
    assert_eq!(status(&output), 64);
    let report: Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!(report["valid"], false);
    assert_eq!(report["problems"][0]["line"], 1);
}

#[test]
fn a_file_that_is_not_there_ends_with_64_and_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let output = run_in(empty.path(), &["check", "--config", "nowhere.yaml"]);
    assert_eq!(status(&output), 64);
    assert!(err(&output).contains("nowhere.yaml"), "{}", err(&output));
}

#[test]
fn a_request_is_explained() {
    let arguments = ["explain", "POST", "http://agents.example.com:8080/coder/x?y=1", "-H", "cookie: a=b", "--format", "json"];
    let output = run_in(folder_with(GOOD).path(), &arguments);
    assert_eq!(status(&output), 0, "{}", err(&output));
    let explanation: Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!(explanation["route"], "coder");
}

#[test]
fn a_status_without_a_server_ends_with_1() {
    let output = run(&["status", "--admin", &format!("http://127.0.0.1:{}", free_port())]);
    assert_eq!(status(&output), 1);
    assert!(err(&output).starts_with("tidegate: cannot ask http://127.0.0.1:"), "{}", err(&output));
    assert_eq!(status(&run(&["status", "--admin", "https://127.0.0.1:1"])), 64);
}

#[test]
fn an_agent_serves_until_its_input_closes() {
    let mut agent = Running::start(&["agent", "--name", "anna"]);
    let mut line = String::new();
    agent.stdout().read_line(&mut line).unwrap();
    let stream = connect(line.trim_end().strip_prefix("listening on ").unwrap());
    drop(agent.0.stdin.take());
    wait_for_end(stream);
    assert_eq!(agent.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_demo_on_a_taken_port_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&["demo", "--port", &port]);
    assert_eq!(status(&output), 1);
    assert!(err(&output).contains(&format!("127.0.0.1:{port} is in use")), "{}", err(&output));
}

#[test]
fn a_demo_forwards_requests_to_its_agents() {
    let (_demo, guide) = start_demo(&["--port", "0", "--min", "0"]);
    assert_eq!(guide.agents.len(), 3);
    // There is no replica yet: this request brings the first.
    drop(connect(&guide.proxy));
}

#[test]
fn no_agent_survives_a_demo_that_is_killed() {
    let (mut demo, guide) = start_demo(&["--port", "0"]);
    let agents = guide.connect();
    demo.0.kill().unwrap();
    agents.into_iter().for_each(wait_for_end);
}

#[test]
fn an_interrupt_ends_a_demo_and_its_agents() {
    let (mut demo, guide) = start_demo(&["--port", "0"]);
    let agents = guide.connect();
    assert!(Command::new("kill").args(["-INT", &demo.0.id().to_string()]).status().unwrap().success());
    agents.into_iter().for_each(wait_for_end);
    assert_eq!(demo.0.wait().unwrap().code(), Some(0));
}

/// The number in the line of a summary that begins with this word.
fn figure(summary: &str, name: &str) -> u64 {
    let line = summary.lines().rev().find_map(|line| line.trim_start().strip_prefix(name)).unwrap_or_else(|| panic!("{summary}"));
    line.split_whitespace().next().unwrap().trim_end_matches(',').parse().unwrap()
}

#[test]
fn a_demo_under_its_own_load_scales_up_fails_nothing_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = assert_cmd::Command::new(cargo_bin("tidegate"));
    command.args(["demo", "--port", "0", "--load", "--for", "6s", "--seed", "3"]).env("TMPDIR", folder.path()).timeout(PATIENCE);
    let output = command.output().unwrap();
    let summary = out(&output);
    assert_eq!(status(&output), 0, "{summary}{}", err(&output));
    assert!(figure(summary, "requests") > 50, "{summary}");
    assert_eq!((figure(summary, "failed"), figure(summary, "cut")), (0, 0), "{summary}");
    assert!(figure(summary, "most replicas") > 1, "{summary}");
    assert!(!summary.contains("\u{1b}"), "a pipe is no terminal: {summary}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

const SIZED: &str = "\
listeners: [{ name: public, bind: 127.0.0.1:8080 }]
routes: [{ name: all, match: { path: { prefix: / } }, pool: coders }]
pools:
  coders:
    max_connections: 4
    autoscale:
      target: { process: { command: [agent, --port, \"{port}\"] } }
      policies: [{ name: busy, signal: concurrency, target: 3 }]
      cost: { replica_hour: 0.5, currency: EUR }
  others: { endpoints: [{ id: a, address: 10.0.0.1:8080 }] }
";

#[test]
fn a_simulation_compares_policies_and_is_the_same_for_the_same_seed() {
    let folder = folder_with(SIZED);
    let simulate = |further: &[&str]| {
        let usual = ["simulate", "--generate", "step", "--duration", "10m", "--rate", "2"];
        run_in(folder.path(), &[&usual, further].concat())
    };
    let text = simulate(&[]);
    assert_eq!((status(&text), err(&text)), (0, ""));
    for name in ["tidegate", "hpa", "hpa-busy", "knative", "fixed-mean", "fixed-peak", "oracle"] {
        assert!(out(&text).lines().any(|line| line.split_whitespace().next() == Some(name)), "{name}: {}", out(&text));
    }
    assert_eq!(out(&text), out(&simulate(&["--seed", "1"])));
    assert_ne!(out(&text), out(&simulate(&["--seed", "2"])));
    let json = simulate(&["--format", "json", "--policy", "fixed=3,oracle"]);
    let json: Value = serde_json::from_str(out(&json)).unwrap();
    assert_eq!((json["policies"][0]["policy"].as_str(), json["policies"].as_array().unwrap().len()), (Some("fixed=3"), 2));
    assert_eq!(json["policies"][0]["replica_hours"], 0.5);
    assert_eq!((json["policies"][0]["cost"].as_f64(), json["currency"].as_str()), (Some(0.25), Some("EUR")));
}

#[test]
fn a_simulation_reads_a_trace_and_writes_rows() {
    let folder = folder_with(SIZED);
    std::fs::write(folder.path().join("t.csv"), "time,service_time\n0,10\n1,10\n2,10\n3,10\n4,10\n30,1\n").unwrap();
    let arguments = ["simulate", "--trace", "t.csv", "--policy", "fixed=1", "--format", "csv", "--timeline", "line.csv"];
    let output = run_in(folder.path(), &[&arguments[..], &["--pool", "coders", "--timeline-step", "5s"]].concat());
    assert_eq!((status(&output), err(&output)), (0, ""));
    let rows: Vec<Vec<_>> = out(&output).lines().map(|line| line.split(',').collect()).collect();
    let cell = |name: &str| rows[1][rows[0].iter().position(|column| *column == name).unwrap()];
    // The fifth of four slots waits from 4 s to 10 s, of which one second is good.
    assert_eq!([cell("requests"), cell("served"), cell("bad_seconds"), cell("wait_mean_seconds")], ["6", "6", "5", "1"]);
    let line = std::fs::read_to_string(folder.path().join("line.csv")).unwrap();
    assert_eq!(line.lines().nth(2), Some("fixed=1,5,0,1,0,4,1"));
}

#[test]
fn a_simulation_that_cannot_be_ends_with_64_and_says_why() {
    let folder = folder_with(SIZED);
    std::fs::write(folder.path().join("bad.csv"), "time,service_time\n0,1\n1,long\n").unwrap();
    let step = ["--generate", "step"];
    let cases = [
        (&["--trace", "bad.csv"][..], "bad.csv: line 3: \"long\" is not a number from 0"),
        (&[&step[..], &["--pool", "nobody"]].concat(), "there is no pool \"nobody\""),
        (&[&step[..], &["--pool", "others"]].concat(), "pool \"others\" has no autoscale"),
        (&[&step[..], &["--policy", "luck"]].concat(), "\"luck\" is no policy"),
        (&["--trace", "bad.csv", "--generate", "step"], "cannot be used with"),
        (&[], "required"),
    ];
    for (arguments, message) in cases {
        let output = run_in(folder.path(), &[&["simulate"], arguments].concat());
        assert_eq!(status(&output), 64, "{arguments:?}");
        assert!(err(&output).contains(message), "{arguments:?}: {}", err(&output));
    }
    assert_eq!(status(&run_in(folder.path(), &["simulate", "--trace", "missing.csv"])), 1);
}
