//! What the demo prints once it is ready: where everything is, and what to try.

use std::fmt::Write;
use std::net::SocketAddr;

use super::agents::Agent;
use crate::app::Addresses;
use crate::model::Bind;

/// What the guide tells about an agent.
#[derive(Debug)]
pub(super) struct Place {
    name: &'static str,
    address: SocketAddr,
    pid: u32,
    about: String,
}

impl Place {
    /// Notes what the guide tells about `agent`.
    pub(super) fn of(agent: &Agent) -> Self {
        let delay = format!("answers in about {} ms", agent.sample.delay.as_millis());
        let about = match agent.sample.capability {
            Some(capability) => format!("{delay}, offers {capability}"),
            None => delay,
        };
        Self { name: agent.sample.name, address: agent.address, pid: agent.process.pid, about }
    }
}

/// Writes the guide for the addresses that were really bound.
pub(super) fn text(addresses: &Addresses, agents: &[Place]) -> String {
    let mut text = String::from("Tidegate is in front of three sample agents:\n\n");
    for Place { name, address, pid, about } in agents {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {name:<7} {address}  process {pid}, {about}");
    }
    let listener = addresses.listeners.first().map(|(_, bind)| bind);
    if let Some(Bind::Tcp(address)) = listener {
        text.push_str(&requests(*address));
    }
    if let Some(admin) = addresses.admin {
        text.push_str(&operations(admin));
    }
    text.push_str("\nCtrl-C ends everything.\n");
    text
}

fn requests(proxy: SocketAddr) -> String {
    format!(
        "
Try it:
  curl -i http://{proxy}/                                  # one of the three answers, mostly the fast one
  curl -N 'http://{proxy}/stream?n=20&every_ms=100'        # tokens, one by one
  curl -H 'x-tidegate-require: python' http://{proxy}/     # only an agent that offers python
  curl http://{proxy}/python                               # the same, required by the route
  curl -d 'hello' http://{proxy}/echo                      # the body comes back

Load it:
  oha -z 10s -c 50 http://{proxy}/
  wrk -t 2 -c 50 -d 10s --latency http://{proxy}/
"
    )
}

fn operations(admin: SocketAddr) -> String {
    format!(
        "
Watch and change it:
  tidegate status --admin http://{admin}
  curl http://{admin}/api/v1/pools
  curl http://{admin}/metrics
  curl -X POST http://{admin}/api/v1/pools/agents/endpoints/fast/drain      # no new request goes to it
  curl -X POST http://{admin}/api/v1/pools/agents/endpoints/fast/undrain    # it is back
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_names_what_was_really_bound() {
        let addresses = Addresses {
            listeners: vec![("demo".parse().unwrap(), Bind::Tcp("127.0.0.1:4001".parse().unwrap()))],
            admin: Some("127.0.0.1:4002".parse().unwrap()),
        };
        let place = Place { name: "fast", address: "127.0.0.1:4003".parse().unwrap(), pid: 7, about: "quick".to_owned() };
        let text = text(&addresses, &[place]);
        for line in [
            "  fast    127.0.0.1:4003  process 7, quick\n",
            "  curl -i http://127.0.0.1:4001/ ",
            "  tidegate status --admin http://127.0.0.1:4002\n",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn without_an_admin_server_nothing_is_said_about_it() {
        let addresses = Addresses { listeners: Vec::new(), admin: None };
        assert!(!text(&addresses, &[]).contains("status"));
    }
}
