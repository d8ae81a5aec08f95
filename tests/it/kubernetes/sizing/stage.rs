//! A deployment, its pods, and what a proxy before them shows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tidegate::app::{Proxy, Source, Started, Surroundings};
use tidegate::platform::kubernetes::{Cluster, Timeouts};

use super::town::Town;
use crate::client::admin;
use crate::kubernetes::fake::Fake;
use crate::lab::{Http1, Lab, get, request, soon};

pub const DEPLOYMENTS: &str = "apps/deployments";
pub const SCALE: &str = "deployments/scale";
pub const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

const AUTOSCALE: &str = "/api/v1/pools/coders/autoscale";

/// A deployment `coders` in a fake cluster.
pub struct Stage {
    pub fake: Fake,
    pub town: Town,
    api: SocketAddr,
}

impl Stage {
    /// So many pods, all ready; nothing changes by itself.
    pub async fn still(replicas: u32) -> Self {
        let fake = Fake::new();
        let town = Town::start(fake.clone()).await;
        fake.live_at([127, 1], town.port());
        fake.deploy("coders", replicas);
        fake.settle();
        let api = fake.listen().await;
        Self { fake, town, api }
    }

    /// So many pods, all ready; pods follow the number.
    pub async fn start(replicas: u32) -> Self {
        let stage = Self::still(replicas).await;
        stage.run();
        stage
    }

    /// From now on pods follow the number.
    pub fn run(&self) {
        self.fake.run(Duration::from_millis(10));
    }

    /// The cluster as a gateway of this name speaks to it.
    pub fn cluster(&self, gateway: &str) -> Arc<Cluster> {
        let mut config = kube::Config::new(format!("http://{}", self.api).parse().unwrap());
        config.auth_info.token = Some(gateway.to_owned().into());
        let timeouts = Timeouts { watch: Duration::from_secs(1), ..Timeouts::default() };
        Arc::new(Cluster::with_config(config).with_timeouts(timeouts))
    }

    /// A proxy before the pods, with these keys of the pool and of its sizing.
    pub async fn lab(&self, pool: &str, autoscale: &str) -> Lab {
        let text = format!("{}admin: {{ bind: \"127.0.0.1:0\" }}\n", config(pool, autoscale));
        let surroundings = Surroundings { cluster: Some(self.cluster("alone")), resolver: None };
        let lab = start(text, surroundings).await.unwrap();
        until("the loop should have begun", async || count(&lab, "decisions_total").await > 0).await;
        lab
    }

    /// Waits until exactly the pods that stay are endpoints that get requests.
    pub async fn agree(&self, lab: &Lab) {
        until("the endpoints should be the pods that stay", async || available(lab).await == self.fake.staying("coders")).await;
    }

    /// Waits until so many pods are wanted, and serve, and a proxy knows it.
    pub async fn grown(&self, lab: &Lab, replicas: usize) {
        let is_so = |fake: &Fake| fake.staying("coders").len() == replicas && self.wanted() == replicas;
        self.fake.until(&format!("there should be {replicas} pods"), is_so).await;
        self.agree(lab).await;
    }

    /// Returns how many pods are wanted.
    pub fn wanted(&self) -> usize {
        usize::try_from(self.fake.replicas(DEPLOYMENTS, "coders")).unwrap()
    }

    /// Returns what was asked of the scale and of pods, in its order: a number of replicas, or the name of a pod that got or lost a mark.
    pub fn orders(&self) -> Vec<String> {
        let calls = self.fake.log().into_iter().filter(|call| call.verb == "patch");
        let shown = calls.map(|call| match call.resource.as_str() {
            SCALE => call.body["spec"]["replicas"].to_string(),
            _ => format!("{} {}", call.name, call.body["metadata"]["annotations"][COST]),
        });
        shown.collect()
    }
}

/// Starts a proxy.
pub async fn start(text: String, surroundings: Surroundings) -> anyhow::Result<Lab> {
    let source = Source::Text { text, base_dir: ".".into() };
    let Started { proxy, addresses } = Proxy::start_in(source, surroundings).await?;
    Ok(Lab { proxy, addresses })
}

/// A pool in which each replica is for one request at a time, and takes up to eight; without any delay in either direction.
pub fn config(pool: &str, autoscale: &str) -> String {
    let policies = "[{ name: busy, signal: concurrency, target: 1, window: 1s }]";
    let policies = if autoscale.contains("policies:") { String::new() } else { format!("policies: {policies}, ") };
    format!(
        "workers: 1\n\
         listeners: [{{ name: public, bind: \"127.0.0.1:0\" }}]\n\
         routes: [{{ name: all, pool: coders }}]\n\
         pools: {{ coders: {{ strategy: least_connections, max_connections: 8, {pool}\n\
         \x20 discovery: {{ kubernetes: {{ service: coders, namespace: agents, port: http }} }},\n\
         \x20 autoscale: {{ {policies}{autoscale}, interval: 100ms, panic: off, forecast: off,\n\
         \x20   target: {{ kubernetes: {{ kind: Deployment, name: coders, namespace: agents }} }},\n\
         \x20   behavior: {{ scale_up: {{ cooldown: 0s }}, max_events_per_hour: 3600,\n\
         \x20     scale_down: {{ cooldown: 0s, stabilization: 0s, sustained: 0s, max_step: none }} }} }} }} }}\n"
    )
}

