//! What happens without being asked for: deaths, engines that go away, restarts of Tidegate.

use serde_json::json;
use tidegate::model::{Container, Target};
use tidegate::platform::{Local, Phase, Platforms, Scaler};

use super::fake::Fake;
use super::stage::{close, id, names, scale, settings, start, until, until_ready};
use crate::lab::soon;

#[tokio::test]
async fn a_container_that_dies_is_replaced_and_its_last_lines_are_kept() {
    let fake = Fake::start(&["coder:1"]);
    let coders = start(&settings(&fake));
    scale(&coders, 1, &[]).await;
    until_ready(&coders, 1).await;
    fake.with(|engine| engine.named("tidegate-coders-1").dies(3));
    fake.until(|engine| engine.requests.iter().filter(|request| *request == "POST /containers/create").count() == 2).await;
    until_ready(&coders, 1).await;
    let reason = coders.failure(&id("tidegate-coders-1"));
    assert_eq!(reason.as_deref(), Some("it ended with status 3; its last lines: thinking\nout of ideas"));
}

#[tokio::test]
async fn a_container_that_dies_at_once_waits_for_its_next_start() {
    let fake = Fake::start(&["broken"]);
    let coders = start(&Container { image: "broken".to_owned(), ..settings(&fake) });
    scale(&coders, 1, &[]).await;
    let observed = until(&coders, |observed| observed.replicas.first().is_some_and(|replica| replica.phase == Phase::Failed)).await;
    assert_eq!(observed.desired, 1);
}

#[tokio::test]
async fn tidegate_finds_its_containers_again_and_removes_those_that_have_ended() {
    let fake = Fake::start(&["coder:1"]);
    let coders = start(&settings(&fake));
    scale(&coders, 3, &[]).await;
    let before = until_ready(&coders, 3).await;
    close(coders).await;
    assert_eq!(fake.with(|engine| engine.names().len()), 3, "containers outlive Tidegate");
    fake.with(|engine| {
        engine.named("tidegate-coders-2").dies(0);
        engine.put("tidegate-coders-7", json!({"io.tidegate.pool": "coders", "io.tidegate.owner": "another"}));
        engine.put("tidegate-others-1", json!({"io.tidegate.pool": "others", "io.tidegate.owner": "gateway"}));
    });
    let coders = start(&settings(&fake));
    assert_eq!(soon(coders.observe()).await.unwrap().desired, 3);
    let after = until_ready(&coders, 3).await;
    assert_eq!(names(&after), names(&before));
    let moved: Vec<bool> =
        after.replicas.iter().zip(&before.replicas).map(|(after, before)| after.address != before.address).collect();
    assert_eq!(moved, [false, true, false]);
    assert!(after.replicas[0].age.as_secs() > 60, "the engine says when it was made");
    assert_eq!(fake.with(|engine| engine.names().len()), 5, "those of others are left alone");
}

#[tokio::test]
async fn a_pool_that_is_gone_takes_its_containers_with_it() {
    let fake = Fake::start(&["coder:1"]);
    let coders = start(&settings(&fake));
    scale(&coders, 2, &[]).await;
    soon(coders.disband()).await;
    assert_eq!(fake.with(|engine| engine.names()), [""; 0]);
    let error = soon(coders.scale_to(1, vec![])).await.unwrap_err();
    assert_eq!(error.as_str(), "unreachable", "nobody keeps it any more");
}

#[tokio::test]
async fn an_engine_that_is_away_is_unreachable_and_gets_what_was_wanted_when_it_is_back() {
    let mut fake = Fake::start(&["coder:1"]);
    let coders = start(&settings(&fake));
    scale(&coders, 1, &[]).await;
    until_ready(&coders, 1).await;
    fake.down();
    let error = soon(async {
        loop {
            match coders.observe().await {
                Err(error) => return error,
                Ok(_) => coders.changed().await,
            }
        }
    })
    .await;
    assert!(error.to_string().starts_with("the container engine cannot be reached: there is no socket "), "{error}");
    assert_eq!(coders.replicas().borrow()[0].phase, Phase::Ready, "requests still reach it");
    assert_eq!(soon(coders.scale_to(3, vec![])).await.unwrap_err().as_str(), "unreachable");
    fake.up();
    let observed = until_ready(&coders, 3).await;
    assert_eq!(observed.desired, 3);
}

#[tokio::test]
async fn an_engine_that_comes_later_than_tidegate_is_found() {
    let mut fake = Fake::start(&["coder:1"]);
    fake.down();
    let coders = start(&settings(&fake));
    assert_eq!(soon(coders.scale_to(2, vec![])).await.unwrap_err().as_str(), "unreachable");
    fake.up();
    until_ready(&coders, 2).await;
}

#[tokio::test]
async fn a_name_that_somebody_else_has_taken_is_left_to_them() {
    let fake = Fake::start(&["coder:1"]);
    fake.with(|engine| engine.put("tidegate-coders-1", json!({})));
    let coders = start(&settings(&fake));
    scale(&coders, 1, &[]).await;
    let observed = until_ready(&coders, 1).await;
    assert_eq!((names(&observed), observed.desired), (vec!["tidegate-coders-2"], 1));
}

#[tokio::test]
async fn a_container_that_somebody_removes_is_made_again() {
    let fake = Fake::start(&["coder:1"]);
    let coders = start(&settings(&fake));
    scale(&coders, 1, &[]).await;
    until_ready(&coders, 1).await;
    fake.with(|engine| {
        let container = engine.containers.keys().next().unwrap().clone();
        engine.remove(&container, true);
    });
    until(&coders, |observed| observed.replicas.iter().any(|replica| replica.phase != Phase::Ready)).await;
    until_ready(&coders, 1).await;
}

#[tokio::test]
async fn a_pool_is_kept_once_over_reloads_and_its_containers_say_whose_they_are() {
    let fake = Fake::start(&["coder:1", "coder:2"]);
    let platforms = Platforms::new(None).owned_by("gateway-7");
    let target = |image: &str| Target::Docker(Container { image: image.to_owned(), ..settings(&fake) });
    let first = platforms.local(&id("coders"), &target("coder:1")).unwrap();
    soon(first.scale_to(1, vec![])).await.unwrap();
    let second = platforms.scaler(&id("coders"), &target("coder:2")).unwrap();
    assert_eq!(soon(second.observe()).await.unwrap().desired, 1, "a reload knows what there is");
    soon(second.scale_to(2, vec![])).await.unwrap();
    assert_eq!(fake.with(|engine| engine.named("tidegate-coders-2").image()), "coder:2");
    assert_eq!(fake.with(|engine| engine.named("tidegate-coders-1").body["Labels"]["io.tidegate.owner"].clone()), "gateway-7");
    let gone = platforms.retain(|_| false);
    assert_eq!((gone.len(), platforms.retain(|_| false).len()), (1, 0));
    soon(gone[0].disband()).await;
    assert_eq!(fake.with(|engine| engine.names()), [""; 0]);
}
