//! A pool of containers before a fake engine, and waiting for it.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate::model::{Container, Id, Secret};
use tidegate::platform::{Containers, Local, Observed, Phase, Scaler};

use super::fake::Fake;
use crate::lab::soon;

pub fn id(name: &str) -> Id {
    name.parse().unwrap()
}

/// What the pool `coders` is made of.
pub fn settings(fake: &Fake) -> Container {
    Container {
        image: "coder:1".to_owned(),
        port: 8080,
        command: Vec::new(),
        memory: Some(64 << 20),
        cpus: Some(0.5),
        env: BTreeMap::from([("KEY".to_owned(), Secret::new("value".to_owned()))]),
        network: None,
        pull: false,
        host: Some(fake.host()),
        ready_timeout: Duration::from_secs(30),
        grace: Duration::from_secs(7),
    }
}

/// Begins to keep the pool `coders`.
pub fn start(settings: &Container) -> Containers {
    Containers::start(&id("coders"), "gateway", settings)
}

/// Waits until what is observed is so.
pub async fn until(containers: &Containers, is_so: impl Fn(&Observed) -> bool) -> Observed {
    soon(async {
        loop {
            let change = containers.changed();
            if let Ok(observed) = containers.observe().await
                && is_so(&observed)
            {
                return observed;
            }
            change.await;
        }
    })
    .await
}

/// Waits until so many serve, and nobody else is there.
pub async fn until_ready(containers: &Containers, count: usize) -> Observed {
    until(containers, |observed| {
        observed.replicas.len() == count && observed.replicas.iter().all(|replica| replica.phase == Phase::Ready)
    })
    .await
}

/// The names of the replicas.
pub fn names(observed: &Observed) -> Vec<&str> {
    observed.replicas.iter().map(|replica| replica.name.as_str()).collect()
}

/// Scales, as the autoscaler does.
pub async fn scale(containers: &Containers, count: u32, victims: &[&str]) {
    soon(containers.scale_to(count, victims.iter().map(|name| id(name)).collect())).await.unwrap();
}

/// The end of Tidegate.
pub async fn close(containers: Containers) {
    soon(containers.close()).await;
}
