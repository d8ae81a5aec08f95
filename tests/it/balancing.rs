//! The six strategies, as their traffic shows them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::{Method, Response};
use serde_json::Value;

use crate::agent::Agent;
use crate::client::{admin, ask, request_with};
use crate::lab::{Endpoint, Http1, Lab, full, get, read, request, soon};

/// A lab with one worker, so that rotation is exact, and one pool `agents`.
async fn lab(strategy: &str, endpoints: &[String]) -> Lab {
    Lab::start(&format!(
        "workers: 1\n\
         listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}]\n\
         pools: {{ agents: {{ strategy: {strategy}, endpoints: [{}] }} }}\n",
        endpoints.join(", ")
    ))
    .await
}

fn endpoint(id: &str, address: SocketAddr, more: &str) -> String {
    format!("{{ id: {id}, address: {address}{more} }}")
}

async fn three() -> [Endpoint; 3] {
    [Endpoint::named("a").await, Endpoint::named("b").await, Endpoint::named("c").await]
}

fn plain(endpoints: &[Endpoint]) -> Vec<String> {
    endpoints.iter().zip(["a", "b", "c"]).map(|(one, id)| endpoint(id, one.address, "")).collect()
}

async fn sequence(address: SocketAddr, requests: usize) -> Vec<String> {
    let mut client = Http1::connect(address).await;
    let mut names = Vec::new();
    for _ in 0..requests {
        names.push(client.ask(request("/")).await.text);
    }
    names
}

