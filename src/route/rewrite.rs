//! What a route changes in a request on its way to the endpoint, and in the response on its way back.
//!
//! Values are prebuilt: a header edit costs a reference count, and a path is built only when it changes.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::model;

/// Applies a [`model::Rewrite`].
#[derive(Clone, Debug)]
pub struct Rewriter {
    prefix: Option<Prefix>,
    request: Edits,
    response: Edits,
}

/// Replaces the beginning of a path, on segment borders.
#[derive(Clone, Debug)]
pub(super) struct Prefix {
    /// Begins with a slash, unless it is empty; does not end with one.
    base: Box<str>,
    /// What the prefix alone becomes; `/` at least.
    alone: Box<str>,
}

#[derive(Clone, Debug)]
struct Edits {
    remove: Box<[HeaderName]>,
    set: Box<[(HeaderName, HeaderValue)]>,
}

impl Rewriter {
    /// Prepares `rewrite`.
    pub fn new(rewrite: &model::Rewrite) -> Self {
        Self {
            prefix: rewrite.prefix.as_deref().map(Prefix::new),
            request: Edits::new(&rewrite.remove_headers, &rewrite.set_headers),
            response: Edits::new(&rewrite.remove_response_headers, &rewrite.set_response_headers),
        }
    }

    /// Returns `old` with its first `prefix_len` bytes replaced and its query kept; `None` when nothing changes.
    pub fn path(&self, old: &PathAndQuery, prefix_len: usize) -> Option<PathAndQuery> {
        let text = self.prefix.as_ref()?.replace(old, prefix_len)?;
        if text == old.as_str() {
            return None;
        }
        // Made of two valid halves; if that should ever fail, the path that was matched is the safe one.
        PathAndQuery::from_maybe_shared(Bytes::from(text)).ok()
    }

    /// Edits a request's headers in place: removes, then sets.
    pub fn request(&self, headers: &mut HeaderMap) {
        self.request.apply(headers);
    }

    /// Edits a response's headers in place: removes, then sets.
    pub fn response(&self, headers: &mut HeaderMap) {
        self.response.apply(headers);
    }
}

impl Prefix {
    pub(super) fn new(replacement: &str) -> Self {
        let mut base = String::with_capacity(replacement.len() + 1);
        for segment in replacement.split('/').filter(|segment| !segment.is_empty()) {
            base.push('/');
            base.push_str(segment);
        }
        let slash = if base.is_empty() || replacement.ends_with('/') { "/" } else { "" };
        Self { alone: format!("{base}{slash}").into(), base: base.into() }
    }

    /// Returns path and query after the change; `None` when the path has no such prefix, as `*` has none.
    pub(super) fn replace(&self, old: &PathAndQuery, prefix_len: usize) -> Option<String> {
        let path = old.path();
        if !path.starts_with('/') {
            return None;
        }
        // A route that takes every path has the prefix `/`.
        let rest = path.get(prefix_len.max(1)..)?;
        let inner = rest.trim_start_matches('/');
        let query = old.query();
        let mut text = String::with_capacity(self.alone.len() + rest.len() + query.map_or(0, str::len) + 2);
        if rest.is_empty() {
            text.push_str(&self.alone);
        } else {
            text.push_str(&self.base);
            text.push('/');
            text.push_str(inner);
        }
        if let Some(query) = query {
            text.push('?');
            text.push_str(query);
        }
        Some(text)
    }
}

impl Edits {
    fn new(remove: &[HeaderName], set: &[(HeaderName, HeaderValue)]) -> Self {
        Self { remove: remove.into(), set: set.into() }
    }

    fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            // A map that is full (32,768 names) stays as it is rather than panic.
            let _replaced = headers.try_insert(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn prefix(replacement: &str) -> Rewriter {
        Rewriter::new(&model::Rewrite { prefix: Some(replacement.to_owned()), ..Default::default() })
    }

    fn rewritten(replacement: &str, old: &'static str, prefix_len: usize) -> String {
        let old = PathAndQuery::from_static(old);
        prefix(replacement).path(&old, prefix_len).unwrap_or(old).to_string()
    }

    #[test]
    fn a_prefix_is_replaced_on_segment_borders() {
        for (replacement, old, prefix_len, new) in [
            ("/", "/coder/x", 6, "/x"),
            ("/", "/coder", 6, "/"),
            ("/", "/coder/", 6, "/"),
            ("/", "/coder/x/", 6, "/x/"),
            ("/v1", "/coder/x", 6, "/v1/x"),
            ("/v1", "/coder", 6, "/v1"),
            ("/v1", "/coder/", 6, "/v1/"),
            ("/v1/", "/coder", 6, "/v1/"),
            ("/v1/", "/coder/x", 6, "/v1/x"),
            // A route with prefix `/`, and one that takes any path.
            ("/v1", "/x", 1, "/v1/x"),
            ("/v1", "/x", 0, "/v1/x"),
            ("/v1", "/", 1, "/v1"),
            ("/v1", "/", 0, "/v1"),
            // Written without the slash, or with too many.
            ("v1", "/coder/x", 6, "/v1/x"),
            ("//v1//b", "/coder/x", 6, "/v1/b/x"),
            ("", "/coder/x", 6, "/x"),
            ("//", "/coder", 6, "/"),
        ] {
            assert_eq!(rewritten(replacement, old, prefix_len), new, "{old} with {replacement}");
        }
    }

    #[test]
    fn the_query_is_kept_as_it_was() {
        assert_eq!(rewritten("/", "/coder?a=/b//c?d", 6), "/?a=/b//c?d");
        assert_eq!(rewritten("/v1", "/coder/x?", 6), "/v1/x?");
    }

    #[test]
    fn a_rewrite_never_makes_a_path_that_names_a_host() {
        assert_eq!(rewritten("/", "/coder//evil.example", 6), "/evil.example");
    }

    #[test]
    fn what_does_not_change_is_not_built() {
        let path = PathAndQuery::from_static("/coder/x");
        assert_eq!(Rewriter::new(&model::Rewrite::default()).path(&path, 6), None);
        assert_eq!(prefix("/coder").path(&path, 6), None);
        assert_eq!(prefix("/").path(&PathAndQuery::from_static("*"), 0), None);
        // Longer than the path: nothing that a table says.
        assert_eq!(prefix("/").path(&path, 9), None);
    }

    #[test]
    fn headers_are_removed_and_set_in_place() {
        let name = HeaderName::from_static;
        let value = HeaderValue::from_static;
        let rewriter = Rewriter::new(&model::Rewrite {
            prefix: None,
            set_headers: vec![(name("x-pool"), value("coders"))],
            remove_headers: vec![name("cookie")],
            set_response_headers: vec![(name("server"), value("hidden"))],
            remove_response_headers: vec![name("x-powered-by")],
        });
        let mut request = HeaderMap::new();
        for (field, text) in [("x-pool", "a"), ("x-pool", "b"), ("cookie", "a=1"), ("cookie", "b=2"), ("x-powered-by", "kept")] {
            request.append(name(field), value(text));
        }
        rewriter.request(&mut request);
        assert_eq!(request.get_all("x-pool").iter().collect::<Vec<_>>(), ["coders"]);
        assert_eq!((request.len(), &request["x-powered-by"]), (2, &value("kept")));

        let mut response = HeaderMap::new();
        response.insert(name("x-powered-by"), value("x"));
        rewriter.response(&mut response);
        assert_eq!((response.len(), &response["server"]), (1, &value("hidden")));
    }

    proptest! {
        #[test]
        fn any_rewrite_makes_a_clean_path(replacement in "[a-z/]{0,8}", rest in "(/[a-z]{0,3}){0,4}", query in "(\\?[a-z=/?]{0,6})?") {
            let old: PathAndQuery = format!("/coder{rest}{query}").parse().unwrap();
            let new = Prefix::new(&replacement).replace(&old, 6).unwrap();
            let parsed: PathAndQuery = new.parse().unwrap();
            prop_assert_eq!(parsed.query(), old.query());
            prop_assert!(new.starts_with('/') && !new.starts_with("//"));
            if !rest.contains("//") {
                prop_assert!(!parsed.path().contains("//"), "{}", parsed.path());
            }
        }

        #[test]
        fn no_prefix_length_can_panic(path in "/[a-z/]{0,8}", prefix_len in 0usize..20) {
            let old: PathAndQuery = path.parse().unwrap();
            prefix("/v1").path(&old, prefix_len);
        }
    }
}
