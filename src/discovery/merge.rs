//! The endpoints of the file and those that were found, as one list. Pure.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};

use crate::model::{Address, EndpointSpec, Id, Weight};

/// Joins the endpoints of the file with `found` addresses on `port`.
///
/// A found endpoint is named as its address: `10.0.0.1:8080`; IPv6 in full and without the brackets that a name may not hold:
/// `fd00:0:0:0:0:0:0:1:8080`. An endpoint of the file with the same name or the same address wins. The file's order comes first, then the
/// order of `found`.
pub fn merge(fixed: &[EndpointSpec], found: &[IpAddr], port: u16) -> Vec<EndpointSpec> {
    let mut endpoints = fixed.to_vec();
    let mut ids: HashSet<Id> = fixed.iter().map(|endpoint| endpoint.id.clone()).collect();
    let mut addresses: HashSet<Address> = fixed.iter().map(|endpoint| endpoint.address.clone()).collect();
    for ip in found {
        let Some(endpoint) = spec(SocketAddr::new(*ip, port)) else { continue };
        if !ids.contains(&endpoint.id) && addresses.insert(endpoint.address.clone()) {
            ids.insert(endpoint.id.clone());
            endpoints.push(endpoint);
        }
    }
    endpoints
}

/// Makes an endpoint of an address; never `None` for one that can be connected to.
fn spec(address: SocketAddr) -> Option<EndpointSpec> {
    Some(EndpointSpec {
        id: name(address).parse().ok()?,
        address: Address::Ip(address),
        weight: Weight::default(),
        max_connections: None,
        capabilities: BTreeSet::new(),
        zone: None,
    })
}

/// Writes an address as a name: letters or digits come first, and there are no brackets.
fn name(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.to_string(),
        // The full form begins with a digit or letter, also for `::1`, and one address has one form.
        SocketAddr::V6(address) => {
            let mut text = String::with_capacity(45);
            for segment in address.ip().segments() {
                text.push_str(&format!("{segment:x}:"));
            }
            text.push_str(&address.port().to_string());
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(id: &str, address: &str) -> EndpointSpec {
        let weight = Weight::new(7.0).unwrap();
        EndpointSpec {
            id: id.parse().unwrap(),
            address: address.parse().unwrap(),
            weight,
            ..spec("10.9.9.9:1".parse().unwrap()).unwrap()
        }
    }

    fn ids(endpoints: &[EndpointSpec]) -> Vec<&str> {
        endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect()
    }

    #[test]
    fn found_addresses_follow_the_endpoints_of_the_file() {
        let found = ["10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap()];
        let merged = merge(&[fixed("a", "10.0.0.9:80")], &found, 8080);
        assert_eq!(ids(&merged), ["a", "10.0.0.2:8080", "10.0.0.1:8080"]);
        assert_eq!(merged[1].address, "10.0.0.2:8080".parse().unwrap());
        assert_eq!(merged[1].weight, Weight::ONE);
    }

    #[test]
    fn the_file_wins_by_name_and_by_address() {
        let found = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let file = [fixed("10.0.0.1:80", "10.0.0.7:80"), fixed("b", "10.0.0.2:80")];
        let merged = merge(&file, &found, 80);
        assert_eq!(merged, file);
    }

    #[test]
    fn every_ipv6_address_makes_a_valid_and_single_name() {
        let found = ["::1".parse().unwrap(), "fd00::1".parse().unwrap(), "::1".parse().unwrap()];
        let merged = merge(&[], &found, 80);
        assert_eq!(ids(&merged), ["0:0:0:0:0:0:0:1:80", "fd00:0:0:0:0:0:0:1:80"]);
        assert_eq!(merged[0].address, "[::1]:80".parse().unwrap());
    }
}
