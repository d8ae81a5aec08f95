//! Endpoints that die in every phase of a request, and retries that must neither do harm nor become a storm.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, Response};
use tokio::task::JoinHandle;

use crate::client::request_with;
use crate::lab::{Answer, Body, Endpoint, Http1, Lab, full, request, soon};
use crate::stage::{Crowd, Logged, Stage, answer, config, get, list, post, send, signed};
use crate::wire::{Bare, Canned, Wire, nobody};

/// A config of a bad endpoint that comes first, and a good one that comes when the bad one has been tried.
fn bad_first(bad: SocketAddr, good: SocketAddr, retry: &str) -> String {
    let pools = format!(
        "agents: {{ strategy: weighted_round_robin, circuit_breaker: off, endpoints: \
         [{{ id: bad, address: \"{bad}\", weight: 1000 }}, {{ id: good, address: \"{good}\", weight: 0.01 }}] }}"
    );
    config(&format!("{{ name: all, pool: agents, retry: {{ base_delay: 1ms{retry} }} }}"), &pools)
}

/// An endpoint that is there, and closes after the head and so much of the body.
struct Closing {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Closing {
    async fn after(bytes: usize) -> Self {
        let bare = Bare::listen().await;
        let address = bare.address;
        let task = tokio::spawn(async move {
            loop {
                let mut wire = bare.accept().await;
                wire.head().await;
                wire.exactly(bytes).await;
            }
        });
        Self { address, task }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn attempts(answer: &Answer) -> usize {
    match answer.field("x-tidegate-attempts") {
        "" => 1,
        count => count.parse().expect("a number"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_that_was_not_answered_is_tried_elsewhere_whatever_the_phase() {
    let good = Endpoint::start(|_| async { signed("good", 200) }).await;
    let closed = Closing::after(0).await;
    let hasty = Bare::listen().await;
    let hasty_address = hasty.address;
    let accepts_and_closes = tokio::spawn(async move {
        loop {
            drop(hasty.accept().await);
        }
    });
    let canned = [
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n",
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        "HTTP/1.1 502 Bad\r\ncontent-length: 3\r\n\r\nbad",
        "HTTP/1.1 503 Bad\r\ncontent-length: 3\r\n\r\nbad",
        "HTTP/1.1 504 Bad\r\ntransfer-encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n",
        "HTTP/1.1 503 Bad\r\ncontent-length: 10\r\n\r\ncut",
    ];
    let mut addresses = vec![("refused", nobody()), ("closed on accept", hasty_address), ("closed after the head", closed.address)];
    let mut endpoints = Vec::new();
    for answer in canned {
        endpoints.push(Canned::start(answer).await);
        addresses.push((answer, endpoints.last().unwrap().address));
    }
    for (phase, bad) in addresses {
        let lab = Lab::start(&bad_first(bad, good.address, "")).await;
        let answer = get(&lab, "/").await;
        assert_eq!((answer.status(), &*answer.text, attempts(&answer)), (200, "good", 2), "{phase:?}: {answer:?}");
    }
    assert!(endpoints.iter().all(|endpoint| endpoint.connections() == 1));
    accepts_and_closes.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_has_begun_is_cut_and_never_tried_again() {
    for (head, body) in [
        ("content-length: 10", "hello"),
        ("transfer-encoding: chunked", "5\r\nhello\r\n"),
        ("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n"),
    ] {
        let good = Stage::start(&["good"]).await;
        let bad = Canned::start(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}")).await;
        let lab = Lab::start(&bad_first(bad.address, good.address("good"), "")).await;
        let mut client = Wire::connect(lab.address()).await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        let (text, _) = client.rest().await;
        assert!(text.len() < 15 && !text.contains("0\r\n\r\n"), "{head} {body:?} became {text:?}");
        assert_eq!((bad.connections(), good.crowd("good").total()), (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_whole_stays_whole_when_the_endpoint_dies_after_it() {
    for (head, body) in [("content-length: 5", "hello"), ("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")] {
        let good = Stage::start(&["good"]).await;
        let bad = Canned::start(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}")).await;
        let lab = Lab::start(&bad_first(bad.address, good.address("good"), "")).await;
        let answer = get(&lab, "/").await;
        assert_eq!((answer.status(), &*answer.text, attempts(&answer)), (200, "hello", 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_an_endpoint_may_have_seen_is_not_tried_again() {
    let good = Stage::start(&["good"]).await;
    let bad = Closing::after(5).await;
    let logged = Logged::start(&bad_first(bad.address, good.address("good"), "")).await;
    let answer = answer(post(&logged.lab, "/", &[], "hello")).await;
    assert_eq!((answer.status(), answer.json()["reason"].as_str(), attempts(&answer)), (502, Some("reset"), 1), "{answer:?}");
    assert_eq!(good.crowd("good").total(), 0);
    let lines = logged.lines().await;
    let told = ["status", "reason", "attempts", "retry_skipped", "endpoint"].map(|name| lines[0][name].clone());
    assert_eq!(serde_json::json!(told), serde_json::json!([502, "reset", 1, "not_idempotent", "bad"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_is_tried_again_with_the_same_body_when_that_does_no_harm() {
    let key = ("idempotency-key", "42");
    let closing = Closing::after(5).await;
    for (bad, retry, fields) in
        [(nobody(), "", &[][..]), (closing.address, "", &[key][..]), (closing.address, ", non_idempotent: true", &[][..])]
    {
        let mut good = Stage::start(&["good"]).await;
        let lab = Lab::start(&bad_first(bad, good.address("good"), retry)).await;
        let client = post(&lab, "/path?query", fields, "hello");
        let asked = good.next().await;
        assert_eq!((&asked.head.method, &*asked.body), (&Method::POST, "hello"));
        assert_eq!(asked.head.uri.path_and_query().unwrap().as_str(), "/path?query");
        assert_eq!(asked.head.headers["content-length"], "5");
        asked.answer(201);
        let answer = answer(client).await;
        assert_eq!((answer.status(), attempts(&answer)), (201, 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_still_coming_is_sent_whole_to_the_next_endpoint() {
    for framing in ["content-length: 10", "transfer-encoding: chunked"] {
        let (one, two) = match framing {
            "content-length: 10" => ("hello", "world"),
            _ => ("5\r\nhello\r\n", "5\r\nworld\r\n0\r\n\r\n"),
        };
        let mut good = Stage::start(&["good"]).await;
        let bad = Bare::listen().await;
        let lab = Lab::start(&bad_first(bad.address, good.address("good"), "")).await;
        let mut client = Wire::connect(lab.address()).await;
        client.send(format!("PUT / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{one}")).await;
        let mut dying = bad.accept().await;
        dying.head().await;
        dying.until("hello").await;
        drop(dying);
        // Its first half must be there again before the second one has left the client.
        soon(async {
            while good.crowd("good").total() == 0 {
                tokio::task::yield_now().await
            }
        })
        .await;
        client.send(two).await;
        let asked = good.next().await;
        assert_eq!(asked.body, "helloworld", "{framing}");
        asked.answer(200);
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("x-tidegate-attempts: 2\r\n"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_answers_before_the_body_has_come_takes_none_of_it_from_the_next_one() {
    let (early, next) = (Bare::listen().await, Bare::listen().await);
    let lab = Lab::start(&bad_first(early.address, next.address, "")).await;
    let mut client = Wire::connect(lab.address()).await;
    client.send("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n").await;
    let mut refusing = early.accept().await;
    refusing.head().await;
    refusing.send("HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nn").await;
    let mut serving = next.accept().await;
    serving.head().await;
    // It would read on, but the rest of its answer makes the proxy see that nobody wants that exchange any more.
    refusing.send("o").await;
    assert!(!refusing.rest().await.0.contains("cd"));
    client.send("2\r\ncd\r\n0\r\n\r\n").await;
    let mut body = String::new();
    while !body.contains("0\r\n\r\n") {
        body += &serving.exactly(1).await;
    }
    assert_eq!(body, "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n");
    serving.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert!(client.head().await.contains("x-tidegate-attempts: 2\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_to_keep_is_sent_once() {
    let good = Stage::start(&["good"]).await;
    let bad = Closing::after(100).await;
    let logged = Logged::start(&bad_first(bad.address, good.address("good"), ", body_buffer: 64B")).await;
    let large = "x".repeat(100);
    let answer = answer(post(&logged.lab, "/", &[("idempotency-key", "42")], &large)).await;
    assert_eq!((answer.status(), answer.json()["reason"].as_str()), (502, Some("reset")), "{answer:?}");
    assert_eq!(logged.lines().await[0]["retry_skipped"], "body_too_large");
    assert_eq!(good.crowd("good").total(), 0);
}

/// Endpoints that answer everything with a status, and count.
async fn storm(names: &[&'static str], status: u16) -> (Vec<Endpoint>, Arc<Crowd>, String) {
    let crowd = Arc::new(Crowd::default());
    let mut endpoints = Vec::new();
    for &name in names {
        let crowd = crowd.clone();
        let answering = move |_| {
            let _seen = crowd.enter();
            async move { signed(name, status) }
        };
        endpoints.push(Endpoint::start(answering).await);
    }
    let listed = list(names.iter().copied().zip(endpoints.iter().map(|endpoint| endpoint.address)));
    (endpoints, crowd, listed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_storm_is_held_by_the_budget() {
    for (budget, requests, most) in [
        ("{ ratio: 20%, min_per_second: 0 }", 200, 240),
        // In each of the last ten seconds, and the one that runs.
        ("{ ratio: 0%, min_per_second: 2 }", 200, 222),
        ("{ ratio: 0%, min_per_second: 0 }", 50, 50),
    ] {
        let (_endpoints, crowd, listed) = storm(&["a", "b", "c"], 503).await;
        let route = format!(
            "{{ name: all, pool: agents, retry: {{ max_attempts: 5, base_delay: 1ms, max_delay: 2ms, budget: {budget} }} }}"
        );
        let logged = Logged::start(&config(&route, &format!("agents: {{ circuit_breaker: off, endpoints: {listed} }}"))).await;
        let address = logged.lab.address();
        let client = || {
            tokio::spawn(async move {
                let (mut client, mut tries) = (Http1::connect(address).await, 0);
                for _ in 0..requests / 10 {
                    let answer = client.ask(request("/")).await;
                    assert_eq!(answer.status(), 503);
                    assert!(!answer.field("x-name").is_empty(), "the last outcome is the endpoint's: {answer:?}");
                    tries += attempts(&answer);
                }
                tries
            })
        };
        let clients: Vec<_> = (0..10).map(|_| client()).collect();
        let mut told = 0;
        for client in clients {
            told += soon(client).await.unwrap();
        }
        assert!(crowd.total() <= most, "{budget}: {} attempts of {requests} requests", crowd.total());
        assert!(most == requests || crowd.total() > requests, "{budget}: the budget is there to be used");
        assert_eq!(crowd.total(), told, "every attempt is told of");
        let lines = logged.lines().await;
        let logged: u64 = lines.iter().map(|line| line["attempts"].as_u64().unwrap()).sum();
        assert_eq!((lines.len(), logged), (requests, told as u64));
        let skipped = |why: &str| lines.iter().filter(|line| line["retry_skipped"] == why).count();
        assert!(skipped("budget_exhausted") > 0, "{lines:?}");
        assert_eq!(skipped("budget_exhausted") + skipped("attempts_used"), requests);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_go_to_one_endpoint_after_the_other_and_then_end() {
    let mut stage = Stage::start(&["a", "b", "c"]).await;
    let route = "{ name: all, pool: agents, retry: { base_delay: 1ms } }";
    let logged = Logged::start(&config(route, &format!("agents: {{ endpoints: {} }}", stage.list()))).await;
    let client = send(&logged.lab, "/");
    let mut names = Vec::new();
    for _ in 0..3 {
        let asked = stage.next().await;
        names.push(asked.endpoint);
        asked.answer(503);
    }
    let answer = answer(client).await;
    assert_eq!((answer.status(), answer.field("x-name"), attempts(&answer)), (503, names[2], 3));
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(logged.lines().await[0]["retry_skipped"], "attempts_used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rest_is_begun_that_the_total_deadline_would_end() {
    let (_endpoints, crowd, listed) = storm(&["a", "b"], 503).await;
    let route = "{ name: all, pool: agents, timeouts: { total: 10s }, retry: { base_delay: 60s, max_delay: 60s, jitter: none } }";
    let logged = Logged::start(&config(route, &format!("agents: {{ endpoints: {listed} }}"))).await;
    let answer = get(&logged.lab, "/").await;
    assert_eq!((answer.status(), crowd.total()), (503, 1));
    assert!(!answer.field("x-name").is_empty(), "the endpoint's answer, at once: {answer:?}");
    assert_eq!(logged.lines().await[0]["retry_skipped"], "deadline");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_the_route_names_is_tried_again() {
    for (on, status, tried) in [
        ("", 500, 1),
        ("", 429, 1),
        ("", 404, 1),
        (", on: [server_error]", 500, 3),
        (", on: [retriable_4xx]", 429, 3),
        (", on: [connect_failure]", 503, 1),
        (", max_attempts: 2", 502, 2),
    ] {
        let (_endpoints, crowd, listed) = storm(&["a", "b", "c"], status).await;
        let route = format!("{{ name: all, pool: agents, retry: {{ base_delay: 1ms{on} }} }}");
        let lab = Lab::start(&config(&route, &format!("agents: {{ endpoints: {listed} }}"))).await;
        let answer = get(&lab, "/").await;
        assert_eq!((answer.status(), attempts(&answer), crowd.total()), (status, tried, tried), "{on} {status}");
    }
    let (_endpoints, crowd, listed) = storm(&["a", "b"], 503).await;
    let off = config("{ name: all, pool: agents, retry: off }", &format!("agents: {{ endpoints: {listed} }}"));
    assert_eq!((get(&Lab::start(&off).await, "/").await.status(), crowd.total()), (503, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_asks_for_time_gets_it_up_to_the_longest_delay() {
    let busy = |_| async { Response::builder().status(503).header("retry-after", "3600").body(full("")).unwrap() };
    let [a, b] = [Endpoint::start(busy).await, Endpoint::start(|_| async { signed("b", 200) }).await];
    let lab = Lab::start(&bad_first(a.address, b.address, ", max_delay: 300ms")).await;
    let begun = std::time::Instant::now();
    let answer = get(&lab, "/").await;
    assert_eq!((answer.status(), &*answer.text), (200, "b"));
    let rested = begun.elapsed();
    assert!(rested.as_millis() >= 300, "{rested:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_request_and_one_without_an_answer_in_time_are_tried_again_too() {
    let mut stage = Stage::start(&["a", "b"]).await;
    let route = "{ name: all, pool: agents, timeouts: { first_byte: 100ms }, retry: { base_delay: 1ms, on: [timeout] } }";
    let lab = Lab::start(&config(route, &format!("agents: {{ endpoints: {} }}", stage.list()))).await;
    let head: http::Request<Body> = request_with(Method::HEAD, "/", &[], "");
    let client = crate::stage::send_it(&lab, head);
    let silent = stage.next().await;
    let next = stage.next().await;
    assert_ne!(silent.endpoint, next.endpoint);
    assert_eq!(next.head.method, Method::HEAD);
    silent.cancelled().await;
    next.answer(204);
    let answer = answer(client).await;
    assert_eq!((answer.status(), attempts(&answer)), (204, 2));
}
