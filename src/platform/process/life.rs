//! The life of one replica: started, waited for until it listens, watched, started again when it dies, ended when it is no longer wanted.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, info, warn};

use super::backoff::Backoff;
use super::output::Output;
use super::port::Port;
use super::running::Running;
use super::shared::{Charge, Shared, Wish};
use super::store::Entry;
use super::template::{Start, fingerprint};
use crate::kit::clock;
use crate::model::{Id, Program};
use crate::platform::Phase;

/// The first pause between two looks whether a replica listens: a quick one is in use within milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause between two looks.
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection on this machine may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked whether the output has grown too large.
const TRIM_EVERY: Duration = Duration::from_secs(1);

/// Looks after one replica until it is no longer wanted; dropped, the replica is gone from the books.
#[derive(Debug)]
pub(super) struct Life {
    shared: Arc<Shared>,
    name: Id,
    wish: watch::Receiver<Wish>,
    backoff: Backoff,
    rng: Rng,
    /// Hears how the first start went.
    first: Option<oneshot::Sender<Result<(), String>>>,
}

/// A process of a replica, with what it uses.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) running: Running,
    pub(super) port: Port,
    pub(super) output: Output,
    pub(super) program: Arc<Program>,
}

/// What happens to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// It listens.
    Ready,
    /// It has taken too long to listen.
    Late,
    /// It has ended by itself.
    Ended,
    /// Something else is wanted.
    Wished,
}

/// How a process left its replica.
#[derive(Debug)]
enum Exit {
    /// As it was told to.
    Told,
    /// Before it was told to.
    Died { reason: String, served: Duration },
}

impl Life {
    /// Begins a life; what is returned beside it hears how the first start went.
    pub(super) fn new(shared: Arc<Shared>, charge: Charge) -> (Self, oneshot::Receiver<Result<(), String>>) {
        let (sender, first) = oneshot::channel();
        let Charge { name, wish } = charge;
        (Self { shared, name, wish, backoff: Backoff::default(), rng: Rng::new(), first: Some(sender) }, first)
    }

    /// Lives, beginning with the process that is there already, if one is.
    pub(super) async fn run(mut self, mut held: Option<Held>) {
        loop {
            if held.is_none() && self.wish.borrow_and_update().is_unwanted {
                return;
            }
            match self.serve(held.take()).await {
                Exit::Told => self.backoff = Backoff::default(),
                Exit::Died { reason, served } => self.rest(reason, served).await,
            }
        }
    }

    /// Runs one process to its end.
    async fn serve(&mut self, held: Option<Held>) -> Exit {
        let mut held = match held.map_or_else(|| self.start(), Ok) {
            Ok(held) => held,
            Err(reason) => return Exit::Died { reason, served: Duration::ZERO },
        };
        let mut since = None;
        let mut news = self.until_ready(&held).await;
        if news == News::Ready {
            info!(pool = %self.shared.pool, replica = %self.name, port = held.port.number(), "Replica is ready.");
            self.shared.enter(&self.name, Phase::Ready);
            since = Some(clock::now());
            news = self.while_ready(&mut held).await;
        }
        let served = since.map_or(Duration::ZERO, |since| clock::now().since(since));
        match news {
            News::Ready | News::Wished => {
                self.shared.enter(&self.name, Phase::Stopping);
                let how = held.running.stop(held.program.grace).await;
                info!(pool = %self.shared.pool, replica = %self.name, %how, "Replica has ended.");
                Exit::Told
            }
            News::Ended => {
                let how = held.running.kill().await;
                Exit::Died { reason: with_last_line(how, &held.output), served }
            }
            News::Late => {
                held.running.kill().await;
                let (port, patience) = (held.port.number(), held.program.ready_timeout);
                Exit::Died {
                    reason: with_last_line(format!("did not listen on port {port} within {patience:?}"), &held.output),
                    served,
                }
            }
        }
    }

