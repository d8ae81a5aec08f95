//! Health checks from outside: who leaves, who returns, who gets half, and what happens when nobody is well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::{Method, Request, Response};
use hyper::body::Incoming;

use crate::client::admin;
use crate::lab::{Body, Endpoint, Http1, Lab, full, request, soon};
use crate::stage::{answer, config, get, list, refused, send, signed, until_metric, until_running};

const CHECK: &str = "health: { http: {}, interval: 20ms, unhealthy_interval: 20ms }";

/// An endpoint whose health the test says.
pub struct Patient {
    pub endpoint: Endpoint,
    how: Arc<AtomicUsize>,
    checks: Arc<AtomicUsize>,
}

/// How a patient answers checks.
#[derive(Clone, Copy)]
pub enum How {
    Well = 200,
    Ill = 500,
    Degraded = 1,
    /// Two bad answers, one good, and so on.
    Flapping = 2,
}

impl Patient {
    /// Starts it, well.
    pub async fn start(name: &'static str) -> Self {
        let (how, checks) = (Arc::new(AtomicUsize::new(How::Well as usize)), Arc::<AtomicUsize>::default());
        let (said, seen) = (how.clone(), checks.clone());
        let endpoint = Endpoint::start(move |request: Request<Incoming>| {
            let response = match request.uri().path() {
                "/health" => check(said.load(SeqCst), seen.fetch_add(1, SeqCst)),
                _ => signed(name, 200),
            };
            async move { response }
        })
        .await;
        Self { endpoint, how, checks }
    }

    /// Is so from now on.
    pub fn is(&self, how: How) {
        self.how.store(how as usize, SeqCst);
    }

    fn checks(&self) -> usize {
        self.checks.load(SeqCst)
    }

    /// Waits for further checks.
    async fn checked(&self, times: usize) {
        let until = self.checks() + times;
        soon(async {
            while self.checks() < until {
                tokio::task::yield_now().await
            }
        })
        .await;
    }
}

fn check(how: usize, number: usize) -> Response<Body> {
    let response = Response::builder();
    let response = match how {
        1 => response.header("x-health", "degraded"),
        2 => response.status(if number % 3 == 2 { 200 } else { 500 }),
        status => response.status(u16::try_from(status).expect("a status")),
    };
    response.body(full("")).expect("a valid response")
}

