//! The real binary as a child process: signals, files and exit status are seen as a supervisor sees them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::lab::soon;

/// A running proxy; killed on drop.
pub struct Process {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    folder: TempDir,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

/// A config with an admin server and a log that can be read.
pub fn complete(yaml: &str) -> String {
    format!("{yaml}\nadmin: {{ bind: 127.0.0.1:0 }}\ntelemetry: {{ log: {{ format: json }} }}\n")
}

impl Process {
    /// Starts the proxy with a file of its own; the config has one listener and neither `admin` nor `telemetry`.
    pub async fn start(yaml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("tidegate.yaml"), complete(yaml)).expect("a file");
        Self::start_in(folder).await
    }

    /// Starts the proxy in a folder that has a `tidegate.yaml`.
    pub async fn start_in(folder: TempDir) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["run", "--config"])
            .arg(folder.path().join("tidegate.yaml"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary should start");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let listening = line(&mut log, "Listening.").await;
        let admin = line(&mut log, "Admin server listening.").await;
        let address = |line: &Value| line["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        Self { address: address(&listening), admin: address(&admin), child, log, folder }
    }

    /// Returns the folder of the config.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the config's path.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("tidegate.yaml")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process should be there");
    }

    fn pid(&self) -> Pid {
        let id = self.child.id().expect("the process should run");
        Pid::from_raw(i32::try_from(id).expect("a process id")).expect("a process id")
    }

    /// Waits for a line of the log and returns it.
    pub async fn says(&mut self, message: &str) -> Value {
        line(&mut self.log, message).await
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> ExitStatus {
        soon(self.child.wait()).await.expect("a status")
    }

    /// Returns the memory in use, in KiB.
    pub fn memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid().as_raw_nonzero())).expect("the process should run");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a figure");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

async fn line(log: &mut Lines<BufReader<ChildStderr>>, message: &str) -> Value {
    let mut before = Vec::new();
    loop {
        let Some(text) = soon(log.next_line()).await.expect("a readable log") else {
            panic!("the proxy ended without saying {message:?}:\n{}", before.join("\n"));
        };
        match serde_json::from_str::<Value>(&text) {
            Ok(line) if line["message"] == message => return line,
            _ => before.push(text),
        }
    }
}
