//! What capabilities a request requires: those of its route, and those that it names itself in `x-tidegate-require`.
//!
//! Only names are read here; which endpoint offers them is matched before the pick, in the pool.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName};

/// The header field in which a request names capabilities: comma-separated, on one or several lines.
const REQUIRE: HeaderName = HeaderName::from_static("x-tidegate-require");

/// The most capabilities that one request may name; keeps the list on the stack and the match cheap.
const NAMES: usize = 16;

/// The longest capability, in bytes, that a request may name.
const NAME_BYTES: usize = 64;

/// The capabilities that an endpoint must offer to be picked for a request.
#[derive(Clone, Copy, Debug)]
pub struct Required<'a> {
    route: &'a BTreeSet<String>,
    asked: [&'a str; NAMES],
    len: usize,
}

/// Why `x-tidegate-require` cannot be followed; the request is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequiredError {
    /// It names more than 16 capabilities, not counting those named twice or by the route.
    #[error("x-tidegate-require names more than {NAMES} capabilities")]
    TooMany,
    /// It names a capability of more than 64 bytes.
    #[error("x-tidegate-require names a capability of more than {NAME_BYTES} bytes")]
    TooLong,
    /// It holds something else than visible ASCII, spaces and commas.
    #[error("x-tidegate-require holds something else than names of visible ASCII characters, separated by commas")]
    Invalid,
}

impl<'a> Required<'a> {
    /// Joins what the route requires with what the request names; allocates nothing.
    ///
    /// # Errors
    /// When the request names too much, or what cannot be a name: leaving a name out could send it to an endpoint that cannot serve it.
    pub fn read(route: &'a BTreeSet<String>, headers: &'a HeaderMap) -> Result<Self, RequiredError> {
        let mut required = Self { route, asked: [""; NAMES], len: 0 };
        for line in headers.get_all(&REQUIRE) {
            let line = line.to_str().map_err(|_| RequiredError::Invalid)?;
            for name in line.split(',') {
                required.add(name.trim_matches([' ', '\t']))?;
            }
        }
        Ok(required)
    }

    /// Returns each name once: the route's, then the request's own.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let Self { route, asked, len } = *self;
        route.iter().map(String::as_str).chain(asked.into_iter().take(len))
    }

    /// Tells whether any endpoint will do.
    pub fn is_empty(&self) -> bool {
        self.len == 0 && self.route.is_empty()
    }

    fn add(&mut self, name: &'a str) -> Result<(), RequiredError> {
        // Empty members of a list mean nothing (RFC 9110 section 5.6.1.2).
        if name.is_empty() || self.route.contains(name) || self.asked.iter().take(self.len).any(|&known| known == name) {
            return Ok(());
        }
        if name.len() > NAME_BYTES {
            return Err(RequiredError::TooLong);
        }
        if !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(RequiredError::Invalid);
        }
        *self.asked.get_mut(self.len).ok_or(RequiredError::TooMany)? = name;
        self.len += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(route: &[&str], lines: &[&[u8]]) -> Result<Vec<String>, RequiredError> {
        let route = route.iter().map(|&name| name.to_owned()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("X-Tidegate-Require", HeaderValue::from_bytes(line).unwrap());
        }
        let required = Required::read(&route, &headers)?;
        assert_eq!(required.is_empty(), required.iter().next().is_none());
        Ok(required.iter().map(str::to_owned).collect())
    }

    #[test]
    fn names_of_the_route_and_of_every_line_are_joined_once_each() {
        assert_eq!(read(&["python"], &[b"gpu, python ,,", b"\tgpu,cuda-12"]).unwrap(), ["python", "gpu", "cuda-12"]);
        assert_eq!(read(&[], &[]).unwrap(), [""; 0]);
        assert_eq!(read(&[], &[b" , "]).unwrap(), [""; 0]);
    }

    #[test]
    fn sixteen_names_are_taken_and_one_more_is_refused() {
        let names = |count: usize| (0..count).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
        assert_eq!(read(&[], &[names(16).as_bytes()]).unwrap().len(), 16);
        assert_eq!(read(&[], &[names(16).as_bytes(), b"c0, c15"]).unwrap().len(), 16);
        assert_eq!(read(&["c16"], &[names(17).as_bytes()]).unwrap().len(), 17);
        assert_eq!(read(&[], &[names(17).as_bytes()]), Err(RequiredError::TooMany));
    }

    #[test]
    fn names_are_bounded_and_visible() {
        assert_eq!(read(&[], &["x".repeat(64).as_bytes()]).unwrap().len(), 1);
        assert_eq!(read(&[], &["x".repeat(65).as_bytes()]), Err(RequiredError::TooLong));
        assert_eq!(read(&[], &[b"two words"]), Err(RequiredError::Invalid));
        assert_eq!(read(&[], &[b"gpu, \xff"]), Err(RequiredError::Invalid));
    }
}
