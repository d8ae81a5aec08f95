//! The admin server of a running proxy.

use http::Method;
use serde_json::Value;

use crate::client::{admin, admin_with, ask, request_with};
use crate::lab::{Endpoint, Lab, get};

async fn lab(endpoint: &Endpoint, section: &str) -> Lab {
    Lab::start(&format!(
        "workers: 2\n\
         listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents }}]\n\
         pools: {{ agents: {{ endpoints: [{{ address: \"{}\", zone: eu-1, capabilities: [python] }}] }} }}\n\
         admin: {section}\n",
        endpoint.address
    ))
    .await
}

async fn page(lab: &Lab, path: &str) -> Value {
    let answer = admin(lab.admin(), Method::GET, path, "").await;
    assert_eq!(answer.status(), 200, "{}", answer.text);
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_show_what_the_proxy_does() {
    let endpoint = Endpoint::named("a").await;
    let lab = lab(&endpoint, "{ bind: 127.0.0.1:0 }").await;
    assert_eq!(get(lab.admin(), "/healthz").await.text, "live\n");
    assert_eq!(page(&lab, "/readyz").await, serde_json::json!({ "ready": true, "reasons": [] }));
    for _ in 0..3 {
        get(lab.address(), "/").await;
    }
    let status = page(&lab, "/api/v1/status").await;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status["generation"], &status["workers"], &status["worker_restarts"]), (&1.into(), &2.into(), &0.into()));
    assert_eq!(status["listeners"][0]["address"], lab.address().to_string());
    assert_eq!((&status["pools"][0]["endpoints"], &status["pools"][0]["available"]), (&1.into(), &1.into()));
    let pools = page(&lab, "/api/v1/pools").await;
    let view = &pools[0]["endpoints"][0];
    let alone = page(&lab, &format!("/api/v1/pools/agents/endpoints/{}", endpoint.address)).await;
    let in_pool = page(&lab, "/api/v1/pools/agents").await["endpoints"][0].clone();
    for key in ["id", "attempts", "completed", "response_time", "weight", "state"] {
        assert!(view[key] == alone[key] && view[key] == in_pool[key], "{key}: {view} {alone} {in_pool}");
    }
    assert_eq!((&view["completed"], &view["success_rate"], &view["zone"]), (&3.into(), &1.0.into(), &"eu-1".into()), "{view}");
    assert!(view["response_time"]["p95"].as_f64() >= view["first_byte"]["p50"].as_f64(), "{view}");
    assert!(view["load_score"].as_f64().is_some_and(|score| score > 0.0), "{view}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_found_by_its_encoded_id_and_steered() {
    let endpoint = Endpoint::named("a").await;
    let lab = lab(&endpoint, "{ bind: 127.0.0.1:0 }").await;
    let id = page(&lab, "/api/v1/pools/agents").await["endpoints"][0]["id"].as_str().unwrap().to_owned();
    // An id that nobody has chosen is made from the address, and may hold what a path segment may not.
    let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = format!("/api/v1/pools/agents/endpoints/{encoded}");
    assert_eq!(page(&lab, &path).await["id"], id);
    let drained = admin(lab.admin(), Method::POST, &format!("{path}/drain"), "").await;
    assert_eq!(drained.json()["causes"], serde_json::json!(["admin"]));
    assert_eq!(get(lab.address(), "/").await.status(), 503);
    assert!(lab.metrics().await.contains(&format!("tidegate_endpoint_available{{pool=\"agents\",endpoint=\"{id}\"}} 0")));
    admin(lab.admin(), Method::POST, &format!("{path}/undrain"), "").await;
    assert_eq!(get(lab.address(), "/").await.status(), 200);
    for (body, detail) in [("{\"weight\": 1001}", "from 0 to 1000"), ("weight=1", "is expected"), ("[]", "is expected")] {
        let refused = admin(lab.admin(), Method::PATCH, &path, body).await;
        assert_eq!((refused.status(), refused.field("content-type")), (400, "application/problem+json"), "{body}");
        assert!(refused.json()["detail"].as_str().is_some_and(|text| text.contains(detail)), "{}", refused.text);
    }
    let zero = admin(lab.admin(), Method::PATCH, &path, "{\"weight\": 0}").await.json();
    assert_eq!((&zero["weight"], &zero["effective_weight"]), (&1.0.into(), &0.0.into()));
    assert_eq!(get(lab.address(), "/").await.json()["reason"], "no_available_endpoint");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_needed_to_write_and_never_shown() {
    let endpoint = Endpoint::named("a").await;
    let lab = lab(&endpoint, "{ bind: 127.0.0.1:0, token: s3cret-word }").await;
    let reload = async |fields: &[(&str, &str)]| admin_with(lab.admin(), Method::POST, "/api/v1/config/reload", fields, "").await;
    for fields in [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", "Basic s3cret-word")]] {
        let refused = reload(fields).await;
        assert_eq!((refused.status(), refused.field("www-authenticate")), (401, "Bearer"), "{fields:?}");
        assert_eq!(refused.field("content-type"), "application/problem+json");
    }
    assert_eq!(reload(&[("authorization", "Bearer s3cret-word")]).await.status(), 200);
    let config = page(&lab, "/api/v1/config").await;
    assert_eq!((&config["effective"]["admin"]["token"], &config["generation"]), (&"***".into(), &2.into()));
    assert!(!config.to_string().contains("s3cret-word"));
    assert_eq!(config["effective"]["pools"]["agents"]["strategy"], "least_connections", "defaults are filled in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reachable_admin_server_without_a_token_only_reads() {
    let endpoint = Endpoint::named("a").await;
    let lab = lab(&endpoint, "{ bind: 0.0.0.0:0 }").await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], lab.admin().port()));
    assert_eq!(admin(address, Method::GET, "/api/v1/status", "").await.status(), 200);
    let refused = admin(address, Method::POST, "/api/v1/config/reload", "").await;
    assert_eq!(refused.status(), 403);
    assert!(refused.json()["detail"].as_str().is_some_and(|text| text.contains("admin.token")), "{}", refused.text);
    let warnings = admin(address, Method::GET, "/api/v1/config", "").await.json()["warnings"].to_string();
    assert!(warnings.contains("no token"), "{warnings}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_cannot_write() {
    let endpoint = Endpoint::named("a").await;
    let lab = lab(&endpoint, "{ bind: 127.0.0.1:0 }").await;
    for fields in [&[("origin", "https://evil.example")][..], &[("host", "evil.example")]] {
        let refused = admin_with(lab.admin(), Method::POST, "/api/v1/config/reload", fields, "").await;
        assert_eq!(refused.status(), 403, "{fields:?}: {}", refused.text);
    }
    assert_eq!(page(&lab, "/api/v1/config").await["generation"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_bind_there_is_no_admin_server() {
    let endpoint = Endpoint::named("a").await;
    let lab = lab(&endpoint, "{ bind: none }").await;
    assert_eq!(lab.proxy.addresses().admin, None);
    let answer = ask(lab.address(), request_with(Method::GET, "/healthz", &[], "")).await;
    assert_eq!(answer.text, "a", "a listener has no pages of its own");
}
