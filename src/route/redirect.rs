//! Builds the `Location` of a redirect.

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};

use super::rewrite::Prefix;
use crate::model::Redirect;

/// Returns where a request for `uri` is sent; `None` when the parts make no valid location.
///
/// - `scheme` and `host` are those of the request; `host` is its `Host` field, with the port if it has one.
/// - Without a scheme or host of its own the location is relative (RFC 9110 section 10.2.2), so that it holds behind another proxy that
///   ends TLS.
/// - The client's port belongs to its scheme, and is dropped when the scheme changes.
pub fn location(redirect: &Redirect, scheme: &str, host: Option<&str>, uri: &Uri, prefix_len: usize) -> Option<HeaderValue> {
    let mut text = origin(redirect, scheme, host)?;
    let target = target(redirect, uri.path_and_query(), prefix_len)?;
    // A location that begins with two slashes would name another host.
    text.push('/');
    text.push_str(target.trim_start_matches('/'));
    HeaderValue::try_from(text).ok()
}

/// Returns `https://example.com`; empty for a relative location.
fn origin(redirect: &Redirect, scheme: &str, host: Option<&str>) -> Option<String> {
    if redirect.scheme.is_none() && redirect.host.is_none() {
        return Some(String::new());
    }
    let new_scheme = redirect.scheme.as_deref().unwrap_or(scheme);
    let new_host = match &redirect.host {
        Some(host) => host.as_str(),
        None if new_scheme.eq_ignore_ascii_case(scheme) => host?,
        None => without_port(host?),
    };
    if new_host.is_empty() {
        return None;
    }
    Some(format!("{new_scheme}://{new_host}"))
}

/// Returns path and query; begins with a slash.
fn target(redirect: &Redirect, old: Option<&PathAndQuery>, prefix_len: usize) -> Option<String> {
    if let Some(path) = &redirect.path {
        return path.starts_with('/').then(|| path.clone());
    }
    let old = old?;
    match &redirect.prefix {
        Some(prefix) => Prefix::new(prefix).replace(old, prefix_len),
        None => old.as_str().starts_with('/').then(|| old.as_str().to_owned()),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // Not the last group of an IPv6 address, which ends with a bracket.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
