//! Endpoints that come and go with the slices of a Service, whatever becomes of the API server meanwhile.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tidegate::discovery::{Found, Resolver, Sources, Watch, watch};
use tidegate::model::{Discovery, Hash, KubernetesService, Pool, Protection, ResourceTerms, Strategy, Upstream};
use tidegate::platform::Platforms;
use tokio::time::{Instant, timeout};

use super::fake::{Fake, Fault, InStream};
use crate::lab::soon;

const SLICES: &str = "endpointslices";

/// What ends a watch, and how.
type End = (&'static str, fn(&Fake));

fn pool(port: Option<&str>) -> Pool {
    let service = KubernetesService { service: "coders".to_owned(), namespace: None, port: port.map(str::to_owned) };
    Pool {
        name: "coders".parse().unwrap(),
        strategy: Strategy::LeastConnections,
        hash: Hash::default(),
        resource: ResourceTerms::default(),
        endpoints: Vec::new(),
        discovery: Some(Discovery::Kubernetes(service)),
        slow_start: None,
        max_connections: None,
        autoscale: None,
        protection: Protection::default(),
        upstream: Upstream::default(),
    }
}

fn follow(fake: &Fake) -> Watch {
    let platforms = Arc::new(Platforms::new(None).with_cluster(fake.cluster()));
    let resolver = Resolver::new(tokio::runtime::Handle::current()).unwrap();
    watch(&pool(Some("http")), &Sources { resolver, platforms }).unwrap()
}

/// A service with so many pods, all ready, and its endpoints once they are known.
async fn followed(pods: u32) -> (Fake, Watch) {
    let fake = Fake::new();
    fake.deploy("coders", pods);
    fake.settle();
    let mut watch = follow(&fake);
    assert_eq!(watch.current(), None, "nothing is known before the first answer");
    assert!(soon(watch.changed()).await);
    (fake, watch)
}

fn shown(found: &[Found]) -> Vec<(String, bool)> {
    found.iter().map(|found| (found.id().unwrap().to_string(), found.is_leaving)).collect()
}

fn staying(fake: &Fake) -> Vec<(String, bool)> {
    fake.staying("coders").into_iter().map(|name| (name, false)).collect()
}

/// Waits until exactly the pods that stay are endpoints, none of them leaving; says how long it took.
async fn agree(fake: &Fake, watch: &mut Watch) -> Duration {
    let begin = Instant::now();
    let agreed = async {
        while watch.current().is_none_or(|found| shown(&found) != staying(fake)) {
            assert!(soon(watch.changed()).await);
        }
    };
    timeout(Duration::from_secs(120), agreed).await.expect("the endpoints should become those that there are");
    begin.elapsed()
}

/// Lets the watch do all that it can do now.
async fn breathe() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_pods_of_all_slices_are_endpoints_with_their_names_and_zones() {
    let (fake, mut watch) = followed(5).await;
    agree(&fake, &mut watch).await;
    let found = watch.current().unwrap();
    assert_eq!(found.len(), 5);
    assert!(found.iter().all(|found| found.zone.as_deref() == Some("eu-1") && found.address.to_string().ends_with(":8080")));
    assert!(fake.count("list", SLICES) >= 1);
    let call = &fake.calls("watch", SLICES)[0];
    assert_eq!(call.query.get("labelSelector").map(String::as_str), Some("kubernetes.io/service-name=coders"));
    assert!(!call.query.contains_key("sendInitialEvents"), "a list that is streamed never ends on some servers");
    assert!(call.query.contains_key("timeoutSeconds"));
}

#[tokio::test(start_paused = true)]
async fn a_service_without_pods_has_no_endpoints_and_gets_them_back() {
    let (fake, mut watch) = followed(0).await;
    assert_eq!(watch.current(), Some(vec![]));
    fake.patch("apps/deployments", "coders", &json!({ "spec": { "replicas": 3 } }));
    fake.settle();
    agree(&fake, &mut watch).await;
    assert_eq!(watch.current().unwrap().len(), 3);
    fake.patch("apps/deployments", "coders", &json!({ "spec": { "replicas": 0 } }));
    fake.settle();
    agree(&fake, &mut watch).await;
    assert_eq!(watch.current(), Some(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_found_when_it_is_ready_leaves_when_it_ends_and_is_gone_when_it_serves_no_more() {
    let (fake, mut watch) = followed(1).await;
    let old = fake.staying("coders")[0].clone();
    fake.patch("apps/deployments", "coders", &json!({ "spec": { "replicas": 2 } }));
    fake.step();
    fake.step();
    breathe().await;
    assert_eq!(shown(&watch.current().unwrap()), [(old.clone(), false)], "the new one is not ready");
    fake.settle();
    assert!(soon(watch.changed()).await);
    assert_eq!(shown(&watch.current().unwrap()), staying(&fake));
    let new = fake.staying("coders")[1].clone();

    fake.patch("apps/deployments", "coders", &json!({ "spec": { "replicas": 1 } }));
    fake.step();
    assert!(soon(watch.changed()).await);
    assert_eq!(shown(&watch.current().unwrap()), [(old.clone(), false), (new, true)]);
    fake.step();
    assert!(soon(watch.changed()).await);
    assert_eq!(shown(&watch.current().unwrap()), [(old, false)]);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_events_is_one_change() {
    let (fake, mut watch) = followed(1).await;
    breathe().await;
    fake.patch("apps/deployments", "coders", &json!({ "spec": { "replicas": 9 } }));
    fake.settle();
    assert!(soon(watch.changed()).await);
    assert_eq!(shown(&watch.current().unwrap()), staying(&fake));
    assert_eq!(watch.current().unwrap().len(), 9);
}

#[tokio::test(start_paused = true)]
async fn whatever_ends_a_watch_everything_is_listed_again() {
    let ends: [End; 6] = [
        ("a version that is too old", |fake| fake.in_streams(InStream::Error(410))),
        ("an error inside the stream", |fake| fake.in_streams(InStream::Error(500))),
        ("a cut", |fake| fake.in_streams(InStream::Cut)),
        ("an event that cannot be read", |fake| fake.in_streams(InStream::Garbage)),
        ("a server that is killed and comes back", |fake| {
            fake.kill();
            fake.restart();
        }),
        ("a restart", Fake::restart),
    ];
    let (fake, mut watch) = followed(1).await;
    for (replicas, (what, end)) in (2..).zip(ends) {
        // A watch that ended at once would be opened again after a growing pause.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let lists = fake.count("list", SLICES);
        end(&fake);
        fake.patch("apps/deployments", "coders", &json!({ "spec": { "replicas": replicas } }));
        fake.settle();
        let took = agree(&fake, &mut watch).await;
        assert!(took < Duration::from_secs(1), "{what}: {took:?}");
        breathe().await;
        assert!(fake.count("list", SLICES) > lists, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_too_old_when_the_watch_is_opened_is_listed_again() {
    let fake = Fake::new();
    fake.deploy("coders", 1);
    fake.settle();
    // Between the list and the watch the server forgets.
    fake.fault("watch", SLICES, Fault::Slow(Duration::from_secs(1)), 1);
    let mut watch = follow(&fake);
    assert!(soon(watch.changed()).await);
    breathe().await;
    fake.store(|store| {
        store.version += 1;
        store.floor = store.version;
    });
    fake.patch("apps/deployments", "coders", &json!({ "spec": { "replicas": 2 } }));
    fake.settle();
    agree(&fake, &mut watch).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_is_answered_to_a_list_or_a_watch_it_is_asked_again() {
    let faults = [
        Fault::Answer(410, None, r#"{"code":410,"reason":"Expired","message":"too old"}"#),
        Fault::Answer(429, Some(2), "Too many requests"),
        Fault::Answer(500, None, "etcd"),
        Fault::Answer(504, Some(1), r#"{"code":504,"message":"Too large resource version"}"#),
        Fault::Answer(200, None, "<html>"),
        Fault::Hang,
        Fault::Cut,
        Fault::CutInside,
    ];
    for verb in ["list", "watch"] {
        for fault in faults.clone() {
            let fake = Fake::new();
            fake.deploy("coders", 2);
            fake.settle();
            fake.fault(verb, SLICES, fault.clone(), 2);
            let mut watch = follow(&fake);
            agree(&fake, &mut watch).await;
            fake.patch("apps/deployments", "coders", &json!({ "spec": { "replicas": 3 } }));
            fake.settle();
            let took = agree(&fake, &mut watch).await;
            assert!(took < Duration::from_secs(30), "{verb} {fault:?}: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_keeps_its_watches_silent_and_is_not_believed_for_long() {
    let (fake, mut watch) = followed(1).await;
    breathe().await;
    fake.end();
    fake.patch("apps/deployments", "coders", &json!({ "spec": { "replicas": 2 } }));
    fake.settle();
    // Another server answers, but the old one says nothing on the watch that is open.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let lists = fake.count("list", SLICES);
    fake.replace();
    let took = agree(&fake, &mut watch).await;
    assert!(took < Duration::from_secs(20) && fake.count("list", SLICES) > lists, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_server_the_last_endpoints_stay_and_change_soon_after_it_is_back() {
    let (fake, mut watch) = followed(3).await;
    let before = watch.current();
    fake.kill();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(watch.current(), before);
    fake.patch("apps/deployments", "coders", &json!({ "spec": { "replicas": 1 } }));
    fake.settle();
    assert_eq!(watch.current(), before);
    let asked = fake.count("list", SLICES);
    fake.restart();
    let took = agree(&fake, &mut watch).await;
    assert!(took <= Duration::from_secs(10), "{took:?}");
    assert!(asked <= 2, "a server that is down counts no calls");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_service_is_listed_now_and_then_and_not_more() {
    let (fake, _watch) = followed(1).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let lists = fake.count("list", SLICES);
    assert!((18..=30).contains(&lists), "{lists} lists in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_are_not_opened_without_a_pause() {
    let fake = Fake::new();
    fake.deploy("coders", 1);
    fake.fault("watch", SLICES, Fault::Answer(200, None, ""), usize::MAX);
    let _watch = follow(&fake);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let opened = fake.count("watch", SLICES);
    assert!((5..=20).contains(&opened), "{opened} watches in a minute");
}

#[tokio::test(start_paused = true)]
async fn these_permissions_are_enough_and_without_them_nothing_is_known() {
    let fake = Fake::new();
    fake.deploy("coders", 1);
    fake.settle();
    fake.allow(&[]);
    let mut watch = follow(&fake);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(watch.current(), None);
    fake.allow(&[("list", SLICES), ("watch", SLICES)]);
    agree(&fake, &mut watch).await;
}

#[tokio::test(start_paused = true)]
async fn endpoints_follow_a_cluster_that_works_by_itself() {
    let (fake, mut watch) = followed(2).await;
    fake.run(Duration::from_millis(30));
    for replicas in [6, 1, 0, 4] {
        fake.patch("apps/deployments", "coders", &json!({ "spec": { "replicas": replicas } }));
        let settled = async {
            while watch.current().is_none_or(|found| found.len() != replicas || shown(&found) != staying(&fake)) {
                assert!(soon(watch.changed()).await);
            }
        };
        timeout(Duration::from_secs(10), settled).await.unwrap();
    }
}
