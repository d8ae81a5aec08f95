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

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    const TO: Redirect = Redirect { status: StatusCode::FOUND, scheme: None, host: None, path: None, prefix: None };

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    /// The location for `http://a.example:8080/old/x?q=1`, matched by the prefix `/old`.
    fn to(redirect: &Redirect) -> Option<String> {
        from(redirect, Some("a.example:8080"), "/old/x?q=1", 4)
    }

    fn from(redirect: &Redirect, host: Option<&str>, uri: &str, prefix_len: usize) -> Option<String> {
        let location = location(redirect, "http", host, &uri.parse().unwrap(), prefix_len)?;
        Some(location.to_str().unwrap().to_owned())
    }

    #[test]
    fn without_scheme_and_host_the_location_is_relative() {
        assert_eq!(to(&Redirect { prefix: some("/new"), ..TO }), some("/new/x?q=1"));
        assert_eq!(to(&Redirect { prefix: some("/"), ..TO }), some("/x?q=1"));
        assert_eq!(to(&Redirect { path: some("/there?a=b"), ..TO }), some("/there?a=b"));
        assert_eq!(from(&Redirect { path: some("/there"), ..TO }, None, "/old", 4), some("/there"));
    }

    #[test]
    fn a_changed_scheme_drops_the_port_of_the_old_one() {
        assert_eq!(to(&Redirect { scheme: some("https"), ..TO }), some("https://a.example/old/x?q=1"));
        assert_eq!(to(&Redirect { scheme: some("http"), ..TO }), some("http://a.example:8080/old/x?q=1"));
        let https = Redirect { scheme: some("https"), ..TO };
        assert_eq!(from(&https, Some("[::1]:80"), "/", 1), some("https://[::1]/"));
        assert_eq!(from(&https, Some("[::1]"), "/", 1), some("https://[::1]/"));
        assert_eq!(from(&https, Some("a.example"), "/", 1), some("https://a.example/"));
    }

    #[test]
    fn a_new_host_keeps_scheme_path_and_query() {
        assert_eq!(to(&Redirect { host: some("b.example:81"), ..TO }), some("http://b.example:81/old/x?q=1"));
        let all = Redirect { scheme: some("https"), host: some("b.example"), path: some("/p"), ..TO };
        assert_eq!(to(&all), some("https://b.example/p"));
        assert_eq!(from(&Redirect { host: some("b.example"), ..TO }, None, "/", 1), some("http://b.example/"));
    }

    #[test]
    fn a_location_never_names_a_host_that_the_config_does_not() {
        assert_eq!(from(&Redirect { prefix: some("/"), ..TO }, None, "/old//evil.example", 4), some("/evil.example"));
        assert_eq!(from(&Redirect { path: some("//evil.example"), ..TO }, None, "/old", 4), some("/evil.example"));
    }

    #[test]
    fn without_the_parts_that_are_needed_there_is_no_location() {
        let https = Redirect { scheme: some("https"), ..TO };
        assert_eq!(from(&https, None, "/", 1), None);
        assert_eq!(from(&https, Some(""), "/", 1), None);
        assert_eq!(from(&https, Some("a.example"), "*", 0), None);
        assert_eq!(to(&Redirect { path: some("no-slash"), ..TO }), None);
        assert_eq!(to(&Redirect { host: some("a\nb"), ..TO }), None);
    }
}
