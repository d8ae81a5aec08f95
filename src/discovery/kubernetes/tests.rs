use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn slice(value: Value) -> EndpointSlice {
    let mut whole = json!({ "addressType": "IPv4", "metadata": { "name": "s" }, "ports": [{ "name": "http", "port": 8080 }] });
    whole.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn pod(name: &str, address: &str, conditions: Value) -> Value {
    json!({ "addresses": [address], "conditions": conditions, "targetRef": { "kind": "Pod", "name": name }, "zone": "eu-1" })
}

fn ready() -> Value {
    json!({ "ready": true, "serving": true, "terminating": false })
}

fn shown(slices: &[EndpointSlice], port: Option<&str>) -> Vec<String> {
    let line =
        |found: &Found| format!("{} {}{}", found.id().unwrap(), found.address, if found.is_leaving { " leaving" } else { "" });
    found(slices.iter(), port).iter().map(line).collect()
}

#[test]
fn conditions_say_who_serves_who_leaves_and_who_is_gone() {
    let table = [
        (json!({ "ready": true, "serving": true, "terminating": false }), Some(false)),
        (json!({ "ready": false, "serving": false, "terminating": false }), None),
        (json!({ "ready": false, "serving": true, "terminating": true }), Some(true)),
        (json!({ "ready": false, "serving": false, "terminating": true }), None),
        // A service that publishes pods that are not ready, and the same pod on its way out.
        (json!({ "ready": true, "serving": false, "terminating": false }), Some(false)),
        (json!({ "ready": true, "serving": false, "terminating": true }), None),
        // What is left out.
        (json!({}), Some(false)),
        (Value::Null, Some(false)),
        (json!({ "ready": false }), None),
        (json!({ "ready": true }), Some(false)),
    ];
    for (conditions, standing) in table {
        let endpoints = json!({ "endpoints": [pod("a", "10.0.0.1", conditions.clone())] });
        let seen = found([slice(endpoints)].iter(), None).first().map(|found| found.is_leaving);
        assert_eq!(seen, standing, "{conditions}");
    }
}

#[test]
fn a_slice_without_pods_has_neither_endpoints_nor_ports() {
    assert_eq!(shown(&[slice(json!({ "endpoints": null, "ports": null }))], None), [""; 0]);
    let without_port = json!({ "endpoints": [pod("a", "10.0.0.1", ready())], "ports": null });
    assert_eq!(shown(&[slice(without_port)], Some("8080")), [""; 0]);
}

#[test]
fn slices_and_their_endpoints_come_in_any_order() {
    let one = slice(json!({ "endpoints": [pod("c", "10.0.0.3", ready()), pod("a", "10.0.0.1", ready())] }));
    let two = slice(json!({ "endpoints": [pod("b", "10.0.0.2", ready())], "ports": [{ "name": "http", "port": 9090 }] }));
    let expected = ["a 10.0.0.1:8080", "b 10.0.0.2:9090", "c 10.0.0.3:8080"];
    assert_eq!(shown(&[one.clone(), two.clone()], Some("http")), expected);
    assert_eq!(shown(&[two, one], Some("http")), expected);
}

#[test]
fn the_port_is_found_by_name_then_by_number_or_is_the_first_of_tcp() {
    let ports = json!([
        { "name": "dns", "port": 53, "protocol": "UDP" },
        { "name": "http", "port": 8080, "protocol": "TCP" },
        { "name": "8080", "port": 7070 },
        { "name": "metrics", "port": 9090 },
        { "name": "none" },
    ]);
    let slices = [slice(json!({ "endpoints": [pod("a", "10.0.0.1", ready())], "ports": ports }))];
    let table = [
        (None, Some("8080")),
        (Some("http"), Some("8080")),
        (Some("8080"), Some("7070")),
        (Some("9090"), Some("9090")),
        (Some("metrics"), Some("9090")),
        (Some("dns"), None),
        (Some("none"), None),
        (Some("other"), None),
    ];
    for (wanted, port) in table {
        let expected: Vec<_> = port.iter().map(|port| format!("a 10.0.0.1:{port}")).collect();
        assert_eq!(shown(&slices, wanted), expected, "{wanted:?}");
    }
}

#[test]
fn a_pod_of_two_families_is_one_endpoint() {
    let v6 = slice(json!({ "addressType": "IPv6", "endpoints": [pod("a", "fd00::1", ready())] }));
    let v4 = slice(json!({ "endpoints": [pod("a", "10.0.0.1", ready())] }));
    assert_eq!(shown(std::slice::from_ref(&v6), None), ["a [fd00::1]:8080"]);
    assert_eq!(shown(&[v6, v4], None), ["a 10.0.0.1:8080"]);
}

#[test]
fn a_pod_that_is_moved_between_slices_stays_when_one_of_them_says_so() {
    let leaving = json!({ "ready": false, "serving": true, "terminating": true });
    let old = slice(json!({ "endpoints": [pod("a", "10.0.0.1", leaving)] }));
    let new = slice(json!({ "endpoints": [pod("a", "10.0.0.1", ready())] }));
    assert_eq!(shown(&[old, new], None), ["a 10.0.0.1:8080"]);
}

#[test]
fn what_is_no_pod_is_named_by_its_address_and_names_of_hosts_are_left_out() {
    let endpoints = json!([
        { "addresses": ["10.0.0.1"], "targetRef": { "kind": "Node", "name": "node-1" } },
        { "addresses": ["10.0.0.2"] },
        { "addresses": [] },
        { "addresses": ["not an address"] },
    ]);
    let hosts = slice(json!({ "addressType": "FQDN", "endpoints": [{ "addresses": ["a.example"] }] }));
    let ips = slice(json!({ "endpoints": endpoints }));
    assert_eq!(shown(&[ips, hosts], None), ["10.0.0.1:8080 10.0.0.1:8080", "10.0.0.2:8080 10.0.0.2:8080"]);
}

#[test]
fn the_zone_is_that_of_the_pod_or_of_its_hints() {
    let mut endpoints = [pod("a", "10.0.0.1", ready()), pod("b", "10.0.0.2", ready())];
    endpoints[1]["zone"] = Value::Null;
    endpoints[1]["hints"] = json!({ "forZones": [{ "name": "eu-2" }] });
    let zones: Vec<_> =
        found([slice(json!({ "endpoints": endpoints }))].iter(), None).into_iter().map(|found| found.zone).collect();
    assert_eq!(zones, [Some("eu-1".to_owned()), Some("eu-2".to_owned())]);
}

fn conditions() -> impl Strategy<Value = Value> {
    let flag = proptest::option::of(any::<bool>());
    (flag.clone(), flag.clone(), flag)
        .prop_map(|(ready, serving, terminating)| json!({ "ready": ready, "serving": serving, "terminating": terminating }))
}

proptest! {
    /// However endpoints are spread over slices and ordered in them, the same is found, each name once.
    #[test]
    fn order_and_spread_make_no_difference(
        pods in proptest::collection::vec((0_u8..6, conditions()), 0..12),
        cut in 0_usize..12,
        turn in 0_usize..12,
    ) {
        let mut all: Vec<Value> =
            pods.iter().map(|(n, conditions)| pod(&format!("p{n}"), &format!("10.0.0.{n}"), conditions.clone())).collect();
        let one = found([slice(json!({ "endpoints": all }))].iter(), None);
        if !all.is_empty() {
            let turn = turn % all.len();
            all.rotate_left(turn);
        }
        let (a, b) = all.split_at(cut.min(all.len()));
        let (a, b) = (slice(json!({ "endpoints": a })), slice(json!({ "endpoints": b })));
        prop_assert_eq!(&found([a, b].iter(), None), &one);
        let mut names: Vec<_> = one.iter().map(Found::id).collect();
        let count = names.len();
        names.dedup();
        prop_assert_eq!(names.len(), count);
    }
}
