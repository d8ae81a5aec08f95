//! Circuit breakers from outside: when they open, whom they let probe, when they close, and who waits for that.

use futures_util::StreamExt;
use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use crate::agent::body_in_hand;
use crate::client::admin;
use crate::lab::{Body, Endpoint, Http1, Lab, request, soon};
use crate::stage::{
    Asked, Client, Crowd, Stage, answer, config, get, list, refused, retry_after, send, signed, until_metric, until_running,
};

/// A proxy before the endpoints, without retries; with these keys of the breaker and of the pool.
async fn guarded(stage: &Stage, breaker: &str, pool: &str) -> Lab {
    let pools = format!("agents: {{ endpoints: {}, circuit_breaker: {{ {breaker} }}{pool} }}", stage.list());
    Lab::start(&config("{ name: all, pool: agents, retry: off }", &pools)).await
}

/// Lets the next requests fail until the breaker opens.
async fn open(lab: &Lab, stage: &mut Stage, failures: usize) {
    for _ in 0..failures {
        let client = send(lab, "/");
        stage.next().await.answer(500);
        assert_eq!(answer(client).await.status(), 500, "the endpoint's own answer");
    }
}

/// Asks until a request reaches the endpoint; all before it are refused.
async fn probe(lab: &Lab, stage: &mut Stage) -> (Asked, Client) {
    soon(async {
        loop {
            let mut client = send(lab, "/probe");
            tokio::select! {
                asked = stage.recv() => return (asked, client),
                answer = &mut client => refused(&answer.expect("an answer"), 503, "breaker_open"),
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_failures_open_a_breaker_and_nothing_passes_it_then() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = guarded(&stage, "", "").await;
    open(&lab, &mut stage, 5).await;
    for _ in 0..10 {
        let answer = get(&lab, "/").await;
        refused(&answer, 503, "breaker_open");
        // The minute of the default, less the jitter and what has passed.
        assert!((30..=60).contains(&retry_after(&answer)), "{answer:?}");
    }
    assert_eq!(stage.crowd("a").total(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_endpoints_fault_does_not_open_a_breaker() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = guarded(&stage, "", "").await;
    for status in [404, 429, 400, 499, 404, 429, 501] {
        let client = send(&lab, "/");
        stage.next().await.answer(status);
        assert_eq!(answer(client).await.status(), status);
    }
    for _ in 0..7 {
        let client = send(&lab, "/");
        let asked = stage.next().await;
        client.abort();
        asked.cancelled().await;
    }
    // Four failures, and a success between them and the next four.
    for _ in 0..2 {
        open(&lab, &mut stage, 4).await;
        let client = send(&lab, "/");
        stage.next().await.answer(200);
        assert_eq!(answer(client).await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_sees_one_probe_at_a_time_and_closes_after_three_good_ones() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = guarded(&stage, "failure_threshold: 2, recovery_timeout: 100ms", "").await;
    open(&lab, &mut stage, 2).await;
    for _ in 0..3 {
        let (asked, client) = probe(&lab, &mut stage).await;
        assert_eq!(stage.crowd("a").now(), 1);
        for _ in 0..10 {
            let beside = get(&lab, "/").await;
            refused(&beside, 503, "breaker_open");
            assert!(retry_after(&beside) >= 1, "{beside:?}");
        }
        assert!(stage.is_quiet(&lab).await);
        asked.answer(200);
        assert_eq!(answer(client).await.status(), 200);
    }
    assert_eq!(stage.crowd("a").most(), 1);
    let clients: Vec<_> = (0..10).map(|_| send(&lab, "/")).collect();
    let mut all = Vec::new();
    for _ in 0..10 {
        all.push(stage.next().await);
    }
    assert_eq!(stage.crowd("a").now(), 10, "closed, it lets all in");
    all.into_iter().for_each(|asked| asked.answer(200));
    for client in clients {
        assert_eq!(answer(client).await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_probe_opens_the_breaker_again_for_longer() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = guarded(&stage, "failure_threshold: 1, recovery_timeout: 100ms, max_recovery_timeout: 20s", "").await;
    open(&lab, &mut stage, 1).await;
    let mut waits = Vec::new();
    for _ in 0..3 {
        let (asked, client) = probe(&lab, &mut stage).await;
        let begun = std::time::Instant::now();
        asked.answer(503);
        assert_eq!(answer(client).await.status(), 503);
        waits.push(begun);
    }
    let (last, client) = probe(&lab, &mut stage).await;
    // Doubled each time: 200, 400 and 800 ms, less a tenth of jitter; it may be longer, never shorter.
    let ends = waits.iter().skip(1).copied().chain([std::time::Instant::now()]);
    let waited: Vec<_> = waits.iter().zip(ends).map(|(begun, end)| end - *begun).collect();
    assert!(waited.iter().zip([180, 360, 720]).all(|(waited, least)| waited.as_millis() >= least), "{waited:?}");
    last.answer(200);
    assert_eq!(answer(client).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_whose_client_leaves_says_nothing_and_makes_room_for_another() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = guarded(&stage, "failure_threshold: 1, recovery_timeout: 100ms, success_threshold: 1", "").await;
    open(&lab, &mut stage, 1).await;
    for _ in 0..3 {
        let (asked, client) = probe(&lab, &mut stage).await;
        refused(&get(&lab, "/").await, 503, "breaker_open");
        client.abort();
        asked.cancelled().await;
    }
    let (asked, client) = probe(&lab, &mut stage).await;
    asked.answer(200);
    assert_eq!(answer(client).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_queue_requests_wait_for_the_probe_and_follow_it() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = guarded(&stage, "failure_threshold: 2, recovery_timeout: 200ms", ", queue: 20").await;
    open(&lab, &mut stage, 2).await;
    let mut clients = Vec::new();
    for n in 0..8 {
        clients.push(send(&lab, &format!("/{n}")));
        until_running(&lab, "all", n + 1).await;
    }
    for n in 0..3 {
        let asked = stage.next().await;
        assert_eq!((asked.path(), stage.crowd("a").now()), (&*format!("/{n}"), 1), "in order, one at a time");
        asked.answer(200);
    }
    let mut rest = Vec::new();
    for _ in 3..8 {
        rest.push(stage.next().await);
    }
    assert_eq!(stage.crowd("a").now(), 5, "closed, it lets all in");
    rest.into_iter().for_each(|asked| asked.answer(200));
    for client in clients {
        assert_eq!(answer(client).await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_full_queue_those_who_waited_for_the_probe_keep_their_places() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = guarded(&stage, "failure_threshold: 1, recovery_timeout: 100ms, success_threshold: 30", ", queue: 8").await;
    open(&lab, &mut stage, 1).await;
    let mut waiting = Vec::new();
    for n in 0..8 {
        waiting.push(send(&lab, &format!("/{n}")));
        until_running(&lab, "all", n + 1).await;
    }
    // Others press in all the while.
    let address = lab.address();
    let press = || {
        tokio::spawn(async move {
            let mut client = Http1::connect(address).await;
            while let Ok(response) = client.send(request("/pressing")).await {
                crate::lab::read(response).await;
            }
        })
    };
    let pressing: Vec<_> = (0..4).map(|_| press()).collect();
    let mut served = Vec::new();
    soon(async {
        while served.len() < 8 {
            let asked = stage.recv().await;
            while waiting.iter().any(Client::is_finished) {
                let refused = waiting.swap_remove(waiting.iter().position(Client::is_finished).expect("one of them"));
                let answer = answer(refused).await;
                assert_eq!(answer.status(), 200, "{answer:?}");
            }
            if asked.path() != "/pressing" {
                served.push(asked.path().to_owned());
            }
            asked.answer(200);
        }
    })
    .await;
    pressing.iter().for_each(tokio::task::JoinHandle::abort);
    for client in waiting {
        assert_eq!(answer(client).await.status(), 200);
    }
    assert_eq!(served, (0..8).map(|n| format!("/{n}")).collect::<Vec<_>>());
    assert_eq!(stage.crowd("a").most(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_follow_a_probe_that_still_streams() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = guarded(&stage, "failure_threshold: 1, recovery_timeout: 100ms, success_threshold: 1", ", queue: 20").await;
    open(&lab, &mut stage, 1).await;
    let first = send(&lab, "/first");
    until_running(&lab, "all", 1).await;
    let second = send(&lab, "/second");
    until_running(&lab, "all", 2).await;
    let probe = stage.next().await;
    assert!(stage.is_quiet(&lab).await, "while the probe runs, nobody follows");
    let (say, body) = body_in_hand();
    probe.respond(http::Response::new(body));
    say.send("begun").unwrap();
    let next = stage.next().await;
    assert_eq!(next.path(), "/second", "a good head is a good probe");
    next.answer(200);
    assert_eq!(answer(second).await.status(), 200);
    drop(say);
    assert_eq!(answer(first).await.text, "begun");
    // The one that opened it, the probe, and the one behind it.
    assert_eq!(stage.crowd("a").total(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_endpoint_beside_good_ones_costs_the_clients_nothing() {
    let good = Endpoint::start(|_| async { signed("good", 200) }).await;
    let crowd = std::sync::Arc::new(Crowd::default());
    let count = crowd.clone();
    let bad = Endpoint::start(move |_| {
        let _seen = count.enter();
        async { signed("bad", 500) }
    })
    .await;
    let pools = format!("agents: {{ strategy: round_robin, endpoints: {} }}", list([("good", good.address), ("bad", bad.address)]));
    let route = "{ name: all, pool: agents, retry: { on: [server_error], base_delay: 1ms } }";
    let lab = Lab::start(&config(route, &pools)).await;
    let mut client = Http1::connect(lab.address()).await;
    for _ in 0..100 {
        let answer = client.ask(request("/")).await;
        assert_eq!((answer.status(), answer.field("x-name")), (200, "good"), "{answer:?}");
    }
    assert_eq!(crowd.total(), 5, "then its breaker is open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_probe_that_comes_too_late() {
    let mut stage = Stage::start(&["a"]).await;
    let lab = guarded(&stage, "failure_threshold: 1", ", queue: 20").await;
    open(&lab, &mut stage, 1).await;
    let begun = std::time::Instant::now();
    for _ in 0..3 {
        let answer = get(&lab, "/").await;
        refused(&answer, 503, "breaker_open");
        // The minute of the default, less the jitter and what has passed; a wait would end after half a minute.
        assert!((30..=60).contains(&retry_after(&answer)), "{answer:?}");
    }
    assert!(begun.elapsed().as_secs() < 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_while_the_breaker_opens_is_told_so_in_the_end() {
    let mut stage = Stage::start(&["a"]).await;
    let pools = format!(
        "agents: {{ endpoints: {}, max_connections: 1, queue: {{ capacity: 5, timeout: 300ms }}, \
         circuit_breaker: {{ failure_threshold: 1 }} }}",
        stage.list()
    );
    let lab = Lab::start(&config("{ name: all, pool: agents, retry: off }", &pools)).await;
    let first = send(&lab, "/");
    let held = stage.next().await;
    let waiting = send(&lab, "/waiting");
    until_running(&lab, "all", 2).await;
    held.answer(500);
    assert_eq!(answer(first).await.status(), 500);
    // One that comes now is told at once, although others wait.
    for late in [get(&lab, "/").await, answer(waiting).await] {
        refused(&late, 503, "breaker_open");
        assert!((30..=60).contains(&retry_after(&late)), "{late:?}");
    }
    assert_eq!(stage.crowd("a").total(), 1);
}

/// A body that begins, and breaks off when that is said.
fn body_to_cut() -> (tokio::sync::oneshot::Sender<()>, Body) {
    let (cut, cutting) = tokio::sync::oneshot::channel();
    let first = futures_util::stream::iter([Ok(Frame::data("begun".into()))]);
    let end = futures_util::stream::once(cutting).map(|_| Err(std::io::Error::other("cut")));
    (cut, BodyExt::boxed(StreamBody::new(first.chain(end))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_was_no_good_probe() {
    for threshold in [1, 2] {
        let mut stage = Stage::start(&["a"]).await;
        let breaker = format!("failure_threshold: 1, recovery_timeout: 1s, success_threshold: {threshold}");
        let lab = guarded(&stage, &breaker, "").await;
        let state = async || {
            let page = admin(lab.admin(), Method::GET, "/api/v1/pools/agents/endpoints/a", "").await.json();
            page["breaker"]["state"].as_str().expect("a state").to_owned()
        };
        open(&lab, &mut stage, 1).await;
        let (asked, client) = probe(&lab, &mut stage).await;
        let (cut, body) = body_to_cut();
        asked.respond(http::Response::new(body));
        // A good head lets the next one in.
        let (second, other) = probe(&lab, &mut stage).await;
        assert_ne!(state().await, "open");
        cut.send(()).expect("the answer streams");
        assert!(client.await.is_err(), "the client sees that it is cut");
        assert_eq!(state().await, "open");
        second.answer(200);
        assert_eq!(answer(other).await.status(), 200);
        assert_eq!(state().await, "open", "who came before says nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_vain_for_endpoints_that_are_down_is_told_so() {
    let patient = crate::health::Patient::start("a").await;
    let pools = format!(
        "agents: {{ endpoints: {}, queue: {{ capacity: 5, timeout: 200ms }}, health: {{ http: {{}}, interval: 20ms }} }}",
        list([("a", patient.endpoint.address)])
    );
    let lab = Lab::start(&config("{ name: all, pool: agents }", &pools)).await;
    patient.is(crate::health::How::Ill);
    until_metric(&lab, "tidegate_endpoint_available{pool=\"agents\",endpoint=\"a\"}", 0).await;
    let late = get(&lab, "/").await;
    refused(&late, 503, "no_available_endpoint");
    assert!(retry_after(&late) >= 1, "{late:?}");
}
