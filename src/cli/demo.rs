//! `demo`: the real proxy in this process, in front of three sample agents in processes of their own.
//!
//! Nothing is special about this proxy: its config is text like any other, and is printed by nobody because `/api/v1/config` shows
//! it. Only what cannot be tried in a demo is left out: TLS, reload from a file.

mod agents;
mod guide;

use std::env;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use super::args;
use super::output;
use crate::app;
use agents::Sample;

/// Three agents of different speed, so that the balancing can be seen.
const SAMPLES: [Sample; 3] = [
    Sample { name: "fast", delay: Duration::from_millis(20), capability: None },
    Sample { name: "medium", delay: Duration::from_millis(60), capability: Some("python") },
    Sample { name: "slow", delay: Duration::from_millis(150), capability: None },
];

/// Where the admin server of a config listens that does not say otherwise.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

/// Runs the demo until a signal ends it.
///
/// # Errors
/// When the port is taken, an agent does not start, or the proxy does not.
pub(super) fn run(arguments: &args::Demo) -> anyhow::Result<()> {
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    if !is_free(bind)? {
        bail!("{bind} is in use: choose another port with --port N, or any free one with --port 0");
    }
    let program = env::current_exe().context("cannot find this program's own file")?;
    let agents = agents::start(&program, &SAMPLES)?;
    let endpoints: String = agents.iter().map(|agent| endpoint(&agent.sample, agent.address)).collect();
    let source = app::Source::Text { text: config(bind, admin()?, &endpoints), base_dir: PathBuf::from(".") };
    let places: Vec<_> = agents.iter().map(guide::Place::of).collect();
    let on_ready = move |addresses: &app::Addresses| {
        // A reader that has left does not stop the proxy.
        let _ = output::show(guide::text(addresses, &places));
    };
    let result = app::run(source, app::Options { on_ready: Some(Box::new(on_ready)) });
    // Only now: while the proxy drains, running requests need their agents.
    drop(agents);
    result
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

/// Writes the config file of the demo.
fn config(bind: SocketAddr, admin: SocketAddr, endpoints: &str) -> String {
    format!(
        "\
listeners:
  - name: demo
    bind: {bind}
routes:
  - name: python
    match: {{ path: {{ prefix: /python }} }}
    pool: agents
    require: [python]
    rewrite: {{ prefix: / }}
  - name: everything
    match: {{ path: {{ prefix: / }} }}
    pool: agents
pools:
  agents:
    strategy: least_response_time
    endpoints:
{endpoints}\
admin:
  bind: {admin}
drain:
  timeout: 5s
telemetry:
  log: {{ level: warn }}
"
    )
}

fn endpoint(sample: &Sample, address: SocketAddr) -> String {
    let capabilities = sample.capability.map(|name| format!(", capabilities: [{name}]")).unwrap_or_default();
    format!("      - {{ id: {}, address: \"{address}\"{capabilities} }}\n", sample.name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    #[test]
    fn the_config_of_the_demo_is_read_without_a_warning() {
        let endpoints: String = (1..).zip(&SAMPLES).map(|(port, sample)| endpoint(sample, ([127, 0, 0, 1], port).into())).collect();
        let text = config("127.0.0.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap(), &endpoints);
        let loaded = config::read(&text, "demo", Path::new("."), &|_| None).unwrap();
        assert_eq!(loaded.warnings, []);
        let pool = loaded.snapshot.pools.values().next().unwrap();
        let able: Vec<_> = pool.endpoints.iter().filter(|endpoint| endpoint.capabilities.contains("python")).collect();
        assert_eq!((pool.endpoints.len(), able.len()), (3, 1));
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!is_free(address).unwrap());
        drop(listener);
        assert!(is_free(address).unwrap());
    }
}
