//! Two gateways before the same pods: one scales, for both.

use serde_json::Value;

use super::gateway::{Gateway, pair};
use super::stage::{Stage, Stream, all_hear, asked, decided, free, leaving, order, spared, until, view};

const ONE_TO_SIX: &str = "min_replicas: 1, max_replicas: 6";

/// Fails unless every number was written by the one who held the lease; returns who wrote, each once, in their order.
fn writers(stage: &Stage) -> Vec<String> {
    let writes = stage.fake.writes();
    for write in &writes {
        assert!(write.holder.starts_with(&format!("{}_", write.who)), "{writes:?}");
    }
    let mut names: Vec<String> = writes.into_iter().map(|write| write.who).collect();
    names.dedup();
    names
}

/// Lets two gateways drain one of two pods while the follower has a stream on each; returns the pod, and the streams, its own first.
async fn drained(stage: &Stage, leader: &Gateway, follower: &Gateway) -> (String, Vec<Stream>) {
    order(leader, 2).await;
    stage.grown(leader, 2).await;
    stage.agree(follower).await;
    let mut streams = Stream::at_each(follower, &stage.fake.staying("coders")).await;
    order(leader, 1).await;
    until("the leader should choose one", async || leaving(leader).await.len() == 1).await;
    let pod = leaving(leader).await.remove(0);
    let is_drained = [(pod.clone(), "draining".to_owned())];
    until("the follower should know", async || spared(follower).await == is_drained).await;
    streams.sort_by_key(|stream| stream.pod != pod);
    (pod, streams)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_alone_scales_and_for_what_runs_at_both() {
    let stage = Stage::start(1).await;
    let (leader, follower) = pair(&stage, ONE_TO_SIX).await;
    let _here = Stream::several(&leader, 1).await;
    let mut there = Stream::several(&follower, 2).await;
    stage.grown(&leader, 3).await;
    stage.agree(&follower).await;
    decided(&leader, 15).await;
    decided(&follower, 15).await;
    let numbers: Vec<i64> = stage.fake.writes().iter().map(|write| write.replicas).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.last() == Some(&3), "{numbers:?}");
    drop(there.pop());
    stage.grown(&leader, 2).await;
    assert_eq!(writers(&stage), [leader.name]);
    assert_eq!(view(&follower).await["leader"].as_str().unwrap().split('_').next(), Some(leader.name));
    assert_eq!(view(&follower).await["up_total"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_the_leader_drains_gets_no_new_requests_at_the_follower_and_keeps_its_stream_there() {
    let stage = Stage::start(2).await;
    let (leader, follower) = pair(&stage, ONE_TO_SIX).await;
    let (pod, mut streams) = drained(&stage, &leader, &follower).await;
    let others = [asked(&follower, 10).await, asked(&leader, 10).await].concat();
    assert!(!others.contains(&pod), "{pod} of {others:?}");
    decided(&leader, 15).await;
    assert_eq!(stage.wanted(), 2, "it is not empty");
    all_hear(&stage.town, &mut streams, "still here").await;
    drop(streams.remove(0));
    stage.grown(&leader, 1).await;
    assert!(!stage.fake.staying("coders").contains(&pod));
    all_hear(&stage.town, &mut streams, "and here").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pod_goes_before_every_gateway_has_ceased_to_use_it() {
    let stage = Stage::start(2).await;
    let (leader, follower) = pair(&stage, ONE_TO_SIX).await;
    order(&leader, 2).await;
    until("it should be heard of", async || !view(&leader).await["decision"].is_null()).await;
    decided(&leader, 30).await;
    let frozen = follower.freeze().await;
    order(&leader, 1).await;
    until("one should be chosen", async || leaving(&leader).await.len() == 1).await;
    decided(&leader, 15).await;
    assert_eq!(stage.wanted(), 2);
    drop(frozen);
    stage.grown(&leader, 1).await;
    assert_eq!(writers(&stage), [leader.name]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_leader_is_killed_the_other_takes_over_and_uses_what_it_drained() {
    let stage = Stage::start(1).await;
    let (leader, follower) = pair(&stage, "min_replicas: 2, max_replicas: 6").await;
    let (pod, mut streams) = drained(&stage, &leader, &follower).await;
    let dead = leader.name;
    drop(leader);
    until("the other should lead", async || follower.leads().await).await;
    stage.agree(&follower).await;
    until("what was drained should be used", async || asked(&follower, 1).await.contains(&pod)).await;
    streams.extend(Stream::several(&follower, 2).await);
    stage.grown(&follower, 4).await;
    all_hear(&stage.town, &mut streams, "nobody was cut").await;
    assert_eq!(writers(&stage), [dead, follower.name]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_wakes_up_after_its_lease_is_over_writes_nothing() {
    let stage = Stage::start(1).await;
    let (leader, follower) = pair(&stage, ONE_TO_SIX).await;
    let _here = Stream::several(&leader, 2).await;
    stage.grown(&leader, 2).await;
    stage.agree(&follower).await;
    let frozen = leader.freeze().await;
    until("the other should lead", async || follower.leads().await).await;
    let _there = Stream::several(&follower, 3).await;
    stage.grown(&follower, 3).await;
    // Its workers go on: when it wakes up, it has good reason to scale.
    let _more = Stream::several(&leader, 1).await;
    drop(frozen);
    stage.grown(&follower, 6).await;
    decided(&leader, 10).await;
    assert!(!leader.leads().await);
    assert_eq!(writers(&stage), [leader.name, follower.name]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_peer_is_silent_pods_come_and_none_goes() {
    let stage = Stage::start(2).await;
    let (leader, follower) = pair(&stage, ONE_TO_SIX).await;
    order(&leader, 2).await;
    let _there = Stream::several(&follower, 2).await;
    until("they should be counted", async || view(&leader).await["readings"][0]["value"] == 2.0).await;
    let frozen = follower.freeze().await;
    free(&leader).await;
    let is_held = |decision: &Value| decision["limits"].as_array().unwrap().iter().any(|clamp| clamp["limit"] == "missing");
    until("it should be held", async || is_held(&view(&leader).await["decision"])).await;
    decided(&leader, 10).await;
    assert_eq!((stage.wanted(), stage.fake.writes().len()), (2, 0));
    let _here = Stream::several(&leader, 3).await;
    stage.grown(&leader, 3).await;
    drop(frozen);
    stage.grown(&leader, 5).await;
    assert_eq!(writers(&stage), [leader.name]);
}
