//! One gateway, and a platform that does what it is told.

use std::time::Duration;

use serde_json::json;

use super::stage::{COST, available};
use super::stage::{DEPLOYMENTS, SCALE, Stage, Stream, all_hear, asked, count, decided, free, leaving, order, spared, until, view};
use crate::stage::{answer, send};

/// Nothing but what a test does.
const RECOMMEND: &str = "mode: recommend, min_replicas: 1, max_replicas: 4";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_wakes_a_pool_at_zero_and_its_pod_goes_when_nobody_comes_any_more() {
    let stage = Stage::start(0).await;
    let lab = stage.lab("", "min_replicas: 0, max_replicas: 4, idle_after: 500ms").await;
    for round in 1..=2 {
        let answer = answer(send(&lab, "/")).await;
        assert_eq!((answer.status(), answer.text.starts_with("coders-")), (200, true), "{answer:?}");
        stage.fake.until("the pod should go", |fake| stage.wanted() == 0 && fake.pods("coders").is_empty()).await;
        let numbers: Vec<_> = stage.orders().into_iter().filter(|order| !order.starts_with("coders")).collect();
        assert_eq!(numbers, ["1", "0"].repeat(round));
    }
    assert_eq!(count(&lab, "failed_total").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_brings_pods_and_those_that_leave_are_drained_marked_and_not_cut() {
    let stage = Stage::start(1).await;
    let lab = stage.lab("", "min_replicas: 1, max_replicas: 4").await;
    stage.agree(&lab).await;
    // So that all come before the first new pod does.
    order(&lab, 1).await;
    let mut streams = Stream::several(&lab, 3).await;
    free(&lab).await;
    stage.grown(&lab, 3).await;
    order(&lab, 3).await;
    let stays = streams[0].pod.clone();
    let new: Vec<String> = stage.fake.staying("coders").into_iter().filter(|pod| *pod != stays).collect();
    let [first, second] = [new[0].clone(), new[1].clone()];
    streams.extend(Stream::at_each(&lab, &new).await);

    order(&lab, 1).await;
    until("two should be drained", async || leaving(&lab).await == new).await;
    let answered = asked(&lab, 10).await;
    assert_eq!(answered, vec![stays.clone(); 10], "{:?}", spared(&lab).await);
    all_hear(&stage.town, &mut streams, "still here").await;
    assert_eq!(stage.wanted(), 3, "nobody goes before it is empty");

    let last = streams.pop().unwrap();
    drop(last);
    stage.fake.until("the empty one should go", |fake| fake.pods("coders").len() == 2).await;
    assert!(!stage.fake.staying("coders").contains(&second));
    all_hear(&stage.town, &mut streams, "the other stays").await;
    drop(streams.pop());
    stage.grown(&lab, 1).await;
    assert_eq!(stage.fake.staying("coders"), [stays]);
    all_hear(&stage.town, &mut streams, "all is well").await;

    let orders = stage.orders();
    let down: Vec<_> = orders.iter().skip_while(|order| !order.starts_with("coders")).collect();
    assert_eq!(down, [&format!("{second} \"-999\""), "2", &format!("{first} \"-999\""), "1"], "of {orders:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_told_to_end_gets_no_new_requests_and_its_streams_go_on_as_long_as_it_does() {
    let stage = Stage::still(2).await;
    let lab = stage.lab("", RECOMMEND).await;
    stage.agree(&lab).await;
    let mut streams = Stream::at_each(&lab, &stage.fake.staying("coders")).await.into_iter();
    let (mut ending, mut staying) = (streams.next().unwrap(), streams.next().unwrap());
    stage.fake.patch("/pods", &ending.pod, &json!({ "metadata": { "annotations": { COST: "-5" } } }));
    stage.fake.patch(DEPLOYMENTS, "coders", &json!({ "spec": { "replicas": 1 } }));
    stage.fake.step();
    let leaves = [(ending.pod.clone(), "leaving".to_owned())];
    until("it should be leaving", async || spared(&lab).await == leaves).await;
    assert!(asked(&lab, 10).await.iter().all(|pod| *pod == staying.pod));
    all_hear(&stage.town, [&mut ending, &mut staying], "it is told").await;
    stage.fake.step();
    until("it should be no endpoint", async || spared(&lab).await.is_empty()).await;
    assert_eq!(available(&lab).await, [staying.pod.clone()]);
    all_hear(&stage.town, [&mut ending, &mut staying], "it ends").await;
    stage.fake.step();
    ending.cut().await;
    all_hear(&stage.town, [&mut staying], "it is gone").await;
    assert_eq!(stage.fake.count("patch", SCALE), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_figure_that_is_gone_changes_nothing_and_then_the_fallback_holds() {
    let stage = Stage::start(2).await;
    // As much in each pod as a replica is for: as many as there are is right.
    stage.town.publish(Some("# TYPE backlog gauge\nbacklog{queue=\"a\"} 10\n"));
    let policies = "policies: [{ name: backlog, signal: custom, metric: backlog, target: 10, window: 1s }]";
    let lab = stage.lab("", &format!("{policies}, min_replicas: 1, max_replicas: 4, missing_after: 3s, fallback: 3")).await;
    until("it should be read", async || !view(&lab).await["readings"][0]["value"].is_null()).await;
    order(&lab, 2).await;
    until("two should be right", async || view(&lab).await["readings"][0]["value"] == 20.0).await;
    free(&lab).await;
    stage.town.publish(None);
    let missing = async |lab: &_| {
        let decision = view(lab).await["decision"].clone();
        (decision["verdicts"][0]["vote"] == "missing").then(|| decision["to"].as_u64().unwrap())
    };
    // A page that cannot be read is made up for by the last one for fifteen seconds: longer than other things take here.
    let held = async {
        loop {
            if let Some(to) = missing(&lab).await {
                return to;
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), held).await.unwrap(), 2, "it is held first");
    assert_eq!(stage.wanted(), 2);
    stage.grown(&lab, 3).await;
    assert_eq!(missing(&lab).await, Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_stays_down_is_replaced_once() {
    let stage = Stage::still(2).await;
    let heal = "heal: { after: 100ms, cooldown: 1h, restart: true }";
    let intervals = "interval: 50ms, unhealthy_interval: 50ms, healthy_threshold: 1, unhealthy_threshold: 1";
    let health = format!("health: {{ http: {{ path: /health }}, {intervals}, {heal} }},");
    let lab = stage.lab(&health, "min_replicas: 2, max_replicas: 2").await;
    stage.agree(&lab).await;
    let sick = stage.fake.staying("coders")[0].clone();
    stage.town.infect(&sick);
    stage.fake.until("it should be replaced", |fake| fake.count("delete", "pods") == 1).await;
    assert_eq!(stage.fake.calls("delete", "pods")[0].name, sick);
    let before = stage.town.checks();
    until("it should be checked again", async || {
        decided(&lab, 1).await;
        stage.town.checks() > before + 20
    })
    .await;
    assert_eq!(stage.fake.count("delete", "pods"), 1, "once in an hour");
    stage.run();
    stage.fake.until("another should come", |fake| fake.pods("coders").len() == 2 && !fake.staying("coders").contains(&sick)).await;
    stage.agree(&lab).await;
    assert_eq!(count(&lab, "restarts_total").await, 1);
    assert!(!asked(&lab, 4).await.contains(&sick));
}
