//! What a route changes on the way: the prefix of the path, and header fields in place.
//!
//! Everything that can be checked or built is, once, with the route. What a proxy owes every message (hop-by-hop fields,
//! forwarding headers) is not done here.

use bytes::{BufMut, BytesMut};
use http::header::MaxSizeReached;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The longest path and query that `http` takes.
const LONGEST: usize = (u16::MAX - 1) as usize;

/// A text that replaces the matched prefix of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixRewrite {
    /// Without `/` at its end, so that what follows brings its own.
    text: Box<str>,
}

/// Why a path cannot be rewritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// The replacement is no path.
    #[error(
        "{0:?} cannot replace a prefix: it must be a path that begins with \"/\", without query, fragment, \"//\" or dot segments"
    )]
    Replacement(String),
    /// The rewritten path and query are longer than 65,534 bytes or no longer valid.
    #[error("the rewritten path is too long or not valid")]
    Result,
}

impl PrefixRewrite {
    /// Takes the text that replaces a prefix: `/`, `/v1`; a `/` at its end means nothing.
    ///
    /// # Errors
    /// When `replacement` is not the beginning of a normalised path.
    pub fn new(replacement: &str) -> Result<Self, RewriteError> {
        let bad = || RewriteError::Replacement(replacement.to_owned());
        // Empty is what other gateways write for `/`.
        let text = replacement.strip_suffix('/').unwrap_or(replacement);
        let is_path =
            text.is_empty() || PathAndQuery::try_from(text).is_ok_and(|path| path.as_str() == text && path.query().is_none());
        // A `//` or a dot segment would be read differently by the endpoint than it is written here.
        let is_normal =
            text.is_empty() || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|s| !matches!(s, "" | "." | "..")));
        if !is_path || !is_normal {
            return Err(bad());
        }
        Ok(Self { text: text.into() })
    }

    /// Replaces the first `prefix_len` bytes of the path (what the match gave), keeping the query.
    ///
    /// The rest begins on a segment border, and so does the result: `/coder/x` becomes `/x` or `/v1/x`, `/coder` becomes `/` or
    /// `/v1`; no `//` arises. The target `*` stays as it is. One allocation, none when nothing changes.
    ///
    /// # Errors
    /// When the result is too long.
    pub fn apply(&self, target: &PathAndQuery, prefix_len: usize) -> Result<PathAndQuery, RewriteError> {
        let path = target.path();
        let Some((prefix, rest)) = path.split_at_checked(prefix_len) else { return Ok(target.clone()) };
        if prefix == &*self.text || !path.starts_with('/') {
            return Ok(target.clone());
        }
        // The border is the match's promise; should it be broken, the path is still cut into segments.
        let joint = if rest.starts_with('/') || (rest.is_empty() && !self.text.is_empty()) { "" } else { "/" };
        let (mark, query) = target.query().map_or(("", ""), |query| ("?", query));
        let parts = [&self.text, joint, rest, mark, query];
        let len = parts.iter().map(|part| part.len()).sum();
        if len > LONGEST {
            return Err(RewriteError::Result);
        }
        let mut bytes = BytesMut::with_capacity(len);
        parts.iter().for_each(|part| bytes.put_slice(part.as_bytes()));
        PathAndQuery::from_maybe_shared(bytes.freeze()).map_err(|_| RewriteError::Result)
    }
}

/// Header fields to remove, then to set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdit {
    set: Box<[(HeaderName, HeaderValue)]>,
    remove: Box<[HeaderName]>,
}

impl HeaderEdit {
    /// Takes what to set and what to remove; a name in both is set, a name set several times gets several lines.
    pub fn new(set: &[(HeaderName, HeaderValue)], remove: &[HeaderName]) -> Self {
        Self { set: set.into(), remove: remove.into() }
    }