/// Asks again and again until it is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let so = async { while !is_so().await {} };
    tokio::time::timeout(crate::lab::PATIENCE, so).await.unwrap_or_else(|_| panic!("{what}"));
}

/// Returns how the sizing stands.
pub async fn view(lab: &Lab) -> Value {
    get(lab.admin(), AUTOSCALE).await.json()
}

/// Returns a number of the view.
pub async fn count(lab: &Lab, name: &str) -> u64 {
    view(lab).await[name].as_u64().unwrap_or_else(|| panic!("{name} should be a number"))
}

/// Waits until there were so many decisions more.
pub async fn decided(lab: &Lab, more: u64) {
    let before = count(lab, "decisions_total").await;
    until("it should go on to decide", async || count(lab, "decisions_total").await >= before + more).await;
}

/// Orders a number of replicas, whatever the policies say.
pub async fn order(lab: &Lab, replicas: u32) {
    let answer = admin(lab.admin(), Method::PUT, &format!("{AUTOSCALE}/order"), &format!("{{\"replicas\":{replicas}}}")).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
}

/// Takes the order back.
pub async fn free(lab: &Lab) {
    let answer = admin(lab.admin(), Method::DELETE, &format!("{AUTOSCALE}/order"), "").await;
    assert_eq!(answer.status(), 200, "{answer:?}");
}

/// Returns the pods that are leaving by this gateway's own choice.
pub async fn leaving(lab: &Lab) -> Vec<String> {
    let view = view(lab).await;
    let leaving = view["shown"].as_array().unwrap().iter().filter(|replica| !replica["leaving"].is_null());
    leaving.map(|replica| replica["name"].as_str().unwrap().to_owned()).collect()
}

/// Returns the endpoints that something keeps from new requests, each with that.
pub async fn spared(lab: &Lab) -> Vec<(String, String)> {
    let view = get(lab.admin(), "/api/v1/pools/coders").await.json();
    let endpoints = view["endpoints"].as_array().unwrap().clone();
    let causes =
        |endpoint: &Value| endpoint["causes"].as_array().unwrap().iter().map(|cause| cause.as_str().unwrap().to_owned()).collect();
    let shown = endpoints.iter().map(|endpoint| (endpoint["id"].as_str().unwrap().to_owned(), causes(endpoint)));
    shown.filter(|(_, causes): &(String, Vec<String>)| !causes.is_empty()).map(|(id, causes)| (id, causes.join(" "))).collect()
}

/// Returns the endpoints that get requests, in the order of their names.
pub async fn available(lab: &Lab) -> Vec<String> {
    let view = get(lab.admin(), "/api/v1/pools/coders").await.json();
    let endpoints = view["endpoints"].as_array().unwrap().iter().filter(|endpoint| endpoint["state"] == "available");
    let mut names: Vec<_> = endpoints.map(|endpoint| endpoint["id"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Sends so many requests, one after the other, and returns which pods have answered.
pub async fn asked(lab: &Lab, times: usize) -> Vec<String> {
    let mut pods = Vec::new();
    for _ in 0..times {
        let answer = get(lab.address(), "/").await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        pods.push(answer.text);
    }
    pods
}

/// A client that listens to a pod; dropped, it has left.
pub struct Stream {
    pub pod: String,
    body: Incoming,
    _connection: Http1,
}

impl Stream {
    /// Begins to listen, through a proxy at this address.
    pub async fn open(address: SocketAddr) -> Self {
        let mut connection = Http1::connect(address).await;
        let response = connection.send(request("/events")).await.unwrap();
        assert_eq!(response.status(), 200);
        let pod = response.headers()["x-pod"].to_str().unwrap().to_owned();
        Self { pod, body: response.into_body(), _connection: connection }
    }

    /// Begins to listen, so many times.
    pub async fn several(lab: &Lab, count: usize) -> Vec<Self> {
        let mut streams = Vec::new();
        for _ in 0..count {
            streams.push(Self::open(lab.address()).await);
        }
        streams
    }

    /// Begins to listen to each of these pods, in their order.
    pub async fn at_each(lab: &Lab, pods: &[String]) -> Vec<Self> {
        let mut streams: Vec<Self> = Vec::new();
        // A worker may learn of an endpoint a moment after the admin server does.
        let all = async {
            while streams.len() < pods.len() {
                let stream = Self::open(lab.address()).await;
                if pods.contains(&stream.pod) && streams.iter().all(|known| known.pod != stream.pod) {
                    streams.push(stream);
                }
            }
        };
        soon(all).await;
        streams.sort_by_key(|stream| pods.iter().position(|pod| *pod == stream.pod));
        streams
    }

    /// Waits for this event, which must be the next.
    pub async fn hear(&mut self, event: &str) {
        let frame = soon(self.body.frame()).await.expect("the stream should go on").expect("the stream should not be cut");
        assert_eq!(frame.into_data().unwrap(), format!("data: {event}\n\n"), "of {}", self.pod);
    }

    /// Waits until it is cut.
    pub async fn cut(mut self) {
        assert!(soon(self.body.frame()).await.is_some_and(|frame| frame.is_err()));
    }
}

/// Everybody hears what is said.
pub async fn all_hear(town: &Town, streams: impl IntoIterator<Item = &mut Stream>, event: &str) {
    town.say(event);
    for stream in streams {
        stream.hear(event).await;
    }
}
