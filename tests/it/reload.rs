//! Reloads: what runs goes on, what was learned stays, and what is wrong changes nothing.

use std::net::TcpListener;

use http::Method;
use serde_json::Value;

use crate::agent::{Agent, piece};
use crate::client::{Http2, admin, refused, request_http2};
use crate::lab::{Endpoint, Http1, Lab, get, request};
use crate::written::Written;

fn config(bind: &str, address: impl std::fmt::Display) -> String {
    format!(
        "listeners: [{{ name: public, bind: \"{bind}\", pool: agents }}]\n\
         pools: {{ agents: {{ endpoints: [{{ id: a, address: \"{address}\" }}] }} }}\n"
    )
}

async fn config_page(lab: &Lab) -> Value {
    admin(lab.admin(), Method::GET, "/api/v1/config", "").await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_leaves_the_old_world_and_says_why() {
    let endpoint = Endpoint::named("a").await;
    let written = Written::start(&config("127.0.0.1:0", endpoint.address)).await;
    let failure = written.reload("listeners: [{ name: public, bind: nowhere }]\nruotes: []").await.unwrap_err();
    assert_eq!(failure.problems.len(), 2, "all problems are told at once: {failure:?}");
    assert_eq!(get(written.lab.address(), "/").await.text, "a");

    let page = config_page(&written.lab).await;
    assert_eq!(page["generation"], 1);
    let told = page["last_error"]["problems"].to_string();
    assert!(told.contains("tidegate.yaml:1:") && told.contains("nowhere") && told.contains("routes"), "{told}");
    assert!(written.lab.metrics().await.contains("tidegate_config_reloads_total{result=\"invalid\"} 1"));

    written.reload(&config("127.0.0.1:0", endpoint.address)).await.unwrap();
    let page = config_page(&written.lab).await;
    assert_eq!((&page["generation"], &page["last_error"]), (&Value::from(2), &Value::Null));
    assert!(written.lab.metrics().await.contains("tidegate_config_reloads_total{result=\"applied\"} 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_of_another_program_is_refused_and_the_old_world_stays() {
    let (old, new) = (Endpoint::named("old").await, Endpoint::named("new").await);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let written = Written::start(&config("127.0.0.1:0", old.address)).await;
    let before = written.lab.address();

    let failure = written.reload(&config(&bind, new.address)).await.unwrap_err();
    assert_eq!(
        failure.problems,
        [format!("listener \"public\": cannot listen on {bind}: the address is in use by another program")]
    );
    assert_eq!(written.lab.address(), before);
    assert_eq!(get(before, "/").await.text, "old");
    assert!(written.lab.metrics().await.contains("tidegate_config_reloads_total{result=\"refused\"} 1"));

    drop(taken);
    written.reload(&config(&bind, new.address)).await.unwrap();
    assert_eq!(get(bind.parse().unwrap(), "/").await.text, "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_port_of_another_program_is_refused_and_the_old_world_stays() {
    let endpoint = Endpoint::named("a").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let written = Written::start(&config("127.0.0.1:0", endpoint.address)).await;
    let before = written.lab.admin();
    let next = format!("{}admin: {{ bind: \"{bind}\" }}\n", config("127.0.0.1:0", endpoint.address));
    let failure = written.reload(&next).await.unwrap_err();
    assert!(failure.problems[0].contains(&format!("the admin server cannot listen on {bind}")), "{failure:?}");
    assert_eq!(written.lab.admin(), before);
    drop(taken);
    written.reload(&next).await.unwrap();
    assert_eq!(get(bind.parse().unwrap(), "/healthz").await.text, "live\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_certificate_is_refused_and_the_old_world_stays() {
    let endpoint = Endpoint::named("a").await;
    let written = Written::start(&config("127.0.0.1:0", endpoint.address)).await;
    let with_tls = config("127.0.0.1:0", endpoint.address)
        .replace("pool: agents }]", "pool: agents, tls: { certificate: missing.pem, key: missing.key } }]");
    let failure = written.reload(&with_tls).await.unwrap_err();
    assert!(failure.problems.iter().any(|problem| problem.contains("missing.pem")), "{failure:?}");
    assert_eq!(get(written.lab.address(), "/").await.text, "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_none_is_refused_and_the_old_world_stays() {
    let endpoint = Endpoint::named("a").await;
    let written = Written::start(&config("127.0.0.1:0", endpoint.address)).await;
    std::fs::write(written.folder().join("odd.pem"), "no certificate").unwrap();
    let with_tls = config("127.0.0.1:0", endpoint.address)
        .replace("pool: agents }]", "pool: agents, tls: { certificate: odd.pem, key: odd.pem } }]");
    let failure = written.reload(&with_tls).await.unwrap_err();
    assert!(failure.problems.iter().any(|problem| problem.contains("odd.pem")), "{failure:?}");
    assert_eq!(get(written.lab.address(), "/").await.text, "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_moves_to_another_port_and_its_streams_end_in_peace() {
    let mut agent = Agent::start().await;
    let written = Written::start(&config("127.0.0.1:0", agent.address)).await;
    let old = written.lab.address();
    let mut client = Http1::connect(old).await;
    let mut stream = client.send(request("/events")).await.unwrap().into_body();
    let say = agent.next().await;

    // A free port that is not 0, which would be the same bind.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    written.reload(&config(&free.to_string(), agent.address)).await.unwrap();
    assert_eq!(written.lab.address(), free);
    let mut moved = Http1::connect(free).await.send(request("/events")).await.unwrap().into_body();
    let say_moved = agent.next().await;
    refused(old).await;

    say.send("still here").unwrap();
    assert_eq!(piece(&mut stream).await.as_deref(), Some("still here"));
    say_moved.send("here too").unwrap();
    assert_eq!(piece(&mut moved).await.as_deref(), Some("here too"));
    drop((say, say_moved));
    assert_eq!((piece(&mut stream).await, piece(&mut moved).await), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_renamed_keeps_its_socket() {
    let endpoint = Endpoint::named("a").await;
    // A free port that is not 0: a renamed listener is found by its bind.
    let bind = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let named = |name: &str| config(&bind.to_string(), endpoint.address).replace("name: public", &format!("name: {name}"));
    let written = Written::start(&named("one")).await;
    let load = tokio::spawn(async move {
        for _ in 0..200 {
            assert_eq!(get(bind, "/").await.text, "a");
        }
    });
    let mut renamed = 0;
    while !load.is_finished() {
        renamed += 1;
        written.reload(&named(["two", "three"][renamed % 2])).await.unwrap();
    }
    load.await.expect("no connection should be lost");
    assert!(renamed > 1);
    let name = ["two", "three"][renamed % 2];
    assert_eq!(written.lab.listener(name), bind);
    assert!(written.lab.metrics().await.contains(&format!("tidegate_connections_open{{listener=\"{name}\"}}")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_widens_its_bind_on_the_same_port() {
    let endpoint = Endpoint::named("a").await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let written = Written::start(&config(&format!("127.0.0.1:{port}"), endpoint.address)).await;
    written.reload(&config(&format!("0.0.0.0:{port}"), endpoint.address)).await.expect("the port is our own");
    assert_eq!(written.lab.address().to_string(), format!("0.0.0.0:{port}"));
    assert_eq!(get(([127, 0, 0, 1], port).into(), "/").await.text, "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_on_a_removed_endpoint_ends_in_peace_and_its_new_address_is_used() {
    let mut old = Agent::start().await;
    let other = Endpoint::named("other").await;
    let new = Endpoint::named("new").await;
    let pools = |endpoints: String| {
        format!(
            "listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}]\npools: {{ agents: {{ endpoints: [{endpoints}] }} }}\n"
        )
    };
    let written = Written::start(&pools(format!("{{ id: a, address: {} }}", old.address))).await;
    let lab = &written.lab;
    let mut client = Http1::connect(lab.address()).await;
    let mut stream = client.send(request("/events")).await.unwrap().into_body();
    let say = old.next().await;

    written.reload(&pools(format!("{{ id: b, address: {} }}", other.address))).await.unwrap();
    assert_eq!(get(lab.address(), "/").await.text, "other");
    say.send("one").unwrap();
    assert_eq!(piece(&mut stream).await.as_deref(), Some("one"));

    written.reload(&pools(format!("{{ id: a, address: {} }}", new.address))).await.unwrap();
    assert_eq!(get(lab.address(), "/").await.text, "new");
    say.send("two").unwrap();
    assert_eq!(piece(&mut stream).await.as_deref(), Some("two"));
    drop(say);
    assert_eq!(piece(&mut stream).await, None);
    let answer = client.ask(request("/")).await;
    assert_eq!(answer.text, "new", "the client's connection outlives the endpoint");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_address_keeps_what_was_learned_of_its_endpoint() {
    let (old, new) = (Endpoint::named("old").await, Endpoint::named("new").await);
    let written = Written::start(&config("127.0.0.1:0", old.address)).await;
    let lab = &written.lab;
    assert_eq!(get(lab.address(), "/").await.text, "old");
    admin(lab.admin(), Method::PATCH, "/api/v1/pools/agents/endpoints/a", "{\"weight\": 7}").await;
    written.reload(&config("127.0.0.1:0", new.address)).await.unwrap();
    assert_eq!(get(lab.address(), "/").await.text, "new");
    let view = admin(lab.admin(), Method::GET, "/api/v1/pools/agents/endpoints/a", "").await.json();
    assert_eq!((&view["completed"], &view["effective_weight"]), (&Value::from(2), &Value::from(7.0)), "{view}");
    assert_eq!(view["address"], new.address.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_listener_ends_its_connections_after_the_running_answer() {
    let mut agent = Agent::start().await;
    let two = |more: &str| {
        format!(
            "listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}{more}]\n\
             pools: {{ agents: {{ endpoints: [{{ id: a, address: {} }}] }} }}\n",
            agent.address
        )
    };
    let with = two(", { name: second, bind: 127.0.0.1:0, pool: agents }");
    let without = two("");
    let written = Written::start(&with).await;
    let second = written.lab.listener("second");
    let mut http2 = Http2::connect(second).await;
    let mut stream = http2.send(request_http2("/events")).await.unwrap().into_body();
    let say = agent.next().await;
    written.reload(&without).await.unwrap();
    refused(second).await;
    say.send("last words").unwrap();
    assert_eq!(piece(&mut stream).await.as_deref(), Some("last words"));
    drop(say);
    assert_eq!(piece(&mut stream).await, None);
    http2.closed().await.expect("the connection should end with GOAWAY, not with an error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_server_reloads_and_says_what_has_changed() {
    let endpoint = Endpoint::named("a").await;
    let written = Written::start(&config("127.0.0.1:0", endpoint.address)).await;
    let reload = || admin(written.lab.admin(), Method::POST, "/api/v1/config/reload", "");
    let nothing = reload().await;
    assert_eq!((nothing.status(), &nothing.json()["generation"]), (200, &Value::from(2)));

    written.write(&config("127.0.0.1:0", endpoint.address).replace("id: a", "id: z"));
    let changed = reload().await.json();
    assert_eq!(changed["pools"]["changed"], Value::from(vec!["agents"]), "{changed}");

    written.write("listeners: nonsense");
    let refused = reload().await;
    assert_eq!((refused.status(), refused.field("content-type")), (422, "application/problem+json"));
    assert!(refused.json()["problems"].to_string().contains("listeners"), "{}", refused.text);
}
