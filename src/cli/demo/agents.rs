//! The sample agents that stay, as child processes: started together, told apart by name, ended without an orphan.
//!
//! An agent lives as long as the pipe to its standard input, so that it ends also when this process is killed. One that ends
//! before its time is reported, not started again: the demo then shows what clients see of a dead endpoint. Those that come and
//! go with the load are the autoscaler's, not this file's.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, bail};

use super::super::agent::LISTENING;
use super::super::output;

/// How long a process may take to listen: it does so at once, but the machine may be busy.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// How long an agent may take to end by itself before it is killed.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// What a sample agent is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) delay: Duration,
    pub(super) capability: Option<&'static str>,
}

/// A sample agent that listens; dropping it ends it.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) sample: Sample,
    pub(super) address: SocketAddr,
    pub(super) process: Process,
}

/// A child process; dropping it ends it.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    child: Arc<Mutex<Child>>,
    /// Closing it ends the agent.
    stdin: Option<ChildStdin>,
    /// Set before the agent is ended on purpose.
    is_ending: Arc<AtomicBool>,
    /// Yields the address once, and is closed when the process has ended.
    addresses: Receiver<SocketAddr>,
    watcher: Option<JoinHandle<()>>,
}

/// What the thread of a process has.
struct Watcher {
    name: &'static str,
    child: Arc<Mutex<Child>>,
    is_ending: Arc<AtomicBool>,
    addresses: Sender<SocketAddr>,
}

/// Starts an agent for each of `samples` from `program`, and waits until all of them listen.
///
/// # Errors
/// When one does not start; the others are ended.
pub(super) fn start(program: &Path, samples: &[Sample]) -> anyhow::Result<Vec<Agent>> {
    // All are started before the first is waited for.
    let processes =
        samples.iter().map(|sample| Process::start(sample.name, command(program, sample))).collect::<Result<Vec<_>, _>>()?;
    samples.iter().zip(processes).map(|(sample, process)| Agent::await_address(*sample, process)).collect()
}

fn command(program: &Path, sample: &Sample) -> Command {
    let mut command = Command::new(program);
    command.args(["agent", "--port", "0", "--name", sample.name, "--delay", &sample.delay.as_millis().to_string()]);
    command.args(sample.capability.iter().flat_map(|capability| ["--capability", capability]));
    command
}

impl Agent {
    fn await_address(sample: Sample, process: Process) -> anyhow::Result<Self> {
        match process.addresses.recv_timeout(START_PATIENCE) {
            Ok(address) => Ok(Self { sample, address, process }),
            Err(RecvTimeoutError::Timeout) => bail!("agent {:?} did not listen within {START_PATIENCE:?}", sample.name),
            Err(RecvTimeoutError::Disconnected) => bail!("agent {:?} ended before it listened", sample.name),
        }
    }
}

impl Process {
    fn start(name: &'static str, mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // In a process group of its own, or Ctrl-C would end the agents while the proxy still drains.
        command.process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot start agent {name:?}"))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (sender, addresses) = mpsc::channel();
        let mut process = Self {
            pid: child.id(),
            child: Arc::new(Mutex::new(child)),
            stdin,
            is_ending: Arc::new(AtomicBool::new(false)),
            addresses,
            watcher: None,
        };
        let (child, is_ending) = (process.child.clone(), process.is_ending.clone());
        let watcher = Watcher { name, child, is_ending, addresses: sender };
        let stdout = stdout.context("the pipe was asked for")?;
        process.watcher = Some(thread::Builder::new().name(format!("agent-{name}")).spawn(move || watcher.run(stdout))?);
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Release);
        drop(self.stdin.take());
        let Some(watcher) = self.watcher.take() else { return };
        loop {
            match self.addresses.recv_timeout(END_PATIENCE) {
                // Nobody took the address.
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                // The watcher locks only once the pipe is closed, so this does not wait.
                Err(RecvTimeoutError::Timeout) => drop(self.child.lock().unwrap_or_else(PoisonError::into_inner).kill()),
            }
        }
        let _ = watcher.join();
    }
}

impl Watcher {
    fn run(self, stdout: ChildStdout) {
        let mut has_listened = false;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix(LISTENING).and_then(|address| address.parse().ok()) {
                has_listened = true;
                // Nobody waits for it any more when the demo gave up.
                let _ = self.addresses.send(address);
            }
        }
        // The pipe closes when the process ends, so this does not wait long; it also takes the dead process off the system's list.
        let status = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
        // Who waits for the address hears otherwise of an agent that never listened.
        if has_listened && !self.is_ending.load(Ordering::Acquire) {
            let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            output::complain(format_args!("demo: agent {:?} has ended ({how}); requests sent to it fail now", self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Sample = Sample { name: "fake", delay: Duration::ZERO, capability: None };

    /// Starts a shell script in the place of an agent.
    fn script(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(SAMPLE.name, command).unwrap()
    }

    fn agent(text: &str) -> anyhow::Result<Agent> {
        Agent::await_address(SAMPLE, script(text))
    }

    #[test]
    fn an_agent_is_asked_for_what_its_sample_says() {
        let sample = Sample { name: "a", delay: Duration::from_millis(60), capability: Some("python") };
        let command = command(Path::new("/bin/tidegate"), &sample);
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_str().unwrap()).collect();
        assert_eq!(arguments.join(" "), "agent --port 0 --name a --delay 60 --capability python");
    }

    #[test]
    fn an_address_is_found_among_other_lines() {
        let agent = agent("echo hello; echo listening on nowhere; echo listening on 127.0.0.1:7; cat").unwrap();
        assert_eq!(agent.address, "127.0.0.1:7".parse().unwrap());
    }

    #[test]
    fn an_agent_that_ends_at_once_is_an_error() {
        let error = agent("exit 3").unwrap_err();
        assert_eq!(error.to_string(), "agent \"fake\" ended before it listened");
    }

    #[test]
    fn an_agent_ends_when_its_pipe_closes() {
        let process = script("cat; exit 7");
        let child = process.child.clone();
        drop(process);
        assert_eq!(child.lock().unwrap().wait().unwrap().code(), Some(7));
    }

    #[test]
    fn an_agent_that_does_not_end_is_killed() {
        let process = script("exec sleep 600");
        let child = process.child.clone();
        drop(process);
        assert_eq!(child.lock().unwrap().wait().unwrap().code(), None);
    }
}
