//! One process group, from its start or the moment it was found to its end.
//!
//! A child of ours keeps its number until it is reaped, so its group is signalled without a doubt until then: it is reaped last. A process that an earlier Tidegate
//! started is reaped by whoever took it over, so it is looked at again before every signal.

#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{future, io};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
#[cfg(target_os = "linux")]
use rustix::process::{PidfdFlags, pidfd_open};
#[cfg(target_os = "linux")]
use tokio::io::{Interest, unix::AsyncFd};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};

use super::proc::{self, Identity};

/// How often a process is looked at where the system cannot tell of its end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often the rest of a group is looked at, once its leader has ended.
const REST_EVERY: Duration = Duration::from_millis(20);

/// How long a killed process may take to end. One that waits for a dead disk takes for ever; nothing can be done about that.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// A process group; killed on drop, unless it is left on purpose.
#[derive(Debug)]
pub(super) struct Running {
    pid: Pid,
    identity: Option<Identity>,
    mark: String,
    /// `None` when an earlier Tidegate started it.
    child: Option<Child>,
    /// Nothing is written; that it closes with Tidegate is the message.
    _stdin: Option<ChildStdin>,
    end: End,
    is_over: bool,
    /// Set when the fleet leaves its processes to the next one.
    is_left: Arc<AtomicBool>,
}

/// How the end of a process is noticed.
#[derive(Debug)]
enum End {
    /// By a descriptor that becomes readable (pidfd_open(2)).
    #[cfg(target_os = "linux")]
    Told(AsyncFd<OwnedFd>),
    /// By looking.
    Looked,
}

impl Running {
    /// Starts a process; `mark` is what its command has in its environment.
    ///
    /// # Errors
    /// When the system says no: there is no such program, or no room for another process.
    pub(super) fn start(mut command: Command, mark: String, is_left: Arc<AtomicBool>) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let pid = pid.ok_or_else(|| io::Error::other("the process has no number"))?;
        let (identity, stdin) = (Identity::of(pid.as_raw_pid()), child.stdin.take());
        Ok(Self { pid, identity, mark, child: Some(child), _stdin: stdin, end: End::of(pid), is_over: false, is_left })
    }

    /// Takes a process back that an earlier Tidegate started; `None` when it is gone.
    pub(super) fn found(identity: Identity, mark: String, is_left: Arc<AtomicBool>) -> Option<Self> {
        let pid = Pid::from_raw(identity.pid)?;
        let end = End::of(pid);
        // Looked at after the descriptor is open: the descriptor then is of this process and no later one.
        let is_running = identity.is_running();
        is_running.then(|| Self { pid, identity: Some(identity), mark, child: None, _stdin: None, end, is_over: false, is_left })
    }

    /// Returns which process it is, where the system tells.
    pub(super) const fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Waits until the leader of the group has ended; it is not reaped by that. Cancel safe.
    pub(super) async fn ended(&self) {
        while !self.has_ended() {
            match &self.end {
                #[cfg(target_os = "linux")]
                End::Told(descriptor) => match descriptor.readable().await {
                    Ok(mut ready) => {
                        if !self.has_ended() {
                            ready.clear_ready();
                        }
                    }
                    // The runtime is ending, and with it whoever waits here.
                    Err(_) => future::pending().await,
                },
                End::Looked => sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Asks the group to end, kills what has not after `grace`, and returns how its leader ended.
    pub(super) async fn stop(&mut self, grace: Duration) -> String {
        self.signal(Signal::TERM);
        // Those that are late are killed by what comes next.
        let _ = timeout(grace, self.all_ended()).await;
        self.kill().await
    }

    /// Kills what is left of the group, reaps its leader, and returns how that ended.
    pub(super) async fn kill(&mut self) -> String {
        self.signal(Signal::KILL);
        // Also those that are not ours to reap take a moment to die.
        if timeout(KILL_PATIENCE, self.all_ended()).await.is_err() {
            return "does not end, even killed".to_owned();
        }
        self.is_over = true;
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => status.to_string(),
            Some(Ok(None)) => "has ended".to_owned(),
            Some(Err(error)) => format!("has ended, nobody knows how: {error}"),
            None => "has ended; how is not told, as an earlier Tidegate started it".to_owned(),
        }
    }

    /// Waits until the group has no process that runs. Cancel safe.
    async fn all_ended(&self) {
        self.ended().await;
        let pid = self.pid.as_raw_pid();
        while tokio::task::spawn_blocking(move || !proc::followers(pid).is_empty()).await.unwrap_or(false) {
            sleep(REST_EVERY).await;
        }
    }

    fn has_ended(&self) -> bool {
        if self.is_over {
            return true;
        }
        if self.child.is_none() {
            return !self.identity.is_some_and(Identity::is_running);
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        match waitid(WaitId::Pid(self.pid), options) {
            Ok(status) => status.is_some(),
            // A signal came between; the next look tells.
            Err(error) => error != rustix::io::Errno::INTR,
        }
    }

    fn signal(&self, signal: Signal) {
        let is_ours =
            !self.is_over && (self.child.is_some() || self.identity.is_some_and(Identity::is_running) || self.has_orphans());
        if is_ours {
            // When nobody is left to hear it, that is what was wanted.
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// Tells whether the group has lost its leader, but not all of its processes.
    fn has_orphans(&self) -> bool {
        has_orphans(self.pid.as_raw_pid(), &self.mark)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // What is no longer looked after must not go on. The runtime reaps a child that is dropped.
        if !self.is_over && !self.is_left.load(Ordering::Acquire) {
            self.signal(Signal::KILL);
        }
    }
}

impl End {
    fn of(pid: Pid) -> Self {
        Self::told(pid).unwrap_or(Self::Looked)
    }

    #[cfg(target_os = "linux")]
    fn told(pid: Pid) -> Option<Self> {
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        #[expect(
            deprecated,
            reason = "for types that change their descriptor; an `OwnedFd` does not, and the successor needs `unsafe`"
        )]
        let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE);
        descriptor.ok().map(Self::Told)
    }

    #[cfg(not(target_os = "linux"))]
    fn told(_pid: Pid) -> Option<Self> {
        None
    }
}

/// Kills what is left of a group whose leader has ended unseen; false when there was nothing.
pub(super) fn kill_orphans(group: i32, mark: &str) -> bool {
    let Some(pid) = Pid::from_raw(group).filter(|_| has_orphans(group, mark)) else { return false };
    kill_process_group(pid, Signal::KILL).is_ok()
}

/// Tells whether a group has processes with this mark. The number of a group is not used again while it has any.
fn has_orphans(group: i32, mark: &str) -> bool {
    proc::followers(group).into_iter().any(|pid| proc::has_mark(pid, mark))
}
