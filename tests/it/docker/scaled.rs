//! More and fewer containers, and what they are made of.

use std::time::Duration;

use tidegate::model::{Address, Container};
use tidegate::platform::{Local, Phase, Scaler};

use super::fake::Fake;
use super::stage::{id, names, scale, settings, start, until, until_ready};
use crate::lab::soon;

#[tokio::test]
async fn replicas_are_created_with_the_limits_of_the_config_and_listen() {
    let fake = Fake::start(&["coder:1"]);
    let coders = start(&Container { command: vec!["serve".to_owned()], ..settings(&fake) });
    assert_eq!(soon(coders.observe()).await.unwrap().desired, 0, "no container is zero");
    scale(&coders, 3, &[]).await;
    let observed = until_ready(&coders, 3).await;
    assert_eq!(names(&observed), ["tidegate-coders-1", "tidegate-coders-2", "tidegate-coders-3"]);
    assert_eq!(observed.desired, 3);
    let Some(Address::Ip(address)) = &observed.replicas[0].address else { panic!("{observed:?}") };
    assert!(address.ip().is_loopback());
    soon(tokio::net::TcpStream::connect(address)).await.unwrap();
    let body = fake.with(|engine| engine.named("tidegate-coders-2").body.clone());
    let host = &body["HostConfig"];
    assert_eq!((&host["Memory"], &host["NanoCpus"], &host["Init"]), (&(64 << 20).into(), &500_000_000.into(), &true.into()));
    assert_eq!(
        (host["RestartPolicy"]["Name"].as_str(), &host["PortBindings"]["8080/tcp"][0]["HostIp"]),
        (Some("no"), &"127.0.0.1".into())
    );
    assert_eq!((&body["Env"][0], &body["Cmd"][0]), (&"KEY=value".into(), &"serve".into()));
    assert_eq!(body["Labels"]["io.tidegate.pool"], "coders");
    assert_eq!(body["Labels"]["io.tidegate.owner"], "gateway");
    let seen = coders.replicas().borrow().clone();
    assert_eq!(seen.len(), 3, "discovery sees what the autoscaler sees");
}

#[tokio::test]
async fn victims_are_stopped_with_grace_and_removed() {
    let fake = Fake::start(&["coder:1"]);
    let coders = start(&settings(&fake));
    scale(&coders, 3, &[]).await;
    let before = until_ready(&coders, 3).await;
    let victim = fake.with(|engine| engine.containers.iter().find(|(_, one)| one.name == "tidegate-coders-2").unwrap().0.clone());
    scale(&coders, 2, &["tidegate-coders-2"]).await;
    let after = until_ready(&coders, 2).await;
    assert_eq!(names(&after), ["tidegate-coders-1", "tidegate-coders-3"]);
    assert_eq!(after.replicas[1].address, before.replicas[2].address, "the others are left alone");
    assert_eq!(fake.requests("POST /containers/").iter().filter(|request| request.ends_with("/stop")).count(), 1);
    assert_eq!(fake.requests("DELETE"), [format!("DELETE /containers/{victim}")]);
}

#[tokio::test]
async fn a_stop_says_how_long_the_grace_is() {
    let fake = Fake::start(&["coder:1"]);
    let coders = start(&settings(&fake));
    scale(&coders, 1, &[]).await;
    until_ready(&coders, 1).await;
    let container = fake.with(|engine| engine.containers.keys().next().unwrap().clone());
    scale(&coders, 0, &[]).await;
    until_ready(&coders, 0).await;
    let order: Vec<String> =
        fake.requests("").into_iter().filter(|request| request.contains(&container) && !request.starts_with("GET")).collect();
    assert_eq!(
        order,
        ["start", "stop", ""].map(|verb| match verb {
            "" => format!("DELETE /containers/{container}"),
            verb => format!("POST /containers/{container}/{verb}"),
        })
    );
    assert_eq!(fake.with(|engine| engine.graces.clone()), ["7"]);
}

#[tokio::test]
async fn an_unknown_image_is_not_pulled_and_the_error_says_what_to_do() {
    let fake = Fake::start(&["other"]);
    fake.with(|engine| engine.registry.insert("coder:1".to_owned()));
    let coders = start(&settings(&fake));
    let error = soon(coders.scale_to(1, vec![])).await.unwrap_err();
    let text = "the container engine has no image \"coder:1\", and `pull` is off: build or pull it there, or set `pull: true`";
    assert_eq!(error.to_string(), text);
    assert_eq!(fake.requests("POST /images/create"), [""; 0]);
    let observed = soon(coders.observe()).await.unwrap();
    assert_eq!((observed.desired, observed.replicas[0].phase), (1, Phase::Failed));
    assert_eq!(coders.failure(&id("tidegate-coders-1")).as_deref(), Some(text));
    fake.with(|engine| engine.images.insert("coder:1".to_owned()));
    until_ready(&coders, 1).await;
}

