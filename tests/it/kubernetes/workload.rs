//! A workload that is scaled, against everything that a server does with a scale.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::model::{self, Id};
use tidegate::platform::kubernetes::Workload;
use tidegate::platform::{Observed, Phase, ScaleError, Scaler};

use super::fake::{Fake, Fault};

const DEPLOYMENTS: &str = "apps/deployments";
const SCALE: &str = "deployments/scale";
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

fn target(group: &str, plural: &str) -> model::Workload {
    model::Workload {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: "Deployment".to_owned(),
        plural: plural.to_owned(),
        name: "coders".to_owned(),
        namespace: None,
    }
}

fn workload(fake: &Fake) -> Arc<dyn Scaler> {
    Arc::new(Workload::new(fake.cluster(), target("apps", "deployments")))
}

/// A deployment of so many pods, all ready.
fn deployed(replicas: u32) -> (Fake, Arc<dyn Scaler>) {
    let fake = Fake::new();
    fake.deploy("coders", replicas);
    fake.settle();
    let workload = workload(&fake);
    (fake, workload)
}

fn phases(observed: &Observed) -> Vec<Phase> {
    observed.replicas.iter().map(|replica| replica.phase).collect()
}

fn names(observed: &Observed) -> Vec<Id> {
    observed.replicas.iter().map(|replica| replica.name.clone()).collect()
}

