//! What must not reach the next connection, and what must.

use proptest::prelude::{prop, prop_assert, proptest};

use super::*;

fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn strip_all(headers: &mut HeaderMap) {
    let present = Present::of(headers);
    strip(headers, present);
}

fn stripped(lines: &[(&'static str, &'static str)]) -> Vec<String> {
    let mut headers = map(lines);
    strip_all(&mut headers);
    headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

#[test]
fn fields_named_in_connection_go() {
    let left = stripped(&[
        ("connection", "close, X-Hop"),
        ("x-hop", "1"),
        ("x-hop", "2"),
        ("x-stays", "3"),
        ("connection", "x-other"),
        ("x-other", "4"),
    ]);
    assert_eq!(left, ["x-stays: 3"]);
}

#[test]
fn hop_by_hop_fields_go_without_being_named() {
    for (_, name) in PLAIN {
        let mut headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("x"))]);
        strip_all(&mut headers);
        assert!(headers.is_empty(), "{name}");
    }
    assert_eq!(stripped(&[("connection", "keep-alive"), ("accept", "*/*")]), ["accept: */*"]);
}

#[test]
fn fields_that_the_meaning_rests_on_stay_though_named() {
    for name in [
        "host",
        "authorization",
        "content-length",
        "content-type",
        "x-forwarded-for",
        "forwarded",
        "x-request-id",
        "cookie",
        "x-tidegate-require",
    ] {
        let mut headers = HeaderMap::from_iter([
            (CONNECTION, HeaderValue::from_str(&name.to_ascii_uppercase()).unwrap()),
            (HeaderName::from_static(name), HeaderValue::from_static("x")),
        ]);
        strip_all(&mut headers);
        assert!(headers.contains_key(name), "{name}");
        assert!(!headers.contains_key(CONNECTION));
    }
}

#[test]
fn te_keeps_only_trailers() {
    assert_eq!(stripped(&[("te", "gzip, trailers;q=1"), ("te", "Trailers")]), ["te: trailers"]);
    assert_eq!(stripped(&[("te", "trailers"), ("connection", "te")]), ["te: trailers"]);
    assert!(stripped(&[("te", "gzip")]).is_empty());
    assert_eq!(stripped(&[("trailer", "x-sum")]), ["trailer: x-sum"]);
}

#[test]
fn an_upgrade_needs_both_fields_and_a_protocol_that_is_a_tunnel() {
    let wanted = |lines| upgrade_wanted(&map(lines)).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(wanted(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]), Some("websocket".to_owned()));
    assert_eq!(wanted(&[("upgrade", "websocket")]), None);
    assert_eq!(wanted(&[("connection", "upgrade")]), None);
    assert_eq!(wanted(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")]), None);
    assert_eq!(wanted(&[("connection", "upgrade"), ("upgrade", "websocket, H2C")]), None);
    assert_eq!(wanted(&[("connection", "upgrade"), ("upgrade", "")]), None);
    assert_eq!(wanted(&[("connection", "upgrade"), ("upgrade", "a"), ("upgrade", "b")]), None);
}

#[test]
fn an_upgrade_is_put_back() {
    let mut headers = map(&[("connection", "keep-alive, upgrade"), ("upgrade", "websocket"), ("keep-alive", "x")]);
    let protocol = upgrade_wanted(&headers).unwrap();
    strip_all(&mut headers);
    assert!(headers.is_empty());
    restore_upgrade(&mut headers, protocol);
    assert_eq!(headers, map(&[("connection", "upgrade"), ("upgrade", "websocket")]));
}

proptest! {
    #[test]
    fn no_value_of_connection_gets_rid_of_host_or_survives(value in "[a-zA-Z, \\-\t]{0,40}") {
        let mut headers = map(&[("host", "a"), ("transfer-encoding", "chunked")]);
        headers.insert(CONNECTION, HeaderValue::from_str(&value).unwrap());
        strip_all(&mut headers);
        prop_assert!(headers.len() == 1 && headers.contains_key("host"));
    }

    #[test]
    fn strange_connection_lines_are_harmless(value in prop::collection::vec(0x20..=0xff_u8, 0..40)) {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let mut headers = HeaderMap::from_iter([(CONNECTION, value)]);
            strip_all(&mut headers);
            prop_assert!(headers.is_empty());
        }
    }
}
