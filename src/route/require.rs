//! The capabilities that a request itself asks for, in `x-tidegate-require`.
//!
//! Which endpoint offers them is the business of `endpoint` and `balance`; those of the route are added by `pool`.

use http::{HeaderMap, HeaderName};

/// More names than any real request asks for; each costs a search in the pool's list.
const MAX_NAMES: usize = 16;

/// Keeps what a client can make us compare and log small, in bytes.
const MAX_NAME_LEN: usize = 64;

/// Names the capabilities that an endpoint must offer: `x-tidegate-require: python, gpu`.
pub static REQUIRE: HeaderName = HeaderName::from_static("x-tidegate-require");

/// Why what a request requires is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequireError {
    /// There are more than 16 different names.
    #[error("{REQUIRE} has more than {MAX_NAMES} names")]
    TooMany,
    /// A name is longer than 64 bytes.
    #[error("{REQUIRE} has a name longer than {MAX_NAME_LEN} bytes")]
    TooLong,
    /// A name holds something else than visible ASCII.
    #[error("{REQUIRE} has a name with white space or characters outside ASCII")]
    Character,
}

/// Returns the capabilities that a request requires: a list over one or more lines (RFC 9110 section 5.6.1), each name once.
///
/// # Errors
/// When there are more than 16 different names, or one is longer than 64 bytes or has anything but visible ASCII.
pub fn required(headers: &HeaderMap) -> Result<Vec<&str>, RequireError> {
    let mut names = Vec::new();
    let lines = headers.get_all(&REQUIRE).iter();
    for item in lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
        let name = checked(item.trim_ascii())?;
        // RFC 9110 section 5.6.1.2: empty elements are ignored.
        if name.is_empty() || names.contains(&name) {
            continue;
        }
        if names.len() == MAX_NAMES {
            return Err(RequireError::TooMany);
        }
        names.push(name);
    }
    Ok(names)
}

fn checked(name: &[u8]) -> Result<&str, RequireError> {
    if name.len() > MAX_NAME_LEN {
        return Err(RequireError::TooLong);
    }
    if !name.iter().all(u8::is_ascii_graphic) {
        return Err(RequireError::Character);
    }
    std::str::from_utf8(name).map_err(|_| RequireError::Character)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn requiring(lines: &[&[u8]]) -> HeaderMap {
        lines.iter().map(|line| (REQUIRE.clone(), HeaderValue::from_bytes(line).unwrap())).collect()
    }

    #[test]
    fn names_are_read_from_all_lines_and_each_counts_once() {
        let headers = requiring(&[b"python, gpu", b",,\tgpu ,cuda:12,"]);
        assert_eq!(required(&headers), Ok(vec!["python", "gpu", "cuda:12"]));
        assert_eq!(required(&HeaderMap::new()), Ok(vec![]));
        assert_eq!(required(&requiring(&[b""])), Ok(vec![]));
    }

    #[test]
    fn sixteen_names_are_taken_and_seventeen_refused() {
        let names = |n: usize| (0..n).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
        assert_eq!(required(&requiring(&[names(16).as_bytes()])).map(|names| names.len()), Ok(16));
        assert_eq!(required(&requiring(&[names(17).as_bytes()])), Err(RequireError::TooMany));
        assert_eq!(required(&requiring(&[names(16).as_bytes(), b"other"])), Err(RequireError::TooMany));
        assert_eq!(required(&requiring(&[names(16).as_bytes(), b"c0"])).map(|names| names.len()), Ok(16));
    }

    #[test]
    fn names_are_short_and_visible_ascii() {
        assert!(required(&requiring(&["a".repeat(64).as_bytes()])).is_ok());
        assert_eq!(required(&requiring(&["a".repeat(65).as_bytes()])), Err(RequireError::TooLong));
        assert_eq!(required(&requiring(&[b"a b"])), Err(RequireError::Character));
        assert_eq!(required(&requiring(&[b"caf\xe9"])), Err(RequireError::Character));
    }
}