fn costs(fake: &Fake) -> Vec<Value> {
    fake.pods("coders").iter().map(|pod| pod["metadata"]["annotations"][COST].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_scale_without_a_number_is_a_scale_of_none() {
    let (_fake, workload) = deployed(0);
    assert_eq!(workload.observe().await, Ok(Observed::default()));
}

#[tokio::test(start_paused = true)]
async fn replicas_are_the_pods_of_the_selector_in_the_order_of_their_names() {
    let (fake, workload) = deployed(0);
    fake.deploy("others", 2);
    workload.scale_to(3, vec![]).await.unwrap();
    assert_eq!(workload.observe().await.unwrap().desired, 3, "the answer to a patch is the new number");
    fake.step();
    assert_eq!(phases(&workload.observe().await.unwrap()), [Phase::Starting; 3]);
    fake.step();
    let running = workload.observe().await.unwrap();
    assert_eq!(phases(&running), [Phase::Starting; 3]);
    assert!(running.replicas.iter().all(|replica| replica.address.is_some()));
    fake.step();
    let ready = workload.observe().await.unwrap();
    assert_eq!(phases(&ready), [Phase::Ready; 3]);
    assert!(names(&ready).is_sorted());
    assert_eq!(names(&ready), names(&running));
    assert!(names(&ready).iter().all(|name| name.as_str().starts_with("coders-")));
}

#[tokio::test(start_paused = true)]
async fn anything_with_a_scale_can_be_scaled() {
    let fake = Fake::new();
    fake.scalable("example.com/crews", "coders", 1);
    fake.settle();
    let workload = Workload::new(fake.cluster(), target("example.com", "crews"));
    workload.scale_to(2, vec![]).await.unwrap();
    fake.settle();
    assert_eq!(phases(&workload.observe().await.unwrap()), [Phase::Ready; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_scale_without_a_selector_is_refused_and_not_taken_for_every_pod() {
    let (fake, workload) = deployed(2);
    fake.patch(DEPLOYMENTS, "coders", &json!({ "spec": { "selector": null } }));
    let Err(ScaleError::Refused { detail, .. }) = workload.observe().await else { panic!("it has no selector") };
    assert!(detail.contains("no selector"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn a_number_that_somebody_else_wrote_meanwhile_is_a_conflict_and_stays() {
    let (fake, workload) = deployed(2);
    workload.observe().await.unwrap();
    fake.patch(DEPLOYMENTS, "coders", &json!({ "spec": { "replicas": 7 } }));
    let error = workload.scale_to(3, vec![]).await.unwrap_err();
    assert_eq!(error.as_str(), "conflict");
    assert_eq!(fake.replicas(DEPLOYMENTS, "coders"), 7);
    assert_eq!(workload.observe().await.unwrap().desired, 7);
    workload.scale_to(3, vec![]).await.unwrap();
    assert_eq!(fake.replicas(DEPLOYMENTS, "coders"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_over_because_of_a_status_is_no_conflict() {
    let (fake, workload) = deployed(2);
    workload.observe().await.unwrap();
    fake.patch(DEPLOYMENTS, "coders", &json!({ "status": { "replicas": 1 } }));
    workload.scale_to(3, vec![]).await.unwrap();
    assert_eq!(fake.replicas(DEPLOYMENTS, "coders"), 3);
    assert_eq!(fake.count("patch", SCALE), 2);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_always_over_is_a_conflict_after_some_tries() {
    let (fake, workload) = deployed(2);
    fake.fault("patch", SCALE, Fault::Answer(409, None, r#"{"code":409,"message":"modified"}"#), 100);
    assert_eq!(workload.scale_to(3, vec![]).await.unwrap_err().as_str(), "conflict");
    assert_eq!(fake.count("patch", SCALE), 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_missing() {
    let fake = Fake::new();
    let workload = workload(&fake);
    let what = "deployments coders".to_owned();
    let missing = ScaleError::Missing { platform: "Kubernetes", what };
    assert_eq!(workload.observe().await, Err(missing.clone()));
    assert_eq!(workload.scale_to(1, vec![]).await, Err(missing));
    assert_eq!(workload.restart("coders-1".parse().unwrap()).await.unwrap_err().as_str(), "missing");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_tells_verb_and_resource() {
    let (fake, workload) = deployed(2);
    fake.allow(&[("get", SCALE), ("list", "pods")]);
    workload.observe().await.unwrap();
    let Err(ScaleError::Refused { detail, .. }) = workload.scale_to(3, vec![]).await else { panic!("it is not allowed") };
    assert!(detail.contains(r#"cannot patch resource "deployments/scale""#), "{detail}");
    fake.require_token("secret");
    assert_eq!(workload.observe().await.unwrap_err().as_str(), "refused");
}

#[tokio::test(start_paused = true)]
async fn these_permissions_are_enough() {
    let (fake, workload) = deployed(3);
    let pods = ["get", "list", "patch", "delete"].map(|verb| (verb, "pods"));
    fake.allow(&[&[("get", SCALE), ("patch", SCALE), ("create", "events")][..], &pods[..]].concat());
    let observed = workload.observe().await.unwrap();
    workload.scale_to(2, names(&observed)[..1].to_vec()).await.unwrap();
    workload.restart(names(&observed)[1].clone()).await.unwrap();
    assert_eq!(fake.count("create", "events"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_no_scale_can_hold_is_refused_before_it_is_sent() {
    let (fake, workload) = deployed(1);
    assert_eq!(workload.scale_to(u32::MAX, vec![]).await.unwrap_err().as_str(), "refused");
    assert_eq!(fake.count("patch", SCALE), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_too_busy_says_for_how_long() {
    let (fake, workload) = deployed(1);
    let busy = |seconds| Err(ScaleError::Busy { platform: "Kubernetes", wait: Duration::from_secs(seconds) });
    fake.fault("get", SCALE, Fault::Answer(429, Some(7), "Too many requests, please try again later."), 1);
    assert_eq!(workload.observe().await, busy(7));
    fake.fault("list", "pods", Fault::Answer(503, Some(3), "{}"), 1);
    assert_eq!(workload.observe().await, busy(3));
    assert_eq!(fake.count("get", SCALE), 2, "nobody tries again behind our back");
    workload.observe().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_unreachable() {
    let faults = [
        Fault::Answer(500, None, r#"{"code":500,"message":"etcd"}"#),
        Fault::Answer(503, None, "starting"),
        Fault::Answer(200, None, "<html>"),
        Fault::Hang,
        Fault::Slow(Duration::from_secs(6)),
        Fault::Cut,
        Fault::CutInside,
    ];
    let (fake, workload) = deployed(1);
    for fault in faults {
        fake.fault("get", SCALE, fault.clone(), 1);
        assert_eq!(workload.observe().await.unwrap_err().as_str(), "unreachable", "{fault:?}");
    }
    fake.fault("get", SCALE, Fault::Slow(Duration::from_secs(4)), 1);
    workload.observe().await.unwrap();
    fake.kill();
    assert_eq!(workload.observe().await.unwrap_err().as_str(), "unreachable");
    fake.restart();
    workload.observe().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_number_that_was_written_though_nobody_said_so_is_not_taken_for_somebody_elses() {
    let (fake, workload) = deployed(1);
    workload.observe().await.unwrap();
    fake.fault("patch", SCALE, Fault::CutAfter, 1);
    assert_eq!(workload.scale_to(4, vec![]).await.unwrap_err().as_str(), "unreachable");
    assert_eq!(fake.replicas(DEPLOYMENTS, "coders"), 4);
    workload.scale_to(5, vec![]).await.unwrap();
    assert_eq!(fake.replicas(DEPLOYMENTS, "coders"), 5);
}

#[tokio::test(start_paused = true)]
async fn those_that_were_chosen_go_and_leave_by_stopping() {
    let (fake, workload) = deployed(4);
    let all = names(&workload.observe().await.unwrap());
    // The oldest: by itself the controller would take the youngest.
    let (victims, rest) = (all[..2].to_vec(), all[2..].to_vec());
    workload.scale_to(2, victims.clone()).await.unwrap();
    fake.step();
    let leaving = workload.observe().await.unwrap();
    assert_eq!(leaving.desired, 2);
    assert_eq!(phases(&leaving), [Phase::Stopping, Phase::Stopping, Phase::Ready, Phase::Ready]);
    fake.settle();
    assert_eq!(names(&workload.observe().await.unwrap()), rest);
}

#[tokio::test(start_paused = true)]
async fn a_mark_on_one_that_stays_is_taken_away_also_after_a_restart() {
    let (fake, before) = deployed(3);
    let all = names(&before.observe().await.unwrap());
    fake.fault("patch", SCALE, Fault::Answer(500, None, ""), 1);
    before.scale_to(2, vec![all[0].clone()]).await.unwrap_err();
    assert_eq!(costs(&fake), [json!("-999"), Value::Null, Value::Null]);

    let after = workload(&fake);
    fake.patch("/pods", all[2].as_str(), &json!({ "metadata": { "annotations": { COST: "5" } } }));
    after.observe().await.unwrap();
    after.scale_to(2, vec![all[1].clone()]).await.unwrap();
    assert_eq!(costs(&fake), [Value::Null, json!("-999"), json!("5")], "what others wrote is left alone");
    fake.settle();
    assert_eq!(fake.staying("coders"), [all[0].as_str(), all[2].as_str()]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_removed_when_those_that_are_to_go_cannot_be_marked() {
    let (fake, workload) = deployed(3);
    let all = names(&workload.observe().await.unwrap());
    fake.allow(&[("get", SCALE), ("patch", SCALE), ("list", "pods")]);
    assert_eq!(workload.scale_to(2, vec![all[0].clone()]).await.unwrap_err().as_str(), "refused");
    assert_eq!(fake.replicas(DEPLOYMENTS, "coders"), 3);
}

#[tokio::test(start_paused = true)]
async fn one_that_has_gone_already_is_no_obstacle() {
    let (fake, workload) = deployed(2);
    workload.scale_to(1, vec!["coders-gone".parse().unwrap()]).await.unwrap();
    assert_eq!(fake.replicas(DEPLOYMENTS, "coders"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_puts_another_pod_in_the_place_of_one() {
    let (fake, workload) = deployed(2);
    let before = names(&workload.observe().await.unwrap());
    workload.restart(before[0].clone()).await.unwrap();
    assert_eq!(phases(&workload.observe().await.unwrap()), [Phase::Stopping, Phase::Ready]);
    fake.settle();
    let after = workload.observe().await.unwrap();
    assert_eq!((after.desired, after.replicas.len()), (2, 2));
    assert!(!names(&after).contains(&before[0]) && names(&after).contains(&before[1]));
}

#[tokio::test(start_paused = true)]
async fn a_scaling_is_told_by_an_event_on_the_target_and_no_scaling_is_not() {
    let (fake, workload) = deployed(1);
    workload.scale_to(3, vec![]).await.unwrap();
    workload.scale_to(3, vec![]).await.unwrap();
    let events = fake.calls("create", "events");
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].group.as_str(), events[0].namespace.as_str()), ("events.k8s.io", "agents"));
    assert_eq!(events[0].body["reason"], "TidegateScaled");
    assert_eq!(events[0].body["note"], "Scaled from 1 to 3 replicas.");
    assert_eq!(events[0].body["regarding"]["kind"], "Deployment");
    assert!(events[0].body["regarding"]["uid"].as_str().is_some_and(|uid| uid.starts_with("uid-")));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_made_stops_nothing() {
    let (fake, workload) = deployed(1);
    fake.fault("create", "events", Fault::Answer(403, None, "{}"), 1);
    workload.scale_to(2, vec![]).await.unwrap();
    fake.fault("create", "events", Fault::Hang, 1);
    workload.scale_to(3, vec![]).await.unwrap();
    assert_eq!(fake.replicas(DEPLOYMENTS, "coders"), 3);
}

#[tokio::test(start_paused = true)]
async fn use_is_known_where_there_is_a_metrics_api_and_silence_is_no_use() {
    let (fake, workload) = deployed(1);
    for _ in 0..30 {
        let observed = workload.observe().await.unwrap();
        assert_eq!(observed.replicas[0].usage.cpu, None);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(fake.count("list", "metrics"), 1, "a cluster without the API is asked again after minutes");

    let name = fake.staying("coders")[0].clone();
    let usage = json!({ "name": "agent", "usage": { "cpu": "125000000n", "memory": "25Mi" } });
    let figures = json!({ "metadata": { "labels": { "app": "coders" } }, "containers": [usage] });
    fake.store(|store| store.put(&("metrics.k8s.io/pods".to_owned(), "agents".to_owned(), name), figures));
    tokio::time::advance(Duration::from_secs(180)).await;
    let usage = workload.observe().await.unwrap().replicas[0].usage;
    assert_eq!((usage.cpu, usage.memory), (Some(0.25), Some(0.25)));
}
