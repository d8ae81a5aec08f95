//! One endpoint that is slow, or fails fast, among good ones: what it costs the clients, by strategy.

#![allow(clippy::print_stdout, reason = "the figures are for people; what must hold is asserted")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::Method;

use crate::client::request_with;
use crate::lab::{Endpoint, Http1, Lab, soon};
use crate::stage::{config, list, signed};
use crate::wire::Canned;

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

const STRATEGIES: [&str; 6] =
    ["round_robin", "weighted_round_robin", "least_connections", "least_response_time", "resource_based", "consistent_hashing"];

/// How long the slow endpoint takes.
const SLOW: Duration = Duration::from_millis(250);

/// What clients saw.
struct Seen {
    requests: usize,
    good: usize,
    p99: Duration,
}

/// Lets clients send requests as fast as they are answered, each with a session of its own.
async fn run(lab: &Lab, clients: usize, requests: usize) -> Seen {
    let address = lab.address();
    let client = |number: usize| {
        tokio::spawn(async move {
            let (mut client, mut times, mut good) = (Http1::connect(address).await, Vec::new(), 0);
            for n in 0..requests / clients {
                let session = format!("{number}-{n}");
                let begun = Instant::now();
                let answer = client.ask(request_with(Method::GET, "/", &[("x-session-id", &session)], "")).await;
                times.push(begun.elapsed());
                good += usize::from(answer.status() == 200);
            }
            (times, good)
        })
    };
    let running: Vec<_> = (0..clients).map(client).collect();
    let (mut times, mut good) = (Vec::new(), 0);
    for client in running {
        let (own, served) = soon(client).await.unwrap();
        times.extend(own);
        good += served;
    }
    times.sort_unstable();
    Seen { requests: times.len(), good, p99: times[times.len() * 99 / 100] }
}

fn pool(strategy: &str, endpoints: &str, keys: &str) -> String {
    let hash = if strategy == "consistent_hashing" { ", hash: { key: 'header:x-session-id' }" } else { "" };
    format!("agents: {{ strategy: {strategy}{hash}, endpoints: {endpoints}{keys} }}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_endpoint_of_ten_gets_less_where_the_strategy_can_tell() {
    let count = Arc::<AtomicUsize>::default();
    let mut endpoints = Vec::new();
    for name in NAMES {
        let count = count.clone();
        endpoints.push(
            Endpoint::start(move |_| {
                let slow = name == "a";
                count.fetch_add(usize::from(slow), Relaxed);
                async move {
                    if slow {
                        // why: the time is the subject.
                        tokio::time::sleep(SLOW).await;
                    }
                    signed(name, 200)
                }
            })
            .await,
        );
    }
    let listed = list(NAMES.into_iter().zip(endpoints.iter().map(|endpoint| endpoint.address)));
    println!("{:<22}{:>10}{:>12}{:>10}", "strategy", "success", "p99", "to slow");
    for strategy in STRATEGIES {
        let before = count.load(Relaxed);
        let lab = Lab::start(&config("{ name: all, pool: agents }", &pool(strategy, &listed, ""))).await;
        let seen = run(&lab, 20, 2000).await;
        let slow = count.load(Relaxed) - before;
        let share = |part: usize| 100.0 * part as f64 / seen.requests as f64;
        println!("{strategy:<22}{:>9.2}%{:>12.2?}{:>9.2}%", share(seen.good), seen.p99, share(slow));
        assert_eq!((seen.good, seen.requests), (2000, 2000), "{strategy}");
        match strategy {
            "round_robin" | "weighted_round_robin" => {
                assert_eq!(slow, 200, "{strategy}: a rotation gives each its tenth");
                assert!(seen.p99 >= SLOW, "{strategy}: {:?}", seen.p99);
            }
            "least_response_time" => {
                assert!(slow < 20, "{strategy}: {slow} of 2000");
                assert!(seen.p99 < SLOW / 2, "{strategy}: {:?}", seen.p99);
            }
            _ => assert!(slow < 80, "{strategy}: {slow} of 2000"),
        }
    }
}

/// Sends requests past one endpoint that fails at once and four that are good; returns how many the bad one got.
async fn past_failing(strategy: &str, answer: &str, keys: &str, requests: usize) -> usize {
    let bad = Canned::start(answer).await;
    let mut good = Vec::new();
    for name in &NAMES[1..5] {
        good.push(Endpoint::start(move |_| async move { signed(name, 200) }).await);
    }
    let listed = list([("bad", bad.address)].into_iter().chain(NAMES[1..5].iter().copied().zip(good.iter().map(|e| e.address))));
    let route = "{ name: all, pool: agents, retry: off }";
    let lab = Lab::start(&config(route, &pool(strategy, &listed, keys))).await;
    let seen = run(&lab, 10, requests).await;
    println!("{strategy:<22}{answer:?}: {} of {requests}{keys}", bad.connections());
    assert_eq!(seen.requests - seen.good, bad.connections(), "{strategy}: only the bad one fails");
    bad.connections()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_fast_attracts_no_traffic() {
    for answer in ["HTTP/1.1 500 Bad\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", ""] {
        for strategy in ["least_response_time", "resource_based"] {
            let got = past_failing(strategy, answer, ", circuit_breaker: off", 1000).await;
            assert!(got > 0 && got < 100, "{strategy} {answer:?}: {got} of 1000, and a fair share is 200");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_fast_is_left_alone_by_every_strategy_with_a_breaker() {
    for answer in ["HTTP/1.1 500 Bad\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", ""] {
        for strategy in STRATEGIES {
            let got = past_failing(strategy, answer, "", 500).await;
            // What was on its way when the fifth failure came cannot be called back.
            assert!(got <= 15, "{strategy} {answer:?}: {got} of 500");
        }
    }
}
