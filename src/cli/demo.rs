//! `demo`: the real proxy in this process, in front of sample agents in processes of their own, some of which come and go with the load.
//!
//! Nothing is special about this proxy: its config is text like any other, and is printed by nobody because `/api/v1/config` shows
//! it. Only what cannot be tried in a demo is left out: TLS, reload from a file.

mod agents;
mod folder;
mod guide;
mod load;
mod settings;

use std::env;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};

use super::args;
use super::output;
use crate::app;
use agents::Sample;
use folder::Folder;
use guide::{Guide, Place};
use load::{Load, Plan};
use settings::Settings;

/// Three agents of different speed, so that the balancing can be seen.
const SAMPLES: [Sample; 3] = [
    Sample { name: "fast", delay: Duration::from_millis(20), capability: None },
    Sample { name: "medium", delay: Duration::from_millis(60), capability: Some("python") },
    Sample { name: "slow", delay: Duration::from_millis(150), capability: None },
];

/// Where the admin server of a config listens that does not say otherwise.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

/// Runs the demo until a signal ends it, or the load that it makes itself.
///
/// # Errors
/// When the port is taken, an agent does not start, the proxy does not, or the load has found a failure.
pub(super) fn run(arguments: &args::Demo) -> anyhow::Result<()> {
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    if !is_free(bind)? {
        bail!("{bind} is in use: choose another port with --port N, or any free one with --port 0");
    }
    let program = env::current_exe().context("cannot find this program's own file")?;
    let storage = Folder::create()?;
    let agents = agents::start(&program, &SAMPLES)?;
    let settings = Settings {
        bind,
        admin: admin()?,
        min_replicas: arguments.min,
        program: &program,
        storage: storage.path(),
        // A warning in the middle of the view helps nobody; what matters is in the view.
        log: if arguments.load && load::is_live() { "error" } else { "warn" },
        fixed: agents.iter().map(|agent| (agent.sample, agent.address)).collect(),
    };
    let source = app::Source::Text { text: settings.text()?, base_dir: PathBuf::from(".") };
    let places: Vec<Place> = agents.iter().map(Place::of).collect();
    let plan = arguments.load.then_some(Plan { min_replicas: arguments.min, lasts: arguments.lasts, seed: arguments.seed });
    let (sender, loads) = mpsc::channel();
    let on_ready = move |addresses: &app::Addresses| {
        if let Some(load) = begin(Guide::new(addresses, places), plan) {
            // The receiver is there for as long as the proxy runs.
            let _ = sender.send(load);
        }
    };
    let result = app::run(source, app::Options { on_ready: Some(Box::new(on_ready)) });
    // Only now: while the proxy drains, running requests need their agents.
    drop(agents);
    drop(storage);
    result?;
    loads.try_iter().try_for_each(Load::finish)
}

/// Shows where everything is, and begins the load if there is to be one.
fn begin(guide: Guide, plan: Option<Plan>) -> Option<Load> {
    if plan.is_none() || !load::is_live() {
        // A reader that has left does not stop the proxy.
        let _ = output::show(guide.text());
    }
    Some(Load::begin(guide, plan?))
}

/// Returns where the admin server is to listen: its usual place, or any free port when that is taken.
fn admin() -> anyhow::Result<SocketAddr> {
    if is_free(ADMIN)? {
        return Ok(ADMIN);
    }
    output::complain(format_args!("demo: {ADMIN} is in use, so the admin server takes a free port"));
    Ok(SocketAddr::new(ADMIN.ip(), 0))
}

/// Tells whether nobody listens at `address`.
///
/// The proxy's own sockets share ports (`SO_REUSEPORT`): two demos would start, and share the requests. This one does not share.
fn is_free(address: SocketAddr) -> anyhow::Result<bool> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot listen on {address}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!is_free(address).unwrap());
        drop(listener);
        assert!(is_free(address).unwrap());
    }
}
