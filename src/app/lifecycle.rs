//! From the command line to the exit: start, signals, drain.

use std::panic;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

use super::proxy::{Proxy, Started};
use super::source::{Options, Source, Surroundings};
use crate::config;
use crate::telemetry::log;

/// Threads of the control runtime: reloads, look-ups, the admin server.
const CONTROL_THREADS: usize = 2;

/// Runs the proxy until it is told to stop.
///
/// # Errors
/// [`config::Errors`] when the config is not valid, others when the proxy cannot be started.
pub fn run(source: Source, options: Options) -> anyhow::Result<()> {
    let loaded = source.load()?;
    let log = log::init(&loaded.snapshot.telemetry.log)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .context("the control runtime cannot be started")?;
    runtime.block_on(async {
        let signals = Signals::new().context("signals cannot be received")?;
        // Before the config is applied, so that no change falls in between.
        let watcher = source.file().map(|path| config::watch(path, &loaded.files));
        let Started { proxy, addresses } = Proxy::start_loaded(source, loaded, Surroundings::default(), Some(log)).await?;
        count_panics(&proxy);
        for (name, address) in &addresses.listeners {
            info!(listener = %name, %address, "Listening.");
        }
        if let Some(address) = addresses.admin {
            info!(%address, "Admin server listening.");
        }
        if let Some(on_ready) = options.on_ready {
            on_ready(&addresses);
        }
        if let Some(watcher) = watcher {
            tokio::spawn(follow(proxy.clone(), watcher));
        }
        live(&proxy, signals).await;
        Ok(())
    })
}

/// A panic is a defect that costs one connection or one worker; it must be seen.
fn count_panics(proxy: &Arc<Proxy>) {
    let services = proxy.services.clone();
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |details| {
        services.process.panicked();
        error!(%details, "A defect: please report it.");
        report(details);
    }));
}

/// Reloads when the file or one that belongs to it changes; ends with the process.
async fn follow(proxy: Arc<Proxy>, mut watcher: config::Watcher) {
    loop {
        watcher.changed().await;
        // Failures are kept, counted and logged by the reload itself.
        if proxy.reload().await.is_ok() {
            watcher.set_files(&proxy.files());
        }
    }
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn stop(&mut self) {
        // Cancel safe, both: a signal that came stays noted.
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn live(proxy: &Arc<Proxy>, mut signals: Signals) {
    loop {
        tokio::select! {
            _ = signals.hangup.recv() => {
                proxy.logs.reopen();
                // Failures are kept, counted and logged by the reload itself.
                let _ = proxy.reload().await;
            }
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
        }
    }
    // Cancel safe: the process ends either way.
    tokio::select! {
        _ = proxy.drain() => {}
        () = signals.stop() => {
            proxy.logs.close().await;
            info!("Stopped at once by a second signal.");
        }
    }
    proxy.close().await;
    info!("Stopped.");
}