    /// Tells whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    /// Edits in place: a set field replaces every line of its name, with a shared copy of the prebuilt value.
    ///
    /// # Errors
    /// When the map is full (more than 24,000 fields), which the listener's limits prevent.
    pub fn apply(&self, headers: &mut HeaderMap) -> Result<(), MaxSizeReached> {
        for name in &self.remove {
            headers.remove(name);
        }
        for (at, (name, value)) in self.set.iter().enumerate() {
            let again = self.set.iter().take(at).any(|(earlier, _)| earlier == name);
            if again {
                headers.try_append(name, value.clone())?;
            } else {
                headers.try_insert(name, value.clone())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(target: &str, prefix: &str, replacement: &str) -> String {
        let target: PathAndQuery = target.parse().unwrap();
        PrefixRewrite::new(replacement).unwrap().apply(&target, prefix.len()).unwrap().to_string()
    }

    #[test]
    fn a_prefix_is_replaced_on_segment_borders() {
        for (target, prefix, replacement, want) in [
            ("/coder/x", "/coder", "/", "/x"),
            ("/coder", "/coder", "/", "/"),
            ("/coder/", "/coder", "/", "/"),
            ("/coder", "/coder", "/v1", "/v1"),
            ("/coder/", "/coder", "/v1", "/v1/"),
            ("/coder/x", "/coder", "/v1", "/v1/x"),
            ("/coder/x", "/coder", "/v1/", "/v1/x"),
            ("/coder", "/coder", "/v1/", "/v1"),
            ("/coder/x", "/coder", "", "/x"),
            ("/coder", "/coder", "", "/"),
            ("/x", "", "/v1", "/v1/x"),
            ("/", "", "/v1", "/v1/"),
            ("/x", "", "/", "/x"),
            ("/a/b/c", "/a/b", "/z", "/z/c"),
        ] {
            assert_eq!(rewritten(target, prefix, replacement), want, "{target} {prefix} {replacement}");
        }
    }

    #[test]
    fn the_query_is_kept() {
        assert_eq!(rewritten("/coder?a=1", "/coder", "/"), "/?a=1");
        assert_eq!(rewritten("/coder/x?a=/coder&b", "/coder", "/v1"), "/v1/x?a=/coder&b");
        assert_eq!(rewritten("/coder/x?", "/coder", "/v1"), "/v1/x?");
    }

    #[test]
    fn a_prefix_length_that_does_not_fit_does_no_harm() {
        assert_eq!(rewritten("/a", "/longer", "/v1"), "/a");
        assert_eq!(rewritten("/coders", "/coder", "/v1"), "/v1/s");
        assert_eq!(rewritten("*", "", "/v1"), "*");
    }

    #[test]
    fn replacements_that_are_no_paths_are_refused() {
        for bad in ["v1", "/a b", "/v1?x", "/v1#x", "//", "/a//b", "/a/../b", "/./", "/a//", "*"] {
            assert_eq!(PrefixRewrite::new(bad), Err(RewriteError::Replacement(bad.to_owned())));
        }
    }

    #[test]
    fn a_result_that_is_too_long_is_an_error() {
        let target: PathAndQuery = format!("/{}", "x".repeat(65_000)).parse().unwrap();
        let long = PrefixRewrite::new(&format!("/{}", "y".repeat(1_000))).unwrap();
        assert_eq!(long.apply(&target, 0), Err(RewriteError::Result));
    }

    fn edit(set: &[(&'static str, &'static str)], remove: &[&'static str]) -> HeaderEdit {
        let set: Vec<_> =
            set.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
        let remove: Vec<_> = remove.iter().map(|&name| HeaderName::from_static(name)).collect();
        HeaderEdit::new(&set, &remove)
    }

    #[test]
    fn headers_are_removed_and_set_in_place() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("cookie", "a"), ("cookie", "b"), ("x-pool", "old"), ("x-pool", "older"), ("accept", "*/*")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        edit(&[("x-pool", "coders"), ("x-new", "1")], &["cookie", "absent"]).apply(&mut headers).unwrap();
        let mut lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        assert_eq!(lines, ["accept: */*", "x-new: 1", "x-pool: coders"]);
    }

    #[test]
    fn a_name_both_removed_and_set_is_set_and_a_name_set_twice_has_two_lines() {
        let mut headers = HeaderMap::new();
        headers.insert("x-a", HeaderValue::from_static("old"));
        edit(&[("x-a", "1"), ("x-a", "2")], &["x-a"]).apply(&mut headers).unwrap();
        let values: Vec<_> = headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert!(edit(&[], &[]).is_empty() && !edit(&[], &["x-a"]).is_empty());
    }
}
