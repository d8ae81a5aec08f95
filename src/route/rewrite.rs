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
