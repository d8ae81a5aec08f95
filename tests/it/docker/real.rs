//! The same at a real engine, where one answers and has an image to run: `TIDEGATE_TEST_IMAGE` (`nginx:alpine`) that listens on
//! `TIDEGATE_TEST_PORT` (80). Where none does, that is said aloud, and nothing is claimed.

use std::collections::BTreeMap;
use std::env;
use std::io::Write;
use std::time::Duration;

use bollard::Docker;
use tidegate::model::{Address, Container};
use tidegate::platform::{Containers, Local, Scaler};

use super::stage::{id, names, scale, until_ready};
use crate::lab::soon;

/// How many tests below need an engine.
const TESTS: usize = 2;

/// The engine's image, when there is both.
async fn image() -> Option<Container> {
    let image = env::var("TIDEGATE_TEST_IMAGE").unwrap_or_else(|_| "nginx:alpine".to_owned());
    let engine = Docker::connect_with_defaults().ok();
    let answers = match &engine {
        Some(engine) => engine.ping().await.is_ok(),
        None => false,
    };
    if !answers {
        say(&format!("no container engine answers: {TESTS} tests of a real engine were not run"));
        return None;
    }
    if engine?.inspect_image(&image).await.is_err() {
        say(&format!("the container engine has no image {image}: {TESTS} tests of a real engine were not run"));
        return None;
    }
    let port = env::var("TIDEGATE_TEST_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(80);
    Some(Container {
        image,
        port,
        command: Vec::new(),
        memory: Some(64 << 20),
        cpus: Some(0.5),
        env: BTreeMap::new(),
        network: None,
        pull: false,
        host: None,
        ready_timeout: Duration::from_secs(15),
        grace: Duration::from_secs(1),
    })
}

/// Past the capture of the test runner, which hides what a test that passes prints.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn start(pool: &str, container: &Container) -> Containers {
    Containers::start(&id(&format!("{pool}-{}", std::process::id())), "tests", container)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_engine_runs_replicas_that_answer_and_are_found_again() {
    let Some(container) = image().await else { return };
    let pool = start("real", &container);
    scale(&pool, 2, &[]).await;
    let before = until_ready(&pool, 2).await;
    for replica in &before.replicas {
        let Some(Address::Ip(address)) = replica.address else { panic!("{replica:?}") };
        soon(tokio::net::TcpStream::connect(address)).await.unwrap();
    }
    soon(pool.close()).await;
    let pool = start("real", &container);
    let after = until_ready(&pool, 2).await;
    assert_eq!(names(&after), names(&before));
    scale(&pool, 1, &[names(&after)[0]]).await;
    until_ready(&pool, 1).await;
    soon(pool.disband()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_engine_replaces_a_container_that_is_killed() {
    let Some(container) = image().await else { return };
    let pool = start("killed", &container);
    scale(&pool, 1, &[]).await;
    let name = names(&until_ready(&pool, 1).await)[0].to_owned();
    let engine = Docker::connect_with_defaults().unwrap();
    engine.kill_container(&name, None).await.unwrap();
    soon(async {
        while pool.failure(&id(&name)).is_none() {
            pool.changed().await;
        }
    })
    .await;
    until_ready(&pool, 1).await;
    soon(pool.disband()).await;
}
