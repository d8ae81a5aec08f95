//! Whose requests are counted together, as a number that a client cannot choose.
//!
//! The hash is SipHash with a seed of this process: two clients share a number only by chance, and nobody can look for one who does. Replicas of
//! the proxy therefore disagree about the numbers, which is why they are good for nothing else.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::LazyLock;

static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Returns the key of a client address: the address itself, and for IPv6 its /64, which is the least that a subscriber gets (RFC 6177).
pub fn address_key(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => SEED.hash_one(address.octets()),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            SEED.hash_one([a, b, c, d])
        }
    }
}

/// Returns the key of a header field's value.
pub fn value_key(value: &[u8]) -> u64 {
    SEED.hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> u64 {
        address_key(text.parse().unwrap())
    }

    #[test]
    fn an_ipv6_client_is_its_64_and_an_ipv4_client_its_address() {
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"), "one client over two kinds of socket");
        assert_ne!(key("::ffff:192.0.2.1"), key("::ffff:192.0.2.2"));
    }

    #[test]
    fn a_value_has_one_key_in_a_process_and_another_without_its_seed() {
        assert_eq!(value_key(b"tenant-1"), value_key(b"tenant-1"));
        assert_ne!(value_key(b"tenant-1"), value_key(b"tenant-2"));
        assert_ne!(value_key(b"tenant-1"), RandomState::new().hash_one(b"tenant-1".as_slice()));
    }
}
