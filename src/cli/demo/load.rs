//! The load that the demo makes itself, and the live view of what the autoscaler makes of it.
//!
//! It has a thread and a runtime of its own, and knows the proxy only as clients and operators do: over its listener and its admin
//! server. Requests come when they are due, whether others have been answered or not (an open loop), so that a proxy which is
//! slow is not spared.

mod client;
mod reaction;
mod record;
mod schedule;
mod screen;
mod seen;
mod summary;
mod traffic;
mod view;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{future, io};

use anyhow::{Context, anyhow, ensure};
use rustix::process::{Signal as Number, getpid, kill_process};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{self, Instant, MissedTickBehavior};

use super::super::fetch::Server;
use super::super::output;
use super::guide::Guide;
use reaction::Reaction;
use record::Record;
use schedule::Schedule;
use screen::Screen;
use summary::Summary;
use traffic::Traffic;
use view::Place;

pub(super) use screen::is_live;

/// How long the first replicas may take: they listen within milliseconds, but the machine may be busy.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked whether they are there.
const START_PAUSE: Duration = Duration::from_millis(20);

/// How long requests that run may take to end after the last was sent: the proxy's own patience when it drains, and a little.
const END_PATIENCE: Duration = Duration::from_secs(11);

/// How often the admin server is asked for the view.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Replicas that are there before the first request.
    pub(super) min_replicas: u32,
    /// How long requests are sent; `None`: until a signal.
    pub(super) lasts: Option<Duration>,
    /// Where chance comes from.
    pub(super) seed: u64,
}

/// A load that runs.
#[derive(Debug)]
pub(super) struct Load {
    thread: io::Result<JoinHandle<anyhow::Result<Summary>>>,
}

/// Why requests are sent no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Their time is over, and the proxy must be told to stop.
    Over,
    /// A signal, which the proxy has heard too.
    Signalled,
}

impl Load {
    /// Begins to send requests to where `guide` says, until the plan's time is over, which ends the proxy too, or a signal comes.
    pub(super) fn begin(guide: Guide, plan: Plan) -> Self {
        let run = move || {
            let result = Builder::new_current_thread().enable_all().build().map_err(Into::into);
            let result = result.and_then(|runtime| runtime.block_on(run(&guide, plan)));
            if !matches!(result, Ok((_, End::Signalled))) {
                // As Ctrl-C does it. A process can always signal itself.
                let _ = kill_process(getpid(), Number::TERM);
            }
            result.map(|(summary, _)| summary)
        };
        Self { thread: thread::Builder::new().name("load".to_owned()).spawn(run) }
    }

    /// Waits for the end, and tells what came of it.
    ///
    /// # Errors
    /// When the load could not be made, or a request failed.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let thread = self.thread.context("the load has not begun")?;
        let summary = thread.join().map_err(|_| anyhow!("the load has died"))??;
        output::show(&summary)?;
        let (failed, cut) = (summary.tally.failed, summary.tally.cut);
        ensure!(failed + cut == 0, "{failed} requests failed and {cut} were cut");
        Ok(())
    }
}

async fn run(guide: &Guide, plan: Plan) -> anyhow::Result<(Summary, End)> {
    let proxy = guide.proxy.context("the demo's proxy has no TCP listener")?;
    let admin = guide.admin.context("the demo's proxy has no admin server")?;
    let mut signals = Signals::new().context("signals cannot be received")?;
    let server = Arc::new(Server::new(&format!("http://{admin}"), None)?);
    time::timeout(START_PATIENCE, ready(&server, plan.min_replicas))
        .await
        .with_context(|| format!("the first replicas were not ready within {START_PATIENCE:?}"))??;
    let place = Place { proxy, admin, hints: guide.hints() };
    let (watch_ended, watch_end) = oneshot::channel();
    let watch = tokio::spawn(watch(server.clone(), place, watch_end));
    let (reaction_ended, reaction_end) = oneshot::channel();
    let reaction = tokio::spawn(measure(server, reaction_end));

    let mut traffic = Traffic::new(proxy, Schedule::new(fastrand::Rng::with_seed(plan.seed)));
    let end = send(&mut traffic, plan.lasts, &mut signals).await;
    // Cancel safe: what has ended is counted, and a second signal ends all at once.
    tokio::select! {
        () = traffic.finish() => {}
        () = time::sleep(END_PATIENCE) => {}
        () = signals.next() => {}
    }
    drop((watch_ended, reaction_ended));
    let most_replicas = watch.await.context("the view has died")?;
    let reaction = reaction.await.context("the look at the queue has died")?;
    Ok((Summary { tally: traffic.into_tally(), most_replicas, reaction }, end))
}

/// Sends requests until `lasts` is over or a signal comes.
async fn send(traffic: &mut Traffic, lasts: Option<Duration>, signals: &mut Signals) -> End {
    let over = async {
        match lasts {
            Some(lasts) => time::sleep(lasts).await,
            None => future::pending().await,
        }
    };
    // Cancel safe: what was sent is in `traffic`.
    tokio::select! {
        () = traffic.run() => End::Over,
        () = over => End::Over,
        () = signals.next() => End::Signalled,
    }
}

/// Waits for the first replicas.
async fn ready(server: &Server, replicas: u32) -> anyhow::Result<()> {
    while seen::scaling(server).await?.replicas.ready < replicas {
        time::sleep(START_PAUSE).await;
    }
    Ok(())
}

/// Looks, and shows what is seen, until `end`; returns the most replicas there were.
async fn watch(server: Arc<Server>, place: Place, mut end: oneshot::Receiver<()>) -> u32 {
    let began = Instant::now();
    let (mut record, mut screen) = (Record::default(), Screen::new(place));
    let mut ticks = time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Both are cancel safe. Dropping the sender is the end, too.
        tokio::select! {
            biased;
            _ = &mut end => return record.most_replicas(),
            _ = ticks.tick() => {}
        }
        // The admin server may be gone before the end is told here; the next look, or the end, is near.
        if let Ok(seen) = seen::look(&server).await {
            record.push(began.elapsed(), seen);
            screen.show(&record);
        }
    }
}

/// Measures how the autoscaler reacts; `None` when it had no reason to before `end`.
async fn measure(server: Arc<Server>, end: oneshot::Receiver<()>) -> Option<Reaction> {
    // Cancel safe: only reads are dropped.
    tokio::select! {
        biased;
        reaction = reaction::measure(&server) => reaction.ok(),
        _ = end => None,
    }
}

/// What ends the demo from outside.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one. Cancel safe: a signal that came stays noted.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
