//! `Via`: says that a message passed here, and tells when it comes round again (RFC 9110 section 7.6.3).

use http::header::VIA;
use http::{HeaderMap, HeaderValue, Version};

use super::hop::has_token;
use super::present::Present;

/// What this process adds to `Via`, prepared once.
///
/// The name alone does not tell two gateways in a row from a loop, so that each process has its own: the configured name, a hyphen, and
/// something that no other process has.
#[derive(Clone, Debug)]
pub struct Via {
    http10: HeaderValue,
    http11: HeaderValue,
    http2: HeaderValue,
}

impl Via {
    /// Prepares the values for the process `instance` (any number that differs between processes) of the gateway `name`.
    ///
    /// Characters of `name` that no token has become `-`.
    pub fn new(name: &str, instance: u64) -> Self {
        let pseudonym = format!("{}-{instance:016x}", token(name));
        let value = |version: &str| {
            HeaderValue::try_from(format!("{version} {pseudonym}")).expect("a version, a space and a token are a field value")
        };
        Self { http10: value("1.0"), http11: value("1.1"), http2: value("2.0") }
    }

    /// Adds this process to the `Via` of a message that was received with `version`, as a line of its own, without allocating text.
    pub fn append(&self, headers: &mut HeaderMap, version: Version) {
        let value = if version == Version::HTTP_2 {
            &self.http2
        } else if version == Version::HTTP_11 {
            &self.http11
        } else {
            &self.http10
        };
        headers.append(VIA, value.clone());
    }

    /// Tells whether a request has passed this process before.
    pub fn is_loop(&self, headers: &HeaderMap, present: Present) -> bool {
        if !present.has(Present::VIA) {
            return false;
        }
        // Every entry is compared whole: another hop may have joined the lines, but it does not rewrite an entry.
        headers.get_all(VIA).iter().any(|line| {
            let line = line.as_bytes();
            [&self.http11, &self.http2, &self.http10].into_iter().any(|own| has_token(line, own.as_bytes()))
        })
    }
}

/// Makes a token of a name (RFC 9110 section 5.6.2), with the characters that an obfuscated node of RFC 7239 section 6.3 may have too.
pub(super) fn token(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    if name.is_empty() { "tidegate".to_owned() } else { name.chars().map(safe).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direction_tells_the_version_it_received() {
        let via = Via::new("tidegate", 0xab);
        let mut headers = HeaderMap::from_iter([(VIA, HeaderValue::from_static("1.1 other"))]);
        via.append(&mut headers, Version::HTTP_11);
        via.append(&mut headers, Version::HTTP_2);
        via.append(&mut headers, Version::HTTP_10);
        let lines: Vec<_> = headers.get_all(VIA).iter().map(|line| line.to_str().unwrap()).collect();
        assert_eq!(
            lines,
            ["1.1 other", "1.1 tidegate-00000000000000ab", "2.0 tidegate-00000000000000ab", "1.0 tidegate-00000000000000ab"]
        );
    }

    #[test]
    fn own_entry_is_a_loop_and_a_namesake_is_not() {
        let (own, namesake) = (Via::new("tidegate", 1), Via::new("tidegate", 2));
        let mut headers = HeaderMap::new();
        namesake.append(&mut headers, Version::HTTP_11);
        assert!(!own.is_loop(&headers, Present::VIA));
        own.append(&mut headers, Version::HTTP_2);
        assert!(own.is_loop(&headers, Present::VIA));
    }

    #[test]
    fn own_entry_is_found_in_a_joined_line() {
        let line = HeaderValue::from_static("1.1 first, 1.1 Tidegate-0000000000000001 , 1.0 last (a comment)");
        let headers = HeaderMap::from_iter([(VIA, line)]);
        assert!(Via::new("tidegate", 1).is_loop(&headers, Present::VIA));
        assert!(!Via::new("tidegate", 11).is_loop(&headers, Present::VIA));
    }

    #[test]
    fn any_name_makes_a_token() {
        assert_eq!(token("edge 1/é"), "edge-1--");
        assert_eq!(token(""), "tidegate");
        let mut headers = HeaderMap::new();
        Via::new("a\r\nb", 0).append(&mut headers, Version::HTTP_11);
        assert_eq!(headers[VIA], "1.1 a--b-0000000000000000");
    }
}
