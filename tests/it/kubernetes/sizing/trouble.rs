//! One gateway, and an API server on its bad days.

use serde_json::json;

use super::stage::{DEPLOYMENTS, SCALE, Stage, Stream, all_hear, asked, count, decided, until, view};
use crate::kubernetes::fake::{Fault, InStream};
use crate::lab::Lab;

const ONE_TO_FOUR: &str = "min_replicas: 1, max_replicas: 4";

async fn trouble(lab: &Lab) -> Option<String> {
    view(lab).await["error"]["kind"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_api_server_requests_are_served_and_decided_about_and_pods_come_when_it_is_back() {
    let stage = Stage::start(1).await;
    let lab = stage.lab("", ONE_TO_FOUR).await;
    stage.agree(&lab).await;
    let mut streams = Stream::several(&lab, 1).await;
    stage.fake.kill();
    until("it should be said", async || trouble(&lab).await.as_deref() == Some("unreachable")).await;
    streams.extend(Stream::several(&lab, 2).await);
    until("three should be wanted", async || view(&lab).await["decision"]["to"] == 3).await;
    decided(&lab, 5).await;
    assert_eq!(asked(&lab, 5).await, vec![streams[0].pod.clone(); 5]);
    assert_eq!(trouble(&lab).await.as_deref(), Some("unreachable"));
    assert_eq!((stage.wanted(), stage.fake.count("patch", SCALE)), (1, 0));
    stage.fake.restart();
    stage.grown(&lab, 3).await;
    until("it should be over", async || trouble(&lab).await.is_none()).await;
    all_hear(&stage.town, &mut streams, "nothing has happened").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_back_is_no_trouble_any_more_when_nothing_is_to_be_done() {
    let stage = Stage::start(1).await;
    let lab = stage.lab("", ONE_TO_FOUR).await;
    stage.agree(&lab).await;
    stage.fake.kill();
    until("it should be said", async || trouble(&lab).await.is_some()).await;
    stage.fake.restart();
    until("it should be over", async || trouble(&lab).await.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_over_costs_one_more_try() {
    let stage = Stage::start(1).await;
    let lab = stage.lab("", ONE_TO_FOUR).await;
    stage.agree(&lab).await;
    stage.fake.fault("patch", SCALE, Fault::Answer(409, None, r#"{"code":409,"message":"modified"}"#), 1);
    let _streams = Stream::several(&lab, 2).await;
    stage.grown(&lab, 2).await;
    decided(&lab, 5).await;
    assert_eq!(stage.orders(), ["2", "2"]);
    assert_eq!(count(&lab, "failed_total").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_busy_is_left_alone_for_as_long_as_it_asks_for() {
    for (wait, comes_back) in [(120, false), (1, true)] {
        let stage = Stage::start(1).await;
        let lab = stage.lab("", ONE_TO_FOUR).await;
        stage.agree(&lab).await;
        stage.fake.fault("patch", SCALE, Fault::Answer(429, Some(wait), "Too many requests"), 1);
        let _streams = Stream::several(&lab, 2).await;
        if comes_back {
            stage.grown(&lab, 2).await;
            assert_eq!(stage.orders(), ["2", "2"]);
            continue;
        }
        until("it should be said", async || trouble(&lab).await.as_deref() == Some("busy")).await;
        let looks = stage.fake.count("get", SCALE);
        decided(&lab, 10).await;
        assert_eq!((stage.orders().len(), stage.fake.count("get", SCALE)), (1, looks));
        assert_eq!(count(&lab, "failed_total").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_are_right_after_everything_that_can_become_of_a_watch() {
    let stage = Stage::start(2).await;
    let lab = stage.lab("", "mode: recommend, min_replicas: 1, max_replicas: 4").await;
    stage.agree(&lab).await;
    let scale = |replicas: usize| stage.fake.patch(DEPLOYMENTS, "coders", &json!({ "spec": { "replicas": replicas } }));
    for (what, replicas) in [(InStream::Error(410), 3), (InStream::Cut, 1), (InStream::Garbage, 4), (InStream::Error(500), 2)] {
        stage.fake.in_streams(what);
        scale(replicas);
        stage.grown(&lab, replicas).await;
    }
    // Another server takes over, and the old one keeps the watch open and says nothing.
    stage.fake.end();
    stage.fake.replace();
    scale(3);
    stage.grown(&lab, 3).await;
    let pods = stage.fake.staying("coders");
    assert!(asked(&lab, 6).await.iter().all(|pod| pods.contains(pod)));
}
