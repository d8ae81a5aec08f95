//! The config file of the demo. Pure.
//!
//! Its autoscaler is quick: what takes minutes in earnest takes seconds here, so that people see replicas come and go. That is no
//! advice: real agents take longer to start, and leave too early with such times.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use super::agents::Sample;

/// The pool that scales.
pub(super) const POOL: &str = "agents";

/// The route that leads to it.
pub(super) const ROUTE: &str = "everything";

/// The most replicas of that pool.
pub(super) const MAX_REPLICAS: u32 = 6;

/// Requests that each of its replicas runs at once.
pub(super) const SLOTS: u32 = 2;

/// Milliseconds until one of its replicas begins to answer.
pub(super) const DELAY_MS: u32 = 150;

/// What is different from demo to demo.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    pub(super) bind: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) min_replicas: u32,
    /// This program, which is the sample agent too.
    pub(super) program: &'a Path,
    pub(super) storage: &'a Path,
    /// The least serious word of the log that is shown.
    pub(super) log: &'static str,
    /// The agents that stay.
    pub(super) fixed: Vec<(Sample, SocketAddr)>,
}

impl Settings<'_> {
    /// Writes the config file.
    ///
    /// # Errors
    /// When a path is not text.
    pub(super) fn text(&self) -> anyhow::Result<String> {
        let Self { bind, admin, min_replicas, log, .. } = self;
        let storage = quoted(self.storage)?;
        Ok(format!(
            "\
listeners:
  - name: demo
    bind: {bind}
routes:
  - name: {ROUTE}
    match: {{ path: {{ prefix: / }} }}
    pool: {POOL}
    heartbeat: 15s
  - name: mixed
    match: {{ path: {{ prefix: /mixed }} }}
    pool: mixed
    rewrite: {{ prefix: / }}
  - name: python
    match: {{ path: {{ prefix: /python }} }}
    pool: mixed
    require: [python]
    rewrite: {{ prefix: / }}
pools:
  {POOL}:
    strategy: least_connections
    max_connections: {SLOTS}
    autoscale:
{autoscale}
  mixed:
    strategy: least_response_time
    endpoints:
{endpoints}\
storage:
  path: {storage}
admin:
  bind: {admin}
drain:
  # Not zero, so that a load which has heard the same signal has stopped before nothing is accepted any more.
  delay: 200ms
  timeout: 10s
telemetry:
  log: {{ level: {log} }}
",
            autoscale = autoscale(&quoted(self.program)?, *min_replicas),
            endpoints = endpoints(&self.fixed),
        ))
    }
}

/// A text of JSON is one of YAML too.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} cannot be written into a config file", path.display()))?;
    Ok(serde_json::Value::from(text).to_string())
}

fn autoscale(program: &str, min_replicas: u32) -> String {
    // Elsewhere it would have no effect, and `check` warns of that.
    let idle_after = if min_replicas == 0 { "      idle_after: 5s\n" } else { "" };
    format!(
        "      target:
        process:
          command: [{program}, agent, --port, \"{{port}}\", --name, \"{{name}}\", --delay, \"{DELAY_MS}\"]
          ready_timeout: 20s
          grace: 2s
      min_replicas: {min_replicas}
      max_replicas: {MAX_REPLICAS}
{idle_after}      interval: 250ms
      policies:
        - {{ name: waiting, signal: queue_depth, aggregation: max, window: 1s, up: 0.5 }}
        - {{ name: busy, signal: concurrency, window: 3s, target: 1.5 }}
      behavior:
        scale_up: {{ cooldown: 500ms }}
        scale_down: {{ cooldown: 1500ms, max_step: 1, stabilization: 3s, sustained: 3s }}
        max_events_per_hour: 3600
      panic: off
      forecast: off
      drain: {{ timeout: 1m }}"
    )
}

fn endpoints(fixed: &[(Sample, SocketAddr)]) -> String {
    fixed.iter().fold(String::new(), |mut text, (sample, address)| {
        let capabilities = sample.capability.map(|name| format!(", capabilities: [{name}]")).unwrap_or_default();
        // Writing to a text cannot fail.
        let _ = writeln!(text, "      - {{ id: {}, address: \"{address}\"{capabilities} }}", sample.name);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::SAMPLES;
    use super::*;
    use crate::config::{self, Loaded};
    use crate::model::Target;

    fn loaded(min_replicas: u32, program: &str) -> Loaded {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let fixed = (1..).zip(SAMPLES).map(|(port, sample)| (sample, ([127, 0, 0, 1], port).into())).collect();
        let (program, storage) = (Path::new(program), Path::new("/tmp/a b"));
        let text = Settings { bind: any, admin: any, min_replicas, program, storage, log: "warn", fixed }.text().unwrap();
        config::read(&text, "demo", Path::new("."), &|_| None).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
    }

    #[test]
    fn the_config_of_the_demo_is_read_without_a_warning() {
        for min_replicas in [0, 1, 6] {
            assert_eq!(loaded(min_replicas, "/bin/tidegate").warnings, [], "{min_replicas}");
        }
        let snapshot = loaded(1, "/bin/tidegate").snapshot;
        let pools: Vec<_> = snapshot.pools.keys().map(|name| name.as_str()).collect();
        assert_eq!(pools, [POOL, "mixed"]);
        let endpoints = &snapshot.pools["mixed"].endpoints;
        let able = endpoints.iter().filter(|endpoint| endpoint.capabilities.contains("python"));
        assert_eq!((endpoints.len(), able.count()), (3, 1));
    }

    #[test]
    fn replicas_are_started_from_this_program_wherever_it_is() {
        let snapshot = loaded(0, "/opt/my \"tide\"/tidegate").snapshot;
        let autoscale = snapshot.pools[POOL].autoscale.as_ref().unwrap();
        let Target::Process(program) = &autoscale.target else { panic!("{:?}", autoscale.target) };
        assert_eq!(program.command[..4], ["/opt/my \"tide\"/tidegate", "agent", "--port", "{port}"]);
        assert_eq!((autoscale.terms.min_replicas, autoscale.terms.max_replicas), (0, MAX_REPLICAS));
    }
}
