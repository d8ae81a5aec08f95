//! What protects the proxy and its endpoints is seen to do so: in the metrics and on the pages of the admin server.

use http::Method;
use serde_json::{Value, json};

use crate::client::{ask, request_with};
use crate::lab::{Endpoint, Lab, get};
use crate::stage::config;

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
    let limit = |name: &str, key: Value, refused: u64, keys: u64| {
        json!({ "name": name, "key": key, "allowed_total": 3, "refused_total": refused, "overflow_total": 0, "keys": keys, "max_keys": 100_000 })
    };
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
