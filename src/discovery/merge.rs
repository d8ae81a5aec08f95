//! The endpoints of the file and those that were found, as one list. Pure.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;

use crate::model::{Address, EndpointSpec, Id, Weight};

/// An endpoint that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name; `None`: it is named as its address.
    pub id: Option<Id>,
    /// Where it is reached.
    pub address: Address,
    /// Where it runs.
    pub zone: Option<String>,
    /// Whether it is on its way out: it gets no new requests, and those that run may end.
    pub is_leaving: bool,
}

impl Found {
    /// An endpoint of which only the address is known.
    pub const fn at(address: SocketAddr) -> Self {
        Self { id: None, address: Address::Ip(address), zone: None, is_leaving: false }
    }

    /// Makes an endpoint; `None` for an address that makes no name, which is none that can be connected to.
    fn spec(&self) -> Option<EndpointSpec> {
        Some(EndpointSpec {
            id: self.id()?,
            address: self.address.clone(),
            weight: Weight::default(),
            max_connections: None,
            capabilities: BTreeSet::new(),
            zone: self.zone.clone(),
        })
    }

    /// Returns the name of the endpoint that it becomes.
    pub fn id(&self) -> Option<Id> {
        match (&self.id, &self.address) {
            (Some(id), _) => Some(id.clone()),
            (None, Address::Ip(address)) => name(*address).parse().ok(),
            (None, other) => other.to_string().parse().ok(),
        }
    }
}

/// Joins the endpoints of the file with those that were `found`.
///
/// One without a name is named as its address: `10.0.0.1:8080`; IPv6 in full and without the brackets that a name may not hold:
/// `fd00:0:0:0:0:0:0:1:8080`. An endpoint of the file with the same name or the same address wins. The file's order comes first, then the
/// order of `found`.
pub fn merge(fixed: &[EndpointSpec], found: &[Found]) -> Vec<EndpointSpec> {
    let mut endpoints = fixed.to_vec();
    let mut ids: HashSet<Id> = fixed.iter().map(|endpoint| endpoint.id.clone()).collect();
    let mut addresses: HashSet<Address> = fixed.iter().map(|endpoint| endpoint.address.clone()).collect();
    for endpoint in found.iter().filter_map(Found::spec) {
        if !ids.contains(&endpoint.id) && addresses.insert(endpoint.address.clone()) {
            ids.insert(endpoint.id.clone());
            endpoints.push(endpoint);
        }
    }
    endpoints
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
        EndpointSpec { id: id.parse().unwrap(), address: address.parse().unwrap(), weight, ..at("10.9.9.9:1").spec().unwrap() }
    }

    fn at(address: &str) -> Found {
        Found::at(address.parse().unwrap())
    }

    fn ids(endpoints: &[EndpointSpec]) -> Vec<&str> {
        endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect()
    }

    #[test]
    fn found_addresses_follow_the_endpoints_of_the_file() {
        let found = [at("10.0.0.2:8080"), at("10.0.0.1:8080")];
        let merged = merge(&[fixed("a", "10.0.0.9:80")], &found);
        assert_eq!(ids(&merged), ["a", "10.0.0.2:8080", "10.0.0.1:8080"]);
        assert_eq!(merged[1].address, "10.0.0.2:8080".parse().unwrap());
        assert_eq!(merged[1].weight, Weight::ONE);
    }

    #[test]
    fn the_file_wins_by_name_and_by_address() {
        let found = [at("10.0.0.1:80"), at("10.0.0.2:80")];
        let file = [fixed("10.0.0.1:80", "10.0.0.7:80"), fixed("b", "10.0.0.2:80")];
        let merged = merge(&file, &found);
        assert_eq!(merged, file);
    }

    #[test]
    fn every_ipv6_address_makes_a_valid_and_single_name() {
        let found = [at("[::1]:80"), at("[fd00::1]:80"), at("[::1]:80")];
        let merged = merge(&[], &found);
        assert_eq!(ids(&merged), ["0:0:0:0:0:0:0:1:80", "fd00:0:0:0:0:0:0:1:80"]);
        assert_eq!(merged[0].address, "[::1]:80".parse().unwrap());
    }

    #[test]
    fn a_found_endpoint_may_have_a_name_and_a_zone_of_its_own() {
        let pod = Found { id: Some("coder-1".parse().unwrap()), zone: Some("eu-1".to_owned()), ..at("10.0.0.1:80") };
        let again = Found { id: pod.id.clone(), ..at("10.0.0.2:80") };
        let merged = merge(&[], &[pod, again]);
        assert_eq!(ids(&merged), ["coder-1"]);
        assert_eq!(merged[0].zone.as_deref(), Some("eu-1"));
    }
}