    fn start(&mut self) -> Result<Held, String> {
        let started = start(&self.shared, &self.name);
        if let Some(first) = self.first.take() {
            // Who asked may have gone.
            let _ = first.send(started.as_ref().map(|_| ()).map_err(Clone::clone));
        }
        started
    }

    async fn until_ready(&mut self, held: &Held) -> News {
        if self.wish.borrow_and_update().is_unwanted {
            return News::Wished;
        }
        // Every branch is cancel safe or not waited for again. An end is looked for first: whoever else listens there now is not the replica.
        tokio::select! {
            biased;
            () = held.running.ended() => News::Ended,
            _ = self.wish.changed() => News::Wished,
            () = listens(&held.port) => News::Ready,
            () = sleep(held.program.ready_timeout) => News::Late,
        }
    }

    async fn while_ready(&mut self, held: &mut Held) -> News {
        let mut trim = interval(TRIM_EVERY);
        trim.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Every branch is cancel safe.
            tokio::select! {
                () = held.running.ended() => return News::Ended,
                _ = self.wish.changed() => return News::Wished,
                _ = trim.tick() => {}
            }
            if let Err(error) = held.output.trim() {
                debug!(pool = %self.shared.pool, replica = %self.name, %error, "The output of a replica cannot be shortened.");
            }
        }
    }

    /// Waits for the next start after a death, or for a wish.
    async fn rest(&mut self, reason: String, served: Duration) {
        let pause = self.backoff.next(served, &mut self.rng);
        warn!(pool = %self.shared.pool, replica = %self.name, %reason, ?pause, "Replica has died; it is started again after a pause.");
        self.shared.fail(&self.name, reason);
        // Both branches are cancel safe. What is wished for is looked at before the next start.
        tokio::select! {
            () = sleep(pause) => {}
            _ = self.wish.changed() => {}
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.shared.remove(&self.name);
    }
}

/// Starts a process. It is written down before: were Tidegate to end in between, the next one would look for its mark.
fn start(shared: &Shared, name: &Id) -> Result<Held, String> {
    let program = shared.program();
    let mut port = Port::find().map_err(|error| format!("no port is to be had: {error}"))?;
    let mark = format!("{:032x}", fastrand::u128(..));
    let command = Start { name, port: port.number(), mark: &mark }.command(&program);
    let mut command = command.ok_or_else(|| "the command is empty".to_owned())?;
    let (output, stdout, stderr) = Output::open(shared.log(name).as_deref())
        .and_then(|output| Ok((output.stdio()?, output.stdio()?, output)))
        .map(|(stdout, stderr, output)| (output, stdout, stderr))
        .map_err(|error| format!("its output cannot be kept: {error}"))?;
    command.stdout(stdout).stderr(stderr);
    let entry =
        Entry { name: name.clone(), port: port.number(), mark: mark.clone(), program: fingerprint(&program), process: None };
    shared.announce(entry, port.address()).map_err(|error| format!("it cannot be written down: {error}"))?;
    port.release();
    let running = Running::start(command, mark, shared.is_left().clone());
    let running = running.map_err(|error| format!("cannot start {:?}: {error}", program.command.first()))?;
    shared.identify(name, running.identity());
    Ok(Held { running, port, output, program })
}

/// Waits until somebody listens on a port.
async fn listens(port: &Port) {
    let mut pause = FIRST_PAUSE;
    while !takes_connections(port).await {
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

async fn takes_connections(port: &Port) -> bool {
    match timeout(CONNECT_PATIENCE, TcpStream::connect(port.address())).await {
        // While nobody listens, the system may give the connection the very port it leads to, and connect it with itself.
        Ok(Ok(stream)) => stream.local_addr().is_ok_and(|own| own != port.address()),
        Ok(Err(_)) | Err(_) => false,
    }
}

fn with_last_line(how: String, output: &Output) -> String {
    match output.last_line() {
        Some(line) => format!("{how}; its last words: {line}"),
        None => how,
    }
}
