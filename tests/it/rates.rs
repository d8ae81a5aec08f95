//! Rate limits and overload: who is let in, and what those are told who are not.

use http::Method;

use crate::client::{ask, request_with};
use crate::lab::{Answer, Endpoint, Lab};
use crate::stage::{Stage, answer, config, get, refused, retry_after, send, until_running};

async fn limited(endpoint: &Endpoint, limits: &str) -> Lab {
    let route = format!("{{ name: all, pool: agents, rate_limit: {limits} }}");
    Lab::start(&config(&route, &format!("agents: {{ endpoints: [{{ id: a, address: \"{}\" }}] }}", endpoint.address))).await
}

async fn with(lab: &Lab, fields: &[(&str, &str)]) -> Answer {
    ask(lab.address(), request_with(Method::GET, "/", fields, "")).await
}

/// The requests that are left, as `RateLimit` says.
fn left(answer: &Answer) -> &str {
    let field = answer.field("ratelimit");
    field.split(';').find_map(|part| part.strip_prefix("r=")).unwrap_or_else(|| panic!("{answer:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_tells_what_is_left_and_refuses_what_is_more() {
    let endpoint = Endpoint::named("done").await;
    let lab = limited(&endpoint, "{ requests: 3, per: 1h }").await;
    for expected in ["2", "1", "0"] {
        let answer = get(&lab, "/").await;
        assert_eq!((answer.status(), left(&answer)), (200, expected));
        assert_eq!(answer.field("ratelimit-policy"), "\"default\";q=3;w=3600");
    }
    for _ in 0..3 {
        let over = get(&lab, "/").await;
        refused(&over, 429, "rate_limited");
        assert_eq!(left(&over), "0");
        // The next one may come a third of an hour after the first.
        assert!((1100..=1200).contains(&retry_after(&over)), "{over:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_by_field_counts_each_value_alone() {
    let endpoint = Endpoint::named("done").await;
    let lab = limited(&endpoint, "{ requests: 1, per: 1h, key: 'header:x-tenant' }").await;
    for tenant in ["one", "two", "three"] {
        assert_eq!(with(&lab, &[("x-tenant", tenant)]).await.status(), 200);
        refused(&with(&lab, &[("x-tenant", tenant)]).await, 429, "rate_limited");
    }
    assert_eq!(with(&lab, &[]).await.status(), 200);
    refused(&with(&lab, &[]).await, 429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_by_client_counts_each_address_alone_behind_a_trusted_proxy() {
    let endpoint = Endpoint::named("done").await;
    let route = "{ name: all, pool: agents, rate_limit: { requests: 1, per: 1h, key: client_address } }";
    let pools = format!("agents: {{ endpoints: [{{ id: a, address: \"{}\" }}] }}", endpoint.address);
    let trusting = Lab::start(&format!("{}forwarding: {{ trusted: [127.0.0.0/8] }}\n", config(route, &pools))).await;
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        assert_eq!(with(&trusting, &[("x-forwarded-for", client)]).await.status(), 200);
        refused(&with(&trusting, &[("x-forwarded-for", client)]).await, 429, "rate_limited");
    }
    // An IPv6 client is its /64.
    refused(&with(&trusting, &[("x-forwarded-for", "2001:db8::2")]).await, 429, "rate_limited");
    let wary = Lab::start(&config(route, &pools)).await;
    assert_eq!(with(&wary, &[("x-forwarded-for", "192.0.2.1")]).await.status(), 200);
    refused(&with(&wary, &[("x-forwarded-for", "192.0.2.2")]).await, 429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_limits_all_must_agree_and_the_tightest_is_told() {
    let endpoint = Endpoint::named("done").await;
    let limits = "[{ name: all, requests: 3, per: 1h }, { name: tenant, requests: 2, per: 1h, key: 'header:x-tenant' }]";
    let lab = limited(&endpoint, limits).await;
    let one = [("x-tenant", "one")];
    let first = with(&lab, &one).await;
    assert_eq!((first.status(), first.field("ratelimit").split(';').next()), (200, Some("\"tenant\"")));
    assert_eq!(first.field("ratelimit-policy"), "\"all\";q=3;w=3600, \"tenant\";q=2;w=3600");
    assert_eq!(with(&lab, &one).await.status(), 200);
    // Refused by the second, it takes nothing from the first.
    for _ in 0..3 {
        refused(&with(&lab, &one).await, 429, "rate_limited");
    }
    let other = [("x-tenant", "two")];
    assert_eq!(with(&lab, &other).await.status(), 200);
    let over = with(&lab, &other).await;
    refused(&over, 429, "rate_limited");
    assert_eq!(over.field("ratelimit").split(';').next(), Some("\"all\""), "{over:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn near_the_limit_of_the_process_the_less_important_are_refused_first() {
    let mut stage = Stage::start(&["a"]).await;
    let routes = "{ name: low, match: { path: /low }, pool: agents, priority: -10 }, \
                  { name: high, match: { path: /high }, pool: agents, priority: 10 }, { name: all, pool: agents }";
    let yaml = config(routes, &format!("agents: {{ endpoints: {} }}", stage.list()));
    let lab = Lab::start(&format!("{yaml}overload: {{ max_requests: 10, reserve: 40% }}\n")).await;
    let mut clients = Vec::new();
    let mut held = Vec::new();
    // All but the reserve, then half of it, then all of it.
    for (route, path, running, admitted) in [("low", "/low", 6, 6), ("all", "/", 2, 8), ("high", "/high", 2, 10)] {
        for _ in 0..running {
            clients.push(send(&lab, path));
            held.push(stage.next().await);
        }
        let over = get(&lab, path).await;
        refused(&over, 503, "overloaded");
        assert!(retry_after(&over) >= 1, "{over:?}");
        until_running(&lab, route, running).await;
        assert_eq!(held.len(), admitted);
    }
    held.drain(..5).for_each(|asked| asked.answer(200));
    for client in clients.drain(..5) {
        assert_eq!(answer(client).await.status(), 200);
    }
    until_running(&lab, "low", 1).await;
    clients.push(send(&lab, "/low"));
    held.push(stage.next().await);
    refused(&get(&lab, "/low").await, 503, "overloaded");
    held.into_iter().for_each(|asked| asked.answer(200));
    for client in clients {
        assert_eq!(answer(client).await.status(), 200);
    }
}
