//! The same over real sockets: connections that are refused, cut, and kept.

use std::sync::Arc;
use std::time::Duration;

use tidegate::model;
use tidegate::platform::kubernetes::{Cluster, Timeouts, Workload};
use tidegate::platform::{ScaleError, Scaler};

use super::fake::{Fake, Fault};
use crate::lab::soon;

fn workload(cluster: Cluster) -> Workload {
    let target = model::Workload {
        group: "apps".to_owned(),
        version: "v1".to_owned(),
        kind: "Deployment".to_owned(),
        plural: "deployments".to_owned(),
        name: "coders".to_owned(),
        namespace: Some("agents".to_owned()),
    };
    Workload::new(Arc::new(cluster), target)
}

async fn deployed() -> (Fake, Cluster) {
    let fake = Fake::new();
    fake.deploy("coders", 2);
    fake.settle();
    let address = fake.listen().await;
    (fake, Cluster::at(format!("http://{address}").parse().unwrap()))
}

#[tokio::test]
async fn a_server_is_spoken_to_over_a_socket() {
    let (fake, cluster) = deployed().await;
    let workload = workload(cluster);
    assert_eq!(soon(workload.observe()).await.unwrap().replicas.len(), 2);
    soon(workload.scale_to(3, vec![])).await.unwrap();
    fake.settle();
    assert_eq!(soon(workload.observe()).await.unwrap().replicas.len(), 3);
}

#[tokio::test]
async fn credentials_are_sent_and_wrong_ones_refused() {
    let (fake, _) = deployed().await;
    fake.require_token("good");
    let address = fake.listen().await;
    for (token, is_good) in [("good", true), ("bad", false)] {
        let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
        config.auth_info.token = Some(token.to_owned().into());
        let observed = soon(workload(Cluster::with_config(config)).observe()).await;
        assert_eq!(observed.is_ok(), is_good, "{observed:?}");
        assert_eq!(observed.is_err_and(|error| error.as_str() == "refused"), !is_good);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_until_it_is() {
    let (fake, cluster) = deployed().await;
    let workload = workload(cluster);
    fake.kill();
    let Err(ScaleError::Unreachable { detail, .. }) = soon(workload.observe()).await else { panic!("nobody is there") };
    assert!(!detail.is_empty());
    fake.restart();
    soon(workload.observe()).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_cut_or_silent_is_given_up() {
    let (fake, cluster) = deployed().await;
    let call = Duration::from_millis(300);
    let workload = workload(cluster.with_timeouts(Timeouts { call, ..Timeouts::default() }));
    for fault in [Fault::Cut, Fault::CutInside, Fault::Hang] {
        fake.fault("get", "deployments/scale", fault.clone(), 1);
        assert_eq!(soon(workload.observe()).await.unwrap_err().as_str(), "unreachable", "{fault:?}");
    }
}

#[tokio::test]
async fn a_client_is_made_when_it_is_needed_and_says_why_it_cannot_be() {
    let mut config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    config.proxy_url = Some("ftp://127.0.0.1:1".parse().unwrap());
    let Err(ScaleError::Unreachable { detail, .. }) = soon(workload(Cluster::with_config(config)).observe()).await else {
        panic!("there is no such proxy")
    };
    assert!(detail.contains("proxy"), "{detail}");
}
