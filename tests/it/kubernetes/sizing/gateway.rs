//! Gateways of a cluster, each with a runtime of its own: it can be killed or stopped while the others go on.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::sync::mpsc::{Sender, channel};

use hickory_resolver::Hosts;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use tidegate::app::Surroundings;
use tidegate::discovery::Resolver;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use super::stage::{Stage, config, start, until, view};
use crate::lab::Lab;

/// The name of all gateways.
const SERVICE: &str = "gateways.test";

/// Where each gateway has its admin server: a port that all share, as pods do.
const HOSTS: &str = "127.0.0.2 gateways.test\n127.0.0.3 gateways.test\n";

/// How often a port is tried that somebody else may take first.
const ATTEMPTS: usize = 20;

/// One gateway; dropped, it is gone at once, and gives nothing back.
pub struct Gateway {
    pub name: &'static str,
    lab: Lab,
    runtime: Option<Runtime>,
}

/// A gateway's control side that stands still until this is dropped; its workers go on.
pub struct Frozen {
    _thaw: Sender<()>,
}

impl Deref for Gateway {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.lab.proxy.stop();
        // Waits for nothing, as a kill does.
        self.runtime.take().expect("it is taken here only").shutdown_background();
    }
}

impl Gateway {
    async fn try_start(name: &'static str, stage: &Stage, admin: SocketAddr, autoscale: &str) -> anyhow::Result<Self> {
        // One thread, so that one task can stop all others.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let lease = "lease: { namespace: agents, duration: 3s, renew: 1s }";
        let cluster = format!("cluster: {{ identity: {name}, peers: \"{SERVICE}:{}\", {lease} }}", admin.port());
        let text = format!("{}{cluster}\nadmin: {{ bind: \"{admin}\" }}\n", config("", autoscale));
        let cluster = stage.cluster(name);
        let started = on(&runtime, async move {
            let mut hosts = Hosts::default();
            hosts.read_hosts_conf(HOSTS.as_bytes())?;
            let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
            let resolver = Resolver::with_config(Handle::current(), nobody, ResolverOpts::default(), hosts)?;
            start(text, Surroundings { cluster: Some(cluster), resolver: Some(resolver) }).await
        })
        .await;
        match started {
            Ok(lab) => Ok(Self { name, lab, runtime: Some(runtime) }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Stops the control side, as if the process had got no time.
    pub async fn freeze(&self) -> Frozen {
        let (thaw, thawed) = channel::<()>();
        let (say, said) = oneshot::channel();
        self.runtime.as_ref().expect("it is taken by drop only").spawn(async move {
            let _ = say.send(());
            // Without an await, and so nothing else runs meanwhile.
            let _ = thawed.recv();
        });
        said.await.unwrap();
        Frozen { _thaw: thaw }
    }

    /// Tells whether it is the one that acts.
    pub async fn leads(&self) -> bool {
        view(self).await["leads"] == true
    }
}

async fn on<T: Send + 'static>(runtime: &Runtime, task: impl Future<Output = T> + Send + 'static) -> T {
    runtime.spawn(task).await.unwrap()
}

/// Starts two gateways that know each other, and returns the one that leads and the other, both with the endpoints that there are.
pub async fn pair(stage: &Stage, autoscale: &str) -> (Gateway, Gateway) {
    for _ in 0..ATTEMPTS {
        let port = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().port();
        let first = Gateway::try_start("first", stage, ([127, 0, 0, 2], port).into(), autoscale).await;
        let second = Gateway::try_start("second", stage, ([127, 0, 0, 3], port).into(), autoscale).await;
        let (first, second) = match (first, second) {
            (Ok(first), Ok(second)) => (first, second),
            (first, second) => {
                let errors = [first.err(), second.err()].map(|error| error.map(|error| format!("{error:#}")).unwrap_or_default());
                assert!(errors.iter().all(|error| error.is_empty() || error.contains("in use")), "{errors:?}");
                continue;
            }
        };
        stage.agree(&first).await;
        stage.agree(&second).await;
        until("somebody should lead", async || first.leads().await || second.leads().await).await;
        return if first.leads().await { (first, second) } else { (second, first) };
    }
    panic!("there should be a free port")
}
