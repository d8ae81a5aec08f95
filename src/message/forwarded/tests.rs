//! What reaches an endpoint, and whom a request is said to come from.

use proptest::prelude::{any, prop, prop_assert, proptest};

use http::header::{FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::chain::X_FORWARDED_FOR;
use super::*;
use crate::message::present::Present;
use crate::model::Forwarding;

fn forwarding(trusted: &[&str]) -> Forwarding {
    Forwarding { trusted: trusted.iter().map(|range| range.parse().unwrap()).collect(), ..Forwarding::default() }
}

fn client(peer: &str, trusted: &[&str]) -> Client {
    let peer = if peer == "unix" { Peer::Unix } else { Peer::Ip(peer.parse().unwrap()) };
    Client::new(peer, Scheme::Https, &forwarding(trusted))
}

fn apply(client: &Client, headers: &mut HeaderMap) {
    let present = Present::of(headers);
    client.apply(headers, present);
}

fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn claims_of_an_unknown_client_are_replaced() {
    let mut headers = map(&[
        ("host", "example.com:8443"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-for", "7.7.7.7"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-prefix", "/x"),
        ("x-real-ip", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("forwarded", "for=7.7.7.7"),
        ("x-other", "stays"),
    ]);
    apply(&client("192.0.2.1", &["10.0.0.0/8"]), &mut headers);
    let expected = map(&[
        ("host", "example.com:8443"),
        ("x-other", "stays"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "example.com:8443"),
        ("forwarded", "for=192.0.2.1;by=_tidegate;proto=https;host=\"example.com:8443\""),
    ]);
    assert_eq!(headers, expected);
}

#[test]
fn lists_of_a_trusted_proxy_are_continued() {
    let mut headers = map(&[
        ("host", "inner"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-for", "10.0.0.2"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "outer"),
        ("x-forwarded-port", "80"),
        ("forwarded", "for=192.0.2.1"),
    ]);
    apply(&client("10.0.0.1", &["10.0.0.0/8"]), &mut headers);
    let expected = map(&[
        ("host", "inner"),
        ("x-forwarded-for", "192.0.2.1, 10.0.0.2, 10.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "outer"),
        ("x-forwarded-port", "80"),
        ("forwarded", "for=192.0.2.1, for=10.0.0.1;by=_tidegate;proto=https;host=inner"),
    ]);
    assert_eq!(headers, expected);
}

#[test]
fn ipv6_clients_are_bracketed_and_quoted_in_forwarded_only() {
    let mut headers = HeaderMap::new();
    apply(&client("2001:db8::1", &[]), &mut headers);
    assert_eq!(lines(&headers, "x-forwarded-for"), ["2001:db8::1"]);
    assert_eq!(lines(&headers, "forwarded"), ["for=\"[2001:db8::1]\";by=_tidegate;proto=https"]);
    assert!(!headers.contains_key("x-forwarded-host"));
}

#[test]
fn an_ipv4_client_of_an_ipv6_socket_is_ipv4() {
    let client = client("::ffff:10.0.0.1", &["10.0.0.0/8"]);
    assert!(client.is_trusted());
    let mut headers = HeaderMap::new();
    apply(&client, &mut headers);
    assert_eq!(lines(&headers, "x-forwarded-for"), ["10.0.0.1"]);
}

#[test]
fn a_unix_client_is_trusted_and_has_no_address_of_its_own() {
    let client = client("unix", &["10.0.0.0/8"]);
    let mut headers = map(&[("x-forwarded-for", "192.0.2.1")]);
    assert_eq!(client.address(&headers, &forwarding(&["10.0.0.0/8"]).trusted), Some("192.0.2.1".parse().unwrap()));
    assert_eq!(client.address(&HeaderMap::new(), &[]), None);
    apply(&client, &mut headers);
    assert_eq!(lines(&headers, "x-forwarded-for"), ["192.0.2.1"]);
    assert_eq!(lines(&headers, "forwarded"), ["for=unknown;by=_tidegate;proto=https"]);
}

#[test]
fn forwarded_can_be_switched_off_and_is_then_still_not_believed() {
    let forwarding = Forwarding { forwarded: false, ..Forwarding::default() };
    let client = Client::new(Peer::Ip("192.0.2.1".parse().unwrap()), Scheme::Http, &forwarding);
    let mut headers = map(&[("forwarded", "for=6.6.6.6")]);
    apply(&client, &mut headers);
    assert!(!headers.contains_key("forwarded"));
    assert_eq!(lines(&headers, "x-forwarded-proto"), ["http"]);
}

#[test]
fn each_request_gets_its_own_host() {
    let client = client("192.0.2.1", &[]);
    for host in ["a", "a", "b:80", "a", "[::1]:80", "a"] {
        let mut headers = map(&[("host", host)]);
        apply(&client, &mut headers);
        let quoted = if host.contains(':') { format!("\"{host}\"") } else { host.to_owned() };
        assert_eq!(lines(&headers, "forwarded"), [format!("for=192.0.2.1;by=_tidegate;proto=https;host={quoted}")]);
        assert_eq!(lines(&headers, "x-forwarded-host"), [host]);
    }
}

#[test]
fn a_strange_host_cannot_write_into_forwarded() {
    let mut headers = map(&[("host", "a\";for=6.6.6.6, b")]);
    apply(&client("192.0.2.1", &[]), &mut headers);
    assert_eq!(lines(&headers, "forwarded"), ["for=192.0.2.1;by=_tidegate;proto=https"]);
}

#[test]
fn the_client_is_the_rightmost_address_that_is_not_trusted() {
    let trusted = ["10.0.0.0/8", "fd00::/8"];
    for (peer, list, expected) in [
        ("192.0.2.9", &["1.1.1.1"][..], "192.0.2.9"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &[""], "10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1, 2.2.2.2"], "2.2.2.2"),
        ("10.0.0.1", &["1.1.1.1, 2.2.2.2, 10.0.0.2"], "2.2.2.2"),
        ("10.0.0.1", &["1.1.1.1", "2.2.2.2,10.0.0.2", "10.0.0.3"], "2.2.2.2"),
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", &["1.1.1.1, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["nonsense"], "10.0.0.1"),
        ("10.0.0.1", &["2.2.2.2:5555"], "2.2.2.2"),
        ("10.0.0.1", &["[2001:db8::1]:5555"], "2001:db8::1"),
        ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
        ("fd00::1", &["2001:db8::1, ::ffff:10.1.1.1"], "2001:db8::1"),
    ] {
        let headers: HeaderMap = list.iter().map(|line| (X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap())).collect();
        let address = client(peer, &trusted).address(&headers, &forwarding(&trusted).trusted);
        assert_eq!(address, Some(expected.parse().unwrap()), "{peer} {list:?}");
    }
}

#[test]
fn forwarded_tells_the_client_when_there_is_no_list() {
    let trusted = ["10.0.0.0/8"];
    for (value, expected) in [
        ("for=2.2.2.2", "2.2.2.2"),
        ("For=\"2.2.2.2:80\";proto=http, for=10.0.0.2", "2.2.2.2"),
        ("proto=http; for=\"[2001:db8::1]:80\"", "2001:db8::1"),
        ("for=1.1.1.1, by=\"a, for=3.3.3.3\";for=2.2.2.2", "2.2.2.2"),
        ("for=1.1.1.1, by=\"\\\", for=3.3.3.3\";for=2.2.2.2", "2.2.2.2"),
        ("for=1.1.1.1, for=unknown", "10.0.0.1"),
        ("for=1.1.1.1, for=_hidden, for=10.0.0.2", "10.0.0.2"),
        ("proto=http", "10.0.0.1"),
    ] {
        let address = client("10.0.0.1", &trusted).address(&map(&[("forwarded", value)]), &forwarding(&trusted).trusted);
        assert_eq!(address, Some(expected.parse().unwrap()), "{value}");
    }
    let both = map(&[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "2.2.2.2")]);
    assert_eq!(client("10.0.0.1", &trusted).address(&both, &forwarding(&trusted).trusted), Some("2.2.2.2".parse().unwrap()));
}

proptest! {
    #[test]
    fn whatever_a_client_claims_there_is_one_line_of_ours_at_the_end(
        claims in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..4),
        trusted in any::<bool>(),
    ) {
        let ranges: &[&str] = if trusted { &["10.0.0.0/8"] } else { &[] };
        let client = client("10.0.0.1", ranges);
        let mut headers = HeaderMap::new();
        for claim in claims.iter().filter_map(|claim| HeaderValue::from_bytes(claim).ok()) {
            headers.append(X_FORWARDED_FOR, claim.clone());
            headers.append(FORWARDED, claim.clone());
            headers.append(HOST, claim);
        }
        prop_assert!(client.address(&headers, &forwarding(ranges).trusted).is_some());
        apply(&client, &mut headers);
        for (name, start) in [(X_FORWARDED_FOR, &b"10.0.0.1"[..]), (FORWARDED, b"for=10.0.0.1;")] {
            prop_assert!(headers.get_all(&name).iter().count() == 1);
            let value = headers[&name].as_bytes();
            let own = value.windows(start.len()).rposition(|part| part == start);
            prop_assert!(own.is_some_and(|at| trusted || at == 0));
        }
    }
}
