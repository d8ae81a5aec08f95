//! What protects the proxy and its endpoints is seen to do so: in the metrics and on the pages of the admin server.

use http::Method;
use serde_json::{Value, json};

use crate::client::{admin, ask, request_with};
use crate::lab::{Endpoint, Lab, get};
use crate::stage::{config, list};

/// Fails unless the metrics page has these lines.
async fn has_lines(lab: &Lab, lines: &[&str]) {
    let page = lab.metrics().await;
    for line in lines {
        assert!(page.lines().any(|known| known == *line), "{line} should be in\n{page}");
    }
}

async fn page(lab: &Lab, path: &str) -> Value {
    get(lab.admin(), path).await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_rate_limit_tells_whom_it_let_through_and_whom_it_refused() {
    let endpoint = Endpoint::named("done").await;
    let limits = "[{ name: all, requests: 3, per: 1h }, { name: tenant, requests: 2, per: 1h, key: 'header:x-tenant' }]";
    let pools = format!("agents: {{ endpoints: [\"{}\"] }}", endpoint.address);
    let lab = Lab::start(&config(&format!("{{ name: calls, pool: agents, rate_limit: {limits} }}"), &pools)).await;
    let fresh = page(&lab, "/api/v1/routes/calls").await;
    assert_eq!(fresh["rate_limits"][1]["allowed_total"], 0, "there before the first request: {fresh}");
    let statuses = ["one", "one", "one", "two", "two"].map(|tenant| {
        let address = lab.address();
        async move { ask(address, request_with(Method::GET, "/", &[("x-tenant", tenant)], "")).await.status() }
    });
    let mut seen = Vec::new();
    for status in statuses {
        seen.push(status.await);
    }
    // The third is refused by the tenant's limit, the last by that of all.
    assert_eq!(seen, [200, 200, 429, 200, 429]);
    let shown = page(&lab, "/api/v1/routes/calls").await;
    let limit = |name: &str, key: Value, refused: u64, keys: u64| json!({ "name": name, "key": key, "allowed_total": 3, "refused_total": refused, "overflow_total": 0, "keys": keys, "max_keys": 100_000 });
    assert_eq!(
        shown["rate_limits"],
        json!([limit("all", json!("route"), 1, 0), limit("tenant", json!({ "header": "x-tenant" }), 1, 2)])
    );
    has_lines(
        &lab,
        &[
            "tidegate_rate_limit_requests_total{route=\"calls\",limit=\"all\",key=\"route\",result=\"allowed\"} 3",
            "tidegate_rate_limit_requests_total{route=\"calls\",limit=\"all\",key=\"route\",result=\"refused\"} 1",
            "tidegate_rate_limit_requests_total{route=\"calls\",limit=\"tenant\",key=\"header:x-tenant\",result=\"refused\"} 1",
            "tidegate_rate_limit_keys{route=\"calls\",limit=\"tenant\",key=\"header:x-tenant\"} 2",
            "tidegate_rate_limit_overflow_total{route=\"calls\",limit=\"tenant\",key=\"header:x-tenant\"} 0",
        ],
    )
    .await;
}

/// Takes an endpoint of the pool `first` out.
async fn drain(lab: &Lab, id: &str) {
    let page = format!("/api/v1/pools/first/endpoints/{id}/drain");
    assert_eq!(admin(lab.admin(), Method::POST, &page, "").await.status(), 200);
}

/// The share of each pool of the route, in thousandths, and the attempts that it got.
async fn spread(lab: &Lab) -> Vec<(String, u64, u64)> {
    let route = page(lab, "/api/v1/routes/calls").await;
    let tier = |tier: &Value| {
        let share = tier["share"].as_f64().expect("a share");
        (tier["pool"].as_str().expect("a pool").to_owned(), (share * 1000.0).round() as u64, tier["attempts_total"].as_u64().unwrap())
    };
    route["failover"].as_array().unwrap_or_else(|| panic!("{route}")).iter().map(tier).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shares_of_pools_that_take_over_are_shown_with_the_attempts_that_they_got() {
    let endpoint = Endpoint::named("done").await;
    let two = list([("a", endpoint.address), ("b", endpoint.address)]);
    let pools =
        format!("first: {{ endpoints: {two} }}, second: {{ endpoints: [\"{0}\"] }}, other: {{ endpoints: [\"{0}\"] }}", endpoint.address);
    let routes = "{ name: plain, match: { path: /plain }, pool: first }, { name: calls, pool: first, failover: [second] }, \
                  { name: split, match: { path: /split }, split: [{ pool: first, weight: 3 }, { pool: other, weight: 1 }], failover: [second] }";
    let lab = Lab::start(&config(routes, &pools)).await;
    assert_eq!(page(&lab, "/api/v1/routes/plain").await["failover"], Value::Null);
    for _ in 0..3 {
        assert_eq!(get(lab.address(), "/").await.status(), 200);
    }
    let name = str::to_owned;
    assert_eq!(spread(&lab).await, [(name("first"), 1000, 3), (name("second"), 0, 0)]);
    drain(&lab, "a").await;
    // Half of the pool times 1.4 carries 70%.
    assert_eq!(spread(&lab).await, [(name("first"), 700, 3), (name("second"), 300, 0)]);
    drain(&lab, "b").await;
    for _ in 0..2 {
        assert_eq!(get(lab.address(), "/").await.status(), 200);
    }
    assert_eq!(spread(&lab).await, [(name("first"), 0, 3), (name("second"), 1000, 2)]);
    has_lines(
        &lab,
        &[
            "tidegate_failover_share{route=\"calls\",pool=\"first\"} 0",
            "tidegate_failover_share{route=\"calls\",pool=\"second\"} 1",
            "tidegate_failover_attempts_total{route=\"calls\",pool=\"first\"} 3",
            "tidegate_failover_attempts_total{route=\"calls\",pool=\"second\"} 2",
            // Three quarters of its traffic were for the first pool.
            "tidegate_failover_share{route=\"split\",pool=\"first\"} 0",
            "tidegate_failover_share{route=\"split\",pool=\"other\"} 0.25",
            "tidegate_failover_share{route=\"split\",pool=\"second\"} 0.75",
        ],
    )
    .await;
}
