//! What an error looks like from outside.

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use serde_json::Value;

use super::*;

fn problem(failure: impl Into<Failure>, detail: &str) -> Problem<'_> {
    Problem { failure: failure.into(), detail, request_id: None, kind: Kind::Plain, name: "tidegate" }
}

fn text<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn a_plain_error_is_a_problem_document() {
    let id = HeaderValue::from_static("abc");
    let response = Problem { request_id: Some(&id), ..problem(Reason::NoRoute, "no route takes GET \"/x\"") }.respond();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(text(&response, "content-type"), Some("application/problem+json"));
    assert_eq!(text(&response, "cache-control"), Some("no-store"));
    assert_eq!(text(&response, "retry-after"), None);
    assert_eq!(
        text(&response, "proxy-status"),
        Some(r#"tidegate; error=destination_not_found; details="no route takes GET \"/x\"""#)
    );
    let expected = serde_json::json!({
        "status": 404, "title": "No route", "detail": "no route takes GET \"/x\"", "reason": "no_route", "request_id": "abc",
    });
    assert_eq!(serde_json::from_slice::<Value>(response.body()).unwrap(), expected);
}

#[test]
fn an_error_without_detail_says_nothing_empty() {
    let response = problem(Reason::Draining, "").respond();
    assert_eq!(text(&response, "proxy-status"), Some("tidegate; error=destination_unavailable"));
    let expected = serde_json::json!({ "status": 503, "title": "Stopping", "reason": "draining" });
    assert_eq!(serde_json::from_slice::<Value>(response.body()).unwrap(), expected);
}

#[test]
fn a_grpc_error_is_trailers_only() {
    let failure = Failure { reason: Reason::NoAvailableEndpoint, retry_after: Some(Duration::from_millis(1)), status: None };
    let response = Problem { kind: Kind::Grpc, ..problem(failure, "100% of \u{e9}\n") }.respond();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.body().is_empty());
    assert_eq!(text(&response, "content-type"), Some("application/grpc"));
    assert_eq!(text(&response, "grpc-status"), Some("14"));
    assert_eq!(text(&response, "grpc-message"), Some("No endpoint is available: 100%25 of %C3%A9%0A"));
    assert_eq!(text(&response, "retry-after"), Some("1"));
    assert!(text(&response, "proxy-status").is_some());
}

#[test]
fn the_kind_follows_the_content_type() {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"))]);
    assert_eq!(Kind::of(&headers), Kind::Grpc);
    assert_eq!(Kind::of(&HeaderMap::new()), Kind::Plain);
}

#[test]
fn retry_after_is_rounded_up_to_whole_seconds() {
    for (wait, expected) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (90_000, "90")] {
        let failure = Failure { reason: Reason::NoAvailableEndpoint, retry_after: Some(Duration::from_millis(wait)), status: None };
        assert_eq!(text(&problem(failure, "").respond(), "retry-after"), Some(expected));
    }
    assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
}

#[test]
fn method_not_allowed_lists_methods() {
    assert!(text(&problem(Reason::ConnectRefused, "").respond(), "allow").is_some_and(|methods| methods.contains("POST")));
    assert_eq!(text(&problem(Reason::NoRoute, "").respond(), "allow"), None);
}

#[test]
fn a_name_that_is_no_token_is_quoted() {
    let status = |name| text(&Problem { name, ..problem(Reason::Internal, "") }.respond(), "proxy-status").unwrap().to_owned();
    assert_eq!(status("edge-1.eu"), "edge-1.eu; error=proxy_internal_error");
    assert_eq!(status("1\"edge"), r#""1\"edge"; error=proxy_internal_error"#);
    assert_eq!(status(""), r#"""; error=proxy_internal_error"#);
}

#[test]
fn every_reason_can_be_told_in_both_languages() {
    for &reason in Reason::ALL {
        for kind in [Kind::Plain, Kind::Grpc] {
            let response = Problem { kind, ..problem(reason, "x") }.respond();
            assert!(text(&response, "proxy-status").is_some_and(|status| status.contains(reason.proxy_error())));
        }
    }
}

proptest! {
    #[test]
    fn any_detail_and_name_can_be_told(detail in ".{0,40}", name in ".{0,8}") {
        let plain = Problem { name: &name, ..problem(Reason::Internal, &detail) }.respond();
        let document: Value = serde_json::from_slice(plain.body()).unwrap();
        prop_assert_eq!(document.get("detail").and_then(Value::as_str).unwrap_or(""), &detail);
        let grpc = Problem { name: &name, kind: Kind::Grpc, ..problem(Reason::Internal, &detail) }.respond();
        prop_assert!(text(&grpc, "grpc-message").is_some_and(|message| message.is_ascii()));
    }
}

#[test]
fn the_reference_page_has_every_reason_as_it_is() {
    let page = include_str!("../../../docs/http.md");
    for reason in Reason::ALL {
        let row = format!(
            "| `{}` | {} | {} | `{}` | {} |",
            reason.as_str(),
            reason.status().as_u16(),
            reason.grpc_status(),
            reason.proxy_error(),
            format!("{:?}", reason.side()).to_lowercase(),
        );
        assert_eq!(page.matches(&row).count(), 1, "{row}");
    }
}