fn counted(names: Vec<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

async fn steer(lab: &Lab, id: &str, act: &str) -> Value {
    let path = format!("/api/v1/pools/agents/endpoints/{id}/{act}");
    let answer = admin(lab.admin(), Method::POST, &path, "").await;
    assert_eq!(answer.status(), 200, "{}", answer.text);
    answer.json()
}

async fn weigh(lab: &Lab, id: &str, weight: &str) -> Value {
    let path = format!("/api/v1/pools/agents/endpoints/{id}");
    let answer = admin(lab.admin(), Method::PATCH, &path, &format!("{{\"weight\": {weight}}}")).await;
    assert_eq!(answer.status(), 200, "{}", answer.text);
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn round_robin_gives_everyone_the_same() {
    let endpoints = three().await;
    let lab = lab("round_robin", &plain(&endpoints)).await;
    let names = sequence(lab.address(), 30).await;
    assert!(names.windows(3).all(|turn| turn[0] != turn[1] && turn[1] != turn[2] && turn[0] != turn[2]), "{names:?}");
    assert!(counted(names).values().all(|&count| count == 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_endpoint_gets_nothing_until_it_is_taken_back() {
    let endpoints = three().await;
    let lab = lab("round_robin", &plain(&endpoints)).await;
    let drained = steer(&lab, "b", "drain").await;
    assert_eq!((&drained["state"], &drained["causes"]), (&"unavailable".into(), &serde_json::json!(["admin"])));
    assert_eq!(counted(sequence(lab.address(), 10).await), [("a".to_owned(), 5), ("c".to_owned(), 5)].into());
    for id in ["a", "c"] {
        steer(&lab, id, "drain").await;
    }
    let refused = get(lab.address(), "/").await;
    assert_eq!((refused.status(), &refused.json()["reason"]), (503, &"no_available_endpoint".into()));
    for id in ["a", "b", "c"] {
        assert_eq!(steer(&lab, id, "undrain").await["state"], "available");
    }
    assert!(counted(sequence(lab.address(), 9).await).values().all(|&count| count == 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_make_a_smooth_sequence_that_the_admin_api_changes() {
    let endpoints = three().await;
    let [a, b, c] = endpoints.each_ref().map(|endpoint| endpoint.address);
    let lab = lab("weighted_round_robin", &[endpoint("a", a, ", weight: 5"), endpoint("b", b, ""), endpoint("c", c, "")]).await;
    assert_eq!(sequence(lab.address(), 14).await.concat(), "aabacaaaabacaa");
    assert_eq!(weigh(&lab, "a", "2").await["effective_weight"], 2.0);
    assert_eq!(counted(sequence(lab.address(), 40).await)["a"], 20);
    weigh(&lab, "b", "0").await;
    let counts = counted(sequence(lab.address(), 30).await);
    assert_eq!(counts, [("a".to_owned(), 20), ("c".to_owned(), 10)].into());
    let back = weigh(&lab, "b", "null").await;
    assert_eq!((&back["weight"], &back["effective_weight"]), (&1.0.into(), &1.0.into()));
    assert_eq!(counted(sequence(lab.address(), 40).await)["b"], 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn least_connections_avoids_the_busy_one() {
    let mut busy = Agent::start().await;
    let idle = Endpoint::named("idle").await;
    let lab = lab("least_connections", &[endpoint("busy", busy.address, ""), endpoint("idle", idle.address, "")]).await;
    steer(&lab, "idle", "drain").await;
    let mut client = Http1::connect(lab.address()).await;
    let stream = client.send(request("/")).await.unwrap();
    let say = busy.next().await;
    steer(&lab, "idle", "undrain").await;
    // The stream has answered long ago, and is still in flight: its last byte has not come.
    assert!(sequence(lab.address(), 10).await.iter().all(|name| name == "idle"));
    drop(say);
    assert_eq!(read(stream).await.status(), 200);
    // Equal again, and ties go to one at random: soon the other one has its turn.
    let other_turn = async { while get(lab.address(), "/").await.text == "idle" {} };
    soon(async {
        tokio::select! {
            () = other_turn => {}
            _say = busy.next() => {}
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_share_what_is_in_flight() {
    let mut agents = [Agent::start().await, Agent::start().await];
    let lab = Lab::start(&format!(
        "workers: 2\n\
         listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}]\n\
         pools: {{ agents: {{ endpoints: [{{ id: a, address: {} }}, {{ id: b, address: {} }}] }} }}\n",
        agents[0].address, agents[1].address
    ))
    .await;
    let mut running = Vec::new();
    for _ in 0..20 {
        let mut client = Http1::connect(lab.address()).await;
        let [one, two] = &mut agents;
        let send = client.send(request("/"));
        let (response, say) = tokio::join!(send, async {
            tokio::select! { say = one.next() => say, say = two.next() => say }
        });
        running.push((client, response.unwrap(), say));
    }
    let pool = admin(lab.admin(), Method::GET, "/api/v1/pools/agents", "").await.json();
    assert_eq!(pool["in_flight"], 20);
    for endpoint in pool["endpoints"].as_array().unwrap() {
        assert_eq!(endpoint["in_flight"], 10, "whichever worker took them, each endpoint has half: {pool}");
    }
    let status = admin(lab.admin(), Method::GET, "/api/v1/status", "").await.json();
    assert_eq!((&status["workers"], &status["connections"]), (&2.into(), &20.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_stays_with_its_endpoint_and_spills_while_that_is_drained() {
    let endpoints = three().await;
    let [a, b, c] = endpoints.each_ref().map(|endpoint| endpoint.address);
    let lab = Lab::start(&format!(
        "listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}]\n\
         pools:\n\
         \x20 agents:\n\
         \x20   strategy: consistent_hashing\n\
         \x20   hash: {{ key: header:x-session-id }}\n\
         \x20   endpoints: [{}, {}, {}]\n",
        endpoint("a", a, ""),
        endpoint("b", b, ""),
        endpoint("c", c, "")
    ))
    .await;
    let owner =
        async |session: &str| ask(lab.address(), request_with(Method::GET, "/", &[("x-session-id", session)], "")).await.text;
    let sessions: Vec<String> = (0..24).map(|number| format!("session-{number}")).collect();
    let mut before = Vec::new();
    for session in &sessions {
        before.push(owner(session).await);
    }
    assert_eq!(counted(before.clone()).len(), 3, "24 sessions should reach everyone: {before:?}");
    for (session, owned) in sessions.iter().zip(&before) {
        assert_eq!(owner(session).await, *owned, "{session}");
    }
    steer(&lab, "b", "drain").await;
    for (session, owned) in sessions.iter().zip(&before) {
        let now = owner(session).await;
        assert!(now != "b" && (owned == "b" || now == *owned), "only what b owned may move: {session} from {owned} to {now}");
    }
    steer(&lab, "b", "undrain").await;
    for (session, owned) in sessions.iter().zip(&before) {
        assert_eq!(owner(session).await, *owned, "what spilled comes back: {session}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn least_response_time_parks_an_endpoint_that_asks_to_wait() {
    let tired = Endpoint::start(|_| async {
        Response::builder().status(429).header("retry-after", "60").body(full("tired")).expect("a response")
    })
    .await;
    let fresh = Endpoint::named("fresh").await;
    let lab = lab("least_response_time", &[endpoint("tired", tired.address, ""), endpoint("fresh", fresh.address, "")]).await;
    steer(&lab, "fresh", "drain").await;
    assert_eq!(get(lab.address(), "/").await.status(), 429);
    steer(&lab, "fresh", "undrain").await;
    assert!(sequence(lab.address(), 20).await.iter().all(|name| name == "fresh"));
    let view = admin(lab.admin(), Method::GET, "/api/v1/pools/agents/endpoints/tired", "").await.json();
    assert!(view["parked_seconds"].as_f64().is_some_and(|wait| wait > 0.0 && wait <= 60.0), "{view}");
    steer(&lab, "fresh", "drain").await;
    assert_eq!(get(lab.address(), "/").await.text, "tired", "parked is better than nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn least_response_time_prefers_the_endpoint_that_answers_first() {
    let fast = Endpoint::named("fast").await;
    let mut slow = Agent::start().await;
    let held = Endpoint::start({
        let address = slow.address;
        move |_| async move {
            // As slow as another round trip through a stream that the test lets go.
            let answer = get(address, "/").await;
            Response::new(full(answer.text))
        }
    })
    .await;
    let lab = lab("least_response_time", &[endpoint("fast", fast.address, ""), endpoint("slow", held.address, "")]).await;
    // Both are measured once: the fast one at once, the slow one when many requests have gone to the other meanwhile.
    steer(&lab, "fast", "drain").await;
    let mut client = Http1::connect(lab.address()).await;
    let waiting = tokio::spawn(async move { client.ask(request("/")).await });
    let say = slow.next().await;
    steer(&lab, "fast", "undrain").await;
    assert!(sequence(lab.address(), 30).await.iter().all(|name| name == "fast"), "the other one has not even answered");
    say.send("slow").unwrap();
    drop(say);
    assert_eq!(waiting.await.unwrap().text, "slow");
    let names = sequence(lab.address(), 10).await;
    assert!(names.iter().all(|name| name == "fast"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resource_based_goes_where_the_report_says_there_is_room() {
    let reporting = |name: &'static str, report: &'static str| {
        Endpoint::start(move |_| async move {
            Response::builder().header("endpoint-load-metrics", report).body(full(name)).expect("a response")
        })
    };
    let full_up = reporting("full", "TEXT cpu_utilization=0.95, mem_utilization=0.4").await;
    let free = reporting("free", "JSON {\"cpu_utilization\": 0.1, \"mem_utilization\": 0.2}").await;
    let endpoints = [endpoint("full", full_up.address, ""), endpoint("free", free.address, "")];
    let lab = lab("resource_based", &endpoints).await;
    for id in ["full", "free"] {
        let other = if id == "full" { "free" } else { "full" };
        steer(&lab, other, "drain").await;
        assert_eq!(get(lab.address(), "/").await.text, id);
        steer(&lab, other, "undrain").await;
    }
    let names = sequence(lab.address(), 20).await;
    assert!(names.iter().all(|name| name == "free"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_gives_its_place_back() {
    let mut agent = Agent::start().await;
    let lab = lab("least_connections", &[endpoint("a", agent.address, "")]).await;
    let mut client = Http1::connect(lab.address()).await;
    let stream = client.send(request("/")).await.unwrap();
    let say = agent.next().await;
    drop((stream, client));
    soon(say.closed()).await;
    let view = async || admin(lab.admin(), Method::GET, "/api/v1/pools/agents/endpoints/a", "").await.json();
    soon(async { while view().await["in_flight"] != 0 {} }).await;
    let view = view().await;
    assert_eq!((&view["aborted"], &view["completed"], &view["failed"]), (&1.into(), &0.into(), &0.into()), "{view}");
}
