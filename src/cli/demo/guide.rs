//! What the demo tells once it is ready: where everything is, and what to try.

use std::fmt::Write;
use std::net::SocketAddr;

use super::agents::Agent;
use super::settings::{DELAY_MS, MAX_REPLICAS, POOL, SLOTS};
use crate::app::Addresses;
use crate::model::Bind;

/// What the guide tells about an agent that stays.
#[derive(Debug)]
pub(super) struct Place {
    name: &'static str,
    address: SocketAddr,
    pid: u32,
    about: String,
}

/// Where everything is.
#[derive(Debug)]
pub(super) struct Guide {
    /// Where the proxy takes requests.
    pub(super) proxy: Option<SocketAddr>,
    /// Where the admin server is.
    pub(super) admin: Option<SocketAddr>,
    places: Vec<Place>,
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

impl Guide {
    /// Notes the addresses that were really bound.
    pub(super) fn new(addresses: &Addresses, places: Vec<Place>) -> Self {
        let tcp = |bind: &Bind| match bind {
            Bind::Tcp(address) => Some(*address),
            Bind::Unix(_) => None,
        };
        let proxy = addresses.listeners.first().and_then(|(_, bind)| tcp(bind));
        Self { proxy, admin: addresses.admin, places }
    }

    /// Writes the guide.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "Tidegate is in front of two pools of sample agents.

{POOL}: at most {MAX_REPLICAS} replicas that come and go with the load, {SLOTS} slots each, answers in about {DELAY_MS} ms
mixed: three that stay
"
        );
        for Place { name, address, pid, about } in &self.places {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "  {name:<7} {address}  process {pid}, {about}");
        }
        text.extend(self.proxy.map(requests));
        text.extend(self.admin.map(operations));
        text.push_str("\nCtrl-C ends everything.\n");
        text
    }

    /// Returns what to try while the load runs, in a line each.
    pub(super) fn hints(&self) -> Vec<String> {
        let stream = self.proxy.map(|proxy| format!("curl -N 'http://{proxy}/stream?n=300&every_ms=100'  # no scale-in cuts it"));
        let steer = self.admin.into_iter().flat_map(|admin| {
            let pool = format!("http://{admin}/api/v1/pools/{POOL}/autoscale");
            [
                format!("curl -X PUT -d '{{\"replicas\": 4, \"for\": \"20s\"}}' {pool}/order"),
                format!("curl '{pool}/decisions?limit=1'  # all that the last decision followed from"),
                format!("tidegate status --admin http://{admin}"),
            ]
        });
        stream.into_iter().chain(steer).collect()
    }
}

fn requests(proxy: SocketAddr) -> String {
    format!(
        "
Try it:
  curl -i http://{proxy}/                                  # a replica answers
  curl -N 'http://{proxy}/stream?n=100&every_ms=100'       # tokens, one by one; no scale-in cuts them
  curl -d 'hello' http://{proxy}/echo                      # the body comes back
  curl http://{proxy}/mixed                                # one of the three that stay, mostly the fast one
  curl http://{proxy}/python                               # only an agent that offers python

Load it, and see replicas come at once and leave one by one when it is over (`demo --load` does both by itself):
  oha -z 20s -c 12 http://{proxy}/
  wrk -t 2 -c 12 -d 20s --latency http://{proxy}/
"
    )
}

fn operations(admin: SocketAddr) -> String {
    let pools = format!("http://{admin}/api/v1/pools");
    format!(
        "
Watch and change it:
  tidegate status --admin http://{admin}
  curl {pools}/{POOL}/autoscale                      # replicas, signals, the last decision
  curl '{pools}/{POOL}/autoscale/decisions?limit=5'  # each with all that it followed from
  curl -X PUT -d '{{\"replicas\": 4, \"for\": \"1m\"}}' {pools}/{POOL}/autoscale/order
  curl -X DELETE {pools}/{POOL}/autoscale/order      # the autoscaler decides again
  curl 'http://{admin}/api/v1/reports/scaling?window=1h'
  curl http://{admin}/metrics
  curl -X POST {pools}/mixed/endpoints/fast/drain      # no new request goes to it
  curl -X POST {pools}/mixed/endpoints/fast/undrain    # it is back
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guide() -> Guide {
        let addresses = Addresses {
            listeners: vec![("demo".parse().unwrap(), Bind::Tcp("127.0.0.1:4001".parse().unwrap()))],
            admin: Some("127.0.0.1:4002".parse().unwrap()),
        };
        let place = Place { name: "fast", address: "127.0.0.1:4003".parse().unwrap(), pid: 7, about: "quick".to_owned() };
        Guide::new(&addresses, vec![place])
    }

    #[test]
    fn the_guide_names_what_was_really_bound() {
        let text = guide().text();
        for line in [
            "  fast    127.0.0.1:4003  process 7, quick\n",
            "  curl -i http://127.0.0.1:4001/ ",
            "  tidegate status --admin http://127.0.0.1:4002\n",
            "  curl -X PUT -d '{\"replicas\": 4, \"for\": \"1m\"}' http://127.0.0.1:4002/api/v1/pools/agents/autoscale/order\n",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn without_an_admin_server_nothing_is_said_about_it() {
        let guide = Guide { admin: None, ..guide() };
        assert!(!guide.text().contains("status"));
        assert_eq!(guide.hints().len(), 1);
    }
}