async fn pool(patients: &[(&'static str, &Patient)], keys: &str) -> Lab {
    let listed = list(patients.iter().map(|(name, patient)| (*name, patient.endpoint.address)));
    Lab::start(&config("{ name: all, pool: agents }", &format!("agents: {{ endpoints: {listed}, {keys} }}"))).await
}

fn available(name: &str) -> String {
    format!("tidegate_endpoint_available{{pool=\"agents\",endpoint=\"{name}\"}}")
}

/// Returns how many of so many requests each endpoint answers.
async fn shares(lab: &Lab, requests: usize) -> BTreeMap<String, usize> {
    let (mut client, mut shares) = (Http1::connect(lab.address()).await, BTreeMap::new());
    for _ in 0..requests {
        let answer = client.ask(request("/")).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        *shares.entry(answer.text).or_default() += 1;
    }
    shares
}

fn even(shares: &[(&str, usize)]) -> BTreeMap<String, usize> {
    shares.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_ill_leaves_and_returns_when_it_is_well() {
    let (a, b) = (Patient::start("a").await, Patient::start("b").await);
    let lab = pool(&[("a", &a), ("b", &b)], &format!("strategy: round_robin, {CHECK}")).await;
    assert_eq!(shares(&lab, 10).await, even(&[("a", 5), ("b", 5)]));
    for _ in 0..2 {
        let before = a.checks();
        a.is(How::Ill);
        until_metric(&lab, &available("a"), 0).await;
        assert!(a.checks() >= before + 3, "not before the third bad check");
        assert_eq!(shares(&lab, 10).await, even(&[("b", 10)]));
        let before = a.checks();
        a.is(How::Well);
        until_metric(&lab, &available("a"), 1).await;
        assert!(a.checks() >= before + 2, "not before the second good check");
        assert_eq!(shares(&lab, 10).await, even(&[("a", 5), ("b", 5)]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flapping_below_the_thresholds_changes_nothing() {
    let (a, b) = (Patient::start("a").await, Patient::start("b").await);
    let lab = pool(&[("a", &a), ("b", &b)], &format!("strategy: round_robin, {CHECK}")).await;
    a.is(How::Flapping);
    for _ in 0..10 {
        a.checked(3).await;
        assert_eq!(shares(&lab, 4).await, even(&[("a", 2), ("b", 2)]));
        until_metric(&lab, &available("a"), 1).await;
    }
    a.is(How::Ill);
    until_metric(&lab, &available("a"), 0).await;
    // One good check in three is not two in a row.
    a.is(How::Flapping);
    for _ in 0..10 {
        a.checked(3).await;
        assert_eq!(shares(&lab, 4).await, even(&[("b", 4)]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_are_ill_requests_are_refused_until_one_is_well() {
    let (a, b) = (Patient::start("a").await, Patient::start("b").await);
    let lab = pool(&[("a", &a), ("b", &b)], CHECK).await;
    for patient in [&a, &b] {
        patient.is(How::Ill);
    }
    for name in ["a", "b"] {
        until_metric(&lab, &available(name), 0).await;
    }
    refused(&get(&lab, "/").await, 503, "no_available_endpoint");
    b.is(How::Well);
    until_metric(&lab, &available("b"), 1).await;
    assert_eq!(shares(&lab, 5).await, even(&[("b", 5)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_queue_requests_wait_until_somebody_is_well() {
    let a = Patient::start("a").await;
    let lab = pool(&[("a", &a)], &format!("queue: 5, {CHECK}")).await;
    a.is(How::Ill);
    until_metric(&lab, &available("a"), 0).await;
    let clients = [send(&lab, "/"), send(&lab, "/")];
    until_running(&lab, "all", 2).await;
    a.is(How::Well);
    for client in clients {
        assert_eq!(answer(client).await.text, "a");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_degraded_endpoint_gets_half_of_its_share() {
    let (a, b) = (Patient::start("a").await, Patient::start("b").await);
    let lab = pool(&[("a", &a), ("b", &b)], &format!("strategy: weighted_round_robin, {CHECK}")).await;
    assert_eq!(shares(&lab, 30).await, even(&[("a", 15), ("b", 15)]));
    for (how, weight, share) in [(How::Degraded, 0.5, 10), (How::Well, 1.0, 15)] {
        a.is(how);
        soon(async {
            while admin(lab.admin(), Method::GET, "/api/v1/pools/agents/endpoints/a", "").await.json()["effective_weight"] != weight
            {
            }
        })
        .await;
        let shares = shares(&lab, 30).await;
        assert!(shares["a"].abs_diff(share) <= 1, "{weight}: {shares:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_accepts_no_connection_fails_its_tcp_checks() {
    let (a, b) = (Patient::start("a").await, Patient::start("b").await);
    let checks = "health: { tcp: {}, interval: 20ms, unhealthy_interval: 20ms }";
    let lab = pool(&[("a", &a), ("b", &b)], &format!("strategy: round_robin, circuit_breaker: off, {checks}")).await;
    assert_eq!(shares(&lab, 10).await, even(&[("a", 5), ("b", 5)]));
    let address = a.endpoint.address;
    drop(a);
    until_metric(&lab, &available("a"), 0).await;
    assert_eq!(shares(&lab, 10).await, even(&[("b", 10)]));
    // Another process takes its place.
    let listener = soon(async {
        loop {
            match tokio::net::TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    until_metric(&lab, &available("a"), 1).await;
    drop(listener);
}
