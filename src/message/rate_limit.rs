//! `RateLimit-Policy` and `RateLimit`: what a client is told of its limits (draft-ietf-httpapi-ratelimit-headers-10). Pure.
//!
//! The policy is the same for every response of a route and made once; where a client stands is written for each response, into a buffer on
//! the stack. Names are written as they are: those of a config hold nothing that a string of RFC 8941 must escape.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::model::{Id, RateLimit};

/// The field that names the limits of a route.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The field that tells where the client stands with the most restrictive one.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The longest name is 253 bytes; around it are quotes, `;r=` and `;t=`, and numbers of at most 10 and 20 digits.
const LONGEST: usize = 253 + 2 + 3 + 10 + 3 + 20;

/// Digits of the largest `u64`.
const DIGITS: usize = 20;

/// Returns `RateLimit-Policy` for these limits, such as `"default";q=100;w=60`; `None` without any.
///
/// A window is told in whole seconds. One that is not a whole number of them is rounded up, and its quota grows with it, rounded down.
pub fn policy(limits: &[RateLimit]) -> Option<HeaderValue> {
    let text = limits.iter().map(item).collect::<Vec<_>>().join(", ");
    // Names and numbers are visible ASCII.
    HeaderValue::try_from(text).ok().filter(|_| !limits.is_empty())
}

fn item(limit: &RateLimit) -> String {
    let window = seconds(limit.per).max(1);
    let quota = u128::from(limit.requests) * u128::from(window) * 1_000_000_000 / limit.per.as_nanos().max(1);
    // RFC 8941 section 3.3.1: an integer has at most 15 digits.
    format!("\"{}\";q={};w={window}", limit.name, quota.min(999_999_999_999_999))
}

/// Returns `RateLimit` for a client that has `remaining` requests left under the limit `name`, such as `"default";r=12;t=7`.
///
/// `reset` is when it has all of them again, and is told in whole seconds, rounded up.
pub fn standing(name: &Id, remaining: u32, reset: Duration) -> Option<HeaderValue> {
    let mut line = Line { bytes: [0; LONGEST], length: 0 };
    line.push(b"\"");
    line.push(name.as_str().as_bytes());
    line.push(b"\";r=");
    line.number(u64::from(remaining));
    line.push(b";t=");
    line.number(seconds(reset).min(999_999_999_999_999));
    HeaderValue::from_bytes(line.bytes.get(..line.length)?).ok()
}

/// Whole seconds, rounded up: a client that waits them has waited long enough.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// A line of bounded length; what does not fit is left out.
struct Line {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Line {
    fn push(&mut self, part: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + part.len()) {
            room.copy_from_slice(part);
            self.length += part.len();
        }
    }

    fn number(&mut self, mut number: u64) {
        let mut digits = [0; DIGITS];
        let mut first = DIGITS;
        loop {
            first -= 1;
            // A remainder of 10 is a digit.
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(&digits[first..]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;
    use crate::model::RateKey;

    fn limit(name: &str, requests: u32, per: Duration) -> RateLimit {
        RateLimit { name: name.parse().unwrap(), requests, per, burst: 1, key: RateKey::Route }
    }

    #[test]
    fn the_policy_names_every_limit_with_its_quota_and_window() {
        let limits = [limit("default", 100, Duration::from_secs(60)), limit("day", 5000, Duration::from_secs(86_400))];
        assert_eq!(policy(&limits[..1]).unwrap(), "\"default\";q=100;w=60");
        assert_eq!(policy(&limits).unwrap(), "\"default\";q=100;w=60, \"day\";q=5000;w=86400");
        assert_eq!(policy(&[]), None);
    }

    #[test]
    fn a_window_is_told_in_whole_seconds_with_its_quota() {
        let table = [
            (10, Duration::from_millis(100), "\"a\";q=100;w=1"),
            (3, Duration::from_millis(1500), "\"a\";q=4;w=2"),
            (1, Duration::from_nanos(1_000_000_001), "\"a\";q=1;w=2"),
            (0, Duration::ZERO, "\"a\";q=0;w=1"),
            (u32::MAX, Duration::from_nanos(1), "\"a\";q=999999999999999;w=1"),
        ];
        for (requests, per, text) in table {
            assert_eq!(policy(&[limit("a", requests, per)]).unwrap(), text, "{requests} in {per:?}");
        }
        assert!(policy(&[limit("a", 1, Duration::MAX)]).is_some());
    }

    #[test]
    fn the_standing_tells_what_remains_and_when_all_of_it_is_back() {
        let table = [
            (12, Duration::from_secs(7), "\"default\";r=12;t=7"),
            (0, Duration::from_millis(6001), "\"default\";r=0;t=7"),
            (5, Duration::ZERO, "\"default\";r=5;t=0"),
            (u32::MAX, Duration::MAX, "\"default\";r=4294967295;t=999999999999999"),
        ];
        for (remaining, reset, text) in table {
            assert_eq!(standing(&"default".parse().unwrap(), remaining, reset).unwrap(), text);
        }
    }

    #[test]
    fn the_longest_name_fits() {
        let name = "n".repeat(253);
        let text = standing(&name.parse().unwrap(), u32::MAX, Duration::MAX).unwrap();
        assert_eq!(text, format!("\"{name}\";r=4294967295;t=999999999999999"));
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_everywhere(remaining in any::<u32>(), reset in 0_u64..999_999_999_999_999) {
            let text = standing(&"a.b:c".parse().unwrap(), remaining, Duration::from_secs(reset)).unwrap();
            prop_assert_eq!(text.to_str().unwrap(), format!("\"a.b:c\";r={remaining};t={reset}"));
        }
    }
}