#[tokio::test]
async fn a_missing_image_is_pulled_when_the_config_allows_it() {
    let fake = Fake::start(&[]);
    let coders = start(&Container { pull: true, ..settings(&fake) });
    let error = soon(coders.scale_to(1, vec![])).await.unwrap_err();
    assert!(error.to_string().ends_with("the image \"coder:1\" cannot be pulled: manifest for coder:1 not found"), "{error}");
    fake.with(|engine| engine.registry.insert("coder:1".to_owned()));
    until_ready(&coders, 1).await;
}

#[tokio::test]
async fn a_missing_network_is_created_once_and_replicas_are_reached_in_it() {
    let fake = Fake::start(&["coder:1"]);
    // A name that the engine's filter finds too.
    fake.with(|engine| engine.create_network(&serde_json::json!({"Name": "agents-of-others"})));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let coders = start(&Container { network: Some("agents".to_owned()), port, ..settings(&fake) });
    scale(&coders, 2, &[]).await;
    let observed = until_ready(&coders, 2).await;
    let addresses: Vec<String> = observed.replicas.iter().map(|replica| replica.address.as_ref().unwrap().to_string()).collect();
    assert!(
        addresses.iter().all(|address| address.starts_with("127.77.0.") && address.ends_with(&format!(":{port}"))),
        "{addresses:?}"
    );
    assert_eq!(fake.with(|engine| engine.nets["agents"]["Labels"]["io.tidegate.owner"].clone()), "gateway");
    assert_eq!(fake.with(|engine| engine.named("tidegate-coders-1").body["HostConfig"].get("PortBindings").cloned()), None);
}

#[tokio::test]
async fn a_network_that_gives_no_address_is_refused() {
    let fake = Fake::start(&["coder:1"]);
    let coders = start(&Container { network: Some("host".to_owned()), ..settings(&fake) });
    let error = soon(coders.scale_to(1, vec![])).await.unwrap_err();
    assert_eq!(error.to_string(), "the container engine refuses: the network \"host\" gives a replica no address of its own");
}

#[tokio::test]
async fn a_container_that_does_not_listen_in_time_is_replaced() {
    let fake = Fake::start(&["silent"]);
    let quick = Duration::from_millis(50);
    let coders = start(&Container { image: "silent".to_owned(), ready_timeout: quick, ..settings(&fake) });
    scale(&coders, 1, &[]).await;
    fake.until(|engine| engine.requests.iter().filter(|request| *request == "POST /containers/create").count() >= 3).await;
    let reason = coders.failure(&id("tidegate-coders-1")).unwrap();
    assert!(reason.starts_with("it does not listen on 127.0.0.1:"), "{reason}");
    assert!(
        reason.ends_with("its time of 50ms is over; it still ran and was killed; its last lines: thinking\nout of ideas"),
        "{reason}"
    );
}

#[tokio::test]
async fn use_is_measured_of_what_a_replica_may_use() {
    let fake = Fake::start(&["coder:1"]);
    let coders = start(&settings(&fake));
    scale(&coders, 1, &[]).await;
    until_ready(&coders, 1).await;
    fake.until(|engine| engine.requests.iter().filter(|request| request.ends_with("/stats")).count() >= 2).await;
    let usage = soon(async {
        loop {
            let usage = coders.observe().await.unwrap().replicas[0].usage;
            if usage.cpu.is_some() {
                return usage;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(usage.memory, Some(0.5));
    // A tenth of a second of processor time between two looks, of half a processor: the looks are at least two seconds apart.
    assert!(usage.cpu.is_some_and(|cpu| cpu > 0.0 && cpu < 0.2), "{usage:?}");
}

#[tokio::test]
async fn a_restart_makes_a_new_container_under_the_same_name() {
    let fake = Fake::start(&["coder:1"]);
    let coders = start(&settings(&fake));
    scale(&coders, 2, &[]).await;
    until_ready(&coders, 2).await;
    soon(coders.restart(id("tidegate-coders-1"))).await.unwrap();
    fake.until(|engine| engine.requests.iter().filter(|request| *request == "POST /containers/create").count() == 3).await;
    let observed = until_ready(&coders, 2).await;
    assert_eq!((names(&observed), observed.desired), (vec!["tidegate-coders-1", "tidegate-coders-2"], 2));
    let error = soon(coders.restart(id("tidegate-coders-9"))).await.unwrap_err();
    assert_eq!(error.to_string(), "the container engine has no container tidegate-coders-9");
}

#[tokio::test]
async fn changed_settings_hold_for_what_starts_after_them() {
    let fake = Fake::start(&["coder:1", "coder:2"]);
    let coders = start(&settings(&fake));
    scale(&coders, 1, &[]).await;
    coders.configure(&tidegate::model::Target::Docker(Container { image: "coder:2".to_owned(), ..settings(&fake) }));
    scale(&coders, 2, &[]).await;
    until(&coders, |observed| observed.replicas.len() == 2).await;
    let images = fake.with(|engine| ["tidegate-coders-1", "tidegate-coders-2"].map(|name| engine.named(name).image()));
    assert_eq!(images, ["coder:1", "coder:2"]);
}
